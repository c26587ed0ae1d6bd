"""Jobs that are forks of a nursery: as cold ones but faster, whatever happens to the nursery."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import cluster_site as site
import failpoint_orders
import wps_client as client
from places import SERVICES
from servers import HpcServer, shoot, wait_for

SOON = 120.0
#: Those of a launcher whose process succeeds.
STEPS = ("launch.1", "launch.2", "publish.1", "publish.2", "conclude.1")
MODULES = ("nursling.py", "nursling_part.py")
PROCESSES: dict[str, dict[str, Any]] = {
    "hpc.process.cold": {"warm": "no"},
    "hpc.process.brief": {"walltime": "00:00:02"},
    "hpc.process.small": {"memory": "300M"},
}


class Nursed(HpcServer):
    """The service ``nursling``, whose modules the test may change."""

    def nursery(self) -> psutil.Process:
        """Its only nursery for processes of the same settings; in containers, the half outside."""
        (found,) = (one for one in self.nurseries() if "joblauncher.nursery" in one.cmdline())
        return found

    def flag(self) -> Path:
        """A file yet to be made, where jobs see it."""
        return self.folder / "inputs" / secrets.token_hex(6)

    def tell(self, order: str = "tell", process: str = "nursling") -> dict[str, Any]:
        """Run a process and return what it told."""
        return told(self.begin(order, process))

    def begin(self, order: str, process: str = "nursling") -> str:
        """Start one; its location."""
        return client.submit(self.url, process, [("order", order)])

    def await_warm(self) -> None:
        """Until jobs are warm, with all modules imported before."""

        def is_warm() -> bool:
            learned = [*self.folder.glob("spool/scheduler/nurseries/**/learned.json")]
            known = any('"nursling"' in file.read_text() for file in learned)
            return bool(self.tell()["warm"]) and known and takes_orders(self)

        wait_for(is_warm, "a job starts warm", SOON)


def takes_orders(server: HpcServer) -> bool:
    return any(server.folder.glob("spool/scheduler/nurseries/*/socket"))


def told(location: str) -> dict[str, Any]:
    document = client.await_end(location, limit=SOON)
    assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
    answer: dict[str, Any] = json.loads(str(client.outputs_of(document)["told"].content))
    return answer


@contextlib.contextmanager
def nursed(folder: Path, **sections: dict[str, Any]) -> Iterator[Nursed]:
    code = folder / "code"
    code.mkdir(parents=True)
    for name in MODULES:
        shutil.copy(SERVICES / name, code)
    own = {
        "hpc": {"slots": 8},
        "hpc.container": {"python_path": code, **failpoint_orders.JOB_SECTION},
        **PROCESSES,
        **sections,
    }
    with Nursed(folder, "nursling:service", code=code, sections=own) as server:
        server.await_warm()
        yield server


class Contained(site.MountingServer, Nursed):
    """The same, its processes in containers."""


@contextlib.contextmanager
def contained(**sections: dict[str, Any]) -> Iterator[Contained]:
    root = site.folder("contained")
    code = root / "code"
    code.mkdir()
    for name in MODULES:
        shutil.copy(SERVICES / name, code)
    own = {"hpc": {**site.LOCAL, "slots": 8}, "hpc.container": failpoint_orders.JOB_SECTION}
    server = site.slurm_server(root, "nursling:service", sections=own | PROCESSES | sections)
    server.__class__ = Contained
    assert isinstance(server, Contained)
    with server:
        server.await_warm()
        yield server


CONTAINED = pytest.param("apptainer", marks=[pytest.mark.cluster, pytest.mark.batch_system("none")])


@pytest.fixture(scope="module", params=["none", CONTAINED])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nursed]:
    if request.param == "none":
        with nursed(tmp_path_factory.mktemp("nursed")) as started:
            yield started
    else:
        with contained() as inside:
            yield inside


# --- as cold ones


def test_a_warm_job_finds_what_a_cold_one_finds(server: Nursed) -> None:
    warm, cold = server.tell(), server.tell(process="cold")
    assert (warm.pop("warm"), cold.pop("warm")) == (True, False)
    if isinstance(server, Contained):  # the group of a container's first process is out of sight
        del warm["group"], cold["group"]
    assert {name: (warm[name], cold[name]) for name in warm if warm[name] != cold[name]} == {}


def test_no_job_sees_what_another_one_left(server: Nursed) -> None:
    left = server.tell("leave something")
    assert left["warm"]
    assert left["home"] == left["own"]
    after = server.tell()
    assert after["warm"]
    assert after["version"] == "1"
    assert after["seen"] == []
    assert "LEFT" not in after["environment"]
    assert "something" not in after["path"]
    assert not server.tell("random")["left"]


def test_each_job_has_random_numbers_of_its_own(server: Nursed) -> None:
    first, second = server.tell("random"), server.tell("random")
    assert first["warm"]
    assert second["warm"]
    assert not set(first["numbers"]).intersection(second["numbers"])


def test_limits_of_memory_and_time_are_each_job_s_own(server: Nursed) -> None:
    go = server.flag()
    neighbour = server.begin(f"wait {go}")
    late = server.begin(f"wait {server.flag()}", "brief")
    large = server.begin("allocate 600", "small")
    endings = {}
    for name, location in (("late", late), ("large", large)):
        document = client.await_end(location, limit=SOON)
        assert client.state_of(document) == "ProcessFailed"
        job = server.id_of(location)
        wait_for(lambda job=job: (server.row(job) or {})["state"] == "failed", "its row", SOON)
        endings[name] = client.message_of(client.get(location).content)
    assert endings["late"] == "killed: time limit 00:00:02 reached"
    assert endings["large"].startswith("killed: used more than the 300 MB asked for")
    go.touch()
    assert told(neighbour)["warm"]


def test_a_warm_job_is_dismissed_paused_and_resumed(server: Nursed) -> None:
    go = server.flag()
    location, other = server.begin(f"wait {go}"), server.begin(f"wait {server.flag()}")
    for one in (location, other):
        log = server.job(server.id_of(one)).log
        wait_for(lambda log=log: log.exists() and "waits" in log.read_text(), "it runs", SOON)
    assert server.cli("cancel", server.id_of(other)).returncode == 0
    job = server.id_of(location)
    assert server.cli("pause", job).returncode == 0
    wait_for(lambda: stopped(server, job), "its processes stand still", SOON)
    go.touch()
    time.sleep(0.5)
    assert client.state_of(client.get(location).content) == "ProcessPaused"
    assert server.cli("resume", job).returncode == 0
    assert told(location)["warm"]
    assert client.message_of(client.await_end(other, limit=SOON)) == "dismissed"


def stopped(server: Nursed, job: str) -> bool:
    found = [p for p in server.job_processes() if job in " ".join(p.cmdline())]
    return bool(found) and all(p.status() == psutil.STATUS_STOPPED for p in found)


def test_supervisor_and_launcher_are_seen_by_their_names(server: Nursed) -> None:
    go = server.flag()
    location = server.begin(f"wait {go}")
    job = server.id_of(location)
    log = server.job(job).log
    wait_for(lambda: log.exists() and "waits" in log.read_text(), "it runs", SOON)
    number = wait_for(lambda: (server.row(job) or {})["native_id"], "its number", SOON)
    lines = [" ".join(process.cmdline()).rstrip() for process in server.job_processes()]
    assert sum("runner.py" in line and line.endswith(f"/queue/{number}") for line in lines) == 1
    assert sum("-m joblauncher " in line and job in line for line in lines) == 2
    go.touch()
    assert told(location)["warm"]


# --- whatever happens to the nursery


def test_jobs_go_on_without_their_nursery_and_the_next_starts_another(server: Nursed) -> None:
    go = server.flag()
    location = server.begin(f"wait {go}")
    log = server.job(server.id_of(location)).log
    wait_for(lambda: log.exists() and "waits" in log.read_text(), "it runs", SOON)
    first = server.nursery()
    first.kill()
    assert not server.tell()["warm"]
    go.touch()
    assert told(location)["warm"]
    server.await_warm()
    assert server.nursery().pid != first.pid


def test_whatever_step_a_job_has_come_to_it_goes_on_without_its_nursery(server: Nursed) -> None:
    orders, locations = [], []
    with failpoint_orders.held(server):
        for step in STEPS:
            locations.append(server.begin("random"))
            order = server.job(server.id_of(locations[-1])).path / failpoint_orders.IN_JOB / step
            order.parent.mkdir()
            order.write_text("stop")
            if server.user:
                shutil.chown(order.parent, server.user)
            orders.append(order)
    wait_for(lambda: not any(order.exists() for order in orders), "all stand still", SOON)
    server.nursery().kill()
    for process in server.job_processes():
        process.resume()
    assert all(told(location)["warm"] for location in locations)
    server.await_warm()


def test_a_nursery_that_does_not_answer_holds_up_no_job(server: Nursed) -> None:
    found = server.nursery()
    found.suspend()
    try:
        assert not server.tell()["warm"]
    finally:
        found.resume()
    assert psutil.wait_procs([found], timeout=SOON)[0]
    server.await_warm()


def test_a_dispatcher_that_is_killed_leaves_jobs_and_nursery_alone(server: Nursed) -> None:
    go = server.flag()
    location = server.begin(f"wait {go}")
    log = server.job(server.id_of(location)).log
    wait_for(lambda: log.exists() and "waits" in log.read_text(), "it runs", SOON)
    first = server.nursery()
    server.kill9("dispatcher")
    go.touch()
    assert told(location)["warm"]
    assert server.nursery().pid == first.pid
    assert server.tell()["warm"]


@pytest.mark.parametrize("server", [CONTAINED], indirect=True)
def test_jobs_go_on_without_what_has_the_modules_in_their_container(server: Nursed) -> None:
    go = server.flag()
    location = server.begin(f"wait {go}")
    log = server.job(server.id_of(location)).log
    wait_for(lambda: log.exists() and "waits" in log.read_text(), "it runs", SOON)
    found = inside(server)
    waiting = {one.pid for one in found}  # the first process of a container only waits
    with_modules = [one for one in found if one.ppid() in waiting]
    assert with_modules
    shoot(with_modules)
    server.tell()
    go.touch()
    assert told(location)["warm"]
    server.await_warm()


@pytest.mark.parametrize("server", [CONTAINED], indirect=True)
def test_a_container_that_is_killed_ends_its_jobs_once_and_the_next_starts_another(
    server: Nursed,
) -> None:
    location = server.begin(f"wait {server.flag()}")
    job = server.id_of(location)
    log = server.job(job).log
    wait_for(lambda: log.exists() and "waits" in log.read_text(), "it runs", SOON)
    shoot(inside(server))
    assert client.state_of(client.await_end(location, limit=SOON)) == "ProcessFailed"
    wait_for(lambda: (server.row(job) or {})["state"] == "failed", "its row", SOON)
    assert "killed by signal 9" in client.message_of(client.get(location).content)
    server.await_warm()


def inside(server: Nursed) -> list[psutil.Process]:
    """The processes of its nurseries in their containers."""
    found = [(one, one.cmdline()) for one in server.nurseries()]
    return [one for one, line in found if "joblauncher.nursery_inside" in line and "-I" in line[:2]]


# --- what is imported


def test_no_job_runs_code_that_has_changed_since(server: Nursed) -> None:
    part = server.code / "nursling_part.py"
    for version in ("2", "3", "1"):
        part.write_text(part.read_text().rpartition("VERSION")[0] + f'VERSION = "{version}"\n')
        # Compiled files know a change by the second and the size (PEP 552), whoever imports.
        moment = time.time() - 100 * int(version)
        os.utime(part, (moment, moment))
        assert server.tell()["version"] == version
        server.await_warm()
        assert server.tell()["version"] == version
