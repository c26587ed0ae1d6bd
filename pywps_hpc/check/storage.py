"""Job table and spool on this host; nothing is made or changed in either."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from joblauncher.shared.files import amount
from pywps_hpc.check.configuration import of_message
from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.jobs import JobStore, SchemaTooNew, SchemaTooOld, TableMissing, TableUnavailable
from pywps_hpc.jobs.identity import FACT, PROMISED
from pywps_hpc.settings import Settings, SettingsError
from pywps_hpc.settings.checks import host, warnings
from pywps_hpc.settings.checks.mounts import options
from pywps_hpc.spool import IDENTITY, Spool

#: Bytes and files below which a spool is about to be full.
LEAST_ROOM, LEAST_FILES = 1 << 30, 10_000


def spool(own: Settings) -> Iterator[Finding]:
    """The spool's rights, owner and room."""
    found = list(_spool(own))
    yield from found
    if not found:
        yield ok("[hpc] spool", f"{own.spool}: {amount(shutil.disk_usage(own.spool).free)} free")


def _spool(own: Settings) -> Iterator[Finding]:
    mask = os.umask(0o077)
    os.umask(mask)
    if mask & 0o700:
        yield error(
            "umask",
            f"{mask:04o} takes this account its own rights in all that it makes",
            "start the service with umask 0077 (UMask= of a systemd unit)",
        )
    for check in (host.refuse_root, host.refuse_open_spool, _require_spool):
        if problem := _refused(check, own):
            yield problem
            if check is not host.refuse_root:
                return
    yield from _passing("[hpc] spool", own.spool)
    room = os.statvfs(own.spool)
    free, total = (count * room.f_frsize for count in (room.f_bavail, room.f_blocks))
    if free < LEAST_ROOM:
        kind = warning if free > (1 << 20) else error
        yield kind(
            "[hpc] spool",
            f"{own.spool} has {amount(free)} left of {amount(total)}",
            "make room: pywps-hpc purge, or [hpc.retention] age and size",
        )
    if room.f_files and room.f_favail < LEAST_FILES:
        yield warning(
            "[hpc] spool",
            f"{own.spool} has room for {room.f_favail} more files only (inodes)",
            "make room: pywps-hpc purge, or a larger quota of files",
        )
    flags = mount_flags(own.spool)
    if "ro" in flags:
        yield error(
            "[hpc] spool",
            f"{own.spool} is on a file system that is mounted read-only",
            "mount it rw",
        )
    if "noexec" in flags:
        needed = own.scheduler == "drmaa"
        yield (error if needed else warning)(
            "[hpc] spool",
            f"{own.spool} is on a file system mounted noexec: "
            + ("scripts of jobs" if needed else "programs that a process puts into its folder")
            + " cannot be run from there",
            "mount it with exec, or choose another folder",
        )


def _passing(subject: str, path: Path) -> Iterator[Finding]:
    """A place that is emptied by the system (systemd-tmpfiles, the next boot)."""
    if str(path.parent) in ("/tmp", "/var/tmp", "/dev/shm", "/run"):
        yield warning(
            subject,
            f"{path} is in {path.parent}, which the system empties: jobs and results go with it",
            "choose a place that is kept (/var/lib/pywps-hpc)",
        )


def _require_spool(own: Settings) -> None:
    if not os.access(own.spool, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise SettingsError(f"[hpc] spool: {own.spool} is not writable for this account")


def _refused(check: Callable[[Settings], None], own: Settings) -> Finding | None:
    """What such a check refuses; the remedy stands behind a colon in its message."""
    try:
        check(own)
    except SettingsError as problem:
        found = of_message(str(problem), "account")
        what, _, remedy = found.what.partition(": ")
        remedy = remedy or ("" if found.remedy == "see docs/configuration.md" else found.remedy)
        return replace(found, what=what, remedy=remedy or f"chown and chmod 700 {own.spool}")
    except OSError as problem:
        what = f"{own.spool}: {problem.strerror}"
        return error("[hpc] spool", what, "make it, and mount its file system")
    return None


def mount_flags(path: Path) -> frozenset[str]:
    """The options with which the file system of a path is mounted here."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    return options(Path(os.path.realpath(path)), mounts)


def database(own: Settings) -> tuple[JobStore | None, list[Finding]]:
    """The job table, for reading only; ``None`` where there is none that can be read."""
    subject = "[hpc] database"
    url = sa.make_url(own.database_url)
    where = url.render_as_string(hide_password=True)
    found = [
        warning(subject, *line.partition(": ")[2].rsplit(": ", 1))
        for line in warnings.of_database(own)
    ]
    if own.database_url.startswith("sqlite"):
        found += _passing(subject, Path(url.database or ""))
    if own.database_url.startswith("sqlite"):
        problem = _sqlite_place(own, Path(url.database or ""))
        if problem:
            return None, [*found, problem]
    try:
        store = JobStore(own.database_url, own.database_timeout, read_only=True)
        store.create()
    except TableMissing:
        what = f"{where}: there is no job table yet; the service makes it when it starts"
        return None, [*found, ok(subject, what)]
    except (ImportError, sa.exc.NoSuchModuleError) as problem:
        name = getattr(problem, "name", "") or "the driver of this database"
        what = f"{where}: {name} is not installed"
        return None, [*found, error(subject, what, "pip install 'pywps-hpc[postgresql]'")]
    except SchemaTooOld:
        what = "the job table is of an earlier version; the service brings it to its form at start"
        return None, [*found, ok(subject, what)]
    except SchemaTooNew as problem:
        return None, [*found, error(subject, str(problem), "update pywps-hpc")]
    except (TableUnavailable, sa.exc.SQLAlchemyError, sqlite3.Error) as problem:
        message = " ".join(str(problem).split())
        return None, [*found, error(subject, f"{where}: {message}", _of_server(message))]
    return store, [*found, ok(subject, f"{where} can be read")]


def _of_server(message: str) -> str:
    """What to do where a database server does not let us in (PostgreSQL, Appendix A)."""
    for sign, remedy in (
        ("does not exist", "make it: createdb NAME; createuser NAME"),
        ("authentication", "correct user and password, or the server's pg_hba.conf"),
        ("no password", "give a password: PGPASSFILE, or ${NAME} in the URL"),
        ("translate host name", "correct the name of its host"),
        ("malformed", "restore it from a backup, or begin with a new spool and database"),
        ("not a database", "name another file"),
    ):
        if sign in message:
            return remedy
    return "start the database server, or correct host, port and name in the URL"


def _sqlite_place(own: Settings, file: Path) -> Finding | None:
    subject, folder = "[hpc] database", file.absolute().parent
    if not folder.is_dir():
        return error(
            subject, f"there is no folder {folder}", f"make it: install -d -m 700 {folder}"
        )
    if not file.is_absolute():
        return error(
            subject,
            f"sqlite:///{file} is relative: each part of the service has a table of its own, in "
            "the folder in which it was started",
            f"write sqlite:///{folder / file.name}, with four strokes in all",
        )
    account = f"account number {os.geteuid()}"
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        what = f"{folder} is not writable for this account: SQLite makes files beside {file.name}"
        return error(subject, what, f"give it to the service's account ({account}): chown")
    if file.exists() and not os.access(file, os.R_OK | os.W_OK, effective_ids=True):
        return error(subject, f"{file} is not writable for this account", f"chown it to {account}")
    if file.exists() and not stat.S_ISREG(file.stat().st_mode):
        return error(subject, f"{file} is not a file", "name a file")
    return None


def identity(own: Settings, store: JobStore | None) -> Iterator[Finding]:
    """Whether spool and job table belong together."""
    place = Spool(own.spool)
    try:
        written = place.identity()
    except FileNotFoundError:
        written = ""
    except OSError as problem:
        yield error(
            "[hpc] spool", f"{IDENTITY} cannot be read: {problem.strerror}", "check its rights"
        )
        return
    known = store.fact(FACT) if store else ""
    subject = "[hpc] spool, database"
    if known.startswith(PROMISED) or (not known and not written):
        yield ok(subject, "both are new")
    elif store is None or not known:
        yield error(
            subject,
            f"{own.spool} belongs to another job table than [hpc] database",
            "give each service a spool and a database of its own; if the old table was lost, "
            f"remove {own.spool / IDENTITY}",
        )
    elif not written:
        yield error(
            subject,
            f"{own.spool} is not the spool of this job table: there is no {IDENTITY} in it",
            "mount its file system; a new spool needs a new database",
        )
    elif written != known:
        yield error(
            subject,
            f"{own.spool} is not the spool that [hpc] database belongs to",
            "a copy of a service, such as one for tests, needs a spool and a database of its own",
        )
    else:
        yield ok(subject, "belong to each other")


def inputs(own: Settings) -> Iterator[Finding]:
    """Folders of inputs on this host."""
    for folder in own.input_paths:
        if re.search(r'[,"\\]', str(folder)):
            yield error(
                "[server] allowedinputpaths",
                f'{folder} cannot be bound in a container: it has , " or \\ in it',
                "write ':' between folders, and name none with such a sign",
            )
        elif not folder.is_dir():
            yield error(
                "[server] allowedinputpaths",
                f"{folder} is not a folder on this host: its files cannot be given as inputs, and "
                "no container starts where it is missing on the node",
                "correct the path",
            )
        elif not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
            yield error(
                "[server] allowedinputpaths",
                f"{folder} cannot be read by this account",
                f"give it the right to: setfacl -m u:ACCOUNT:rx {folder}",
            )
        else:
            yield ok("[server] allowedinputpaths", str(folder))
