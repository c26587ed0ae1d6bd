"""How many jobs may be active at once, and whom a limit counts a request for."""

from __future__ import annotations

import ipaddress
from typing import Any

from pywps_hpc.jobs import JobStore, Limit
from pywps_hpc.settings import Settings
from pywps_hpc.settings.owners import Owner
from pywps_hpc.web import health, owners, principal
from pywps_hpc.web.errors import Busy


def admit(settings: Settings, store: JobStore, process: str, http_request: Any) -> None:
    """Turn a job away before anything of it exists.

    Raises:
        NoApplicableCode: with HTTP 403: nobody would pay for it.
        Busy: the service is drained; there is no dispatcher, or only that of another service; or a
            limit is reached.
    """
    owner = owners.of(settings, principal.of(settings, http_request).name)
    client = client_of(settings, http_request)
    found = store.intake(limits(settings, process, client, owner))
    if found.drain is not None:
        raise health.drained(settings, found.drain)
    health.require_alive(settings, found.leader)
    if found.reached is not None:
        raise busy(settings, found.reached)


def busy(settings: Settings, reached: Limit) -> Busy:
    """The answer to a client whose job would be one too many."""
    return Busy(f"{reached} Please try later.", settings.retry_after, "limit")


def limits(settings: Settings, process: str, client: str, owner: Owner) -> list[Limit]:
    """What bounds a job of this process for this client."""
    known = (
        Limit(settings.max_active, "this service"),
        Limit(settings.for_process(process).max_active, "this process", process=process),
        Limit(settings.max_active_per_owner, "one client", client=client),
        Limit(owner.max_active, "your account", client=client),
    )
    return [limit for limit in known if limit.most]


def client_of(settings: Settings, http_request: Any) -> str:
    """Whom the limits count a request for.

    An account, or where nobody logs in the network address as the WSGI server gives it; of IPv6 the
    /64 network, which one machine may have to itself.
    """
    if account := principal.of(settings, http_request).name:
        return f"user {account}"[:255]
    address = http_request.remote_addr or ""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return f"address {address}"[:255]
    if known.version == 6:
        mapped = known.ipv4_mapped
        network = ipaddress.ip_network((known, 64), strict=False)
        return f"address {mapped or network}"
    return f"address {known}"
