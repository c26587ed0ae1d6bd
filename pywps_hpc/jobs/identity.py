"""The written identity by which a spool and a job table know each other.

The same UUID stands in a file of the spool and in the job table. Two services that share one of
the two by mistake, as a copy of a production configuration does, would end each other's jobs; and
an empty folder where a file system is not mounted would look as if all jobs' folders had been
removed.
"""

from __future__ import annotations

import hashlib

from pywps_hpc.errors import ForeignSpool, SettingsError
from pywps_hpc.jobs import JobStore, new_id
from pywps_hpc.settings import Settings
from pywps_hpc.spool import IDENTITY, Spool

#: Name of the fact in the job table, and what stands before a value that the spool may not have.
FACT, PROMISED = "spool", "promised "
#: Jobs whose folders are looked for where nothing is written on either side.
SAMPLE = 100


def service_mark(settings: Settings) -> str:
    """What tells a service from others: how its jobs are run, and its endpoint.

    It is the same for all parts of a service, on whichever host.
    """
    how = repr((settings.defaults, sorted(settings.processes.items())))
    return f"{hashlib.sha256(how.encode()).hexdigest()[:16]} {settings.url}"[:255]


def are_apart(one: str, other: str) -> bool:
    """Whether these are certainly marks of two services: another endpoint, and jobs that would be
    run in another way. One whose configuration was just changed is none."""
    how, _, url = one.partition(" ")
    other_how, _, other_url = other.partition(" ")
    return bool(url and other_url) and url != other_url and how != other_how


def tie(store: JobStore, spool: Spool) -> None:
    """See that spool and job table belong together; from now on :meth:`Spool.require` sees to it.

    Where neither has an identity, both are new or were made by a version that knew none: they get
    one. Several programs may do so at once, also on several hosts.

    Raises:
        ForeignSpool: they do not; nothing is changed.
        SettingsError: the spool cannot be used.
        TableUnavailable: the job table cannot be reached now.
    """
    try:
        identity = _tie(store, spool)
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(f"[hpc] spool: {spool.root} cannot be used: {reason}") from None
    spool.recognise(identity)


def _tie(store: JobStore, spool: Spool) -> str:
    rows = store.recent(SAMPLE)
    with store.facts() as facts:
        known = facts.get(FACT, "")
        if not known:
            if _written(spool):
                raise ForeignSpool(
                    f"[hpc] spool: {spool.root} belongs to another job table than [hpc] database: "
                    "two services need a spool and a database each. If the old table was lost, "
                    f"remove {spool.root / IDENTITY}"
                )
            if rows and not any(spool.open(row.id).path.exists() for row in rows):
                raise ForeignSpool(_absent(spool))
            facts[FACT] = known = PROMISED + new_id()
    if known.startswith(PROMISED):
        # A kill before the end of this leaves the promise, which whoever comes next keeps.
        with store.facts() as facts:
            known = facts[FACT].removeprefix(PROMISED)
            _compare(spool, spool.mark(known), known)
            facts[FACT] = known
    else:
        _compare(spool, _written(spool), known)
    return known


def _compare(spool: Spool, written: str, known: str) -> None:
    if not written:
        raise ForeignSpool(_absent(spool))
    if written != known:
        raise ForeignSpool(
            f"[hpc] spool: {spool.root} is not the spool that [hpc] database belongs to: a copy of "
            "a service, such as one for tests, needs a spool and a database of its own"
        )


def _absent(spool: Spool) -> str:
    return (
        f"[hpc] spool: {spool.root} has none of the jobs in [hpc] database: is its file system "
        f"mounted? (there is no {IDENTITY}). A new spool needs a new database"
    )


def _written(spool: Spool) -> str:
    try:
        return spool.identity()
    except FileNotFoundError:
        return ""
