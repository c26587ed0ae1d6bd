"""The scheduler contract over the embedded scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pywps_hpc.dispatch.schedulers.base import (
    Phase,
    Resources,
    Scheduler,
    SchedulerUnavailable,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.local import LocalScheduler
from scheduler_contract import SchedulerContract
from servers import wait_for


class TestLocal(SchedulerContract):
    impossible = Resources(cpus=5)
    walltime = (2, 120)
    patience = 120

    @pytest.fixture
    def scheduler(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scheduler]:
        # Who has something to do at TERM is not killed meanwhile, however busy the host.
        grace = 60 if "gets_a_term_first" in request.node.name else 1
        scheduler = LocalScheduler(tmp_path / "state", cpus=4, grace=grace)
        yield scheduler
        scheduler.cancel([folder.name for folder in (tmp_path / "state/queue").iterdir()])

    @pytest.fixture
    def logs(self, tmp_path: Path) -> Path:
        return tmp_path

    def submit_waiting(self, scheduler: Scheduler, logs: Path, seconds: int, body: str) -> str:
        self.submit(scheduler, logs, f"sleep {seconds}", cpus=4)
        return self.submit(scheduler, logs, body)

    def test_directory_out_of_reach_says_nothing_about_jobs(
        self, scheduler: Scheduler, logs: Path, tmp_path: Path
    ) -> None:
        own = self.job(scheduler, logs, "echo runs; sleep 600", walltime=600)
        (job,) = scheduler.submit(own)
        log = Path(own.log)
        wait_for(lambda: log.exists() and log.read_text(), "the shell has its script")
        (tmp_path / "state").rename(tmp_path / "away")
        for ask in (scheduler.poll, scheduler.history, scheduler.cancel, scheduler.pause):
            with pytest.raises(SchedulerUnavailable):
                ask([job])
        with pytest.raises(SubmissionUncertain):
            scheduler.submit(self.job(scheduler, logs, "true"))
        with pytest.raises(SchedulerUnavailable):
            scheduler.find("anything")
        (tmp_path / "away").rename(tmp_path / "state")
        assert scheduler.poll([job])[job].phase is Phase.RUNNING
