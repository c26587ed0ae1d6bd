"""What Slurm's accounting (sacct) says that ended jobs used; measured on 22.05."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pywps_hpc.dispatch.schedulers.accounting import Accounted
from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.text import whole_lines

#: Columns that sacct is asked for (sacct(1), Job Accounting Fields).
ACCOUNTED = ("JobID", "Submit", "Start", "ElapsedRaw", "TotalCPU", "MaxRSS", "JobName")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_MIB = {"": 1 / (1 << 20), "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024}
_TOLD = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


def accounted(returncode: int, stdout: str, stderr: str) -> Mapping[str, Accounted]:
    """What sacct says that ended jobs used, by native id; nothing where there is no accounting.

    Measured on 22.05: the job's own row has its times and processor time, the rows of its steps
    their peak memory, which is sampled (JobAcctGatherFrequency): of a job shorter than that it may
    miss the peak. sacct asks slurmdbd, not the controller.
    """
    if "accounting storage is disabled" in stderr:
        return {}
    # Ids are used again once slurmctld has lost its state. The rows of its steps follow a job's.
    found: dict[str, tuple[float, Accounted]] = {}
    cpu_of: dict[str, str] = {}
    meant = False
    for line in whole_lines(returncode, stdout, stderr):
        fields = line.split("|", len(ACCOUNTED) - 1)
        if len(fields) != len(ACCOUNTED):
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
    match = _TOLD.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
