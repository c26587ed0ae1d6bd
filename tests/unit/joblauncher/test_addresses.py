"""Which addresses are public ones, in every form that they can have."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblauncher.inputs import addresses, resolve

SPECIAL = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "198.18.0.1"),
    *("168.63.129.16", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("2001:db8::1", "2001::1", "fec0::1", "64:ff9b:1::1", "100::1", "::7f00:1", "5f00::1"),
]


PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]


def wrappings(address: IPv4Address) -> list[IPv6Address]:
    """The IPv6 addresses through which an IPv4 one is reached."""
    number = int(address)
    return [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
    ]


@pytest.mark.parametrize("text", SPECIAL)
def test_address_that_is_not_public_is_refused_in_every_form(text: str) -> None:
    address = ip_address(text)
    assert not addresses.is_allowed(address, ())
    if isinstance(address, IPv4Address):
        assert not any(addresses.is_allowed(form, ()) for form in wrappings(address))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_address_is_allowed(text: str) -> None:
    assert addresses.is_allowed(ip_address(text), ())


@given(st.ip_addresses(v=4))
def test_a_wrapped_address_is_what_is_inside(address: IPv4Address) -> None:
    for form in wrappings(address):
        assert addresses.is_public(form) == addresses.is_public(address)
        assert addresses.effective(form) == address


@given(st.ip_addresses())
def test_no_address_that_python_calls_special_is_public(address: IPv4Address | IPv6Address) -> None:
    inner = addresses.effective(address)
    special = (
        inner.is_private
        or inner.is_loopback
        or inner.is_link_local
        or inner.is_multicast
        or inner.is_reserved
        or inner.is_unspecified
    )
    assert not (special and addresses.is_public(address))


@given(st.sampled_from([ip_network("10.0.0.0/8"), ip_network("fc00::/7")]), st.data())
def test_an_allowed_network_allows_its_addresses_and_no_others(network: Any, data: Any) -> None:
    inside = data.draw(st.ip_addresses(network=network))
    assert addresses.is_allowed(inside, (network,))
    outside = data.draw(st.ip_addresses(v=network.version))
    if outside not in network:
        assert addresses.is_allowed(outside, (network,)) == addresses.is_public(outside)


def test_an_interface_of_this_host_is_known_by_its_address() -> None:
    assert resolve.is_of_this_host(ip_address("127.0.0.1"))
    assert not resolve.is_of_this_host(ip_address("8.8.8.8"))
    assert not resolve.is_of_this_host(ip_address("2606:4700::1111"))
