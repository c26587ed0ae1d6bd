"""``python -I -m joblauncher --digest SHA256 JOB_FOLDER``: the last line of every batch script."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path

from joblauncher.shared import logs
from joblauncher.shared.jobdir import JobDir
from joblauncher.supervisor import main


def command() -> int:
    """Parse the command line and run the job; the exit code."""
    parser = argparse.ArgumentParser(prog="joblauncher", description=__doc__)
    parser.add_argument("folder", type=Path, help="the job's folder on the shared file system")
    parser.add_argument("--digest", required=True, help="SHA-256 of the job's dump")
    parser.add_argument("--attempt", type=int, default=0, help="which start of the job this is")
    parser.add_argument(
        "--path", action="append", default=[], help="a folder with modules of the service"
    )
    parser.add_argument("--allow-root", action="store_true", help="run the process even as root")
    arguments = parser.parse_args()
    os.umask(0o077)
    sys.path.extend(arguments.path)
    if arguments.path:  # for interpreters that the process starts; -I shuts out our own only
        known = filter(None, [os.environ.get("PYTHONPATH")])
        os.environ["PYTHONPATH"] = os.pathsep.join([*arguments.path, *known])
    logs.install(folded=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s joblauncher: %(message)s")
    return main(
        JobDir(arguments.folder),
        arguments.digest,
        arguments.attempt,
        allow_root=arguments.allow_root,
    )


code = command()
for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError):
        stream.flush()
# sys.exit() would make 120 of the code where the log cannot be written.
os._exit(code)
