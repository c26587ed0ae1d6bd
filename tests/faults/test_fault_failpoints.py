"""kill -9 of web server, dispatcher and launcher at every step of a job, with real Slurm.

All steps are played once, side by side as far as they do not disturb each other; then each is asked
how it ended.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

import cluster_site as site
import failpoint_orders
import invariants
import servers
import wps_client as client
from failpoint_orders import STEPS
from joblauncher.shared import failpoint
from places import ROOT
from pywps_hpc.jobs import standing
from reliability import Witness

cluster = pytest.mark.cluster
#: The first test plays for all of them.
pytestmark = [pytest.mark.batch_system("slurm"), pytest.mark.timeout(1200)]
KILLED = "killed by signal 9 (SIGKILL: killed)"
#: Step -> last words of a job that fails there; the others succeed.
FAILURES = {
    "launch.1": KILLED,
    "launch.2": KILLED,
    "publish.1": f"the process was {KILLED}",
    # What a launcher that was killed has left could as well be its process's own.
    **dict.fromkeys(("conclude.1", "conclude.3"), KILLED),
    "conclude.2": "the process ended with exit code 3 without reporting a result",
    **dict.fromkeys(("order.1", "order.2"), "dismissed"),
    **dict.fromkeys([f"end.{n}" for n in range(1, 6)], f"the process was {KILLED}"),
}
UNANSWERED = [step for step in STEPS if step.startswith("accept.")]
LAUNCHER = [s for s in STEPS if s.startswith(("launch.", "publish.", "conclude."))]
#: In the end those after which the batch system has to be asked for a while: each further death
#: makes that begin anew.
DISPATCHER = sorted(
    (s for s in STEPS if s not in (*UNANSWERED, *LAUNCHER)),
    key=lambda step: step in ("submit.1", "submit.2", "submit.3"),
)
ACTORS = {"accept": "web server", "launch": "launcher", "conclude": "launcher"} | {
    "publish": "process"
}

#: Dozens of deaths in as many seconds are the test's, not a dispatcher's that cannot live: each is
#: to be mended as if it were the only one, after the first of the supervisor's pauses, which grow.
RARELY = """
from dataclasses import replace
from pywps_hpc import timing
from pywps_hpc.cli import main
timing.TIMING = replace(timing.TIMING, longest_restart=timing.TIMING.restart)
main()
"""


def test_every_step_of_the_list_is_in_the_code_once() -> None:
    found: list[str] = []
    for package in ("joblauncher", "pywps_hpc"):
        for module in (ROOT / package).rglob("*.py"):
            text = module.read_text(encoding="utf-8")
            # The launcher's own steps are reached by whoever drives them.
            found += re.findall(r'(?:failpoint\.reach\(|yield )"([a-z]+\.\d)"', text)
    assert sorted(found) == sorted(STEPS)


def test_without_its_variable_a_process_obeys_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "submit.1").write_text("kill")
    monkeypatch.setenv(failpoint.VARIABLE, str(tmp_path))  # too late: it is read at import
    assert not failpoint.FOLDER
    failpoint.reach("submit.1")
    assert (tmp_path / "submit.1").exists()


def test_an_order_is_carried_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoint, "FOLDER", str(tmp_path))
    (tmp_path / "end.1").write_text("sleep 0.3")
    begun = time.monotonic()
    failpoint.reach("end.2")
    failpoint.reach("end.1")
    assert time.monotonic() - begun >= 0.3
    assert not (tmp_path / "end.1").exists()
    failpoint.reach("end.1")
    assert time.monotonic() - begun < 10


@dataclass
class Play:
    """What was done at one step, and when."""

    location: str = ""
    begun: float = 0.0
    end: Future[tuple[bytes, float]] | None = None


@dataclass
class Played:
    """All steps, played on one server."""

    hpc: servers.HpcServer
    plays: dict[str, Play] = field(default_factory=dict)
    unanswered: dict[str, int] = field(default_factory=dict)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(40))

    def follow(self, step: str, location: str) -> None:
        """Wait for this job's last words, aside."""

        def end() -> tuple[bytes, float]:
            begun = time.monotonic()
            while True:
                document = client.await_end(location, limit=300, tolerant=True)
                now = time.monotonic()
                dismissing = client.message_of(document) == standing.DISMISSING  # others follow
                if not dismissing or now - begun > 300:
                    return document, now
                time.sleep(0.1)

        self.plays[step].location = location
        self.plays[step].end = self.pool.submit(end)


def _play_launcher(played: Played) -> None:
    """All of them at once: each has orders of its own."""
    with failpoint_orders.held(played.hpc):
        for step in LAUNCHER:
            process = "os_exit" if step == "conclude.2" else "sleeper"
            inputs = [] if process == "os_exit" else [("seconds", "0.1")]
            location = client.submit(played.hpc.url, process, inputs)
            failpoint_orders.of_job(played.hpc.job(client.job_id_of(location))).give(step)
            played.plays[step] = Play(begun=time.monotonic())
            played.follow(step, location)


def _play_web(played: Played, orders: failpoint_orders.Orders) -> None:
    """The client gets no answer and asks once more."""
    hpc = played.hpc
    for step in UNANSWERED:
        known = {row["id"] for row in hpc.rows()}
        orders.give(step)
        played.plays[step] = Play(begun=time.monotonic())
        with pytest.raises(requests.ConnectionError):
            client.submit(hpc.url, "sleeper", [("seconds", "0.1")])
        orders.await_done(step)
        played.unanswered[step] = len({row["id"] for row in hpc.rows()} - known)
        servers.wait_for(hpc.answers, "another worker answers")
        played.follow(step, client.submit(hpc.url, "sleeper", [("seconds", "0.1")]))


def _start(hpc: servers.HpcServer, step: str) -> str:
    """A job that comes to this step."""
    if step.startswith("stage"):
        page = client.Reference(f"{hpc.url}?service=WPS&request=GetCapabilities")
        return client.submit(hpc.url, "files", [("file", page)])
    if step.startswith("order"):
        location = client.submit(hpc.url, "sleeper", [("seconds", "100")])
        job_id = hpc.id_of(location)
        servers.wait_for(lambda: (hpc.row(job_id) or {})["native_id"], "Slurm has it")
        assert hpc.cli("cancel", job_id).returncode == 0
        return location
    if step.startswith("end"):
        return client.submit(hpc.url, "sigkill")
    return client.submit(hpc.url, "sleeper", [("seconds", "0.1")])


def _play_dispatcher(played: Played, orders: failpoint_orders.Orders) -> None:
    for step in DISPATCHER:
        orders.give(step)
        if step == "resolve.1":
            orders.give("submit.4")  # only after a crash there is something to be found
        location = _start(played.hpc, step)
        played.plays[step] = Play()
        orders.await_done(step)
        played.plays[step].begun = time.monotonic()
        played.follow(step, location)


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    root = site.folder("failpoints")
    site.code(root)
    sections = {
        "hpc": {"command_timeout": "3", "grace": "3"},
        "hpc.container": failpoint_orders.JOB_SECTION,
        "hpc.resources": {"memory": "300M"},
        "hpc.inputs": {"fetch": "server", "allowed_networks": "127.0.0.0/8"},
    }
    server = site.slurm_server(root, "odd:service", sections=sections)
    orders = failpoint_orders.Orders(root / "orders")
    server.environment = orders.environment
    server.main = ("-c", RARELY)
    with server:
        played = Played(server)
        with played.pool:
            _play_launcher(played)
            _play_web(played, orders)
            _play_dispatcher(played, orders)
        yield played


@cluster
@pytest.mark.parametrize("step", STEPS)
def test_kill_9_at_this_step_is_mended_and_told(
    played: Played, step: str, witness: Witness
) -> None:
    play = played.plays[step]
    assert play.end is not None
    document, ended = play.end.result(0)
    words = client.message_of(document)
    if step in FAILURES:
        assert client.state_of(document) == "ProcessFailed"
        assert words == FAILURES[step]
    else:
        assert client.state_of(document) == "ProcessSucceeded", words
    saw = words
    if step in UNANSWERED:
        # Its row is the last thing that is written: with it the job is accepted, without it not.
        assert played.unanswered[step] == (1 if step == UNANSWERED[-1] else 0)
        saw = f"the connection broke; asked again: {words}"
    actor = ACTORS.get(step.partition(".")[0], "dispatcher")
    fault = f"{actor} killed: {STEPS[step]}"
    witness(
        fault,
        f"SIGKILL at step {step}, amid those at all others",
        saw,
        max(0.0, ended - play.begun),
        "Slurm",
    )


@cluster
def test_after_all_kills_each_job_has_ended_once(played: Played) -> None:
    hpc = played.hpc
    recorded = [row["id"] for row in hpc.rows()]
    assert len(recorded) == len(STEPS) + 1  # one was accepted, and its client never told
    _forget_unrecorded(hpc, lambda: {row["id"] for row in hpc.rows()})
    invariants.check_server(hpc, [play.location for play in played.plays.values()])


def _forget_unrecorded(hpc: servers.HpcServer, known: Callable[[], set[str]]) -> None:
    """What a killed web server left is removed by the dispatcher when it is an hour old."""
    left = set(hpc.spool.job_ids()) - known()
    assert len(left) == len(UNANSWERED) - 1
    for job_id in left:
        past = time.time() - 4000
        os.utime(hpc.job(job_id).path, (past, past))
    hpc.kill9("dispatcher")  # the next one sweeps first
    servers.wait_for(lambda: set(hpc.spool.job_ids()) == known(), "they are gone")
