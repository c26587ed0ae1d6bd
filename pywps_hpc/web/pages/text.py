"""What people read for what a job view holds: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any

from pywps_hpc.jobs.job import ControlRequest
from pywps_hpc.jobs.view import JobView, PublicState

STATES = {
    PublicState.ACCEPTED: "Accepted",
    PublicState.QUEUED: "Queued",
    PublicState.RUNNING: "Running",
    PublicState.PAUSED: "Paused",
    PublicState.SUCCEEDED: "Succeeded",
    PublicState.FAILED: "Failed",
    PublicState.DISMISSED: "Dismissed",
}
#: What is said of a request that has yet to be carried out.
REQUESTED = {
    ControlRequest.PAUSE: "A pause has been asked for, and is being carried out.",
    ControlRequest.RESUME: "The job has been asked to go on, which is being carried out.",
}
_HEADINGS = {403: "Refused", 404: "Not found", 409: "Not possible now", 410: "Gone"}
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def heading(code: int) -> str:
    """What stands above an error."""
    if code >= 500:
        return "The service has a problem" if code != HTTPStatus.SERVICE_UNAVAILABLE else "Busy"
    return _HEADINGS.get(code, "This does not work")


def state(view: JobView) -> str:
    """Where a job stands."""
    return STATES[view.state]


def requested(view: JobView) -> str:
    """What has been asked of a job and has yet to be done; empty if nothing has."""
    return "" if view.is_over else REQUESTED.get(view.requested, "")


def moment(seconds: float) -> str:
    """A time, in words."""
    return _at(seconds).strftime("%d %b %Y, %H:%M:%S UTC").lstrip("0")


def stamp(seconds: float) -> str:
    """A time, for machines (HTML, section 4.5.14)."""
    return _at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """A duration."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def size(number: float) -> str:
    """An amount of data."""
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError("unreachable")


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "state": state,
    "requested": requested,
    "moment": moment,
    "stamp": stamp,
    "span": span,
    "size": size,
}
