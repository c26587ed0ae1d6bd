"""What the package says that it needs, against what it imports."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from pywps_hpc import cli
from pywps_hpc.cli import serve

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"pywps_hpc", "joblauncher"}
#: The packages that may import what an extra brings.
EXTRAS = {
    "server": ("pywps_hpc/web/server", "pywps_hpc/metrics"),
    "ssh": "pywps_hpc/dispatch/channels",
    "drmaa": "pywps_hpc/dispatch/schedulers",
    "image": "pywps_hpc/images",
}


def normal(name: str) -> str:
    """A distribution's name in the one form that pip compares (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}  # type: ignore[index]


def imports(folder: str) -> Iterator[tuple[str, str]]:
    """File and distribution of each import of something that is neither ours nor Python's."""
    installed = packages_distributions()
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [str(node.module)]
            for module in modules:
                top = module.partition(".")[0]
                if top not in OWN and top not in sys.stdlib_module_names:
                    found = installed.get(top, [top])
                    yield file.relative_to(ROOT).as_posix(), normal(found[0])


def test_pywps_is_bounded_to_the_releases_that_were_tried() -> None:
    [bounded] = [text for text in PROJECT["dependencies"] if normal(text).startswith("pywps")]
    known = Requirement(bounded).specifier
    assert known.contains(version("pywps"))
    assert not known.contains("4.99")
    assert not known.contains("5.0")


def of_extras() -> set[str]:
    return {name for extra in EXTRAS for name in names(PROJECT["optional-dependencies"][extra])}


def test_the_declared_dependencies_are_the_imported_ones() -> None:
    imported = {name for folder in OWN for _, name in imports(folder)}
    assert names(PROJECT["dependencies"]) == imported - of_extras()


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_an_extra_brings_is_imported_in_its_own_package_only(extra: str) -> None:
    wanted = names(PROJECT["optional-dependencies"][extra])
    found = {(file, name) for folder in OWN for file, name in imports(folder) if name in wanted}
    assert {name for _, name in found} == wanted
    assert all(file.startswith(EXTRAS[extra]) for file, _ in found)


def test_the_launcher_s_image_gets_no_web_server() -> None:
    recipe = (ROOT / "containers" / "pywps-hpc.def").read_text()
    assert not names(PROJECT["dependencies"]) & {"gunicorn", "rich"}
    assert "gunicorn" not in recipe
    assert "[server]" not in recipe


@pytest.mark.parametrize("command", ["serve", "web"])
def test_a_web_server_that_is_not_installed_is_told_with_its_remedy(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "pywps.cfg"
    config.write_text("[processing]\nmode = scheduler\n")
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    done = CliRunner().invoke(cli.commands, [command, "a:b", "--config", str(config)])
    assert done.exit_code == 1
    assert "gunicorn is not installed: pip install 'pywps-hpc[server]'" in done.output
