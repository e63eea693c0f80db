"""A peer that speaks the wire by hand: a real handshake, and then whatever it likes."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import trio
from blake3 import blake3

from p2pdrive.errors import P2PDriveError
from p2pdrive.model.batch import NO_BATCH, Batch, Header, actor_id, body_root, signed_bytes
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import Change, Content, Kind, Record
from p2pdrive.net.greet import greet
from p2pdrive.node.sharing import make_invite
from p2pdrive.secure.handshake import Handshake
from p2pdrive.secure.identity import Identity
from p2pdrive.secure.invite import Invite
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

NAME = "mallory"
#: Where it says that it is; nobody can dial it.
ADDRESS = "198.51.100.1:4100"
#: Virtual seconds that it waits for anything.
PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.05


class Scribe:
    """Writes batches of one actor, true or forged. ``clock`` is that of all of its records."""

    def __init__(self, drive: bytes, identity: Identity, nonce: bytes, clock: int) -> None:
        self.drive = drive
        self.identity = identity
        self.nonce = nonce
        self.clock = clock
        self.actor = actor_id(identity.device, nonce)
        self.seq = 0
        self.previous = NO_BATCH

    def record(self, path: str, content: Content, **more: Any) -> Record:
        """To be the next in the log; ``vector`` is what it claims to have seen."""
        vector = more.pop("vector", {})
        unplaced = replace(Record(path, content, b"", 0, vector, self.clock), **more)
        return unplaced.placed(self.actor, self.seq + 1)

    def batch(self, *changes: Change, **forged: Any) -> bytes:
        """Signed, and the next in the chain; ``forged`` fields of the header replace the true ones.

        With ``signer`` another device's key signs it.
        """
        signer: Identity = forged.pop("signer", self.identity)
        bodies = [change.encode() for change in changes]
        first, device = self.seq + 1, self.identity.device
        header = Header(
            self.drive,
            device,
            self.nonce,
            NAME,
            first,
            len(bodies),
            self.previous,
            body_root(bodies),
            self.clock,
        )
        header = replace(header, **forged)
        self.seq, self.previous = header.last, header.hash
        signature = signer.sign(signed_bytes(header.encode()))
        return Batch(header, signature, tuple(bodies)).encode()


def small_file(data: bytes, mtime_ns: int = 0) -> Content:
    """What a record says of a file of one block."""
    root = Manifest.single(len(data), blake3(data).digest()).root
    return Content(Kind.FILE, len(data), root, 1, False, mtime_ns)


class ByHand:
    """A device of ``scribe``'s that speaks the wire by hand, over ``stream``.

    ``received`` is what the peer said, ``reason`` why it said goodbye; ``over`` is set when the connection
    has ended. ``answers`` says how it answers what it is asked; ``reading`` may be replaced by an event that
    is not set: nothing is read.
    """

    def __init__(self, scribe: Scribe, nursery: trio.Nursery) -> None:
        self.drive = scribe.drive
        self.identity = scribe.identity
        self.scribe = scribe
        self.received: list[Message] = []
        self.reason: str | None = None
        self.over = trio.Event()
        self.reading = trio.Event()
        self.reading.set()
        self.batches: list[bytes] = []
        self.blocks: dict[bytes, bytes] = {}
        self.manifests: dict[bytes, bytes] = {}
        self.answers: dict[type[Message], Callable[[Any], Message | None]] = {
            Pull: lambda pull: self._give_batches(pull.request),
            GetBlocks: self._give_blocks,
            GetManifests: self._give_manifests,
            Ping: lambda ping: Pong(ping.token),
        }
        self.session: Session
        self.stream: Any
        self._nursery = nursery

    async def greet(self, random: Callable[[int], bytes]) -> None:
        """A handshake that is in order. Raises P2PDriveError if nobody answers."""
        handshake = Handshake.initiate(self.identity, random)
        self.session = await greet(self.stream, handshake)
        self._nursery.start_soon(self._read, handshake.trailing_data)

    async def join(self, invite: Invite) -> None:
        """Ask to become a member."""
        await self.send(Drives((self.tag,)))
        proof = invite.prove(self.identity.device, NAME)
        await self.send(Join(self.tag, NAME, proof, invite.public))

    @property
    def tag(self) -> bytes:
        """Names the drive on this connection."""
        return self.session.tag(self.drive)

    async def send(self, message: Message) -> None:
        """A message that is in order."""
        await self.send_plaintext(encode(message) + bytes(payload_of(message)))

    async def send_plaintext(self, plaintext: bytes) -> None:
        """Whatever, sealed."""
        await self.send_raw(self.sealed(plaintext))

    async def send_raw(self, data: bytes) -> None:
        """Whatever."""
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

    def heard(self, kind: type[Message]) -> list[Any]:
        """What the peer said of this kind."""
        return [message for message in self.received if isinstance(message, kind)]

    def hear(self, message: Message) -> None:
        """Note what the peer says."""
        self.received.append(message)
        if isinstance(message, Close):
            self.reason = message.reason

    # --- how

    async def _read(self, trailing: bytes) -> None:
        framing = Framing()
        with suppress(P2PDriveError):
            for sealed in framing.receive_data(trailing):
                await self._take(sealed)
            while count := await self.stream.receive_into(framing.space()):
                framing.filled(count)
                for sealed in framing.frames():
                    await self._take(sealed)
                await self.reading.wait()
        with suppress(P2PDriveError):
            await self.stream.aclose()
        self.over.set()

    async def _take(self, sealed: memoryview) -> None:
        message = decode(self.session.open(sealed))
        self.hear(message)
        answer = self.answers.get(type(message), lambda _: None)(message)
        if answer is not None:
            await self.send(answer)

    def _give_batches(self, request: int) -> Batches:
        return Batches(request, False, tuple(map(len, self.batches)), b"".join(self.batches))

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


class Mallory(ByHand):
    """Somebody at odds with ``victim``, a machine of ``world`` whose drive is open."""

    def __init__(self, world: Any, victim: Any, random: Random, nursery: trio.Nursery) -> None:
        drive, identity = victim.drive.replica.drive, Identity(random.randbytes(32))
        clock = world.now_ns() // 1_000_000 << 16
        super().__init__(Scribe(drive, identity, random.randbytes(16), clock), nursery)
        self.world = world
        self.victim = victim
        self.random = random
        self.member = False

    async def connect(self) -> None:
        """A handshake that is in order. Raises P2PDriveError if nobody answers."""
        await self.dial()
        await self.greet(self.random.randbytes)
        await self.send(Hello(VERSION, NAME, "by hand", 0, ()))

    async def come_back(self) -> None:
        """Connect once more, if the victim has thrown us out."""
        if self.over.is_set():
            self.over = trio.Event()
            self.received.clear()
            await self.connect()
            await self.send(Drives((self.tag,)))

    async def dial(self) -> None:
        """Only a stream."""
        self.stream = await self.world.network.dial(NAME, ADDRESS, [self.victim.address])

    async def enter(self, role: str) -> bool:
        """Connect, and become a member through an invite; whether that came about."""
        admin = next((m for m in self.world.machines if m.drive is not None and m.role == "admin"), None)
        if admin is None:
            return False
        invite = make_invite(admin.drive.replica, role, 1, 0, [admin.address])
        admin.drive.exchange.announce()
        if role != "viewer":
            self.world.oracle.guest(self.identity.device, NAME)
        victim, self.victim = self.victim, admin
        await self.connect()
        self.victim = victim if victim.drive is not None else admin
        await self.join(invite)
        self.member = await self.until(lambda: self.heard(Joined))
        return self.member

    async def publish(self, *batches: bytes) -> None:
        """Offer batches, and wait until the victim has asked for them, and a little longer."""
        self.batches += batches
        await self.announce()
        await self.until(lambda: self.heard(Pull))
        await trio.sleep(1)

    async def until(self, condition: Callable[[], object]) -> bool:
        """Wait for it, or for the end of the connection, or of patience; whether it came about."""
        with trio.move_on_after(PATIENCE_SECONDS):
            while not condition() and not self.over.is_set():  # noqa: ASYNC110 - whatever is waited for
                await trio.sleep(_LOOK_SECONDS)
        return bool(condition())

    def hear(self, message: Message) -> None:
        """A stranger that is given anything is one too many."""
        super().hear(message)
        given = isinstance(message, Batches | Blocks | Manifests) and len(payload_of(message))
        if given and not self.member:
            self.world.oracle.leaked(self.identity.device, type(message).__name__)
