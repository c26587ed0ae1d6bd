"""Which jobs a command is about: the options by which several commands choose them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import click

from pywps_hpc.jobs import ACTIVE, State
from pywps_hpc.jobs.listing import Filter
from pywps_hpc.settings import readers

_Command = TypeVar("_Command", bound=Callable[..., Any])

AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")
AS_JSON_LINES = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object per job, one per line."
)
OWNER = click.option("--owner", metavar="NAME", help="Jobs of this account only.")
PROCESS = click.option(
    "--process",
    "processes",
    metavar="ID",
    multiple=True,
    help="Jobs of this process only; may be repeated.",
)
#: Names of states that stand for several.
_GROUPS = {"active": ACTIVE}


def value(parse: Callable[[str], Any]) -> Callable[[Any, Any, str | None], Any]:
    """The callback of an option whose value a reader of the configuration reads."""

    def callback(_context: Any, _option: Any, text: str | None) -> Any:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def moment(text: str) -> float:
    """A date, a date and time (local unless it says otherwise), or a length of time ago; seconds
    since the epoch.

    Raises:
        ValueError: it is none of these.
    """
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        pass
    try:
        passed = readers.duration(text)
    except ValueError as error:
        if "may mean" in str(error):
            raise
        passed = 0.0
    if not passed:
        told = "write 2026-11-01, 2026-11-01T14:30, or how long ago: 30min, 12h, 7d, 6mo"
        raise ValueError(f"{text!r} is not a time; {told}")
    return time.time() - passed


SINCE = click.option(
    "--since",
    metavar="TIME",
    callback=value(moment),
    help="Jobs accepted since then only: 2026-11-01, 2026-11-01T14:30, or 12h, 7d, 6mo ago.",
)
STATE = click.option(
    "--state",
    "states",
    type=click.Choice([*_GROUPS, *(state.value for state in State)]),
    multiple=True,
    help="Jobs in this state only; may be repeated.",
)


def wanted(
    owner: str | None,
    processes: tuple[str, ...],
    states: tuple[str, ...],
    since: float | None = None,
) -> Filter:
    """The jobs that these options choose."""
    recorded: set[State] = set()
    for name in states:
        recorded |= _GROUPS.get(name) or {State(name)}
    return Filter(
        owner=owner, processes=frozenset(processes), recorded=frozenset(recorded), since=since
    )


def as_json(facts: Mapping[str, Any]) -> str:
    """Facts on one line, for programs."""
    return json.dumps(facts, allow_nan=False)
