"""What happened in a simulated world, line by line, and a digest of it: equal runs have equal digests."""

from hashlib import blake2b

#: Characters of one value in a line; the digest is of the whole.
_VALUE_CHARACTERS_MAX = 120


class Trace:
    """Lines of the form ``time machine kind name=value ...``."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.seconds = 0.0  # kept by the world
        self._digest = blake2b(digest_size=16)

    def note(self, kind: str, machine: str, **details: object) -> None:
        """Add a line; ``details`` must not name what differs between equal runs, such as real paths."""
        values = {name: _text(value) for name, value in details.items()}
        whole = f"{self.seconds:.6f} {machine} {kind} {values}"
        self._digest.update(whole.encode("utf-8", "surrogateescape"))
        shown = "".join(f" {name}={value[:_VALUE_CHARACTERS_MAX]}" for name, value in values.items())
        self.lines.append(f"{self.seconds:10.3f} {machine:<8} {kind}{shown}")

    def digest(self) -> str:
        """Of all lines so far."""
        return self._digest.hexdigest()


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
