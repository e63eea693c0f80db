"""Network addresses as people and peers write them: ``host:port`` and ``[v6]:port``."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

import ifaddr

from p2pdrive.errors import AddressMalformed
from p2pdrive.limits import ADDRESS_CHARACTERS_MAX, ADDRESSES_MAX

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What ``--listen`` may say for 'all addresses of this machine'.
WILDCARDS = frozenset({"", "*", "0.0.0.0", "::"})  # noqa: S104 (a person asks for it)

_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:]*)):(?P<port>[0-9]{1,5})", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII | re.IGNORECASE)
_ZONE = re.compile(r"[\w.-]{1,32}", re.ASCII)
_CARRIER_NET = ipaddress.ip_network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class Interface:
    """One address of one network interface of this machine, with the network that it is in."""

    index: int
    name: str
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface


def parse_address(text: str, *, listening: bool = False) -> tuple[str, int]:
    """Host (a name, or an IP address without brackets) and port of ``host:port``.

    With ``listening`` the host may be empty or ``*`` (given back as ``""``: all addresses) and the port 0
    (any free one). Raises AddressMalformed.
    """
    match = _ADDRESS.fullmatch(text.strip()) if len(text) <= ADDRESS_CHARACTERS_MAX else None
    if match is None:
        shown = text[:80]
        raise AddressMalformed(
            f"{shown!r} is not an address: write host:port, such as 192.168.1.5:7000 or [fe80::1%eth0]:7000"
        )
    port = int(match["port"])
    if port > 65535 or (port == 0 and not listening):
        raise AddressMalformed(f"{text!r}: a port is a number from {0 if listening else 1} to 65535")
    host = match["v6"] if match["v6"] is not None else match["host"]
    if listening and match["v6"] is None and host in ("", "*"):
        return "", port
    if not (_is_v6(host) if match["v6"] is not None else _is_name_or_v4(host)):
        raise AddressMalformed(f"{text!r}: {host!r} is neither an IP address nor the name of a machine")
    return host, port


def format_address(host: str, port: int) -> str:
    """The text that ``parse_address`` reads: brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ip_of(host: str) -> IPAddress | None:
    """The IP address that ``host`` is, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def local_interfaces() -> list[Interface]:
    """All addresses of this machine's interfaces at this moment, in a stable order."""
    found = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            host = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            address = ipaddress.ip_interface(f"{host}/{entry.network_prefix}")
            found.append(Interface(adapter.index or 0, adapter.name, address))
    return sorted(found, key=lambda each: (each.index, each.address.version, each.address))


def announceable(interfaces: Iterable[Interface], bound_host: str) -> list[Interface]:
    """Those of ``interfaces`` at which others can reach a listener bound to ``bound_host``.

    For a wildcard (and for a name, which may mean any of them): all but loopback and IPv6 link-local, which
    means nothing on another machine; loopback where there is nothing else.
    """
    bound = ip_of(bound_host)
    if bound is not None and bound_host not in WILDCARDS:
        return [each for each in interfaces if each.address.ip == bound]
    usable = [each for each in interfaces if not _is_link_local_v6(each.address.ip)]
    return [each for each in usable if not each.address.ip.is_loopback] or usable


def local_addresses(
    port: int, bound_host: str = "", interfaces: Iterable[Interface] | None = None
) -> list[str]:
    """Where others can reach a listener of this machine, best first; at most limits.ADDRESSES_MAX.

    ``interfaces`` are this machine's at the moment of the call, unless given. A ``bound_host`` that is no
    wildcard is the answer itself.
    """
    if bound_host not in WILDCARDS:
        return [format_address(bound_host, port)]
    here = local_interfaces() if interfaces is None else interfaces
    return ranked(format_address(str(each.address.ip), port) for each in announceable(here, ""))


def ranked(addresses: Iterable[str], networks: Iterable[Network] = ()) -> list[str]:
    """Without repetitions, the most promising first, at most limits.ADDRESSES_MAX.

    First what is in one of ``networks`` (those this machine is in), then private IPv4, public addresses and
    names, carrier and overlay networks, link-local, loopback. The order given decides among equals.
    """
    near = list(networks)
    return sorted(dict.fromkeys(addresses), key=lambda address: _rank(address, near))[:ADDRESSES_MAX]


def _rank(address: str, near: list[Network]) -> int:
    host = address.rpartition(":")[0].strip("[]")
    ip = ip_of(host)
    if ip is None:
        return 2
    if ip.is_loopback:
        return 5
    if any(ip in network for network in near):
        return 0
    if ip.is_link_local:
        return 4
    if ip in _CARRIER_NET:
        return 3
    return 1 if ip.version == 4 and ip.is_private else 2


def _is_v6(host: str) -> bool:
    base, percent, zone = host.partition("%")
    ip = ip_of(base)
    return ip is not None and ip.version == 6 and (not percent or _ZONE.fullmatch(zone) is not None)


def _is_name_or_v4(host: str) -> bool:
    if re.fullmatch(r"[0-9.]+", host):
        return ip_of(host) is not None
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def _is_link_local_v6(ip: IPAddress) -> bool:
    return ip.version == 6 and ip.is_link_local
