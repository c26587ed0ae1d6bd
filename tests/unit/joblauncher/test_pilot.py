"""A pilot on its node, with processes of this host for the jobs: limits, requests, orders."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from joblauncher import pilot, pilot_job, processor_time
from joblauncher.halves import END
from joblauncher.pilot import Pilot
from joblauncher.pilot_job import PilotJob
from joblauncher.shared import prctl
from joblauncher.shared.pilotdir import (
    BACK,
    CANCEL,
    ENDED,
    ID_VARIABLES,
    PAUSE,
    PAUSED,
    TAKEN,
    WAITING,
    PilotDir,
    seal,
)

KEY = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> PilotDir:
    made = PilotDir(tmp_path / "pilots" / "pilot-0")
    made.make()
    return made


def order(folder: PilotDir, name: str = "w1", **limits: int) -> dict[str, Any]:
    job = folder.path.parent.parent / name
    job.mkdir(exist_ok=True)
    arguments = ["--digest", "cd" * 32, "--attempt", "0", str(job)]
    warm = {"folder": str(job), "arguments": arguments, "options": []}
    return {"warm": warm, "memory": resident() + 200, "walltime": 60, **limits}


def resident() -> int:
    """What this process has in memory, in MiB, of which its forks are: more, the more tests ran."""
    return int(psutil.Process().memory_info().rss) >> 20


def starts(what: Callable[[], object]) -> pilot_job.Begin:
    """A launcher that does this, below the first process of its namespaces."""

    def begin(
        _order: dict[str, Any], _mark: tuple[str, str], _log: int
    ) -> tuple[socket.socket, int, float]:
        reader, writer = os.pipe()
        mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            mine.close()
            for number in pilot_job.STOP:  # the first process of a namespace is spared by them
                signal.signal(number, signal.SIG_IGN)
            launcher = os.fork()
            if launcher == 0:
                other.close()
                prctl.end_with_parent(signal.SIGKILL)
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                code = what()
                os._exit(code if isinstance(code, int) else 0)
            os.write(writer, str(launcher).encode())
            other.send(END.pack(os.waitpid(launcher, 0)[1], sum(os.times()[:4])))
            os._exit(0)
        other.close()
        launcher = int(os.read(reader, 20))
        os.close(reader)
        os.close(writer)
        return mine, launcher, 0.0

    return begin


def run(
    folder: PilotDir,
    what: Callable[[], object] | pilot_job.Begin,
    meanwhile: Callable[[int], None] = lambda pid: None,
    attempt: int = 0,
    **limits: int,
) -> dict[str, Any] | None:
    """A job's life, with what a test does meanwhile; how it ended."""
    given = order(folder, **limits)
    folder.file(TAKEN, "w1").touch()
    pid = os.fork()
    if pid == 0:
        try:
            begin = what if what is fail else starts(what)  # type: ignore[arg-type]
            PilotJob(folder, "w1", given, attempt).run(begin)  # type: ignore[arg-type]
        except BaseException:
            os._exit(1)
        os._exit(0)
    try:
        meanwhile(pid)
    finally:
        assert os.waitpid(pid, 0)[1] == 0
    return folder.read_end("w1")


def fail(_order: object, _mark: object, _log: object) -> tuple[socket.socket, int, float]:
    raise OSError(12, "Cannot allocate memory")


def sleep() -> None:
    time.sleep(30)


def eat() -> None:
    taken = bytearray(b"x") * (resident() + 300 << 20)
    time.sleep(30 + len(taken) * 0)


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.parametrize("code", [0, 1, 75])
def test_a_job_that_ends_by_itself_ends_as_it_does(folder: PilotDir, code: int) -> None:
    end = run(folder, lambda: code, attempt=2)
    assert end is not None
    assert (end["outcome"], end["exit_code"], end["attempt"]) == ("exited", code, 2)
    assert (folder.path.parent.parent / "w1" / "node").read_text() == f"{os.uname().nodename}\n"


def test_limits_of_a_job_are_its_own(folder: PilotDir) -> None:
    begun = time.monotonic()
    end = run(folder, sleep, walltime=1)
    assert end is not None
    assert (end["outcome"], end["detail"]) == ("time limit", "time limit of 1 s reached")
    most = resident() + 200
    end = run(folder, eat, memory=most)
    assert end is not None
    assert end["outcome"] == "memory limit"
    assert f"limit {most} MiB" in end["detail"]
    assert time.monotonic() - begun < 15


def burn() -> None:
    while time.process_time() < 0.5:
        sum(range(10_000))


def burn_on() -> None:
    burn()
    time.sleep(30)


@pytest.mark.parametrize("what", [burn, burn_on])
def test_what_a_job_used_is_told_also_of_one_that_was_killed(
    folder: PilotDir, what: Callable[[], object]
) -> None:
    end = run(folder, what, walltime=5)
    assert end is not None
    assert end["outcome"] == ("exited" if what is burn else "time limit")
    assert 0.45 < end["cpu_seconds"] < 2


def ignore_the_polite_signal() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep()


def test_what_it_took_to_start_and_end_a_job_is_the_jobs(folder: PilotDir) -> None:
    def begin(*_: object) -> tuple[socket.socket, int, float]:
        mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        other.send(END.pack(0, 1.5))
        launcher = os.fork()
        if launcher == 0:
            os._exit(0)
        os.waitpid(launcher, 0)  # it has ended before anybody looks for it
        return mine, launcher, 4.0

    folder.file(TAKEN, "w1").touch()
    pid = os.fork()
    if pid == 0:
        PilotJob(folder, "w1", order(folder), 0, 2.0).run(begin)
        os._exit(0)
    used = os.wait4(pid, 0)[2]
    end = folder.read_end("w1")
    assert end is not None
    assert 7.5 < end["cpu_seconds"] <= 7.5 + used.ru_utime + used.ru_stime


@pytest.mark.parametrize("what", [sleep, ignore_the_polite_signal])
def test_a_job_is_dismissed_within_3_seconds(folder: PilotDir, what: Callable[[], object]) -> None:
    asked = []

    def dismiss(_pid: int) -> None:
        time.sleep(0.5)
        asked.append(time.monotonic())
        folder.request("w1", CANCEL)

    end = run(folder, what, dismiss)
    assert end is not None
    assert end["outcome"] == "cancelled"
    assert time.monotonic() - asked[0] < 3


def test_a_job_that_is_dismissed_before_it_begins_does_not(folder: PilotDir) -> None:
    folder.request("w1", CANCEL)
    end = run(folder, lambda: (folder.path / "ran").touch())
    assert end is not None
    assert end["outcome"] == "cancelled"
    assert not (folder.path / "ran").exists()


def test_a_job_is_paused_and_goes_on_and_that_time_does_not_count(folder: PilotDir) -> None:
    steps = folder.path / "steps"

    def step() -> None:
        for number in range(20):
            steps.write_text(str(number))
            time.sleep(0.05)

    def pause(_pid: int) -> None:
        until(steps.exists)
        folder.request("w1", PAUSE)
        until(lambda: folder.names(PAUSED))
        before = steps.read_text()
        time.sleep(1.5)
        assert steps.read_text() == before
        folder.request("w1", PAUSE, wanted=False)
        until(lambda: not folder.names(PAUSED))

    end = run(folder, step, pause, walltime=2)
    assert end is not None
    assert end["outcome"] == "exited"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_what_ends_with_its_pilot_leaves_the_reason_to_the_batch_system(
    folder: PilotDir, number: signal.Signals
) -> None:
    def stop(pid: int) -> None:
        time.sleep(0.5)
        os.kill(pid, number)  # Grid Engine's notice goes to every process of a job

    assert run(folder, sleep, stop) is None
    assert folder.names(TAKEN) == {"w1"}


def test_a_job_that_cannot_start_here_goes_back_unless_it_may_have_begun(folder: PilotDir) -> None:
    assert run(folder, fail) is None
    assert folder.names(BACK) == {"w1"}
    end = run(folder, fail, attempt=1)
    assert end is not None
    assert end["outcome"] == "could not start"


# The pilot


class Half:
    """In the place of the process with the modules."""

    what: Callable[[], object] = staticmethod(lambda: 0)

    def __init__(self, *_: object) -> None:
        self.is_ready = False
        self.connection, self._other = socket.socketpair()

    def start(self) -> bool:
        self._other.send(b"ready")
        return True

    def receive(self) -> bool:
        self.connection.recv(100)
        self.is_ready = True
        return True

    def begin(
        self, given: dict[str, Any], mark: tuple[str, str], log: int
    ) -> tuple[socket.socket, int, float]:
        return starts(type(self).what)(given, mark, log)

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Half]]:
    before = {number: signal.getsignal(number) for number in pilot.STOP}
    monkeypatch.setattr(pilot, "ContainerHalf", Half)
    monkeypatch.setattr(Half, "what", staticmethod(lambda: 0))
    yield Half
    for number, handler in before.items():
        signal.signal(number, handler)


def facts(folder: PilotDir, **more: float) -> dict[str, Any]:
    spool = str(folder.path.parent.parent)
    own = {"key": KEY, "slots": 2, "jobs": 100, "idle": 0.5, "walltime": 3600, "job_walltime": 60}
    own |= {"reserve": 130}
    return {**own, "spool": spool, "inside": {}, **more}


def give(folder: PilotDir, name: str, key: str = KEY, **limits: int) -> None:
    content = seal(key, name, order(folder, name, **limits))
    folder.file(WAITING, name).write_bytes(content)


def test_a_pilot_takes_orders_until_it_is_idle(folder: PilotDir, half: type[Half]) -> None:
    for number in range(5):
        give(folder, f"w{number}")
    assert Pilot(folder, facts(folder), 0).run() == 0
    assert folder.names(ENDED) == folder.names(TAKEN) == {f"w{n}" for n in range(5)}
    assert folder.closed.read_text() == "it had no job for a while"


def test_what_a_pilot_takes_for_its_jobs_counts_to_them_once(
    folder: PilotDir, half: type[Half], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(PilotJob):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            (folder.path / self._name).write_text(str(given[4]))

    monkeypatch.setattr(pilot, "PilotJob", Told)
    before = processor_time.own()
    names = [f"w{number}" for number in range(6)]
    for name in names:
        give(folder, name)
    Pilot(folder, facts(folder, slots=1, idle=0.1), 0).run()
    spent = [float((folder.path / name).read_text()) for name in names]
    assert sorted(spent)[0] == 0.0  # of the first one nothing is known yet
    assert sorted(spent)[1] > 0.0
    assert sum(spent) < processor_time.own() - before


def test_a_pilot_runs_no_more_jobs_at_once_and_in_all_than_it_may(
    folder: PilotDir, half: type[Half], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = folder.path / "running"
    running.mkdir()

    def busy() -> int:
        mine = running / str(os.getpid())
        mine.touch()
        time.sleep(0.3)
        most = len(list(running.iterdir()))
        mine.unlink()
        return most

    monkeypatch.setattr(half, "what", staticmethod(busy))
    for number in range(6):
        give(folder, f"w{number}")
    Pilot(folder, facts(folder, jobs=4, idle=60), 0).run()
    assert len(folder.names(TAKEN)) == 4
    assert len(folder.names(WAITING)) == 2
    counts = [(folder.read_end(name) or {})["exit_code"] for name in folder.names(ENDED)]
    assert max(counts) <= 2
    assert folder.closed.read_text() == "it has taken 4 jobs"


def test_a_pilot_takes_the_next_order_the_moment_that_a_job_ends(
    folder: PilotDir, half: type[Half], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pilot, "PAUSES", ((float("inf"), 60.0),))
    for number in range(3):
        give(folder, f"w{number}")
    begun = time.monotonic()
    Pilot(folder, facts(folder, slots=1, jobs=3), 0).run()
    assert len(folder.names(ENDED)) == 3
    assert time.monotonic() - begun < 60


def test_a_pilot_takes_nothing_that_could_outlast_it(folder: PilotDir, half: type[Half]) -> None:
    give(folder, "w1")
    Pilot(folder, facts(folder, walltime=60 + 130 - 1), 0).run()
    assert folder.names(WAITING) == {"w1"}
    assert "less than a job may need" in folder.closed.read_text()


def test_an_order_of_somebody_else_is_none(folder: PilotDir, half: type[Half]) -> None:
    give(folder, "w1", key="00" * 32)
    give(folder, "w2", walltime=61)
    folder.file(WAITING, "w3").write_text("")
    give(folder, "w4")
    folder.file(WAITING, "w5").write_bytes(folder.file(WAITING, "w4").read_bytes())
    Pilot(folder, facts(folder), 0).run()
    assert folder.names(ENDED) == {"w4"}
    assert folder.names(BACK) == {"w1", "w2", "w3", "w5"}


def test_a_pilot_that_is_started_again_begins_with_what_it_had(
    folder: PilotDir, half: type[Half]
) -> None:
    for name in ("w1", "w2"):
        give(folder, name)
        folder.move(name, WAITING, TAKEN)
    folder.write_end("w1", {"outcome": "exited", "exit_code": 0, "detail": "", "attempt": 0})
    Pilot(folder, facts(folder), 1).run()
    assert [(folder.read_end(name) or {})["attempt"] for name in ("w1", "w2")] == [0, 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_pilot_that_is_asked_to_end_ends_its_jobs_and_tells_by_which_signal(
    folder: PilotDir, half: type[Half], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(half, "what", staticmethod(sleep))
    give(folder, "w1")
    give(folder, "w2")

    batch_system = os.fork()  # no thread: a pilot forks, and has no second one
    if batch_system == 0:
        with contextlib.suppress(BaseException):
            until(lambda: len(folder.names(TAKEN)) == 2)
            time.sleep(0.5)
            os.kill(os.getppid(), number)
        os._exit(0)
    begun = time.monotonic()
    assert Pilot(folder, facts(folder), 0).run() == 128 + number
    os.waitpid(batch_system, 0)
    assert time.monotonic() - begun < 10
    assert folder.names(ENDED) == set()
    assert folder.closed.read_text() == "the batch system asked for its end"


def test_a_pilot_runs_only_what_its_batch_script_names(folder: PilotDir) -> None:
    folder.facts.write_text(json.dumps(facts(folder)))
    digest = hashlib.sha256(b"other").hexdigest()
    assert pilot.main(["--digest", digest, str(folder.path)]) == 1
    assert not folder.closed.exists()


@pytest.mark.parametrize("variable", ID_VARIABLES)
def test_of_two_batch_jobs_that_are_one_pilot_the_second_does_nothing(
    folder: PilotDir, half: type[Half], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    told = json.dumps(facts(folder, idle=0.1)).encode()
    folder.facts.write_bytes(told)

    def start(native: str, attempt: int = 0) -> None:
        for name in ID_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, native)
        digest = hashlib.sha256(told).hexdigest()
        line = ["--digest", digest, "--attempt", str(attempt), str(folder.path)]
        assert pilot.main(line) == 0
        assert variable not in os.environ  # nor in a job's

    give(folder, "w1")
    start("13.head")
    assert folder.names(ENDED) == {"w1"}
    give(folder, "w2")
    start("12.head")
    assert folder.names(WAITING) == {"w2"}
    assert folder.holder == "13.head"
    start("13.head", attempt=1)  # the batch system starts the first one again
    assert folder.names(ENDED) == {"w1", "w2"}
