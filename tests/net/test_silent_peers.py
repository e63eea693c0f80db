"""A peer that lives, but answers nothing that it is asked, loses the link: others may have the answer."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from p2pdrive.errors import LinkClosed
from p2pdrive.limits import ANSWER_SECONDS, KEEPALIVE_SECONDS, LINK_DEAD_SECONDS
from p2pdrive.net.link import Link
from p2pdrive.wire.messages import (
    Batches,
    Blocks,
    Drives,
    GetBlocks,
    GetManifestPart,
    GetManifests,
    Join,
    Message,
    Pull,
)
from tests.net.links import TAG, Heard, fetched, linked, memory_streams, running, some_blocks

HOUR = 3600.0
#: Seconds after which a peer that answers nothing is surely gone: it is seen when the next ping is due.
GIVEN_UP = ANSWER_SECONDS + KEEPALIVE_SECONDS + 1

ask_batches = Pull(TAG, 0, ())
REQUESTS = [
    ask_batches,
    GetManifests(TAG, 0, (b"r" * 32,)),
    GetManifestPart(TAG, 0, b"r" * 32, 0),
    Join(TAG, "anna", bytes(64), bytes(32)),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
async def test_a_peer_that_answers_pings_but_no_request_is_given_up(
    autojump_clock: trio.testing.MockClock, request_: Pull
) -> None:
    anna, berta = await linked(*memory_streams())
    anna_hears, berta_hears = Heard(), Heard()
    async with running(anna, berta, anna_hears, berta_hears, within=HOUR):
        await trio.sleep(10)
        start = trio.current_time()
        with pytest.raises(LinkClosed, match="answered no request"):
            await anna.ask(request_)
        assert ANSWER_SECONDS <= trio.current_time() - start <= GIVEN_UP
    assert "answered no request" in str(anna_hears.ended)
    assert len(berta_hears.messages) == 2  # Hello and the request, that is: it was heard


async def test_a_peer_that_talks_of_other_things_all_the_time_is_given_up_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    anna, berta = await linked(*memory_streams())
    anna_hears = Heard()
    async with running(anna, berta, anna_hears, within=HOUR):

        async def talk() -> None:
            while anna_hears.ended == "running":
                berta.send(Drives(()))
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk)
            start = trio.current_time()
            with pytest.raises(LinkClosed, match="answered no request"):
                await fetched(anna, [b"x" * 32])
            assert ANSWER_SECONDS <= trio.current_time() - start <= GIVEN_UP
    assert len(anna_hears.messages) > 100


async def test_asking_more_and_more_gives_a_silent_peer_no_more_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def ask() -> None:
        with pytest.raises(LinkClosed):
            await anna.ask(ask_batches)

    anna, berta = await linked(*memory_streams())
    anna_hears = Heard()
    async with running(anna, berta, anna_hears, within=HOUR), trio.open_nursery() as nursery:
        start = trio.current_time()
        while anna_hears.ended == "running":
            nursery.start_soon(ask)
            await trio.sleep(KEEPALIVE_SECONDS / 2)
        assert trio.current_time() - start <= GIVEN_UP + KEEPALIVE_SECONDS


async def test_one_request_that_waits_among_others_that_are_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The peer is at work: what it answers last may take as long as it takes."""

    async def react(link: Link, message: Message) -> None:
        if isinstance(message, Pull):
            link.send(Batches(message.request, False, ()))

    anna, berta = await linked(*memory_streams())
    anna_hears = Heard()
    async with (
        running(anna, berta, anna_hears, Heard(react), within=HOUR),
        anna.request(GetBlocks(TAG, 0, (b"x" * 32,))) as answers,
    ):
        for _ in range(5):
            await trio.sleep(ANSWER_SECONDS - 20)
            await anna.ask(ask_batches)
        assert anna_hears.ended == "running"
        start = trio.current_time()
        with pytest.raises(LinkClosed, match="answered no request"):
            await anext(answers)
        assert trio.current_time() - start >= ANSWER_SECONDS


async def test_a_slow_peer_that_sends_a_block_now_and_then_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    content = some_blocks(6, 1000)

    async with trio.open_nursery() as nursery:
        anna, berta = await linked(*memory_streams())
        anna_hears = Heard()
        berta_hears = Heard(slowly(nursery, content))
        async with running(anna, berta, anna_hears, berta_hears, within=HOUR):
            start = trio.current_time()
            assert await fetched(anna, list(content)) == content
            assert trio.current_time() - start > 4 * ANSWER_SECONDS
    assert anna_hears.ended is None


def slowly(nursery: trio.Nursery, content: dict[bytes, bytes]) -> Callable[[Link, Message], Awaitable[None]]:
    """Answers with a block at a time, each only just in time."""

    async def send(link: Link, asked: GetBlocks) -> None:
        for index, block in enumerate(asked.blocks):
            await trio.sleep(ANSWER_SECONDS - 10)
            data = content[block]
            done = index == len(asked.blocks) - 1
            link.send(Blocks(asked.request, ((index, len(data)),), (), done, data))

    async def react(link: Link, message: Message) -> None:
        if isinstance(message, GetBlocks):
            nursery.start_soon(send, link, message)

    return react


async def test_a_link_on_which_nothing_was_asked_for_long_has_time_for_the_next_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Neither an idle link, nor one whose last answer was long ago, is taken for a silent one."""

    async def react(link: Link, message: Message) -> None:
        if isinstance(message, Pull):
            await trio.sleep(ANSWER_SECONDS - 10)
            link.send(Batches(message.request, False, ()))

    anna, berta = await linked(*memory_streams())
    anna_hears, berta_hears = Heard(), Heard(react)
    async with running(anna, berta, anna_hears, berta_hears, within=2 * HOUR):
        for _ in range(3):
            await trio.sleep(ANSWER_SECONDS * 5)
            assert anna_hears.ended == "running"
            await anna.ask(ask_batches)
    assert anna_hears.ended is None
    assert berta_hears.ended is None


async def test_a_peer_that_says_nothing_at_all_is_given_up_sooner(
    autojump_clock: trio.testing.MockClock,
) -> None:
    anna, _ = await linked(*memory_streams())
    heard = Heard()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heard.run, anna)
        start = trio.current_time()
        with pytest.raises(LinkClosed):
            await anna.ask(ask_batches)
        assert LINK_DEAD_SECONDS <= trio.current_time() - start <= LINK_DEAD_SECONDS + 5
    assert "nothing was heard" in str(heard.ended)
