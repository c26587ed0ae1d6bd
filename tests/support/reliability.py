"""The table in ``docs/reliability.md``, made from what the fault tests saw.

A fault test states what it injected and what the client was told; the rows of a run are kept in
the test home, newer ones in place of older ones of the same fault and batch system, and ``make
reliability`` writes the document from them.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from places import ROOT

DOCUMENT = ROOT / "docs/reliability.md"
HOME = Path(os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc"))
ROWS = HOME / "reliability.json"
#: The table stands between these lines; what is around it is written by hand.
BEGIN, END = "<!-- begin: made by `make reliability` -->", "<!-- end -->"
HEADING = "| fault | injected by | the client saw | after | on |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """What one fault test saw.

    Attributes:
        fault: in the words of an administrator.
        injected: how the real thing was broken.
        saw: what the client's status document said in the end, in its own words.
        seconds: from the fault (or from the batch system's knowledge of it) to that document.
        scheduler: ``Slurm``, ``Grid Engine``, ``local``.
        test: the test's name.
    """

    fault: str
    injected: str
    saw: str
    seconds: float
    scheduler: str
    test: str


#: Called by a test as ``witness(fault, injected, saw, seconds, scheduler)``.
Witness = Callable[[str, str, str, float, str], None]

_SEEN = pytest.StashKey[list[Row]]()


@pytest.fixture
def witness(request: pytest.FixtureRequest) -> Witness:
    """Takes a row of the table; to be called after everything was asserted."""
    rows = request.config.stash.setdefault(_SEEN, [])

    def state(fault: str, injected: str, saw: str, seconds: float, scheduler: str) -> None:
        test = request.node.nodeid.removeprefix("tests/").partition("@")[0]
        rows.append(Row(fault, injected, " ".join(saw.split()), seconds, scheduler, test))

    return state


def keep(config: pytest.Config) -> None:
    """At the end of a run: leave its rows for :func:`write`."""
    rows = config.stash.get(_SEEN, [])
    if rows:
        ROWS.parent.mkdir(parents=True, exist_ok=True)
        with ROWS.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of one run come to their end
            ROWS.write_text(json.dumps([asdict(row) for row in merge(kept(), rows)], indent=1))


def kept() -> list[Row]:
    """The rows of earlier runs."""
    return [Row(**row) for row in json.loads(ROWS.read_text())] if ROWS.exists() else []


def merge(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Newer rows in place of older ones of the same fault and batch system, by name."""
    found = {(row.fault, row.scheduler): row for row in (*old, *new)}
    return [found[key] for key in sorted(found)]


def render(rows: Iterable[Row]) -> str:
    """The table in Markdown."""
    lines = [HEADING]
    for row in rows:
        saw = row.saw.replace("|", "\\|")
        lines.append(
            f"| {row.fault} | {row.injected} | {saw} | {row.seconds:.0f} s | {row.scheduler} |"
        )
    return "\n".join(lines)


def write(today: str) -> None:
    """Put the table of the kept rows into the document.

    Args:
        today: the day of the run.
    """
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = kept()
    table = f"{BEGIN}\n{len(rows)} rows, last run on {today}.\n\n{render(rows)}\n{END}"
    DOCUMENT.write_text(f"{before}{table}{after}", encoding="utf-8")


if __name__ == "__main__":
    write(time.strftime("%Y-%m-%d"))
