"""Byte streams: what a link needs of a connection, and the one over TCP."""

from contextlib import suppress
from typing import Protocol

import trio

from p2pdrive.errors import LinkClosed
from p2pdrive.limits import UNSENT_BYTES
from p2pdrive.net.addresses import format_address

_BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class ByteStream(Protocol):
    """Bytes both ways, in order. A broken stream raises LinkClosed."""

    @property
    def peer_address(self) -> str:
        """Where the other end is, ``host:port``; for people."""

    async def send_all(self, data: bytes | memoryview) -> None:
        """Send all of ``data``; only one task may."""

    async def receive_into(self, view: memoryview) -> int:
        """Put what arrives at the start of ``view``; how many bytes, 0 at the end of the stream.

        When cancelled, nothing has been received.
        """

    async def aclose(self) -> None:
        """Close at once, even when cancelled."""


class TcpStream:
    """A ByteStream over a connected TCP socket, without Nagle's delay."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self._stream = trio.SocketStream(socket)
        with suppress(OSError, AttributeError):  # not on every platform, and only for latency
            socket.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        try:
            self.peer_address = format_address(*socket.getpeername()[:2])
        except OSError:
            self.peer_address = "unknown"  # the peer has gone already; the first read will say so

    async def send_all(self, data: bytes | memoryview) -> None:
        """Raises LinkClosed."""
        try:
            await self._stream.send_all(data)
        except _BROKEN as error:
            raise LinkClosed(f"the connection broke: {error}") from error

    async def receive_into(self, view: memoryview) -> int:
        """Raises LinkClosed."""
        try:
            return await self._stream.socket.recv_into(view)
        except _BROKEN as error:
            raise LinkClosed(f"the connection broke: {error}") from error

    async def aclose(self) -> None:
        """Close the socket."""
        await self._stream.aclose()
