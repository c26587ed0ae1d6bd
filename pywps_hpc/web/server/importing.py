"""Import the application that is to be served, and say in one line why that cannot be done."""

from __future__ import annotations

import importlib
import os
import pwd
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pywps_hpc.errors import HpcError

#: Parts of the paths of what is not the application's; and, of these, of whatever imports it.
_LIBRARIES = (f"{Path(os.__file__).parent}/", "/site-packages/", "/dist-packages/")
_IMPORTERS = (
    *("<frozen", f"{Path(importlib.__file__).parent}/", f"{Path(__file__).parents[2]}/"),
    *("/site-packages/gunicorn/", "/dist-packages/gunicorn/"),
)
_NAME = "name it as MODULE:NAME, and run this in the folder, and with the Python, of the service"


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


@dataclass(frozen=True)
class Reason:
    """Why an application cannot be served; each one line for the administrator.

    Attributes:
        what: is wrong.
        remedy: what to do about it.
    """

    what: str
    remedy: str


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


def why_not(name: str, error: BaseException) -> Reason:
    """Why an application cannot be served: what is wrong, and in which line of which file where
    that is the application's.

    Args:
        name: of the application.
        error: that importing it raised.
    """
    module = name.partition(":")[0]
    if isinstance(error, LoadFailed):
        return Reason(str(error), _NAME)
    if isinstance(error, ModuleNotFoundError) and error.name in (module, module.split(".")[0]):
        here = os.getcwd()
        what = f"{name} cannot be imported: there is no module {error.name} in {here}"
        if not os.access(here, os.R_OK | os.X_OK, effective_ids=True):  # Python takes it for empty
            return Reason(f"{what}, which cannot be read", _let_in())
        return Reason(what, _NAME)
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        path = os.fsdecode(error.filename)
        what = f"{path} cannot be opened: {error.strerror}{_obstacle(error, path)}"
        remedy = _of_file(error)
    else:
        said = error.msg if isinstance(error, SyntaxError) else _in_one_line(error)
        what = f"{type(error).__name__}{': ' if said else ''}{said}"
        remedy = (
            f"install what it needs for {sys.executable}, or run this with the service's Python"
            if isinstance(error, ImportError)
            else "the application itself raises this while it is imported: correct that there; "
            f"the whole traceback is shown by: {sys.executable} -c 'import {module}'"
        )
    return Reason(_line(f"{name} cannot be imported: {what}{_place(error)}"), _line(remedy))


def _of_file(error: OSError) -> str:
    """What to do about a file that an application cannot open."""
    if isinstance(error, PermissionError):
        return _let_in()
    if isinstance(error, FileNotFoundError):
        return (
            "make it, or correct its name where the application has it; a relative one is looked "
            f"for in {os.getcwd()}"
        )
    return f"make sure that {_account()} can open it on this host"


def _let_in() -> str:
    return f"let {_account()} open it, or run this as the account of the service"


def _account() -> str:
    try:
        return f"the account {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"the account with uid {os.geteuid()}"


def _obstacle(error: OSError, path: str) -> str:
    """The folder on the way to a file that this account may not enter, in brackets."""
    if isinstance(error, PermissionError):
        for folder in reversed(Path(path).absolute().parents):
            if folder.exists() and not os.access(folder, os.X_OK, effective_ids=True):
                return f" (the folder {folder} cannot be entered)"
    return ""


def _place(error: BaseException) -> str:
    """The line of the application that an error comes from, in brackets; else that of a library."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(part in frame.filename for part in _IMPORTERS)
    ]
    own = [frame for frame in frames if not any(part in frame.filename for part in _LIBRARIES)]
    found = (own or frames)[-1:]
    return "".join(f" ({frame.filename}, line {frame.lineno})" for frame in found)


def _in_one_line(error: BaseException) -> str:
    return _line(str(error))


def _line(text: str) -> str:
    return " ".join(text.split())
