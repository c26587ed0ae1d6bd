"""Import the application that is to be served, and say in one line why that cannot be done."""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import dataclass
from typing import Any

from pywps_hpc.errors import HpcError


class LoadFailed(HpcError):
    """The application cannot be served; the message is one line for the administrator."""


@dataclass(frozen=True)
class Loaded:
    """What a worker serves.

    Attributes:
        application: WSGI (PEP 3333).
        largest_body: bytes of a request's body.
    """

    application: Any
    largest_body: int


def import_application(name: str) -> Any:
    """The application of this name: ``MODULE:NAME``, found from the working directory.

    Raises:
        LoadFailed: there is none of this name.
        Exception: whatever the module raises.
    """
    from gunicorn.errors import AppImportError
    from gunicorn.util import import_app

    sys.path.insert(0, os.getcwd())
    try:
        return import_app(name)
    except AppImportError as error:
        raise LoadFailed(f"{name} cannot be imported: {_in_one_line(error)}") from error


def why_not(name: str, error: BaseException) -> str:
    """Why an application cannot be served, in one line: what is wrong, and in which line of which
    file where that is the application's."""
    module = name.partition(":")[0]
    if isinstance(error, ModuleNotFoundError) and error.name in (module, module.split(".")[0]):
        return f"{name} cannot be imported: there is no module {error.name} in {os.getcwd()}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{name} cannot be imported: {type(error).__name__}: {_in_one_line(error)}{place}"


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
