"""The window of a line: full lines stay full, and nobody waits long behind what was asked for before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.limits import IN_FLIGHT_BYTES_MAX, IN_FLIGHT_BYTES_MIN, LINE_SECONDS, MIB
from p2pdrive.planning.window import Asked, Window


class Line:
    """A peer that answers in order, at ``rate`` bytes a second, each answer ``delay`` seconds later."""

    def __init__(self, rate: float, delay: float) -> None:
        self.window = Window()
        self.now = 0.0
        self.carried = 0
        self.longest = 0.0
        self._rate = rate
        self._delay = delay
        self._free_at = 0.0
        self._under_way: list[tuple[float, Asked]] = []

    def run(self, seconds: float) -> None:
        """Ask for all that there is room for, for so long."""
        until = self.now + seconds
        while self.now < until:
            while self.window.has_room(1):
                size = self.window.request_bytes
                self._free_at = max(self._free_at, self.now) + size / self._rate
                self._under_way.append((self._free_at + self._delay, self.window.asked(size, self.now)))
            self.now, asked = self._under_way.pop(0)
            self.longest = max(self.longest, self.now - asked.at)
            self.carried += asked.left
            self.window.came(asked, asked.left)
            self.window.ended(asked, self.now)


@pytest.mark.parametrize("rate", [300e3, 2e6, 25e6, 100e6])
@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1])
def test_line_is_full_and_an_answer_waits_for_a_moment(rate: float, delay: float) -> None:
    line = Line(rate, delay)
    line.run(10)
    line.carried, line.longest, began = 0, 0.0, line.now
    line.run(30)
    assert line.carried / (line.now - began) > 0.85 * min(rate, IN_FLIGHT_BYTES_MAX / (delay + 0.01))
    assert line.longest < delay + 2 * LINE_SECONDS + IN_FLIGHT_BYTES_MIN / rate * 1.5


def test_fast_line_is_used_whole_soon() -> None:
    line = Line(1e9, 0.0005)
    line.run(0.2)
    assert line.window.size > 4 * MIB


def test_line_that_becomes_slow_is_asked_for_less() -> None:
    line = Line(100e6, 0.01)
    line.run(5)
    line._rate = 2e6
    line.run(10)
    assert line.window.size < 2e6 * 4 * LINE_SECONDS


@given(st.lists(st.tuples(st.integers(1, 4 * MIB), st.floats(0.001, 20), st.booleans()), max_size=40))
def test_what_was_asked_for_is_accounted_for_whatever_comes(steps: list[tuple[int, float, bool]]) -> None:
    window = Window()
    now = 0.0
    for size, seconds, whole in steps:
        asked = window.asked(size, now)
        now += seconds
        window.came(asked, size if whole else size // 3)
        window.came(asked, 10 * size if whole else 0)  # a peer may send more than a manifest says
        window.ended(asked, now)
        assert window.in_flight == 0
        assert IN_FLIGHT_BYTES_MIN <= window.size <= IN_FLIGHT_BYTES_MAX
        assert window.has_room(1)
