"""A hybrid logical clock: wall time that never runs backwards past what was seen.

One reading is an int: milliseconds since 1970 shifted left by 16, plus a counter.
Source: Kulkarni et al., "Logical Physical Clocks" (2014). It only orders concurrent records and dates
versions for people; causality is the vectors' business, so a lying clock can lose nothing.
"""

from p2pdrive.limits import CLOCK_LEAD_MS_MAX

COUNTER_BITS = 16


def from_milliseconds(milliseconds: int) -> int:
    """The first reading of that millisecond."""
    return max(0, milliseconds) << COUNTER_BITS


def milliseconds(reading: int) -> int:
    """Milliseconds since 1970 of a reading."""
    return reading >> COUNTER_BITS


class HybridClock:
    """The clock of one drive on one node."""

    def __init__(self, latest: int = 0) -> None:
        self.latest = latest

    def tick(self, wall_milliseconds: int) -> int:
        """A reading above all readings given out and followed before."""
        self.latest = max(self.latest + 1, from_milliseconds(wall_milliseconds))
        return self.latest

    def follow(self, reading: int, wall_milliseconds: int) -> None:
        """Take note of a peer's reading, unless it leads our wall clock by more than a day."""
        if reading <= from_milliseconds(wall_milliseconds + CLOCK_LEAD_MS_MAX):
            self.latest = max(self.latest, reading)
