"""A probe: what stands in a job's folder when it is a node that is tried out, not a process run.

It goes the way of every job: the same script, container and launcher. In the place of the dump
there is a list of what to look at (:class:`Order`), and nothing is unpickled.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from joblauncher.shared.dump import PayloadError
from joblauncher.shared.files import open_plain

MAGIC = b"pywps-hpc probe 1\n"
#: Files of the job's folder: the launcher has begun, somebody has seen that, what it found.
HELLO, SEEN, FOUND = "probe.hello", "probe.seen", "probe.json"


@dataclass(frozen=True)
class Order:
    """What to look at.

    Attributes:
        job: the job id.
        modules: to import.
        paths: that have to be there and readable.
        patience: seconds to wait until somebody has seen :data:`HELLO`.
    """

    job: str
    modules: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    patience: float = 10.0

    def content(self) -> bytes:
        """The file in the place of the dump."""
        return MAGIC + json.dumps(asdict(self)).encode()


@dataclass(frozen=True)
class Report:
    """What was found on the node.

    Attributes:
        host: its name.
        time: of its clock when :data:`HELLO` was written, seconds since the epoch.
        versions: of ``python``, ``dill``, ``pywps``, ``pywps-hpc``; empty: not installed.
        failures: module -> why it cannot be imported.
        missing: path -> what is wrong with it.
        account: number of the account; ``owner`` and ``mode`` of the job's folder as seen there.
        trouble: why files in the job's folder cannot be written as they have to be.
        round_trip: seconds until an answer to :data:`HELLO` was seen; ``None``: none was.
        temporary: bytes that are free where temporary files go, and where that is.
        said: what was in the log before the launcher began.
    """

    host: str
    time: float
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    account: int = 0
    owner: int = 0
    mode: int = 0
    trouble: str = ""
    round_trip: float | None = None
    temporary: tuple[str, int] = ("", 0)
    said: str = ""

    def content(self) -> bytes:
        """As a file."""
        return json.dumps(asdict(self)).encode()


def order_of(data: bytes) -> Order:
    """The order in such a file.

    Raises:
        PayloadError: it is none.
    """
    try:
        given = json.loads(data.removeprefix(MAGIC))
        return Order(**given | {key: tuple(given[key]) for key in ("modules", "paths")})
    except (ValueError, TypeError, KeyError):
        raise PayloadError("the probe's order is damaged") from None


def report_of(data: bytes) -> Report:
    """The report in a file of that name.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    given: dict[str, Any] = json.loads(data)
    return Report(**given | {"temporary": tuple(given["temporary"])})


def is_order(dump: Path) -> bool:
    """Whether a job's dump is such an order."""
    try:
        with open_plain(dump) as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # told by whoever reads the dump
