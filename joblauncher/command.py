"""The launcher's command line: ``python -I -m joblauncher --digest SHA256 JOB_FOLDER``."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from joblauncher import warm
from joblauncher.shared import logs, probing
from joblauncher.shared.jobdir import JobDir
from joblauncher.supervisor import main


def command(arguments: Sequence[str]) -> int:
    """Parse the command line and run the job; the exit code."""
    own = _parser().parse_args(arguments)
    if own.report_imports is not None:
        warm.report_to(own.report_imports)
    prepare(own.path or [])
    job = JobDir(own.folder)
    if probing.is_order(job.dump):
        from joblauncher import probe  # no other job needs it

        return probe.run(job, own.digest, allow_root=own.allow_root)
    return main(job, own.digest, own.attempt, allow_root=own.allow_root)


@functools.cache  # a nursery makes it once, for all its forks
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="joblauncher", description=__doc__)
    parser.add_argument("folder", type=Path, help="the job's folder on the shared file system")
    parser.add_argument("--digest", required=True, help="SHA-256 of the job's dump")
    parser.add_argument("--attempt", type=int, default=0, help="which start of the job this is")
    parser.add_argument("--path", action="append", help="a folder with modules of the service")
    parser.add_argument("--allow-root", action="store_true", help="run the process even as root")
    parser.add_argument("--report-imports", type=int, help=argparse.SUPPRESS)  # a descriptor
    return parser


def make_ready() -> None:
    """Do once, in a nursery, what parsing a command line takes the first time."""
    _parser().parse_args(["--digest", "0", "/"])


def prepare(paths: Sequence[str]) -> None:
    """Set up the interpreter: umask, log, and where it finds modules of the service. Twice is as
    good as once."""
    os.umask(0o077)
    fresh = [path for path in paths if path not in sys.path]
    sys.path.extend(fresh)
    if paths:  # for interpreters that the process starts; -I shuts out our own only
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        added = [*paths, *(path for path in known if path and path not in paths)]
        os.environ["PYTHONPATH"] = os.pathsep.join(added)
    logs.install(folded=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s joblauncher: %(message)s")


def run(arguments: Sequence[str]) -> NoReturn:
    """Run the job and end this process."""
    code = command(arguments)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    # sys.exit() would make 120 of the code where the log cannot be written.
    os._exit(code)
