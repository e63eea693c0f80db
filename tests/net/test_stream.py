import pytest
import trio

from p2pdrive.errors import LinkClosed
from p2pdrive.net.stream import TcpStream


async def tcp_pair() -> tuple[TcpStream, TcpStream]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        near = await trio.open_tcp_stream("127.0.0.1", port)
        far = await listener.accept()
    return TcpStream(near.socket), TcpStream(far.socket)


async def received(stream: TcpStream, size: int) -> bytes:
    buffer = bytearray(size)
    at = 0
    while at < size and (count := await stream.receive_into(memoryview(buffer)[at:])):
        at += count
    return bytes(buffer[:at])


async def test_bytes_arrive_in_order_and_then_the_end() -> None:
    near, far = await tcp_pair()
    data = bytes(range(256)) * 20_000  # more than the kernel holds at once

    async def send() -> None:
        await near.send_all(data)
        await near.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        assert await received(far, len(data)) == data
    assert await far.receive_into(memoryview(bytearray(1))) == 0
    await far.aclose()


async def test_the_address_of_the_peer_is_given() -> None:
    near, far = await tcp_pair()
    host, _, port = near.peer_address.rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    await near.aclose()
    await far.aclose()


async def test_a_closed_stream_is_a_closed_link() -> None:
    near, far = await tcp_pair()
    await near.aclose()
    with pytest.raises(LinkClosed):
        await near.send_all(b"x")
    with pytest.raises(LinkClosed):
        await near.receive_into(memoryview(bytearray(1)))
    await far.aclose()


async def test_sending_to_one_who_went_is_a_closed_link() -> None:
    near, far = await tcp_pair()
    await far.aclose()
    with pytest.raises(LinkClosed), trio.fail_after(10):
        await near.send_all(bytes(100_000_000))
    await near.aclose()


async def test_a_cancelled_receive_loses_nothing() -> None:
    near, far = await tcp_pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await far.receive_into(memoryview(bytearray(5)))
    assert scope.cancelled_caught
    await near.send_all(b"still")
    assert await received(far, 5) == b"still"
    await near.aclose()
    await far.aclose()
