"""The launcher on a node, step by step: it can be killed, stopped or forgotten between any two.

The steps are the real launcher's (:mod:`joblauncher.sequence`), and whatever is left in the job's
folder is left by its publisher; only the process itself is played.
"""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dispatcher_harness import ACCEPTED
from joblauncher import ending, lease
from joblauncher.ending import Ending
from joblauncher.publisher import Publisher
from joblauncher.sequence import Steps, launch
from joblauncher.shared import dump, exits, outcome, status_xml
from joblauncher.shared.files import atomic_write, read_plain
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.status_xml import Status
from kill_points import Hooks, Killed


@dataclass(frozen=True)
class Plan:
    """What the process does, if it is let.

    Attributes:
        percents: that it tells on its way.
        ends: ``succeeded``, ``failed``, or empty: it crashes without a word.
        code: its exit code.
        forges: the end that it writes into its folder by itself, and works on; empty: none.
        signal: by which it then ends itself; 0: it exits.
        spoils: what it makes of its folder; empty: nothing.
    """

    percents: Sequence[int] = (10,)
    ends: str = outcome.SUCCEEDED
    code: int = 0
    forges: str = ""
    signal: int = 0
    spoils: str = ""


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "full").touch()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


#: What a process can make of its folder.
SPOILS: dict[str, Callable[[JobDir], None]] = {
    "document is a folder": lambda job: _folder(job.status),
    "report is a folder": lambda job: _folder(job.report),
    "document is a pipe": lambda job: _pipe(job.status),
    "report is a pipe": lambda job: _pipe(job.report),
    "folder without rights": lambda job: job.path.chmod(0),
    "document is gone": lambda job: job.status.unlink(),
}


class Launcher:
    """One start of a job.

    Args:
        job: its folder.
        attempt: which start this is.
        digest: of its dump, as the batch script has it.
        plan: what its process does.
        hooks: for whatever is written.
        clock: seconds since the epoch.

    Attributes:
        job: its folder, with this attempt.
        attempt: which.
        code: its exit code once it is over; ``None`` before, or if it was killed.
        over: whether it has come to its end, or was killed.
        closed: whether it has left its last report, and only exits now.
        took: whether it took the lease.
        ended: ``succeeded`` or ``failed`` once its process has published its end.
        forged: the end that its process has forged; empty: none.
        forging: whether its process does so just now.
        spoilt: whether its process has made something of its folder.
        lacked_input: whether what the web server had prepared for it was not there.
    """

    def __init__(
        self,
        job: JobDir,
        attempt: int,
        digest: str,
        plan: Plan,
        hooks: Hooks,
        clock: Callable[[], float],
    ) -> None:
        self.job, self.attempt = replace(job, attempt=attempt), attempt
        self.code: int | None = None
        self.over = self.closed = self.took = self.lacked_input = self.forging = False
        self.spoilt = False
        self.ended = self.forged = ""
        self._plan, self._hooks, self._clock = plan, hooks, clock
        self._ending: Ending | None = None
        self._told = b""  # through the pipe, by the process
        self._cut = 1 << 60
        self._at_work = False  # the process runs: signals are handled
        self._life = self._live(digest)

    def step(self, *, killed_at: int = 0) -> None:
        """Go on to the next step.

        Args:
            killed_at: to be killed at this place of it (see :class:`kill_points.Hooks`); 0: not.
        """
        if self.over:
            return
        try:
            with self._hooks.armed(killed_at or 1 << 60, self._hooks.kill):
                step = next(self._life)
        except StopIteration as end:
            self.code, self.over = end.value, True
        except Killed:
            self.over = True
        else:
            self.closed = step == "conclude.3"
            self._at_work |= step == "launch.2"  # nothing is between it and the process
            if step == "launch.1":
                self.took = True
                self._look_for_inputs()

    def kill(self) -> None:
        """Launcher and process are gone at once."""
        self.over = True

    def stop(self) -> None:
        """SIGTERM from the batch system."""
        if not self._at_work:  # the default action
            self.kill()
            self.code = exits.by_signal(signal.SIGTERM)
        elif self._ending is None:
            self._ending = Ending(None, signal.SIGTERM, stopped_by=signal.SIGTERM)

    def kill_process(self, place: int = 0) -> None:
        """SIGKILL to the process alone, as the kernel does when memory runs out.

        Args:
            place: of its next document or report, at which it is killed; 0: at once.
        """
        if self._at_work and self._ending is None and not place:
            self._ending = Ending(None, signal.SIGKILL)
        self._cut = place or self._cut

    def _live(self, digest: str) -> Steps[int]:
        yield "its interpreter starts"
        return (yield from launch(self.job, digest, self._run, allow_root=True))

    def _look_for_inputs(self) -> None:
        over = status_xml.parse(self._document()).state in outcome.TERMINAL
        self.lacked_input = not over and not (self.job.inputs / "0").exists()

    def _run(self, publisher: Publisher, header: dump.Header, body: bytes) -> Steps[Ending]:
        """As :func:`joblauncher.supervisor.run`."""
        yield from self._process(copy.deepcopy(publisher))  # as a fork has one of its own
        self._at_work = False
        announced, _ = ending.understand(self._told)
        return replace(self._ending or Ending(self._plan.code, None), announced=announced)

    def _process(self, publisher: Publisher) -> Steps[None]:
        """As :func:`joblauncher.runner.run`: each document, and with it the report."""
        plan = self._plan
        if plan.spoils:
            SPOILS[plan.spoils](self.job)
            self.spoilt = True
            yield "its process spoils its folder"
        if plan.forges:
            yield from self._forge(publisher.facts)
            return
        ends = [(plan.ends, 100)] if plan.ends else []
        for state, percent in [*((outcome.STARTED, one) for one in plan.percents), *ends]:
            if self._ending is not None:
                return
            status = Status(state, percent, f"{state} by the process")
            document = status_xml.replace(self._document(), status)
            try:
                with self._hooks.armed(self._cut, self._hooks.kill):
                    self._publish(publisher, document, status)
            except lease.Superseded:
                self._ending = Ending(exits.NOT_MINE, None)
            except Killed:
                self._ending = Ending(None, signal.SIGKILL)
            if state in outcome.TERMINAL and self._document() == document:
                self.ended = state
            yield f"its process says: {state}"

    def _publish(self, publisher: Publisher, document: bytes, status: Status) -> None:
        if status.state == outcome.SUCCEEDED:
            publisher.succeed(document, status.message, [], self._announce)
        elif status.state == outcome.FAILED:
            publisher.fail(document, status.message)
        else:
            publisher.progress(document, status)

    def _announce(self, document: bytes) -> None:
        self._told += ending.announcement(document)

    def _forge(self, facts: outcome.Report) -> Steps[None]:
        """A process that tells an end by itself, in its launcher's name, and works on."""
        now, self.forging = self._clock(), True
        status = Status(self._plan.forges, 100, "forged")
        atomic_write(self.job.status, status_xml.replace(self._document(), status))
        forged = {"state": self._plan.forges, "percent": 100, "exit_code": 0, "finished": now}
        replace(facts, **forged).write(self.job)
        self.forged, self.forging = self._plan.forges, False
        for _ in range(6):
            yield "its process works on"
            if self._ending is not None:
                return
        if self._plan.signal:
            self._ending = Ending(None, self._plan.signal)

    def _document(self) -> bytes:
        try:
            return read_plain(self.job.status)
        except OSError:  # whatever was made of it
            return ACCEPTED
