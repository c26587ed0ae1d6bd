"""What a batch system's accounting says that ended jobs used. Slurm's alone: ``sacct``.

Measured on 22.05: the job's own row has its times and processor time, the rows of its steps their
peak memory, which is sampled (``JobAcctGatherFrequency``): of a job shorter than that it may miss
the peak. sacct asks slurmdbd, not the controller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.dialect import Question
from pywps_hpc.dispatch.schedulers.text import whole_lines

_COLUMNS = ("JobID", "Submit", "Start", "ElapsedRaw", "TotalCPU", "MaxRSS", "JobName")
#: Ids in one question, far below what a command line holds.
AT_ONCE = 500
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_MIB = {"": 1 / (1 << 20), "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024}
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Accounted:
    """What the accounting says of one job. ``None``: not known.

    Attributes:
        name: the job's; for an element that of its array.
        queued: seconds from its submission to its start.
        elapsed: seconds from its start to its end.
        cpu_seconds: of processor time, of all its processes.
        peak_memory: MiB that its steps had at most.
    """

    name: str
    queued: float | None = None
    elapsed: float | None = None
    cpu_seconds: float | None = None
    peak_memory: float | None = None


def question(system: str, ids: Sequence[str]) -> Question[Mapping[str, Accounted]] | None:
    """How the accounting is asked about ended jobs; ``None`` where nothing of this is known."""
    if system != "slurm":
        return None
    # Times as seconds since the epoch (sacct(1), SLURM_TIME_FORMAT).
    line = ("env", "SLURM_TIME_FORMAT=%s", "sacct", "--noheader", "--parsable2")
    return Question(
        (*line, f"--format={','.join(_COLUMNS)}", f"--jobs={','.join(ids)}"), read_accounting
    )


def read_accounting(returncode: int, stdout: str, stderr: str) -> Mapping[str, Accounted]:
    """sacct's answer, by native id; nothing where the site keeps no accounting."""
    if "accounting storage is disabled" in stderr:
        return {}
    # Ids are used again once slurmctld has lost its state. The rows of its steps follow a job's.
    found: dict[str, tuple[float, Accounted]] = {}
    cpu_of: dict[str, str] = {}
    meant = False
    for line in whole_lines(returncode, stdout, stderr):
        fields = line.split("|", len(_COLUMNS) - 1)
        if len(fields) != len(_COLUMNS):
            raise SchedulerUnavailable(f"sacct's answer is cut off at {line[:80]!r}")
        native, submitted, started, elapsed, cpu, memory, name = fields
        job, is_step, _ = native.partition(".")
        if is_step:
            peak = _mib(memory)
            if meant and peak is not None and job in found:
                since, row = found[job]
                # A site that does not gather usage tells no memory, and no processor time either.
                most = max(peak, row.peak_memory or 0.0)
                found[job] = (
                    since,
                    replace(row, peak_memory=most, cpu_seconds=_seconds(cpu_of[job])),
                )
            continue
        since, begun = (float(text) if text.isdigit() else 0.0 for text in (submitted, started))
        meant = since >= found.get(job, (0.0, None))[0]
        if meant:
            cpu_of[job] = cpu
            known = since > 0 and begun > 0
            queued, ran = (begun - since, float(elapsed or 0)) if known else (None, None)
            found[job] = since, Accounted(name, queued, ran)
    return {job: row for job, (_, row) in found.items()}


def _mib(text: str) -> float | None:
    match = _MEMORY.fullmatch(text)
    return float(match[1]) * _MIB[match[2]] if match else None


def _seconds(text: str) -> float | None:
    """``[D-][HH:]MM:SS[.mmm]``."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
