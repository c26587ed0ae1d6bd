"""What Grid Engine's accounting says that ended jobs used. Measured on 8.1.9."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pywps_hpc.dispatch.schedulers.accounting import Accounted
from pywps_hpc.dispatch.schedulers.states import gridengine

#: As qacct prints times, in the time zone of its host; the others are those of later releases.
_FORMS = ("%a %b %d %H:%M:%S %Y", "%m/%d/%Y %H:%M:%S.%f", "%m/%d/%Y %H:%M:%S")
#: A year in which nothing was submitted, in any time zone.
_EPOCH = 1970


@dataclass
class _Start:
    """One start of a job."""

    name: str
    submitted: datetime | None
    started: datetime | None
    ended: datetime | None
    elapsed: float
    cpu: float


def accounted(returncode: int, stdout: str, stderr: str) -> Mapping[str, Accounted]:
    """What qacct says that ended jobs used, by native id; nothing where there is no accounting.

    Of a parallel job there is one record of all its hosts, or one of the script and one of each
    process that was started on a host, by ``accounting_summary`` of its parallel environment. Its
    memory is not told: ``maxvmem`` is what was reserved, not what was used.
    """
    found: dict[str, _Start] = {}
    ranks: list[tuple[str, _Start]] = []
    for record in gridengine.records(returncode, stdout, stderr):
        job, one = gridengine.job_of(record), _start(record)
        if gridengine.is_of_one_rank(record):
            ranks.append((job, one))
        elif not gridengine.is_restart(record):
            found[job] = one  # a later one is another job's, which has got its number
    for job, rank in ranks:
        main = found.get(job)
        if main and not _is_before(rank, main):
            main.cpu += rank.cpu
    return {job: _accounted(one) for job, one in found.items()}


def _start(record: Mapping[str, str]) -> _Start:
    return _Start(
        record["jobname"],
        _time(record.get("qsub_time", "")),
        _time(record.get("start_time", "")),
        _time(record.get("end_time", "")),
        gridengine.number(record["ru_wallclock"]),
        gridengine.number(record.get("cpu", "0")),
    )


def _accounted(one: _Start) -> Accounted:
    if one.submitted is None or one.started is None:
        return Accounted(one.name, cpu_seconds=one.cpu)
    queued = (one.started - one.submitted).total_seconds()
    return Accounted(one.name, max(0.0, queued), one.elapsed, one.cpu)


def _is_before(rank: _Start, main: _Start) -> bool:
    """Whether it belongs to an earlier start of the job, or to another job of this number."""
    return rank.ended is not None and main.started is not None and rank.ended < main.started


def _time(text: str) -> datetime | None:
    """``None``: it never came, is not told (then it is the epoch), or in no known form."""
    for form in _FORMS:
        try:
            found = datetime.strptime(text, form)
        except ValueError:
            continue
        return found if found.year > _EPOCH else None
    return None
