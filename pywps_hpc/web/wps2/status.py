"""``wps:StatusInfo`` (OGC 14-065, clause 7.5 and table 22): where a job stands.

It has no place for a message: the reason of a failure is told by GetResult.
"""

from __future__ import annotations

from lxml import etree

from joblauncher.shared.status_xml import utc
from pywps_hpc.jobs.view import JobView, PublicState
from pywps_hpc.web.wps2.documents import add, root

#: What WPS 2.0 calls each state; ``Paused`` belongs to our extension, ``Dismissed`` to the
#: standard's.
STATES = {
    PublicState.ACCEPTED: "Accepted",
    PublicState.QUEUED: "Accepted",
    PublicState.RUNNING: "Running",
    PublicState.PAUSED: "Paused",
    PublicState.SUCCEEDED: "Succeeded",
    PublicState.FAILED: "Failed",
    PublicState.DISMISSED: "Dismissed",
}
#: Percent from which on the time of the end is estimated.
_ENOUGH = 5


def document(view: JobView, now: float, poll: float) -> etree._Element:
    """The document of a job.

    Args:
        now: seconds since the epoch.
        poll: seconds after which it is worth while to ask again.
    """
    made = root("StatusInfo")
    add(made, "JobID", view.access)
    add(made, "Status", STATES[view.state])
    if view.expires is not None:
        add(made, "ExpirationDate", utc(view.expires))
    completion = estimated_completion(view, now)
    if completion is not None:
        add(made, "EstimatedCompletion", utc(completion))
    if not view.is_over:
        add(made, "NextPoll", utc(now + max(poll, 1)))
    if view.percent is not None:
        add(made, "PercentCompleted", str(view.percent))
    return made


def estimated_completion(view: JobView, now: float) -> float | None:
    """When a job that runs will end if it goes on as it did; ``None`` if nobody can tell."""
    if view.state is not PublicState.RUNNING or view.started is None or view.is_ending:
        return None
    if view.percent is None or view.percent < _ENOUGH or now <= view.started:
        return None
    return view.started + (now - view.started) * 100 / view.percent
