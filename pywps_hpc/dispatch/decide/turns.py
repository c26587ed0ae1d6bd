"""Whose inputs are fetched next: pure.

A download may take long, and its client may have wanted that. Whoever has fewest at work is next;
while nobody else waits, one client may use all there is, and gives back what is not its share as
soon as another comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pywps_hpc.jobs.job import InLine, Job


def share(
    waiting: Sequence[InLine], at_work: Sequence[Job], stopping: Sequence[Job], slots: int
) -> tuple[list[InLine], list[InLine | Job]]:
    """Hand out the slots.

    Args:
        waiting: whose inputs are to be fetched, the oldest first.
        at_work: whose are being fetched, those that began first before the others.
        stopping: whose were being fetched, and whose slots will be free soon.
        slots: how many there are.

    Returns:
        Those to begin with now, and those to stop: of each client that has at least two more at
        work than one that waits, the latest.
    """
    queue = list(waiting)
    active: list[InLine | Job] = list(at_work)
    load = Counter(job.client for job in active)
    free = slots - len(active) - len(stopping)
    begin: list[InLine] = []
    stop: list[InLine | Job] = []
    while queue:
        job = min(queue, key=lambda one: load[one.client])
        if len(active) >= slots:
            most = max(active, key=lambda one: load[one.client]).client
            if load[most] < load[job.client] + 2:
                break
            latest = next(one for one in reversed(active) if one.client == most)
            active.remove(latest)
            load[most] -= 1
            stop.append(latest)
        queue.remove(job)
        active.append(job)
        load[job.client] += 1
        if free > 0:
            free -= 1
            begin.append(job)
    return begin, stop
