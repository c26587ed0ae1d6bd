"""The scheduler contract over the DRMAA library of a real Grid Engine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gridengine_site as gridengine
from pywps_hpc.dispatch.channels.local import Channel, CommandMissing, Completed
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    NotPermitted,
    Outcome,
    Phase,
    Resources,
    Scheduler,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.gridengine import GridEngineDialect
from pywps_hpc.dispatch.schedulers.drmaa import DrmaaScheduler, Helper
from scheduler_contract import UNKNOWN_ID
from servers import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("gridengine")]

grid_engine = gridengine.grid_engine
logs = gridengine.logs

OTHER = os.environ.get("PYWPS_HPC_TEST_OTHER_USER", "wps-other")
PYTHON = os.environ.get("PYWPS_HPC_TEST_VENV", f"{gridengine.HOME}/venv") + "/bin/python"


def library() -> Path:
    """Where Debian puts it."""
    package = subprocess.run(
        ["dpkg", "-L", "gridengine-drmaa1.0"], check=True, capture_output=True, text=True
    )
    return Path(next(line for line in package.stdout.splitlines() if "/libdrmaa.so" in line))


class HelperAs(Helper):
    """Runs as a user of the test cluster."""

    def __init__(self, user: str = gridengine.USER, timeout: float = 30, **changes: str) -> None:
        super().__init__(library(), gridengine.environment() | changes, timeout=timeout)
        as_user = ("setpriv", "--reuid", user, "--regid", user, "--init-groups")
        self.argv = (*as_user, PYTHON, *Helper.argv[1:])


class _NoCommands(Channel):
    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        raise CommandMissing(f"{argv[0]}: not installed", argv)


class _Drmaa(gridengine.AsFollowed, DrmaaScheduler):
    """Grid Engine through its library."""


def alone(scheduler: DrmaaScheduler) -> DrmaaScheduler:
    """The same session without the batch system's own commands."""
    commands = CommandScheduler(GridEngineDialect(), _NoCommands())
    return DrmaaScheduler(scheduler.helper, commands)


@pytest.fixture
def scheduler() -> Iterator[_Drmaa]:
    commands = CommandScheduler(GridEngineDialect(), gridengine.AsUser())
    mine = _Drmaa(HelperAs(), commands)
    yield mine
    mine.clean_up()


class TestDrmaa(gridengine.GridEngineContract):
    # Of the commands only.
    test_banner_of_a_login_shell_does_not_matter = None  # type: ignore[assignment]
    test_answer_cut_off_anywhere_is_no_answer = None  # type: ignore[assignment]
    test_ended_job_is_found_by_name_before_accounting_knows_it = None  # type: ignore[assignment]
    test_elements_that_ended_are_found_by_name_before_accounting_knows_them = None  # type: ignore[assignment]

    def job(self, scheduler: Scheduler, logs: Path, body: str, **resources: Any) -> BatchJob:
        """The script stands in a folder that only its owner can read, as in the spool."""
        job = super().job(scheduler, logs, body, **resources)
        shared = logs if logs.exists() else logs.parent
        script = shared / f"{job.name}.job/script.sh"
        script.parent.mkdir(0o700)
        script.write_text(job.script)
        script.chmod(0o700)
        for path in (script, script.parent):
            shutil.chown(path, gridengine.USER)
        return replace(job, path=str(script))

    def test_job_in_error_state_is_over_and_can_be_cleared_away(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        """There is nothing to clear away: Grid Engine ends such jobs of DRMAA by itself."""
        job = self.submit(scheduler, logs / "missing", "true")
        status = self.until(scheduler, job, Phase.FINISHED)
        assert (status.outcome, status.hopeless) == (Outcome.COULD_NOT_START, False)
        assert "opening input/output file" in status.detail
        scheduler.cancel([job])

    # --- submission

    def test_script_changed_after_its_submission_does_not_reach_the_job(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        start = time.strftime("%Y%m%d%H%M.%S", time.localtime(time.time() + 4))
        job = self.job(scheduler, logs, "echo first", extra=(f"-a {start}",))
        (number,) = scheduler.submit(job)
        Path(job.path).write_text("#!/bin/bash\necho second\n")
        self.until(scheduler, number, Phase.FINISHED)
        assert Path(job.log).read_text() == "first\n"

    def test_refusal_is_told_in_the_words_of_grid_engine(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.job(scheduler, logs, "true", queue="nowhere.q")
        with pytest.raises(SubmissionRefused, match=r"Grid Engine refused the job: .*nowhere\.q"):
            scheduler.submit(job)

    def test_script_that_is_missing_is_refused(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.job(scheduler, logs, "true")
        Path(job.path).unlink()
        with pytest.raises(SubmissionRefused):
            scheduler.submit(job)
        assert scheduler.find(job.name) == []

    # --- the library without the commands

    def test_library_alone_knows_where_a_job_stands(
        self, scheduler: DrmaaScheduler, logs: Path
    ) -> None:
        library = alone(scheduler)
        # One that has to wait for its start time is held by the system, in DRMAA's words, and one
        # that no queue can take is refused unless told otherwise (qsub(1), -w).
        waiting = self.submit(scheduler, logs, "true", extra=("-l arch=nowhere", "-w n"))
        self.until(library, waiting, Phase.QUEUED)
        library.pause([waiting])
        self.until(library, waiting, Phase.HELD)
        library.resume([waiting])
        self.until(library, waiting, Phase.QUEUED)
        running = self.started(scheduler, logs)
        self.until(library, running, Phase.RUNNING)
        library.pause([running])
        self.until(library, running, Phase.SUSPENDED)
        assert scheduler.poll([running])[running].phase is Phase.SUSPENDED
        library.resume([running])
        self.until(library, running, Phase.RUNNING)
        library.cancel([running, waiting, UNKNOWN_ID])
        self.until_gone_or_over(library, [running, waiting])
        assert library.poll([UNKNOWN_ID]) == {}

    def until_gone_or_over(self, library: DrmaaScheduler, jobs: Sequence[str]) -> None:
        end = time.monotonic() + self.patience
        while any(status.phase is not Phase.FINISHED for status in library.poll(jobs).values()):
            assert time.monotonic() < end, library.poll(jobs)
            time.sleep(0.2)

    def test_jobs_of_a_helper_that_was_killed_are_known_to_the_next_one(
        self, scheduler: DrmaaScheduler, logs: Path
    ) -> None:
        library = alone(scheduler)
        over = self.submit(scheduler, logs, "true")
        self.until(scheduler, over, Phase.FINISHED)
        job = self.started(scheduler, logs)
        self.until(library, job, Phase.RUNNING)
        first = library.helper.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: library.helper.pid is None, "the helper is gone")
        answer = library.poll([job, over])
        assert library.helper.pid not in (None, first)
        assert (list(answer), answer[job].phase) == ([job], Phase.RUNNING)
        library.cancel([job, over])
        self.until_gone_or_over(library, [job])
        self.until(scheduler, job, Phase.FINISHED)

    def test_job_of_somebody_else_is_not_cancelled_by_the_library_either(
        self, scheduler: DrmaaScheduler, logs: Path
    ) -> None:
        job = self.started(scheduler, logs)
        stranger = alone(DrmaaScheduler(HelperAs(OTHER), scheduler.commands))
        try:
            with pytest.raises(NotPermitted):
                stranger.cancel([job])
        finally:
            stranger.close()
        assert scheduler.poll([job])[job].phase is Phase.RUNNING

    # --- the session

    def test_session_that_was_closed_leaves_nothing_behind_in_grid_engine(
        self, scheduler: DrmaaScheduler, logs: Path
    ) -> None:
        sessions: list[HelperAs] = []
        with gridengine.alone():
            before = clients()

            def mine() -> set[str]:
                """Opens one more: the first may have the number of one that went meanwhile."""
                sessions.append(HelperAs())
                sessions[-1].ask("status", ids=[])
                return clients() - before

            listed = wait_for(mine, "a session is listed")
            for session in sessions:
                session.close()
            # Not at once; of a helper that was killed, minutes.
            wait_for(lambda: not listed & clients(), "no session is listed any more")


def clients() -> set[str]:
    """The numbers of those to whom Grid Engine sends its events."""
    listed = subprocess.run(
        ["qconf", "-secl"],
        env={**os.environ, **gridengine.environment()},
        check=True,
        capture_output=True,
        text=True,
    )
    return {line.split()[0] for line in listed.stdout.splitlines() if " drmaa " in line}


class TestTheLibraryDoesNotStart:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"SGE_ROOT": "/nowhere"}, "SGE_ROOT directory .* set SGE_ROOT"),
            ({"SGE_CELL": "nowhere"}, "cell directory .* set SGE_ROOT and SGE_CELL"),
            ({"SGE_QMASTER_PORT": "1"}, "qmaster .* is sge_qmaster running"),
        ],
    )
    def test_problem_is_told_with_its_remedy_and_no_job_was_handed_over(
        self, changes: Mapping[str, str], words: str
    ) -> None:
        self.postponed(HelperAs(**changes), words)

    def test_library_that_is_missing_is_told(self) -> None:
        helper = HelperAs()
        helper._environment["DRMAA_LIBRARY_PATH"] = "/nowhere/libdrmaa.so"
        self.postponed(helper, "cannot open shared object .* drmaa_library must name")

    def test_server_that_does_not_answer_is_given_up(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            port = str(listener.getsockname()[1])
            start = time.monotonic()
            self.postponed(HelperAs(timeout=3, SGE_QMASTER_PORT=port), "within 3 s|qmaster")
            assert time.monotonic() - start < 30  # of which it may wait 3, twice

    def postponed(self, helper: Helper, words: str) -> None:
        commands = CommandScheduler(GridEngineDialect(), _NoCommands())
        scheduler = DrmaaScheduler(helper, commands)
        job = BatchJob("tname", "", "/dev/null", "/bin/true", resources=Resources())
        try:
            with pytest.raises(SubmissionPostponed, match=f"(?s){words}"):
                scheduler.submit(job)
            with pytest.raises(SchedulerUnavailable, match=f"(?s){words}"):
                scheduler.poll(["1"])
        finally:
            scheduler.close()
            assert helper.pid is None


class Line:
    """A TCP line to the server that can be cut, instead of stopping the server for everybody."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: list[socket.socket] = []
        self.port = 0
        self.mend()

    def cut(self) -> None:
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open = []

    def mend(self) -> None:
        """Also at the start."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("", self.port))
        self._listener.listen(16)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


class TestTheServerGoesAway:
    def test_nothing_is_claimed_meanwhile_and_all_goes_on_afterwards(
        self, scheduler: _Drmaa, logs: Path
    ) -> None:
        contract = TestDrmaa()
        line = Line(int(gridengine.environment()["SGE_QMASTER_PORT"]))
        scheduler.helper = HelperAs(timeout=10, SGE_QMASTER_PORT=str(line.port))
        try:
            self.check(contract, scheduler, logs, line)
        finally:
            scheduler.helper.close()
            line.cut()
            scheduler.helper = HelperAs()

    def check(self, contract: TestDrmaa, scheduler: _Drmaa, logs: Path, line: Line) -> None:
        library = alone(scheduler)
        job = contract.started(scheduler, logs)
        contract.until(library, job, Phase.RUNNING)
        lost = contract.job(scheduler, logs, "true")
        line.cut()
        for ask in (library.poll, library.cancel):
            with pytest.raises(SchedulerUnavailable):
                ask([job])
        with pytest.raises((SubmissionUncertain, SubmissionPostponed)):
            scheduler.submit(lost)
        line.mend()
        end = time.monotonic() + 120
        while True:  # the library may notice by and by
            try:
                assert library.poll([job])[job].phase is Phase.RUNNING
                (number,) = scheduler.submit(contract.job(scheduler, logs, "exit 5"))
                break
            except SchedulerUnavailable:
                assert time.monotonic() < end
                time.sleep(0.5)
        assert contract.until(scheduler, number, Phase.FINISHED).exit_code == 5
        assert scheduler.find(lost.name) == []
