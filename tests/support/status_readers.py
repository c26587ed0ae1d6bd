"""Look at status documents while things happen to their jobs: each is whole, none turns back."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from invariants import Broken, Violation
from joblauncher.shared import outcome, status_xml
from pywps_hpc.spool import Spool

if TYPE_CHECKING:
    from servers import HpcServer

#: How far a document has got: it never goes back to a smaller number.
PROGRESS = {"accepted": 0, "started": 1, "paused": 1, "succeeded": 2, "failed": 2}


#: As a client reads it, not as our own reader bounds it.
_PERCENT = re.compile(rb'percentCompleted="([^"]*)"')


class Watch:
    """One job's status document as it was seen over time.

    Args:
        job: its id.
        overruled: whether a success may turn into something else: in the file, of which no client
            is told before the batch system has confirmed it.
    """

    def __init__(self, job: str, *, overruled: bool = False) -> None:
        self.job, self._overruled = job, overruled
        self.last: status_xml.Status | None = None
        self.found: list[Violation] = []

    def saw(self, document: bytes) -> None:
        """Take note of what a reader got."""
        try:
            status = status_xml.parse(document)
        except (status_xml.DocumentError, ValueError) as error:
            self._add(Broken.TORN, f"somebody read {len(document)} bytes: {error}")
            return
        before, self.last = self.last, status
        for percent in _PERCENT.findall(document):
            if not percent.isdigit() or int(percent) > 100:
                self._add(Broken.TORN, f"somebody read {percent.decode()} %")
        if before is None or before.state == status.state:
            return
        if self._overruled and before.state == outcome.SUCCEEDED:
            return
        over = before.state in outcome.TERMINAL
        if over or PROGRESS[status.state] < PROGRESS[before.state]:
            self._add(Broken.TURNED_BACK, f"{before.state} turned into {status.state}")

    def _add(self, kind: Broken, words: str) -> None:
        self.found.append(Violation(kind, self.job, words))


class Reader(threading.Thread):
    """Reads status documents over and over, as impatient clients do.

    Args:
        read: gives the documents to look at: job id -> a function that returns its bytes, or
            ``None`` if there is nothing to be read now (not yet written, no answer). Asked anew in
            each round, so that new jobs come in by themselves.
        pause: seconds between two rounds.

    Attributes:
        count: how many documents were read.
    """

    def __init__(
        self, read: Callable[[], Mapping[str, Callable[[], bytes | None]]], pause: float = 0.01
    ) -> None:
        super().__init__(daemon=True)
        self._read, self._pause = read, pause
        self._watches: dict[str, Watch] = {}
        self._over = threading.Event()
        self.count = 0

    @classmethod
    def of(cls, server: HpcServer, pause: float = 0.01) -> Reader:
        """Reads the documents in a server's spool."""
        return cls(lambda: documents_in(server.spool), pause)

    def run(self) -> None:
        while True:
            last = self._over.is_set()
            for job, read in self._read().items():
                document = read()
                if document is not None:
                    self.count += 1
                    self._watches.setdefault(job, Watch(job)).saw(document)
            if last:
                return
            self._over.wait(self._pause)

    def stop(self) -> list[Violation]:
        """Look once more, then end; what was wrong."""
        self._over.set()
        self.join(120)
        return [one for watch in self._watches.values() for one in watch.found]

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def documents_in(spool: Spool) -> dict[str, Callable[[], bytes | None]]:
    """How to read the status document of each job in a spool."""
    return {job: _reading(spool.open(job).status) for job in spool.job_ids()}


def _reading(path: Path) -> Callable[[], bytes | None]:
    def read() -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:  # not yet, or no longer
            return None

    return read


@dataclass
class Witnessed:
    """Watches documents without a thread: whoever writes them calls :meth:`saw`."""

    watches: dict[str, Watch] = field(default_factory=dict)

    def saw(self, job: str, document: bytes) -> None:
        """A document that readers could see from now on."""
        self.watches.setdefault(job, Watch(job, overruled=True)).saw(document)

    def found(self) -> list[Violation]:
        """What was wrong."""
        return [one for watch in self.watches.values() for one in watch.found]
