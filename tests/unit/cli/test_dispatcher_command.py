"""``pywps-hpc dispatcher`` gives back what it opened, however it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli_desk import ENVIRONMENT
from servers import write_config

#: The command with a batch system that tells when it is closed, and a dispatcher that ends at once.
COMMAND = """
import os
import sys
from pywps_hpc.dispatch import dispatcher
from pywps_hpc.dispatch.schedulers import registry
from pywps_hpc.dispatch.schedulers.local import LocalScheduler
from pywps_hpc.errors import ForeignSpool

how = sys.argv.pop()

def close(self):
    print("closed", flush=True)

def run(self, stop, hangup):
    if how == "fails":
        raise ForeignSpool("another table's")
    return how == "reloads"

LocalScheduler.close = close
dispatcher.Dispatcher.run = run
registry.check = lambda settings: None
os.execv = lambda *_: sys.exit(0)
from pywps_hpc.cli import main
main()
"""


@pytest.mark.parametrize("how", ["stops", "fails", "reloads"])
def test_the_batch_system_is_closed_once_the_dispatcher_ends(tmp_path: Path, how: str) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:9/wps")
    line = [sys.executable, "-c", COMMAND, "dispatcher", "--config", str(config), how]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    assert ended.stdout == "closed\n", ended.stderr
    assert ended.returncode == (1 if how == "fails" else 0)
