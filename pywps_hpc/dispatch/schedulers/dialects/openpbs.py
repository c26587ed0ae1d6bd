"""OpenPBS's dialect, which is PBS Professional's, too. Measured on OpenPBS 23.06.06.

The queue does not tell how a job ended, but that it did; then the server's history is asked (qstat
-x). Where a site keeps none (``job_history_enable``, off by default), it tells nothing of any job,
and only the job's own document and its log know how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    Resources,
)
from pywps_hpc.dispatch.schedulers.dialect import Action, Drmaa, Question
from pywps_hpc.dispatch.schedulers.dialects.pbs import UNAUTHORIZED, UNKNOWN_JOB, PbsDialect
from pywps_hpc.dispatch.schedulers.messages.openpbs import MESSAGES
from pywps_hpc.dispatch.schedulers.states import openpbs
from pywps_hpc.dispatch.schedulers.text import indices, job_name, whole_lines
from pywps_hpc.durations import clock

# pbs_error.h, modulo 256.
FINISHED = 35  # PBSE_HISTJOBID 15139
WRONG_STATE = 168  # PBSE_BADSTATE 15016

_FINISHED = re.compile(r"^qstat: (\S+) Job has finished", re.MULTILINE)
_ID = re.compile(r"\d+(?:\[\d*\])?\.[\w.-]+")


class OpenPbsDialect(PbsDialect):
    """OpenPBS and PBS Professional through their own commands."""

    system = "openpbs"
    title = "OpenPBS"
    messages = MESSAGES
    remedies = (
        ("no default server", "[hpc] command_environment: PBS_CONF_FILE or PBS_SERVER"),
        # Before the others: it goes on to say that it cannot connect.
        ("pbs_iff", "on this host pbs_iff must be root's, with the set-user-ID bit (mode 4755)"),
        ("unknown host", "[hpc] command_environment: PBS_SERVER must name the server's host"),
        ("connect", "is pbs_server running, and do PBS_CONF_FILE and PBS_SERVER name it?"),
        ("munge", "is munged running on this host, with the cluster's key?"),
    )
    drmaa = Drmaa(
        signs=("pbs",),
        remedies=(
            (
                "pbs",
                "is pbs_server running, and do PBS_CONF_FILE and PBS_SERVER in "
                "[hpc] command_environment name it?",
            ),
        ),
        arrays=False,  # pbs-drmaa makes none, whatever the PBS
    )
    answers = frozenset({0, FINISHED, UNKNOWN_JOB, UNAUTHORIZED, WRONG_STATE})
    over = frozenset({FINISHED, UNKNOWN_JOB, WRONG_STATE})
    unknown = re.compile(
        r"^qstat: (?:Unknown Job Id|PBS is not configured to maintain job history) (\S+)",
        re.MULTILINE,
    )
    qsub = ("qsub", "-f")  # without a process that stays in the background
    qstat = ("qstat", "-f", "-w")
    poll_chunk = recent_chunk = 100
    find_chunk = 1  # qselect -N takes one name
    element_log = "/log-^array_index^"
    # MOM writes the log where it belongs, live; measured: it appends, and takes links.
    place = "-k oed"
    # Measured: qdel's TERM does not reach a suspended job; it ends 36 s later, by KILL.
    cancels_running = True

    def takes_arrays(self, need: Resources) -> bool:
        return need.requeue  # measured: an array with "-r n" is refused

    def array(self, own: Sequence[int]) -> str:
        # Measured: no array of one is taken. The script ends at once for an index that is not its.
        return f"-J {indices((own[0], max(own[-1], own[0] + 1)))}"

    def limits(self, need: Resources) -> Sequence[str]:
        gpus = f":ngpus={need.gpus:d}" if need.gpus else ""
        gpus += f":accelerator_model={need.gpu_type}" if need.gpu_type else ""
        ranks = f":mpiprocs={need.ranks_per_node:d}" if need.ranks > 1 else ""
        chunk = f"ncpus={need.cpus_per_node:d}{ranks}:mem={need.memory:d}mb{gpus}"
        limits: tuple[str, ...] = (
            f"select={need.nodes:d}:{chunk}",
            f"walltime={clock(need.walltime)}",
        )
        limits = (*limits, *(f"{name}={number:d}" for name, number in need.licenses))
        # Two chunks may come to one host otherwise (pbs_resources(7), place).
        placed = need.nodes == 1 or any("place=" in line for line in need.extra)
        return limits if placed else (*limits, "place=scatter")

    def native_specification(self, job: BatchJob) -> str:
        # Measured: pbs-drmaa keeps no file otherwise, so that the log comes at the end of the job,
        # and one that cannot be delivered is not told.
        return f"{self.place} {super().native_specification(job)}"

    def find(self, *names: str) -> Sequence[Question[dict[str, JobStatus]]]:
        (name,) = map(job_name, names)
        read = partial(_read_selected, name)
        # -T: each element of an array by itself.
        return (
            Question(("qselect", "-T", "-N", name), read),
            Question(("qselect", "-x", "-T", "-N", name), read),
        )

    def recent(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        return Question(("qstat", "-x", "-f", "-w", *ids), partial(self.read_queue, ids))

    def control(
        self, action: Action, ids: Sequence[str], detail: str = ""
    ) -> Sequence[Question[None]]:
        elements = [job for job in ids if self.index.search(job)]
        if action in (Action.HOLD, Action.RELEASE) and elements:
            # Measured: "Invalid request".
            raise NotPermitted(
                f"{self.title} holds and releases a job array as a whole only, not one job of it"
            )
        return super().control(action, ids, detail)

    def status(self, record: Mapping[str, str]) -> JobStatus | None:
        return openpbs.status(record)

    def described(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        over = JobStatus(Phase.FINISHED, Outcome.UNKNOWN, detail="F")
        known = dict.fromkeys(_FINISHED.findall(stderr), over)
        return known | super().described(returncode, stdout, stderr)


def _read_selected(name: str, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
    """qselect's answer: an id a line, none if there is no such job."""
    ids = filter(_ID.fullmatch, whole_lines(returncode, stdout, stderr))  # after a site's banner
    return dict.fromkeys(ids, JobStatus(Phase.RUNNING, name=name))


DIALECT = OpenPbsDialect
