"""What persons touched: the paths that they made, changed, moved and took away, on which machine."""

from p2pdrive.lab.evidence import original_of
from p2pdrive.model import paths


class Touched:
    """Paths by machine, as persons saw them there."""

    def __init__(self) -> None:
        self.gone: dict[str, set[str]] = {}  # machine → paths that persons took away there, with their inside
        #: machine → path → the file that a person put there last, None for what is no file
        self.made: dict[str, dict[str, bytes | None]] = {}
        self.origins: dict[tuple[str, str], str] = {}  # (machine, path) → whence it came with its directory
        self.put_away: dict[str, dict[bytes, int]] = {}  # viewer → what of others it replaced, when
        self.moved: set[tuple[str, str]] = set()  # (machine, what a person gave another name)
        self.arrived: set[str] = set()  # paths that a rename put things under which nobody listed
        self.changed: set[str] = set()  # paths whose mode or time a person changed
        self.unscanned: dict[tuple[str, str], bytes] = {}  # (machine, path) → what was written there last

    def made_on(self, machine: str) -> dict[str, bytes | None]:
        """What persons made on ``machine``: to be changed in place."""
        return self.made.setdefault(machine, {})

    def unscanned_on(self, machine: str) -> dict[str, bytes]:
        """What was written there last, by path, of what need not be recorded yet."""
        return {path: data for (name, path), data in self.unscanned.items() if name == machine}

    def leave(self, machine: str, path: str) -> None:
        """A person took away what was there."""
        self.changed.add(original_of(path))  # a conflict was settled: that is an edit of its path
        self.gone.setdefault(machine, set()).add(path)
        self.leave_unscanned(machine, path)

    def leave_unscanned(self, machine: str, path: str = "") -> None:
        """What was written there, or in there, is not there any more."""
        for each in self.unscanned_on(machine):
            if paths.within(each, path):
                del self.unscanned[machine, each]

    # --- for checkers

    def took_away(self, machine: str, path: str) -> bool:
        """Whether a person ever took away ``path``, or a directory above it, on ``machine``."""
        gone = self.gone.get(machine, set())
        return any(one in gone for one in (path, *paths.ancestors(path)))

    def anyone_took_away(self, path: str) -> bool:
        """The same, on any machine."""
        return any(self.took_away(machine, path) for machine in self.gone)

    def was_going(self, machine: str, path: str) -> bool:
        """Whether it came to ``path`` with its directory, and under its earlier name was deleted elsewhere,
        or was the copy of a file that was deleted, and is that file now.

        The node may have been about to remove it when the directory was renamed under its hands.
        """
        origin = self.origins.get((machine, path), "")
        elsewhere = any(self.took_away(other, origin) for other in self.gone.keys() - {machine})
        return elsewhere or self.anyone_took_away(original_of(origin))

    def may_have_moved(self, machine: str, path: str) -> bool:
        """Whether a person renamed a directory above it: what the node did in there at that moment, it did at
        the new place."""
        return any((machine, above) in self.moved for above in paths.ancestors(path))
