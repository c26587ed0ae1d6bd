"""The job that tries a node out leaves nothing, however the check ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from check_site import CheckSite, bad
from dispatcher_harness import DispatcherHarness
from joblauncher import probe
from joblauncher.shared import account, dump, exits
from joblauncher.shared.files import atomic_write
from joblauncher.shared.probing import FOUND, HELLO, SEEN, Order, report_of
from places import SERVICES
from pywps_hpc.jobs import new_id
from pywps_hpc.spool import Spool
from pywps_hpc.timing import TIMING
from servers import wait_for


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckSite:
    monkeypatch.setattr(account, "is_root", lambda: False)
    return CheckSite(tmp_path, "slurm")


def spooled(site: CheckSite) -> list[Path]:
    return [path for path in (site.folder / "spool").iterdir() if not path.name.startswith(".")]


def _is_of(process: psutil.Process, folder: Path) -> bool:
    """Whether a job's supervisor works there still."""
    return any(str(folder) in word for word in process.info["cmdline"] or [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_check_that_is_ended_takes_its_job_back(tmp_path: Path, number: int) -> None:
    site = CheckSite(tmp_path)
    site.configure(**{"hpc.container": {"python": tmp_path / "python"}})
    (tmp_path / "python").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "python").chmod(0o755)
    line = [sys.executable, "-m", "pywps_hpc", "check", "--config", str(site.config)]
    check = subprocess.Popen(
        line, cwd=SERVICES, env=os.environ | {"ODD_WORD": "x"}, stdout=subprocess.PIPE
    )
    wait_for(lambda: any((path / "job.log").exists() for path in spooled(site)), "the job runs")
    check.send_signal(number)
    check.communicate(timeout=60)
    assert check.returncode == 3
    assert list((tmp_path / "spool").iterdir()) == []
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if _is_of(process, tmp_path)
    ]


def test_a_job_that_waits_is_told_and_taken_back(site: CheckSite) -> None:
    squeue = site.commands / "squeue"
    squeue.write_text(squeue.read_text().replace("${STATE:-RUNNING}|None", "PENDING|Resources"))
    (site.commands / "run").write_text("#!/bin/sh\nexec sleep 30\n")
    site.command("scancel", f"#!/bin/sh\necho 143 > {site.commands}/ended.$1\n")
    [finding] = bad(site.check(application="", wait=2.0))
    assert finding.level.name == "WARNING"
    assert "has waited for 2 s: PENDING (Resources)" in finding.what
    assert "longer --wait" in finding.remedy
    assert list(site.commands.glob("ended.*"))
    assert spooled(site) == []


def test_what_a_killed_check_left_the_dispatcher_removes(tmp_path: Path) -> None:
    harness = DispatcherHarness(tmp_path)
    job_id = new_id()
    left = harness.spool.create(job_id)
    atomic_write(left.dump, Order(job_id).content())
    atomic_write(left.script, b"#!/bin/sh\n")
    old = 2 * TIMING.left_over_age
    os.utime(left.path, (left.path.stat().st_mtime - old,) * 2)

    def is_gone() -> bool:
        harness.cycle(later=TIMING.left_over_age)
        return not left.path.exists()

    wait_for(is_gone, "its folder is removed", 60)


def test_an_order_that_is_not_the_one_of_the_script_is_refused(tmp_path: Path) -> None:
    job_id = new_id()
    tmp_path.chmod(0o700)
    folder = Spool(tmp_path).create(job_id)
    atomic_write(folder.dump, Order(job_id, ("os",)).content())
    assert probe.run(folder, "0" * 64, allow_root=True) == exits.REFUSED
    assert not (folder.path / FOUND).exists()


def test_a_probe_reports_what_it_looked_at(tmp_path: Path) -> None:
    job_id = new_id()
    folder = Spool(tmp_path).create(job_id)
    order = Order(job_id, ("json", "no_such_module"), ("/", "/nowhere"), patience=5.0)
    atomic_write(folder.dump, order.content())
    (folder.path / SEEN).touch()
    assert probe.run(folder, dump.digest(order.content()), allow_root=True) == exits.OK
    report = report_of((folder.path / FOUND).read_bytes())
    assert (folder.path / HELLO).exists()
    assert report.failures.keys() == {"no_such_module"}
    assert report.missing == {"/nowhere": "No such file or directory"}
    assert (report.account, report.mode, report.trouble) == (os.geteuid(), 0o700, "")
    assert report.round_trip is not None
    assert report.versions["python"]
