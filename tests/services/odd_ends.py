"""Processes that tell their end themselves, or make their folder such that nobody could."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pywps import Process

from joblauncher.shared import outcome, status_xml
from joblauncher.shared.jobdir import JobDir
from odd_kit import OPEN, number, result, value, word


def _in_place_of(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


def _folder(path: Path) -> None:
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "file").touch()
    (path / "deep").chmod(0)


def _forged(job: JobDir) -> None:
    """As a launcher would leave it after its last word."""
    status = status_xml.Status(outcome.SUCCEEDED, 100, "forged")
    document = status_xml.replace(job.status.read_bytes(), status)
    facts = outcome.read(job) or outcome.Report(job.job_id, "hostile")
    facts.state, facts.percent, facts.message = outcome.SUCCEEDED, 100, "forged"
    facts.started = facts.finished = time.time()
    facts.exit_code = 0
    job.status.write_bytes(document)
    facts.write(job)


#: What -> how it is done to the job's folder.
DEEDS: dict[str, Callable[[JobDir], None]] = {
    "nothing": lambda job: None,
    "status folder": lambda job: _in_place_of(job.status, _folder),
    "outcome folder": lambda job: _in_place_of(job.report, _folder),
    "status pipe": lambda job: _in_place_of(job.status, os.mkfifo),
    "outcome link": lambda job: _in_place_of(job.report, lambda path: path.symlink_to("/dev/zero")),
    "status gone": lambda job: job.status.unlink(),
    "mode 0": lambda job: job.path.chmod(0),
    "mode 0300": lambda job: job.path.chmod(0o300),
    "mode 0500": lambda job: job.path.chmod(0o500),
    "forged": _forged,
}


def _exit(code: int) -> None:
    os._exit(code)


#: How -> the end that follows, after some seconds.
WAYS: dict[str, Callable[[], None]] = {
    "return": lambda: None,
    "exit 0": lambda: _exit(0),
    "exit 3": lambda: _exit(3),
    "exit 75": lambda: _exit(75),
    "kill itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "kill launcher": lambda: os.kill(os.getppid(), signal.SIGKILL),
}


def be_hostile(request: Any, response: Any) -> None:
    """Do one of the deeds, work on for a while, and end."""
    what, how = value(request, "what"), value(request, "how")
    job = JobDir(Path.cwd().parent)
    response.update_status("about to", 10)
    DEEDS[what](job)
    print("has done it", flush=True)
    time.sleep(value(request, "seconds"))
    WAYS[how]()
    response.outputs["result"].data = "done"


PROCESSES = [
    Process(
        be_hostile,
        identifier="hostile",
        title="Hostile",
        inputs=[word("what"), word("how"), number("seconds")],
        outputs=[result()],
        **OPEN,
    )
]
