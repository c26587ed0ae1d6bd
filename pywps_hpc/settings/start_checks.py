"""Mistakes that are told before anything starts, and before a reload: each in one line.

What only our own sections can tell is in :mod:`pywps_hpc.settings`; here is what this host and
PyWPS's sections of the same file have to say.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from pywps_hpc import settings
from pywps_hpc.settings import Sections, Settings, SettingsError

#: Sections that PyWPS itself reads.
PYWPS = ("server", "processing", "logging", "metadata:main", "grass", "s3")
#: Values that PyWPS takes as they stand.
RAW = (("logging", "format"),)
#: As PyWPS reads one.
_SIZE = re.compile(r"[0-9]*\.?[0-9]+\s*(g|m|k|gb|mb|b)?")
_REFERENCE = re.compile(r"%%|%\(([^)]+)\)s")


def load_to_run(config: Path) -> Settings:
    """The settings for a part of the service, if it can run with them here.

    Raises:
        SettingsError: it cannot.
    """
    own = settings.load([config])
    try:
        settings.check_to_run(own)
        check_places(own)
    except SettingsError as error:
        raise SettingsError(f"{config}: {error}") from None
    return own


def load_to_serve(config: Path) -> Settings:
    """The same for a part that serves PyWPS."""
    own = load_to_run(config)
    sections, _ = settings.read_files([config])
    check_pywps(sections, str(config))
    return own


def check_places(own: Settings) -> None:
    """See that the spool and the folder of an SQLite database can be written to.

    Raises:
        SettingsError: they cannot.
    """
    _require_folder("[hpc] spool", own.spool)
    url = sa.make_url(own.database_url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        file = Path(url.database)
        if file.exists() and not _may(file, os.R_OK | os.W_OK):
            raise SettingsError(f"[hpc] database: {file} is not writable for {_account()}")
        _require_folder("[hpc] database", file.absolute().parent)


def check_pywps(sections: Sections, name: str) -> None:
    """See that PyWPS can use its own sections.

    Raises:
        SettingsError: it cannot.
    """
    check_percent(sections, name)
    for key in ("maxrequestsize", "maxsingleinputsize"):
        size = _value(sections.get("server", {}), key)
        if size and not _SIZE.fullmatch(size.lower()):
            raise SettingsError(f"{name}: [server] {key}: {size!r} is not a size: 20mb, 1gb")
    processing, log = sections.get("processing", {}), sections.get("logging", {})
    if _value(processing, "mode") != "scheduler":
        raise SettingsError(f"{name}: [processing] mode: must be scheduler")
    level = _value(log, "level")
    if level and not isinstance(logging.getLevelName(level), int):
        raise SettingsError(f"{name}: [logging] level: {level!r} is not a level: DEBUG, INFO, …")
    if file := _value(log, "file"):
        try:
            with Path(file).open("a"):
                pass
        except OSError as error:
            where, why = Path(file).absolute(), error.strerror
            raise SettingsError(f"{name}: [logging] file: {where}: {why}") from None


def check_percent(sections: Sections, name: str) -> None:
    """See that PyWPS can read each value of its own sections: it takes ``%`` for the begin of a
    reference (configparser, BasicInterpolation). Sections of the service's own may hold anything.

    Raises:
        SettingsError: it cannot.
    """
    for section in PYWPS:
        keys = sections.get(section, {})
        known = {key.lower() for key in (*keys, *os.environ)}
        for key, text in keys.items():
            if (section, key) in RAW:
                continue
            names = [name.lower() for name in _REFERENCE.findall(text) if name]
            if "%" in _REFERENCE.sub("", text) or not known.issuperset(names):
                problem = "a '%' in PyWPS's own sections has to be written '%%'"
                raise SettingsError(f"{name}: [{section}] {key}: {problem}")


def check_address(bind: str) -> None:
    """See that a server can listen there.

    Args:
        bind: as in ``--bind``: ``HOST:PORT``, or ``unix:PATH``.

    Raises:
        SettingsError: it cannot.
    """
    if bind.startswith(("unix:", "fd:")):
        if not _may(Path(bind.partition(":")[2]).absolute().parent, os.W_OK | os.X_OK):
            raise SettingsError(f"--bind {bind}: its folder is not writable for {_account()}")
        return
    host, colon, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"--bind {bind}: is not HOST:PORT")
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
            probe.listen(1)
    except OSError as error:
        raise SettingsError(f"--bind {bind}: {error.strerror or error}") from None


def _require_folder(key: str, folder: Path) -> None:
    if not folder.is_dir():
        raise SettingsError(f"{key}: there is no folder {folder}")
    if not _may(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"{key}: {folder} is not writable for {_account()}")


def _may(path: Path, what: int) -> bool:
    return os.access(path, what, effective_ids=True)


def _account() -> str:
    return f"this account (number {os.geteuid()})"


def _value(section: Mapping[str, str], key: str) -> str:
    return os.path.expandvars(section.get(key, "")).strip()
