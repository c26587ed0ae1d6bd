"""PyWPS's own sections of the same file: which they are, and whether PyWPS can use them."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import sqlalchemy as sa

from pywps_hpc.errors import SettingsError
from pywps_hpc.settings.model import Sections

#: Sections and keys that PyWPS 4.8 reads (``pywps.configuration``).
PYWPS: dict[str, tuple[str, ...]] = {
    "server": (
        *("encoding", "language", "url", "maxprocesses", "maxsingleinputsize", "maxrequestsize"),
        *("temp_path", "processes_path", "outputurl", "outputpath", "allowedinputpaths", "workdir"),
        *("parallelprocesses", "sethomedir", "cleantempdir", "storagetype"),
        *("storage_copy_function", "default_mimetype", "json_indent"),
    ),
    "processing": ("mode", "path", "drmaa_native_specification"),
    "logging": ("file", "level", "database", "prefix", "format", "schema"),
    "metadata:main": (
        *("identification_title", "identification_abstract", "identification_keywords"),
        *("identification_keywords_type", "identification_fees", "identification_profile"),
        *("identification_accessconstraints", "provider_name", "provider_url"),
        *("contact_name", "contact_position", "contact_address", "contact_city"),
        *("contact_stateorprovince", "contact_postalcode", "contact_country", "contact_phone"),
        *("contact_fax", "contact_email", "contact_url", "contact_hours", "contact_instructions"),
        *("contact_role", "deliverypoint", "contaact_fax"),
    ),
    "grass": ("gisbase",),
    "s3": ("bucket", "prefix", "public", "encrypt", "region"),
}
#: Values that PyWPS takes as they stand.
RAW = (("logging", "format"),)
#: As PyWPS reads one.
_SIZE = re.compile(r"[0-9]*\.?[0-9]+\s*(g|m|k|gb|mb|b)?")
_REFERENCE = re.compile(r"%%|%\(([^)]+)\)s")


def check_pywps(sections: Sections, name: str) -> None:
    """See that PyWPS can use its own sections.

    Raises:
        SettingsError: it cannot.
    """
    for problem in problems(sections):
        raise SettingsError(f"{name}: {problem}")


def problems(sections: Sections) -> Iterator[str]:
    """What PyWPS cannot use of its own sections, one line each; nothing is made or changed."""
    yield from _percent(sections)
    for key in ("maxrequestsize", "maxsingleinputsize"):
        size = _value(sections.get("server", {}), key)
        if size and not _SIZE.fullmatch(size.lower()):
            yield f"[server] {key}: {size!r} is not a size: 20mb, 1gb"
    processing, log = sections.get("processing", {}), sections.get("logging", {})
    if _value(processing, "mode") != "scheduler":
        yield "[processing] mode: must be scheduler"
    level = _value(log, "level")
    if level and not isinstance(logging.getLevelName(level), int):
        yield f"[logging] level: {level!r} is not a level: DEBUG, INFO, …"
    if trouble := _unusable_format(log.get("format", "")):
        yield f"[logging] format: {trouble}; remove it, or see Python's logging.Formatter"
    if trouble := _unusable_database(_value(log, "database").replace("%%", "%")):
        yield f"[logging] database: {trouble}, or remove it: PyWPS then logs no requests there"
    if file := _value(log, "file"):
        try:
            _require_writable(Path(file).absolute())
        except OSError as error:
            yield f"[logging] file: {Path(file).absolute()}: {error.strerror}"


def _unusable_format(text: str) -> str:
    """Why no line of a log can be made by a format, which PyWPS takes as it stands."""
    try:
        logging.Formatter(text or None).format(logging.makeLogRecord({"msg": "x"}))
    except (ValueError, KeyError, TypeError) as error:
        return f"{text!r} makes no line ({' '.join(str(error).split())})"
    return ""


def _unusable_database(text: str) -> str:
    """Why PyWPS cannot log requests in a database, with what to do. It has no part of the URL but
    its first word in it, since there may be a password."""
    if not text:
        return ""
    kind = text.partition("://")[0]
    try:
        url = sa.make_url(text)
        url.get_dialect().import_dbapi()
    except sa.exc.NoSuchModuleError:
        return f"{kind}:// is not known; write postgresql+psycopg://user@host/name"
    except (sa.exc.ArgumentError, ValueError):
        return "is no URL of a database; write sqlite:////path/to/file"
    except ImportError as error:
        return f"{error.name or kind} is not installed; install it"
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        try:
            _require_writable(Path(url.database).absolute())
        except OSError as error:
            return f"{Path(url.database).absolute()}: {error.strerror}; set it to another path"
    return ""


def _require_writable(file: Path) -> None:
    """See that a file can be added to, or be made; it is not made.

    Raises:
        OSError: neither.
    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))
    except FileNotFoundError:
        folder = file.parent
        folder.stat()
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def check_percent(sections: Sections, name: str) -> None:
    """See that PyWPS can read each value of its own sections: it takes ``%`` for the begin of a
    reference (configparser, BasicInterpolation). Sections of the service's own may hold anything.

    Raises:
        SettingsError: it cannot.
    """
    for problem in _percent(sections):
        raise SettingsError(f"{name}: {problem}")


def _percent(sections: Sections) -> Iterator[str]:
    for section in PYWPS:
        keys = sections.get(section, {})
        known = {key.lower() for key in (*keys, *os.environ)}
        for key, text in keys.items():
            if (section, key) in RAW:
                continue
            names = [name.lower() for name in _REFERENCE.findall(text) if name]
            if "%" in _REFERENCE.sub("", text) or not known.issuperset(names):
                yield f"[{section}] {key}: a '%' in PyWPS's own sections has to be written '%%'"


def _value(section: Mapping[str, str], key: str) -> str:
    return os.path.expandvars(section.get(key, "")).strip()
