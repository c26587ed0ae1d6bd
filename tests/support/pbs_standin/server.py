"""What the stand-in for a PBS server knows: jobs as files in a folder, under one lock.

There is no package of any PBS for Debian. The commands in the folders beside this file say and do
what the real ones were seen to (captured/torque, captured/openpbs); jobs really run, each under a
process of its own (mom.py), which is also who starts it when its turn has come. $PBS_STANDIN names
the folder, $PBS_STANDIN_KIND whose MOM it is. Its file ``config`` (JSON) may change at any time:

keep_completed  seconds for which jobs that end from now on are listed (TORQUE: keep_completed)
history         whether jobs that ended are remembered (OpenPBS: job_history_enable)
np              processors of the only node (nodes file)
path            in which its jobs look for commands
queues          names of the queues; the first one is the default
max_user_queuable   jobs that a user may have (qmgr: max_user_queuable)
operators       users who may suspend (qmgr: operators)
spool_as_final_name     write logs where they belong, rather than copy them at the end (MOM)
kill_delay      seconds between TERM and KILL (qmgr: kill_delay)
kill_delay_suspended    the same for a job that is suspended (OpenPBS; measured)
down            the server does not answer
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STATE = Path(os.environ.get("PBS_STANDIN", "/nonexistent"))
OPENPBS = os.environ.get("PBS_STANDIN_KIND") == "openpbs"
CAPTURED = Path(__file__).resolve().parents[2] / "captured/torque"
DEFAULTS: dict[str, Any] = {
    "keep_completed": 300,
    "history": True,
    "np": 8,
    "path": "/usr/local/bin:/usr/bin:/bin",
    "queues": ["batch"],
    "max_user_queuable": 0,
    "operators": [],
    "spool_as_final_name": True,
    "kill_delay": 2,
    "kill_delay_suspended": 36,
    "down": False,
}
#: The name by which the server calls itself, and the one under which its users know it.
SERVER, DEFAULT = "vm", "localhost"

# pbs_error.h, modulo 256.
UNKNOWN_JOB, UNAUTHORIZED, WRONG_STATE, UNKNOWN_QUEUE = 153, 159, 170, 172
UNKNOWN_RESOURCE, EXCEEDS_LIMITS, NO_CONNECTION = 189, 190, 111
TOO_MANY_JOBS = 15076 % 256

#: Names of a job's attributes in the order in which qstat prints them.
ORDER = [
    line.strip().partition(" = ")[0]
    for case in ("qstat_completed_one", "qstat_f1_suspended", "qstat_f1_array")
    for line in (CAPTURED / f"{case}.stdout").read_text().splitlines()
    if line.startswith("    ")
]

Job = dict[str, Any]


class Failure(Exception):
    """A command's complaint about one job.

    Attributes:
        code: the command's exit status.
    """

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code


def config() -> dict[str, Any]:
    file = STATE / "config"
    return DEFAULTS | (json.loads(file.read_text()) if file.exists() else {})


@contextlib.contextmanager
def jobs() -> Iterator[dict[str, Job]]:
    """All jobs by number; changes are stored at the end."""
    (STATE / "jobs").mkdir(exist_ok=True)
    with open(STATE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        files = sorted((STATE / "jobs").iterdir(), key=lambda file: _order(file.name))
        known: dict[str, Job] = {file.name: json.loads(file.read_text()) for file in files}
        before = {number: json.dumps(job) for number, job in known.items()}
        for number, job in list(known.items()):
            if job.get("_forget", math.inf) < time.time():
                del known[number]
                (STATE / "jobs" / number).unlink()
        yield known
        for number, job in known.items():
            if json.dumps(job) != before.get(number):
                (STATE / "jobs" / number).write_text(json.dumps(job))


def _order(number: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", number)]


def find(known: dict[str, Job], name: str) -> Job:
    """The job of an id, whole (``12.vm``) or without the server (``12``)."""
    number, _, server = name.partition(".")
    if number not in known or server not in ("", SERVER, DEFAULT):
        full = name if server else f"{name}.{DEFAULT}"
        raise Failure(f"Unknown Job Id Error {full}", UNKNOWN_JOB)
    return known[number]


def free(known: dict[str, Job]) -> int:
    """Processors that no job has."""
    return int(config()["np"]) - sum(
        job["_processors"] for job in known.values() if job["job_state"] in "RES"
    )


def describe(job: Job) -> str:
    """As ``qstat -f -1`` prints it."""
    names = sorted((name for name in job if not name.startswith("_")), key=_place)
    lines = [f"    {name} = {job[name]}" for name in names]
    return "\n".join([f"Job Id: {job['_id']}", *lines, "", ""])


def _place(name: str) -> int:
    return ORDER.index(name if name in ORDER else f"{name.partition('.')[0]}.walltime")


def end(job: Job, exit_status: int | None = None) -> None:
    job["job_state"] = "C"
    # Measured: one that is deleted again while it is being deleted is forgotten at once.
    if not OPENPBS:
        keep = config()["keep_completed"]
        job["_forget"] = 0 if job.get("_deleted_twice") else time.time() + keep
    if exit_status is not None:
        job["exit_status"] = exit_status
        job["comp_time"] = time.asctime()
    job["mtime"] = time.asctime()


def is_operator() -> bool:
    return getpass.getuser() in config()["operators"]


def require_server(command: str) -> None:
    """Complain as the real commands did when their server was down."""
    if not config()["down"]:
        return
    case = command if (CAPTURED / f"{command}_server_down.stderr").exists() else "qdel"
    text = (CAPTURED / f"{case}_server_down.stderr").read_text()
    sys.stderr.write(re.sub(rf"^{case}:", f"{command}:", text, flags=re.MULTILINE))
    sys.exit(NO_CONNECTION)
