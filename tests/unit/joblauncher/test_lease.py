"""A launcher whose job is no longer its own leaves nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from joblauncher import lease
from joblauncher.ending import Ending
from joblauncher.publisher import Publisher
from joblauncher.sequence import Steps, launch, make_folders
from joblauncher.shared import dump, exits, outcome, status_xml
from joblauncher.shared.files import atomic_write
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.status_xml import Status
from places import ROOT
from pywps_hpc.spool import Spool

WPS = status_xml.WPS
DOCUMENT = f'<wps:ExecuteResponse xmlns:wps="{WPS}"><wps:Status/></wps:ExecuteResponse>'.encode()


def status(state: str, message: str = "") -> bytes:
    return status_xml.replace(DOCUMENT, Status(state, 10, message))


@pytest.fixture
def job(tmp_path: Path) -> JobDir:
    folder = tmp_path / "11111111-2222-4333-8444-555555555555"
    folder.mkdir()
    made = JobDir(folder)
    for path in (made.work, made.temporary, made.storage):
        path.mkdir()
    atomic_write(made.status, status("accepted"))
    return made


def facts(attempt: int, **more: str) -> outcome.Report:
    return outcome.Report(job="", process="counts", attempt=attempt, **more)  # type: ignore[arg-type]


def work_on(job: JobDir, message: str) -> None:
    """A launcher tells that its process is at work."""
    Publisher(job).progress(status("started", message), Status("started", 10, message))


#: All that a launcher may have to tell, once its process runs.
WORDS: dict[str, Callable[[Publisher], object]] = {
    "begin": Publisher.begin,
    "progress": lambda one: one.progress(status("started"), Status("started", 20, "")),
    "succeed": lambda one: one.succeed(status("succeeded"), "", [], lambda document: None),
    "fail": lambda one: one.fail(status("failed"), "no outlet"),
    "answered": lambda one: one.answered(200, []),
    "refuse": lambda one: one.refuse("no dump"),
    "conclude": lambda one: one.conclude(Ending(3, None)),
}


@pytest.mark.parametrize("has_other_nodes", [False, True])
def test_of_a_job_of_several_nodes_the_first_does_not_tell_what_all_used(
    job: JobDir, *, has_other_nodes: bool
) -> None:
    header = dump.Header(job=job.job_id, process="counts", **dump.versions())
    packed = dump.pack(header, None)
    atomic_write(job.dump, packed)
    used = {"cpu_seconds": 2.0, "peak_memory_mib": 50.0, "elapsed_seconds": 3.0}
    if has_other_nodes:
        job.ranks.mkdir()

    def run(*_: object) -> Steps[Ending]:
        yield "its process works"
        if has_other_nodes:
            job.ranks.rmdir()  # it may do so
        return Ending(3, None, usage=used)

    list(launch(job, dump.digest(packed), run, allow_root=True))
    report = outcome.read(job)
    assert report is not None
    assert report.usage == ({"elapsed_seconds": 3.0} if has_other_nodes else used)


@pytest.mark.parametrize("mode", [0, 0o300, 0o500])
@pytest.mark.parametrize("message", WORDS)
def test_a_launcher_is_heard_whatever_rights_its_process_took_it(
    open_folder: Path, message: str, mode: int
) -> None:
    """As the job's account: root needs no rights."""
    nobody = 65534
    job = JobDir(open_folder / "11111111-2222-4333-8444-555555555555", attempt=1)
    job.path.mkdir()
    atomic_write(job.status, status("accepted"))
    facts(0, state="started").write(job)
    is_root = os.geteuid() == 0
    if is_root:
        for path in (job.path, *job.path.iterdir()):
            os.chown(path, nobody, nobody)
        os.seteuid(nobody)
    try:
        publisher = Publisher(job)
        lease.take(job)
        job.path.chmod(mode)
        WORDS[message](publisher)
    finally:
        if is_root:
            os.seteuid(0)
    told = outcome.read(job)
    assert told is not None
    assert told.attempt == 1


def test_a_launcher_writes_while_nobody_began_later(job: JobDir) -> None:
    second = JobDir(job.path, attempt=1)
    job.lease(0).touch()
    work_on(job, "first")
    second.lease(1).touch()
    with pytest.raises(lease.Superseded, match="attempt 1 of the job has begun"):
        work_on(job, "late")
    work_on(second, "second")
    assert status_xml.parse(job.status.read_bytes()).message == "second"
    found = outcome.read(job)
    assert found is not None
    assert found.attempt == 1


def test_a_job_that_the_dispatcher_ended_stays_so_whatever_its_process_makes_of_the_document(
    job: JobDir,
) -> None:
    job.lease(0).touch()
    facts(0, state="failed", cause="dispatcher").write(job)
    job.status.unlink()
    job.status.mkdir()
    with pytest.raises(lease.Superseded, match="already ended"):
        work_on(job, "late")
    found = outcome.read(job)
    assert found is not None
    assert found.state == "failed"


@pytest.mark.parametrize(("attempt", "cause"), [(1, "process"), (0, "dispatcher")])
@pytest.mark.parametrize("state", ["failed", "succeeded"])
def test_a_document_that_another_one_closed_stays(
    job: JobDir, attempt: int, cause: str, state: str
) -> None:
    job.lease(0).touch()
    closed = status(state, "closed")
    atomic_write(job.status, closed)
    facts(attempt, state=state, cause=cause).write(job)
    with pytest.raises(lease.Superseded, match="already ended"):
        work_on(job, "late")
    assert job.status.read_bytes() == closed


def test_a_launcher_may_say_more_about_its_own_end(job: JobDir) -> None:
    job.lease(0).touch()
    atomic_write(job.status, status("failed", "no outlet"))
    facts(0, state="failed", cause="process").write(job)
    lease.check(job)


def test_a_provisional_word_of_an_earlier_start_does_not_stop_the_next(job: JobDir) -> None:
    job.lease(0).touch()
    atomic_write(job.status, status("started", "stopped by the batch system (SIGTERM)"))
    facts(0, state="failed", cause="stopped").write(job)
    lease.check(JobDir(job.path, attempt=1))


def test_a_folder_that_is_gone_stops_nobody(job: JobDir) -> None:
    lease.check(JobDir(job.path.parent / "elsewhere"))


def test_each_attempt_works_in_folders_of_its_own(job: JobDir) -> None:
    (job.work / "half.txt").touch()
    (job.storage / "half.txt").touch()
    second = JobDir(job.path, attempt=1)
    make_folders(second)
    assert second.work != job.work
    assert second.temporary != job.temporary
    assert not job.work.exists()
    assert [*second.work.iterdir(), *second.temporary.iterdir(), *second.storage.iterdir()] == []
    assert {*second.scratch()} >= {second.work, second.temporary, job.temporary}


def test_a_launcher_that_comes_too_late_does_nothing(job: JobDir) -> None:
    job.lease(0).touch()
    job.lease(1).touch()
    before = {path: path.stat().st_mtime_ns for path in job.path.rglob("*")}
    ended = subprocess.run(
        [sys.executable, "-m", "joblauncher", "--digest", "0" * 64, str(job.path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
    )
    assert ended.returncode == exits.NOT_MINE
    assert "attempt 1 of the job has begun" in ended.stderr
    assert {path: path.stat().st_mtime_ns for path in job.path.rglob("*")} == before


@pytest.mark.parametrize("word", WORDS)
def test_a_launcher_writes_nothing_that_another_one_s_word_overtakes(
    job: JobDir, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """The lease is checked when all is on disk: an end that comes meanwhile is not lost."""
    mine = replace(job, attempt=1)
    mine.lease(1).touch()
    publisher, fsync = Publisher(mine), os.fsync
    closed, report = status("failed", "the node failed"), facts(1, state="failed")
    report.cause = "dispatcher"
    before = {path.name for path in job.path.iterdir()}

    def meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        atomic_write(job.status, closed)
        report.write(job)

    monkeypatch.setattr(os, "fsync", meanwhile)
    if word == "conclude":  # it reads what there is first
        meanwhile(0)
    with pytest.raises(lease.Superseded):
        WORDS[word](publisher)
    assert job.status.read_bytes() == closed
    assert outcome.read(job) == report
    assert {path.name for path in job.path.iterdir()} == before | {job.report.name}


def test_nothing_of_any_attempt_is_left_at_the_end(job: JobDir) -> None:
    make_folders(JobDir(job.path, attempt=1))
    (job.path / ".status.xml.x1y2").touch()  # its writer was killed
    Spool(job.path.parent).delete_work(job.job_id)
    assert {path.name for path in job.path.iterdir()} == {"status.xml", "outputs"}


def start(job: JobDir) -> Steps[int]:
    """A launcher whose process tells that it is at work, and then works on."""
    header = dump.Header(job=job.job_id, process="counts", **dump.versions())
    packed = dump.pack(header, None)
    atomic_write(job.dump, packed)

    def run(publisher: Publisher, *_: object) -> Steps[Ending]:
        yield "its process works"
        publisher.progress(status("started", "at work"), Status("started", 20, "at work"))
        yield "it goes on"
        return Ending(0, None)

    return launch(job, dump.digest(packed), run, allow_root=True)


def rest(steps: Steps[int]) -> tuple[list[str], int]:
    """What a launcher does from here on, and its exit code."""
    done: list[str] = []
    while True:
        try:
            done.append(next(steps))
        except StopIteration as end:
            return done, end.value


def close(job: JobDir) -> None:
    """The dispatcher ends the job, and removes what it no longer needs."""
    atomic_write(job.status, status("failed", "the node failed"))
    facts(job.attempt, state="failed", cause="dispatcher").write(job)
    assert Spool(job.path.parent).delete_work(job.job_id) == []


def test_an_attempt_that_counts_no_longer_leaves_no_folders(job: JobDir) -> None:
    steps = start(job)
    assert [next(steps) for _ in range(3)] == ["launch.1", "launch.2", "its process works"]
    assert job.work.exists()
    job.lease(1).touch()
    assert rest(steps) == ([], exits.NOT_MINE)
    assert not job.work.exists()
    assert not job.temporary.exists()
    assert job.storage.exists()


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_launcher_whose_job_ends_before_its_folders_are_made_runs_nothing_and_leaves_none(
    job: JobDir, attempt: int
) -> None:
    mine = replace(job, attempt=attempt)
    steps = start(mine)
    assert next(steps) == "launch.1"
    close(mine)
    assert rest(steps) == ([], exits.NOT_MINE)
    assert not Spool(job.path.parent).has_work(job.job_id)


def test_a_second_launcher_of_an_attempt_takes_nothing_from_the_first(job: JobDir) -> None:
    """Both may be process 2 of their containers on one host."""
    first = start(job)
    assert [next(first) for _ in range(3)] == ["launch.1", "launch.2", "its process works"]
    (job.work / "half.txt").touch()
    (job.temporary / "half.txt").touch()
    assert rest(start(job)) == ([], exits.NOT_MINE)
    assert (job.work / "half.txt").exists()
    assert (job.temporary / "half.txt").exists()
    assert next(first) == "it goes on"


@pytest.mark.parametrize("mode", [0, 0o300, 0o500])
def test_a_folder_whose_process_took_its_rights_is_made_usable(job: JobDir, mode: int) -> None:
    job.lease(0).touch()
    job.path.chmod(mode)
    Publisher(job).succeed(status("succeeded", "done"), "done", [], lambda document: None)
    assert job.path.stat().st_mode & 0o777 == 0o700
