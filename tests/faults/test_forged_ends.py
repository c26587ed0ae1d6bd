"""Processes that tell their own end, or see to it that nobody can: what clients are told, and when.

By the local scheduler without a container, and on real Slurm and Grid Engine in containers.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

import cluster_site
import parallel
import servers
import wps_client as client
from batch_faults import SITES
from reliability import Witness

#: Seconds for which one works on after it has told its end.
ON = 6
FORGERS = ("exit 0", "exit 3", "exit 75", "kill itself", "kill launcher")
DEEDS = (
    *("status folder", "outcome folder", "status pipe", "outcome link", "status gone"),
    *("mode 0", "mode 0300", "mode 0500"),
)


def inputs(what: str, how: str, seconds: float = 0.0) -> client.Inputs:
    return [("what", what), ("how", how), ("seconds", str(seconds))]


def _runs(server: servers.HpcServer, location: str) -> bool:
    return (server.row(server.id_of(location)) or {})["state"] == "running"


def _parts(server: servers.HpcServer, but: int) -> set[str]:
    """The parts of a server that run, without one process."""
    found = set[str]()
    for part in ("web", "dispatcher"):
        with contextlib.suppress(AssertionError):
            found |= {part} if server.part(part).pid != but else set()
    return found


@pytest.mark.parametrize("how", FORGERS)
def test_a_forged_success_is_not_told_while_the_job_works_nor_after_it(
    hpc_server: servers.HpcServer, how: str
) -> None:
    location = client.submit(hpc_server.url, "hostile", inputs("forged", how, ON))
    job_id = hpc_server.id_of(location)
    servers.wait_for(lambda: hpc_server.has_succeeded(job_id), "it forges")
    forged = time.monotonic()
    while time.monotonic() - forged < ON / 2:
        assert client.state_of(client.get(location).content) in (
            "ProcessAccepted",
            "ProcessStarted",
        )
        time.sleep(0.1)
    document = client.await_end(location)
    assert client.state_of(document) == "ProcessFailed", client.message_of(document)
    assert (hpc_server.row(job_id) or {})["state"] == "failed"
    assert client.get(location).content == document
    assert not hpc_server.has_succeeded(job_id)


def test_a_new_dispatcher_is_not_deceived_by_an_end_that_was_forged_before(
    hpc_server: servers.HpcServer,
) -> None:
    """It knows of the job only what the table, the batch system and the job's folder say."""
    location = client.submit(hpc_server.url, "hostile", inputs("forged", "exit 3", 2 * ON))
    job_id = hpc_server.id_of(location)
    servers.wait_for(lambda: hpc_server.has_succeeded(job_id), "it forges")
    servers.wait_for(lambda: _runs(hpc_server, location), "it runs")
    forged, before = time.monotonic(), hpc_server.part("dispatcher").pid
    hpc_server.kill9("dispatcher")
    servers.wait_for(lambda: "dispatcher" in _parts(hpc_server, before), "another one begins")
    servers.wait_for(lambda: hpc_server.heartbeat() < 1, "it leads", 60)
    while time.monotonic() - forged < 1.2 * ON:
        assert _runs(hpc_server, location)
        assert client.state_of(client.get(location).content) == "ProcessStarted"
        time.sleep(0.1)
    assert client.state_of(client.await_end(location)) == "ProcessFailed"


def test_a_client_that_waits_is_not_told_a_forged_success(hpc_server: servers.HpcServer) -> None:
    begun = time.monotonic()
    answer = client.execute_sync(hpc_server.url, "hostile", inputs("forged", "exit 3", ON))
    assert time.monotonic() - begun >= ON
    assert client.state_of(answer.content) == "ProcessFailed"


def test_a_job_that_forged_its_end_can_be_dismissed(hpc_server: servers.HpcServer) -> None:
    location = client.submit(hpc_server.url, "hostile", inputs("forged", "return", 600))
    job_id = hpc_server.id_of(location)
    servers.wait_for(lambda: hpc_server.has_succeeded(job_id), "it forges")
    servers.wait_for(lambda: _runs(hpc_server, location), "it runs")
    said = hpc_server.cli("cancel", job_id)
    assert said.stdout == f"{job_id}: will be dismissed\n"
    at_once = client.get(location).content
    assert client.state_of(at_once) == "ProcessFailed"
    assert client.message_of(at_once).startswith("dismissed")
    servers.wait_for(lambda: hpc_server.row(job_id)["state"] == "dismissed", "its row's end")
    assert client.message_of(client.get(location).content) == "dismissed"
    servers.wait_for(lambda: not hpc_server.job_processes(), "nothing of it runs")
    assert hpc_server.cli("cancel", job_id).stdout == f"{job_id}: has ended: dismissed\n"


def test_an_honest_end_is_told_soon(hpc_server: servers.HpcServer) -> None:
    location = client.submit(hpc_server.url, "quiet", [("seconds", "1")])
    job_id = hpc_server.id_of(location)
    servers.wait_for(lambda: hpc_server.has_succeeded(job_id), "its document says so")
    begun = time.monotonic()
    assert client.state_of(client.await_end(location)) == "ProcessSucceeded"
    assert time.monotonic() - begun < 30, "within a question to the batch system, on a busy host"


@pytest.mark.parametrize("what", DEEDS)
@pytest.mark.parametrize("how", ["return", "kill launcher"])
def test_whatever_a_process_makes_of_its_folder_its_job_ends(
    hpc_server: servers.HpcServer, what: str, how: str
) -> None:
    location = client.submit(hpc_server.url, "hostile", inputs(what, how))
    document = client.await_end(location)
    job_id = hpc_server.id_of(location)
    row = servers.wait_for(lambda: (r := hpc_server.row(job_id)) and r["finished"] and r, "row")
    told = client.state_of(document), client.message_of(document)
    if how == "return":
        assert (row["state"], told[0]) == ("succeeded", "ProcessSucceeded"), told
    else:
        assert row["state"] == "failed"
        assert told == ("ProcessFailed", "killed by signal 9 (SIGKILL: killed)")
    assert hpc_server.cli("show", job_id).returncode == 0
    assert "Traceback" not in "".join(
        line for line in hpc_server.read_log().splitlines(True) if "dispatch" in line
    )


ON_SITES = [
    pytest.param(name, marks=parallel.batch_system(site.system, shared=True))
    for name, site in SITES.items()
]


@pytest.fixture(scope="module", params=ON_SITES)
def cluster(request: pytest.FixtureRequest) -> Iterator[servers.HpcServer]:
    site = SITES[request.param]()
    root = cluster_site.folder(f"ends-{request.param.replace(' ', '')}")
    cluster_site.code(root)
    sections = {name: dict(keys) for name, keys in site.sections().items()}
    sections.setdefault("hpc.resources", {"memory": "300M"})
    with (
        parallel.turn(site.system, alone=False),  # nobody may break it meanwhile
        cluster_site.slurm_server(root, "odd:service", sections=sections) as server,
    ):
        yield server


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_in_containers_each_such_job_ends_and_none_is_told_too_early(
    cluster: servers.HpcServer, witness: Witness
) -> None:
    """All at once; in some the launcher is killed, so that only the dispatcher is left."""
    jobs = {
        (what, how): client.submit(cluster.url, "hostile", inputs(what, how, 1))
        for what in DEEDS
        for how in ("return", "kill launcher")
    }
    forgers = {how: client.submit(cluster.url, "hostile", inputs("forged", how, ON))
               for how in FORGERS}  # fmt: skip
    stays = client.submit(cluster.url, "hostile", inputs("forged", "return", 500))
    stay_id = cluster.id_of(stays)
    servers.wait_for(lambda: cluster.has_succeeded(stay_id), "it forges", 300)
    assert client.state_of(client.get(stays).content) in ("ProcessAccepted", "ProcessStarted")
    assert cluster.cli("cancel", stay_id).stdout == f"{stay_id}: will be dismissed\n"
    assert client.message_of(client.get(stays).content).startswith("dismissed")
    begun = time.monotonic()
    for (what, how), location in jobs.items():
        document = client.await_end(location, limit=300)
        said = what, how, client.state_of(document), client.message_of(document)
        expected = "ProcessSucceeded" if how == "return" else "ProcessFailed"
        assert said[2] == expected, said
    for how, location in forgers.items():
        document = client.await_end(location, limit=300)
        said = "forged", how, client.state_of(document), client.message_of(document)
        assert said[2] == "ProcessFailed", said
    locations = [*jobs.values(), *forgers.values(), stays]

    def all_over() -> bool:
        rows = [cluster.row(cluster.id_of(location)) for location in locations]
        return all(row is not None and row["finished"] for row in rows)

    servers.wait_for(all_over, "all rows are closed", 300)
    assert (cluster.row(stay_id) or {})["state"] == "dismissed"
    witness(
        "a process spoils its folder or forges its end",
        f"{len(DEEDS)} deeds in containers, each with and without its launcher; {len(FORGERS)} "
        "forgers",
        "each job ends; none is told before the batch system says so",
        time.monotonic() - begun,
        cluster.settings.scheduler,
    )
