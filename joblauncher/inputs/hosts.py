"""From which hosts a client may have something fetched, and with which headers."""

from __future__ import annotations

import re
from collections.abc import Callable

from joblauncher.inputs import addresses
from joblauncher.inputs.policy import UNREACHABLE, Bounds, Reference, Refused, parse

#: RFC 9110, section 5.6.2 (token), and what a header's value may hold.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}"
_VALUE = r"[\t\x20-\x7e\x80-\xff]{0,4000}"
#: Headers of the connection and the framing, which we set (RFC 9110, sections 7.2, 7.6 and 8.6).
_OURS = (
    r"(?i:host|connection|content-(length|encoding)|transfer-encoding|te|trailer|upgrade|expect"
    r"|keep-alive|range|accept-encoding|proxy-.*)"
)
MAX_HEADERS = 20


def vet(reference: Reference, bounds: Bounds) -> None:
    """Check all that can be checked without a resolver or a connection.

    Raises:
        Refused: it can never be fetched.
    """
    for url in (reference.url, *filter(None, [reference.body_url])):
        target = parse(url, bounds)
        literal = addresses.parse(target.host)
        if literal is not None:
            permitted(target.host, [literal], bounds)
        elif is_blocked(target.host, bounds) and not addresses.split(bounds.allowed_networks)[0]:
            raise Refused(UNREACHABLE)  # with networks, its address may be in one
    try:
        (reference.body or "").encode()
    except UnicodeError:
        raise Refused("its body is not text") from None
    if len(reference.headers) > MAX_HEADERS:
        raise Refused(f"at most {MAX_HEADERS} headers can be sent")
    for name, value in reference.headers:
        is_ours = re.fullmatch(_OURS, name)
        if is_ours or not re.fullmatch(_TOKEN, name) or not re.fullmatch(_VALUE, value):
            raise Refused("it has a header that cannot be sent")


def is_blocked(host: str, bounds: Bounds) -> bool:
    """Whether a host is refused by its name, whatever its addresses are."""
    return host in addresses.split(bounds.blocked_networks)[1] and (
        host not in addresses.split(bounds.allowed_networks)[1]
    )


def permitted(
    host: str,
    found: list[addresses.Address],
    bounds: Bounds,
    is_own: Callable[[addresses.Address], bool] = lambda _: False,
) -> list[addresses.Address]:
    """Those addresses of a host that one may connect to.

    Args:
        host: its name, or its address.
        found: its addresses.
        bounds: the limits.
        is_own: whether an address belongs to this host, or to the service's.

    Raises:
        Refused: none of them; the message does not tell whether there is such a host.
    """
    networks, names = addresses.split(bounds.allowed_networks)
    if host in names:
        return found
    blocked, _ = addresses.split(bounds.blocked_networks)
    is_host_blocked = is_blocked(host, bounds)

    def counts_as_inside(address: addresses.Address) -> bool:
        return (
            is_host_blocked
            or addresses.is_inside(address, blocked)
            or is_own(addresses.effective(address))
        )

    allowed = [
        address for address in found if addresses.is_allowed(address, networks, counts_as_inside)
    ]
    # A proxy chooses among them by itself.
    if not allowed or (bounds.proxy and allowed != found):
        raise Refused(UNREACHABLE)
    return allowed
