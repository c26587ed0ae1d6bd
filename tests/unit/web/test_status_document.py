"""What a client is shown where the job's row knows more than the job's document."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from joblauncher.shared import status_xml
from joblauncher.shared.files import atomic_write
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.jobs import Job, State
from pywps_hpc.web.wps1.status import status_document

DOCUMENT = (
    f'<wps:ExecuteResponse xmlns:wps="{status_xml.WPS}"><wps:Status/></wps:ExecuteResponse>'
).encode()
LOST = "lost: the batch system no longer knows the job"


@pytest.fixture
def folder(tmp_path: Path) -> JobDir:
    return JobDir(tmp_path)


def shown(folder: JobDir, says: status_xml.Status, **row: object) -> status_xml.Status:
    atomic_write(folder.status, status_xml.replace(DOCUMENT, says))
    os.utime(folder.status, (1000, 1000))
    facts = {"native_id": "7"} | row
    job = Job("id", "w1", "counts", "d", **facts)  # type: ignore[arg-type]
    return status_xml.parse(status_document(job, folder, "slurm"))


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
    found = shown(folder, says, state=State.QUEUED, started=900.0, changed=1001.0)
    assert found.state == "accepted"
    assert found.message == "The batch system starts it again; waiting as slurm job 7 (w1)"


def test_a_job_that_has_started_again_is_shown_at_once(folder: JobDir) -> None:
    says = status_xml.Status("started", 40, "60 of 100 left")
    assert shown(folder, says, state=State.QUEUED, started=900.0, changed=999.0) == says
    assert shown(folder, says, state=State.QUEUED, changed=time.time()) == says


def test_who_waits_reads_why_the_batch_system_does_not_take_the_job(folder: JobDir) -> None:
    reason = "waits: Slurm takes no such job for now: Partition in DOWN state"
    says = status_xml.Status("accepted", 0, "PyWPS Process counts accepted")
    told = shown(folder, says, state=State.ACCEPTED, native_id="", message=reason)
    assert told.state == "accepted"
    assert told.message.endswith(f"; {reason}")
