"""What persons keep from other accounts of their machines, and whether a node has ever shown it.

Each change to a disk is seen: what is new after a person's act, or a fault, is theirs; what is new in an
operation of the node is the node's, which may show nothing that no person has ever shown. On a disk that
keeps no permissions all is for everybody: what a person puts there is shown, and a node cannot help it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from p2pdrive.lab.inodes import Directory, File
from p2pdrive.lab.oracle import Violation
from p2pdrive.lab.volume import Volume
from p2pdrive.model import paths
from p2pdrive.model.paths import STATE_DIRECTORY

#: The node's operations that may show something.
_SHOWING = ("publish", "move", "remove", "make_symlink", "set_metadata", "make_directory", "remove_directory")


@dataclass
class Sight:
    """What others see on a disk: contents by path, and directories; and what they do not."""

    seen: dict[str, bytes] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)
    hidden: dict[str, bytes] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)  # not private themselves


class Secrets:
    """Of all machines of a world. Nothing is looked at before a person keeps something to themselves."""

    def __init__(self) -> None:
        self._kept: dict[bytes, set[str]] = {}  # contents that no person has shown, and where they were
        self._shown: set[bytes] = set()
        self._private: set[str] = set()  # paths that ever were
        self._opened: set[str] = set()  # those of them that persons have opened again
        self._last: dict[str, Sight] = {}
        self._at_work: dict[str, str] = {}  # machine → the operation that its node is in

    def begin(self, machines: Iterator[tuple[str, Volume]]) -> None:
        """A person is about to close something to others: what all see by now is no secret."""
        if not self._last:
            for name, volume in machines:
                self._last[name] = sight = look(volume)
                self._shown.update(sight.seen.values(), sight.hidden.values())

    def at(self, machine: str, volume: Volume, when: str, operation: str) -> None:
        """The node at ``machine`` is before, in or after an operation. Raises Violation."""
        if not self._last or operation.partition(":")[0] not in _SHOWING:
            return
        self.look_at_node(machine, volume)
        if when == "after":
            self._at_work.pop(machine, None)
        else:
            self._at_work[machine] = operation

    def look_at_node(self, machine: str, volume: Volume) -> None:
        """What is new on the disk is the node's doing, if it is at work. Raises Violation."""
        if machine in self._at_work:
            self._by_node(machine, volume, self._at_work[machine])

    @contextmanager
    def person_at(self, machine: str, volume: Volume) -> Iterator[None]:
        """What is new afterwards is a person's doing, or a fault's. Raises Violation for what was before."""
        self.look_at_node(machine, volume)
        try:
            yield
        finally:
            self.by_person(machine, volume)

    def by_person(self, machine: str, volume: Volume) -> None:
        """What is new on the disk is not the node's doing."""
        if not self._last:
            return
        before, now = self._last.get(machine, Sight()), look(volume)
        known = set(before.seen.values())
        self._shown.update(content for content in now.seen.values() if content not in known)
        open_before = {*before.seen, *before.directories}
        self._opened |= ({*now.seen, *now.directories} - open_before) & self._private
        known |= set(before.hidden.values())
        for path, content in now.hidden.items():
            if content in self._kept or (content not in known and content not in self._shown):
                self._kept.setdefault(content, set()).add(path)
        self._private |= now.private
        self._last[machine] = now

    def _by_node(self, machine: str, volume: Volume, operation: str) -> None:
        before, now = self._last.get(machine, Sight()), look(volume)
        for path, content in now.seen.items() if not volume.modeless else ():
            if content in self._kept and content not in self._shown and before.seen.get(path) != content:
                where = self._kept[content]
                if not any(paths.within(each, opened) for each in where for opened in self._opened):
                    raise Violation(
                        "PrivateStaysPrivate",
                        f"{machine} shows others at {path!r}, in {operation}, what only its owner could read "
                        f"at {sorted(where)}: {content[:40]!r}",
                    )
        self._private |= now.private
        self._last[machine] = now


def look(volume: Volume) -> Sight:
    """What others see of the folder just now."""
    sight = Sight()
    for name, inode in volume.root.entries.values():
        if name != STATE_DIRECTORY:
            _look(name, inode, sight, False)
    return sight


def _look(path: str, inode: object, sight: Sight, hidden: bool) -> None:
    if isinstance(inode, File):
        private = inode.private and not inode.modeless
        (sight.private if private else sight.open).add(path)
        (sight.hidden if hidden or private else sight.seen)[path] = inode.content()
    elif isinstance(inode, Directory):
        private = inode.private and not inode.modeless
        (sight.private if private else sight.open).add(path)
        hidden = hidden or private
        if not hidden:
            sight.directories.add(path)
        for name, inside in inode.entries.values():
            _look(f"{path}/{name}", inside, sight, hidden)
