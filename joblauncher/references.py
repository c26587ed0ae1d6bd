"""Inputs by reference, as PyWPS and processes see them: the content comes through :mod:`fetch`.

The web server looks at a reference, but never at its content: PyWPS's validators, which may open
it, run here before the process does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pywps.app.exceptions import ProcessError
from pywps.exceptions import FileSizeExceeded, InvalidParameterValue
from pywps.inout.basic import ComplexInput, FileHandler, UrlHandler

from joblauncher import fetch
from joblauncher.bounds import Bounds, Reference, Refused, TooLarge, local_file
from joblauncher.jobdir import JobDir

#: Longest name of a file that is made from a URL, in bytes (most file systems take 255).
LONGEST = 200


class InputUnavailable(ProcessError, InvalidParameterValue):  # type: ignore[misc]
    """An input cannot be had. Of a process's exceptions, PyWPS shows only the words of a
    ``ProcessError`` to the client."""

    def __init__(self, words: str, identifier: str) -> None:
        InvalidParameterValue.__init__(self, words, locator=identifier)
        ProcessError.__init__(self, words)

    @property
    def name(self) -> str:
        """``exceptionCode`` of the report (OWS Common 1.1.0, table 25)."""
        return "InvalidParameterValue"


class InputTooLarge(InputUnavailable, FileSizeExceeded):  # type: ignore[misc]
    """It is larger than allowed; what PyWPS raises then, so that a process can tell."""


def reference_of(handler: Any) -> Reference:
    """What to fetch for a URL that an input has, or that a process gave an output."""
    found = getattr(handler, "hpc_reference", None)
    if isinstance(found, Reference):
        return found
    body = handler.post_data
    return Reference(handler.url, body=body.decode() if isinstance(body, bytes) else body)


def is_reference(item: Any) -> bool:
    """Whether an input's content is elsewhere, in a file or behind a URL."""
    handler = item._iohandler
    return isinstance(handler, UrlHandler) or (
        type(handler) is FileHandler and isinstance(item, ComplexInput) and "href" in item.inpt
    )


def install(bounds: Bounds, job: JobDir) -> None:
    """Fetch within these bounds whatever PyWPS fetches in this interpreter."""

    def file(handler: Any) -> str:
        if handler._file is None:
            item = handler._ref()
            target = Path(item._build_file_name(href=short(handler.url)))
            with told(identifier(item)):
                if not _take(job, handler, target):
                    fetch.fetch(reference_of(handler), bounds, target)
            handler._file = str(target)
        return str(handler._file)

    def size(handler: Any) -> int:
        if handler._file is not None:
            return os.stat(handler._file).st_size
        with told(identifier(handler._ref())):
            return fetch.content_length(reference_of(handler), bounds)

    UrlHandler.file = property(file, doc=UrlHandler.file.__doc__)
    UrlHandler.size = property(size, doc=UrlHandler.size.__doc__)


def check(inputs: Mapping[str, Any], bounds: Bounds) -> None:
    """What the web server left to us: where files really lie, and PyWPS's validation.

    Raises:
        NoApplicableCode: an input cannot be used.
    """
    for item in (item for items in inputs.values() for item in items):
        if not is_reference(item):
            continue
        if not isinstance(item._iohandler, UrlHandler):
            with told(identifier(item)):
                link = Path(item.file)
                real = local_file(link.resolve().as_uri(), bounds)
                if not real.is_file():
                    raise Refused("there is no such file.")
        try:
            item._check_valid()
        except InvalidParameterValue as error:
            raise InputUnavailable(
                f"input {identifier(item)}: {error.description}", identifier(item)
            ) from None


def identifier(item: Any) -> str:
    """An input's name in the process description."""
    return str(getattr(item, "identifier", "") or "?")


@contextmanager
def told(name: str) -> Iterator[None]:
    """Turn a refusal into an exception that PyWPS tells the client of."""
    try:
        yield
    except TooLarge as error:
        raise InputTooLarge(f"input {name}: {error}", name) from None
    except Refused as error:
        raise InputUnavailable(f"input {name}: {error}", name) from None


def _take(job: JobDir, handler: Any, target: Path) -> bool:
    """Use what the server fetched, if it did. The original stays for a second attempt."""
    number = getattr(handler, "hpc_staged", None)
    if number is None:
        return False
    staged = job.inputs / str(number)
    if not staged.is_file():
        return False
    try:
        shutil.copyfile(staged, target)
    except OSError as error:
        raise Refused(f"it cannot be stored: {error.strerror}") from None
    return True


def short(url: str) -> str:
    """The URL, or a shorter one that ends alike: PyWPS names a file after its last segment."""
    name = PurePosixPath(urlsplit(url).path)
    return url if len(name.name.encode()) <= LONGEST else f"input{name.suffix[:20]}"
