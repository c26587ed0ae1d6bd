"""The outputs of jobs as files to download, and answers made of files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from werkzeug.http import http_date
from werkzeug.routing import Rule
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import wrap_file

from joblauncher.shared.files import open_beneath
from pywps_hpc.jobs.retention import expires
from pywps_hpc.spool import JobDir
from pywps_hpc.timing import TIMING
from pywps_hpc.web import cors, health, media_types
from pywps_hpc.web.addresses import Addresses
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import NotFound
from pywps_hpc.web.handover import handed_over
from pywps_hpc.web.lookup import find

#: Of the URLs of outputs.
METHODS = ("GET", "HEAD", "OPTIONS")


def rules(addresses: Addresses) -> Iterator[Rule]:
    """The URLs of all jobs' outputs."""
    folder = f"/{addresses.outputs_segment}" if addresses.outputs_segment else ""
    yield Rule(f"{folder}/<job:access>/<rest:name>", endpoint=show, methods=METHODS)
    yield Rule(f"{folder}/<job:access>", endpoint=show, methods=METHODS)


def show(service: Context, request: Request, access: str, name: str = "") -> Response:
    """One output of a job, also for scripts of other hosts: the API leads them here.

    Raises:
        NotFound: there is no such job or output, or not for this client.
        Busy: the storage is not there.
    """
    if request.method == "OPTIONS":
        return cors.share(service, request, cors.options(METHODS), METHODS)
    row, job = find(service, request, access)
    if not os.path.lexists(job.status):
        health.require_spool(service)
    if not name or row.is_dismissed:
        raise NotFound("There is no such job.")
    end = expires(row, service.settings.retention)
    return cors.share(service, request, output_response(service, request, job, name, end), METHODS)


def output_response(
    service: Context, request: Request, job: JobDir, name: str, end: float | None = None
) -> Response:
    """One output file of a job, which may be kept for an hour, but not beyond its end.

    Args:
        end: when the job goes, seconds since the epoch; ``None`` if that is not known.

    Raises:
        NotFound: there is no such plain file among its outputs.
    """
    inside = job.outputs.relative_to(job.path).parts
    try:
        file = open_beneath(job.path, *inside, *name.split("/"))
    except OSError:
        raise NotFound("There is no such output.") from None
    facts, path = os.fstat(file.fileno()), job.outputs / name
    by_nginx = handed_over(service, request, path, file, sunset(end))
    response = by_nginx or streamed(file, request.environ, sunset(end))
    response.mimetype = media_types.of_file(name.rpartition("/")[2])
    now = time.time()
    age = int(TIMING.output_age if end is None else max(0, min(TIMING.output_age, end - now)))
    response.cache_control.max_age = age
    response.expires = now + age  # type: ignore[assignment]
    response.cache_control.private = True
    if by_nginx:
        return response
    response.last_modified = facts.st_mtime  # type: ignore[assignment]
    response.set_etag(f"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}")
    return response.make_conditional(
        request.environ, accept_ranges=True, complete_length=facts.st_size
    )


def sunset(end: float | None) -> dict[str, str]:
    """The header that tells when a resource will no longer be there (RFC 8594)."""
    return {} if end is None else {"Sunset": http_date(end)}


def streamed(
    file: BinaryIO, environ: Any, headers: Mapping[str, str], status: int = 200
) -> Response:
    """An open file as an answer, which closes it."""
    response = Response(wrap_file(environ, file), status, headers, direct_passthrough=True)
    response.content_length = os.fstat(file.fileno()).st_size
    return response
