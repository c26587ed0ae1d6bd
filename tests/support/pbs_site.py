"""A stand-in for a PBS (pbs_standin), ready for the tests of the scheduler contract."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dialects
from places import TESTS
from pywps_hpc.dispatch.channels.local import LocalChannel
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    NotPermitted,
    Phase,
    Resources,
    Scheduler,
    SchedulerUnavailable,
    SubmissionPostponed,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialect import Dialect
from scheduler_contract import SchedulerContract
from servers import wait_for


def commands(system: str) -> Path:
    """The folder of a system's commands."""
    return TESTS / "support/pbs_standin" / system


def configure(state: Path, **changes: Any) -> None:
    """Change the server's configuration, of which ``pbs_standin/server.py`` tells."""
    file = state / "config"
    known = json.loads(file.read_text()) if file.exists() else {}
    (state / "config.new").write_text(json.dumps(known | changes))
    (state / "config.new").rename(file)


def new_state(folder: Path, test: str, **configuration: Any) -> Path:
    """A server's folder, for a test of this name."""
    folder.mkdir()
    configure(folder, operators=[getpass.getuser()], **configuration)
    if "gets_a_term_first" in test:
        # Who has something to do at TERM is not killed meanwhile, however busy the host.
        configure(folder, kill_delay=60)
    return folder


def run_scheduler(
    dialect: Dialect, state: Path, host: str, **at_the_end: Any
) -> Iterator[Scheduler]:
    """A scheduler over the stand-in; in the end nothing of it runs any more.

    Args:
        dialect: the batch system's.
        state: the server's folder.
        host: the server's name in the ids of jobs.
        at_the_end: the configuration with which jobs can be cancelled and seen to end.
    """
    # This interpreter first: the stand-in's scripts start with "env python3".
    path = os.pathsep.join(
        (str(commands(dialect.system)), str(Path(sys.executable).parent), os.environ["PATH"])
    )
    channel = LocalChannel({"PATH": path, "PBS_STANDIN": str(state)})
    scheduler = CommandScheduler(dialect, channel, timeout=120)
    yield scheduler
    configure(state, down=False, **at_the_end)
    left = [f"{job.name}.{host}" for job in state.glob("jobs/*")]
    scheduler.cancel(left)

    def over() -> bool:
        return all(status.phase is Phase.FINISHED for status in scheduler.poll(left).values())

    wait_for(over, "nothing is left running", 120)


def run_command(system: str, state: Path, *command: str, stdin: str = "") -> tuple[int, str]:
    """Exit status and standard error of one of the stand-in's commands."""
    done = subprocess.run(
        [commands(system) / command[0], *command[1:]],
        input=stdin,
        env={**os.environ, "PBS_STANDIN": str(state)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


class PbsContract(SchedulerContract):
    """The contract, as every PBS keeps it.

    Attributes:
        no_room: in the detail of a job that waits for free processors.
    """

    impossible = Resources(queue="nowhere")
    walltime = (2, 120)
    patience = 120
    no_room = ""

    def waiting(
        self, scheduler: Scheduler, logs: Path, seconds: int, body: str, **more: Any
    ) -> BatchJob:
        # Fractions of a second are cut off.
        start = time.strftime("%Y%m%d%H%M.%S", time.localtime(time.time() + seconds + 1))
        return self.job(scheduler, logs, body, extra=(f"-a {start}",), **more)

    def test_owner_who_is_no_operator_cannot_suspend_and_is_told_who_can(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        configure(state, operators=[])
        job = self.submit(scheduler, logs, "sleep 600")
        self.until(scheduler, job, Phase.RUNNING)
        with pytest.raises(NotPermitted, match="an operator of the server may"):
            scheduler.pause([job])
        assert scheduler.poll([job])[job].phase is Phase.RUNNING

    def test_job_waits_for_free_processors_and_says_so(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        first = self.submit(scheduler, logs, "sleep 600", cpus=6)
        self.until(scheduler, first, Phase.RUNNING)
        second = self.submit(scheduler, logs, "true", cpus=6)
        status = self.until(scheduler, second, lambda status: "(" in status.detail)
        assert (status.phase, status.hopeless) == (Phase.QUEUED, False)
        assert self.no_room in status.detail
        scheduler.cancel([first])
        assert self.until(scheduler, second, Phase.FINISHED).exit_code == 0

    def test_limit_on_the_number_of_jobs_postpones(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        configure(state, max_user_queuable=1)
        jobs = [self.job(scheduler, logs, "sleep 600") for _ in range(2)]
        scheduler.submit(jobs[0])
        with pytest.raises(SubmissionPostponed) as trouble:
            scheduler.submit(jobs[1])
        assert trouble.value.passing
        assert len(scheduler.find(jobs[0].name)) == 1
        assert scheduler.find(jobs[1].name) == []


class PbsSilence:
    """What holds while the server does not answer.

    Attributes:
        contract: makes the jobs.
        codes: exit statuses of the commands meanwhile.
    """

    contract: type[PbsContract]
    codes: tuple[int, ...]

    def test_no_question_is_answered_and_nothing_changes(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        contract = self.contract()
        job = contract.submit(scheduler, logs, "sleep 600")
        contract.until(scheduler, job, Phase.RUNNING)
        configure(state, down=True)
        for ask in (scheduler.poll, scheduler.history, scheduler.cancel, scheduler.pause):
            with pytest.raises(SchedulerUnavailable) as trouble:
                ask([job])
            assert trouble.value.transient
            assert trouble.value.returncode in self.codes
        with pytest.raises(SchedulerUnavailable):
            scheduler.find("tanything")
        configure(state, down=False)
        assert scheduler.poll([job])[job].phase is Phase.RUNNING

    def test_submission_is_postponed_rather_than_refused_or_in_doubt(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        job = self.contract().job(scheduler, logs, "true")
        configure(state, down=True)
        with pytest.raises(SubmissionPostponed) as trouble:
            scheduler.submit(job)
        assert not trouble.value.answered
        configure(state, down=False)
        assert scheduler.find(job.name) == []


def captured(system: str, case: str, ids: str, job: str) -> tuple[int, str]:
    """Exit status and standard error of a real system's command.

    Args:
        system: whose answer it is.
        case: its name.
        ids: pattern of the ids of the jobs that it is about.
        job: to put in their place.
    """
    code, _, words = dialects.captured(system, case)
    return code, re.sub(ids, job, words)
