"""What every scheduler has to do, whatever stands behind it: one suite, run for each of them.

A test module subclasses :class:`SchedulerContract`, supplies the fixtures ``scheduler`` and
``logs`` (a folder in which jobs can write), and says how a script gets its header and how a job is
made to wait.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Outcome,
    Phase,
    Resources,
    Scheduler,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)
from servers import wait_for

UNKNOWN_ID = "99999999"


class Remembering(Scheduler):
    """To be mixed into a scheduler: notes what a test submitted, to clean up after it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.submitted: list[str] = []

    def submit(self, job: BatchJob) -> list[str]:
        ids = super().submit(job)  # type: ignore[safe-super]
        self.submitted += ids
        return ids

    def clean_up(self) -> None:
        """Cancel what is left."""
        self.cancel(self.submitted)
        self.close()


class SchedulerContract:
    """Subclass this; the job bodies are bash."""

    #: Resources that this scheduler refuses at once.
    impossible: Resources
    #: Seconds: the walltime of a job that is to exceed it, and the longest time until it is ended.
    walltime = (2, 120)
    #: Seconds until a change must be visible.
    patience = 120
    #: The folder in which a job starts.
    start = "/"

    def header(self, scheduler: Scheduler, job: BatchJob) -> list[str]:
        return list(scheduler.header(job))

    def submit_waiting(self, scheduler: Scheduler, logs: Path, seconds: int, body: str) -> str:
        """Submit a job that cannot start before these seconds have passed."""
        (job,) = scheduler.submit(self.waiting(scheduler, logs, seconds, body))
        return job

    def submit_waiting_array(
        self,
        scheduler: Scheduler,
        logs: Path,
        seconds: int,
        body: str,
        array_indices: tuple[int, ...],
    ) -> list[str]:
        """The same as an array."""
        return scheduler.submit(
            self.waiting(scheduler, logs, seconds, body, array_indices=array_indices)
        )

    def waiting(
        self, scheduler: Scheduler, logs: Path, seconds: int, body: str, **more: Any
    ) -> BatchJob:
        """A job that cannot start before these seconds have passed."""
        raise NotImplementedError

    def job(
        self,
        scheduler: Scheduler,
        logs: Path,
        body: str,
        *,
        array_indices: tuple[int, ...] = (),
        **resources: Any,
    ) -> BatchJob:
        name = f"t{secrets.token_hex(6)}"
        need = replace(Resources(memory=100, walltime=600), **resources)
        log = str(logs if array_indices else logs / f"{name}.log")
        job = BatchJob(
            name, "", log, comment=f"job-{name}", array_indices=array_indices, resources=need
        )
        script = "\n".join(["#!/bin/bash", *self.header(scheduler, job), body, ""])
        return replace(job, script=script)

    def log_with(self, log: Path, text: str) -> Path:
        """Write this to a file to which a job can append."""
        log.write_text(text)
        log.chmod(0o666)
        return log

    def submit(self, scheduler: Scheduler, logs: Path, body: str, **resources: Any) -> str:
        (job,) = scheduler.submit(self.job(scheduler, logs, body, **resources))
        return job

    def started(
        self, scheduler: Scheduler, logs: Path, body: str = "sleep 600", **resources: Any
    ) -> str:
        """Submit a job and wait for its script: a batch system may call it running before that, and
        then lose what it is told about it."""
        job = self.job(scheduler, logs, f"echo ready; {body}", **resources)
        (number,) = scheduler.submit(job)
        self.until_ready(scheduler, number, Path(job.log))
        return number

    def until_ready(self, scheduler: Scheduler, job: str, log: Path) -> None:
        """Wait until a running job's script has said "ready"."""
        wait_for(lambda: log.exists() and "ready" in log.read_text(), "the script runs")
        self.until(scheduler, job, Phase.RUNNING)

    def until(
        self,
        scheduler: Scheduler,
        job: str,
        wanted: Phase | Callable[[JobStatus], bool],
        patience: float | None = None,
    ) -> JobStatus:
        end = time.monotonic() + (patience or self.patience)
        status = None
        while time.monotonic() < end:
            status = scheduler.poll([job]).get(job)
            if status is not None and (
                status.phase is wanted if isinstance(wanted, Phase) else wanted(status)
            ):
                return status
            time.sleep(0.2)
        raise AssertionError(f"{job} is {status}, not {wanted}")

    def suspend(self, scheduler: Scheduler, job: str) -> None:
        """Suspend a running job; one that is just starting may miss the first order."""

        def suspended(status: JobStatus) -> bool:
            if status.phase is Phase.RUNNING:
                scheduler.pause([job])
            return status.phase is Phase.SUSPENDED

        self.until(scheduler, job, suspended)

    # --- the end of a job

    def test_exit_code_zero_is_reported(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.submit(scheduler, logs, "true")
        status = self.until(scheduler, job, Phase.FINISHED)
        assert (status.outcome, status.exit_code) == (Outcome.EXITED, 0)

    def test_exit_code_of_a_failure_is_reported(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.submit(scheduler, logs, "exit 37")
        status = self.until(scheduler, job, Phase.FINISHED)
        assert (status.outcome, status.exit_code) == (Outcome.EXITED, 37)

    def test_signal_that_killed_the_script_is_reported(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.submit(scheduler, logs, "kill -KILL $$")
        status = self.until(scheduler, job, Phase.FINISHED)
        assert (status.outcome, status.signal) == (Outcome.SIGNALLED, 9)

    def test_time_limit_ends_the_job(self, scheduler: Scheduler, logs: Path) -> None:
        limit, patience = self.walltime
        job = self.submit(scheduler, logs, "sleep 600", walltime=limit)
        status = self.until(scheduler, job, Phase.FINISHED, patience)
        assert status.outcome is Outcome.TIME_LIMIT

    def test_memory_limit_ends_the_job(self, scheduler: Scheduler, logs: Path) -> None:
        body = "python3 -c 'import time; x = bytearray(400 * 2**20); time.sleep(120)'"
        job = self.submit(scheduler, logs, body, memory=60)
        status = self.until(scheduler, job, Phase.FINISHED)
        assert status.outcome is Outcome.MEMORY_LIMIT

    def test_log_that_cannot_be_written_is_no_success(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.submit(scheduler, logs / "missing", "true")
        status = self.until(scheduler, job, Phase.FINISHED)
        assert status.outcome is Outcome.COULD_NOT_START

    def test_history_remembers_a_finished_job(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.submit(scheduler, logs, "exit 3")
        self.until(scheduler, job, Phase.FINISHED)
        status = scheduler.history([job, UNKNOWN_ID])
        assert list(status) == [job]
        assert (status[job].outcome, status[job].exit_code) == (Outcome.EXITED, 3)

    def test_history_says_nothing_of_a_running_job(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.started(scheduler, logs)
        assert scheduler.history([job]) == {}

    # --- submission and lookup

    def test_each_job_is_found_by_its_name(self, scheduler: Scheduler, logs: Path) -> None:
        jobs = [self.job(scheduler, logs, "true") for _ in range(3)]
        ids = [scheduler.submit(job) for job in jobs]
        assert [scheduler.find(job.name) for job in jobs] == ids
        assert scheduler.find(jobs[0].name, 1) == []  # it is no array

    def test_unknown_name_is_not_found(self, scheduler: Scheduler) -> None:
        assert scheduler.find("tnosuchname") == []

    def test_finished_job_is_still_found_by_name(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.job(scheduler, logs, "true")
        ids = scheduler.submit(job)
        self.until(scheduler, ids[0], Phase.FINISHED)
        assert scheduler.find(job.name) == ids

    def test_unknown_id_is_missing_from_the_answer(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.submit(scheduler, logs, "sleep 600")
        assert list(scheduler.poll([UNKNOWN_ID, job])) == [job]
        assert scheduler.poll([UNKNOWN_ID]) == {}
        assert scheduler.poll([]) == {}

    def test_impossible_job_is_refused(self, scheduler: Scheduler, logs: Path) -> None:
        bad = self.job(scheduler, logs, "true", **vars(self.impossible))
        with pytest.raises(SubmissionRefused) as refusal:
            scheduler.submit(bad)
        assert scheduler.find(bad.name) == []
        assert not refusal.value.transient

    # --- job arrays

    index = ""  #: the shell variable in which an element finds its index; empty: no arrays

    def test_elements_of_an_array_are_jobs_of_their_own(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        assert scheduler.arrays is bool(self.index)
        if not self.index:
            return
        body = f'i=${self.index}; echo "element $i"; [ $i != 2 ] || sleep 600; exit $i'
        array = self.job(scheduler, logs, body, array_indices=(1, 2, 4))
        first, second, fourth = ids = scheduler.submit(array)
        assert len(set(ids)) == 3
        for element, index in zip(ids, array.array_indices, strict=True):
            assert scheduler.find(array.name, index) == [element]
        assert scheduler.find(array.name, 5) == []
        assert scheduler.find(array.name) == []  # no element is the whole
        assert self.until(scheduler, first, Phase.FINISHED).exit_code == 1
        assert self.until(scheduler, fourth, Phase.FINISHED).exit_code == 4
        # A job may be called running before its script is: what is cancelled then has no log.
        log = logs / "log-2"
        wait_for(lambda: log.exists() and log.read_text(), "the second element's script runs")
        assert self.until(scheduler, second, Phase.RUNNING).name == array.name
        scheduler.cancel([second])
        assert self.until(scheduler, second, Phase.FINISHED).outcome is Outcome.CANCELLED
        # Accounting lags; until it knows ours it may tell of an older array that had the same ids.
        wait_for(
            lambda: (
                {job: status.name for job, status in scheduler.history(ids).items()}
                == dict.fromkeys(ids, array.name)
            ),
            "accounting knows each element",
            self.patience,
        )
        for index in array.array_indices:
            assert (logs / f"log-{index}").read_text().startswith(f"element {index}\n")

    def test_one_waiting_element_is_held_released_and_cancelled_alone(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        assert scheduler.arrays is bool(self.index)
        if not self.index:
            return
        # The logs have second names elsewhere, as in the spool.
        for index in (1, 2, 3):
            (logs / f"log-{index}").hardlink_to(self.log_with(logs / f"mine-{index}", ""))
        body = "echo here"
        first, second, third = self.submit_waiting_array(scheduler, logs, 25, body, (1, 2, 3))
        scheduler.pause([first])
        self.until(scheduler, first, Phase.HELD)
        assert scheduler.poll([second])[second].phase is Phase.QUEUED
        scheduler.cancel([third])
        scheduler.resume([first])
        self.until(scheduler, first, Phase.QUEUED)
        self.until(scheduler, first, Phase.FINISHED, patience=60 + self.patience)
        self.until(scheduler, second, Phase.FINISHED)
        # Slurm forgets an element that was cancelled before it started; nobody shows it alive.
        gone = scheduler.poll([third]).get(third)
        assert gone is None or gone.outcome is Outcome.CANCELLED
        assert [(logs / f"mine-{index}").read_text() for index in (1, 3)] == ["here\n", ""]

    # --- what the script finds

    def test_script_and_log_pass_every_character(self, scheduler: Scheduler, logs: Path) -> None:
        text = "späte 'Größe' \"$HOME\" `x` \\n % # ;"
        job = self.job(scheduler, logs, f"cat <<'EOT'\n{text}\nEOT\necho trouble >&2")
        self.log_with(Path(job.log), "before\n")
        (number,) = scheduler.submit(job)
        self.until(scheduler, number, Phase.FINISHED)
        assert Path(job.log).read_text() == f"before\n{text}\ntrouble\n"

    def test_environment_of_the_server_does_not_reach_the_job(
        self, scheduler: Scheduler, logs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_PASSWORD", "s3cret")
        job = self.job(scheduler, logs, "env; pwd")
        (number,) = scheduler.submit(job)
        self.until(scheduler, number, Phase.FINISHED)
        log = Path(job.log).read_text()
        assert "s3cret" not in log
        assert "PATH=" in log
        assert log.endswith(f"\n{self.start}\n")

    # --- cancel

    def test_running_job_is_cancelled_and_gets_a_term_first(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        body = "trap 'echo got TERM; exit 1' TERM; echo ready; while :; do sleep 0.1; done"
        job = self.job(scheduler, logs, body)
        (number,) = scheduler.submit(job)
        log = Path(job.log)
        self.until_ready(scheduler, number, log)
        scheduler.cancel([number])
        status = self.until(scheduler, number, Phase.FINISHED)
        assert status.outcome is Outcome.CANCELLED
        assert "got TERM" in log.read_text()

    def test_cancelled_job_that_ignores_term_is_killed(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        body = "trap '' TERM; echo ready; while :; do sleep 1; done"
        own = self.job(scheduler, logs, body)
        (job,) = scheduler.submit(own)
        self.until_ready(scheduler, job, Path(own.log))
        scheduler.cancel([job])
        assert self.until(scheduler, job, Phase.FINISHED).outcome is Outcome.CANCELLED

    def test_waiting_job_is_cancelled(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.submit_waiting(scheduler, logs, 120, "true")
        self.until(scheduler, job, Phase.QUEUED)
        scheduler.cancel([job])
        assert self.until(scheduler, job, Phase.FINISHED).outcome is Outcome.CANCELLED

    def test_held_job_is_cancelled(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.submit_waiting(scheduler, logs, 120, "true")
        scheduler.pause([job])
        scheduler.cancel([job])
        assert self.until(scheduler, job, Phase.FINISHED).outcome is Outcome.CANCELLED

    def test_suspended_job_is_cancelled(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.started(scheduler, logs)
        self.suspend(scheduler, job)
        scheduler.cancel([job])
        assert self.until(scheduler, job, Phase.FINISHED).outcome is Outcome.CANCELLED

    def test_cancelling_again_or_what_is_over_or_unknown_is_no_error(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        running = self.started(scheduler, logs)
        over = self.submit(scheduler, logs, "true")
        self.until(scheduler, over, Phase.FINISHED)
        scheduler.cancel([over, UNKNOWN_ID, running])
        scheduler.cancel([over, UNKNOWN_ID, running])
        assert self.until(scheduler, running, Phase.FINISHED).outcome is Outcome.CANCELLED
        scheduler.cancel([running])
        assert scheduler.poll([over])[over].exit_code == 0
        scheduler.cancel([])

    # --- pause and resume

    def test_waiting_job_is_held_until_it_is_released(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        due = time.monotonic() + 15
        job = self.submit_waiting(scheduler, logs, 15, "true")
        scheduler.pause([job])
        self.until(scheduler, job, Phase.HELD)
        time.sleep(max(0.0, due - time.monotonic()) + 2)
        assert scheduler.poll([job])[job].phase is Phase.HELD
        scheduler.resume([job])
        assert self.until(scheduler, job, Phase.FINISHED).exit_code == 0

    def test_running_job_stands_still_until_it_is_resumed(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        go = logs / "go"
        body = f"until [ -e {go} ]; do echo $((i += 1)); sleep 0.1; done; echo went on"
        job = self.job(scheduler, logs, body)
        (number,) = scheduler.submit(job)
        log = Path(job.log)
        self.until(scheduler, number, lambda _: log.exists() and "2\n" in log.read_text())
        self.suspend(scheduler, number)

        def stands_still() -> bool:  # by and by: some systems give notice first
            before = log.read_text()
            time.sleep(2)
            return log.read_text() == before

        wait_for(stands_still, "nothing is written any more")
        go.touch()
        time.sleep(1)
        assert scheduler.poll([number])[number].phase is Phase.SUSPENDED
        assert "went on" not in log.read_text()
        scheduler.resume([number])
        assert self.until(scheduler, number, Phase.FINISHED).exit_code == 0
        assert log.read_text().endswith("went on\n")

    def test_pausing_and_resuming_what_needs_neither_changes_nothing(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        over = self.submit(scheduler, logs, "true")
        running = self.started(scheduler, logs)
        self.until(scheduler, over, Phase.FINISHED)
        scheduler.pause([over, UNKNOWN_ID])
        scheduler.resume([over, running, UNKNOWN_ID])
        answer = scheduler.poll([over, running])
        assert (answer[over].exit_code, answer[running].phase) == (0, Phase.RUNNING)


class SlurmContract(SchedulerContract):
    """Slurm by its commands, wherever they run."""

    index = "SLURM_ARRAY_TASK_ID"
    impossible = Resources(queue="nowhere")
    walltime = (60, 240)  # Slurm counts in minutes and looks twice a minute

    def waiting(
        self, scheduler: Scheduler, logs: Path, seconds: int, body: str, **more: Any
    ) -> BatchJob:
        return self.job(scheduler, logs, body, extra=(f"--begin=now+{seconds}",), **more)


class SilenceContract:
    """A batch system that is down, or hangs: nothing is answered, and nothing is concluded.

    Subclass this: its fixture ``silent`` is a scheduler that asks at ``port`` instead of the real
    one, with a time limit of three seconds.
    """

    #: The suite of the same batch system.
    contract: type[SchedulerContract]
    #: What of it never needs the server.
    unasked: tuple[str, ...] = ()

    @pytest.fixture(params=["down", "hung"])
    def silence(self, request: pytest.FixtureRequest) -> str:
        """Whether nobody listens, or somebody who never says a word."""
        return str(request.param)

    @pytest.fixture
    def port(self, silence: str) -> Iterator[int]:
        """Of 127.0.0.1, where nobody answers."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            if silence == "hung":
                listener.listen(64)
                threading.Thread(target=_accept, args=(listener,), daemon=True).start()
            yield listener.getsockname()[1]

    def test_no_question_is_answered_and_nothing_changes(
        self, scheduler: Scheduler, silent: Scheduler, logs: Path
    ) -> None:
        contract = self.contract()
        job = contract.started(scheduler, logs)
        for question in ("poll", "history", "cancel", "pause", "resume"):
            if question in self.unasked:
                continue
            start = time.monotonic()
            with pytest.raises(SchedulerUnavailable) as trouble:
                getattr(silent, question)([job])
            assert time.monotonic() - start < 20  # of which it may wait 3
            assert trouble.value.transient
            assert trouble.value.command
        with pytest.raises(SchedulerUnavailable):
            silent.find("tanything")
        assert scheduler.poll([job])[job].phase is Phase.RUNNING

    def test_submission_is_uncertain_rather_than_refused(
        self, scheduler: Scheduler, silent: Scheduler, logs: Path, silence: str
    ) -> None:
        job = self.contract().job(scheduler, logs, "true")
        # A server that refuses connections has certainly not taken it, if the command says so
        # before its time is over.
        postponed = (SubmissionPostponed,) if silence == "down" else ()
        with pytest.raises((SubmissionUncertain, *postponed)):
            silent.submit(job)
        assert scheduler.find(job.name) == []


def _accept(listener: socket.socket) -> None:
    """Take every call and never say a word."""
    calls = []
    while True:
        try:
            calls.append(listener.accept())
        except OSError:
            return
