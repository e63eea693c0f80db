"""The pump between one byte stream and the protocol: an encrypted connection to one device.

The work is done by four tasks in ``run``: one reads and opens frames, one gives messages to the handler,
one seals frames (``outbox``), one sends them. All that waits between them is bounded in bytes:
received messages by INBOX_BYTES_MAX (then nothing is read), queued ones by SEND_QUEUE_BYTES_MAX (then the
peer is given up), answers by what their requests asked for.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar, cast, overload

import trio

from p2pdrive.errors import LinkClosed, PeerError
from p2pdrive.limits import (
    ANSWER_SECONDS,
    CLOSE_SECONDS,
    INBOX_BYTES_MAX,
    KEEPALIVE_SECONDS,
    LINK_DEAD_SECONDS,
    OFFLOAD_BYTES_MIN,
    PROBE_SECONDS,
    REQUEST_BYTES_MAX,
    REQUESTS_OUTSTANDING_MAX,
    SEND_QUEUE_BYTES_MAX,
)
from p2pdrive.net.outbox import Offload, Outbox, Produce, Sealer
from p2pdrive.net.stream import ByteStream
from p2pdrive.net.turns import Turns
from p2pdrive.wire.connection import REQUESTS, Answer, Connection, Key, key_of
from p2pdrive.wire.framing import Framing
from p2pdrive.wire.messages import (
    Batches,
    Blocks,
    GetBlocks,
    GetManifestPart,
    GetManifests,
    Hello,
    Join,
    Joined,
    ManifestPart,
    Manifests,
    Message,
    Ping,
    Pull,
    Refused,
)

AnswerT = TypeVar("AnswerT")
Handler: TypeAlias = Callable[["Link", Message], Awaitable[None]]

#: One place is kept for our Ping.
_REQUESTS_MAX = REQUESTS_OUTSTANDING_MAX - 1


class Link:
    """A connection to ``device``, from the end of the handshake on.

    ``hello`` is our first message; the peer's is the first that the handler gets. ``trailing`` are the bytes
    that arrived behind the handshake.
    """

    def __init__(
        self,
        stream: ByteStream,
        session: Sealer,
        hello: Hello,
        offload: Offload,
        *,
        initiated: bool,
        trailing: bytes = b"",
    ) -> None:
        self.session = session
        self.initiated = initiated
        self.address = stream.peer_address
        self.peer_name = ""  # until its Hello
        self.sent_bytes = 0
        self.received_bytes = len(trailing)
        self._stream = stream
        self._offload = offload
        self._trailing = trailing
        self._connection = Connection()
        self._connection.send(hello)
        #: Whose turn it is to ask for blocks, of all drives.
        self.turns = Turns()
        self._outbox = Outbox(self._connection, session, offload)
        self._requests = count(1)
        self._tokens = count(1)
        self._asked: dict[Key, trio.MemorySendChannel[Answer]] = {}
        self._request_ended = trio.lowlevel.ParkingLot()
        self._answered_at = 0.0  # when an answer last came, or the first of what is asked was
        self._unhandled_bytes = 0
        self._handled = trio.lowlevel.ParkingLot()
        self._silence = trio.CancelScope()  # ends when the peer has been silent for too long
        self._probed = False
        self._reading = trio.CancelScope()
        self._running = trio.CancelScope()
        self._over = False
        self._cause: Exception | None = None

    @property
    def device(self) -> bytes:
        """The peer's device id."""
        return self.session.device

    @property
    def close_reason(self) -> str | None:
        """The reason that the peer gave when it closed the link."""
        return self._connection.peer_reason

    def tag(self, drive: bytes) -> bytes:
        """What names ``drive`` on this link."""
        return self.session.tag(drive)

    def send(self, message: Message) -> None:
        """Queue a message that is no request. Never waits; nothing happens on a link that is ending.

        A peer that lets the queue grow beyond SEND_QUEUE_BYTES_MAX loses the link.
        """
        assert type(message) not in REQUESTS, "requests are for ask() and request()"
        if not self._ending:
            self._connection.send(message)
            self._flush()

    def serve(self, request: int, produce: Produce, *, bulk: bool) -> None:
        """Answer the peer's ``request`` with the messages that ``produce`` makes.

        It is called in ``offload``, whenever the link has room, until it has made the last answer. Its
        messages hold no payload; the parts that it gives with them are copied before the next call.
        """
        if not self._ending:
            self._outbox.serve(request, produce, bulk=bulk)

    @overload
    async def ask(self, request: Pull) -> Batches: ...
    @overload
    async def ask(self, request: GetManifests) -> Manifests: ...
    @overload
    async def ask(self, request: GetManifestPart) -> ManifestPart: ...
    @overload
    async def ask(self, request: Join) -> Joined | Refused: ...
    async def ask(self, request: Pull | GetManifests | GetManifestPart | Join) -> Any:
        """The one answer to ``request``, whose number is given here. Raises LinkClosed."""
        async with self._exchange(request, REQUEST_BYTES_MAX) as answers:
            return await anext(answers)

    def request(
        self, request: GetBlocks, allowance: int = REQUEST_BYTES_MAX
    ) -> AbstractAsyncContextManager["Answers[Blocks]"]:
        """``async with link.request(...) as answers: async for blocks in answers:`` until all is answered.

        The request's number is given here. ``allowance`` is the bytes of the blocks asked for in all; a peer
        that sends more loses the link. Leaving early drops what is still to come. Waits while too many
        requests are under way. Raises LinkClosed from entering and from iterating.
        """
        return self._exchange(request, allowance)

    def close(self, reason: str) -> None:
        """Say Close, and end ``run`` when it was heard, at the latest after CLOSE_SECONDS."""
        self._connection.close(reason)
        self._outbox.wake()
        self._stop_reading_soon()
        self._end_exchanges()

    def probe(self) -> None:
        """The peer may be gone without a word: unless it is heard of in PROBE_SECONDS, the link ends."""
        if not self._ending and not self._probed:
            self._probed = True
            self._silence.deadline = min(self._silence.deadline, trio.current_time() + PROBE_SECONDS)
            self._ping()

    async def run(self, handler: Handler) -> None:
        """Pump until the link ends; ``handler`` is awaited for each message that is no answer, in order.

        The handler may ask on this link, but should not take long: what arrives waits for it meanwhile.
        Returns after a Close from either side. Raises the handler's exception, ProtocolViolation or
        AuthenticationFailed (the peer is told why), and LinkClosed when the stream broke, the peer fell
        silent or does not read.
        """
        sealed, to_send = trio.open_memory_channel[memoryview](0)
        to_handle, received = trio.open_memory_channel[tuple[Message, int]](float("inf"))
        try:
            with self._running:
                async with trio.open_nursery() as writing:
                    writing.start_soon(self._guard, self._outbox.run, sealed)
                    writing.start_soon(self._guard, self._send, to_send)
                    async with trio.open_nursery() as reading:
                        reading.start_soon(self._guard, self._handle, handler, received)
                        reading.start_soon(self._guard, self._read, to_handle)
                    writing.cancel_scope.cancel()
        finally:
            self._over = True
            self._end_exchanges()
            await self._stream.aclose()
        if self._cause is not None:
            raise self._cause

    async def _guard(self, task: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        try:
            await task(*arguments)
        except PeerError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - our own failure: run() raises it when all tasks have ended
            self._cause = error
            self._running.cancel()

    def _fail(self, error: PeerError) -> None:
        """End the link because of the peer, and let it know."""
        if self._cause is None:
            self._cause = error
        self.close(str(error))

    @property
    def _ending(self) -> bool:
        return self._over or self._connection.closed or self._connection.peer_reason is not None

    def _flush(self) -> None:
        self._outbox.wake()
        if self._connection.queued_bytes > SEND_QUEUE_BYTES_MAX:
            self._fail(LinkClosed("the peer does not read what it is sent"))

    def _stop_reading_soon(self) -> None:
        self._reading.deadline = min(self._reading.deadline, trio.current_time() + CLOSE_SECONDS)

    # --- sending

    async def _send(self, to_send: trio.MemoryReceiveChannel[memoryview]) -> None:
        async with to_send:
            async for frames in to_send:
                try:
                    await self._stream.send_all(frames)
                except LinkClosed:
                    # What the peer said before it went may still be read, and tells more.
                    self._stop_reading_soon()
                    return
                self.sent_bytes += len(frames)

    # --- receiving

    async def _read(self, to_handle: trio.MemorySendChannel[tuple[Message, int]]) -> None:
        async with to_handle:
            with self._reading:
                try:
                    await self._receive(to_handle)
                except PeerError as error:
                    self._fail(error)
                    if not isinstance(error, LinkClosed):
                        await self._drain()
            if not self._ending:
                self._fail(LinkClosed("the connection was cut"))
            self._end_exchanges()
        # What was received whole is still handled, for a while.
        self._running.deadline = trio.current_time() + CLOSE_SECONDS

    async def _receive(self, to_handle: trio.MemorySendChannel[tuple[Message, int]]) -> None:
        framing = Framing()
        arrived = framing.receive_data(self._trailing)
        while True:
            for sealed in arrived:
                await self._receive_frame(sealed, to_handle)
                if self._connection.peer_reason is not None:
                    return
            size = await self._receive_into(framing.space())
            if size == 0:
                return
            framing.filled(size)
            arrived = framing.frames()

    async def _receive_frame(
        self, sealed: memoryview, to_handle: trio.MemorySendChannel[tuple[Message, int]]
    ) -> None:
        if len(sealed) >= OFFLOAD_BYTES_MIN:
            plaintext = await self._offload(self.session.open, sealed)
        else:
            plaintext = self.session.open(sealed)
        self._connection.receive_data(plaintext)
        for event in self._connection.events():
            if isinstance(event, Answer):
                self._deliver(event)
                continue
            if isinstance(event, Hello):
                self.peer_name = event.name
            self._unhandled_bytes += len(plaintext)
            to_handle.send_nowait((event, len(plaintext)))
        self._flush()
        while self._unhandled_bytes > INBOX_BYTES_MAX:
            await self._handled.park()

    async def _receive_into(self, view: memoryview) -> int:
        """Bytes received; asks for a sign of life when none comes. Raises LinkClosed when none comes then, or
        the peer lives but answers nothing that it was asked."""
        if self._asked and trio.current_time() > self._answered_at + ANSWER_SECONDS:
            raise LinkClosed(f"the peer answered no request for {ANSWER_SECONDS} seconds")
        began = trio.current_time()
        for seconds in (KEEPALIVE_SECONDS, LINK_DEAD_SECONDS - KEEPALIVE_SECONDS):
            with trio.move_on_after(seconds) as self._silence:
                size = await self._receive_some(view)
                self._probed = False
                return size
            if self._probed:
                break
            self._ping()
        silent = trio.current_time() - began
        raise LinkClosed(f"nothing was heard of the peer for {silent:.0f} seconds")

    def _ping(self) -> None:
        if not self._connection.closed:
            self._connection.send(Ping(next(self._tokens)))
            self._flush()

    async def _receive_some(self, view: memoryview) -> int:
        size = await self._stream.receive_into(view)
        self.received_bytes += size
        return size

    async def _drain(self) -> None:
        """Read on until the peer has heard our Close: a stream closed with bytes unread would lose it."""
        scratch = memoryview(bytearray(OFFLOAD_BYTES_MIN))
        while await self._receive_some(scratch):
            pass

    async def _handle(
        self, handler: Handler, received: trio.MemoryReceiveChannel[tuple[Message, int]]
    ) -> None:
        async for message, size in received:
            await handler(self, message)
            self._unhandled_bytes -= size
            self._handled.unpark_all()

    # --- asking

    @asynccontextmanager
    async def _exchange(
        self, request: Pull | GetManifests | GetManifestPart | GetBlocks | Join, allowance: int
    ) -> AsyncIterator["Answers[Any]"]:
        while self._connection.requests_outstanding >= _REQUESTS_MAX and not self._ending:
            await self._request_ended.park()
        if self._ending:
            raise LinkClosed(self._why_closed())
        if not isinstance(request, Join):
            request = replace(request, request=next(self._requests) & 0xFFFFFFFF)
        deliver, answers = trio.open_memory_channel[Answer](float("inf"))  # bounded by the allowance
        self._connection.send(request, allowance)
        if not self._asked:
            self._answered_at = trio.current_time()
        self._asked[key_of(request)] = deliver
        self._flush()
        with answers:
            yield Answers(answers, self._why_closed)

    def _deliver(self, answer: Answer) -> None:
        self._answered_at = trio.current_time()
        channel = self._asked[answer.key]
        if answer.last:
            del self._asked[answer.key]
            self._request_ended.unpark()
        with suppress(trio.BrokenResourceError):  # nobody waits for it any more
            channel.send_nowait(answer)

    def _end_exchanges(self) -> None:
        for channel in self._asked.values():
            channel.close()
        self._asked.clear()
        self._request_ended.unpark_all()

    def _why_closed(self) -> str:
        reason = self._connection.peer_reason or self._cause
        return f"the link has ended: {reason}" if reason else "the link has ended"


class Answers(Generic[AnswerT]):
    """The answers to one request, as they arrive; iteration ends with the last, or raises LinkClosed."""

    def __init__(self, channel: trio.MemoryReceiveChannel[Answer], why_closed: Callable[[], str]) -> None:
        self._channel = channel
        self._why_closed = why_closed
        self._complete = False

    def __aiter__(self) -> "Answers[AnswerT]":
        return self

    async def __anext__(self) -> AnswerT:
        if self._complete:
            raise StopAsyncIteration
        try:
            answer = await self._channel.receive()
        except trio.EndOfChannel:
            raise LinkClosed(self._why_closed()) from None
        self._complete = answer.last
        return cast(AnswerT, answer.message)  # the connection has checked what answers what
