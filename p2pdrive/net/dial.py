"""Reaching a peer that may be at any of several addresses."""

import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, overload

import trio

from p2pdrive.errors import AddressMalformed, Unreachable
from p2pdrive.limits import ADDRESSES_MAX, DIAL_STAGGER_SECONDS, DIAL_TIMEOUT_SECONDS
from p2pdrive.net.addresses import parse_address
from p2pdrive.net.stream import ByteStream, TcpStream

StreamT = TypeVar("StreamT", bound=ByteStream)
Connect = Callable[[str, int], Awaitable[StreamT]]


async def connect_tcp(host: str, port: int) -> TcpStream:
    """Connect to one host. Raises OSError."""
    return TcpStream((await trio.open_tcp_stream(host, port)).socket)


@overload
async def dial(addresses: Sequence[str], within: float = ...) -> TcpStream: ...
@overload
async def dial(addresses: Sequence[str], within: float = ..., *, connect: Connect[StreamT]) -> StreamT: ...
async def dial(
    addresses: Sequence[str],
    within: float = DIAL_TIMEOUT_SECONDS,
    *,
    connect: Connect[ByteStream] = connect_tcp,
) -> ByteStream:
    """The first connection that any of ``addresses`` (``host:port``, best first) accepts.

    The next address is tried as soon as the one before failed, and beside it after
    limits.DIAL_STAGGER_SECONDS (RFC 8305). Connections that come second are closed.
    Raises Unreachable, which names each address and why, when none accepts ``within`` that many seconds.
    """
    race = _Race(connect, list(dict.fromkeys(addresses))[:ADDRESSES_MAX])
    with trio.move_on_after(within):
        await race.run()
    if race.winner is None:
        raise Unreachable(race.explanation(within))
    return race.winner


class _Race:
    def __init__(self, connect: Connect[ByteStream], addresses: list[str]) -> None:
        self.winner: ByteStream | None = None
        self._connect = connect
        self._addresses = addresses
        self._failures: dict[str, str] = {}

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for address in self._addresses:
                failed = trio.Event()
                nursery.start_soon(self._attempt, address, failed, nursery.cancel_scope)
                with trio.move_on_after(DIAL_STAGGER_SECONDS):
                    await failed.wait()

    async def _attempt(self, address: str, failed: trio.Event, others: trio.CancelScope) -> None:
        try:
            stream = await self._connect(*parse_address(address))
        except (OSError, AddressMalformed) as error:
            self._failures[address] = _reason(error)
            failed.set()
            return
        if self.winner is not None:
            await stream.aclose()
            return
        self.winner = stream
        others.cancel()

    def explanation(self, within: float) -> str:
        if not self._addresses:
            return "no address of this peer is known; it must reach us, or be on the same network"
        silent = f"no answer in {within:g} s"
        tried = "; ".join(f"{each}: {self._failures.get(each, silent)}" for each in self._addresses)
        return f"no address of this peer answers ({tried}); see whether p2pdrive runs there, and its firewall"


def _reason(error: Exception) -> str:
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    told = cause if isinstance(cause, OSError) else error
    if isinstance(told, OSError) and told.errno is not None and not isinstance(told, socket.gaierror):
        return os.strerror(told.errno).lower()
    return str(getattr(told, "strerror", None) or told)
