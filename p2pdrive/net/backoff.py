"""How long to wait before dialling again."""

from collections.abc import Callable

from p2pdrive.limits import DIAL_SECONDS_MAX, DIAL_SECONDS_MIN, LINK_STABLE_SECONDS


class Backoff:
    """Pauses between attempts to reach one peer: the first within a second, then growing, with full jitter.

    Pure: ``uniform`` gives numbers in [0, 1), and the caller does the waiting. Each pause is drawn evenly
    from ``DIAL_SECONDS_MIN`` up to a ceiling that doubles with every failure and ends at
    ``DIAL_SECONDS_MAX``, so that many nodes that lost one peer at once do not return at once.
    """

    def __init__(self, uniform: Callable[[], float]) -> None:
        self._uniform = uniform
        self._ceiling = DIAL_SECONDS_MIN

    def pause(self) -> float:
        """Seconds to wait before the next attempt; call it once after each failure and each lost link."""
        self._ceiling = min(DIAL_SECONDS_MAX, self._ceiling * 2)
        return DIAL_SECONDS_MIN + self._uniform() * (self._ceiling - DIAL_SECONDS_MIN)

    def lasted(self, seconds: float) -> None:
        """A connection ended after so many seconds; a stable one makes the pauses start over."""
        if seconds >= LINK_STABLE_SECONDS:
            self.reset()

    def reset(self) -> None:
        """Start over: there is news (the peer was found on the network, say)."""
        self._ceiling = DIAL_SECONDS_MIN
