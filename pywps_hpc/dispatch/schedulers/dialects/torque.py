"""TORQUE's dialect. Measured on TORQUE's master branch.

A job that ended is listed for ``keep_completed`` seconds (qmgr(8)), after which nobody but its own
document and its log know how; users have no history.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from pywps_hpc.dispatch.schedulers.base import JobStatus, Resources
from pywps_hpc.dispatch.schedulers.dialect import Drmaa, Question
from pywps_hpc.dispatch.schedulers.dialects.pbs import UNAUTHORIZED, UNKNOWN_JOB, PbsDialect
from pywps_hpc.dispatch.schedulers.messages.torque import MESSAGES
from pywps_hpc.dispatch.schedulers.states import torque
from pywps_hpc.dispatch.schedulers.text import indices, job_name
from pywps_hpc.durations import clock

WRONG_STATE = 170  # PBSE_BADSTATE 15018

# Measured: nine or more unknown ids spoil the memory of the commands, which go on to name servers
# that do not exist.
_MOST_IDS = 8

_ELEMENT = re.compile(r"-\d+$")  # what it appends to the name of an array


class TorqueDialect(PbsDialect):
    """TORQUE through its own commands."""

    system = "torque"
    title = "TORQUE"
    messages = MESSAGES
    remedies = (
        ("default server", "[hpc] command_environment: PBS_DEFAULT must name the server"),
        ("pbs_iff", "is trqauthd running on this host?"),
        ("trqauthd", "is trqauthd running on this host?"),
        ("munge", "is munged running on this host, with the cluster's key?"),
    )
    drmaa = Drmaa(
        signs=("pbs", "torque"),
        remedies=(
            (
                "pbs",
                "is pbs_server running, and is PBS_DEFAULT in [hpc] command_environment right?",
            ),
        ),
        # Measured: pbs-drmaa submits one job after the other, which have no index by which to find
        # them, and crashes when one of them is refused.
        arrays=False,
    )
    # Whatever else they say (measured: see _MOST_IDS), by these codes the server has answered.
    answers = frozenset({0, UNKNOWN_JOB, UNAUTHORIZED, WRONG_STATE})
    over = frozenset({UNKNOWN_JOB, WRONG_STATE})
    unknown = re.compile(r"^qstat: Unknown (?:Job Id|Array ID)(?: Error)? (\S+)", re.MULTILINE)
    poll_chunk = recent_chunk = control_chunk = _MOST_IDS
    qstat = ("qstat", "-f", "-1")
    # MOM copies the log at the job's end, over what is there (mom_priv/config: $usecp, or
    # $spool_as_final_name to write it live, to a plain file of the owner's only: measured, a
    # symbolic link ends the job with -9). For the element 7 of an array it appends "-7".
    element_log = "/log"
    place = "-d /"

    def array(self, own: Sequence[int]) -> str:
        return f"-t {indices(own)}"

    def limits(self, need: Resources) -> Sequence[str]:
        gpus = f":gpus={need.gpus:d}" if need.gpus else ""
        gpus += f":{need.gpu_type}" if need.gpu_type else ""  # a property of the node
        walltime = clock(need.walltime)
        # Measured: mem limits each process by itself (RLIMIT_DATA), whose allocation then fails.
        # vmem would limit their sum, but of addresses, which says little of memory in use.
        nodes = f"nodes={need.nodes:d}:ppn={need.cpus_per_node:d}{gpus}"
        # mem counts for the whole job (pbs_resources(7)).
        return (f"{nodes},mem={need.nodes * need.memory:d}mb,walltime={walltime}",)

    def probe(self) -> Question[dict[str, JobStatus]]:
        return self.poll(("0",))  # the server says that it is unknown; the default lists all jobs

    def find(self, *names: str) -> Sequence[Question[dict[str, JobStatus]]]:
        # -t: each element of an array by itself.
        wanted = set(map(job_name, names))
        return (Question((*self.qstat, "-t"), partial(self._read_named, wanted)),)

    def recent(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        return self.poll(ids)  # while keep_completed lasts

    def status(self, record: Mapping[str, str]) -> JobStatus | None:
        return torque.status(record)

    def described(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        found = super().described(returncode, stdout, stderr)
        return {job: replace(one, name=_ELEMENT.sub("", one.name)) for job, one in found.items()}

    def _read_named(
        self, names: Collection[str], returncode: int, stdout: str, stderr: str
    ) -> dict[str, JobStatus]:
        found = self.described(returncode, stdout, stderr)
        return {job: status for job, status in found.items() if status.name in names}


DIALECT = TorqueDialect
