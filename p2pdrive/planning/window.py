"""How many bytes may be asked for and not yet received on one line. Pure; the caller tells the time.

Blocks that were asked for come before all that is asked for later. So no more are asked for than the line
carries in a moment, LINE_SECONDS beyond the time that an answer takes on an idle line: an edit waits for no
longer. Like TCP Vegas, this goes by how long answers take.
"""

from dataclasses import dataclass

from p2pdrive.limits import (
    IN_FLIGHT_BYTES_MAX,
    IN_FLIGHT_BYTES_MIN,
    LINE_SECONDS,
    REQUESTS_IN_WINDOW,
)


@dataclass(slots=True)
class Asked:
    """A request; ``left`` bytes of its blocks have not come. ``in_flight`` were under way with it, and
    ``full``: those were all that may be."""

    left: int
    at: float
    in_flight: int
    full: bool


class Window:
    """The bytes that one peer was asked for."""

    def __init__(self) -> None:
        self.size = IN_FLIGHT_BYTES_MIN
        self.in_flight = 0
        self._quickest: float | None = None  # seconds of the quickest answer ever: the line was idle

    @property
    def request_bytes(self) -> int:
        """How large a request should be, so that answers come in pieces: an average block at least."""
        return max(IN_FLIGHT_BYTES_MIN, self.size // REQUESTS_IN_WINDOW)

    def has_room(self, requests: int) -> bool:
        """Whether so many more may be made. One may always be under way, be its block the largest."""
        if self.in_flight == 0 and requests == 1:
            return True
        return self.in_flight + requests * self.request_bytes <= self.size

    def asked(self, size: int, now: float) -> Asked:
        """A request is made at ``now`` (seconds)."""
        self.in_flight += size
        return Asked(size, now, self.in_flight, full=not self.has_room(1))

    def came(self, asked: Asked, size: int) -> None:
        """So many bytes came of what was asked for."""
        size = min(size, asked.left)
        asked.left -= size
        self.in_flight -= size

    def ended(self, asked: Asked, now: float) -> None:
        """Nothing more will come: all was answered, or the line was cut."""
        complete = asked.left == 0
        self.came(asked, asked.left)
        if complete:
            self._learn(asked, now - asked.at)

    def _learn(self, asked: Asked, took: float) -> None:
        self._quickest = took if self._quickest is None else min(self._quickest, took)
        allowed = self._quickest + LINE_SECONDS
        if took > allowed:
            size = min(self.size, int(asked.in_flight * allowed / took))
        elif asked.full:
            size = max(self.size, int(asked.in_flight * min(2.0, allowed / max(took, 1e-9))))
        else:
            return
        self.size = min(max(size, IN_FLIGHT_BYTES_MIN), IN_FLIGHT_BYTES_MAX)
