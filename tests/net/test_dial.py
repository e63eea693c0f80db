import errno
import os
import socket

import pytest
import trio
import trio.testing

from p2pdrive.errors import CallerError, LinkClosed, PortInUse, Unreachable
from p2pdrive.limits import ADDRESSES_MAX, DIAL_STAGGER_SECONDS
from p2pdrive.net.addresses import format_address
from p2pdrive.net.dial import dial
from p2pdrive.net.listen import bound, listen, serve
from p2pdrive.net.stream import TcpStream

NEVER = 1e6


class FakeStream:
    """A connection that only knows whether it was closed."""

    def __init__(self, host: str) -> None:
        self.peer_address = host
        self.closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        raise LinkClosed("not a real stream")

    async def receive_into(self, view: memoryview) -> int:
        return 0

    async def aclose(self) -> None:
        self.closed = True


class FakeNetwork:
    """Hosts that accept, or refuse, after so many seconds of the test's clock."""

    def __init__(
        self, accept: dict[str, float] | None = None, refuse: dict[str, float] | None = None
    ) -> None:
        self.accept = accept or {}
        self.refuse = refuse or {}
        self.attempts: list[tuple[str, float]] = []
        self.streams: list[FakeStream] = []

    async def connect(self, host: str, port: int) -> FakeStream:
        self.attempts.append((host, trio.current_time()))
        if host in self.refuse:
            await trio.sleep(self.refuse[host])
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        await trio.sleep(self.accept.get(host, NEVER))
        self.streams.append(FakeStream(host))
        return self.streams[-1]


class StubbornNetwork(FakeNetwork):
    """One whose connections arrive even when nobody wants them any more."""

    async def connect(self, host: str, port: int) -> FakeStream:
        with trio.CancelScope(shield=True):
            return await super().connect(host, port)


async def test_first_address_that_accepts_at_once_is_the_only_one_tried(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = FakeNetwork(accept={"a": 0.1, "b": 0.1})
    stream = await dial(["a:1", "b:1"], connect=network.connect)
    assert stream.peer_address == "a"
    assert [host for host, _ in network.attempts] == ["a"]


async def test_silent_addresses_are_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    network = FakeNetwork(accept={"c": 0.1})
    began = trio.current_time()
    stream = await dial(["a:1", "b:1", "c:1"], connect=network.connect)
    assert stream.peer_address == "c"
    starts = [round(start - began, 6) for _, start in network.attempts]
    assert starts == [0, DIAL_STAGGER_SECONDS, 2 * DIAL_STAGGER_SECONDS]


async def test_address_after_one_that_refuses_is_tried_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = FakeNetwork(refuse={"a": 0.01}, accept={"b": 0.01})
    began = trio.current_time()
    await dial(["a:1", "b:1"], connect=network.connect)
    assert trio.current_time() - began == pytest.approx(0.02)


async def test_slow_first_address_wins_over_a_slower_second(autojump_clock: trio.testing.MockClock) -> None:
    network = FakeNetwork(accept={"a": 0.4, "b": 5})
    assert (await dial(["a:1", "b:1"], connect=network.connect)).peer_address == "a"


async def test_connections_that_come_second_are_closed(autojump_clock: trio.testing.MockClock) -> None:
    network = StubbornNetwork(accept={"a": 1, "b": 0.5, "c": 0.6})
    stream = await dial(["a:1", "b:1", "c:1"], connect=network.connect)
    assert stream.peer_address == "b"
    assert {each.peer_address: each.closed for each in network.streams} == {"b": False, "a": True, "c": True}


async def test_connection_that_comes_while_the_caller_gives_up_is_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = StubbornNetwork(accept={"a": 1})
    with trio.move_on_after(0.5):
        stream = await dial(["a:1"], connect=network.connect)
    assert network.streams == [stream]
    assert not stream.closed


async def test_error_names_each_address_and_why(autojump_clock: trio.testing.MockClock) -> None:
    network = FakeNetwork(refuse={"a": 0.1})
    with pytest.raises(Unreachable) as caught:
        await dial(["a:1", "b:2", "rubbish"], 5, connect=network.connect)
    message = str(caught.value)
    assert "a:1: connection refused" in message
    assert "b:2: no answer in 5 s" in message
    assert "rubbish: 'rubbish' is not an address" in message


async def test_peer_without_addresses_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="no address of this peer is known"):
        await dial([])


async def test_peer_with_very_many_addresses_has_only_some_tried(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = FakeNetwork(refuse={f"h{index}": 0 for index in range(100)})
    with pytest.raises(Unreachable):
        await dial([f"h{index}:1" for index in range(100)] * 2, connect=network.connect)
    assert len(network.attempts) == ADDRESSES_MAX


# Over the loopback


async def echo(stream: TcpStream) -> None:
    """Send back what comes until the end."""
    view = memoryview(bytearray(64))
    while count := await stream.receive_into(view):
        await stream.send_all(view[:count])


async def test_listener_on_all_addresses_is_reached_by_ipv4_and_ipv6(nursery: trio.Nursery) -> None:
    listeners = await listen("", 0)
    host, port = bound(listeners)
    assert (host, len({listener.socket.getsockname()[1] for listener in listeners})) == ("", 1)
    nursery.start_soon(serve, listeners, echo)
    reached = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
    for listener in listeners:
        stream = await dial([format_address(reached[socket.AddressFamily(listener.socket.family)], port)])
        await stream.send_all(b"hello")
        view = memoryview(bytearray(64))
        assert await stream.receive_into(view) == 5
        await stream.aclose()


async def test_port_zero_takes_a_free_port_that_all_addresses_of_a_name_share() -> None:
    listeners = await listen("localhost", 0)
    assert len({listener.socket.getsockname()[1] for listener in listeners}) == 1
    for listener in listeners:
        await listener.aclose()


async def test_port_in_use_is_named_with_what_to_do() -> None:
    listeners = await listen("127.0.0.1", 0)
    host, port = bound(listeners)
    with pytest.raises(PortInUse, match=f"listens on {host}:{port}: choose another with --listen"):
        await listen(host, port)
    with pytest.raises(PortInUse, match=rf"listens on \*:{port}"):
        await listen("", port)
    await listeners[0].aclose()
    for listener in await listen(host, port):
        await listener.aclose()


async def test_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(CallerError, match="does not have that address"):
        await listen("203.0.113.77", 0)


async def test_name_that_nobody_has_cannot_be_listened_on() -> None:
    with pytest.raises(CallerError, match=r"cannot listen on 'nobody\.invalid'"):
        await listen("nobody.invalid", 0)


async def test_port_that_nobody_listens_on_is_refused_by_name() -> None:
    listeners = await listen("127.0.0.1", 0)
    address = format_address(*bound(listeners))
    await listeners[0].aclose()
    with pytest.raises(Unreachable, match=f"{address}: connection refused"):
        await dial([address])


async def test_name_that_nobody_has_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"nobody\.invalid:7000: [A-Za-z]"):
        await dial(["nobody.invalid:7000"])


async def test_stream_of_a_handler_that_ends_is_closed(nursery: trio.Nursery) -> None:
    async def greet(stream: TcpStream) -> None:
        await stream.send_all(b"bye")

    listeners = await listen("127.0.0.1", 0)
    nursery.start_soon(serve, listeners, greet)
    stream = await dial([format_address(*bound(listeners))])
    view = memoryview(bytearray(64))
    assert [await stream.receive_into(view), await stream.receive_into(view)] == [3, 0]
    await stream.aclose()
