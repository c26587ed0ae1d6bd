"""What MPI ranks on two nodes of a batch system have to do, each node's in a container."""

from __future__ import annotations

import json
import math
import time

import psutil

import cluster_site as site
import servers
import wps_client as client

ENDLESS = str(10**14)
_OF_RANKS = (
    *("examples.programs.pi_of_ranks", "joblauncher.remote", "hydra_pmi_proxy", "mpiexec"),
    "qrsh",
)


def ranks() -> list[psutil.Process]:
    """Whatever runs for ranks on this host, which has both nodes."""
    found = []
    for process in psutil.process_iter(["cmdline", "username"]):
        if process.info["username"] != site.user():
            continue
        if any(name in part for part in process.info["cmdline"] or [] for name in _OF_RANKS):
            found.append(process)
    return found


class RanksOnTwoNodes:
    """The tests; a module gives ``hpc``, a service with the process ``pi``.

    Attributes:
        number: of ranks, half of them on each node.
    """

    number = 4

    def computing(self) -> list[psutil.Process]:
        """The ranks themselves, once all are there."""
        found = [p for p in ranks() if (p.info["cmdline"] or [""])[-1] == ENDLESS]
        own = [p for p in found if "python" in p.info["cmdline"][0]]
        return own if len(own) == self.number else []

    def test_ranks_are_spread_over_two_nodes(self, hpc: servers.HpcServer) -> None:
        document = client.execute_async(hpc.url, "pi", [("points", "10000000")])
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
        found = client.outputs_of(document)
        assert math.isclose(float(found["pi"].content), math.pi, rel_tol=1e-9)
        nodes = json.loads(found["ranks"].content)
        assert len(nodes) == self.number
        assert {nodes.count(node) for node in nodes} == {self.number // 2}
        servers.wait_for(lambda: not ranks(), "no rank is left")

    def test_a_rank_that_is_killed_ends_the_job_in_words(self, hpc: servers.HpcServer) -> None:
        location = client.submit(hpc.url, "pi", [("points", ENDLESS)])
        servers.shoot(servers.wait_for(self.computing, "all ranks compute")[-1:])
        document = client.await_end(location)
        assert client.state_of(document) == "ProcessFailed"
        assert "was killed by signal 9 (Killed)" in client.message_of(document)
        servers.wait_for(lambda: not ranks(), "no rank is left")

    def test_a_dismissal_leaves_no_rank_on_any_node(self, hpc: servers.HpcServer) -> None:
        location = client.submit(hpc.url, "pi", [("points", ENDLESS)])
        servers.wait_for(self.computing, "all ranks compute")
        begun = time.monotonic()
        hpc.cli("cancel", hpc.id_of(location)).check_returncode()
        assert "dismissed" in client.message_of(client.await_end(location))
        servers.wait_for(lambda: not ranks(), "no rank is left")
        assert time.monotonic() - begun < 60
