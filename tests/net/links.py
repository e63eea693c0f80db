"""Two links that talk to each other over a stream in memory, and handlers for them."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from p2pdrive.errors import LinkClosed
from p2pdrive.limits import BLOCK_BYTES_MAX
from p2pdrive.net.greet import greet
from p2pdrive.net.link import Link
from p2pdrive.net.stream import ByteStream
from p2pdrive.secure.handshake import Handshake
from p2pdrive.secure.identity import Identity
from p2pdrive.wire.messages import Batches, Blocks, Data, GetBlocks, Hello, Message, Pull

TAG = b"T" * 8
ANNA, BERTA = Identity(b"a" * 32), Identity(b"b" * 32)


def random(size: int) -> bytes:
    """Fixed bytes do for tests: every handshake here is between the same two."""
    return hashlib.blake2b(b"test", digest_size=size).digest()


async def inline(work: Callable[..., Any], *arguments: Any) -> Any:
    await trio.lowlevel.checkpoint()
    return work(*arguments)


class MemoryStream:
    """One end of a pair in memory that holds any number of bytes; it may be told to stop sending."""

    peer_address = "memory:1"

    def __init__(self, pipe: trio.abc.Stream) -> None:
        self.pipe: Any = pipe
        self.stuck = False

    async def send_all(self, data: bytes | memoryview) -> None:
        if self.stuck:
            await trio.sleep_forever()
        try:
            await self.pipe.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkClosed("broken") from error

    async def receive_into(self, view: memoryview) -> int:
        try:
            data = await self.pipe.receive_some(len(view))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkClosed("broken") from error
        view[: len(data)] = data
        return len(data)

    async def aclose(self) -> None:
        await self.pipe.aclose()


def hello(name: str) -> Hello:
    return Hello(1, name, "p2pdrive 0.1.0", 22067, ())


async def linked(near: ByteStream, far: ByteStream, offload: Any = inline) -> tuple[Link, Link]:
    made: dict[str, Link] = {}

    async def end(stream: ByteStream, handshake: Handshake, name: str) -> None:
        session = await greet(stream, handshake)
        made[name] = Link(
            stream,
            session,
            hello(name),
            offload,
            initiated=name == "anna",
            trailing=handshake.trailing_data,
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end, near, Handshake.initiate(ANNA, random), "anna")
        nursery.start_soon(end, far, Handshake.respond(BERTA, random, lambda _: None), "berta")
    return made["anna"], made["berta"]


def memory_streams() -> tuple[MemoryStream, MemoryStream]:
    near, far = trio.testing.memory_stream_pair()
    return MemoryStream(near), MemoryStream(far)


class Heard:
    """A handler that keeps what it gets, and answers as ``react`` says."""

    def __init__(self, react: Callable[[Link, Message], Awaitable[None]] | None = None) -> None:
        self.messages: list[Message] = []
        self.ended: Exception | str | None = "running"
        self._react = react

    async def __call__(self, link: Link, message: Message) -> None:
        self.messages.append(message)
        if self._react:
            await self._react(link, message)

    async def run(self, link: Link) -> None:
        try:
            await link.run(self)
            self.ended = None
        except Exception as error:  # noqa: BLE001 - what it is, the tests say
            self.ended = error


@asynccontextmanager
async def running(
    anna: Link,
    berta: Link,
    anna_hears: Heard | None = None,
    berta_hears: Heard | None = None,
    within: float = 60,
) -> AsyncIterator[None]:
    with trio.fail_after(within):
        async with trio.open_nursery() as nursery:
            nursery.start_soon((anna_hears or Heard()).run, anna)
            nursery.start_soon((berta_hears or Heard()).run, berta)
            yield
            anna.close("the test is over")


def serving(content: dict[bytes, bytes], bundle: int = 1, bulk: bool = True) -> Heard:
    async def react(link: Link, message: Message) -> None:
        if isinstance(message, GetBlocks):
            link.serve(message.request, producer(message), bulk=bulk)
        elif isinstance(message, Pull):
            link.send(Batches(message.request, False, (4,), b"fast"))

    def producer(asked: GetBlocks) -> Callable[[], tuple[Message, list[Data]]]:
        left = list(enumerate(asked.blocks))

        def produce() -> tuple[Message, list[Data]]:
            now = [left.pop(0) for _ in range(min(bundle, len(left)))]
            held = [(index, content[block]) for index, block in now if block in content]
            missing = tuple(index for index, block in now if block not in content)
            pieces = tuple((index, len(data)) for index, data in held)
            return Blocks(asked.request, pieces, missing, not left), [data for _, data in held]

        return produce

    return Heard(react)


def some_blocks(count: int, size: int) -> dict[bytes, bytes]:
    return {bytes([number]) * 32: bytes([number]) * size for number in range(count)}


async def fetched(link: Link, blocks: list[bytes]) -> dict[bytes, bytes]:
    found = {}
    async with link.request(GetBlocks(TAG, 0, tuple(blocks)), allowance=16 * BLOCK_BYTES_MAX) as answers:
        async for answer in answers:
            at = 0
            for index, length in answer.pieces:
                found[blocks[index]] = bytes(answer.payload[at : at + length])
                at += length
    return found
