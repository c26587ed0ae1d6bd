"""What docs/deploy/maintenance.md has an administrator do: upgrade, rotate logs, move the spool,
change from SQLite to PostgreSQL. Jobs of before are there afterwards, and new ones run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployed_site import DEPLOY, PREFIX, adapted, ended, execute, file_of, location, service

from environments import environment, wheel
from places import ROOT
from postgres import Postgres
from pywps_hpc import settings
from pywps_hpc.spool import Spool
from servers import HTTP, HpcServer, Server, wait_for

PAGE = (ROOT / "docs/deploy/maintenance.md").read_text("utf-8")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HpcServer]:
    """A service that runs, and is known at its own address."""
    (tmp_path / "service").mkdir()
    made = service(tmp_path / "service", "http://127.0.0.1")
    text = made.config.read_text().replace("//127.0.0.1/", f"//127.0.0.1:{made.port}/")
    made.config.write_text(text)
    with made:
        yield made


def sent(server: HpcServer) -> tuple[str, str]:
    """A job that has ended: its address, and that of its file."""
    address = location(execute(f"{server.base}{PREFIX}/wps"))
    return address, file_of(ended(address))


def is_there(address: str, file: str) -> bool:
    return b"ProcessSucceeded" in HTTP.get(address).content and HTTP.get(file).text == "144"


def change(server: HpcServer, key: str, value: str) -> None:
    text = server.config.read_text()
    text = re.sub(rf"^{key} = .*\n", "", text, flags=re.M)
    server.config.write_text(text.replace("[hpc]\n", f"[hpc]\n{key} = {value}\n"))
    server.settings = settings.load([server.config])
    server.spool = Spool(server.settings.spool)


def test_the_spool_moves(server: HpcServer, tmp_path: Path) -> None:
    before = sent(server)
    server.stop()
    old, new = server.settings.spool, tmp_path / "new"
    for written in ("rsync -aH /shared/pywps/spool/ /new/pywps/spool/", "mv /shared/pywps/spool "):
        assert written in PAGE
    copy = ["rsync", "-aH"] if Path("/usr/bin/rsync").exists() else ["cp", "-a", "-T"]
    subprocess.run([*copy, f"{old}/", f"{new}/"], check=True)
    old.rename(tmp_path / "old")
    change(server, "spool", str(new))
    server.start()
    assert is_there(*before)
    assert is_there(*sent(server))


def test_a_backup_that_was_made_at_work_is_put_back(server: HpcServer, tmp_path: Path) -> None:
    """In the page's order: the table, then the spool; and both of them back."""
    before = sent(server)
    assert "`pywps-hpc backup FILE`" in PAGE
    assert "`pywps-hpc restore FILE`" in PAGE
    made = server.cli("backup", str(tmp_path / "table"))
    assert made.returncode == 0, made.stderr
    spool = server.settings.spool
    copy, kept = ["rsync", "-aH", "--exclude=/trash", "--exclude=work"], tmp_path / "spool"
    subprocess.run([*copy, f"{spool}/", f"{kept}/"], check=True)
    later = sent(server)
    server.stop()
    spool.rename(tmp_path / "lost")
    subprocess.run([*copy, f"{kept}/", f"{spool}/"], check=True)
    # The table is in the spool here, and has not been copied as a file while it was used.
    for part in spool.glob("jobs.sqlite*"):
        part.unlink()
    put_back = server.cli("restore", str(tmp_path / "table"), "--yes")
    assert put_back.returncode == 0, put_back.stderr
    server.start()
    assert is_there(*before)
    assert HTTP.get(later[0]).status_code == 404
    assert is_there(*sent(server))


def test_a_maintenance_of_the_service_is_told_to_clients_and_ends(server: HpcServer) -> None:
    before = sent(server)
    (line,) = re.findall(r"^pywps-hpc (drain .*)$", PAGE, flags=re.M)
    words = shlex.split(line)
    assert server.cli(*words).returncode == 0
    server.restart()
    refused = execute(f"{server.base}{PREFIX}/wps")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "7200")
    assert words[words.index("--message") + 1] in refused.text
    assert is_there(*before)
    assert server.cli("undrain").returncode == 0
    assert is_there(*sent(server))


def test_the_job_table_goes_from_sqlite_to_postgresql(server: HpcServer) -> None:
    before = sent(server)
    server.stop()
    with Postgres() as database:
        assert "copy_job_table.py sqlite:///" in PAGE
        line = [sys.executable, str(DEPLOY / "postgresql/copy_job_table.py")]
        line += [server.settings.database_url, database.url]
        told = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        assert "hpc_jobs: 1\n" in told.stdout
        change(server, "database", database.url)
        server.start()
        assert is_there(*before)
        assert is_there(*sent(server))
        again = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        assert "there are jobs already" in again.stderr
        server.stop()


def test_logs_are_rotated_and_written_anew(server: HpcServer, tmp_path: Path) -> None:
    sent(server)
    logs = tmp_path / "logs"
    logs.mkdir()
    server.stop()
    text = server.config.read_text()
    text = text.replace("[logging]\n", f"[logging]\nfile = {logs}/pywps.log\n").replace(
        "level = INFO", "level = DEBUG"
    )
    server.config.write_text(text)
    server.start()
    sent(server)
    (top,) = (part.pid for part in server._roots())
    rules = adapted(
        DEPLOY / "logrotate/pywps-hpc",
        {
            "/var/log/pywps-hpc/": f"{logs}/",
            "su wps wps": "su root root",
            "systemctl reload pywps-hpc.service": f"kill -HUP {top}",
        },
    )
    (tmp_path / "rules").write_text(rules)
    (tmp_path / "rules").chmod(0o644)
    before = (logs / "pywps.log").read_text()
    assert before
    line = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(tmp_path / "rules")]
    told = subprocess.run(line, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert (logs / "pywps.log.1").read_text().startswith(before)

    def is_written_anew() -> bool:
        sent(server)
        return (logs / "pywps.log").exists() and bool((logs / "pywps.log").read_text())

    wait_for(is_written_anew, "the log is written anew")


def test_an_upgrade_loses_neither_a_job_that_runs_nor_one_that_waits(
    server: HpcServer, tmp_path: Path
) -> None:
    new = str(environment(tmp_path / "second", wheel(tmp_path / "wheel")))
    change(server, "slots", "1")
    server.restart()
    url = f"{server.base}{PREFIX}/wps"
    before = sent(server)
    runs, waits = (location(execute(url, seconds=seconds)) for seconds in (15, 0))
    wait_for(lambda: b"ProcessStarted" in HTTP.get(runs).content, "the first job runs")
    assert "/opt/pywps-hpc-2/bin/pip install" in PAGE
    Server.stop(server)  # jobs go on, as with KillMode=process
    assert server.job_processes()
    server.python = new
    server.start()
    assert any(new in part.cmdline() for part in server.processes())
    for address in (runs, waits):
        assert b"ProcessSucceeded" in ended(address)
    assert is_there(*before)
    assert is_there(*sent(server))
