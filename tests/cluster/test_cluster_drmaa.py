"""The process that holds the DRMAA session dies at the worst moments: every job ends once."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

import batch_paths as paths
import cluster_site as site
import gridengine_site as gridengine
import servers
import wps_client as client

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("gridengine")]
grid_engine = paths.grid_engine
SIGNALS = [signal.SIGKILL, signal.SIGSEGV]
JOBS = 6


@pytest.fixture(scope="module", params=[500, 1], ids=["arrays", "one by one"])
def hpc(request: pytest.FixtureRequest, grid_engine: None) -> Iterator[servers.HpcServer]:
    root = site.folder("drmaa")
    site.code(root)
    sections = {section: dict(keys) for section, keys in paths.PATHS["drmaa"]().items()}
    sections["hpc"] |= {"array_size": request.param, "command_timeout": 10, "grace": 10}
    sections["hpc.container"] = {"runtime": "none"}
    with site.slurm_server(root, "faulty:service", sections=sections) as server:
        client.await_end(_submit(server))  # a session is open
        yield server


def _submit(server: servers.HpcServer, *, wait: int = 0) -> str:
    return client.submit(server.url, "counts", [("wait", str(wait))])


def _dispatcher(server: servers.HpcServer) -> psutil.Process:
    return server.part("dispatcher")


def _stop_dispatcher(server: servers.HpcServer) -> psutil.Process:
    """Suspend it at a moment at which it is not writing to the job table, for SQLite would keep all
    others from writing until it goes on."""
    dispatcher = _dispatcher(server)
    table = server.settings.database_url.removeprefix("sqlite:///")
    write = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 0.5).execute('BEGIN IMMEDIATE')"
    probe = ["runuser", "-u", site.user(), "--", site.python(), "-c", write, table]

    def stopped() -> bool:
        dispatcher.suspend()
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return True
        dispatcher.resume()
        return False

    servers.wait_for(stopped, "a dispatcher that stands still")
    return dispatcher


def _helper(server: servers.HpcServer) -> psutil.Process | None:
    """The living process with the session."""
    for process in _dispatcher(server).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("drmaa_session" in word for word in process.cmdline()):
                return process
    return None


def _kill(server: servers.HpcServer, number: signal.Signals) -> int:
    helper = servers.wait_for(lambda: _helper(server), "a helper")
    helper.send_signal(number)
    helper.send_signal(signal.SIGCONT) if number != signal.SIGKILL else None
    return int(helper.pid)


def _agree(server: servers.HpcServer, locations: list[str]) -> None:
    """All succeeded, and Grid Engine ran each of them once."""
    for location in locations:
        document = client.await_end(location, limit=120)
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
    rows = []
    for location in locations:
        job_id = client.job_id_of(location)
        servers.wait_for(
            lambda job_id=job_id: (row := server.row(job_id)) and row["state"] == "succeeded",  # type: ignore[misc]
            "the table knows its end",
        )
        rows.append(server.row(job_id))
        leases = [lease.name for lease in server.job(job_id).path.glob("lease.*")]
        assert leases == ["lease.0"]
    wanted = collections.Counter((row["name"], row["place"]) for row in rows if row)
    servers.wait_for(
        lambda: _accounted({name for name, _ in wanted}) == wanted, "accounting has each once", 60
    )


def _accounted(names: set[str]) -> collections.Counter[tuple[str, int]]:
    found: collections.Counter[tuple[str, int]] = collections.Counter()
    for name in names:
        line = ["runuser", "-u", site.user(), "--", "qacct", "-j", name]
        text = subprocess.run(
            line, env={**os.environ, **gridengine.environment()}, capture_output=True, text=True
        ).stdout
        tasks = re.findall(r"^taskid\s+(\S+)", text, re.MULTILINE)
        found.update((name, int(task) if task.isdigit() else 0) for task in tasks)
    return found


@pytest.mark.parametrize("number", SIGNALS)
def test_killed_between_acceptance_and_submission(
    hpc: servers.HpcServer, number: signal.Signals
) -> None:
    dispatcher = _stop_dispatcher(hpc)
    try:
        locations = [_submit(hpc) for _ in range(JOBS)]
        before = _kill(hpc, number)
    finally:
        dispatcher.resume()
    _agree(hpc, locations)
    helper = _helper(hpc)
    assert helper is not None
    assert helper.pid != before


@pytest.mark.parametrize("number", SIGNALS)
def test_killed_again_and_again_during_submissions(
    hpc: servers.HpcServer, number: signal.Signals
) -> None:
    stop = threading.Event()
    killed: set[int] = set()

    def storm() -> None:
        while not stop.wait(0.15):
            helper = _helper(hpc)
            if helper is not None:
                with contextlib.suppress(psutil.Error):
                    helper.send_signal(number)
                    killed.add(helper.pid)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        locations = []
        for _ in range(JOBS):
            locations.append(_submit(hpc))
            time.sleep(0.3)
        time.sleep(2)
        servers.wait_for(lambda: len(killed) > 1, "two were killed")
    finally:
        stop.set()
        thread.join()
    _agree(hpc, locations)


@pytest.mark.parametrize("number", SIGNALS)
def test_killed_while_jobs_are_followed(hpc: servers.HpcServer, number: signal.Signals) -> None:
    locations = [_submit(hpc, wait=1) for _ in range(JOBS)]
    servers.wait_for(lambda: any(row["state"] == "running" for row in hpc.rows()), "some run")
    _kill(hpc, number)
    site.release(hpc, *map(client.job_id_of, locations))
    _agree(hpc, locations)
