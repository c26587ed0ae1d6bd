"""The test cluster's Grid Engine, and what its scheduler must do, by commands or through DRMAA."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import gridengine_cell
import parallel
from gridengine_cell import environment
from pywps_hpc.dispatch.channels.local import Completed, LocalChannel
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    Resources,
    Scheduler,
    SchedulerUnavailable,
    merge,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.gridengine import GridEngineDialect
from scheduler_contract import Remembering, SchedulerContract
from servers import wait_for

HOME = Path(os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc"))


USER = os.environ.get("PYWPS_HPC_TEST_USER", "wps")


#: Seconds between the notice of a suspension or a kill and the deed (cluster/gridengine/queue.in).
NOTIFY = 1


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """For what concerns everybody's jobs: no other test uses Grid Engine meanwhile."""
    with parallel.turn(parallel.GRID_ENGINE, alone=True):
        yield


@pytest.fixture(autouse=True, scope="module")
def grid_engine() -> Iterator[None]:
    """Up for these tests; left as it was found."""
    with gridengine_cell.running():
        yield


def administrator(*command: str) -> None:
    subprocess.run(command, env={**os.environ, **environment()}, check=True, capture_output=True)


@contextlib.contextmanager
def long_notice() -> Iterator[None]:
    """Who is told of his end has time to act on it meanwhile, however busy the host."""
    line = ("qconf", "-mattr", "queue", "notify")
    administrator(*line, "00:01:00", "all.q")
    try:
        yield
    finally:
        administrator(*line, f"00:00:{NOTIFY:02d}", "all.q")


class AsUser(LocalChannel):
    """Runs commands as the test cluster's user."""

    def __init__(self, **changes: str) -> None:
        super().__init__(environment() | {"USER": USER, "LOGNAME": USER} | changes)

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        return super().run(["runuser", "-u", USER, "--", *argv], stdin=stdin, timeout=timeout)


class AsFollowed(Remembering):
    """To be mixed in: as the dispatcher asks, accounting about jobs that left the queue, which
    forgets them at once."""

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        answer = super().poll(ids)
        return merge(answer, self.history(set(ids) - answer.keys()))


class _GridEngine(AsFollowed, CommandScheduler):
    """Grid Engine by its commands."""


@pytest.fixture
def logs() -> Path:
    folder = HOME / "shared" / f"contract-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    return folder


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    mine = _GridEngine(GridEngineDialect(), AsUser())
    yield mine
    mine.clean_up()


class GridEngineContract(SchedulerContract):
    index = "SGE_TASK_ID"
    impossible = Resources(queue="nowhere.q")
    walltime = (2, 120)

    def header(self, scheduler: Scheduler, job: BatchJob) -> list[str]:
        return [*super().header(scheduler, job), "trap '' USR1"]  # as in gridengine.sh.j2

    def waiting(
        self, scheduler: Scheduler, logs: Path, seconds: int, body: str, **more: Any
    ) -> BatchJob:
        # Fractions of a second are cut off.
        start = time.strftime("%Y%m%d%H%M.%S", time.localtime(time.time() + seconds + 1))
        return self.job(scheduler, logs, body, extra=(f"-a {start}",), **more)

    def until_gone(self, scheduler: Scheduler, job: str) -> None:
        end = time.monotonic() + self.patience
        while scheduler.poll([job]):
            assert time.monotonic() < end, f"{job} is still there"
            time.sleep(0.2)

    def until(
        self,
        scheduler: Scheduler,
        job: str,
        wanted: Phase | Callable[[JobStatus], bool],
        patience: float | None = None,
    ) -> JobStatus:
        status = super().until(scheduler, job, wanted, patience)
        if wanted is Phase.SUSPENDED:
            time.sleep(NOTIFY + 2)  # it is listed so from the moment of the notice
        return status

    # --- where Grid Engine differs

    def test_memory_limit_ends_the_job(self, scheduler: Scheduler, logs: Path) -> None:
        # One process alone is refused the memory (setrlimit) and may end as it likes.
        one = "python3 -c 'import time; x = bytearray(60 * 2**20); time.sleep(120)'"
        job = self.submit(scheduler, logs, f"for i in 1 2 3; do {one} & done; wait", memory=100)
        assert self.until(scheduler, job, Phase.FINISHED).outcome is Outcome.MEMORY_LIMIT

    def test_running_job_is_cancelled_and_gets_a_term_first(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        """The warning is a USR2, and a job that heeds it looks like one that ended by itself."""
        body = "trap 'echo got USR2; exit 3' USR2; echo ready; while :; do sleep 0.1; done"
        job = self.job(scheduler, logs, body)
        log = Path(job.log)
        with alone(), long_notice():
            (number,) = scheduler.submit(job)
            self.until_ready(scheduler, number, log)
            scheduler.cancel([number])
            status = self.until(scheduler, number, Phase.FINISHED)
        assert (status.outcome, status.exit_code) == (Outcome.EXITED, 3)
        assert "got USR2" in log.read_text()

    def test_waiting_job_is_cancelled(self, scheduler: Scheduler, logs: Path) -> None:
        """Accounting has records of jobs that were started only."""
        job = self.submit_waiting(scheduler, logs, 120, "true")
        self.until(scheduler, job, Phase.QUEUED)
        scheduler.cancel([job])
        self.until_gone(scheduler, job)

    def test_held_job_is_cancelled(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.submit_waiting(scheduler, logs, 120, "true")
        scheduler.pause([job])
        self.until(scheduler, job, Phase.HELD)
        scheduler.cancel([job])
        self.until_gone(scheduler, job)

    def test_suspended_job_is_cancelled(self, scheduler: Scheduler, logs: Path) -> None:
        """It goes on first, and can act on the notice; its KILL would look like one of its own."""
        job = self.started(scheduler, logs)
        scheduler.pause([job])
        self.until(scheduler, job, Phase.SUSPENDED)
        scheduler.cancel([job])
        status = self.until(scheduler, job, Phase.FINISHED)
        ends = ((Outcome.SIGNALLED, 9), (Outcome.CANCELLED, None))
        assert (status.outcome, status.signal) in ends

    # --- Grid Engine's own cases

    def test_job_in_error_state_is_over_and_can_be_cleared_away(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.submit(scheduler, logs / "missing", "true")
        status = self.until(scheduler, job, Phase.FINISHED)
        assert (status.outcome, status.hopeless) == (Outcome.COULD_NOT_START, True)
        assert status.detail.startswith("Eqw")
        scheduler.cancel([job])
        status = self.until(scheduler, job, lambda status: not status.hopeless)
        assert status.outcome is Outcome.COULD_NOT_START
        assert "opening input/output file" in status.detail

    def test_job_that_stands_still_with_its_queue_cannot_be_resumed_by_its_owner_and_says_so(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.started(scheduler, logs)
        with alone():
            administrator("qmod", "-sq", "all.q")
            try:
                self.until(scheduler, job, Phase.SUSPENDED)
                with pytest.raises(NotPermitted, match="only an operator"):
                    scheduler.resume([job])
            finally:
                administrator("qmod", "-usq", "all.q")
        self.until(scheduler, job, Phase.RUNNING)

    def test_job_of_somebody_else_is_left_alone_and_says_so(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.started(scheduler, logs)
        stranger = CommandScheduler(GridEngineDialect(), _Stranger())
        with pytest.raises(NotPermitted):
            stranger.cancel([job])
        assert stranger.poll([job]) == {}
        assert scheduler.poll([job])[job].phase is Phase.RUNNING

    def test_job_deleted_by_force_is_no_success(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.started(scheduler, logs)
        self.until(scheduler, job, lambda status: status.detail == "r")
        administrator("qdel", "-f", job)
        status = self.until(scheduler, job, Phase.FINISHED)
        assert (status.outcome, status.detail) == (Outcome.CANCELLED, "deleted by force")

    def test_job_that_grid_engine_starts_again_counts_its_restarts(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        body = f"[ -e {logs}/once ] || {{ touch {logs}/once; sleep 600; }}; echo $RESTARTED; exit 4"
        job = self.submit(scheduler, logs, body, extra=("-r y",))
        self.until(scheduler, job, Phase.RUNNING)
        wait_for((logs / "once").exists, "the script runs")
        administrator("qmod", "-rj", job)
        status = self.until(scheduler, job, Phase.FINISHED)
        assert (status.exit_code, status.restarts) == (4, 1)

    def test_several_processors_share_the_memory_that_was_asked_for(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.job(scheduler, logs, "echo $NSLOTS; ulimit -v", cpus=3, memory=301)
        (number,) = scheduler.submit(job)
        self.until(scheduler, number, Phase.FINISHED)
        assert Path(job.log).read_text().split() == ["3", str(3 * 101 * 1024)]

    def test_ended_job_is_found_by_name_before_accounting_knows_it(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        assert isinstance(scheduler, CommandScheduler)
        job = self.job(scheduler, logs, "true")
        ids = scheduler.submit(job)
        self.until(scheduler, ids[0], Phase.FINISHED)
        queue, _accounting = scheduler.dialect.find(job.name)
        scheduler.dialect.find = lambda name: (queue,)  # type: ignore[method-assign]
        assert scheduler.find(job.name) == ids

    def test_elements_that_ended_are_found_by_name_before_accounting_knows_them(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        assert isinstance(scheduler, CommandScheduler)
        array = self.job(
            scheduler, logs, "[ $SGE_TASK_ID != 2 ] || sleep 600", array_indices=(1, 2, 3, 4)
        )
        ids = scheduler.submit(array)
        for element in (ids[0], *ids[2:]):
            self.until(scheduler, element, Phase.FINISHED)
        queue, _accounting = scheduler.dialect.find(array.name)
        scheduler.dialect.find = lambda name: (queue,)  # type: ignore[method-assign]
        assert [scheduler.find(array.name, index) for index in array.array_indices] == [
            [n] for n in ids
        ]
        assert scheduler.find(array.name) == []

    def test_banner_of_a_login_shell_does_not_matter(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        noisy = _GridEngine(GridEngineDialect(), _Banner())
        job = self.job(scheduler, logs, "sleep 2; exit 3")
        (number,) = noisy.submit(job)
        assert noisy.find(job.name) == [number]
        assert self.until(noisy, number, Phase.FINISHED).exit_code == 3

    def test_answer_cut_off_anywhere_is_no_answer(self, scheduler: Scheduler, logs: Path) -> None:
        ids = [self.submit(scheduler, logs, "sleep 600") for _ in range(2)]
        cut = _Cut()
        for cut.at in (*range(-40, -1), -300, 0):
            with pytest.raises(SchedulerUnavailable):
                CommandScheduler(GridEngineDialect(), cut).poll(ids)


class _Stranger(AsUser):
    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        other = os.environ.get("PYWPS_HPC_TEST_OTHER_USER", "wps-other")
        return LocalChannel.run(
            self, ["runuser", "-u", other, "--", *argv], stdin=stdin, timeout=timeout
        )


class _Banner(AsUser):
    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        code, out, err = super().run(argv, stdin=stdin, timeout=timeout)
        return Completed(code, f"*** Welcome ***\n12\n\n{out}", f"Have | fun\n{err}")


class _Cut(AsUser):
    at = -1

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        code, out, err = super().run(argv, stdin=stdin, timeout=timeout)
        return Completed(code, out[: self.at], err)
