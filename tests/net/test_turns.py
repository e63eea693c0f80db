"""Turns on a line: the most urgent asks first, and nobody waits for ever."""

import trio
from trio.testing import wait_all_tasks_blocked

from p2pdrive.limits import IN_FLIGHT_BYTES_MIN, PASSED_WINDOWS_MAX
from p2pdrive.net.turns import Turns


class Crowd:
    """Tasks that take a turn, ask, and are answered when told."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.turns = Turns()
        self.asked: list[str] = []
        self._nursery = nursery
        self._answers: dict[str, trio.Event] = {}

    async def begin(self, name: str, urgency: int | None, size: int = IN_FLIGHT_BYTES_MIN) -> None:
        self._nursery.start_soon(self._ask, name, urgency, size)
        await wait_all_tasks_blocked()

    async def answer(self, name: str) -> None:
        await trio.sleep(10)  # as on a line that this fills
        self._answers[name].set()
        await wait_all_tasks_blocked()

    async def _ask(self, name: str, urgency: int | None, size: int) -> None:
        await self.turns.take(urgency)
        with self.turns.asking(size) as asked:
            self.asked.append(name)
            self._answers[name] = trio.Event()
            await self._answers[name].wait()
            self.turns.came(asked, size)


async def test_newest_goes_before_those_that_wait_longer(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        for name, urgency in (("first", 0), ("old", 0), ("new", 7), ("newer", 8)):
            await crowd.begin(name, urgency)
        assert crowd.asked == ["first"]
        for name in ("first", "newer", "new", "old"):
            await crowd.answer(name)
        assert crowd.asked == ["first", "newer", "new", "old"]


async def test_quick_one_does_not_wait_for_room(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        await crowd.begin("bulk", 0)
        await crowd.begin("more bulk", 0)
        await crowd.begin("edit", None)
        assert crowd.asked == ["bulk", "edit"]
        for name in ("edit", "bulk", "more bulk"):
            await crowd.answer(name)


async def test_bulk_has_its_turn_beside_an_endless_stream_of_edits(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        await crowd.begin("edit 0", None)
        await crowd.begin("bulk", 0)
        for number in range(1, 3 * PASSED_WINDOWS_MAX):
            await crowd.begin(f"edit {number}", None)
            await crowd.answer(f"edit {number - 1}")  # the line is never idle
        assert "bulk" in crowd.asked
        nursery.cancel_scope.cancel()


async def test_who_gives_up_while_waiting_holds_up_nobody(autojump_clock: trio.abc.Clock) -> None:
    turns = Turns()
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        crowd.turns = turns
        await crowd.begin("first", 0)
        with trio.move_on_after(1):
            await turns.take(9)
        await crowd.begin("second", 0)
        await crowd.answer("first")
        assert crowd.asked == ["first", "second"]
        await crowd.answer("second")
    assert turns.window.in_flight == 0


async def test_turn_that_is_passed_on_is_the_next_ones(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(nursery)
        await crowd.turns.take(0)
        await crowd.begin("waits", 0)
        await crowd.begin("waits too", 0, 1)
        asked_at_once = list(crowd.asked)
        crowd.turns.pass_on()
        await wait_all_tasks_blocked()
        assert "waits" in crowd.asked
        assert len(asked_at_once) < 2
        nursery.cancel_scope.cancel()
