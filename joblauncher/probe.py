"""Try a node out: look at what jobs need there, and write down what was found."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import platform
import shutil
import stat
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from joblauncher.shared import account, dump, exits
from joblauncher.shared.files import atomic_write
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.probing import FOUND, HELLO, SEEN, Order, Report, order_of

LOGGER = logging.getLogger(__name__)

#: Bytes of the log that are shown.
_MOST = 4000


def run(job: JobDir, digest: str, *, allow_root: bool = False) -> int:
    """Do what the order in the job's folder says; the exit code.

    Args:
        job: its folder.
        digest: SHA-256 of the order, from the batch script.
        allow_root: whether jobs may run as root.
    """
    said = _log_so_far()
    if account.is_root() and not allow_root:
        LOGGER.error("%s", account.MESSAGE)
        return exits.REFUSED
    try:
        order = order_of(dump.read(job.dump, digest))
    except dump.PayloadError as error:
        LOGGER.error("%s", error)
        return exits.REFUSED
    trouble, now = "", time.time()
    try:
        atomic_write(job.path / HELLO, repr(now).encode())
        _try_rights(job)
    except OSError as error:
        trouble = error.strerror or type(error).__name__
    round_trip = None if trouble else _await(job, order.patience)
    facts = job.path.stat()
    report = Report(
        host=platform.node(),
        time=now,
        versions={name: _version(name) for name in ("dill", "pywps", "pywps-hpc")}
        | {"python": platform.python_version()},
        failures=_failures(order),
        missing={path: why for path in order.paths if (why := _missing(Path(path)))},
        account=os.geteuid(),
        owner=facts.st_uid,
        mode=stat.S_IMODE(facts.st_mode),
        trouble=trouble,
        round_trip=round_trip,
        temporary=_temporary(job.temporary),
        said=said,
    )
    try:
        atomic_write(job.path / FOUND, report.content())
    except OSError as error:
        LOGGER.error("the report cannot be written: %s", error.strerror)
        return exits.NOT_TOLD
    return exits.OK


def _log_so_far() -> str:
    """What stands in the log already: whatever the batch script said."""
    with contextlib.suppress(OSError), open("/proc/self/fd/2", "rb") as log:
        if stat.S_ISREG(os.fstat(log.fileno()).st_mode):
            return log.read(_MOST).decode(errors="replace")
    return ""


def _try_rights(job: JobDir) -> None:
    """Make, link, rename and remove, as jobs do.

    Raises:
        OSError: one of these is not possible.
    """
    folder = job.path / "probe.folder"
    folder.mkdir(mode=0o700)
    file = folder / "file"
    atomic_write(file, b"x" * 4096)
    file.rename(folder / "other")
    (folder / "link").symlink_to("other")
    (folder / "link").unlink()
    (folder / "other").unlink()
    folder.rmdir()


def _await(job: JobDir, patience: float) -> float | None:
    """Seconds until somebody on another host has answered."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < patience:
        # Listing makes an NFS client ask its server anew (nfs(5)).
        if SEEN in os.listdir(job.path):
            return passed
        time.sleep(0.02)
    return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _failures(order: Order) -> dict[str, str]:
    found = {}
    for name in order.modules:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            lines = str(error).splitlines() or [""]
            found[name] = f"{type(error).__name__}: {lines[0]}"[:300]
    return found


def _missing(path: Path) -> str:
    try:
        path.stat()
    except OSError as error:
        return error.strerror or type(error).__name__
    return "" if os.access(path, os.R_OK) else "Permission denied"


def _temporary(folder: Path) -> tuple[str, int]:
    """Room where jobs have their temporary files, and where that is."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
        return str(folder), shutil.disk_usage(folder).free
    except OSError as error:
        return str(error.strerror), 0
