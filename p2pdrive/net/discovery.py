"""Finding peers that nobody gave us an address of: what discovery is, and what announcements say.

An announcement must not tell a stranger which drives a node has, nor let anyone follow a machine from one
to the next. So it names each drive by a tag: BLAKE3 of a nonce of this announcement, keyed with the drive's
id. Who has the id can make the tag too; nobody else learns more than how many drives there are.

``MdnsDiscovery`` in mdns.py is the real one. What is found is a hint and nothing more: anyone on the network
may announce anything, and only the handshake shows who answers.
"""

import ipaddress
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from blake3 import blake3

from p2pdrive.limits import DISCOVERY_DRIVES_MAX
from p2pdrive.net.addresses import Network, format_address, ip_of, ranked

NONCE_BYTES = 8
TAG_BYTES = 8
_FORMAT = b"1"
#: A string of TXT data holds at most 255 bytes, its ``t0=`` included (RFC 6763, section 6.1).
_TAGS_PER_STRING = 15
_STRINGS_MAX = -(-DISCOVERY_DRIVES_MAX // _TAGS_PER_STRING)
_WILDCARD = b"*"
_NONCE = re.compile(rb"[0-9a-f]{16}")
_TAGS = re.compile(rb"(?:[0-9a-f]{16}){1,15}")


@dataclass(frozen=True, slots=True)
class Found:
    """A node that announces drives which we have too.

    ``instance`` names the announcement: a node makes a new one at each start, and whenever its drives or
    networks change. ``addresses`` are ``host:port``, best first. ``drives`` are ids of ours; all of ours
    where the node has too many to announce.
    """

    instance: str
    addresses: tuple[str, ...]
    drives: frozenset[bytes]


class Discovery(Protocol):
    """Announces this node while its context is open, and says which others are there."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def __aiter__(self) -> AsyncIterator[Found]:
        """Nodes as they appear, or change in a way that makes it worthwhile to dial. May be used up."""

    def known(self) -> tuple[Found, ...]:
        """All nodes that are there now, for who dials again later."""

    def update(self) -> None:
        """The set of our drives has changed: announce it, and look at everything heard so far again."""

    @property
    def problem(self) -> str | None:
        """Why discovery does not work at the moment, for a person; None while it does."""


class NoDiscovery:
    """For nodes that shall neither announce themselves nor listen: finds nothing."""

    problem: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def __aiter__(self) -> AsyncIterator[Found]:
        for found in self.known():
            yield found

    def known(self) -> tuple[Found, ...]:
        """Nobody."""
        return ()

    def update(self) -> None:
        """Nothing is announced."""


def drive_tag(drive: bytes, nonce: bytes) -> bytes:
    """What names ``drive`` (its id) in the announcement with this nonce: TAG_BYTES bytes."""
    key = blake3(drive, derive_key_context="p2pdrive discovery tag").digest()
    return blake3(nonce, key=key).digest(length=TAG_BYTES)


def announcement(drives: Iterable[bytes], nonce: bytes) -> dict[bytes, bytes]:
    """The TXT data of a node that has ``drives`` (RFC 6763, section 6).

    ``v`` the form, ``n`` the nonce in hex, ``t0``, ``t1``... the tags in hex, 15 in each; ``t0=*`` where
    there are more than limits.DISCOVERY_DRIVES_MAX drives. Sorted tags, so that the order tells nothing.
    """
    tags = sorted(drive_tag(drive, nonce) for drive in drives)
    text = {b"v": _FORMAT, b"n": nonce.hex().encode()}
    if len(tags) > DISCOVERY_DRIVES_MAX:
        return text | {b"t0": _WILDCARD}
    runs = [tags[start : start + _TAGS_PER_STRING] for start in range(0, len(tags), _TAGS_PER_STRING)]
    return text | {b"t%d" % index: b"".join(run).hex().encode() for index, run in enumerate(runs)}


def shared_drives(text: Mapping[bytes, bytes | None], drives: Collection[bytes]) -> frozenset[bytes]:
    """Which of ``drives`` an announcement names; none for an announcement that is not of this form."""
    nonce = text.get(b"n")
    if text.get(b"v") != _FORMAT or nonce is None or not _NONCE.fullmatch(nonce):
        return frozenset()
    strings = [text.get(b"t%d" % index) or b"" for index in range(_STRINGS_MAX)]
    if strings[0] == _WILDCARD:
        return frozenset(drives)
    tags: set[bytes] = set()
    for string in strings:
        if _TAGS.fullmatch(string):
            raw = bytes.fromhex(string.decode())
            tags.update(raw[start : start + TAG_BYTES] for start in range(0, len(raw), TAG_BYTES))
    if not tags:
        return frozenset()
    seed = bytes.fromhex(nonce.decode())
    return frozenset(drive for drive in drives if drive_tag(drive, seed) in tags)


def dialable(
    hosts: Iterable[str], port: int, own: Collection[str], networks: Collection[Network]
) -> tuple[str, ...]:
    """The addresses of an announcement that make sense to dial, best first.

    Left out: what is no address of one machine, IPv6 link-local, our own addresses, and loopback unless we
    are on the loopback only ourselves (``networks`` are those that we announce in): nobody on the network
    shall make us talk to other programs on this machine.
    """
    if not 0 < port <= 0xFFFF:
        return ()
    on_loopback = any(network.is_loopback for network in networks)
    usable = [host for host in hosts if _is_usable(host, on_loopback)]
    best_first = ranked((format_address(host, port) for host in usable), networks)
    return tuple(address for address in best_first if address not in own)


def _is_usable(host: str, on_loopback: bool) -> bool:
    ip = ip_of(host)
    if ip is None or ip.is_unspecified or ip.is_multicast or (ip.version == 6 and ip.is_link_local):
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return False
    return on_loopback or not ip.is_loopback
