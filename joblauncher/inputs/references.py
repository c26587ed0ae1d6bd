"""Inputs by reference, as PyWPS and processes see them: the content comes through :mod:`fetch`.

The web server checks a reference, but never opens it: PyWPS's validators, which may do that, run in
the job before the process does.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pywps.exceptions import InvalidParameterValue
from pywps.inout.basic import ComplexInput, FileHandler, LiteralInput, UrlHandler
from pywps.inout.outputs import ComplexOutput

from joblauncher.inputs import file_names
from joblauncher.inputs.allowance import Allowance
from joblauncher.inputs.errors import InputTooLarge, InputUnavailable
from joblauncher.inputs.policy import Bounds, NotStored, Reference, Refused, TooLarge, local_file
from joblauncher.shared import output_values
from joblauncher.shared.jobdir import JobDir

LOGGER = logging.getLogger("PYWPS")

#: Data access by OPeNDAP: the URL itself is the input, a process opens it.
DODS = "application/x-ogc-dods"
#: Seconds to ask for the size of one output that stays at its server, and of all of a job: the size
#: of a Metalink's file is optional (RFC 5854, section 4.2.14).
SIZE_TIMEOUT, SIZES_TIMEOUT = 5.0, 60.0


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


def install(bounds: Bounds, job: JobDir) -> Callable[[Any, Path], None]:
    """Fetch within these bounds whatever PyWPS fetches in this interpreter.

    Returns:
        What fetches it: for an input, or what PyWPS handles it by, to a file.
    """

    file_names.install()
    sizes, allowance = _Sizes(bounds), Allowance(bounds)
    json_data = ComplexOutput._json_data

    def file(handler: Any) -> str:
        if handler._file is None:
            item = handler._ref()
            target = Path(item._build_file_name(href=handler.url))
            with pywps_exception(item):
                obtain(handler, target)
            handler._file = str(target)
        return str(handler._file)

    def obtain(holder: Any, target: Path) -> None:
        if not _copy_staged(job, holder, target):
            allowance.fetch(reference_of(holder), target)

    def size(handler: Any) -> int:
        from joblauncher.inputs import fetch  # few jobs need it

        if handler._file is not None:
            return os.stat(handler._file).st_size
        if not is_input(handler._ref()):
            return sizes.of(reference_of(handler))
        with pywps_exception(handler._ref()):
            return fetch.content_length(reference_of(handler), bounds)

    def embed(output: Any, data: dict[str, Any]) -> Any:
        if isinstance(output._iohandler, UrlHandler):
            try:
                _ = output.file
            except InputUnavailable as error:  # who asked may well reach it
                LOGGER.warning("%s: given by reference", error)
                return output._json_reference(data)
        document = output_values.xml_text(output)
        if document is not None:
            return {**data, "type": "complex", "data": document}
        return json_data(output, data)

    UrlHandler.file = property(file, doc=UrlHandler.file.__doc__)
    UrlHandler.size = property(size, doc=UrlHandler.size.__doc__)
    ComplexOutput._json_data = embed
    return obtain


class _Sizes:
    """Asks for the sizes of outputs that stay at their servers, as long as there is time for it."""

    def __init__(self, bounds: Bounds) -> None:
        timeout = min(SIZE_TIMEOUT, bounds.timeout)
        self._bounds = replace(bounds, timeout=timeout, total_timeout=timeout)
        self._left = SIZES_TIMEOUT

    def of(self, reference: Reference) -> int:
        """Bytes; 0 if they are not known, as in PyWPS: no job fails for want of a size."""
        from joblauncher.inputs import fetch

        begun = time.monotonic()
        try:
            return fetch.content_length(reference, self._bounds) if self._left > 0 else 0
        except Refused:
            return 0
        finally:
            self._left -= time.monotonic() - begun


def check(inputs: Mapping[str, Any], bounds: Bounds) -> None:
    """The checks that only the node can make: where files really lie, which hosts a process would
    connect to by itself, and PyWPS's validation.

    Raises:
        NoApplicableCode: an input cannot be used.
    """
    checked: set[str] = set()
    for item in (item for items in inputs.values() for item in items):
        if not is_reference(item):
            continue
        if _may_be_opened(item) and (host := urlsplit(item.url).netloc) not in checked:
            from joblauncher.inputs import fetch

            with pywps_exception(item):
                fetch.check_host(item.url, bounds)
            checked.add(host)
        if not isinstance(item._iohandler, UrlHandler):
            with pywps_exception(item):
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


def _may_be_opened(item: Any) -> bool:
    """Whether a process may open the client's URL by itself. Our bounds do not hold for that, so
    its host is vetted before."""
    handler = item._iohandler
    if not isinstance(handler, UrlHandler) or "href" not in item.inpt:
        return False
    if getattr(handler, "hpc_staged", None) is not None:
        return False
    return any(one.mime_type == DODS for one in item.supported_formats)


def identifier(item: Any) -> str:
    """An input's name in the process description."""
    return str(getattr(item, "identifier", "") or "?")


def is_input(item: Any) -> bool:
    """Whether this is an input, not an output or a file that a Metalink lists."""
    return isinstance(item, ComplexInput | LiteralInput)


@contextmanager
def pywps_exception(item: Any) -> Iterator[None]:
    """Turn a refusal into an exception whose message PyWPS passes on to the client."""
    name = identifier(item)
    known = is_input(item)
    kind = "input" if known else "output"
    try:
        yield
    except TooLarge as error:
        raise InputTooLarge(f"{kind} {name}: {error}", name, is_input=known) from None
    except Refused as error:
        known = known and not isinstance(error, NotStored)
        raise InputUnavailable(f"{kind} {name}: {error}", name, is_input=known) from None


def _copy_staged(job: JobDir, handler: Any, target: Path) -> bool:
    """Copy what the dispatcher fetched; whether it did. The original stays for another attempt."""
    number = getattr(handler, "hpc_staged", None)
    if number is None:
        return False
    staged = job.fetched / str(number)
    if not staged.is_file():
        return False
    try:
        shutil.copyfile(staged, target)
    except OSError as error:
        raise NotStored(f"it cannot be stored: {error.strerror}") from None
    return True
