"""A peer that speaks the wire by hand: a real handshake, and then whatever it likes."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgpack
import trio
from blake3 import blake3

from p2pdrive.errors import P2PDriveError
from p2pdrive.model.batch import NO_BATCH, Batch, Header, actor_id, body_root, signed_bytes
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import Change, Content, Kind, Record
from p2pdrive.net.greet import greet
from p2pdrive.secure.handshake import Handshake
from p2pdrive.secure.identity import Identity
from p2pdrive.secure.session import Session
from p2pdrive.wire.framing import Framing
from p2pdrive.wire.messages import (
    VERSION,
    Announce,
    Batches,
    Blocks,
    Close,
    Drives,
    GetBlocks,
    GetManifests,
    Hello,
    Join,
    Joined,
    Manifests,
    Message,
    Ping,
    Pong,
    Pull,
    decode,
    encode,
    payload_of,
)
from tests.engine.pipes import MemoryStream, stream_pair
from tests.engine.world import EPOCH_NS, Machine, World

CLOCK = EPOCH_NS // 1_000_000 << 16


class Scribe:
    """Writes batches of one actor, true or forged."""

    def __init__(self, drive: bytes, identity: Identity, nonce: bytes = b"n" * 16) -> None:
        self.drive = drive
        self.identity = identity
        self.nonce = nonce
        self.actor = actor_id(identity.device, nonce)
        self.seq = 0
        self.previous = NO_BATCH

    def record(self, path: str, content: Content, **more: Any) -> Record:
        """To be the next in the log; ``vector`` is what it claims to have seen."""
        vector = more.pop("vector", {})
        return replace(Record(path, content, b"", 0, vector, CLOCK), **more).placed(self.actor, self.seq + 1)

    def batch(self, *changes: Change, **forged: Any) -> bytes:
        """Signed, and the next in the chain; ``forged`` fields of the header replace the true ones.

        With ``signer`` another device's key signs it.
        """
        signer: Identity = forged.pop("signer", self.identity)
        bodies = [change.encode() for change in changes]
        root = body_root(bodies)
        name, device = "mallory", self.identity.device
        first, previous = self.seq + 1, self.previous
        header = Header(self.drive, device, self.nonce, name, first, len(bodies), previous, root, CLOCK)
        header = replace(header, **forged)
        self.seq, self.previous = header.last, header.hash
        signature = signer.sign(signed_bytes(header.encode()))
        return Batch(header, signature, tuple(bodies)).encode()


def content_of(data: bytes) -> Content:
    """Of a small file."""
    root = Manifest.single(len(data), blake3(data).digest()).root
    return Content(Kind.FILE, len(data), root, 1, False, EPOCH_NS)


class Mallory:
    """A device with a real key. ``received`` is what the victim said; ``reason`` why it said goodbye."""

    def __init__(self, world: World, victim: Machine) -> None:
        self.world = world
        self.victim = victim
        self.drive = victim.replica.drive
        self.identity = Identity(b"mallory." * 4)
        self.scribe = Scribe(self.drive, self.identity)
        self.received: list[Message] = []
        self.reason: str | None = None
        self.over = trio.Event()
        self.reading = trio.Event()  # replaced by a new one: from then on nothing is read
        self.reading.set()
        self.batches: list[bytes] = []
        self.blocks: dict[bytes, bytes] = {}
        self.manifests: dict[bytes, bytes] = {}
        self.answers: dict[type[Message], Callable[[Any], Message | None]] = {
            Pull: lambda pull: self._give(pull.request, self.batches),
            GetBlocks: self._give_blocks,
            GetManifests: self._give_manifests,
            Ping: lambda ping: Pong(ping.token),
        }
        self.session: Session
        self.stream: MemoryStream

    # --- coming in

    async def connect(self) -> None:
        """A handshake that is in order."""
        self.stream, far = stream_pair("198.51.100.1:4100", self.victim.address)
        self.world.nursery.start_soon(self.victim.connections.accept, far)
        handshake = Handshake.initiate(self.identity, self.victim.random.randbytes)
        self.session = await greet(self.stream, handshake)
        self.world.nursery.start_soon(self._read, handshake.trailing_data)

    async def enter(self, role: str | None = "editor") -> None:
        """Connect, greet, and become a member, unless ``role`` is None."""
        await self.connect()
        await self.send(Hello(VERSION, "mallory", "by hand", 0, ()))
        await self.send(Drives((self.tag,)))
        if role is not None:
            invite = self.victim.invite(role)
            proof = invite.prove(self.identity.device, "mallory")
            await self.send(Join(self.tag, "mallory", proof, invite.public))
            await self.world.until(lambda: self.heard(Joined), "being let in")
        await self.world.quiet()

    @property
    def tag(self) -> bytes:
        return self.session.tag(self.drive)

    @property
    def log(self) -> list[tuple[int, bytes]]:
        """(seq, record) that the victim holds of us."""
        dots = self.victim.dots()
        return sorted((seq, data) for (actor, seq), data in dots.items() if actor == self.scribe.actor)

    # --- talking

    async def send(self, message: Message) -> None:
        """A message that is in order."""
        await self.send_plaintext(encode(message) + bytes(payload_of(message)))

    async def send_plaintext(self, plaintext: bytes) -> None:
        await self.send_raw(self.sealed(plaintext))

    async def send_raw(self, data: bytes) -> None:
        with suppress(P2PDriveError):  # thrown out already
            await self.stream.send_all(data)

    def sealed(self, plaintext: bytes) -> bytes:
        """The next frame."""
        frame = bytearray(bytes(4) + plaintext + bytes(16))
        self.session.seal(frame)
        return bytes(frame)

    async def announce(self, *more: tuple[bytes, int, bytes]) -> None:
        """Say that we hold our own log, and ``more``."""
        own = ((self.scribe.actor, self.scribe.seq, self.scribe.previous),) if self.scribe.seq else ()
        await self.send(Announce(self.tag, (*own, *more), True, True))

    async def publish(self, *batches: bytes) -> None:
        """Offer batches, and wait until the victim has dealt with them."""
        self.batches += batches
        await self.announce()
        await self.world.until(lambda: self.heard(Pull) or self.over.is_set(), "being asked")
        await self.world.quiet()

    def heard(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.received if isinstance(message, kind)]

    async def thrown_out(self) -> str:
        """The reason that the victim gives."""
        await self.world.until(self.over.is_set, "being thrown out")
        return self.reason or ""

    # --- how

    async def _read(self, trailing: bytes) -> None:
        framing = Framing()
        try:
            for sealed in framing.receive_data(trailing):
                await self._take(sealed)
            while count := await self.stream.receive_into(framing.space()):
                framing.filled(count)
                for sealed in framing.frames():
                    await self._take(sealed)
                await self.reading.wait()
        except P2PDriveError:
            pass
        await self.stream.aclose()
        self.over.set()

    async def _take(self, sealed: memoryview) -> None:
        message = decode(self.session.open(sealed))
        self.received.append(message)
        if isinstance(message, Close):
            self.reason = message.reason
        answer = self.answers.get(type(message), lambda _: None)(message)
        if answer is not None:
            await self.send(answer)

    def _give(self, request: int, batches: list[bytes]) -> Batches:
        return Batches(request, False, tuple(map(len, batches)), b"".join(batches))

    def _give_blocks(self, asked: GetBlocks) -> Blocks:
        held = [self.blocks.get(block) for block in asked.blocks]
        found = [(index, data) for index, data in enumerate(held) if data is not None]
        missing = tuple(index for index, data in enumerate(held) if data is None)
        pieces = tuple((index, len(data)) for index, data in found)
        return Blocks(asked.request, pieces, missing, True, b"".join(data for _, data in found))

    def _give_manifests(self, asked: GetManifests) -> Manifests:
        found = [self.manifests.get(root) for root in asked.roots]
        sizes = tuple(-1 if packed is None else len(packed) for packed in found)
        return Manifests(asked.request, sizes, b"".join(packed or b"" for packed in found))


def header_of(*values: object) -> bytes:
    """A plaintext with any header at all."""
    packed: bytes = msgpack.packb(values)
    return len(packed).to_bytes(4, "big") + packed
