"""Byte streams in memory that can be cut: what the machines of a ``World`` are joined by."""

import trio

from p2pdrive.errors import LinkClosed

#: Bytes under way in one direction; more wait for the reader, as in a kernel's buffers.
CAPACITY_BYTES = 256 * 1024


class _Pipe:
    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False
        self.cut = False
        self.stalled = False
        self.moved = trio.Event()

    def wake(self) -> None:
        self.moved.set()
        self.moved = trio.Event()


class MemoryStream:
    """One end of a pair (see ``net/stream.py``)."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe, peer_address: str) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self.peer_address = peer_address

    async def send_all(self, data: bytes | memoryview) -> None:
        pipe, view = self._outgoing, memoryview(data)
        await trio.lowlevel.checkpoint()
        while view:
            if pipe.cut or pipe.ended:
                raise LinkClosed("the stream broke")
            if pipe.stalled:
                return
            room = CAPACITY_BYTES - len(pipe.data)
            if room <= 0:
                await pipe.moved.wait()
                continue
            pipe.data += view[:room]
            view = view[room:]
            pipe.wake()

    async def receive_into(self, view: memoryview) -> int:
        pipe = self._incoming
        await trio.lowlevel.checkpoint()
        while not (pipe.data or pipe.ended or pipe.cut):
            await pipe.moved.wait()
        if pipe.cut:
            raise LinkClosed("the stream broke")
        count = min(len(view), len(pipe.data))
        view[:count] = pipe.data[:count]
        del pipe.data[:count]
        pipe.wake()
        return count

    @property
    def ended(self) -> bool:
        return self._outgoing.ended or self._incoming.ended or self._outgoing.cut

    async def aclose(self) -> None:
        if not self._outgoing.stalled:
            self._outgoing.ended = True
            self._outgoing.wake()
        self._incoming.data.clear()
        self._incoming.ended = True
        self._incoming.wake()

    def cut(self) -> None:
        """The cable is pulled: what is under way is lost."""
        for pipe in (self._incoming, self._outgoing):
            pipe.cut = True
            pipe.wake()

    def stall(self) -> None:
        """The other side is gone without a word: nothing arrives any more, and nobody says so."""
        for pipe in (self._incoming, self._outgoing):
            pipe.stalled = True


def stream_pair(one: str, other: str) -> tuple[MemoryStream, MemoryStream]:
    """Two ends; ``one`` and ``other`` are the addresses of those who hold them."""
    there, back = _Pipe(), _Pipe()
    return MemoryStream(back, there, other), MemoryStream(there, back, one)
