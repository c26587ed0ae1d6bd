"""The one place where a launcher writes the status document and the report of its job.

Nothing is written unless the job is still this launcher's: the lease is checked when all is on disk
and nothing has been replaced yet. The document is replaced first, since clients read it; a launcher
that is killed before the report leaves one that tells enough.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from joblauncher import lease
from joblauncher.ending import Ending, digest
from joblauncher.shared import failpoint, outcome, status_xml, storage
from joblauncher.shared.files import make_usable, read_plain, staged
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.status_xml import Status

LOGGER = logging.getLogger(__name__)


class Publisher:
    """What one start of a job tells of itself.

    All methods raise :class:`~joblauncher.lease.Superseded`, and change nothing, if the job is
    another launcher's by now.

    Args:
        job: its folder, with this attempt.

    Attributes:
        job: the same.
        facts: what is known of it so far.
        blames_input: whether a failure that the process tells is due to one of its inputs.
    """

    def __init__(self, job: JobDir) -> None:
        self.job = job
        self.blames_input = False
        self.facts = outcome.Report(
            job=job.job_id,
            process="",
            attempt=job.attempt,
            host=socket.gethostname(),
            started=time.time(),
        )

    def begin(self) -> None:
        """The process is about to run: what the report says of an earlier start is outdated, but
        for the percentage that clients were told.

        The job may have ended since its lease was taken. Whatever an end takes from the job's
        folder is gone by then, or is taken after the working folders were made.

        Raises:
            OSError: it cannot be written, or nothing can be known.
        """
        if not self.job.attempt:
            lease.check(self.job)
        else:
            earlier = outcome.read(self.job)
            if earlier is not None and 0 < earlier.percent < 100:
                self.facts.percent = earlier.percent
            self._report()

    def progress(self, document: bytes, status: Status) -> None:
        """The process is at work. If that cannot be written, the process does not die of it.

        Args:
            document: a status document that says so.
            status: what it says.
        """
        percent = max(status.percent, self.facts.percent)  # clients are told of no way back
        self._set(Status(status.state, percent, status.message))
        try:
            self._write(document)
        except OSError as error:
            LOGGER.warning("its progress cannot be written: %s", error.strerror)

    def succeed(
        self,
        document: bytes,
        message: str,
        outputs: list[dict[str, Any]],
        announce: Callable[[bytes], None],
        *,
        keep_work: bool = False,
    ) -> None:
        """The process has succeeded. Waits for room as long as the job may run.

        Args:
            document: of success.
            message: what it says.
            outputs: as in the report.
            announce: called with the document before it is left in the job's folder.
            keep_work: whether something of the working folders is still needed.

        Raises:
            OSError: it cannot be written, for another reason than trouble with the storage.
        """

        def insist(write: Callable[[], None]) -> None:
            storage.insist(self.job, write, storage.FOR_EVER, keep_work=keep_work)

        def write() -> None:
            with self._replaced(document):
                failpoint.reach("publish.2")

        # Known before the document: whoever finds that of success, and no report of it since this
        # process was killed, finds the outputs.
        self.facts.outputs = outputs
        insist(self._report)
        failpoint.reach("publish.1")
        announce(document)
        self._set(Status(outcome.SUCCEEDED, 100, message), outputs=outputs)
        insist(write)

    def fail(self, document: bytes, message: str) -> None:
        """The process says that it has failed.

        Args:
            document: of failure.
            message: what it says.

        Raises:
            OSError: it cannot be written; the launcher, which hears of it, tries for longer.
        """
        cause = "input" if self.blames_input else "process"
        self._set(Status(outcome.FAILED, 100, message), cause)
        storage.insist(self.job, lambda: self._write(document), patience=0)

    def answered(self, status: int, headers: list[tuple[str, str]]) -> None:
        """The answer of a synchronous Execute is left in the job's folder.

        Args:
            status: of HTTP.
            headers: of HTTP.

        Raises:
            OSError: it cannot be written.
        """
        self.facts.response = {"status": status, "headers": headers}
        self._report()

    def refuse(self, message: str) -> bool:
        """The process is not run, for this reason; whether that could be written."""
        return self._close(message, "launcher")

    def conclude(self, ending: Ending) -> bool:
        """The process is over: complete the report, and see that the document is terminal unless
        the batch system knows better why; whether the end could be written."""
        lease.check(self.job)
        latest, success = outcome.read(self.job), self._success(ending)
        told = (outcome.STARTED, outcome.FAILED, *([outcome.SUCCEEDED] if success else []))
        if latest is not None and latest.attempt == self.job.attempt and latest.state in told:
            self.facts = latest
        if success is not None and self.facts.state not in outcome.TERMINAL:
            self._set(success, outputs=self.facts.outputs)
        self.facts.usage = ending.usage
        self.facts.exit_code, self.facts.signal = ending.code, ending.signal
        self.facts.finished = time.time()
        if self.facts.state not in outcome.TERMINAL:
            return self._close(ending.message(), ending.cause())
        try:
            storage.insist(self.job, self._report)
        except OSError:
            LOGGER.exception("the last report cannot be written; the status document has all of it")
        return True

    def _success(self, ending: Ending) -> Status | None:
        """What the document of success says, if it is the one that was announced; its process may
        have been killed right after it had left that."""
        try:
            document = read_plain(self.job.status)
            if digest(document) != ending.announced:
                return None
            return status_xml.parse(document)
        except (OSError, status_xml.DocumentError):
            return None

    def _close(self, message: str, cause: str) -> bool:
        """Leave a report of failure, and a document that says so; whether that could be done.

        Where the batch system ended the job, the document stays open: it knows why, and it may
        start the job again. The dispatcher closes it.
        """
        LOGGER.error("%s", message)
        percent = self.facts.percent if cause in outcome.PROVISIONAL else 100
        self._set(Status(outcome.FAILED, percent, message), cause, outputs=self.facts.outputs)
        self.facts.finished = self.facts.finished or time.time()

        def write() -> None:
            document, percent = b"", 0
            with contextlib.suppress(OSError, status_xml.DocumentError):
                document = read_plain(self.job.status)
                percent = status_xml.parse(document).percent
            status = Status(outcome.FAILED, 100, message)
            if cause in outcome.PROVISIONAL:
                status = Status(
                    outcome.STARTED, percent, f"{message}; the reason is being looked up"
                )
            new = status_xml.renewed(document, self.facts.process, status)
            with self._replaced(new):
                failpoint.reach("conclude.2")

        try:
            storage.insist(self.job, write)
        except OSError:
            LOGGER.exception(
                "no status document could be written; the exit code tells the batch system"
            )
            return False
        return True

    def _set(
        self, status: Status, cause: str = "", outputs: list[dict[str, Any]] | None = None
    ) -> None:
        facts = self.facts
        facts.state, facts.percent, facts.message = status.state, status.percent, status.message
        facts.cause, facts.outputs = cause, outputs or []

    def _report(self) -> None:
        """Replace the report alone."""
        with self._staged({self.job.report: self.facts.content()}) as replace:
            replace(self.job.report)

    def _write(self, document: bytes) -> None:
        """Replace document and report."""
        with self._replaced(document):
            pass

    @contextlib.contextmanager
    def _replaced(self, document: bytes) -> Iterator[None]:
        """Replace the document, and the report after it; in between, what stands inside is done."""
        files = {self.job.status: document, self.job.report: self.facts.content()}
        with self._staged(files) as replace:
            replace(self.job.status)
            yield
            replace(self.job.report)

    @contextlib.contextmanager
    def _staged(self, files: Mapping[Path, bytes]) -> Iterator[Callable[[Path], None]]:
        """As :func:`~joblauncher.shared.files.staged`, for a launcher whose job this still is."""
        with contextlib.suppress(OSError):  # its process may have taken us the rights
            make_usable(self.job.path)
        with staged(files) as replace:
            lease.check(self.job)
            yield replace
