"""Bounds of a request, before and while PyWPS reads it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from pywps.app.WPSRequest import WPSRequest
from pywps.exceptions import InvalidParameterValue, NoApplicableCode
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request

from pywps_hpc.web.errors import DoctypeRefused
from pywps_hpc.web.requests import json, limits
from pywps_hpc.web.requests import reading as request_reading

LOGGER = logging.getLogger(__name__)


def plain_fromstring(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """PyWPS's XML parser for texts, without document type declarations."""
    return lambda text: _plain(original(text).getroottree()).getroot()


def plain_parse(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """PyWPS's XML parser for files, without document type declarations."""
    return lambda source: _plain(original(source))


def strict_set_json(original: Callable[..., None]) -> Callable[..., None]:
    """PyWPS's reader of requests in JSON, held to what it understands."""

    def set_json(request: Any, value: dict[str, Any], *arguments: Any, **named: Any) -> None:
        json.check(value)
        # PyWPS would make input objects of what the client says, with folders and validators of the
        # client's choice, and throw them away: it reads the inputs once more, for good.
        original(request, {**value, "inputs": {}}, *arguments, **named)

    return set_json


def _plain(tree: Any) -> Any:
    if tree.docinfo.internalDTD is not None or tree.docinfo.doctype:
        raise DoctypeRefused
    return tree


def take_in(request: Request) -> None:
    """Read a request's body within the bounds of its size.

    Raises:
        NoApplicableCode: it is too large, or not what it says to be.
    """
    with reading():
        limits.read_body(request)


def read(request: Request, preprocessors: Any) -> WPSRequest:
    """Read a request of WPS 1.0.0 that has been taken in.

    Raises:
        NoApplicableCode: it is not one of WPS; HTTP 400 (OWS Common 06-121r3, clause 8.6).
    """
    with reading():
        return request_reading.read(request, preprocessors)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """While PyWPS reads what a client sent: whatever it stumbles over is told to the client.

    Raises:
        NoApplicableCode: with HTTP 400, in place of any error but an :class:`OSError`, which is of
            the storage and not of the request.
    """
    try:
        yield
    except (HTTPException, OSError):
        raise
    except Exception:
        LOGGER.warning("a request could not be read", exc_info=True)
        message = "The request cannot be read: something is missing, or not of the form of WPS."
        raise NoApplicableCode(message, code=400) from None


def check_inputs(wps_request: Any, most: int) -> None:
    """Bound the number of inputs.

    Raises:
        InvalidParameterValue: the request has more.
    """
    number = sum(len(given) for given in (wps_request.inputs or {}).values())
    if number > most:
        raise InvalidParameterValue(
            f"The request has {number} inputs; at most {most} are allowed.", "DataInputs"
        )
