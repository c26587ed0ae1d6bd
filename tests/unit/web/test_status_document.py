"""What a client is shown where the job's row knows more than the job's document."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from joblauncher.shared import status_xml
from joblauncher.shared.files import atomic_write
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.outcome import Report
from pywps_hpc.jobs import Job, State
from pywps_hpc.jobs.look import look
from pywps_hpc.web.wps1.status import status_document

DOCUMENT = (
    f'<wps:ExecuteResponse xmlns:wps="{status_xml.WPS}"><wps:Status/></wps:ExecuteResponse>'
).encode()
LOST = "lost: the batch system no longer knows the job"


@pytest.fixture
def folder(tmp_path: Path) -> JobDir:
    return JobDir(tmp_path)


def shown(folder: JobDir, says: status_xml.Status, **row: object) -> status_xml.Status:
    """What a client reads of a job whose launcher, in its second start, left this."""
    atomic_write(folder.status, status_xml.replace(DOCUMENT, says))
    cause = "process" if says.state == "failed" else ""
    Report("id", "counts", says.state, says.percent, says.message, cause, attempt=1).write(folder)
    facts = {"native_id": "7"} | row
    job = Job("id", "w1", "counts", "d", **facts)  # type: ignore[arg-type]
    return status_xml.parse(status_document(look(job, folder, scheduler="slurm"), folder))


@pytest.mark.parametrize("state", [State.FAILED, State.DISMISSED])
@pytest.mark.parametrize("says", ["accepted", "started", "succeeded"])
def test_a_verdict_stands_whatever_a_launcher_wrote_last(
    folder: JobDir, state: State, says: str
) -> None:
    late = status_xml.Status(says, 40, "60 of 100 left")
    assert shown(folder, late, state=state, message=LOST) == status_xml.Status("failed", 100, LOST)


def test_a_failure_keeps_its_own_words(folder: JobDir) -> None:
    own = status_xml.Status("failed", 100, "The catchment has no outlet.")
    assert shown(folder, own, state=State.FAILED, message="other") == own


def test_a_job_that_waits_for_another_start_is_not_shown_as_started(folder: JobDir) -> None:
    says = status_xml.Status("started", 40, "stopped by the batch system (SIGTERM)")
    found = shown(folder, says, state=State.QUEUED, started=900.0, attempt=2)
    assert found.state == "accepted"
    assert found.message == "The batch system starts it again; waiting as slurm job 7 (w1)"


def test_a_job_that_has_started_again_is_shown_at_once(folder: JobDir) -> None:
    says = status_xml.Status("started", 40, "60 of 100 left")
    assert shown(folder, says, state=State.QUEUED, started=900.0, attempt=1) == says
    assert shown(folder, says, state=State.QUEUED) == says


def test_who_waits_reads_why_the_batch_system_does_not_take_the_job(folder: JobDir) -> None:
    reason = "waits: Slurm does not accept the job for now: Partition in DOWN state"
    says = status_xml.Status("accepted", 0, "PyWPS Process counts accepted")
    told = shown(folder, says, state=State.ACCEPTED, native_id="", message=reason)
    assert told.state == "accepted"
    assert told.message.endswith(f"; {reason}")


@pytest.mark.parametrize("clock", [0, 1 << 33])
@pytest.mark.parametrize("state", ["accepted", "started", "failed"])
def test_no_file_and_no_clock_decides_what_a_client_is_told(
    folder: JobDir, state: str, clock: int
) -> None:
    """Times of files are another host's, and a copy or a restored backup has its own."""
    says = status_xml.Status(state, 40, "60 of 100 left")
    expected = [
        shown(folder, says, state=State.QUEUED, started=900.0, attempt=attempt)
        for attempt in (1, 2)
    ]
    for attempt, before in enumerate(expected, 1):
        row = Job("id", "w1", "counts", "d", state=State.QUEUED, native_id="7")
        row = replace(row, started=900.0, attempt=attempt, changed=1000.0)
        for file in (folder.status, folder.report):
            os.utime(file, (clock, clock))
        document = status_document(look(row, folder, scheduler="slurm"), folder)
        assert status_xml.parse(document) == before


def test_the_launchers_document_is_given_as_it_is_where_it_says_what_is_true(
    folder: JobDir,
) -> None:
    for says, state in (
        (status_xml.Status("started", 40, "60 of 100 left"), State.RUNNING),
        (status_xml.Status("succeeded", 100, "done"), State.SUCCEEDED),
        (status_xml.Status("failed", 100, "no outlet"), State.FAILED),
    ):
        assert shown(folder, says, state=state) == says
        row = Job("id", "w1", "counts", "d", state=state)
        document = status_document(look(row, folder, scheduler="slurm"), folder)
        assert document == folder.status.read_bytes()


def test_a_job_that_was_cut_short_keeps_the_progress_that_its_document_has(
    folder: JobDir,
) -> None:
    says = status_xml.Status("started", 40, "stopped (SIGTERM); the reason is being looked up")
    shown(folder, says, state=State.RUNNING)
    Report("id", "counts", "failed", 100, "stopped (SIGTERM)", "stopped").write(folder)
    row = Job("id", "w1", "counts", "d", state=State.RUNNING)
    document = status_document(look(row, folder, scheduler="slurm"), folder)
    assert document == folder.status.read_bytes()
    assert status_xml.parse(document) == says


def test_a_document_never_says_less_than_the_report(folder: JobDir) -> None:
    """Both are written one after the other: who reads in between is not told of two truths."""
    shown(folder, status_xml.Status("started", 40, "60 of 100 left"), state=State.RUNNING)
    Report("id", "counts", "started", 50, "50 of 100 left", attempt=1).write(folder)
    row = Job("id", "w1", "counts", "d", state=State.RUNNING)
    told = status_xml.parse(status_document(look(row, folder, scheduler="slurm"), folder))
    assert told == status_xml.Status("started", 50, "50 of 100 left")


def test_a_storage_in_trouble_is_not_taken_for_a_job_that_has_not_begun(
    folder: JobDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Job("id", "w1", "counts", "d", state=State.QUEUED)

    def fails(*_: object) -> bytes:
        raise OSError(errno.ESTALE, "Stale file handle")

    assert look(row, folder, scheduler="slurm").percent == 0  # there is no report
    monkeypatch.setattr("joblauncher.shared.outcome.read_plain", fails)
    with pytest.raises(OSError, match="Stale"):
        look(row, folder, scheduler="slurm")
