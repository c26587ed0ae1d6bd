"""The status of a job (OGC 18-062r2, clause 7.12, statusInfo.yaml).

The form is that of version 1.0 of the standard, and of the coming 2.0 at the same time.
"""

from __future__ import annotations

from typing import Any

from pywps_hpc.jobs.view import Action, JobView, PublicState
from pywps_hpc.ogc_json.links import OWN_REL, REL, link, moment, place

#: What the standard calls each state; it knows no pause (:func:`status_of`).
STATES = {
    PublicState.ACCEPTED: "accepted",
    PublicState.QUEUED: "accepted",
    PublicState.RUNNING: "running",
    PublicState.SUCCEEDED: "successful",
    PublicState.FAILED: "failed",
    PublicState.DISMISSED: "dismissed",
}
STATUSES = ("accepted", "running", "successful", "failed", "dismissed")


def status_of(view: JobView) -> str:
    """One of the standard's states: a generated client refuses any other."""
    if view.state is PublicState.PAUSED:
        return "running" if view.started else "accepted"
    return STATES[view.state]


def url_of(root: str, view: JobView) -> str:
    """Where a job is."""
    return f"{root}{place('jobs', view.access)}"


def info(root: str, view: JobView, *, is_removed: bool = False) -> dict[str, Any]:
    """What is told of a job.

    Args:
        root: URL of the folder in which the endpoint lies, with a slash at its end.
        is_removed: whether nothing is left of it any more.
    """
    times = {
        "created": view.created,
        "started": view.started,
        "finished": view.finished,
        "updated": view.changed,
        "expires": view.expires,
    }
    known = {name: moment(time) for name, time in times.items() if time is not None}
    if view.percent is not None:
        known["progress"] = view.percent  # type: ignore[assignment]
    return {
        "jobID": view.access,
        "id": view.access,
        "type": "process",
        "processingEntityType": "process",
        "processID": view.process,
        "status": status_of(view),
        "message": view.message,
        **known,
        "links": [] if is_removed else links(root, view),
    }


def links(root: str, view: JobView) -> list[dict[str, str]]:
    """What belongs to a job."""
    url = url_of(root, view)
    found = [
        link(url, "self", "The status of this job"),
        link(url, "monitor", "The status of this job"),
        link(f"{root}{place('processes', view.process)}", f"{REL}process", "Its process"),
    ]
    if Action.RESULTS in view.actions:
        found.append(link(f"{url}/results", f"{REL}results", "The results of this job"))
    if view.state is PublicState.FAILED:
        found.append(link(f"{url}/results", f"{REL}exceptions", "Why this job failed"))
    if Action.LOG in view.actions:
        found.append(link(f"{url}/log", f"{OWN_REL}log", "The log of this job", "text/plain"))
        found.append(link(f"{url}/usage", f"{OWN_REL}usage", "What this job used"))
    if {Action.PAUSE, Action.RESUME} & view.actions:
        action = "pause" if Action.PAUSE in view.actions else "resume"
        found.append(link(f"{url}/status", f"{OWN_REL}{action}", f"Put a status: {action} it"))
    return found
