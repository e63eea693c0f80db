"""What leaves by a link: in order of priority, sealed, one frame ahead of the stream.

Queued messages go before served answers, and those by priority: log, small, bulk. Frames are sealed
by one task in the order in which they are sent, since the session numbers them. An answer's next
frame is produced and sealed in a thread while the one before is on its way, so an urgent message waits for
at most two frames of bulk.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any, Protocol, TypeAlias, TypeVar

import trio

from p2pdrive.limits import FRAME_BYTES_MAX, SEND_BATCH_BYTES
from p2pdrive.wire.connection import Connection, Priority
from p2pdrive.wire.framing import LENGTH_BYTES, SEAL_BYTES
from p2pdrive.wire.messages import Data, Message, encode, payload_of

T = TypeVar("T")
#: Makes the next answer and the parts of its payload; None when there is no more to come.
Produce: TypeAlias = Callable[[], tuple[Message, Sequence[Data]] | None]

#: Room for queued messages, of which the last may be as large as any.
_BUFFER_BYTES = SEND_BATCH_BYTES + LENGTH_BYTES + FRAME_BYTES_MAX


class Offload(Protocol):
    """Runs blocking work: in a thread in production, inline in a simulated world."""

    def __call__(self, work: Callable[..., T], /, *arguments: Any) -> Awaitable[T]:
        """What ``work`` returns or raises."""


class Sealer(Protocol):
    """What a link needs of a session (``p2pdrive.secure.session.Session``)."""

    device: bytes

    def tag(self, drive: bytes) -> bytes:
        """What names a drive on this connection."""

    def seal(self, frame: memoryview) -> None:
        """Make ``[4 spare bytes][plaintext][16 spare bytes]`` the next frame, in place."""

    def open(self, sealed: memoryview) -> memoryview:
        """The plaintext of the next frame, in place. Raises AuthenticationFailed."""


class Outbox:
    """The sending half of a link. ``wake`` it whenever the connection has something new to send."""

    def __init__(self, connection: Connection, session: Sealer, offload: Offload) -> None:
        self._connection = connection
        self._session = session
        self._offload = offload
        self._served: tuple[deque[Produce], ...] = tuple(deque() for _ in Priority)
        self._awake = trio.Event()

    def wake(self) -> None:
        """Look again whether there is something to send."""
        self._awake.set()

    def serve(self, request: int, produce: Produce, *, bulk: bool) -> None:
        """Answer the peer's ``request`` with what ``produce`` gives, as the link has room."""
        priority = Priority.BULK if bulk else self._connection.priority_of_answers(request)
        self._served[priority].append(produce)
        self.wake()

    async def run(self, sealed: trio.MemorySendChannel[memoryview]) -> None:
        """Give frames to ``sealed``, which has no room of its own, until our Close was given."""
        # One buffer is being sent while the other is filled: the channel hands over only when sending ended.
        buffers = cycle([memoryview(bytearray(_BUFFER_BYTES)) for _ in range(2)])
        with suppress(trio.BrokenResourceError):  # nobody sends any more: the stream broke
            async with sealed:
                while frames := await self._next_frames(next(buffers)):
                    await sealed.send(frames)

    async def _next_frames(self, buffer: memoryview) -> memoryview:
        """What to send next, in ``buffer``; waits until there is something. Empty at the end."""
        while True:
            self._awake = trio.Event()
            end = self._seal_queued(buffer)
            if end == 0 and not self._connection.closed:
                end = await self._seal_served(buffer)
            if end or self._connection.closed:
                return buffer[:end]
            await self._awake.wait()

    def _seal_queued(self, buffer: memoryview) -> int:
        end = 0
        while end < SEND_BATCH_BYTES and (plaintext := self._connection.data_to_send()):
            end += _seal_frame(self._session, buffer[end:], [plaintext])
        return end

    async def _seal_served(self, buffer: memoryview) -> int:
        queue = next((queue for queue in self._served if queue), None)
        if queue is None:
            return 0
        made = await self._offload(_make_frame, self._session, queue[0], buffer)
        assert made is not None, "an answer ended before all that was asked for was answered"
        message, end = made
        if self._connection.closed or self._connection.sent(message):
            queue.popleft()
        return end


def _make_frame(session: Sealer, produce: Produce, buffer: memoryview) -> tuple[Message, int] | None:
    """Produce, copy and seal: one piece of work for one thread."""
    made = produce()
    if made is None:
        return None
    message, parts = made
    return message, _seal_frame(session, buffer, [encode(message), payload_of(message), *parts])


def _seal_frame(session: Sealer, buffer: memoryview, parts: Sequence[Data]) -> int:
    """Put the parts of a plaintext into a frame at the start of ``buffer``; the frame's size."""
    at = LENGTH_BYTES
    for part in parts:
        buffer[at : at + len(part)] = part
        at += len(part)
    session.seal(buffer[: at + SEAL_BYTES])
    return at + SEAL_BYTES
