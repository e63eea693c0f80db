"""A peer that speaks the wire by hand (``lab/hostile.py``), in the world of these tests."""

from typing import Any

import msgpack

from p2pdrive.lab.hostile import ByHand, Scribe, small_file
from p2pdrive.model.record import Content
from p2pdrive.secure.identity import Identity
from p2pdrive.wire.messages import VERSION, Drives, Hello, Joined, Pull
from tests.engine.pipes import stream_pair
from tests.engine.world import EPOCH_NS, Machine, World

CLOCK = EPOCH_NS // 1_000_000 << 16


def scribe_of(drive: bytes, identity: Identity, nonce: bytes = b"n" * 16) -> Scribe:
    return Scribe(drive, identity, nonce, CLOCK)


def content_of(data: bytes) -> Content:
    """Of a small file."""
    return small_file(data, EPOCH_NS)


class Mallory(ByHand):
    """A device with a real key, at odds with ``victim``."""

    def __init__(self, world: World, victim: Machine) -> None:
        super().__init__(scribe_of(victim.replica.drive, Identity(b"mallory." * 4)), world.nursery)
        self.world = world
        self.victim = victim

    async def connect(self) -> None:
        """A handshake that is in order."""
        self.stream, far = stream_pair("198.51.100.1:4100", self.victim.address)
        self.world.nursery.start_soon(self.victim.connections.accept, far)
        await self.greet(self.victim.random.randbytes)

    async def enter(self, role: str | None = "editor") -> None:
        """Connect, greet, and become a member, unless ``role`` is None."""
        await self.connect()
        await self.send(Hello(VERSION, "mallory", "by hand", 0, ()))
        if role is None:
            await self.send(Drives((self.tag,)))
        else:
            await self.join(self.victim.invite(role))
            await self.world.until(lambda: self.heard(Joined), "being let in")
        await self.world.quiet()

    @property
    def log(self) -> list[tuple[int, bytes]]:
        """(seq, record) that the victim holds of us."""
        dots = self.victim.dots()
        return sorted((seq, data) for (actor, seq), data in dots.items() if actor == self.scribe.actor)

    async def publish(self, *batches: bytes) -> None:
        """Offer batches, and wait until the victim has dealt with them."""
        self.batches += batches
        await self.announce()
        await self.world.until(lambda: self.heard(Pull) or self.over.is_set(), "being asked")
        await self.world.quiet()

    async def thrown_out(self) -> str:
        """The reason that the victim gives."""
        await self.world.until(self.over.is_set, "being thrown out")
        return self.reason or ""


def header_of(*values: Any) -> bytes:
    """A plaintext with any header at all."""
    packed: bytes = msgpack.packb(values)
    return len(packed).to_bytes(4, "big") + packed
