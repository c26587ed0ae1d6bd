"""The embedded scheduler loses nothing, doubles nothing and lets nothing escape."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    Outcome,
    Phase,
    Resources,
    SchedulerUnavailable,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.local import LocalScheduler
from pywps_hpc.dispatch.schedulers.local_runtime import job as local_job
from pywps_hpc.dispatch.schedulers.local_runtime import lock
from servers import wait_for

#: How a sleep is told from any other process of this host, another run of these tests included.
NAP = f"4001.{os.getpid()}"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    scheduler = LocalScheduler(tmp_path / "state", grace=0.2)
    scheduler.cancel([folder.name for folder in (tmp_path / "state/queue").iterdir()])


@pytest.fixture
def scheduler(state: Path) -> LocalScheduler:
    return LocalScheduler(state, cpus=4, grace=1)


def job(folder: Path, body: str, name: str = "t1", **resources: Any) -> BatchJob:
    need = Resources(**{"memory": 200, **resources})
    return BatchJob(name, f"#!/bin/bash\n{body}\n", str(folder / "log"), resources=need)


def until(file: Path) -> str:
    """Shell: go on when the test makes this file."""
    return f"until [ -e {file} ]; do sleep 0.1; done"


def wait(condition: Callable[[], Any]) -> Any:
    return wait_for(condition, "what the test waits for", 120)


def said(folder: Path) -> str:
    """What the job's script has written, once it has written something."""
    log = folder / "log"
    return str(wait(lambda: log.exists() and log.read_text()))


def finished(scheduler: LocalScheduler, number: str) -> JobStatus:
    def ended() -> JobStatus | None:
        status = scheduler.poll([number])[number]
        return status if status.phase is Phase.FINISHED else None

    status: JobStatus = wait(ended)
    return status


def phases(scheduler: LocalScheduler, ids: list[str]) -> list[Phase]:
    answer = scheduler.poll(ids)
    return [answer[number].phase for number in ids]


def supervisor(state: Path, number: str) -> int:
    return int((state / "queue" / number / "started").read_text())


def naps() -> list[int]:
    """The processes that sleep for so long."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and NAP in (
            process.info["cmdline"] or []
        ):
            found.append(process.pid)
    return found


def no_naps() -> bool:
    """A process that was killed may take a moment to be gone."""
    return not naps()


def submit(scheduler: LocalScheduler, *jobs: BatchJob) -> list[str]:
    return [number for job in jobs for number in scheduler.submit(job)]


# --- the queue


def test_jobs_beyond_the_processors_wait_in_order_and_nobody_overtakes(
    scheduler: LocalScheduler, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    first = job(tmp_path, until(one), cpus=3)
    large = job(tmp_path, until(two), cpus=4)
    small = job(tmp_path, "true", cpus=1)
    ids = submit(scheduler, first, large, small)
    assert phases(scheduler, ids) == [Phase.RUNNING, Phase.QUEUED, Phase.QUEUED]
    one.touch()
    finished(scheduler, ids[0])
    assert phases(scheduler, ids[1:]) == [Phase.RUNNING, Phase.QUEUED]
    two.touch()
    finished(scheduler, ids[2])


def test_held_job_lets_others_pass(scheduler: LocalScheduler, tmp_path: Path) -> None:
    go = tmp_path / "go"
    jobs = [job(tmp_path, until(go), cpus=4), job(tmp_path, "true"), job(tmp_path, "true")]
    blocker, held, other = submit(scheduler, *jobs)
    scheduler.pause([held])
    go.touch()
    finished(scheduler, blocker)
    finished(scheduler, other)
    assert phases(scheduler, [held]) == [Phase.HELD]


def test_gpus_are_counted_too(state: Path, tmp_path: Path) -> None:
    scheduler = LocalScheduler(state, cpus=4, gpus=1)
    ids = submit(scheduler, job(tmp_path, "sleep 600", gpus=1), job(tmp_path, "true", gpus=1))
    assert phases(scheduler, ids) == [Phase.RUNNING, Phase.QUEUED]
    with pytest.raises(SubmissionRefused, match="2 GPUs, this host has 1"):
        scheduler.submit(job(tmp_path, "true", gpus=2))


def test_callers_at_the_same_time_get_different_ids_and_share_the_processors(
    state: Path, tmp_path: Path
) -> None:
    ids: list[str] = []

    def submit() -> None:
        mine = LocalScheduler(state, cpus=2)
        for _ in range(5):
            ids.extend(mine.submit(job(tmp_path, "sleep 600")))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 20
    assert phases(LocalScheduler(state, cpus=2), ids).count(Phase.RUNNING) == 2


# --- nothing is lost, nothing runs twice


def test_new_instance_finds_everything_after_a_kill(state: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = f"""
import os, signal
from pathlib import Path
from pywps_hpc.dispatch.schedulers.base import BatchJob, Resources
from pywps_hpc.dispatch.schedulers.local import LocalScheduler
scheduler = LocalScheduler(Path({str(state)!r}), cpus=2)
def job(name, body):
    return BatchJob(name, body, {str(tmp_path / "log")!r}, resources=Resources(cpus=2))
for name, body in [("ran", "exit 3"), ("runs", "{until(go)}; exit 4"), ("waits", "exit 5")]:
    scheduler.submit(job(name, body))
while scheduler.poll(["1"])["1"].exit_code != 3: pass
scheduler.submit(job("held", "true"))
scheduler.pause(["4"])
os.kill(0, signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], start_new_session=True)
    assert killed.returncode == -signal.SIGKILL
    scheduler = LocalScheduler(state, cpus=2)
    assert [scheduler.find(name) for name in ("ran", "runs", "waits", "held")] == [
        ["1"],
        ["2"],
        ["3"],
        ["4"],
    ]
    assert phases(scheduler, ["1", "2", "3", "4"]) == [
        Phase.FINISHED,
        Phase.RUNNING,
        Phase.QUEUED,
        Phase.HELD,
    ]
    go.touch()
    assert finished(scheduler, "3").exit_code == 5
    assert scheduler.history(["1", "2"])["2"].exit_code == 4


def test_job_recorded_but_not_started_is_started_by_the_next_caller(
    scheduler: LocalScheduler, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(local_job.LocalJob, "start", crash)
        with pytest.raises(KeyboardInterrupt):
            scheduler.submit(job(tmp_path, "echo ran"))
    again = LocalScheduler(state, cpus=4)
    assert again.find("t1") == ["1"]
    assert finished(again, "1").exit_code == 0
    assert (tmp_path / "log").read_text() == "ran\n"


def test_disk_that_fails_after_the_job_was_written_down_leaves_a_doubt(
    scheduler: LocalScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(local_job.LocalJob, "start", fail)
        with pytest.raises(SubmissionUncertain, match="no space left"):
            scheduler.submit(job(tmp_path, "true"))
    assert scheduler.find("t1") == ["1"]
    assert finished(scheduler, "1").exit_code == 0


def test_submission_that_was_cut_off_is_no_job(
    scheduler: LocalScheduler, state: Path, tmp_path: Path
) -> None:
    (state / ".new-1").mkdir()
    (state / ".new-1/job.json").write_text('{"name": "t')
    assert scheduler.find("t1") == []
    (number,) = scheduler.submit(job(tmp_path, "true"))
    assert finished(scheduler, number).exit_code == 0


def test_two_supervisors_for_one_job_run_it_once(
    scheduler: LocalScheduler, state: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    jobs = [job(tmp_path, "sleep 600", cpus=4), job(tmp_path, f"echo ran; {until(go)}", cpus=4)]
    _, number = submit(scheduler, *jobs)
    waiting = local_job.LocalJob(state / "queue" / number)
    runners = [waiting.start() for _ in range(4)]
    for runner in runners:
        assert runner is not None
        runner.wait(120)
    go.touch()
    assert finished(scheduler, number).exit_code == 0
    scheduler.poll([])  # it may have ended while it was asked for: now it is put away
    late = local_job.LocalJob(state / "ended" / number)
    runner = late.start()
    assert runner is not None
    runner.wait(120)
    time.sleep(0.5)
    assert (tmp_path / "log").read_text() == "ran\n"


def test_process_id_given_to_somebody_else_is_not_mistaken_for_the_job(
    scheduler: LocalScheduler, state: Path, tmp_path: Path
) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        (number,) = scheduler.submit(job(tmp_path, "echo runs; sleep 600"))
        said(tmp_path)
        dead = supervisor(state, number)
        os.kill(dead, signal.SIGKILL)
        wait(lambda: not psutil.pid_exists(dead))
        (state / "queue" / number / "started").write_text(str(stranger.pid))
        scheduler.cancel([number])
        scheduler.pause([number])
        assert finished(scheduler, number).outcome is Outcome.UNKNOWN
        assert stranger.poll() is None
        stranger.kill()


def test_supervisor_that_cannot_start_fails_the_job_in_words(
    scheduler: LocalScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_job.runner, "__file__", str(tmp_path / "missing.py"))
    (number,) = scheduler.submit(job(tmp_path, "true"))
    status = finished(scheduler, number)
    assert status.outcome is Outcome.COULD_NOT_START
    assert "missing.py" in status.detail


def test_numbers_are_never_given_again(state: Path, tmp_path: Path) -> None:
    scheduler = LocalScheduler(state, remember=0)
    (number,) = scheduler.submit(job(tmp_path, "true"))
    wait(lambda: not scheduler.poll([number]))
    assert scheduler.find("t1") == []
    assert scheduler.submit(job(tmp_path, "true")) == [str(int(number) + 1)]


# --- nothing escapes


def test_what_a_script_leaves_behind_ends_with_it(
    scheduler: LocalScheduler, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    (number,) = scheduler.submit(job(tmp_path, f"env -i setsid sleep {NAP} & {until(go)}"))
    wait(naps)
    go.touch()
    finished(scheduler, number)
    wait(no_naps)


def test_cancel_reaches_processes_that_hide(scheduler: LocalScheduler, tmp_path: Path) -> None:
    body = f"""
(env -i setsid bash -c 'trap "" TERM; sleep {NAP}; sleep {NAP}' &) &
trap '' TERM
sleep {NAP}
sleep {NAP}"""
    (number,) = scheduler.submit(job(tmp_path, body))
    wait(lambda: len(naps()) == 2)
    scheduler.cancel([number])
    assert finished(scheduler, number).outcome is Outcome.CANCELLED
    wait(no_naps)


def test_job_whose_supervisor_was_killed_does_not_run_on(
    scheduler: LocalScheduler, state: Path, tmp_path: Path
) -> None:
    (number,) = scheduler.submit(job(tmp_path, f"sleep {NAP} & sleep {NAP}"))
    wait(lambda: len(naps()) == 2)
    os.kill(supervisor(state, number), signal.SIGKILL)
    status = finished(scheduler, number)
    assert (status.outcome, status.exit_code) == (Outcome.UNKNOWN, None)
    assert "supervisor was killed" in status.detail
    wait(no_naps)


def test_job_whose_supervisor_fails_does_not_run_on(
    scheduler: LocalScheduler, state: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    jobs = [job(tmp_path, until(go), cpus=4), job(tmp_path, f"sleep {NAP}")]
    _, number = submit(scheduler, *jobs)
    facts = state / "queue" / number / "job.json"
    facts.write_text(facts.read_text().replace('"walltime": 3600', '"walltime": "soon"'))
    go.touch()
    status = finished(scheduler, number)
    assert status.outcome is Outcome.UNKNOWN
    assert "supervisor failed: TypeError" in status.detail
    wait(no_naps)


def test_last_word_waits_for_a_directory_that_is_away(
    scheduler: LocalScheduler, state: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    (number,) = scheduler.submit(job(tmp_path, f"echo $$; {until(go)}; exit 3"))
    script = int(said(tmp_path))
    state.rename(tmp_path / "away")
    go.touch()
    wait(lambda: not psutil.pid_exists(script))  # its supervisor knows the exit code
    time.sleep(1)
    (tmp_path / "away").rename(state)
    assert finished(scheduler, number).exit_code == 3


def test_supervisor_that_begins_at_this_moment_is_not_taken_for_dead(
    scheduler: LocalScheduler, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    first = job(tmp_path, "sleep 600", cpus=4)
    blocker, number = submit(scheduler, first, job(tmp_path, f"{until(go)}; exit 3", cpus=4))
    waiting = local_job.LocalJob(state / "queue" / number)
    has = waiting._has

    def begins_meanwhile(name: str) -> bool:
        if name == "started" and not has("started"):
            runner = waiting.start()
            assert runner is not None
            waiting.await_start(runner)
        return has(name)

    with monkeypatch.context() as patch:
        patch.setattr(waiting, "_has", begins_meanwhile)
        assert waiting.status().phase is Phase.RUNNING
    go.touch()
    assert finished(scheduler, number).exit_code == 3
    scheduler.cancel([blocker])


def test_script_cannot_kill_its_supervisor_by_accident(
    scheduler: LocalScheduler, tmp_path: Path
) -> None:
    (number,) = scheduler.submit(job(tmp_path, "kill -KILL 0"))
    status = finished(scheduler, number)
    assert (status.outcome, status.signal) == (Outcome.SIGNALLED, 9)


def test_supervisor_ignores_signals_meant_for_others(
    scheduler: LocalScheduler, state: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    (number,) = scheduler.submit(job(tmp_path, f"{until(go)}; exit 3"))
    for name in ("TERM", "USR1"):
        os.kill(supervisor(state, number), getattr(signal, f"SIG{name}"))
    go.touch()
    assert finished(scheduler, number).exit_code == 3


# --- limits


class Clock:
    """What the supervisors of jobs take for the monotonic clock."""

    def __init__(self, folder: Path) -> None:
        self._now, self._told = folder / "now", folder / "told"
        self.runner = folder / "runner.py"
        self.runner.write_text(
            "import pathlib, runpy, time\n"
            f"now, told = map(pathlib.Path, {[str(self._now), str(self._told)]})\n"
            "def tell():\n"
            "    text = now.read_text()\n"
            "    told.write_text(text)\n"
            "    return float(text)\n"
            "time.monotonic = tell\n"
            f"runpy.run_path({local_job.runner.__file__!r}, run_name='__main__')\n"
        )
        self._set(0)

    def advance(self, seconds: float) -> None:
        """Set it on, and wait until somebody has looked at it."""
        self._set(float(self._now.read_text()) + seconds)
        wait(lambda: self._told.read_text() == self._now.read_text())

    def _set(self, now: float) -> None:
        new = self._now.with_name("new")
        new.write_text(str(now))
        new.rename(self._now)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    (tmp_path / "clock").mkdir()
    clock = Clock(tmp_path / "clock")
    monkeypatch.setattr(local_job.runner, "__file__", str(clock.runner))
    return clock


def test_clock_stands_still_while_a_job_is_suspended(
    scheduler: LocalScheduler, tmp_path: Path, clock: Clock
) -> None:
    go = tmp_path / "go"
    body = f"echo $$; {until(go)}; exit 3"
    (number,) = scheduler.submit(job(tmp_path, body, walltime=3600))
    script = psutil.Process(int(said(tmp_path)))
    clock.advance(3000)
    scheduler.pause([number])
    wait(lambda: script.status() == psutil.STATUS_STOPPED)
    clock.advance(10_000)
    assert phases(scheduler, [number]) == [Phase.SUSPENDED]
    scheduler.resume([number])
    go.touch()
    assert finished(scheduler, number).exit_code == 3


def test_time_limit_holds_without_anybody_asking(
    scheduler: LocalScheduler, tmp_path: Path, clock: Clock
) -> None:
    body = f"trap 'echo warned; exit 0' TERM; sleep {NAP} & wait"
    (number,) = scheduler.submit(job(tmp_path, body, walltime=3600))
    wait(naps)
    clock.advance(3599)
    assert naps()
    clock.advance(1)
    wait(no_naps)
    status = finished(scheduler, number)
    assert (status.outcome, status.exit_code) == (Outcome.TIME_LIMIT, None)
    assert status.detail == "time limit of 3600 s reached"
    assert (tmp_path / "log").read_text() == "warned\n"


def test_memory_of_all_processes_counts_together(scheduler: LocalScheduler, tmp_path: Path) -> None:
    hog = "python3 -c 'import time; x = bytearray(60 * 2**20); time.sleep(600)'"
    (number,) = scheduler.submit(job(tmp_path, f"{hog} & {hog} & {hog} & wait", memory=150))
    status = finished(scheduler, number)
    assert status.outcome is Outcome.MEMORY_LIMIT
    assert status.detail.endswith("limit 150 MiB")


def test_environment_of_the_administrator_reaches_the_job(state: Path, tmp_path: Path) -> None:
    scheduler = LocalScheduler(state, environment={"SCRATCH": "/a b"})
    (number,) = scheduler.submit(job(tmp_path, 'echo "$SCRATCH"'))
    finished(scheduler, number)
    assert (tmp_path / "log").read_text() == "/a b\n"


# --- the lock


def keeper(state: Path, then: str) -> subprocess.Popen[bytes]:
    """Another process of ours that holds the lock, and what it does then."""
    lines = (
        "import os, signal, sys, time",
        "from pywps_hpc.dispatch.schedulers.local_runtime.lock import take",
        f"lock = open({str(state / 'lock')!r}, 'a')",
        "take(lock.fileno())",
        "print('has it', flush=True)",
        then,
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    found = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert found.stdout is not None
    assert found.stdout.readline() == b"has it\n"
    return found


def test_a_stopped_holder_of_the_lock_stops_nobody_else(
    scheduler: LocalScheduler, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "STOPPED", 0.3)
    with keeper(state, "os.kill(os.getpid(), signal.SIGSTOP)") as holder:
        (number,) = scheduler.submit(job(tmp_path, "echo ran"))
        assert holder.wait(60) == -signal.SIGKILL
    assert finished(scheduler, number).exit_code == 0


def test_a_holder_at_work_is_waited_for_and_then_named(
    scheduler: LocalScheduler, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "STOPPED", 0.1)
    monkeypatch.setattr(lock, "PATIENCE", 0.5)
    with keeper(state, "time.sleep(300)") as holder:
        with pytest.raises(SchedulerUnavailable, match=str(holder.pid)):
            scheduler.poll([])
        assert holder.poll() is None
        holder.kill()
    assert scheduler.poll([]) == {}


# --- a long queue


def test_a_submission_costs_the_same_however_many_jobs_wait(
    scheduler: LocalScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(scheduler, job(tmp_path, "sleep 600", cpus=4))
    looked: list[int] = []
    status = local_job.LocalJob.status

    def counted(one: local_job.LocalJob) -> JobStatus:
        looked.append(one.number)
        return status(one)

    monkeypatch.setattr(local_job.LocalJob, "status", counted)
    counts = []
    for _ in range(30):
        looked.clear()
        submit(scheduler, job(tmp_path, "true"))
        counts.append(len(looked))
    assert counts[-1] == counts[0] > 0


def test_what_an_earlier_version_left_is_adopted(state: Path, tmp_path: Path) -> None:
    before = LocalScheduler(state, cpus=1, grace=0.2)
    running, waiting = submit(before, job(tmp_path, "sleep 600"), job(tmp_path, "echo ran"))
    for entry in (state / "active").iterdir():  # which the earlier version did not know
        entry.unlink()
    (state / "active").rmdir()
    after = LocalScheduler(state, cpus=1, grace=0.2)
    assert phases(after, [running, waiting]) == [Phase.RUNNING, Phase.QUEUED]
    after.cancel([running])
    assert finished(after, waiting).exit_code == 0
    assert not list((state / "active").iterdir())
