"""``status``: whether the service works, for an administrator and for what watches it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from joblauncher.shared.files import amount
from pywps_hpc.cli.common import CONFIG, NoTable, clock, load, open_store, show_facts
from pywps_hpc.jobs import TERMINAL, JobStore, Leader, State, drain
from pywps_hpc.jobs import clock as clocks
from pywps_hpc.settings import Settings


@click.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(config: Path, as_json: bool) -> None:
    """Show whether a dispatcher leads and reaches the batch system, and how many jobs there are.

    The exit code is 0 if one leads; 1 if none does.
    """
    own = load(config)
    store: JobStore | None = None
    try:
        store = open_store(own, read_only=True)
    except NoTable as error:
        click.echo(error.message, err=True)
    leader = store.dispatcher() if store else None
    if leader is not None and not leader.is_alive(own.dispatcher_lease):
        click.echo(f"the dispatcher has been silent for {leader.silence:.0f} s", err=True)
    counts = store.count() if store else {}
    alive = leader is not None and leader.is_alive(own.dispatcher_lease)
    doubt = clocks.doubt(store) if store else ""
    drained = drain.of(store) if store else None
    if as_json:
        data = _data(own, leader, alive, counts) | {"clock_doubted": doubt}
        data["drained"] = asdict(drained) if drained else None
        click.echo(json.dumps(data))
    else:
        clock_says = {"clock": doubt} if doubt else {}
        drain_says = {"drained": f"since {clock(drained.since)}: {drained}"} if drained else {}
        show_facts(_facts(own, leader, alive, counts) | clock_says | drain_says)
    sys.exit(0 if alive else 1)


def _facts(
    own: Settings, leader: Leader | None, alive: bool, counts: dict[State, int]
) -> dict[str, object]:
    """For people."""
    facts: dict[str, object] = {"dispatcher": "none runs"}
    if leader is not None:
        state = "leads" if alive else "is silent"
        facts["dispatcher"] = f"{state}: {leader.host}, pid {leader.pid}"
        facts["leads since"] = clock(leader.since)
        facts["last heartbeat"] = f"{leader.silence:.0f} s ago"
        facts["problem"] = leader.message or "-"
        known = {None: "not polled yet", True: "reachable", False: "not reachable"}
        reach = leader.reach
        since = f" since {clock(reach.since)}" if reach.since else ""
        facts["batch system"] = f"{reach.system or own.scheduler}: {known[reach.reachable]}{since}"
    active = [f"{number} {state.value}" for state, number in counts.items() if number]
    facts["jobs"] = ", ".join(active) or "none"
    facts["spool"] = f"{own.spool}: {_room(own.spool)}"
    return facts


def _data(
    own: Settings, leader: Leader | None, alive: bool, counts: dict[State, int]
) -> dict[str, Any]:
    """For programs. Times are seconds since the epoch, ages seconds."""
    found: dict[str, Any] = {"time": time.time(), "alive": alive, "leader": None}
    if leader is not None:
        found["leader"] = {
            "host": leader.host,
            "pid": leader.pid,
            "since": leader.since,
            "silence": leader.silence,
            "message": leader.message,
        }
        found["batch_system"] = {
            "system": leader.reach.system or own.scheduler,
            "reachable": leader.reach.reachable,
            "since": leader.reach.since,
        }
    found["jobs"] = {state.value: number for state, number in counts.items()}
    found["active"] = sum(number for state, number in counts.items() if state not in TERMINAL)
    found["spool"] = {"path": str(own.spool), "free": _free(own.spool)}
    return found


def _free(spool: Path) -> int | None:
    """Bytes that this account may still write; ``None`` where that cannot be told."""
    try:
        return shutil.disk_usage(spool).free
    except OSError:
        return None


def _room(spool: Path) -> str:
    free = _free(spool)
    if free is None:
        return "cannot be asked"
    return f"{amount(free)} free" + (
        "" if os.access(spool, os.W_OK, effective_ids=True) else ", not writable"
    )
