"""The scheduler contract over a real Slurm (tests/infra), and Slurm when it does not answer."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pywps_hpc.dispatch.channels.local import Completed, LocalChannel
from pywps_hpc.dispatch.schedulers.base import (
    NotPermitted,
    Outcome,
    Phase,
    Scheduler,
    SchedulerUnavailable,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect
from scheduler_contract import Remembering, SilenceContract, SlurmContract
from servers import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]

HOME = Path(os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc"))
CONF = HOME / "slurm/slurm.conf"
USER = os.environ.get("PYWPS_HPC_TEST_USER", "wps")


class AsUser(LocalChannel):
    """Runs commands as the test cluster's user."""

    def __init__(self, conf: Path = CONF) -> None:
        super().__init__({"SLURM_CONF": str(conf), "USER": USER, "LOGNAME": USER})

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        return super().run(["runuser", "-u", USER, "--", *argv], stdin=stdin, timeout=timeout)


@pytest.fixture
def logs() -> Path:
    """It stays: jobs may begin or end, and write there, after the test."""
    folder = HOME / "shared" / f"contract-{secrets.token_hex(4)}"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    mine = _Slurm(SlurmDialect(), AsUser())
    yield mine
    mine.clean_up()


class _Slurm(Remembering, CommandScheduler):
    """Slurm by its commands."""


class TestSlurm(SlurmContract):
    def test_job_beyond_the_limit_of_its_partition_is_hopeless(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.submit(scheduler, logs, "true", queue="short", walltime=1800)
        status = self.until(scheduler, job, lambda status: status.hopeless)
        assert (status.phase, status.detail) == (Phase.QUEUED, "PENDING (PartitionTimeLimit)")

    def test_job_suspended_by_an_operator_cannot_be_resumed_by_its_owner_and_says_so(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.started(scheduler, logs)
        control = {**os.environ, "SLURM_CONF": str(CONF)}
        subprocess.run(["scontrol", "suspend", job], env=control, check=True)
        self.until(scheduler, job, Phase.SUSPENDED)
        with pytest.raises(NotPermitted, match="an operator of the cluster may"):
            scheduler.resume([job])
        subprocess.run(["scontrol", "resume", job], env=control, check=True)
        self.until(scheduler, job, Phase.RUNNING)

    def test_accounting_alone_knows_how_jobs_ended(self, scheduler: Scheduler, logs: Path) -> None:
        assert isinstance(scheduler, CommandScheduler)
        ended = {
            self.submit(scheduler, logs, "exit 4"): (Outcome.EXITED, 4, None),
            self.submit(scheduler, logs, "true"): (Outcome.EXITED, 0, None),
            self.submit(scheduler, logs, "kill -SEGV $$"): (Outcome.SIGNALLED, None, 11),
        }
        for job in ended:
            self.until(scheduler, job, Phase.FINISHED)
        scheduler.dialect.recent = lambda ids: None  # type: ignore[method-assign]
        wait_for(lambda: scheduler.history(ended).keys() == ended.keys(), "accounting has them")
        answer = scheduler.history(ended)
        assert {
            job: (status.outcome, status.exit_code, status.signal) for job, status in answer.items()
        } == ended

    def test_banner_of_a_login_shell_does_not_matter(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        noisy = CommandScheduler(SlurmDialect(), _Banner())
        job = self.job(scheduler, logs, "exit 3")
        (number,) = noisy.submit(job)
        assert noisy.find(job.name) == [number]
        assert self.until(noisy, number, Phase.FINISHED).exit_code == 3
        assert noisy.history([number])[number].exit_code == 3

    def test_answer_cut_off_within_a_line_is_no_answer(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        ids = [self.started(scheduler, logs) for _ in range(2)]
        cut = _Cut()
        short = CommandScheduler(SlurmDialect(), cut)
        for cut.at in range(80):
            try:
                answer = short.poll(ids)
            except SchedulerUnavailable:
                continue
            # Cut between two lines: the rows that are there are right.
            assert cut.passed.endswith("|end\n")
            assert {status.phase for status in answer.values()} <= {Phase.RUNNING}


class _Banner(AsUser):
    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        code, out, err = super().run(argv, stdin=stdin, timeout=timeout)
        return Completed(code, f"*** Welcome ***\n12\n\n{out}", f"Have | fun\n{err}")


class _Cut(AsUser):
    """Passes on a part of each answer."""

    at = 0
    passed = ""

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        code, out, err = super().run(argv, stdin=stdin, timeout=timeout)
        self.passed = out[: self.at]
        return Completed(code, self.passed, err)


class TestSlurmDoesNotAnswer(SilenceContract):
    """No daemon of the cluster is touched: the commands are pointed at other ports."""

    contract = TestSlurm

    @pytest.fixture
    def silent(self, port: int, logs: Path) -> Scheduler:
        conf = logs / "slurm.conf"
        text = re.sub(r"(?m)^(SlurmctldPort|AccountingStoragePort)=.*", "", CONF.read_text())
        conf.write_text(f"{text}\nSlurmctldPort={port}\nAccountingStoragePort={port}\n")
        return CommandScheduler(SlurmDialect(), AsUser(conf), timeout=3)
