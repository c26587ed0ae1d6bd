"""The job table is locked for longer than anybody waits for it, or its server is down."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator

import psutil
import pytest

import cluster_site as site
import failpoint_orders
import invariants
import servers
import wps_client as client
from postgres import Postgres
from reliability import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]

#: Seconds for which the service waits for the lock, and for which somebody else has it.
PATIENCE, LOCKED = 3, 8


SECTIONS: dict[str, dict[str, object]] = {
    "hpc": {"command_timeout": "5", "grace": "5", "database_timeout": PATIENCE},
    "hpc.resources": {"memory": "300M"},
}


def _server(name: str, **more: object) -> servers.HpcServer:
    root = site.folder(name)
    site.code(root)
    sections = SECTIONS | {"hpc": SECTIONS["hpc"] | more}
    return site.slurm_server(root, "faulty:service", sections=sections, workers=1)


@pytest.fixture
def orders_and_server() -> Iterator[tuple[failpoint_orders.Orders, servers.HpcServer]]:
    server = _server("table")
    orders = failpoint_orders.Orders(server.folder.parent / "orders")
    server.environment = orders.environment
    with server:
        yield orders, server


@contextlib.contextmanager
def _locked(server: servers.HpcServer) -> Iterator[None]:
    """As a backup, or an administrator's forgotten transaction, would."""
    path = server.settings.database_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_jobs_outlive_a_table_that_is_locked(
    orders_and_server: tuple[failpoint_orders.Orders, servers.HpcServer], witness: Witness
) -> None:
    orders, hpc = orders_and_server
    running = client.submit(hpc.url, "waits")
    running_id = client.job_id_of(running)
    servers.wait_for(lambda: (hpc.row(running_id) or {})["state"] == "running", "it runs")
    # The next one is taken by Slurm, and before its row knows, the table is locked.
    orders.give("submit.4", "stop")
    submitted = client.submit(hpc.url, "quiet", [("seconds", "0.1")])
    dispatcher = hpc.part("dispatcher")
    servers.wait_for(lambda: dispatcher.status() == psutil.STATUS_STOPPED, "it stands still there")
    waiting = client.submit(hpc.url, "quiet", [("seconds", "0.1")])
    with _locked(hpc):
        dispatcher.resume()
        site.release(hpc, running_id)
        begun = time.monotonic()
        job_id = client.job_id_of(submitted)
        assert (hpc.row(job_id) or {})["state"] == "submitting"
        servers.wait_for(lambda: "database is locked" in hpc.read_log(), "it is noticed")
        time.sleep(LOCKED)
        assert (hpc.row(job_id) or {})["state"] == "submitting"
        assert (hpc.row(running_id) or {})["state"] == "running"
        # Whoever looks is answered meanwhile.
        servers.wait_for(lambda: hpc.has_succeeded(running_id), "the job ends meanwhile")
        document = client.get(running).content
        assert client.state_of(document) == "ProcessStarted", "nobody has confirmed it"
    locations = [running, submitted, waiting]
    for location in locations:
        document = client.await_end(location)
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
    words, seconds = client.message_of(document), time.monotonic() - begun
    invariants.check_server(hpc, locations)
    how = f"BEGIN EXCLUSIVE by another process for {LOCKED} s, {PATIENCE} s are waited for it"
    witness("job table (SQLite) locked", how, words, seconds, "Slurm")


def test_jobs_outlive_an_outage_of_the_database_server(
    postgres: Postgres, witness: Witness
) -> None:
    postgres.clear()
    with _server("database", database=postgres.url) as hpc:
        running = client.submit(hpc.url, "waits")
        running_id = hpc.id_of(running)  # the job table, which tells it, will be away
        servers.wait_for(lambda: (hpc.row(running_id) or {})["state"] == "running", "it runs")
        waiting = client.submit(hpc.url, "quiet", [("seconds", "0.1")])
        request = client.execute_document("quiet", [("seconds", "0.1")], asynchronous=True)
        begun = time.monotonic()
        with postgres.stopped():
            answer = client.send(hpc.url, request)
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert b'exceptionCode="ServerBusy"' in answer.content
            site.release(hpc, running_id)
            servers.wait_for(lambda: hpc.has_succeeded(running_id), "the job ends meanwhile")
            servers.wait_for(lambda: "job table: " in hpc.read_log(), "it is noticed")
        locations = [running, waiting, client.submit(hpc.url, "quiet", [("seconds", "0.1")])]
        for location in locations:
            document = client.await_end(location)
            assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
        words, seconds = client.message_of(document), time.monotonic() - begun
        invariants.check_server(hpc, locations)
    witness(
        "job table's database server (PostgreSQL) down while a job runs",
        "PostgreSQL stopped (fast) until the job had ended, then started",
        f"HTTP 503 with Retry-After meanwhile; then: {words}",
        seconds,
        "Slurm",
    )
