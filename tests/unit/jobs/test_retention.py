"""Ended jobs go when their time is over, whoever is killed meanwhile; no other job ever does."""

from __future__ import annotations

import dataclasses
import email.utils
import os
import pwd
import shutil
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import wps_client as client
from dispatcher_harness import GRACE, DispatcherHarness
from fake_scheduler import RUNNING
from joblauncher.shared.files import size_of
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.cli import commands
from pywps_hpc.dispatch import clean
from pywps_hpc.dispatch.purge import Purger
from pywps_hpc.jobs import ACTIVE, TERMINAL, Job, JobStore, State, new_id, retention
from pywps_hpc.settings import Retention
from pywps_hpc.spool import TRASH, Spool
from pywps_hpc.timing import TIMING
from servers import HpcServer, wait_for, write_config
from wps_client import Output

DAY = 86400.0
NOW = 100 * DAY


def ended(days_ago: float, size: int | None = 10, state: State = State.SUCCEEDED) -> Job:
    finished = NOW - days_ago * DAY
    return Job(new_id(), "w", "p", "d", state=state, finished=finished, changed=NOW, size=size)


def chosen(jobs: list[Job], **kept: Any) -> list[int]:
    """Which of these go, by their places in the list."""
    total = sum(job.size or 0 for job in jobs)
    found = retention.choose(jobs, Retention(**kept), total=total, now=NOW)
    return [jobs.index(expired.job) for expired in found]


# What goes


def test_without_a_limit_everything_stays() -> None:
    assert chosen([ended(9999), ended(1)]) == []
    assert retention.expires(ended(9999), Retention()) is None


@pytest.mark.parametrize("state", sorted(TERMINAL, key=lambda state: state.value))
def test_a_job_goes_at_its_age_however_it_ended(state: State) -> None:
    jobs = [ended(8, state=state), ended(7, state=state), ended(6.999, state=state)]
    assert chosen(jobs, age=7 * DAY) == [0, 1]
    assert retention.expires(jobs[2], Retention(age=7 * DAY)) == pytest.approx(NOW + 0.001 * DAY)


@pytest.mark.parametrize("state", sorted(ACTIVE, key=lambda state: state.value))
def test_a_job_that_has_not_ended_never_goes(state: State) -> None:
    job = ended(9999, state=state)
    assert chosen([job], age=1.0, size=1) == []
    assert retention.expires(job, Retention(age=1.0)) is None
    assert not retention.is_expired(job, Retention(age=1.0), NOW)


def test_the_oldest_go_until_the_others_fit() -> None:
    jobs = [ended(4), ended(3), ended(2), ended(1)]
    assert chosen(jobs, size=40) == []
    assert chosen(jobs, size=39) == [0]
    assert chosen(jobs, size=20) == [0, 1]
    assert chosen(jobs, size=1) == [0, 1, 2, 3]


def test_what_goes_by_age_counts_for_the_size() -> None:
    jobs = [ended(9), ended(8), ended(2), ended(1)]
    assert chosen(jobs, age=7 * DAY, size=20) == [0, 1]
    assert chosen(jobs, age=7 * DAY, size=15) == [0, 1, 2]


def test_a_job_whose_end_is_not_recorded_counts_from_its_last_change() -> None:
    job = dataclasses.replace(ended(50), finished=0.0, changed=NOW - DAY)
    assert retention.expires(job, Retention(age=3 * DAY)) == NOW + 2 * DAY


# Files and rows


@pytest.fixture
def harness(tmp_path: Path, database: str) -> DispatcherHarness:
    return DispatcherHarness(tmp_path, database=database)


def finish(harness: DispatcherHarness, size: int = 1000, state: State = State.SUCCEEDED) -> Job:
    """A job that has ended now, with an output of this many bytes."""
    job = harness.accept()
    folder = harness.folder(job)
    folder.script.write_text("#!/bin/sh\n")
    folder.outputs.mkdir()
    (folder.outputs / "result.nc").write_bytes(b"x" * size)
    moved = harness.store.move(job, state, finished=harness.now)
    assert moved is not None
    return moved


def keep(harness: DispatcherHarness, **kept: Any) -> None:
    harness.settings = dataclasses.replace(harness.settings, retention=Retention(**kept))
    harness.restart()


def is_gone(harness: DispatcherHarness, job: Job) -> bool:
    return (
        harness.store.get(job.id) is None
        and not harness.folder(job).path.exists()
        and not (harness.spool.root / TRASH / job.id).exists()
    )


def test_the_dispatcher_removes_expired_jobs_and_nothing_else(harness: DispatcherHarness) -> None:
    keep(harness, age=7 * DAY)
    old = [finish(harness, state=state) for state in TERMINAL]
    running = harness.running()
    waiting = harness.accept(control=harness.row(running).control)
    harness.now += 6 * DAY
    young = finish(harness)
    harness.scheduler.say(harness.row(running).native_id, RUNNING)
    harness.cycle(later=DAY + 1)
    for job in old:
        wait_for(lambda job=job: is_gone(harness, job), "the job is gone")
    for job in (running, waiting, young):
        assert harness.store.get(job.id) is not None
        assert harness.folder(job).status.exists()
    assert (harness.folder(young).outputs / "result.nc").read_bytes() == b"x" * 1000


def test_the_dispatcher_keeps_the_jobs_below_their_size(harness: DispatcherHarness) -> None:
    jobs = []
    for _ in range(5):
        jobs.append(finish(harness, 100_000))
        harness.now += 1
    keep(harness, size=250_000)
    harness.cycle()
    for job in jobs[:3]:
        wait_for(lambda job=job: is_gone(harness, job), "the oldest are gone")
    assert {job.id for job in harness.store.recent()} == {job.id for job in jobs[3:]}
    measured = harness.store.ended_size()
    assert measured == sum(size_of(harness.folder(job).path) for job in jobs[3:])
    assert 200_000 < measured < 250_000


def test_a_folder_is_measured_once(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(harness, size=10**9)
    job = finish(harness, 5000)
    harness.cycle()
    size = harness.row(job).size
    assert size is not None
    assert size == size_of(harness.folder(job).path) > 5000
    walked = []
    monkeypatch.setattr(
        "pywps_hpc.dispatch.purge.size_of", lambda *given: walked.append(given) or 0
    )
    for _ in range(3):
        harness.cycle(later=TIMING.retention_look)
    assert walked == []


def test_a_large_heap_goes_in_rounds(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean, "ROUND", 3)
    keep(harness, age=10.0)
    jobs = [finish(harness) for _ in range(10)]
    harness.cycle(later=20)
    assert len(harness.store.recent()) == 7
    for _ in range(4):
        harness.cycle()
    assert harness.store.recent() == []
    wait_for(
        lambda: harness.cycle(later=10) == 0 and all(is_gone(harness, job) for job in jobs),
        "their files are gone",
    )


def test_a_job_cannot_say_that_it_ended_in_the_future_or_long_ago(
    harness: DispatcherHarness,
) -> None:
    for said in (harness.now + 1000 * DAY, 1.0):
        job = harness.running()
        harness.fail(job, "no", "process", finished=said)
        harness.scheduler.forget(job.native_id)
        harness.cycle()
        harness.cycle(later=GRACE)
        row = harness.row(job)
        assert row.state is State.FAILED
        assert job.created <= row.finished <= harness.now


def test_folders_that_a_process_made_read_only_go_too() -> None:
    """As a plain account: to root nothing is read-only."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
        os.chown(place, account, -1)
        pid = os.fork()
        if pid == 0:
            try:
                os.setuid(account)
                os._exit(_remove_read_only(Spool(Path(place))))
            except BaseException:
                traceback.print_exc()
                os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _remove_read_only(spool: Spool) -> int:
    """0 if a folder that cannot be changed was removed and nothing beside it."""
    job = spool.create(new_id())
    inner = job.work / "store.zarr" / "group"
    inner.mkdir(parents=True)
    (inner / "0.0").write_bytes(b"chunk")
    beside = spool.root / "beside"
    beside.mkdir(mode=0o500)
    (inner / "link").symlink_to(beside)
    inner.chmod(0o500)
    inner.parent.chmod(0o000)
    try:
        shutil.rmtree(job.work)
        return 1  # this account may do everything
    except PermissionError:
        spool.discard(job.job_id)
        spool.delete_discarded(job.job_id)
    left = {path.name for path in spool.root.rglob("*")}
    return 0 if left == {"beside", TRASH} and beside.stat().st_mode & 0o777 == 0o500 else 2


def test_a_spool_that_is_not_mounted_loses_no_row(
    harness: DispatcherHarness, tmp_path: Path
) -> None:
    keep(harness, age=1.0)
    job = finish(harness)
    real = harness.spool.root.rename(tmp_path / "elsewhere")
    harness.spool.root.mkdir()
    harness.cycle(later=100)
    assert harness.store.get(job.id) is not None
    harness.spool.root.rmdir()
    harness.cycle(later=100)
    assert harness.store.get(job.id) is not None
    real.rename(harness.spool.root)
    harness.cycle(later=100)
    wait_for(lambda: is_gone(harness, job), "it is gone")


def test_results_stay_when_the_table_is_lost(harness: DispatcherHarness) -> None:
    keep(harness, age=7 * DAY)
    job = finish(harness)
    with harness.store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM hpc_jobs")
    os.utime(harness.folder(job).path, (0, 0))
    harness.cycle(later=1000 * DAY)
    harness.cycle(later=1000 * DAY)
    assert (harness.folder(job).outputs / "result.nc").exists()


# Kill -9


class Killed(BaseException):
    """The purger is gone."""


def calls(monkeypatch: pytest.MonkeyPatch, *targets: tuple[type, str]) -> Callable[[int], None]:
    """Lets these calls through until the given one, which ends in a kill, before or after it."""
    left = [0]

    def wrap(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            result = real(*arguments, **named)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return result

        monkeypatch.setattr(owner, name, call)

    for owner, name in targets:
        wrap(owner, name)

    def arm(number: int) -> None:
        left[0] = number

    return arm


def test_a_purge_killed_at_any_point_is_completed_and_leaves_nothing(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the dispatcher, also of jobs that its own settings would have kept."""
    arm = calls(
        monkeypatch,
        *((type(harness.spool), "discard"), (type(harness.store), "remove")),
        *((type(harness.spool), "delete_discarded"), (Path, "rename"), (Path, "mkdir")),
    )
    killed = 0
    for number in range(1, 99):
        job, other = finish(harness), harness.accept()
        purger = Purger(harness.store, harness.spool)
        [expired] = [e for e in purger.due(Retention(age=1.0), harness.now + 10) if e.job == job]
        arm(number)
        try:
            purger.remove(expired)
            purger.empty()
        except Killed:
            killed += 1
        arm(0)
        whole = harness.folder(job).status.exists() and harness.store.get(job.id) is not None
        if not whole:
            begun = not harness.folder(job).path.exists()
            assert begun, "a row went before its folder"
            Purger(harness.store, harness.spool).empty()
            assert is_gone(harness, job)
        assert harness.store.get(other.id) is not None
        assert harness.folder(other).status.exists()
        if is_gone(harness, job) and killed < number:
            break
        with_row = harness.store.get(job.id)
        if with_row is not None:
            purger.remove(retention.Expired(with_row, "again"))
            purger.empty()
            assert is_gone(harness, job)
        harness.spool.remove(other.id)
    assert killed >= 8


def test_two_purgers_at_once_do_not_disturb_each_other(harness: DispatcherHarness) -> None:
    jobs = [finish(harness) for _ in range(20)]
    ready, errors = threading.Barrier(4), []

    def work() -> None:
        try:
            purger = Purger(harness.store, harness.spool)
            due = purger.due(Retention(age=1.0), harness.now + 10)
            ready.wait(120)
            for expired in due:
                purger.remove(expired)
            purger.empty()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert all(is_gone(harness, job) for job in jobs)


# The command


@pytest.fixture
def installation(tmp_path: Path) -> tuple[DispatcherHarness, Path]:
    """A harness whose jobs the command line finds."""
    harness = DispatcherHarness(tmp_path)
    sections = {"spool": harness.spool.root, "database": harness.settings.database}
    config = write_config(tmp_path / "config", "http://127.0.0.1:9/wps", hpc=sections)
    return harness, config


def run(config: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, ["purge", "--config", str(config), *arguments])
    return result.exit_code, result.output


def test_the_command_shows_what_would_go_and_then_does_it(
    installation: tuple[DispatcherHarness, Path],
) -> None:
    harness, config = installation
    harness.now -= 30 * DAY
    old = finish(harness, 3_000_000)
    harness.now += 29.5 * DAY
    young, active = finish(harness), harness.accept()
    code, output = run(config, "--older-than", "7d", "--dry-run")
    assert code == 0, output
    assert f"{old.id}: 2.9 MB" in output
    assert "1 jobs, 2.9 MB: would be removed" in output
    assert young.id not in output
    assert harness.folder(old).status.exists()
    assert harness.store.get(old.id) is not None
    code, output = run(config, "--older-than", "7d")
    assert (code, output.splitlines()[-1]) == (0, "1 jobs, 2.9 MB: removed")
    assert is_gone(harness, old)
    code, output = run(config, "--keep-size", "100")
    assert (code, young.id in output) == (0, True)
    assert is_gone(harness, young)
    assert harness.store.get(active.id) is not None
    assert harness.folder(active).status.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no limit"),
        (("--older-than", "soon"), "'soon' is not a length of time"),
        (("--keep-size", "some"), "'some' is not an amount of data"),
        (("--older-than", "0"), "no limit"),
    ],
)
def test_the_command_refuses_what_it_cannot_mean(
    installation: tuple[DispatcherHarness, Path], arguments: tuple[str, ...], words: str
) -> None:
    harness, config = installation
    job = finish(harness)
    code, output = run(config, *arguments)
    assert code == 2
    assert words in output
    assert harness.store.get(job.id) is not None


# A real server

AGE = 90.0
SECTIONS = {"hpc.retention": {"age": f"{AGE:g}s"}}


@pytest.fixture(scope="module")
def short_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    """A server that keeps its jobs for a short time."""
    with HpcServer(tmp_path_factory.mktemp("short"), sections=SECTIONS) as server:
        yield server


def age(server: HpcServer, job_id: str, seconds: float) -> None:
    """Let a job have ended so much earlier."""
    store = JobStore(server.settings.database_url)
    job = store.at(job_id)
    assert job is not None
    assert store.note(job, finished=job.finished - seconds) is not None
    store.engine.dispose()


def test_a_client_is_told_when_a_job_goes_and_then_it_is_unknown(
    short_lived: HpcServer, tmp_path: Path
) -> None:
    server, looked = short_lived, tmp_path / "looked"
    wanted = [Output("document", "text/plain", as_reference=True)]
    location = client.submit(server.url, "watcher", [("text", str(looked))], wanted)
    assert "Sunset" not in client.get(location).headers
    looked.touch()
    job_id = client.job_id_of(location)
    client.await_end(location)
    row = wait_for(
        lambda: (row := server.row(job_id)) and row["state"] == "succeeded" and row, "it ended"
    )
    end = row["finished"] + AGE
    folder: JobDir = server.job(job_id)
    [file] = [path for path in folder.outputs.rglob("*") if path.is_file()]
    output = f"{server.base}/outputs/{job_id}/{file.name}"
    shown, given = client.get(location), client.get(output)
    assert (shown.status, given.status, given.content) == (200, 200, bytes(looked))
    for answer in (shown, given):
        told = email.utils.parsedate_to_datetime(answer.headers["Sunset"]).timestamp()
        assert told == int(end)
    expires = email.utils.parsedate_to_datetime(given.headers["Expires"]).timestamp()
    assert expires <= end + 1
    assert shown.headers["Cache-Control"] == "private, no-cache"
    age(server, job_id, AGE)
    for address in (location, output):  # the dispatcher decides, by its own clock
        wait_for(lambda address=address: client.get(address).status == 404, "it is gone")
    unknown = client.get(location.replace(job_id, new_id()))
    assert client.get(location).content == unknown.content
    wait_for(lambda: server.row(job_id) is None, "its row goes")
    wait_for(lambda: not folder.path.exists(), "its folder goes")
    wait_for(lambda: not any((server.spool.root / TRASH).iterdir()), "its files go")
