"""Which IP addresses are public. Pure; what is not surely public is not.

An address that carries an IPv4 address inside (mapped, 6to4, NAT64, Teredo, ISATAP) leads where that one leads.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["is_public"]

_NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; clouds serve their metadata here, too
        "192.88.99.0/24",  # relays into 6to4
        "168.63.129.16/32",  # a cloud's own services, under an address that looks public
    )
)
_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: str) -> bool:
    """Whether an address, in numbers, is one on the public internet."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _is_public_v4(parsed)
    inner = list(_carried(parsed))
    if not all(_is_public_v4(carried) for carried in inner):
        return False
    wrapped = parsed.ipv4_mapped is not None or parsed in _NAT64
    return wrapped or (parsed in _UNICAST and parsed.is_global and not parsed.is_multicast)


def _is_public_v4(address: IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_loopback or address.is_link_local
    return address.is_global and not special and not any(address in network for network in _NOT_PUBLIC)


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    low = int(address) & (1 << 64) - 1
    if address in _NAT64 or low >> 32 in _ISATAP:
        yield IPv4Address(low & 0xFFFFFFFF)
