"""Whether this host and account can run with the settings: told at start and before a reload."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import sqlalchemy as sa

from joblauncher.shared import account
from pywps_hpc.errors import SettingsError
from pywps_hpc.settings.model import Settings

#: Folders that are not to be closed to everybody else, beside those at the top.
_OF_THE_SYSTEM = frozenset(
    map(Path, ("/", "/var/tmp", "/dev/shm", "/var/lib", "/var/spool", "/usr/local", "/var/cache"))
)


def refuse_root(settings: Settings) -> None:
    """See to it that what serves or dispatches is not root: the jobs would be, too.

    Raises:
        SettingsError: with the way out.
    """
    if account.is_root() and not settings.allow_root:
        raise SettingsError(
            "this is root, and so would be every process: start it as the service's account "
            "(User= of a systemd unit; or runuser -u ACCOUNT -- pywps-hpc ...). In a container "
            "that has nothing else in it: [hpc] allow_root = yes"
        )


def refuse_open_spool(settings: Settings) -> None:
    """See to it that the spool is this account's own: whoever can list it knows all jobs, and
    whoever can write to it can put folders of his own in the place of theirs.

    Raises:
        SettingsError: with the way out.
    """
    if (place := settings.spool.resolve()) in _OF_THE_SYSTEM or place.parent == Path("/"):
        raise SettingsError(
            f"[hpc] spool: {settings.spool} is a folder of the system; "
            f"install -d -m 700 {place / 'pywps-hpc'} makes one of the service's own"
        )
    facts, account_number = settings.spool.stat(), os.geteuid()
    if account_number not in (0, facts.st_uid):
        raise SettingsError(
            f"[hpc] spool: {settings.spool} belongs to another account (number {facts.st_uid}), "
            f"this one is number {account_number}: chown it to the service's account, or start "
            "the service as its owner"
        )
    mode = stat.S_IMODE(facts.st_mode)
    if mode & 0o077 or mode & 0o700 != 0o700:
        raise SettingsError(
            f"[hpc] spool: {settings.spool} has mode {mode:04o}; it has to be open to its account "
            f"and to nobody else: chmod 700 {settings.spool}"
        )


def check_to_run(settings: Settings) -> None:
    """What has to hold where jobs are accepted or run.

    Raises:
        SettingsError: with the way out.
    """
    refuse_root(settings)
    refuse_open_spool(settings)


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
