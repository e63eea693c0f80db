"""What a field of a message may hold: the bounds that every value sent and received is held to.

A field is written as the metadata of an ``Annotated`` type, so that a message's dataclass is its whole
specification; ``words`` says the same in errors and in the protocol's document.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_MSGPACK_HEAD_BYTES = 5  # the longest head of a msgpack array, string or binary
_MSGPACK_WHOLE_BYTES = 9  # the longest msgpack integer


@dataclass(frozen=True, slots=True)
class Field:
    """``fits`` tells whether an unpacked value is allowed; ``bytes_max`` bounds its packed form."""

    words: str
    bytes_max: int
    fits: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Payload:
    """Raw bytes after the header. ``length`` tells from the message how many there must be."""

    longest: int
    length: Callable[[Any], int] | None = None

    def fits(self, message: object, size: int) -> bool:
        """Whether ``message`` may have ``size`` bytes of payload."""
        return size <= self.longest and (self.length is None or size == self.length(message))


def whole(high: int, low: int = 0) -> Field:
    """An integer from ``low`` to ``high``, both included."""
    return Field(
        f"integer {low} to {high}",
        _MSGPACK_WHOLE_BYTES,
        lambda value: type(value) is int and low <= value <= high,
    )


def flag() -> Field:
    """True or false."""
    return Field("boolean", 1, lambda value: type(value) is bool)


def binary(longest: int, shortest: int | None = None) -> Field:
    """Bytes: exactly ``longest``, or from ``shortest`` to ``longest`` of them."""
    least = longest if shortest is None else shortest
    return Field(
        f"{longest} bytes" if shortest is None else f"{shortest} to {longest} bytes",
        longest + _MSGPACK_HEAD_BYTES,
        lambda value: type(value) is bytes and least <= len(value) <= longest,
    )


def text(longest: int) -> Field:
    """Text of at most ``longest`` bytes in UTF-8, without control characters: it is shown to people."""
    return Field(
        f"text of at most {longest} bytes",
        longest + _MSGPACK_HEAD_BYTES,
        lambda value: type(value) is str and fitted(value, longest) == value,
    )


def row(*fields: Field) -> Field:
    """A tuple of one value for each of ``fields``."""
    return Field(
        f"({', '.join(field.words for field in fields)})",
        _MSGPACK_HEAD_BYTES + sum(field.bytes_max for field in fields),
        lambda value: (
            type(value) is tuple
            and len(value) == len(fields)
            and all(field.fits(part) for field, part in zip(fields, value, strict=True))
        ),
    )


def many(each: Field, count: int) -> Field:
    """A tuple of at most ``count`` values, each of which fits ``each``."""
    return Field(
        f"list of at most {count} of: {each.words}",
        _MSGPACK_HEAD_BYTES + count * each.bytes_max,
        lambda value: type(value) is tuple and len(value) <= count and all(map(each.fits, value)),
    )


def fitted(shown: str, longest: int) -> str:
    """``shown`` with control characters replaced by spaces, cut to ``longest`` bytes of UTF-8."""
    plain = "".join(" " if _is_control(character) else character for character in shown)
    return plain.encode(errors="replace")[:longest].decode(errors="ignore")


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character < "\xa0"
