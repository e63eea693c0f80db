"""Accepting connections."""

import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from p2pdrive.errors import CallerError, PortInUse
from p2pdrive.net.addresses import WILDCARDS, format_address
from p2pdrive.net.stream import TcpStream

#: Free ports tried until one is free for IPv4 and IPv6 alike.
_FREE_PORT_ATTEMPTS = 16


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on ``host``: a name, an IP address, or a wildcard (addresses.WILDCARDS) for IPv4 and IPv6.

    All listeners have the same port, also where ``port`` is 0 (any free one).
    Raises PortInUse, or CallerError for an address that this machine does not have or may not listen on.
    """
    hosts = await _resolve(host)
    for _ in range(_FREE_PORT_ATTEMPTS):
        try:
            return await _bind_all(hosts, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port:
                raise _explained(error, host, port) from error
    raise CallerError(
        f"no free port was found on {host or 'this machine'}; choose one with --listen HOST:PORT"
    )


async def serve(
    listeners: Sequence[trio.SocketListener], handler: Callable[[TcpStream], Awaitable[None]]
) -> None:
    """Run ``handler`` in a task of its own for each connection, and close that connection at its end.

    Runs until cancelled; goes on when the process runs out of file descriptors. ``handler`` answers for its
    peer's faults itself: an exception out of it ends all.
    """

    async def accepted(stream: trio.SocketStream) -> None:
        await handler(TcpStream(stream.socket))

    await trio.serve_listeners(accepted, list(listeners))


def bound(listeners: Sequence[trio.SocketListener]) -> tuple[str, int]:
    """Host and port that ``listen`` has bound; the host is ``""`` for a wildcard."""
    names = [listener.socket.getsockname() for listener in listeners]
    host, port = str(names[0][0]), int(names[0][1])
    return "" if host in WILDCARDS else host, port


async def _resolve(host: str) -> list[str]:
    if host in ("", "*"):
        return ["0.0.0.0", "::"]  # noqa: S104 (a person asks for it)
    try:
        found = await trio.socket.getaddrinfo(host, None, type=trio.socket.SOCK_STREAM)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CallerError(f"cannot listen on {host!r}: {reason}; give an address of this machine") from error
    return list(dict.fromkeys(_scoped(address) for *_, address in found))


def _scoped(address: tuple[Any, ...]) -> str:
    """``fe80::1%2`` for an IPv6 socket address with a scope, the bare address otherwise."""
    scope = address[3] if len(address) == 4 else 0
    return f"{address[0]}%{scope}" if scope and "%" not in str(address[0]) else str(address[0])


async def _bind_all(hosts: list[str], port: int) -> list[trio.SocketListener]:
    listeners: list[trio.SocketListener] = []
    try:
        for host in hosts:
            try:
                opened = await trio.open_tcp_listeners(port, host=host)
            except OSError as error:
                if listeners and _family_missing(error):
                    continue
                raise
            listeners.extend(opened)
            port = bound(opened)[1]
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


def _family_missing(error: OSError) -> bool:
    """No IPv6 (or no IPv4) on this machine: the other one is enough."""
    return error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def _explained(error: OSError, host: str, port: int) -> CallerError:
    where = format_address(host or "*", port)
    choose = "choose another with --listen HOST:PORT"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"another program listens on {where}: {choose}, or stop that program")
    if error.errno == errno.EACCES:
        return CallerError(f"not allowed to listen on {where}: {choose}, with a port from 1024 on")
    if error.errno == errno.EADDRNOTAVAIL:
        return CallerError(f"cannot listen on {where}: this machine does not have that address; {choose}")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return CallerError(f"cannot listen on {where}: {reason}; {choose}")
