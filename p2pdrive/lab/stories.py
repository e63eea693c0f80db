"""What the oracle keeps of contents, of where they were, and of power cuts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from p2pdrive.folder.files import Stat
from p2pdrive.index.entries import Entry

#: ``disk.tree()``: path → ("file", bytes, executable, mtime_ns), ("link", target) or ("directory",).
Tree = Mapping[str, Any]


@dataclass(slots=True)
class Writing:
    """A person wrote it, as event ``number``, on ``machine``; it is at ``path`` there now, or was last."""

    number: int
    machine: str
    path: str


@dataclass(slots=True)
class Story:
    """One content. Equal bytes that were written twice are two ``writings``, and one may be undone.

    The numbers are those of events, 0 for never; the latest counts.
    ``kept`` is when it was on a disk that was put back from a backup: history must have it from then on.
    ``unrecorded`` is when another's was put back, and disks showed it that had not recorded it. What a
    person takes away by hand where nobody else has it (``gone``) need not be kept by anyone.
    """

    data: bytes
    where: str = ""  # for messages: who wrote it where, at first
    writings: list[Writing] = field(default_factory=list)
    replaced: int = 0
    forgiven: int = 0
    kept: int = 0
    unrecorded: int = 0
    gone: int = 0  # when a person took it away on a machine and no other one showed it
    why: str = ""

    @property
    def written(self) -> int:
        """When a person wrote it last."""
        return self.writings[-1].number if self.writings else 0

    @property
    def writer(self) -> str:
        """The machine where it was last written."""
        return self.writings[-1].machine if self.writings else ""

    def moved(self, machine: str, old: str, new: str) -> None:
        """What was written at ``old`` is at ``new`` there."""
        for writing in self.writings:
            if (writing.machine, writing.path) == (machine, old):
                writing.path = new

    def undo(self, machine: str, path: str) -> None:
        """What was written there is as if it had never been, though the same bytes are elsewhere."""
        self.writings = [each for each in self.writings if (each.machine, each.path) != (machine, path)]

    @property
    def stands(self) -> bool:
        """Whether it must be in the folder."""
        return self.written > max(self.replaced, self.forgiven)

    @property
    def may_be_missing(self) -> bool:
        """Whether a record of it may be all that is left."""
        return bool(self.forgiven or self.gone) or self.unrecorded > self.written

    @property
    def must_be_readable(self) -> bool:
        """Whether it must be at least in the history."""
        return max(self.written, self.kept) > max(self.replaced, self.forgiven)


@dataclass(frozen=True, slots=True)
class Removal:
    """A person took ``data`` away from a path on ``machine``, as event ``number``."""

    machine: str
    number: int


@dataclass(slots=True)
class Place:
    """What happened to one content at one path, as numbers of events."""

    arrivals: list[int] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Crash:
    """A power loss: the folder before and after it, and what the index said that it showed; ``stats`` are
    those of before, by path."""

    machine: str
    before: Tree
    after: Tree
    entries: Mapping[str, Entry]
    persons: frozenset[str]  # paths that showed what a person on this machine had put there
    torn: frozenset[str]  # paths that show now what nobody ever wrote
    stats: Mapping[str, Stat] = field(default_factory=dict)
