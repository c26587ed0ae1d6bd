"""No result goes because a clock was set ahead, wherever ages are counted."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from dispatcher_harness import DispatcherHarness
from pywps_hpc.cli.main import commands
from pywps_hpc.dispatch.schedulers import local
from pywps_hpc.dispatch.schedulers.base import BatchJob, Phase
from pywps_hpc.dispatch.schedulers.local import LocalScheduler
from pywps_hpc.jobs import Job, State, clock
from pywps_hpc.jobs.clock import Reading, follow
from pywps_hpc.settings import Resources, Retention
from pywps_hpc.timing import TIMING
from servers import wait_for, write_config

DAY = 86400.0
START = Reading(1000 * DAY, 5000.0, "this boot")


def after(*steps: tuple[float, float], last: Reading = START, place: str = "this boot") -> Reading:
    """What is thought when these seconds went by, and by these the clock was set besides."""
    for passed, by in steps:
        last = follow(last, last.wall + passed + by, last.uptime + passed, place)
    return last


# What is believed


def test_time_that_passes_is_believed_however_long() -> None:
    assert after((60, 0), (3650 * DAY, 0)).doubt == ""
    assert after((60, TIMING.clock_leap), (60, -TIMING.clock_leap)).doubt == ""  # what NTP does


@pytest.mark.parametrize("by", [TIMING.clock_leap + 1, 3600, 40 * DAY])
def test_a_clock_that_is_set_ahead_is_doubted_for_a_bounded_time(by: float) -> None:
    assert after((60, by)).doubt
    assert after((60, by), *[(60, 0)] * 100).doubt
    assert after((60, by), (TIMING.clock_trial - 1, 0)).doubt
    assert after((60, by), (TIMING.clock_trial / 2, 0), (TIMING.clock_trial / 2, 0)).doubt == ""
    assert after((60, by), (TIMING.clock_trial - 1, 0), (60, by), (TIMING.clock_trial - 1, 0)).doubt


def test_a_clock_that_is_set_back_again_is_believed_at_once() -> None:
    assert after((60, 40 * DAY), (60, -40 * DAY)).doubt == ""
    assert after((60, 40 * DAY), (60, -10 * DAY)).doubt
    assert after((60, -40 * DAY)).doubt == ""


@pytest.mark.parametrize("place", ["another boot", "this boot"])
def test_nobody_knows_how_long_it_was_after_another_boot(place: str) -> None:
    def seen(later: float) -> Reading:
        return follow(START, START.wall + later, 10.0, place)

    assert seen(TIMING.unwatched).doubt == ""
    assert seen(40 * DAY).doubt
    assert seen(-40 * DAY).doubt == ""


def test_the_doubt_outlives_a_restart() -> None:
    doubted = after((60, 40 * DAY))
    later = follow(doubted, doubted.wall + 300, 20.0, "another boot")
    assert later.doubt
    assert 0 < later.trial < TIMING.clock_trial


# What is done


def finish(harness: DispatcherHarness) -> Job:
    job = harness.accept()
    (harness.folder(job).script).write_text("#!/bin/sh\n")
    moved = harness.store.move(job, State.SUCCEEDED, finished=harness.now)
    assert moved is not None
    return moved


@pytest.fixture
def harness(tmp_path: Path, database: str) -> DispatcherHarness:
    harness = DispatcherHarness(tmp_path, database=database)
    harness.settings = dataclasses.replace(harness.settings, retention=Retention(age=7 * DAY))
    harness.restart()
    harness.cycle()
    return harness


def set_clock(harness: DispatcherHarness, by: float) -> None:
    harness.now += by
    harness.set_ahead += by


def is_there(harness: DispatcherHarness, job: Job) -> bool:
    return harness.store.get(job.id) is not None and harness.folder(job).status.exists()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_no_result_goes_when_the_clock_is_set_ahead(
    harness: DispatcherHarness, is_restarted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    job = finish(harness)
    set_clock(harness, 40 * DAY)
    if is_restarted:
        harness.restart()
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            harness.cycle(later=TIMING.retention_look)
    assert is_there(harness, job)
    said = [record.getMessage() for record in caplog.records]
    told = [message for message in said if "jumped ahead" in message]
    assert len(told) == 1
    assert "40 days" in told[0]
    assert "pywps-hpc purge --clock-is-right" in told[0]
    set_clock(harness, -40 * DAY)
    harness.cycle(later=6 * DAY)
    assert is_there(harness, job)
    harness.cycle(later=DAY)
    wait_for(lambda: not is_there(harness, job), "its own time is over")


def test_after_a_bounded_time_the_clock_is_believed(harness: DispatcherHarness) -> None:
    job = finish(harness)
    set_clock(harness, 40 * DAY)
    for _ in range(23):
        harness.cycle(later=3600)
    assert is_there(harness, job)
    for _ in range(2):
        harness.cycle(later=3600)
    wait_for(lambda: not is_there(harness, job), "it is gone")


def test_a_folder_of_a_job_that_is_being_accepted_is_not_taken_for_an_old_one(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = harness.spool.create("11111111-2222-4333-8444-555555555555")
    set_clock(harness, 40 * DAY)
    monkeypatch.setattr("pywps_hpc.spool.Spool.now", lambda spool: harness.now)
    for _ in range(3):
        harness.cycle(later=TIMING.left_over_age)
    assert fresh.path.exists()


def test_retention_goes_on_while_the_clock_is_behind(harness: DispatcherHarness) -> None:
    old = finish(harness)
    harness.cycle(later=7 * DAY - 100)
    set_clock(harness, -3600)
    harness.cycle(later=3600 + 200)
    wait_for(lambda: not is_there(harness, old), "it is gone")


def test_the_command_removes_nothing_by_a_clock_that_is_doubted(tmp_path: Path) -> None:
    harness = DispatcherHarness(tmp_path)
    keys = {"spool": harness.spool.root, "database": harness.settings.database}
    config = write_config(tmp_path / "config", "http://127.0.0.1:9/wps", hpc=keys)
    harness.now -= 40 * DAY
    job = finish(harness)
    clock.look(harness.store, harness.now, clock.boottime())  # and within a moment it is today

    def purge(*more: str) -> tuple[int, str]:
        result = CliRunner().invoke(
            commands, ["purge", "--config", str(config), "--older-than", "7d", *more]
        )
        return result.exit_code, result.output

    for more in ([], ["--dry-run"]):
        code, output = purge(*more)
        assert code == 1
        assert "the clock jumped ahead by 40 days" in output
        assert is_there(harness, job)
    status = CliRunner().invoke(commands, ["status", "--config", str(config)]).output
    assert "clock " in status
    assert "nothing is removed because of its age" in status
    code, output = purge("--clock-is-right")
    assert code == 0
    assert "1 jobs" in output
    assert not is_there(harness, job)


def test_the_local_scheduler_does_not_forget_ends_that_nobody_has_heard_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = LocalScheduler(tmp_path / "state")
    script = "#!/bin/sh\nexit 3\n"
    job = BatchJob(
        name="w1", script=script, log=str(tmp_path / "log"), path="", comment="", array_indices=(),
        resources=Resources(cpus=1, memory=64, walltime=60),
    )  # fmt: skip
    (number,) = scheduler.submit(job)
    wait_for(lambda: scheduler.poll([number])[number].phase is Phase.FINISHED, "it ends")
    real = time.time
    monkeypatch.setattr(local.time, "time", lambda: real() + 40 * DAY)
    for _ in range(3):
        scheduler._next_purge = 0.0
        assert scheduler.poll([number])[number].phase is Phase.FINISHED
