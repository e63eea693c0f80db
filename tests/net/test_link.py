import pytest
import trio
import trio.testing

from p2pdrive.errors import AuthenticationFailed, LinkClosed, ProtocolViolation, RecordRefused
from p2pdrive.limits import (
    BLOCK_BYTES_MAX,
    HANDSHAKE_SECONDS,
    KEEPALIVE_SECONDS,
    LINK_DEAD_SECONDS,
    REQUESTS_OUTSTANDING_MAX,
    SEND_QUEUE_BYTES_MAX,
)
from p2pdrive.net.greet import greet
from p2pdrive.net.link import Link
from p2pdrive.net.stream import TcpStream
from p2pdrive.secure.handshake import Handshake
from p2pdrive.wire.messages import (
    Announce,
    Batches,
    Blocks,
    Data,
    Drives,
    GetBlocks,
    GetManifests,
    Join,
    Manifests,
    Message,
    Ping,
    Pong,
    Pull,
    Refused,
    encode,
)
from tests.net.links import (
    ANNA,
    BERTA,
    TAG,
    Heard,
    fetched,
    hello,
    linked,
    memory_streams,
    random,
    running,
    serving,
    some_blocks,
)


async def test_two_live_ends_greet_and_talk_in_order(autojump_clock: trio.testing.MockClock) -> None:
    anna, berta = await linked(*memory_streams())
    assert (anna.device, berta.device) == (BERTA.device, ANNA.device)
    assert anna.tag(b"d" * 32) == berta.tag(b"d" * 32)
    said = [Drives((TAG,)), Drives(()), Drives((b"U" * 8,))]
    heard = Heard()
    async with running(anna, berta, berta_hears=heard):
        for message in said:
            anna.send(message)
        await trio.testing.wait_all_tasks_blocked()
    assert heard.messages == [hello("anna"), *said]
    assert heard.ended is None
    assert (berta.peer_name, anna.peer_name) == ("anna", "berta")
    assert berta.close_reason == "the test is over"
    assert anna.sent_bytes == berta.received_bytes > 0


async def test_blocks_are_fetched_over_tcp_with_threads() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    near = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
    far = await listener.accept()
    await listener.aclose()
    streams = TcpStream(near.socket), TcpStream(far.socket)
    anna, berta = await linked(*streams, offload=trio.to_thread.run_sync)
    content = some_blocks(12, BLOCK_BYTES_MAX) | {b"s" * 32: b"small"}
    heard = serving(content)
    async with running(anna, berta, berta_hears=heard):
        assert await fetched(anna, list(content)) == content
    assert heard.ended is None
    assert anna.received_bytes == berta.sent_bytes > 12 * BLOCK_BYTES_MAX


async def test_several_requests_at_once_get_their_own_answers(autojump_clock: trio.testing.MockClock) -> None:
    anna, berta = await linked(*memory_streams())
    content = some_blocks(40, 1000)
    async with running(anna, berta, berta_hears=serving(content, bundle=3)):
        results: list[dict[bytes, bytes]] = []

        async def fetch(blocks: list[bytes]) -> None:
            results.append(await fetched(anna, blocks))

        async with trio.open_nursery() as nursery:
            for at in range(0, 40, 4):
                nursery.start_soon(fetch, list(content)[at : at + 4])
    assert {block: data for result in results for block, data in result.items()} == content


async def test_missing_blocks_are_said_to_be_missing(autojump_clock: trio.testing.MockClock) -> None:
    anna, berta = await linked(*memory_streams())
    content = some_blocks(2, 10)
    async with running(anna, berta, berta_hears=serving(content)):
        assert await fetched(anna, [*content, b"?" * 32]) == content


async def test_more_requests_than_allowed_wait_for_their_turn(autojump_clock: trio.testing.MockClock) -> None:
    anna, berta = await linked(*memory_streams())
    content = some_blocks(1, 10)
    count = REQUESTS_OUTSTANDING_MAX * 2
    async with running(anna, berta, berta_hears=serving(content)):
        results = []

        async def fetch() -> None:
            results.append(await fetched(anna, list(content)))

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(fetch)
    assert results == [content] * count


async def test_a_handler_may_ask_on_its_own_link(autojump_clock: trio.testing.MockClock) -> None:
    answers = []

    async def ask_back(link: Link, message: Message) -> None:
        if isinstance(message, Announce):
            answers.append(await link.ask(Pull(TAG, 0, ())))

    anna, berta = await linked(*memory_streams())
    async with running(anna, berta, serving({}), Heard(ask_back)):
        anna.send(Announce(TAG, (), True, True))
        await trio.testing.wait_all_tasks_blocked()
    assert [bytes(answer.payload) for answer in answers] == [b"fast"]


async def test_a_refused_join_is_an_answer(autojump_clock: trio.testing.MockClock) -> None:
    async def refuse(link: Link, message: Message) -> None:
        if isinstance(message, Join):
            link.send(Refused(message.tag, "used up"))

    anna, berta = await linked(*memory_streams())
    async with running(anna, berta, berta_hears=Heard(refuse)):
        answer = await anna.ask(Join(TAG, "anna", bytes(64), bytes(32)))
    assert answer == Refused(TAG, "used up")


async def test_an_urgent_answer_overtakes_bulk(autojump_clock: trio.testing.MockClock) -> None:
    made: list[int] = []

    async def react(link: Link, message: Message) -> None:
        if isinstance(message, Pull):
            link.send(Batches(message.request, False, ()))
        if isinstance(message, GetBlocks):
            number, count = message.request, len(message.blocks)

            def produce() -> tuple[Message, list[Data]]:
                made.append(len(made))
                return Blocks(number, ((made[-1], 10_000),), (), len(made) == count), [bytes(10_000)]

            link.serve(number, produce, bulk=True)

    anna, berta = await linked(*memory_streams())
    async with (
        running(anna, berta, berta_hears=Heard(react)),
        anna.request(GetBlocks(TAG, 0, tuple(bytes([number]) * 32 for number in range(200)))) as answers,
    ):
        await anext(answers)
        await anna.ask(Pull(TAG, 0, ()))
        assert len(made) < 100
        assert len([answer async for answer in answers]) == 199


async def test_small_answers_overtake_bulk_ones(autojump_clock: trio.testing.MockClock) -> None:
    made: list[int] = []

    async def react(link: Link, message: Message) -> None:
        if isinstance(message, GetBlocks):
            left = list(range(len(message.blocks)))
            number, bulk = message.request, len(message.blocks) > 1

            def produce() -> tuple[Message, list[Data]]:
                made.append(number)
                index = left.pop(0)
                return Blocks(number, ((index, 100_000),), (), not left), [bytes(100_000)]

            link.serve(number, produce, bulk=bulk)

    anna, berta = await linked(*memory_streams())
    async with running(anna, berta, berta_hears=Heard(react)), trio.open_nursery() as nursery:
        nursery.start_soon(fetched, anna, [bytes([n]) * 32 for n in range(20)])
        nursery.start_soon(fetched, anna, [b"s" * 32])
    (small,) = [number for number in made if made.count(number) == 1]
    assert made.index(small) < 4


async def test_a_consumer_that_leaves_early_disturbs_nobody(autojump_clock: trio.testing.MockClock) -> None:
    anna, berta = await linked(*memory_streams())
    content = some_blocks(20, 1000)
    anna_hears = Heard()
    async with running(anna, berta, anna_hears, serving(content)):
        with trio.CancelScope() as scope:
            async with anna.request(GetBlocks(TAG, 0, tuple(content))) as answers:
                await anext(answers)
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert await fetched(anna, list(content)) == content
    assert anna_hears.ended is None


async def test_asking_on_a_link_that_closes_midway(autojump_clock: trio.testing.MockClock) -> None:
    async def close(link: Link, message: Message) -> None:
        if isinstance(message, GetBlocks):
            link.close("enough of it")

    anna, berta = await linked(*memory_streams())
    heard = Heard()
    async with running(anna, berta, heard, Heard(close)):
        with pytest.raises(LinkClosed, match="enough of it"):
            await fetched(anna, [b"x" * 32])
        with pytest.raises(LinkClosed):
            await anna.ask(Pull(TAG, 0, ()))
        anna.send(Drives(()))
    assert heard.ended is None


async def test_a_cut_without_close_is_an_error(autojump_clock: trio.testing.MockClock) -> None:
    near, far = memory_streams()
    anna, berta = await linked(near, far)
    heard = Heard()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heard.run, anna)
            nursery.start_soon(Heard().run, berta)
            await trio.testing.wait_all_tasks_blocked()
            await far.aclose()
    assert isinstance(heard.ended, LinkClosed)


async def test_a_message_out_of_order_ends_the_link_and_the_peer_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    near, far = memory_streams()
    anna, berta = await linked(near, far)
    frame = bytearray(bytes(4) + encode(Pong(5)) + bytes(16))
    anna.session.seal(memoryview(frame))  # before Hello
    anna_hears, berta_hears = Heard(), Heard()
    await near.send_all(bytes(frame))
    async with running(anna, berta, anna_hears, berta_hears):
        await trio.testing.wait_all_tasks_blocked()
    assert isinstance(berta_hears.ended, ProtocolViolation)
    assert anna_hears.ended is None
    assert "Pong may not be said" in (anna.close_reason or "")


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 100, (50).to_bytes(4, "big") + bytes(50)], ids=["length", "seal"]
)
async def test_garbage_ends_the_link(garbage: bytes, autojump_clock: trio.testing.MockClock) -> None:
    near, far = memory_streams()
    anna, berta = await linked(near, far)
    berta_hears = Heard()
    await near.send_all(garbage)
    async with running(anna, berta, berta_hears=berta_hears):
        await trio.testing.wait_all_tasks_blocked()
    assert isinstance(berta_hears.ended, ProtocolViolation | AuthenticationFailed)


async def test_a_replayed_frame_ends_the_link(autojump_clock: trio.testing.MockClock) -> None:
    near, far = memory_streams()
    anna, berta = await linked(near, far)
    frame = bytearray(bytes(4) + encode(hello("anna")) + bytes(16))
    anna.session.seal(memoryview(frame))
    berta_hears = Heard()
    await near.send_all(bytes(frame + frame))
    async with running(anna, berta, berta_hears=berta_hears):
        await trio.testing.wait_all_tasks_blocked()
    assert berta_hears.messages == [hello("anna")]
    assert isinstance(berta_hears.ended, AuthenticationFailed)


async def test_a_handler_that_refuses_ends_the_link_with_its_reason(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def refuse(link: Link, message: Message) -> None:
        if isinstance(message, Announce):
            raise RecordRefused("a viewer may not write")

    anna, berta = await linked(*memory_streams())
    berta_hears = Heard(refuse)
    async with running(anna, berta, berta_hears=berta_hears):
        anna.send(Announce(TAG, (), True, True))
        await trio.testing.wait_all_tasks_blocked()
    assert isinstance(berta_hears.ended, RecordRefused)
    assert anna.close_reason == "a viewer may not write"


async def test_a_mistake_of_our_handler_comes_out_of_run(autojump_clock: trio.testing.MockClock) -> None:
    async def fail(link: Link, message: Message) -> None:
        raise ZeroDivisionError

    anna, berta = await linked(*memory_streams())
    berta_hears = Heard(fail)
    async with running(anna, berta, berta_hears=berta_hears):
        await trio.testing.wait_all_tasks_blocked()
    assert isinstance(berta_hears.ended, ZeroDivisionError)


async def test_an_idle_link_is_kept_alive(autojump_clock: trio.testing.MockClock) -> None:
    anna, berta = await linked(*memory_streams())
    heard = Heard()
    async with running(anna, berta, heard):
        before = anna.sent_bytes
        with trio.CancelScope(shield=True):
            await trio.sleep(LINK_DEAD_SECONDS)
        assert heard.ended == "running"
        pings = (anna.sent_bytes - before) / (len(encode(Ping(1))) + 20)
        assert pings <= 2 * LINK_DEAD_SECONDS / KEEPALIVE_SECONDS
    assert heard.ended is None


async def test_a_silent_peer_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    anna, _ = await linked(*memory_streams())
    heard = Heard()
    start = trio.current_time()
    await heard.run(anna)
    assert isinstance(heard.ended, LinkClosed)
    assert "45 seconds" in str(heard.ended)
    assert LINK_DEAD_SECONDS <= trio.current_time() - start <= LINK_DEAD_SECONDS + 5


async def test_a_peer_that_does_not_read_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    near, far = memory_streams()
    anna, berta = await linked(near, far)
    near.stuck = True
    announce = Announce(
        TAG, tuple((number.to_bytes(16, "big"), 1, bytes(32)) for number in range(4096)), True, True
    )
    heard = Heard()
    async with running(anna, berta, heard):
        for _ in range(SEND_QUEUE_BYTES_MAX // len(encode(announce)) + 2):
            anna.send(announce)
    assert isinstance(heard.ended, LinkClosed)
    assert "does not read" in str(heard.ended)


async def test_a_slow_handler_stops_the_reading(autojump_clock: trio.testing.MockClock) -> None:
    release = trio.Event()

    async def wait(link: Link, message: Message) -> None:
        await release.wait()

    near, far = memory_streams()
    anna, berta = await linked(near, far)
    announce = Announce(
        TAG, tuple((number.to_bytes(16, "big"), 1, bytes(32)) for number in range(4096)), True, True
    )
    slow = Heard(wait)
    async with running(anna, berta, berta_hears=slow):
        for _ in range(30):
            anna.send(announce)
        await trio.testing.wait_all_tasks_blocked()
        held = berta.received_bytes
        assert held < 15 * len(encode(announce))
        release.set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(slow.messages) == 31


async def test_what_was_said_before_a_close_is_still_handled(autojump_clock: trio.testing.MockClock) -> None:
    anna, berta = await linked(*memory_streams())
    heard = Heard()
    async with running(anna, berta, berta_hears=heard):
        for _ in range(10):
            anna.send(Drives(()))
        anna.close("bye")
    assert len(heard.messages) == 11


async def test_manifests_may_be_served(autojump_clock: trio.testing.MockClock) -> None:
    async def react(link: Link, message: Message) -> None:
        if isinstance(message, GetManifests):
            parts: list[Data] = [b"abc", memoryview(b"defg")]
            link.serve(message.request, lambda: (Manifests(message.request, (3, -1, 4)), parts), bulk=False)

    anna, berta = await linked(*memory_streams())
    async with running(anna, berta, berta_hears=Heard(react)):
        answer = await anna.ask(GetManifests(TAG, 0, (b"1" * 32, b"2" * 32, b"3" * 32)))
    assert bytes(answer.payload) == b"abcdefg"


async def test_a_stalled_handshake_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    near, _ = memory_streams()
    start = trio.current_time()
    with pytest.raises(LinkClosed, match="handshake"):
        await greet(near, Handshake.initiate(ANNA, random))
    assert trio.current_time() - start == pytest.approx(HANDSHAKE_SECONDS)


async def test_a_peer_that_leaves_during_the_handshake(autojump_clock: trio.testing.MockClock) -> None:
    near, far = memory_streams()
    await far.aclose()
    with pytest.raises(LinkClosed):
        await greet(near, Handshake.initiate(ANNA, random))
