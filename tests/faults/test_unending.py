"""Whatever a process leaves in its folder: its job ends, and its client is told how."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dispatcher_harness import GRACE, DispatcherHarness
from fake_scheduler import DONE
from joblauncher.shared import outcome, status_xml
from joblauncher.shared.files import staged
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.jobs import ControlRequest, Job, Limit, State, new_id
from pywps_hpc.jobs.look import look
from pywps_hpc.timing import TIMING
from pywps_hpc.web.wps1 import status

KILLED = JobStatus(Phase.FINISHED, Outcome.SIGNALLED, signal=9)
CANCELLED = JobStatus(Phase.FINISHED, Outcome.CANCELLED)


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    return DispatcherHarness(tmp_path)


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    (path / "deep/deeper").mkdir(parents=True)
    (path / "deep/file").touch()
    (path / "deep").chmod(0)


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def _loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def _huge(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, 1 << 40)


def _listening(path: Path) -> None:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def _noise(path: Path) -> None:
    path.write_bytes(b"\xff<x>" * 1000)


THINGS: tuple[Callable[[Path], None], ...] = (
    *(_folder, _pipe, _device, _loop, _huge, _listening, _noise, Path.unlink),
)
FILES: tuple[Callable[[JobDir], Path], ...] = (
    lambda job: job.status,
    lambda job: job.report,
)


def told(harness: DispatcherHarness, job: Job) -> status_xml.Status:
    """What its client reads."""
    folder = harness.folder(job)
    view = look(harness.row(job), folder, scheduler="slurm")
    return status_xml.parse(status.status_document(view, folder))


def spoil(path: Path, thing: Callable[[Path], None]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    thing(path)


def end(harness: DispatcherHarness, job: Job, how: JobStatus = KILLED) -> None:
    harness.scheduler.say(job.native_id, how)
    for _ in range(3):
        harness.cycle(later=10)


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.__name__)
@pytest.mark.parametrize("which", FILES, ids=["status", "outcome"])
def test_whatever_stands_in_place_of_a_file_the_job_ends_and_its_client_is_told(
    harness: DispatcherHarness,
    caplog: pytest.LogCaptureFixture,
    thing: Callable[[Path], None],
    which: Callable[[JobDir], Path],
) -> None:
    job = harness.running()
    spoil(which(harness.folder(job)), thing)
    assert told(harness, job).state == "started"
    one = [Limit(1, "this service")]
    assert harness.store.reached(one) == one[0]
    end(harness, job)
    assert harness.row(job).state is State.FAILED
    assert harness.store.reached(one) is None  # its place is free again
    words = "killed by signal 9 (SIGKILL: killed)"
    assert told(harness, job) == harness.status(job) == status_xml.Status("failed", 100, words)
    assert harness.report(job).state == "failed"
    names = {path.name for path in harness.folder(job).path.iterdir()}
    assert names == {"job.sh", "outcome.json", "outputs", "status.xml"}
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("mode", [0, 0o300, 0o400, 0o500, 0o100])
@pytest.mark.parametrize("how", ["killed", "cancelled", "restarted"])
def test_a_folder_without_rights_is_made_usable_again(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, mode: int, how: str
) -> None:
    """By its mode, since rights do not bind root, who runs some tests."""
    job = harness.running()
    folder = harness.folder(job).path
    (folder / "work").chmod(mode)
    folder.chmod(mode)
    if how == "cancelled":
        harness.store.request(job.id, ControlRequest.DISMISS)
    if how == "restarted":
        harness.restart()
    end(harness, job, CANCELLED if how == "cancelled" else KILLED)
    assert harness.row(job).state is (State.DISMISSED if how == "cancelled" else State.FAILED)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert told(harness, job) == harness.status(job)
    assert not harness.folder(job).work.exists()


@pytest.mark.parametrize("thing", [*THINGS[:-1], shutil.rmtree], ids=lambda one: one.__name__)
def test_a_folder_that_was_put_out_of_the_way_ends_its_job_too(
    harness: DispatcherHarness, thing: Callable[[Path], None]
) -> None:
    job = harness.running()
    folder = harness.folder(job).path
    if thing is shutil.rmtree:
        shutil.rmtree(folder)
    else:
        folder.rename(harness.root / "elsewhere")
        thing(folder)
    assert told(harness, job).state == "started"
    end(harness, job, DONE)
    harness.cycle(later=GRACE)
    assert harness.row(job).state is State.FAILED
    assert told(harness, job).message == harness.row(job).message != ""


def test_what_cannot_be_written_ends_the_job_and_its_row_tells_how(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job, other = harness.running(), harness.running()
    folder = harness.folder(job)

    def refuse(files: Mapping[Path, bytes]) -> AbstractContextManager[Callable[[Path], None]]:
        for path in files:
            if folder.path in path.parents:
                raise PermissionError(1, "Operation not permitted", str(path))
        return staged(files)

    monkeypatch.setattr("pywps_hpc.dispatch.finish.staged", refuse)
    for one in (job, other):
        harness.scheduler.say(one.native_id, KILLED)
    for _ in range(4):
        harness.cycle(later=10)
    assert [harness.row(one).state for one in (job, other)] == [State.FAILED] * 2
    assert harness.status(job).state == "started"
    assert told(harness, job).message == "killed by signal 9 (SIGKILL: killed)"
    said = [r for r in caplog.records if r.levelno >= logging.WARNING and job.id in r.getMessage()]
    assert len(said) == 1
    assert said[0].exc_info is None


def test_a_storage_in_trouble_is_waited_for_but_not_for_ever(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = harness.running()

    def full(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pywps_hpc.dispatch.finish.staged", full)
    end(harness, job)
    for _ in range(20):
        harness.cycle(later=1)
    assert harness.row(job).state is State.RUNNING
    for _ in range(int(TIMING.storage_patience / 30)):
        harness.cycle(later=30)
    assert harness.row(job).state is State.FAILED
    assert told(harness, job).message == "killed by signal 9 (SIGKILL: killed)"
    assert sum("cannot be handled now" in r.getMessage() for r in caplog.records) == 1


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("dismissed", [False, True])
def test_a_job_without_a_document_is_told_from_its_row(
    tmp_path: Path, state: State, dismissed: bool
) -> None:
    about = status.About("Title <&>", "http://host/wps", "http://host/status/x")
    request = ControlRequest.DISMISS if dismissed else ControlRequest.NONE
    row = Job("i", "n", "p&p", "d", state=state, control=request, message="the reason")
    folder = JobDir(tmp_path / "none")
    document = status.status_document(look(row, folder, scheduler="slurm"), folder, about)
    told = status_xml.parse(document)
    over = row.is_dismissed or state.value in ("succeeded", "failed", "dismissed")
    assert (told.state == "failed") is over
    assert b"Title &lt;&amp;&gt;" in document
    assert b'statusLocation="http://host/status/x"' in document
    if row.is_dismissed and state is not State.DISMISSED:
        assert told.message.startswith("dismissed")


def test_a_heap_of_left_overs_does_not_hold_up_the_loop(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removal takes its time aside; a restart goes on with it."""
    jobs = [harness.running() for _ in range(2)]
    delete = harness.spool.delete_work
    begun: list[str] = []

    def slow(job_id: str, **more: bool) -> list[OSError]:
        begun.append(job_id)
        time.sleep(60)
        return []

    monkeypatch.setattr(harness.spool, "delete_work", slow)
    for job in jobs:
        harness.succeed_in_queue(job)
    before = time.monotonic()
    for _ in range(5):
        harness.turn()
    assert time.monotonic() - before < 30
    assert [harness.row(job).state for job in jobs] == [State.SUCCEEDED] * 2
    assert len(begun) == 1, "one at a time, and not once more in each turn"
    assert all(harness.folder(job).work.exists() for job in jobs)
    monkeypatch.setattr(harness.spool, "delete_work", delete)
    harness.restart()  # the thread of the one before is as good as dead
    harness.cycle()
    assert not any(harness.folder(job).work.exists() for job in jobs)
    assert list(harness.spool.discarded_work()) == []


def test_left_overs_of_another_account_are_named_once(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = harness.running()

    def refuse(path: Path) -> None:
        if path.name == "work":
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pywps_hpc.spool.remove_tree", refuse)
    harness.succeed_in_queue(job)
    for _ in range(3):
        harness.cycle(later=100)
    assert sum("cannot be removed" in r.getMessage() for r in caplog.records) == 1
    assert outcome.read(harness.folder(job)) is not None


def test_left_overs_that_nobody_can_remove_do_not_make_work_for_ever(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = harness.running()
    harness.succeed_in_queue(job)
    harness.cycle()
    tried: list[str] = []

    def refuse(job_id: str) -> None:
        tried.append(job_id)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(harness.spool, "delete_discarded", refuse)
    harness.spool.discard(job.id)
    for _ in range(5):
        harness.cycle(later=100)
    assert tried == [job.id]
    assert sum("cannot be removed" in r.getMessage() for r in caplog.records) == 1
    harness.restart()
    harness.cycle()
    assert tried == [job.id] * 2, "another program tries again"


def at_work(folder: JobDir) -> list[Path]:
    """What a launcher and its process make in a job's folder; made long ago."""
    made = [folder.work, folder.temporary, folder.path / "work.1", folder.storage]
    for path in made:
        path.mkdir(exist_ok=True)
        (path / "half.nc").touch()
    os.utime(folder.path, (1000, 1000))
    return made


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("end", [State.SUCCEEDED, State.DISMISSED])
def test_what_is_left_after_the_end_by_a_process_that_goes_on_is_removed(
    harness: DispatcherHarness, end: State, restarted: bool
) -> None:
    """Its launcher, on a node that was lost or before the end reached it, made them once more, or
    filled them while they were removed, and was killed."""
    job, running = harness.running(), harness.running()
    if end is State.DISMISSED:
        assert harness.store.request(job.id, ControlRequest.DISMISS)
        harness.cycle()
        harness.scheduler.say(job.native_id, CANCELLED)
    else:
        harness.succeed_in_queue(job)
    harness.cycle()
    assert harness.row(job).state is end
    assert not harness.folder(job).work.exists()
    work, temporary, later, outputs = at_work(harness.folder(job))
    kept = at_work(harness.folder(running))
    if restarted:
        harness.restart()
    harness.cycle(later=TIMING.left_over_age)
    harness.cycle()
    assert not any(path.exists() for path in (work, temporary, later))
    assert outputs.exists() is (end is State.SUCCEEDED)
    assert all((path / "half.nc").exists() for path in kept)
    assert list(harness.spool.discarded_work()) == []


def test_a_running_job_s_folder_without_rights_does_not_stop_the_sweep(
    harness: DispatcherHarness,
) -> None:
    job, orphan = harness.running(), harness.spool.create(new_id())
    for folder in (harness.folder(job).path, orphan.path):
        os.utime(folder, (1000, 1000))
    harness.folder(job).path.chmod(0)
    harness.restart()
    harness.cycle()
    assert not orphan.path.exists()
    assert harness.folder(job).path.exists()
