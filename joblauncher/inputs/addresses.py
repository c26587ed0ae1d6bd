"""Which addresses of the Internet Protocol an input may be fetched from.

A client that may name any address would reach, through us, what only we can: services of this host,
of the cluster and of the site, and the metadata service of a cloud, which hands out credentials.
Python's own ``is_global`` differs between its versions, so the special blocks stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Special-purpose blocks (IANA registries after RFC 6890), multicast (RFC 5771), reserved
#: (RFC 1112), and a metadata service that stands outside them. IPv6 blocks inside 2000::/3 only:
#: nothing outside it is a global unicast address (RFC 4291, section 2.4).
_SPECIAL = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",  # Azure
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)
_GLOBAL_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052


def effective(address: Address) -> Address:
    """Where packets to this address arrive: the IPv4 address inside an IPv4-mapped (RFC 4291), 6to4
    (RFC 3056) or NAT64 (RFC 6052) one, otherwise the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: Address) -> bool:
    """Whether the address is a host of the public network, in every form that it can have."""
    found = effective(address)
    if found.version == 6 and found not in _GLOBAL_UNICAST:
        return False
    return not any(found in block for block in _SPECIAL)


def is_inside(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the address, in any form that it can have, is of one of these networks."""
    forms = (address, effective(address))
    return any(form in network for network in networks for form in forms)


def is_allowed(
    address: Address,
    networks: Iterable[Network],
    is_blocked: Callable[[Address], bool] = lambda _: False,
) -> bool:
    """Whether one may connect there.

    Args:
        address: that a name was resolved to.
        networks: that the administrator allows besides public addresses.
        is_blocked: whether a public address does not count as one.
    """
    if is_inside(address, networks):
        return True
    return is_public(address) and not is_blocked(address)


def parse(text: str) -> Address | None:
    """An address as written in a URL or by the resolver; ``None`` if this is a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def split(allowed: Iterable[str]) -> tuple[tuple[Network, ...], frozenset[str]]:
    """Networks and host names of an allow list.

    Args:
        allowed: ``10.1.0.0/16``, ``10.1.2.3``, ``fd00::/8`` or ``data.example.org``.

    Raises:
        ValueError: a network has bits set behind its prefix, or is none.
    """
    networks, names = [], set()
    for entry in allowed:
        if "/" in entry or parse(entry):
            networks.append(ip_network(entry))
        else:
            names.add(entry.lower().rstrip("."))
    return tuple(networks), frozenset(names)
