"""Which addresses a host has, which this one has, and which of them an input may come from."""

from __future__ import annotations

import contextlib
import socket
import threading

from joblauncher.inputs import addresses
from joblauncher.inputs.deadline import Deadline
from joblauncher.inputs.hosts import permitted
from joblauncher.inputs.policy import PORTS, UNREACHABLE, Bounds, Refused, Target


def vetted(target: Target, bounds: Bounds, deadline: Deadline) -> list[addresses.Address]:
    """The addresses of a target that one may connect to. There may be none if a proxy is asked.

    Raises:
        Refused: one may connect to none of them, or nobody knows the host.
    """
    try:
        found = resolve(target.host, target.port, deadline.patience())
    except OSError:
        if bounds.proxy:  # which may know names that this host does not
            return []
        raise Refused(UNREACHABLE) from None
    own = _blocked_by_name(bounds, deadline)
    return permitted(
        target.host,
        found,
        bounds,
        lambda address: address in own or is_of_this_host(address),
    )


def _blocked_by_name(bounds: Bounds, deadline: Deadline) -> set[addresses.Address]:
    """Addresses of the names that must not be asked: other names may lead there, too."""
    found: set[addresses.Address] = set()
    for name in addresses.split(bounds.blocked_networks)[1]:
        with contextlib.suppress(OSError):
            known = resolve(name, PORTS["http"], deadline.patience())
            found.update(map(addresses.effective, known))
    return found


def resolve(host: str, port: int, timeout: float) -> list[addresses.Address]:
    """All addresses of a host. The resolver has no time limit, so it is left behind.

    Raises:
        OSError: it has none, or nobody says so in time.
    """
    found: list[addresses.Address] = []

    def ask() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                address = addresses.parse(str(place[0]))
                if address is not None and address not in found:
                    found.append(address)

    resolver = threading.Thread(target=ask, daemon=True)
    resolver.start()
    resolver.join(timeout)
    if not found or resolver.is_alive():
        raise OSError("no address")
    return found


def is_of_this_host(address: addresses.Address) -> bool:
    """Whether an interface of this host has this address: the kernel would send from there what
    goes there (nothing is sent; connect(2), datagram sockets)."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return addresses.parse(str(probe.getsockname()[0])) == address
    except OSError:  # no way leads there
        return False
