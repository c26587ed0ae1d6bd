"""Grid Engine's limits: qconf, qstat -f, and qsub -w v. Measured on 8.1.9.

A request that names no queue may run in any of them. ``INFINITY`` and ``NONE`` are no limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.dialect import Question
from pywps_hpc.dispatch.schedulers.sites.model import (
    Node,
    Queue,
    Site,
    SiteQuestions,
    require_run,
)
from pywps_hpc.dispatch.schedulers.text import amount, first_line, seconds, whole_lines

#: States of a queue instance in which no job starts (qstat(1), STATE): disabled, suspended, in
#: error, unreachable, ambiguous, orphaned.
_SHUT = re.compile(r"[dDsSCEuco]")


def ask(user: str) -> Iterator[Question[Site]]:
    """Queues, their instances, parallel environments, the cluster's configuration."""
    yield Question(("qconf", "-sq", "*"), read_queues)
    yield Question(("qstat", "-f", "-xml"), read_instances)
    yield Question(("qconf", "-spl"), read_environments)
    yield Question(("qconf", "-sconf"), read_config)


def verify(script: str) -> Question[str]:
    """Whether a script could run in an empty cluster."""
    return Question(("qsub", "-w", "v"), read_verdict, stdin=script)


def read_queues(returncode: int, stdout: str, stderr: str) -> Site:
    """``qconf -sq "*"``: the queues one after the other."""
    queues = {}
    for given in _records(whole_lines(returncode, stdout, stderr), "qname"):
        memory = amount(_plain(given.get("h_vmem", "")))
        queues[given["qname"]] = Queue(
            given["qname"],
            is_default=True,
            walltime=seconds(_plain(given.get("h_rt", ""))) or None,
            memory=int(memory / (1 << 20)) or None,
            environments=_names(given.get("pe_list", "")),
        )
    return Site(queues=queues)


def read_instances(returncode: int, stdout: str, stderr: str) -> Site:
    """``qstat -f -xml``: the slots of each host, and which queues are shut on all of them."""
    if returncode != 0:
        raise SchedulerUnavailable(f"qstat failed: {first_line(stderr) or returncode}")
    try:
        root = ElementTree.fromstring(stdout[stdout.index("<?xml") :])
    except (ValueError, ElementTree.ParseError) as error:
        raise SchedulerUnavailable(f"qstat's answer is not XML: {error}") from error
    nodes: dict[str, list[Node]] = {}
    states: dict[str, list[str]] = {}
    for instance in root.iter("Queue-List"):
        queue, _, host = (instance.findtext("name") or "").partition("@")
        slots = instance.findtext("slots_total") or ""
        nodes.setdefault(queue, []).append(Node(host, int(slots) if slots.isdigit() else None))
        states.setdefault(queue, []).append(instance.findtext("state") or "")
    closed = {
        queue: f"state {', '.join(sorted(set(found)))}"
        for queue, found in states.items()
        if all(map(_SHUT.search, found))
    }
    return Site(nodes={name: tuple(found) for name, found in nodes.items()}, closed=closed)


def read_environments(returncode: int, stdout: str, stderr: str) -> Site:
    """``qconf -spl``."""
    if returncode != 0:
        return Site(environments=frozenset())  # "no parallel environment defined"
    return Site(environments=frozenset(whole_lines(returncode, stdout, stderr)))


def read_config(returncode: int, stdout: str, stderr: str) -> Site:
    """``qconf -sconf`` (sge_conf(5)); 0 is no limit."""
    lines = [line.split() for line in whole_lines(returncode, stdout, stderr)]
    given = {entry[0]: entry[1] for entry in lines if len(entry) > 1}
    size, jobs = (given.get(key, "0").strip() for key in ("max_aj_tasks", "max_u_jobs"))
    return Site(array_size=int(size) or None, user_jobs=int(jobs) or None)


def read_verdict(returncode: int, stdout: str, stderr: str) -> str:
    """Why it could not run; empty if it could."""
    require_run(returncode, stderr)
    lines = [line.strip() for line in f"{stderr}\n{stdout}".splitlines() if line.strip()]
    if returncode == 0 and not any("no suitable queues" in line for line in lines):
        return ""
    said = [
        re.sub(r"^Unable to run job: (Job \d+ )?", "", line)
        for line in lines
        if line != "Exiting." and not line.startswith("verification:")
    ]
    return "; ".join(dict.fromkeys(said)) or "no suitable queues"


def _records(lines: list[str], first: str) -> Iterator[dict[str, str]]:
    """Names and values; ``first`` begins a new one, and a backslash continues a line."""
    given: dict[str, str] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, value = line.strip().partition(" ")
        if name == first and given:
            yield given
            given = {}
        if name:
            given[name] = " ".join(value.split())
    if first in given:
        yield given


def _plain(text: str) -> str:
    """A value without what differs by host: ``INFINITY,[host=1:0:0]``."""
    return text.partition(",")[0].strip()


def _names(text: str) -> frozenset[str]:
    return frozenset(re.sub(r"\[[^]]*\]", "", text).replace(",", " ").split()) - {"NONE"}


QUESTIONS = SiteQuestions(ask, verify)
