"""The scheduler contract over the embedded scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import SchedulerContract
from pywps_hpc.dispatch.schedulers.base import (
    Phase,
    Resources,
    Scheduler,
    SchedulerUnavailable,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.local import LocalScheduler


class TestLocal(SchedulerContract):
    impossible = Resources(cpus=5)

    @pytest.fixture
    def scheduler(self, tmp_path: Path) -> Iterator[Scheduler]:
        scheduler = LocalScheduler(tmp_path / "state", cpus=4, grace=1)
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
        job = self.submit(scheduler, logs, "sleep 60")
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
