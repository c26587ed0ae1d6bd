"""Folders of jobs that their processes filled, in an interpreter of its own: how much memory each
of those that read there takes.

Run as ``python result_memory.py FOLDER SMALL FILLED...``: the first gets a service, each other one
has a ``status.xml`` and an ``outcome.json``. Prints a JSON object for each but the small ones, with
the bytes that each reader took at most, and how the job ended.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from werkzeug.test import create_environ
from werkzeug.wrappers import Request

import memory
from dispatcher_harness import GRACE, DispatcherHarness
from fake_scheduler import DONE
from joblauncher import ending
from joblauncher.ending import Ending
from joblauncher.publisher import Publisher
from joblauncher.shared import status_xml
from joblauncher.shared.files import read_plain
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.jobs import Job
from pywps_hpc.jobs.look import look
from pywps_hpc.web.wps1 import status, sync


def fill(job: JobDir, filled: Path) -> None:
    for file in (job.status, job.report):
        if (filled / file.name).exists():
            shutil.copyfile(filled / file.name, file)


def follow(harness: DispatcherHarness, filled: Path) -> Job:
    """The row of a job that ended with these files, as the dispatcher leaves it."""
    job = harness.running()
    fill(harness.folder(job), filled)
    harness.scheduler.say(job.native_id, DONE)
    for _ in range(3):
        harness.cycle(later=GRACE)
    return harness.row(job)


def conclude(harness: DispatcherHarness, filled: Path) -> status_xml.Status:
    """What the launcher leaves when its process has come to its end with these files."""
    job = harness.running()
    folder = harness.folder(job)
    fill(folder, filled)
    document = read_plain(folder.status)
    whole = b"ProcessSucceeded" in document
    announced = ending.digest(document) if whole else b""
    publisher = Publisher(folder)
    publisher.facts.process = "hello"
    publisher.conclude(Ending(0, None, announced=announced))
    return status_xml.parse(read_plain(folder.status))


def answer(harness: DispatcherHarness, filled: Path, row: Job) -> None:
    """Answer the client that waited for the job, whose process goes on writing there."""
    job = harness.spool.open(row.id)
    fill(job, filled)
    request = SimpleNamespace(raw=False, http_request=Request(create_environ()))
    view = look(row, job, scheduler="slurm")
    sync.sync_response(view, job, request, status.About(), timeout=1)


def main(folder: str, *places: str) -> None:
    harness = DispatcherHarness(Path(folder))
    before = 0

    def took(act: Callable[[], Any]) -> tuple[int, Any]:
        most, given = memory.peak_of(act)
        return most - before, given

    for count, place in enumerate(places):
        filled = Path(place)
        dispatcher, row = took(lambda: follow(harness, filled))  # noqa: B023
        web, _ = took(lambda: answer(harness, filled, row))  # noqa: B023
        launcher, left = took(lambda: conclude(harness, filled))  # noqa: B023
        if not count:  # what is loaded once is not counted
            before = memory.resident()
            continue
        most = {"dispatcher": dispatcher, "web": web, "launcher": launcher}
        told = {"most": most, "row": [row.state.value, row.message]}
        print(json.dumps(told | {"left": [left.state, left.message]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
