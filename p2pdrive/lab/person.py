"""Who sits at a simulated machine: what they choose from, what they write, and how it is told.

What they choose comes from their own random numbers, in such a way that leaving out other actions changes the
choice as little as possible: that is what makes failing schedules shrink.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING
from zlib import crc32

from p2pdrive.folder.defaults import is_litter
from p2pdrive.folder.files import FileKind
from p2pdrive.lab.evidence import homes_in
from p2pdrive.model import paths
from p2pdrive.model.paths import IGNORE_FILE, STATE_DIRECTORY

if TYPE_CHECKING:
    from p2pdrive.lab.machine import Machine
    from p2pdrive.lab.world import World

#: Few paths, so that people meet: files, directories, and names that are now one, now the other.
PATHS = (
    "a.txt",
    "b.txt",
    "d/a.txt",
    "d/b.txt",
    "d/e/c.txt",
    "x",
    "x/y.txt",
    "long name with é.bin",
)

#: Bytes of small files, mostly, and of those that have several blocks.
_SMALL_BYTES = 2000
_LARGE_BYTES = 300_000


@dataclass
class Person:
    """Who sits at ``machine`` for one action; ``hint``: the path that the node has its hands on just now."""

    world: "World"
    machine: "Machine"
    random: Random
    number: int
    hint: str = ""

    def pick(self, candidates: Iterable[str]) -> str | None:
        """One of them; the same from a larger or smaller choice, if it is there."""
        salt = self.random.getrandbits(32)
        found = list(candidates)
        if self.hint in found and self.random.random() < 0.7:
            return self.hint
        return min(found, key=lambda path: crc32(f"{salt} {path}".encode()), default=None)

    def files(self) -> list[str]:
        """All regular files that are a person's, but for the ignore rules: a link or folder there is no rule.

        What programs left, or are about to finish, and homes of nodes, are nobody's to edit.
        """
        tree = self.machine.disk.tree()
        homes = homes_in(tree)
        left_alone = {IGNORE_FILE, *self.machine.disk.unfinished}
        return [
            path
            for path, shown in tree.items()
            if shown[0] == "file" and path not in left_alone and not is_litter(path)
            if not any(paths.within(path, home) for home in homes)
        ]

    def copies(self) -> list[str]:
        """All conflict copies that are there."""
        return [path for path in self.files() if "(conflict " in path]

    def directories(self) -> list[str]:
        """All directories that are there."""
        return [path for path, shown in self.machine.disk.tree().items() if shown[0] == "directory"]

    def content(self) -> bytes:
        """What nobody wrote before, mostly."""
        if self.random.random() < 0.1:
            return self.random.choice((b"", b"the same", b"the same too"))
        text = f"{self.number} by {self.machine.name}\n".encode()
        if self.random.random() < 0.04:
            return text + self.random.randbytes(self.random.randrange(_LARGE_BYTES))
        return text + b"." * self.random.randrange(_SMALL_BYTES)

    def current(self, path: str) -> bytes | None:
        """What the file at ``path`` holds; None where there is none."""
        disk = self.machine.disk
        return disk.read(path) if disk.kind(path) is FileKind.FILE else None

    def put(self, path: str, data: bytes, write: Callable[[], None]) -> None:
        """Write, and tell of it."""
        replaced, others = self.current(path), self.machine.disk.other_names(path)
        self.make_parents(path)
        write()
        self.world.oracle.wrote(self.machine.name, path, data, replaced)
        for other in self.machine.disk.other_names(path):
            if other in others and not other.startswith(STATE_DIRECTORY):  # it was written in place
                self.world.oracle.wrote(self.machine.name, other, data, replaced)
        self.say("writes", path, bytes=len(data), begins=data[:24])

    def make_parents(self, path: str) -> None:
        """Make the directories above ``path`` that are missing, and tell of them."""
        for directory in reversed(paths.ancestors(path)):
            if not self.machine.disk.exists(directory):
                self.make(directory)

    def make(self, path: str) -> None:
        """Make a directory, and tell of it."""
        self.machine.disk.make_directory(path)
        self.world.oracle.made_directory(self.machine.name, path)

    def begin_secrets(self) -> None:
        """Before anything is kept from others for the first time."""
        self.world.secrets.begin((each.name, each.disk.volume) for each in self.world.machines)

    def later(self, act: Callable[[], None], seconds: float) -> None:
        """Do ``act`` in so many seconds, or as soon as all is healed. It is a person's doing."""

        def done() -> None:
            with self.world.secrets.person_at(self.machine.name, self.machine.disk.volume):
                act()

        self.world.until_undone(done, seconds)

    def say(self, what: str, path: str, **details: object) -> None:
        """Note it in the trace."""
        self.world.note(what, self.machine.name, path=path, **details)
