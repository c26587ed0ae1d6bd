"""Which addresses may be told of a job: decided from the settings alone, at acceptance and again
before each message is sent."""

from __future__ import annotations

from urllib.parse import urlsplit

from joblauncher.inputs import addresses, hosts, policy
from joblauncher.inputs.policy import UNREACHABLE, Bounds, Reference, Refused
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING, Timing

#: Stands for all public addresses among the hosts.
ANY = "*"
_EVERYWHERE = ("0.0.0.0/0", "::/0")
#: Characters of an address.
LONGEST = 2000


def bounds(settings: Settings, timing: Timing = TIMING) -> Bounds:
    """The bounds of one message."""
    hosts, inputs = settings.callbacks.hosts, settings.inputs
    own = urlsplit(settings.url).hostname or ""
    blocked = (*inputs.blocked_networks, *filter(None, [own.rstrip(".")]))
    return Bounds(
        schemes=("http", "https"),
        allowed_networks=tuple(host for host in hosts if host != ANY),
        blocked_networks=blocked if ANY in hosts else _EVERYWHERE,
        timeout=timing.callback_answer,
        total_timeout=timing.callback_total,
        redirects=0,
        proxy=inputs.proxy,
    )


def check(url: str, settings: Settings) -> None:
    """See whether messages may go there, as far as that can be told without a connection.

    Raises:
        Refused: they may not; the message is for the client.
    """
    allowed = bounds(settings)
    if len(url) > LONGEST:
        raise Refused(f"it has more than {LONGEST} characters")
    hosts.vet(Reference(url), allowed)
    host = policy.parse(url, allowed).host
    _, names = addresses.split(allowed.allowed_networks)
    # Where a name leads is not asked while the client waits: it is listed itself, or all are.
    is_listed = host in names or ANY in settings.callbacks.hosts
    if addresses.parse(host) is None and not is_listed:
        raise Refused(UNREACHABLE)
