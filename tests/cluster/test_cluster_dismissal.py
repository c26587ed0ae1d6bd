"""Dismissals on real batch systems: whoever was told *dismissed* is told nothing else, and nothing
of the job is left, in the queue or on the node."""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

import batch_paths as paths
import cluster_site as site
import gridengine_cell
import servers
from job_faces import DISMISSED, DISMISSING, ENDED, GONE, REMOVED, Faces
from joblauncher.shared import outcome, status_xml
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.jobs import State
from pywps_hpc.jobs.job import TERMINAL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
grid_engine = paths.grid_engine
SYSTEMS = ("slurm", "gridengine", "local")
#: Races of dismissals with ends on each batch system.
RACES = int(os.environ.get("PYWPS_HPC_CLUSTER_RACES", "20"))
#: Seconds for which all faces are read after the last race.
READ_ON = 60.0 if RACES > 20 else 3.0
SLOTS = 16
#: Seconds in which a batch system ends a job that does not end by itself: Slurm's KillWait.
KILL_WAIT = 10.0
#: Stands in for an interpreter: the batch system has started the job, and its process never begins.
NEVER_BEGINS = "#!/bin/sh\nsleep 600 # {0}\n"
#: What keeps a job waiting in the queue; the embedded scheduler has no such option.
LATER = {"slurm": "--begin=now+1hour", "gridengine": "-a 203001010000"}


@dataclass
class Cluster:
    """A service on a batch system, whose dispatcher is started and stopped on its own."""

    system: str
    server: servers.HpcServer
    faces: Faces = field(init=False)

    def __post_init__(self) -> None:
        self.faces = Faces(self.server.base, "anna")

    def start_dispatcher(self) -> None:
        self.server.started.append(self.server.spawn(self.server.program("dispatcher")))
        servers.wait_for(lambda: self.server.heartbeat() < 10, "a dispatcher leads")

    def stop_dispatcher(self) -> None:
        dispatcher = self.server.part("dispatcher")
        dispatcher.terminate()
        dispatcher.wait(servers.STOP_LIMIT)

    def row(self, access: str) -> dict[str, Any]:
        row = self.server.row(access)
        assert row is not None
        return row

    def state(self, access: str) -> str:
        return str(self.row(access)["state"])

    def is_over(self, access: str) -> bool:
        row = self.server.row(access)
        return row is None or State(row["state"]) in TERMINAL

    def queue(self) -> set[str]:
        """The ids of the jobs that the batch system has, by its own account."""
        if self.system == "local":
            return set(os.listdir(self.server.settings.spool / "scheduler/queue"))
        # An array's elements one by one.
        command = ["squeue", "-h", "-r", "-u", site.user(), "-o", "%i"]
        if self.system == "gridengine":
            command = ["qstat", "-g", "d", "-u", site.user()]
        found = subprocess.run(
            command,
            env=os.environ | gridengine_cell.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        rows = [line.split() for line in found.stdout.splitlines() if line.strip()]
        return {row[0] for row in rows} | {f"{row[0]}.{row[-1]}" for row in rows}

    def processes(self, *rows: dict[str, Any]) -> list[psutil.Process]:
        """Whatever runs of some jobs on this host's nodes: what names one in its command line or
        in its environment, and all that was started by these."""
        own = {process.pid for process in self.server.processes()}
        names = [row[column] for row in rows for column in ("id", "name")]
        wanted = re.compile("|".join(map(re.escape, names)))
        found: dict[int, psutil.Process] = {}
        for process in servers.every_process():
            with contextlib.suppress(psutil.Error, OSError):
                told = [*process.cmdline(), *process.environ().values()]
                if process.pid not in own and any(map(wanted.search, told)):
                    for one in (process, *process.children(recursive=True)):
                        found[one.pid] = one
        return [one for one in found.values() if _lives(one)]

    def await_gone(self, *rows: dict[str, Any]) -> None:
        """Wait until neither queue nor node have anything of some jobs."""
        ids = {row["native_id"] for row in rows}
        servers.wait_for(lambda: not ids & self.queue(), "they left the queue", 60)
        servers.wait_for(lambda: not self.processes(*rows), "nothing of them runs", 60)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture(scope="module", params=[*map(paths.param, SYSTEMS)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    system: str = request.param
    paths.prepare(system, request)
    root = site.folder("dismissal")
    stuck = site.code(root) / "never-begins"
    stuck.write_text(NEVER_BEGINS)
    stuck.chmod(0o755)
    own = paths.PATHS[system]()
    sections = {
        **own,
        "hpc": {
            **own.get("hpc", {}),
            "user_header": "X-User",
            "trusted_proxies": "127.0.0.1",
            **({"slots": SLOTS} if system == "local" else {}),
        },
        "hpc.process.slow": {"python": stuck},
        "hpc.process.second": {"extra": LATER[system]} if system in LATER else {"cpus": SLOTS},
    }
    server = site.slurm_server(root, "faulty:service", sections=sections)
    server.dispatcher = False
    with paths.turn(system), server:
        made = Cluster(system, server)
        made.start_dispatcher()
        yield made


# --- every stage, by every face


def _begin(cluster: Cluster, stage: str) -> str:
    process = {"queued": "second", "starting": "slow", "ended": "counts"}.get(stage, "ticks")
    inputs = [("steps", "1"), ("seconds", "0"), ("wait", "1")] if stage == "ended" else []
    return cluster.faces.submit(process, inputs)


def _await(cluster: Cluster, stage: str, access: str) -> None:
    """Wait until a job is where it is to be dismissed."""
    folder = cluster.server.job(access)
    if stage == "queued":
        servers.wait_for(lambda: cluster.state(access) == "queued", "it is queued")
        return
    servers.wait_for(lambda: cluster.state(access) == "running", "it runs")
    if stage == "starting":
        report = outcome.read(folder)
        assert report is not None
        assert report.state == outcome.ACCEPTED, "its process has begun"
    elif stage == "ended":
        (folder.path / "go").touch()
        servers.wait_for(lambda: cluster.server.has_succeeded(access), "its process ends")
    else:
        servers.wait_for(lambda: (folder.work / "ticks.txt").exists(), "it counts")
    if stage == "paused":
        found = cluster.faces.post(f"/ui/jobs/{access}/pause")
        assert found.status_code == 303
        servers.wait_for(lambda: cluster.state(access) == "paused", "it is paused")


def _only(told: dict[str, str], *states: str) -> None:
    assert set(told.values()) <= set(states), told


def _allowed(face: str, answer: str, told: dict[str, str]) -> set[str]:
    """What may be read of a job after this answer of a face to its dismissal."""
    if answer == DISMISSED and face == "wps2" and DISMISSED not in told.values():
        return {GONE}  # it had ended, and was removed
    return {{ENDED: "succeeded", REMOVED: GONE}.get(answer, answer)}


@pytest.mark.parametrize("stage", ["starting", "running", "paused", "ended", "queued"])
def test_a_dismissed_job_is_gone_and_every_face_says_so(cluster: Cluster, stage: str) -> None:
    faces = cluster.faces
    occupant = _begin(cluster, "running") if stage == "queued" else ""
    if occupant:  # of the processors that those in the queue wait for
        _await(cluster, "running", occupant)
    jobs = {face: _begin(cluster, stage) for face in DISMISSING}
    if stage != "ended":
        for access in jobs.values():
            _await(cluster, stage, access)
    answers: dict[str, str] = {}
    dismissed: list[tuple[dict[str, Any], float, list[psutil.Process]]] = []
    for face, access in jobs.items():
        if stage == "ended":
            _await(cluster, stage, access)
        row, running = cluster.row(access), []
        if stage != "ended":
            assert row["native_id"] in cluster.queue()
            if stage == "queued":
                assert not cluster.processes(row)
            else:  # batch systems call a job running before its script is
                running = servers.wait_for(
                    lambda row=row: cluster.processes(row), "it runs on a node", 30
                )
        answers[face] = faces.dismiss(face, access)
        dismissed.append((row, time.monotonic(), running))
        told = faces.told(access)
        assert set(told.values()) <= _allowed(face, answers[face], told), (answers, told)
    gone = {}
    for face, (row, asked, running) in zip(jobs, dismissed, strict=True):
        cluster.await_gone(row)
        gone[face] = time.monotonic() - asked
        # One that is on its way out has neither command line nor environment any more.
        servers.wait_for(
            lambda running=running: not any(map(_lives, running)), "nothing that ran is left", 20
        )
    print(stage, cluster.system, {face: f"{seconds:.1f} s" for face, seconds in gone.items()})
    settings = cluster.server.settings
    wait = KILL_WAIT if stage != "queued" else 0.0
    assert max(gone.values()) < settings.poll_backoff + wait + settings.command_timeout / 3
    if stage != "ended":
        assert set(answers.values()) == {DISMISSED}
    for face, access in jobs.items():
        servers.wait_for(lambda access=access: cluster.is_over(access), "its row is closed")
        _is_left_as_promised(cluster, access, answers[face], has_begun=stage not in _UNBEGUN)
    if occupant:
        assert faces.dismiss("ogc", occupant) == DISMISSED


_UNBEGUN = ("queued", "starting")


def _is_left_as_promised(cluster: Cluster, access: str, answer: str, *, has_begun: bool) -> None:
    faces, row = cluster.faces, cluster.server.row(access)
    listed, on_page = faces.listed(), faces.listed_on_the_page()
    if row is None:  # it had ended, and was removed
        _only(faces.told(access), GONE)
        assert access not in listed.keys() | on_page.keys()
        return
    if answer == ENDED:
        _only(faces.told(access), "succeeded")
        return
    assert row["state"] == "dismissed"
    _only(faces.told(access), DISMISSED)
    assert listed[access] == on_page[access] == DISMISSED
    assert faces.get(f"/outputs/{access}/ticks.txt").status_code == 404
    folder = cluster.server.job(access)
    servers.wait_for(lambda: not folder.storage.exists(), "its outputs are removed")
    assert not folder.work.exists()
    told = status_xml.parse(folder.status.read_bytes())
    assert (told.state, told.message) == ("failed", "dismissed")
    assert outcome.read(folder) is not None
    if has_begun:
        assert folder.log.stat().st_size
        assert faces.get(f"/jobs/{access}/log").status_code == 200


def test_without_a_dispatcher_a_dismissal_is_answered_at_once_and_carried_out_by_the_next(
    cluster: Cluster,
) -> None:
    faces = cluster.faces
    jobs = {face: _begin(cluster, "running") for face in DISMISSING}
    for access in jobs.values():
        _await(cluster, "running", access)
    rows = {face: cluster.row(access) for face, access in jobs.items()}
    cluster.stop_dispatcher()
    try:
        for face, access in jobs.items():
            begun = time.monotonic()
            assert faces.dismiss(face, access) == DISMISSED
            assert time.monotonic() - begun < 1
            _only(faces.told(access), DISMISSED)
        for row in rows.values():  # nobody has carried it out
            assert row["native_id"] in cluster.queue()
            assert cluster.processes(row)
    finally:
        cluster.start_dispatcher()
    for access in jobs.values():
        servers.wait_for(lambda access=access: cluster.is_over(access), "it is carried out")
        assert cluster.state(access) == "dismissed"
    cluster.await_gone(*rows.values())


# --- races with the end


@dataclass
class Races:
    """Dismissals beside the ends of their jobs, and readers of all faces meanwhile.

    Attributes:
        answers: face and answer by job.
        first: what the first reader found of a job: it stays so.
        wrong: what a reader found that contradicts an answer, or an earlier one.
        reads: how many there were.
    """

    cluster: Cluster
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)
    first: dict[str, set[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    reads: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def race(self, number: int, access: str) -> None:
        """Let a job end, and dismiss it about then."""
        server, chance = self.cluster.server, random.Random(number)
        folder = server.job(access)
        servers.wait_for(lambda: _has_begun(folder), "its process begins", 600)
        (folder.path / "go").touch()
        moment = chance.random()
        if moment < 0.2:  # before the batch system knows of an end, and maybe before there is one
            time.sleep(chance.random() * 0.5)
        elif moment < 0.7:  # between the process's own end and what becomes known of it
            servers.wait_for(lambda: server.has_succeeded(access), "its process ends")
            time.sleep(chance.random() * chance.choice((0.05, 0.5, 2.0)))
        else:  # as the row is closed
            servers.wait_for(lambda: self.cluster.is_over(access), "its end is recorded")
        face = chance.choice(DISMISSING)
        self.answers[access] = face, self.cluster.faces.dismiss(face, access)

    def read(self) -> None:
        """Read every face of all jobs that were answered, over and over."""
        while not self.stop.is_set():
            # Those first that nobody has read; the readers share the work.
            order = sorted(self.answers, key=lambda access: (access in self.first, random.random()))
            for access in order:
                self._judge(access, self.cluster.faces.told(access))
                if self.stop.wait(0.01):
                    return
            for listed in (self.cluster.faces.listed(), self.cluster.faces.listed_on_the_page()):
                for access in self.first.keys() & listed.keys():
                    self._judge(access, {"list": listed[access]})
            self.stop.wait(0.05)

    def _judge(self, access: str, told: dict[str, str]) -> None:
        self.reads += len(told)
        face, answer = self.answers[access]
        allowed = self.first.setdefault(access, _allowed(face, answer, told))
        if not set(told.values()) <= allowed:
            self.wrong.append(f"{access}: {face} answered {answer}, then {told}")


def _has_begun(folder: JobDir) -> bool:
    report = outcome.read(folder)
    return report is not None and report.state != outcome.ACCEPTED


def test_a_dismissal_and_an_end_at_the_same_time_are_told_apart_for_good(cluster: Cluster) -> None:
    faces, server = cluster.faces, cluster.server
    inputs = [("steps", "1"), ("seconds", "0"), ("wait", "1")]
    races = Races(cluster)
    jobs = [faces.submit("counts", inputs) for _ in range(RACES)]
    ids = {access: cluster.row(access)["id"] for access in jobs}
    readers = [threading.Thread(target=races.read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        with ThreadPoolExecutor(SLOTS) as pool:
            list(pool.map(races.race, range(RACES), jobs))
        servers.wait_for(lambda: len(races.first) == RACES, "all of them are read", 600)
        time.sleep(READ_ON)
    finally:
        races.stop.set()
        for reader in readers:
            reader.join(servers.STOP_LIMIT)
    assert not any(reader.is_alive() for reader in readers)
    servers.wait_for(lambda: all(map(cluster.is_over, jobs)), "all of them are over")
    rows = {access: server.row(access) for access in jobs}
    counted = {
        "dismissed": sum(row is not None and row["state"] == "dismissed" for row in rows.values()),
        "removed": sum(row is None for row in rows.values()),
        "had ended": sum(answer == ENDED for _, answer in races.answers.values()),
    }
    print(f"{cluster.system}: {RACES} races, {counted}, {races.reads} reads, {races.wrong}")
    assert races.wrong == []
    assert len(races.answers) == RACES
    assert {answer for _, answer in races.answers.values()} <= {DISMISSED, REMOVED, ENDED}
    assert counted["dismissed"], "no dismissal came first: this is no race"
    assert counted["removed"] + counted["had ended"], "no end came first: this is no race"
    cluster.await_gone(*(row for row in rows.values() if row))
    for access, row in rows.items():
        face, answer = races.answers[access]
        assert races.first[access] == _allowed(face, answer, faces.told(access))
        if answer == ENDED:
            assert row is not None
            assert row["state"] == "succeeded"
        elif row is not None:
            assert row["state"] == "dismissed"
        else:
            servers.wait_for(
                lambda access=access: not server.spool.open(ids[access]).path.exists(),
                "its folder is removed",
            )
