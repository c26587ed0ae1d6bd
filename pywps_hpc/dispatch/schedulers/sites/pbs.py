"""The limits of every PBS: qstat -Q, qstat -B and pbsnodes (qstat(1B), pbsnodes(8)).

OpenPBS names a node's resources ``resources_available.*``; TORQUE has ``np``, ``gpus`` and what the
node itself reports in ``status``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.dialect import Question
from pywps_hpc.dispatch.schedulers.sites.model import Node, Queue, Site, SiteQuestions
from pywps_hpc.dispatch.schedulers.text import amount, seconds, whole_lines


def ask(user: str) -> Iterator[Question[Site]]:
    """Queues, the server, nodes."""
    yield Question(("qstat", "-Q", "-f"), read_queues)
    yield Question(("qstat", "-B", "-f"), read_server)
    yield Question(("pbsnodes", "-a"), read_nodes)


def read_queues(returncode: int, stdout: str, stderr: str) -> Site:
    """``qstat -Q -f``."""
    queues = {}
    for name, given in _records(returncode, stdout, stderr, "Queue:"):
        shut = [key for key in ("enabled", "started") if given.get(key) == "False"]
        limit = given.get("resources_max.walltime", "")
        most = {key: given.get(f"resources_max.{key}", "") for key in ("ncpus", "procct", "mem")}
        queues[name] = Queue(
            name,
            closed=" and ".join(f"not {key}" for key in shut),
            walltime=seconds(limit) or None,
            cpus=_number(most["ncpus"] or most["procct"]),
            memory=_mebibytes(most["mem"]),
        )
    return Site(queues=queues)


def read_server(returncode: int, stdout: str, stderr: str) -> Site:
    """``qstat -B -f``: which queue is the default, and how many jobs a user may have."""
    for _, given in _records(returncode, stdout, stderr, "Server:"):
        size = given.get("max_array_size", "") or given.get("max_job_array_size", "")
        return Site(
            default_queue=given.get("default_queue", ""),
            array_size=_number(size),
            user_jobs=_number(given.get("max_user_queuable", "")),
        )
    return Site()


def read_nodes(returncode: int, stdout: str, stderr: str) -> Site:
    """``pbsnodes -a``; nodes that are down count: they come back."""
    nodes = []
    for name, given in _records(returncode, stdout, stderr, ""):
        status = dict(
            pair.split("=", 1) for pair in given.get("status", "").split(",") if "=" in pair
        )
        memory = given.get("resources_available.mem", "") or status.get("physmem", "")
        cpus = given.get("resources_available.ncpus", "") or given.get("np", "")
        gpus = given.get("resources_available.ngpus", "") or given.get("gpus", "")
        nodes.append(Node(name, _number(cpus), _mebibytes(memory), _number(gpus) or 0))
    return Site(hosts=tuple(nodes))


def _records(
    returncode: int, stdout: str, stderr: str, head: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """The records of a full listing: a line at the margin with the name, attributes below it."""
    name, given = "", dict[str, str]()
    for line in whole_lines(returncode, stdout, stderr):
        if line and not line[0].isspace():
            if name:
                yield name, given
            if head and not line.startswith(head):
                raise SchedulerUnavailable(f"the answer has {line[:40]!r} where {head} belongs")
            name, given = line.removeprefix(head).strip(), {}
        elif " = " in line:
            key, _, value = line.strip().partition(" = ")
            given[key] = value.strip()
    if name:
        yield name, given


def _number(text: str) -> int | None:
    match = re.match(r"\d+", text)
    return int(match.group()) if match else None


def _mebibytes(text: str) -> int | None:
    return int(amount(text) / (1 << 20)) or None


QUESTIONS = SiteQuestions(ask)
