"""The WPS 1.0.0 face of a job: its status document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.wrappers import Response

from joblauncher.shared import outcome, status_xml, storage
from joblauncher.shared.files import MOST, read_plain
from pywps_hpc.jobs import TERMINAL, Job, State
from pywps_hpc.spool import JobDir
from pywps_hpc.web import outputs

#: For a job whose document tells its end, before the batch system does.
ENDING = "The process has ended; the batch system has yet to say so"
#: For a job whose dismissal is recorded.
DISMISSING = "dismissed; what is left of it is being ended"
#: For a job that succeeded, and has no document of it any more.
RESULT_GONE = "The job succeeded, but its result is no longer there."


#: For a client whose job waits for the batch system while nobody can ask it.
CANNOT_ASK = "the batch system cannot be asked at the moment"


@dataclass(frozen=True)
class About:
    """What a document made from a job's row alone says besides.

    Attributes:
        title: of the process; empty: its identifier.
        service: URL of the endpoint.
        status: where the job's document is shown.
    """

    title: str = ""
    service: str = ""
    status: str = ""


def status_document(
    row: Job,
    job: JobDir,
    scheduler: str,
    about: About = About(),
    *,
    reachable: bool = True,
    saw_end: Callable[[str], object] = lambda job_id: None,
) -> bytes:
    """The job's document, with what the batch system says while the process has not begun.

    What a client is told of an end is what the row says: a process can write any document. Where
    there is none that can be read, it is made from the row.

    Args:
        reachable: whether the batch system can be asked now.
        saw_end: called with the id of a job whose document tells an end that its row does not.

    Raises:
        OSError: the storage is in trouble.
    """
    written, status, document = row.changed, of_row(row), b""

    def again(status: status_xml.Status) -> bytes:
        return renewed(document, row, about, status)

    try:
        succeeded = row.state is State.SUCCEEDED and not row.is_dismissed
        document = read_plain(job.status, MOST if succeeded else status_xml.POLLED)
        if status_xml.is_costly(document):
            if succeeded and status_xml.is_plain(document):
                return document  # the row says all that a parser would find
            raise status_xml.DocumentError("it is too large to be read for each poll")
        document = status_xml.harmless(document)
        status = status_xml.parse(document)
        written = job.status.lstat().st_mtime
    except (OSError, status_xml.DocumentError) as error:
        if storage.trouble(error):
            raise
        document = b""
        document = again(status)
    if row.is_dismissed or row.state in TERMINAL:
        end = of_row(row)
        wanted = outcome.SUCCEEDED if row.state is State.SUCCEEDED else outcome.FAILED
        if status.state == wanted and (status == end or not row.is_dismissed):
            return document
        return again(end)
    if status.state in outcome.TERMINAL:
        if not row.end_seen:
            saw_end(row.id)
        status = status_xml.Status(outcome.STARTED, 99, ENDING)
        document = again(status)
    if row.state is State.PAUSED:
        return again(status_xml.Status("paused", status.percent, "Paused"))
    if row.state is State.STAGING:
        words = f"{status.message}; its inputs are being fetched"
        return again(status_xml.Status(status.state, 0, words))
    if status.state == outcome.ACCEPTED and row.native_id:
        words = f"{status.message}; waiting as {scheduler} job {row.native_id} ({row.name})"
        words += f": {row.message}" if row.message else ""
        words += "" if reachable else f"; {CANNOT_ASK}"
        return again(status_xml.Status(status.state, 0, words))
    if status.state == outcome.ACCEPTED and not reachable:
        words = f"{status.message}; {CANNOT_ASK}"
        return again(status_xml.Status(status.state, 0, words))
    if status.state == outcome.ACCEPTED and row.message:
        words = f"{status.message}; {row.message}"
        return again(status_xml.Status(status.state, 0, words))
    if row.state is State.QUEUED and row.started and written < row.changed:
        words = f"The batch system starts it again; waiting as {scheduler} job {row.native_id}"
        words += f" ({row.name})" + (f": {row.message}" if row.message else "")
        words += "" if reachable else f"; {CANNOT_ASK}"
        return again(status_xml.Status(outcome.ACCEPTED, 0, words))
    return document


def renewed(document: bytes, row: Job, about: About, status: status_xml.Status) -> bytes:
    facts = {"title": about.title, "url": about.service, "location": about.status}
    return status_xml.renewed(document, row.process, status, **facts)


def of_row(row: Job) -> status_xml.Status:
    """What a job's row alone tells. Of a success that is not enough: there are no outputs."""
    if row.is_dismissed:
        words = row.message if row.state is State.DISMISSED else DISMISSING
        return status_xml.Status(outcome.FAILED, 100, words)
    if row.state is State.FAILED:
        return status_xml.Status(outcome.FAILED, 100, row.message)
    if row.state is State.SUCCEEDED:
        return status_xml.Status(outcome.FAILED, 100, RESULT_GONE)
    if row.state in (State.RUNNING, State.PAUSED):
        return status_xml.Status(outcome.STARTED, 0, "Running")
    return status_xml.Status(outcome.ACCEPTED, 0, "Accepted")


def status_response(document: bytes, end: float | None = None) -> Response:
    """A status document as an HTTP answer.

    Args:
        end: when the job goes, seconds since the epoch; ``None`` if that is not known.
    """
    headers = {"Cache-Control": "no-store"} | outputs.sunset(end)
    return Response(document, mimetype="text/xml", headers=headers)
