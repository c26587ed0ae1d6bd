"""The files of ``deploy/``, and the configuration and commands that the pages show: they are what
the program takes."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import sqlalchemy as sa
import yaml

from places import ROOT
from pywps_hpc import settings
from pywps_hpc.cli.main import commands
from pywps_hpc.jobs import Job, JobStore, new_id
from pywps_hpc.settings import reference
from pywps_hpc.settings.checks.pywps_sections import PYWPS
from pywps_hpc.settings.keys import keys_of
from pywps_hpc.settings.model import PROCESS_PREFIX, SECTIONS, ProcessSettings
from pywps_hpc.settings.resources import Resources
from pywps_hpc.settings.sections import Container

DEPLOY = ROOT / "deploy"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def blocks(page: Path, kind: str) -> list[str]:
    found = re.findall(
        rf"^[ ]*```{kind}\b[^\n]*\n(.*?)^[ ]*```", page.read_text("utf-8"), re.S | re.M
    )
    return [block for block in found if "--8<--" not in block]


INI = [(page, block) for page in PAGES for block in blocks(page, "ini")]


def keys(section: str) -> dict[str, Any]:
    """The keys that a section of ours takes, each with its reader."""
    if section.startswith(PROCESS_PREFIX):
        return {
            n: k for cls in (ProcessSettings, Resources, Container) for n, k in keys_of(cls).items()
        }
    return dict(keys_of(SECTIONS[section]))


@pytest.mark.parametrize(("page", "block"), INI, ids=lambda value: getattr(value, "stem", ""))
def test_configuration_that_a_page_shows_is_understood(page: Path, block: str) -> None:
    parser = configparser.RawConfigParser(default_section="\0")
    text = block if block.lstrip().startswith(("[", "#")) else f"[hpc]\n{block}"
    parser.read_string(text)
    assert parser.sections()
    for section in parser.sections():
        if section.split(".")[0] != "hpc":
            assert set(parser[section]) <= set(PYWPS[section]), section
            continue
        for key, value in parser[section].items():
            known = keys(section)[key]
            if "$" not in value and "a file that only" not in known.read.form:  # files of that host
                known.read(value)


def typed() -> Iterator[tuple[Path, str]]:
    """Each call of our command line in a page."""
    for page in PAGES:
        if page.name == "commands.md":
            continue
        text = page.read_text("utf-8")
        lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
        for part in (*lines, *re.findall(r"`(pywps-hpc [^`]+)`", text)):
            for found in re.finditer(r"(?:^|[ |(]|bin/)pywps-hpc ((?![\[.])[^|>)#&]+)", part):
                yield page, found[1].strip()


@pytest.mark.parametrize(
    ("page", "line"), sorted(set(typed())), ids=lambda v: getattr(v, "stem", v)
)
def test_a_command_that_a_page_shows_exists_with_its_options(page: Path, line: str) -> None:
    words, command = shlex.split(line), commands
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0).rstrip(",;:")
        assert name in command.commands, line
        command = command.commands[name]  # type: ignore[assignment]
    known = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    known |= {"--help", "-h"}
    for word in words:
        if re.match(r"--?[a-z]", word):
            assert word.partition("=")[0] in known, line


def _understood(name: str, words: list[str]) -> click.Context:
    """A command's line as the command reads it, which knows whose command it is: its help is kept
    from the first time."""
    whole = click.Context(commands, **commands.context_settings)
    return commands.commands[name].make_context(name, words, whole, resilient_parsing=True)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_as_it_is_and_reloads_it(unit: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text("utf-8"))
    program, name, *words = parser["Service"]["ExecStart"].split()
    assert Path(program).name == "pywps-hpc"
    context = _understood(name, words)
    assert str(context.params["config"]) == "/etc/pywps-hpc/pywps.cfg"
    assert parser["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert parser["Service"]["User"] == "wps"
    assert parser["Service"]["ProtectSystem"] == "strict"


def test_there_is_a_unit_for_each_way_to_run_it() -> None:
    started = {re.search(r"pywps-hpc (\w+)", unit.read_text())[1] for unit in UNITS}  # type: ignore[index]
    assert started == {"serve", "web", "dispatcher"}


def test_the_container_of_the_service_fits_its_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = DEPLOY / "container"
    compose = yaml.safe_load((folder / "compose.yaml").read_text("utf-8"))
    given = compose["services"]["wps"]["environment"]
    for name, value in given.items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value))
    written = (folder / "pywps.cfg").read_text("utf-8")
    (spool,) = re.findall(r"^spool = (.*)$", written, re.M)
    (tmp_path / "pywps.cfg").write_text(written.replace(f"= {spool}\n", f"= {tmp_path}\n"))
    own = settings.load([tmp_path / "pywps.cfg"])
    assert own.url == given["PYWPS_HPC_URL"]
    assert sa.make_url(own.database_url).host in compose["services"]
    docker = (folder / "Dockerfile").read_text("utf-8")
    (line,) = re.findall(r"^CMD (\[.*\])$", docker, re.M)
    _, name, *words = json.loads(line)
    context = _understood(name, words)
    assert f"COPY pywps.cfg {context.params['config']}\n" in docker
    assert f"VOLUME {spool}\n" in docker
    assert compose["services"]["wps"]["volumes"] == [f"spool:{spool}"]
    assert str(context.params["bind"]).endswith(":5000")
    assert f"ENV PYTHONPATH={own.defaults.container.python_path[0]}\n" in docker
    (extras,) = re.findall(r"'pywps-hpc\[([\w,]+)\]'", docker)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(f"\n{extra} = [" in project for extra in extras.split(","))


def test_a_job_table_is_copied_row_by_row_into_an_empty_one(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("copied", DEPLOY / "postgresql/copy_job_table.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source, target = (f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("old", "new"))
    store = JobStore(source)
    store.create()
    jobs = [
        store.add(Job(id=new_id(), name="wabc", process="p", digest="0" * 64, message=f"{n}"))
        for n in range(2100)
    ]
    store.engine.dispose()
    assert module.copy(source, target)["hpc_jobs"] == len(jobs)
    other = JobStore(target)
    other.create()
    assert all(other.get(job.id) == job for job in jobs[::300])
    other.engine.dispose()
    with pytest.raises(SystemExit, match="there are jobs already"):
        module.copy(source, target)


def test_every_setting_that_the_installation_names_is_one(tmp_path: Path) -> None:
    known = {entry.name for entry in reference.entries()}
    page = (ROOT / "docs/install.md").read_text("utf-8")
    named = {"command_path", "command_environment", "network", "fetch", "account", "image"}
    assert named <= known
    assert all(name in page for name in named)


def test_each_page_on_deployment_names_tests_that_there_are() -> None:
    index = (ROOT / "docs/deploy/index.md").read_text("utf-8")
    tried = index.partition("## How each page is tried")[2]
    rows = [line.split("|")[1:-1] for line in tried.splitlines() if line.startswith("| [")]
    pages = {link for row in rows for link in re.findall(r"\]\(([^)]+)\)", row[0])}
    assert {page.name for page in (ROOT / "docs/deploy").glob("*.md")} - {"index.md"} <= pages
    named = {test for row in rows for test in re.findall(r"`([^`]+\.py)`", row[1])}
    assert all((ROOT / test).is_file() for test in named)
    assert all(re.search(r"\.py`", row[1]) and row[2].strip() for row in rows)
    of_deployments = {f"deploy/tests/{test.name}" for test in (DEPLOY / "tests").glob("test_*.py")}
    assert of_deployments <= named


def test_the_examples_set_every_variable_that_the_sample_configuration_needs() -> None:
    lines = (ROOT / "pywps.cfg").read_text("utf-8").splitlines()
    live = "\n".join(line for line in lines if line[:1] != "#")
    needed = set(re.findall(r"\$\{(\w+)\}", live))
    page = (ROOT / "examples/README.md").read_text("utf-8")
    (serve, *_) = re.findall(r"^```sh\n(.*?)^```", page, re.S | re.M)
    assert needed == set(re.findall(r"(\w+)=", serve))
