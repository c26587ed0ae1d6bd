"""Dismissals against ends, many at once; and clients that hang up on a synchronous request."""

from __future__ import annotations

import dataclasses
import os
import random
import socket
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

import wps_client as client
from dispatcher_harness import ACCEPTED, DispatcherHarness
from fake_scheduler import RUNNING
from joblauncher.shared import outcome, status_xml
from pywps_hpc.dispatch.schedulers.local import LocalScheduler
from pywps_hpc.jobs import TERMINAL, Job, State
from pywps_hpc.jobs.view import PublicState
from pywps_hpc.settings import Container, ProcessSettings, Resources
from pywps_hpc.web import control, lookup
from pywps_hpc.web.errors import NotFound
from servers import HpcServer, wait_for

#: Jobs on the embedded scheduler, each of which is some processes.
LOCAL_RACES = int(os.environ.get("PYWPS_HPC_RACES", "40"))
#: Stands in for the launcher: a short job that succeeds.
LAUNCHER = """#!/bin/sh
for folder; do :; done
sleep 0.$(od -An -N1 -tu1 /dev/urandom | tr -d ' ')
cp {status} "$folder/new" && mv "$folder/new" "$folder/status.xml"
sed "s/JOB/$(basename "$folder")/" {report} > "$folder/new"
mv "$folder/new" "$folder/outcome.json"
"""


def by_hand(harness: DispatcherHarness, job: Job) -> None:
    """Let a job in memory end; its row follows when the dispatcher has asked."""
    row = wait_for(lambda: harness.row(job).native_id and harness.row(job), "it is submitted")
    harness.scheduler.say(row.native_id, RUNNING)
    wait_for(lambda: harness.row(job).state is State.RUNNING, "it runs")
    harness.succeed_in_queue(job)


def by_itself(_harness: DispatcherHarness, _job: Job) -> None:
    """A job on the embedded scheduler ends without help."""


def in_memory(folder: Path) -> DispatcherHarness:
    harness = DispatcherHarness(folder)
    harness.settings = dataclasses.replace(harness.settings, poll_interval=0.1)
    harness.restart()
    return harness


def on_this_host(folder: Path) -> DispatcherHarness:
    """A harness with the embedded scheduler, and a launcher that is quick."""
    harness = DispatcherHarness(folder)
    report = outcome.Report("JOB", "hello", state=outcome.SUCCEEDED, percent=100, message="done")
    done = status_xml.Status(outcome.SUCCEEDED, 100, "done")
    files = {"status": status_xml.replace(ACCEPTED, done), "report": report.content()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    launcher = folder / "launcher"
    launcher.write_text(LAUNCHER.format(**{name: folder / name for name in files}))
    launcher.chmod(stat.S_IRWXU)
    harness.settings = dataclasses.replace(
        harness.settings,
        poll_interval=0.1,
        allow_root=True,
        defaults=ProcessSettings(
            Resources(memory=64, walltime=600), Container(runtime="none", python=launcher)
        ),
    )
    harness.restart(scheduler=LocalScheduler(folder / "scheduler", cpus=8))
    return harness


@pytest.mark.parametrize(
    ("build", "end", "races"),
    [(in_memory, by_hand, 200), (on_this_host, by_itself, LOCAL_RACES)],
)
def test_whoever_is_told_dismissed_never_reads_anything_else(
    tmp_path: Path,
    build: Callable[[Path], DispatcherHarness],
    end: Callable[[DispatcherHarness, Job], None],
    races: int,
) -> None:
    harness = build(tmp_path)
    service: Any = SimpleNamespace(
        settings=harness.settings, store=harness.store, spool=harness.spool
    )
    request = Request(EnvironBuilder().get_environ())
    told: dict[str, bool] = {}  # access -> whether the job was removed
    wrong: list[str] = []
    stop = threading.Event()

    def read(access: str) -> PublicState | None:
        try:
            row, folder = lookup.find(service, request, access)
            return lookup.view_of(service, row, folder).state
        except NotFound:
            return None

    def watch() -> None:
        while not stop.is_set():
            for access, removed in list(told.items()):
                found = read(access)
                if found is not None and (removed or found is not PublicState.DISMISSED):
                    wrong.append(f"{access}: {found}")
            time.sleep(0.02)

    def dispatch() -> None:
        while not stop.is_set():
            harness.now = time.time()
            harness.turn()
            time.sleep(0.02)

    def dismiss(number: int) -> Job:
        job, chance = harness.accept(), random.Random(number)
        end(harness, job)
        begun = (State.RUNNING, *TERMINAL)
        wait_for(lambda: harness.row(job).state in begun, "it begins")
        late = time.monotonic() + chance.random() * chance.choice((0.01, 0.3, 3.0))
        while time.monotonic() < late and harness.row(job).state not in TERMINAL:
            time.sleep(0.01)
        answer = control.dismiss(service, request, job.access)
        assert answer.view.state is PublicState.DISMISSED
        told[job.access] = answer.is_removed
        return job

    helpers = [threading.Thread(target=target) for target in (watch, dispatch)]
    for helper in helpers:
        helper.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            jobs = list(pool.map(dismiss, range(races)))
        wait_for(lambda: not harness.store.requested(), "all dismissals are carried out")
    finally:
        stop.set()
        for helper in helpers:
            helper.join(60)
    assert not any(helper.is_alive() for helper in helpers)
    assert wrong == []
    assert len(told) == races
    removed = list(told.values())
    assert any(removed), "no end came first: this is no race"
    assert not all(removed), "no dismissal came first: this is no race"
    for job in jobs:
        row = harness.store.get(job.id)
        assert (row is None) is told[job.access]
        assert row is None or row.state is State.DISMISSED


# A client that hangs up


@pytest.mark.parametrize(("keep", "state"), [("no", "dismissed"), ("yes", "succeeded")])
def test_a_client_that_hangs_up_leaves_no_job_behind(tmp_path: Path, keep: str, state: str) -> None:
    with HpcServer(tmp_path, sections={"hpc": {"keep_abandoned": keep}}) as server:
        document = client.execute_document("quiet", [("seconds", "8")])
        head = "POST /wps HTTP/1.1\r\nHost: h\r\nContent-Type: text/xml\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            length = f"Content-Length: {len(document)}\r\n\r\n"
            connection.sendall(f"{head}{length}".encode() + document)
            wait_for(lambda: _states(server) == ["running"], "the job runs")
        wait_for(lambda: _states(server) == [state], f"the job table says {state}")
        (row,) = server.rows()
        told = client.await_end(f"{server.base}/status/{row['access']}")
        assert client.state_of(told) == (
            "ProcessFailed" if state == "dismissed" else "ProcessSucceeded"
        )


def _states(server: HpcServer) -> list[str]:
    return [row["state"] for row in server.rows()]
