"""Processes that tell how their interpreter was started, and what of it they find changed."""

from __future__ import annotations

import json
import locale
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy
from pywps import LiteralInput, LiteralOutput, Process, Service, configuration

import nursling_part

#: What jobs leave here no other job sees.
SEEN: list[str] = []
HOME_AT_IMPORT = Path.home()
TEMPORARY_AT_IMPORT = tempfile.gettempdir()
CONFIG_AT_IMPORT = configuration.CONFIG
random.seed(1)
numpy.random.seed(1)


def is_warm() -> bool:
    """Whether this job is a fork of a nursery."""
    return "joblauncher.imports" in sys.modules


def environment() -> dict[str, str]:
    """Its own, without what differs from job to job."""
    job = os.environ["PYWPS_HPC_JOB"]
    return {
        name: value.replace(job, "JOB").rpartition("/queue/")[0] or value.replace(job, "JOB")
        for name, value in os.environ.items()
    }


def facts() -> dict[str, Any]:
    """What must be the same however a job was started."""
    job = os.environ["PYWPS_HPC_JOB"]
    main = sys.modules["__main__"]
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    return {
        "environment": environment(),
        "argv": [word.replace(job, "JOB") for word in sys.argv[:-4]] + sys.argv[-2:-1],
        "main": [main.__name__, main.__spec__.name if main.__spec__ else "", main.__file__],
        "path": sys.path,
        "flags": str(sys.flags),
        "cwd": os.getcwd().replace(job, "JOB"),
        "home": str(Path.home()).replace(job, "JOB"),
        "temporary": tempfile.gettempdir().replace(job, "JOB"),
        "umask": status["Umask"],
        # The two above 31 are the C library's own, see nptl(7).
        "signals": [int(status[name], 16) & 0x7FFFFFFF for name in ("SigBlk", "SigIgn", "SigCgt")],
        "handlers": [
            number.name for number in signal.Signals if signal.getsignal(number) != signal.SIG_DFL
        ],
        "descriptors": sorted(kinds()),
        "threads": [threading.current_thread().name, threading.active_count()],
        "locale": [
            locale.setlocale(locale.LC_ALL),
            sys.stdout.encoding,
            sys.getfilesystemencoding(),
        ],
        "buffering": [sys.stdout.line_buffering, sys.stderr.line_buffering],
        "limits": [resource.getrlimit(number) for number in range(16)],
        "loggers": [len(logging.getLogger(name).handlers) for name in ("PYWPS", "")],
        "level": logging.getLogger("PYWPS").level,
        "config": configuration.CONFIG is CONFIG_AT_IMPORT,
        "workdir": CONFIG_AT_IMPORT.get("server", "workdir").replace(job, "JOB"),
        "group": os.getpgid(0) == os.getppid(),
        "seen": SEEN,
        "environ of proc": "queue/" in Path("/proc/self/environ").read_text(),
    }


def kinds() -> list[str]:
    """What is open, without numbers; the folder behind a home path is no secret and no harm."""
    job = os.environ["PYWPS_HPC_JOB"]
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}").replace(job, "JOB")
        except OSError:
            continue
        if number != "199":
            found.append(f"{number if int(number) < 3 else ''} {target.partition(':')[0]}")
    return found


class Nursling(Process):
    """Does as it is told in words."""

    def __init__(self, identifier: str) -> None:
        super().__init__(
            self._handler,
            identifier=identifier,
            title="A short job",
            inputs=[LiteralInput("order", "Order", data_type="string")],
            outputs=[LiteralOutput("told", "What it tells", data_type="string")],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> None:
        word, _, argument = request.inputs["order"][0].data.partition(" ")
        told = {"warm": is_warm(), "version": nursling_part.VERSION}
        told |= getattr(self, f"_{word}")(argument) or {}
        response.outputs["told"].data = json.dumps(told)

    def _tell(self, _argument: str) -> dict[str, Any]:
        return facts()

    def _leave(self, argument: str) -> dict[str, Any]:
        """Leave traces wherever one job could leave them for another."""
        SEEN.append(argument)
        nursling_part.VERSION = argument
        os.environ["LEFT"] = argument
        sys.path.append(argument)
        (HOME_AT_IMPORT / "left").write_text(argument)
        return {"home": str(HOME_AT_IMPORT.resolve()), "own": os.environ["HOME"]}

    def _random(self, _argument: str) -> dict[str, Any]:
        return {
            "numbers": [random.random(), float(numpy.random.random()), os.urandom(4).hex()],
            "left": (HOME_AT_IMPORT / "left").exists(),
        }

    def _wait(self, argument: str) -> None:
        print("waits", flush=True)
        deadline = time.monotonic() + 120
        while not Path(argument).exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _allocate(self, argument: str) -> None:
        held = bytearray(int(argument) << 20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(120)


service = Service([Nursling("nursling"), Nursling("cold"), Nursling("brief"), Nursling("small")])
