"""Slurm's limits: scontrol, sinfo, sacctmgr; and sbatch --test-only. Measured on 22.05.

Of what is not said (``UNLIMITED``, ``(null)``, ``N/A``, an empty column) there is no limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pywps_hpc.dispatch.schedulers.dialect import Question
from pywps_hpc.dispatch.schedulers.sites.model import (
    Association,
    Node,
    Queue,
    Site,
    SiteQuestions,
    require_run,
)
from pywps_hpc.dispatch.schedulers.text import first_line, seconds, whole_lines

_NODE = "pywps-hpc|%P|%N|%c|%m|%T|%G"
#: States of a node on which no job starts (sinfo(1), NODE STATE CODES); a "*" does not answer.
_OUT = re.compile(r"down|drain|fail|maint|unknown|power(ed|ing)_down|reboot|\*$|not_responding")
_ASSOCIATION = "Cluster,Account,Partition,QOS,MaxWall,MaxSubmitJobs"
_MANY = frozenset({"ALL", "(null)", ""})


def ask(user: str) -> Iterator[Question[Site]]:
    """Partitions, nodes, configuration, associations."""
    yield Question(("scontrol", "--all", "--oneliner", "show", "partition"), read_partitions)
    yield Question(("sinfo", "--all", "--noheader", "--Node", f"--format={_NODE}"), read_nodes)
    yield Question(("scontrol", "show", "config"), read_config)
    columns = ("show", "associations", f"users={user}", f"format={_ASSOCIATION}")
    yield Question(("sacctmgr", "--noheader", "--parsable2", *columns), read_associations)


def verify(script: str) -> Question[str]:
    """Whether sbatch would take a script."""
    return Question(("sbatch", "--test-only"), read_verdict, stdin=script)


def read_partitions(returncode: int, stdout: str, stderr: str) -> Site:
    """``scontrol show partition``, one line each."""
    queues = {}
    for line in whole_lines(returncode, stdout, stderr):
        given = dict(re.findall(r"(\w+)=(\S*)", line))
        name = given.get("PartitionName", "")
        if not name:
            continue
        state = given.get("State", "UP")
        queues[name] = Queue(
            name,
            is_default=given.get("Default") == "YES",
            closed="" if state == "UP" else state,
            walltime=seconds(given.get("MaxTime", "")) or None,
            cpus=_number(given.get("MaxCPUsPerNode", "")),
            memory=_number(given.get("MaxMemPerNode", "")),
            accounts=_names(given.get("AllowAccounts", "")),
            refused_accounts=_names(given.get("DenyAccounts", "")),
            most_nodes=_number(given.get("MaxNodes", "")),
        )
    return Site(queues=queues)


def read_nodes(returncode: int, stdout: str, stderr: str) -> Site:
    """``sinfo --Node``: a node stands once in each of its partitions."""
    found: dict[str, list[Node]] = {}
    states: dict[str, list[str]] = {}
    for line in whole_lines(returncode, stdout, stderr):
        if not line.startswith("pywps-hpc|"):
            continue
        _, partition, name, cpus, memory, state, gres = line.split("|", 6)
        states.setdefault(partition.rstrip("*"), []).append(state)
        node = Node(name, _number(cpus), _number(memory), gpus(gres))
        found.setdefault(partition.rstrip("*"), []).append(node)
    closed = {
        name: f"all nodes: {', '.join(sorted(set(of_nodes)))}"
        for name, of_nodes in states.items()
        if all(map(_OUT.search, of_nodes))
    }
    return Site(nodes={name: tuple(nodes) for name, nodes in found.items()}, closed=closed)


def gpus(gres: str) -> int:
    """GPUs in a node's ``Gres``: ``gpu:a100:4(S:0-1),gpu:2,nvme:1``."""
    plain = re.sub(r"\([^)]*\)", "", gres)
    counts = re.findall(r"(?:^|,)gpu(?::[^:,]+)?:(\d+)|(?:^|,)gpu(?=,|$)", plain)
    return sum(int(count or 1) for count in counts)


def read_config(returncode: int, stdout: str, stderr: str) -> Site:
    """``scontrol show config``."""
    lines = whole_lines(returncode, stdout, stderr)
    pairs = (line.partition("=") for line in lines)
    given = {key.strip(): value.strip() for key, _, value in pairs}
    enforced = given.get("AccountingStorageEnforce", "")
    size = _number(given.get("MaxArraySize", ""))
    return Site(
        enforces_accounts=bool(re.search("associations|limits|safe|qos|wckeys", enforced)),
        array_size=size - 1 if size else None,
        user_jobs=_number(given.get("MaxJobCount", "")),
        request_rate=_rate(given.get("SlurmctldParameters", "")),
        cluster=given.get("ClusterName"),
    )


def _rate(parameters: str) -> float | None:
    """Requests a minute (slurm.conf(5), rl_enable): ``rl_refill_rate`` tokens each
    ``rl_refill_period`` seconds."""
    given = dict(re.findall(r"(rl_\w+)(?:=(\d+))?", parameters))
    if "rl_enable" not in given:
        return None
    rate, period = int(given.get("rl_refill_rate") or 2), int(given.get("rl_refill_period") or 1)
    return 60.0 * rate / max(period, 1)


def read_associations(returncode: int, stdout: str, stderr: str) -> Site:
    """``sacctmgr show associations`` of one user."""
    found = []
    for line in whole_lines(returncode, stdout, stderr):
        parts = line.split("|")
        if len(parts) != 6:
            continue
        _, account, partition, qos, wall, jobs = parts
        limit = seconds(wall) or None
        found.append(Association(account, partition, _names(qos), limit, _number(jobs)))
    return Site(
        associations=tuple(dict.fromkeys(found)),
        associating="sacctmgr add user {user} account={account}",
    )


def read_verdict(returncode: int, stdout: str, stderr: str) -> str:
    """Why sbatch would not take it; empty if it would."""
    require_run(returncode, stderr)
    if returncode == 0:
        return ""
    lines = [re.sub(r"^sbatch: (error: )?", "", line) for line in stderr.splitlines()]
    reasons = [line.removeprefix("allocation failure: ") for line in lines if line.strip()]
    return "; ".join(dict.fromkeys(reasons)) or first_line(stdout) or f"exit status {returncode}"


def _number(text: str) -> int | None:
    match = re.match(r"\d+", text)
    return int(match.group()) if match else None


def _names(text: str) -> frozenset[str]:
    return frozenset() if text in _MANY else frozenset(text.split(","))


QUESTIONS = SiteQuestions(ask, verify)
