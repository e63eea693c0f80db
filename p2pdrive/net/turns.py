"""Whose turn it is to ask on a line: the most urgent first, as soon as the line has room."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import trio

from p2pdrive.limits import PASSED_WINDOWS_MAX
from p2pdrive.planning.window import Asked, Window


class _Waiter:
    """One who waits; ``passed`` are the bytes asked for by others meanwhile."""

    def __init__(self, urgency: int, number: int) -> None:
        self.urgency = urgency
        self.number = number
        self.passed = 0
        self.turn = trio.Event()


class Turns:
    """The turns of one link.

    Nobody waits for ever: after others have asked for PASSED_WINDOWS_MAX times what may be under way, the one
    who waits longest is next.
    """

    def __init__(self) -> None:
        self.window = Window()
        self._waiting: list[_Waiter] = []
        self._given = 0  # turns of those who have not asked yet
        self._numbers = count()

    async def take(self, urgency: int | None) -> None:
        """Wait for a turn: a higher ``urgency`` is sooner, None at once. Then ask, or ``pass_on`` it."""
        if urgency is None or (not self._waiting and self.window.has_room(self._given + 1)):
            self._given += 1
            return
        waiter = _Waiter(urgency, next(self._numbers))
        self._waiting.append(waiter)
        try:
            await waiter.turn.wait()
        except trio.Cancelled:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:
                self.pass_on()
            raise

    def pass_on(self) -> None:
        """The turn is not used."""
        self._given -= 1
        self._go_on()

    @contextmanager
    def asking(self, size: int) -> Iterator[Asked]:
        """Use the turn for a request for ``size`` bytes; what comes of it is told by ``came``."""
        self._given -= 1
        asked = self.window.asked(size, trio.current_time())
        for waiter in self._waiting:
            waiter.passed += size
        self._go_on()
        try:
            yield asked
        finally:
            self.window.ended(asked, trio.current_time())
            self._go_on()

    def came(self, asked: Asked, size: int) -> None:
        """So many bytes of a request came."""
        self.window.came(asked, size)
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting:
            waiter = min(self._waiting, key=lambda each: each.number)
            if waiter.passed <= PASSED_WINDOWS_MAX * self.window.size:
                if not self.window.has_room(self._given + 1):
                    return
                waiter = max(self._waiting, key=lambda each: (each.urgency, -each.number))
            self._waiting.remove(waiter)
            self._given += 1
            waiter.turn.set()
