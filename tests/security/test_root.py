"""Nothing that runs processes runs as root, unless the administrator of a container says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from in_process_service import InProcessService, open_service
from joblauncher.shared import account, status_xml
from joblauncher.shared.files import read_plain
from pywps_hpc import cli, settings
from pywps_hpc.settings.checks import host
from servers import SERVICES

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to be refused")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[InProcessService]:
    with open_service(tmp_path) as opened:
        yield opened


def launch(app: InProcessService, *more: str, before: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run a job by the real launcher; its exit code, and what its document says."""
    job = app.accept()
    line = [*before, sys.executable, "-I", "-m", "joblauncher", *more]
    line += ["--digest", app.row(job).digest, str(job.path)]
    code = subprocess.run(line, capture_output=True, timeout=120).returncode
    return code, status_xml.parse(read_plain(job.status)).message


@ROOT
def test_the_launcher_refuses_root_and_the_client_is_told(app: InProcessService) -> None:
    assert launch(app) == (65, "jobs are not run as root")


@ROOT
def test_root_of_a_user_namespace_is_who_it_is_outside() -> None:
    """As with --fakeroot."""
    told = "from joblauncher.shared import account; print(account.is_root())"
    asked = [sys.executable, "-c", told]
    for before, expected in (
        ((), "True"),
        (("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"), "False"),
        (
            (
                *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
                *("unshare", "--user", "--map-root-user"),
            ),
            "False",
        ),
    ):
        done = subprocess.run([*before, *asked], capture_output=True, text=True, cwd="/")
        assert done.stdout.strip() == expected, (before, done.stderr)


@ROOT
def test_the_administrator_of_a_container_may_allow_it(app: InProcessService) -> None:
    code, words = launch(app, "--allow-root", "--path", str(SERVICES))
    assert (code, words) == (0, "PyWPS Process Repeat 2 times finished")


def invoke(folder: Path, *command: str, **keys: str) -> Result:
    (folder / "spool").mkdir(mode=0o700, exist_ok=True)
    lines = {"spool": str(folder / "spool")} | keys
    config = folder / "pywps.cfg"
    own = "\n".join(f"{key} = {value}" for key, value in lines.items())
    config.write_text(
        f"[processing]\nmode = scheduler\n[hpc]\n{own}\n[hpc.container]\nruntime = none\n"
    )
    return CliRunner().invoke(cli.commands, [*command, "--config", str(config)])


@pytest.mark.parametrize("command", [("dispatcher",), ("web", "odd:service"), ("serve", "x:y")])
def test_no_server_starts_as_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(account, "is_root", lambda: True)
    answer = invoke(tmp_path, *command)
    assert answer.exit_code == 1
    assert "this is root, and so would be every process" in answer.output
    assert "runuser -u ACCOUNT" in answer.output  # the way out
    assert "Traceback" not in answer.output


def test_root_may_look_at_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "is_root", lambda: True)
    assert invoke(tmp_path, "jobs").exit_code == 0


def test_a_batch_system_gets_no_jobs_of_root(tmp_path: Path) -> None:
    answer = invoke(tmp_path, "jobs", scheduler="slurm", allow_root="yes")
    assert answer.exit_code == 1
    assert "[hpc] allow_root: is for scheduler = local only" in answer.output


def test_a_service_of_another_server_is_not_wrapped_as_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "is_root", lambda: True)
    own = settings.Settings(spool=tmp_path)
    with pytest.raises(settings.SettingsError, match="this is root"):
        host.refuse_root(own)
    host.refuse_root(settings.Settings(spool=tmp_path, allow_root=True))
    monkeypatch.setattr(account, "is_root", lambda: False)
    host.refuse_root(own)
