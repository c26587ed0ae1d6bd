"""Clocks that differ by hours between the service's hosts and the nodes, and one that is set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_site as site
import failpoint_orders
import invariants
import servers
import wps_client as client
from joblauncher.shared import outcome
from reliability import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), Path())
#: Under libfaketime 0.9.10 sleep(3) fails in Python 3.11 (clock_nanosleep(2): invalid argument). A
#: dispatcher sleeps when it is woken and when it waits for a command: such a cycle fails.
SLEEP = """\
import select, time
time.sleep = lambda seconds: select.select((), (), (), seconds) and None
"""
WORDS = "the process was killed by signal 9 (SIGKILL: killed)"


def _clock(offset: str) -> dict[str, str]:
    """For a process whose wall clock is wrong (faketime(1)): times of files stay true, and so do
    the clocks that nobody can set."""
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": offset,
        "NO_FAKE_STAT": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.fixture(scope="module")
def hpc() -> Iterator[servers.HpcServer]:
    root = site.folder("clock")
    site.code(root)
    inside = "\n  ".join(f"{name}={value}" for name, value in _clock("+2h").items())
    sections = {
        # A lease of 16 seconds: on a busy host nobody stands still that long by himself.
        "hpc": {"command_timeout": "4", "grace": "5"},
        "hpc.container": {"binds": LIBRARY.parent, "environment": f"\n  {inside}"},
        "hpc.resources": {"memory": "300M"},
    }
    server = site.slurm_server(root, "odd:service", sections=sections, workers=1)
    server.dispatcher = False
    with server:
        yield server


def _run(hpc: servers.HpcServer) -> tuple[str, str, float]:
    """A job that succeeds and one that is killed; their ends in words, and how long they took."""
    begun = time.monotonic()
    # A process that does not sleep, see SLEEP.
    good = client.submit(hpc.url, "partial", [("text", "what time is it")])
    bad = client.submit(hpc.url, "sigkill")
    succeeded, failed = client.await_end(good), client.await_end(bad)
    assert client.state_of(succeeded) == "ProcessSucceeded", client.message_of(succeeded)
    assert client.state_of(failed) == "ProcessFailed"
    assert client.message_of(failed) == WORDS
    seconds = time.monotonic() - begun
    facts = outcome.read(hpc.job(client.job_id_of(good)))
    assert facts is not None
    assert facts.started > time.time() + 3600, "the node's clock was not wrong"
    return client.message_of(succeeded), client.message_of(failed), seconds


def test_jobs_are_run_and_judged_whatever_the_clocks_say(
    hpc: servers.HpcServer, witness: Witness
) -> None:
    able_to_sleep = site.folder("sleep")
    (able_to_sleep / "sitecustomize.py").write_text(SLEEP, encoding="ascii")
    more = {"PYTHONPATH": str(able_to_sleep)}
    with failpoint_orders.Dispatcher(hpc, "late", _clock("-1h") | more) as late:
        servers.wait_for(lambda: late.says("leads"), "it leads")
        with failpoint_orders.Dispatcher(hpc, "early", _clock("+1h") | more) as early:
            servers.wait_for(lambda: early.says(": slurm"), "the other one stands by")
            try:
                _lead_by_turns(hpc, late, early, witness)
                for one in (late, early):
                    assert not one.says("this cycle failed")
            except AssertionError as error:
                raise AssertionError(f"{error}\n{late.tail()}\n{early.tail()}") from error


def _lead_by_turns(
    hpc: servers.HpcServer,
    late: failpoint_orders.Dispatcher,
    early: failpoint_orders.Dispatcher,
    witness: Witness,
) -> None:
    begun = time.monotonic()
    good, bad, seconds = _run(hpc)
    time.sleep(max(0.0, 5 - (time.monotonic() - begun)))  # it tries every two seconds
    assert not early.says("leads")
    assert not late.says("another one took over")
    witness(
        "clocks differ by hours: web server right, dispatcher 1 h behind, node 2 h ahead",
        "libfaketime in the dispatcher and in the job's container",
        f"{good}; {bad}",
        seconds,
        "Slurm",
    )
    late.suspend()
    begun = time.monotonic()
    servers.wait_for(lambda: early.says("leads"), "the other one takes over")
    assert time.monotonic() - begun > 5  # not before the lease was over
    good, bad, seconds = _run(hpc)
    late.resume()
    servers.wait_for(lambda: late.says("another one took over"), "it notices")
    witness(
        "a dispatcher whose clock is 2 h ahead of the former one's takes over",
        "SIGSTOP of the one 1 h behind; libfaketime in both",
        f"{good}; {bad}",
        seconds,
        "Slurm",
    )
    invariants.check_server(hpc, [row["id"] for row in hpc.rows()])
