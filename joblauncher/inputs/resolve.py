"""Which addresses a host has, and which this one has."""

from __future__ import annotations

import contextlib
import socket
import threading

from joblauncher.inputs import addresses


def resolve(host: str, port: int, timeout: float) -> list[addresses.Address]:
    """All addresses of a host. The resolver knows no time limit, so it is left behind.

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
