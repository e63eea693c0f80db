"""What the cable of a host is like: ``delay=20ms,rate=100mbit,loss=0.1%``."""

import re
from dataclasses import dataclass

from p2pdrive.errors import CallerError

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BITS = {"bit": 1, "kbit": 1000, "mbit": 1000**2, "gbit": 1000**3}
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
#: Beyond these no node is expected to work, and a typing mistake is likelier.
_DELAY_SECONDS_MAX = 10.0
_RATE_BITS_MIN = 8_000


class LinkMalformed(CallerError):
    """The text describes no link."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Link:
    """``delay`` in seconds and ``loss`` (a share of the packets, 0 to 1) hold for what the host sends;
    ``rate``, in bits a second and None for as fast as it goes, for what it sends and what it receives.
    """

    delay: float = 0.0
    rate: float | None = None
    loss: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether nothing is to be shaped."""
        return self == Link()

    def __str__(self) -> str:
        parts = []
        if self.delay:
            parts.append(f"delay={self.delay * 1000:g}ms")
        if self.rate is not None:
            unit, bits = next(item for item in reversed(_BITS.items()) if self.rate >= item[1])
            parts.append(f"rate={self.rate / bits:g}{unit}")
        if self.loss:
            parts.append(f"loss={self.loss * 100:g}%")
        return ",".join(parts)


def parse_link(text: str) -> Link:
    """The link that ``text`` describes, an unshaped one where it is empty. Raises LinkMalformed."""
    given: dict[str, float] = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        name, _, value = part.partition("=")
        if name not in _READERS:
            raise LinkMalformed(
                f"A link has delay, rate and loss, as in {_EXAMPLE}; {part!r} is none of them."
            )
        if name in given:
            raise LinkMalformed(f"The link's {name} is given twice.")
        given[name] = _READERS[name](value)
    return Link(**given)


def _delay(text: str) -> float:
    seconds = _quantity(text, _SECONDS)
    if seconds is None or seconds > _DELAY_SECONDS_MAX:
        raise LinkMalformed(f"{text!r} is no delay such as 20ms or 0.5s, of at most {_DELAY_SECONDS_MAX:g}s.")
    return seconds


def _rate(text: str) -> float:
    bits = _quantity(text, _BITS)
    if bits is None or bits < _RATE_BITS_MIN:
        raise LinkMalformed(
            f"{text!r} is no rate such as 100mbit, 512kbit or 1gbit (bits a second), of at least 8kbit."
        )
    return bits


def _loss(text: str) -> float:
    percent = _quantity(text, {"%": 1})
    if percent is None or percent >= 100:
        raise LinkMalformed(f"{text!r} is no loss such as 0.1%, below 100%.")
    return percent / 100


def _quantity(text: str, units: dict[str, float] | dict[str, int]) -> float | None:
    found = re.fullmatch(_NUMBER + f"({'|'.join(units)})", text, re.ASCII)
    return None if found is None else float(found[1]) * units[found[2]]


_READERS = {"delay": _delay, "rate": _rate, "loss": _loss}
_EXAMPLE = "'delay=20ms,rate=100mbit,loss=0.1%'"
