"""Numbers that can be read and cannot be meant: much too small or too large, or without effect
beside another one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pywps_hpc.check.findings import Finding, warning
from pywps_hpc.durations import clock
from pywps_hpc.settings import Settings
from pywps_hpc.settings.keys import keys_of
from pywps_hpc.settings.model import OWNER_PREFIX, PROCESS_PREFIX, SECTIONS, Sections
from pywps_hpc.timing import TIMING


@dataclass(frozen=True)
class _Sane:
    """Between what a length of time is meant.

    Attributes:
        least, most: seconds.
        below, above: what comes of less, and of more.
        without_system: whether it counts without a batch system.
    """

    least: float
    most: float
    below: str
    above: str
    without_system: bool = True


_HANGS = "what hangs is given up that late"
_SANE: Mapping[tuple[str, str], _Sane] = {
    ("hpc", "grace"): _Sane(
        TIMING.least_grace,
        TIMING.most_grace,
        "jobs count as lost before the batch system's accounting can know them",
        "a job that is lost is shown as running for so long",
        without_system=False,
    ),
    ("hpc", "command_timeout"): _Sane(
        TIMING.least_answer,
        TIMING.most_answer,
        "hardly a command of a batch system answers that fast",
        "a dispatcher that died is replaced four times as late",
        without_system=False,
    ),
    ("hpc", "database_timeout"): _Sane(
        TIMING.least_answer, TIMING.most_answer, "clients get HTTP 503 at each lock", _HANGS
    ),
    ("hpc", "submit_timeout"): _Sane(
        TIMING.least_submission,
        TIMING.most_submission,
        "jobs fail of what passes within minutes",
        "clients wait so long for jobs that are never taken",
        without_system=False,
    ),
    ("hpc", "sync_timeout"): _Sane(
        TIMING.least_answer,
        TIMING.most_wait,
        "hardly a job ends that fast",
        "hardly a client or proxy keeps a connection for so long",
    ),
    ("hpc.ssh", "timeout"): _Sane(
        TIMING.least_answer, TIMING.most_answer, "hardly a login host answers that fast", _HANGS
    ),
    ("hpc.inputs", "timeout"): _Sane(
        TIMING.least_answer, TIMING.most_wait, "hardly a server answers that fast", _HANGS
    ),
}


def look(own: Settings, sections: Sections) -> Iterator[Finding]:
    """All of them.

    Args:
        own: the settings.
        sections: from which they were read.
    """
    yield from _times(own, sections)
    yield from _limits(own)
    yield from _pairs(own, sections)
    yield from _open_doors(own)
    yield from _sizes_of_pywps(sections)
    if own.scheduler == "local" and own.slots > (cores := os.cpu_count() or 1):
        what = f"{own.slots} is more than this host has ({cores}): jobs share them"
        yield warning("[hpc] slots", what, f"set it to at most {cores}, or 0 for all")


def _times(own: Settings, sections: Sections) -> Iterator[Finding]:
    parts = {"hpc": own, "hpc.ssh": own.ssh, "hpc.inputs": own.inputs}
    for (section, key), sane in _SANE.items():
        if key not in sections.get(section, {}):
            continue
        if own.scheduler == "local" and not sane.without_system:
            continue
        value: float = getattr(parts[section], key)
        default = keys_of(SECTIONS[section])[key].default
        if value < sane.least:
            what = f"{value:g} s: {sane.below}"
        elif value > sane.most:
            what = f"{value:g} s ({clock(round(value))}): {sane.above}"
        else:
            continue
        yield warning(f"[{section}] {key}", what, f"it is in seconds; {default} is usual")


def _limits(own: Settings) -> Iterator[Finding]:
    """Limits of active jobs that another limit makes pointless."""
    most = own.max_active
    if not most:
        return
    limits = {"[hpc] max_active_per_owner": own.max_active_per_owner}
    limits |= {
        f"[{PROCESS_PREFIX}{name}] max_active": process.max_active
        for name, process in own.processes.items()
    }
    limits |= {
        f"[{OWNER_PREFIX}{name}] max_active": owner.max_active for name, owner in own.owners.items()
    }
    for subject, limit in limits.items():
        if limit > most:
            yield warning(
                subject,
                f"{limit} has no effect: [hpc] max_active allows {most} jobs in all",
                f"set it to less than {most}, or max_active higher",
            )


def _pairs(own: Settings, sections: Sections) -> Iterator[Finding]:
    """Bounds of one input above those of all inputs together."""
    inputs = own.inputs
    for key, one, other, most in (
        ("max_bytes", inputs.max_bytes, "max_bytes_per_job", inputs.max_bytes_per_job),
        ("timeout", inputs.timeout, "total_timeout", inputs.total_timeout),
        (
            "total_timeout",
            inputs.total_timeout,
            "total_timeout_per_job",
            inputs.total_timeout_per_job,
        ),
    ):
        given = sections.get("hpc.inputs", {})
        if most and one > most and not {key, other}.isdisjoint(given):
            yield warning(
                f"[hpc.inputs] {key}",
                f"has no effect: it is more than {other}",
                f"set it to less than {other}, or {other} higher",
            )
    both = set(inputs.allowed_networks) & set(inputs.blocked_networks)
    if both:
        yield warning(
            "[hpc.inputs] blocked_networks",
            f"{min(both)} has no effect: allowed_networks has it, too, and comes first",
            "remove one of the two",
        )


def _open_doors(own: Settings) -> Iterator[Finding]:
    """Networks that are all networks."""
    for section, key, networks, what in (
        ("hpc", "trusted_proxies", own.trusted_proxies, "whoever connects names his own account"),
        (
            "hpc.inputs",
            "allowed_networks",
            own.inputs.allowed_networks,
            "clients can have the service ask every host of the site, and this one",
        ),
    ):
        for network in networks:
            if network.endswith("/0"):
                remedy = "name the hosts and networks that are meant"
                yield warning(f"[{section}] {key}", f"{network}: {what}", remedy)


def _sizes_of_pywps(sections: Sections) -> Iterator[Finding]:
    """Sizes of requests that leave no room for any, or for what another key permits."""
    known = {key: _mebibytes(sections, key) for key in ("maxrequestsize", "maxsingleinputsize")}
    for key, size in known.items():
        if size == 0:
            what = "nothing is that small: each request is refused"
            yield warning(f"[server] {key}", what, "write 20mb or 1gb, or remove it")
    whole, one = known.values()
    if whole and one and one > whole:
        yield warning(
            "[server] maxsingleinputsize",
            "is more than maxrequestsize: what is sent with a request cannot be that large",
            "set maxrequestsize higher, or this one lower",
        )


def _mebibytes(sections: Sections, key: str) -> float | None:
    """As PyWPS reads a size: a bare number means MiB; ``None``: it is not set, or none."""
    match = _SIZE.fullmatch(sections.get("server", {}).get(key, "").strip().lower())
    return float(match[1]) * _UNITS[match[2][:1]] if match else None


_SIZE = re.compile(r"([0-9]*\.?[0-9]+)\s*(g|m|k|gb|mb|kb|b|)")
_UNITS = {"g": 1024.0, "m": 1.0, "k": 1 / 1024, "b": 1.0, "": 1.0}
