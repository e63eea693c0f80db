"""What people do in a drive's folder: a table of actions, each a few lines.

An action works on the disk of one machine and tells the oracle. What it works on comes from its own random
numbers, in such a way that leaving out other actions changes its choice as little as possible: that is what
makes failing schedules shrink.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING
from zlib import crc32

from p2pdrive.folder.files import FileKind
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
DIRECTORIES = ("d", "d/e", "x", "empty")
TARGETS = ("a.txt", "../outside", "/etc/passwd", "d", "nowhere")
RULES = (b"b.txt\n", b"d/\n", b"*.bin\n", b"*.txt\n!a.txt\n", b"")
ODD_NAMES = ("a:b?.txt", " leading", "trailing ", "é.txt", "e\u0301.txt", "A.TXT", "-rf", "a\nb", "x" * 180)

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
        """All regular files that are there, but for the ignore rules: a link or folder there is no rule."""
        tree = self.machine.disk.tree()
        return [path for path, shown in tree.items() if shown[0] == "file" and path != IGNORE_FILE]

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
        replaced = self.current(path)
        _make_parents(self, path)
        write()
        self.world.oracle.wrote(self.machine.name, path, data, replaced)
        self.say("writes", path, bytes=len(data), begins=data[:24])

    def say(self, what: str, path: str, **details: object) -> None:
        """Note it in the trace."""
        self.world.note(what, self.machine.name, path=path, **details)


Act = Callable[[Person], None]


def _write(person: Person) -> None:
    path = person.pick(PATHS)
    assert path is not None
    data = person.content()
    new_inode = person.random.random() < 0.5
    person.put(path, data, lambda: person.machine.disk.write(path, data, new_inode=new_inode))


def _edit(person: Person) -> None:
    path = person.pick(person.files())
    if path is not None:
        data = person.content()
        new_inode = person.random.random() < 0.5
        person.put(path, data, lambda: person.machine.disk.write(path, data, new_inode=new_inode))


def _append(person: Person) -> None:
    path = person.pick(person.files())
    if path is not None:
        more = person.content()
        whole = (person.current(path) or b"") + more
        person.put(path, whole, lambda: person.machine.disk.append(path, more))


def _insert(person: Person) -> None:
    path = person.pick(person.files())
    if path is not None:
        more, now = person.content(), person.current(path) or b""
        at = person.random.randrange(len(now) + 1)
        whole = now[:at] + more + now[at:]
        person.put(path, whole, lambda: person.machine.disk.insert(path, at, more))


def _delete(person: Person) -> None:
    _delete_one(person, person.pick(person.files()))


def _delete_copy(person: Person) -> None:
    _delete_one(person, person.pick(person.copies()))


def _delete_one(person: Person, path: str | None) -> None:
    if path is not None:
        data = person.current(path)
        person.machine.disk.delete(path)
        person.world.oracle.deleted(person.machine.name, path, data)
        person.say("deletes", path)


def _edit_copy(person: Person) -> None:
    path = person.pick(person.copies())
    if path is not None:
        data = person.content()
        person.put(path, data, lambda: person.machine.disk.write(path, data))


def _rename(person: Person) -> None:
    old = person.pick(person.files())
    new = person.pick((*PATHS, "moved.txt", "m/moved.txt"))
    if old is not None and new is not None and old != new:
        replaced = person.current(new)
        _make_parents(person, new)
        person.machine.disk.rename(old, new)
        person.world.oracle.renamed(person.machine.name, old, new, replaced)
        person.say("renames", old, to=new)


def _rename_directory(person: Person) -> None:
    old = person.pick(person.directories())
    new = person.pick(("d", "m", "x", "d/deep"))
    if old is None or new is None or new == old or new.startswith(old + "/"):
        return
    if not person.machine.disk.exists(new):
        _make_parents(person, new)
        person.machine.disk.rename(old, new)
        person.world.oracle.renamed(person.machine.name, old, new)
        person.say("renames", old, to=new)


def _make_parents(person: Person, path: str) -> None:
    for directory in reversed(paths.ancestors(path)):
        if not person.machine.disk.exists(directory):
            _make(person, directory)


def _make(person: Person, path: str) -> None:
    person.machine.disk.make_directory(path)
    person.world.oracle.made_directory(person.machine.name, path)


def _make_directory(person: Person) -> None:
    path = person.pick(DIRECTORIES)
    assert path is not None
    if not person.machine.disk.exists(path):
        _make_parents(person, path)
        _make(person, path)
        person.say("makes directory", path)


def _remove_directory(person: Person) -> None:
    path = person.pick(person.directories())
    if path is not None:
        person.machine.disk.remove_directory(path)
        person.world.oracle.deleted(person.machine.name, path, None)
        person.say("removes directory", path)


def _remove_tree(person: Person) -> None:
    path = person.pick(person.directories())
    if path is not None:
        disk = person.machine.disk
        gone = [each for each in disk.tree() if paths.within(each, path)]
        for each in sorted(gone, key=paths.key, reverse=True):
            data = person.current(each)
            remove = disk.remove_directory if disk.kind(each) is FileKind.DIRECTORY else disk.delete
            remove(each)
            person.world.oracle.deleted(person.machine.name, each, data)
        person.say("removes all in", path)


def _change_mode(person: Person) -> None:
    path = person.pick(person.files())
    if path is not None:
        executable = person.random.random() < 0.5
        person.machine.disk.chmod(path, executable)
        person.world.oracle.chmodded(person.machine.name, path)
        person.say("makes", path, executable=executable)


def _touch(person: Person) -> None:
    path = person.pick(person.files())
    if path is not None:
        when = person.machine.now_ns() - person.random.randrange(10**12)
        person.machine.disk.touch(path, when)
        person.world.oracle.chmodded(person.machine.name, path)
        person.say("touches", path)


def _link(person: Person) -> None:
    path, target = person.pick((*PATHS, "link")), person.random.choice(TARGETS)
    if path is not None and not person.machine.disk.exists(path):
        _make_parents(person, path)
        person.machine.disk.symlink(path, target)
        person.world.oracle.linked(person.machine.name, path, target)
        person.say("links", path, target=target)


def _save_as_editors_do(person: Person) -> None:
    """Write beside it, move the old one away, rename, delete: each step is to be seen."""
    path = person.pick(person.files())
    if path is None:
        return
    disk, oracle, name = person.machine.disk, person.world.oracle, person.machine.name
    data, was = person.content(), person.current(path)
    beside, old = f"{path}.tmp", f"{path}~"
    replaced = person.current(beside)
    disk.write(beside, data)
    oracle.wrote(name, beside, data, replaced)
    replaced = person.current(old)
    disk.rename(path, old)
    oracle.renamed(name, path, old, replaced)
    disk.rename(beside, path)
    oracle.renamed(name, beside, path)
    if was is not None and person.random.random() < 0.7:
        disk.delete(old)
        oracle.deleted(name, old, was)
    person.say("saves", path, begins=data[:24])


def _swap(person: Person) -> None:
    """Two files change their names."""
    one, other = person.pick(person.files()), person.pick(person.files())
    if one is None or other is None or one == other:
        return
    disk, oracle, name = person.machine.disk, person.world.oracle, person.machine.name
    for old, new in ((one, "swap"), (other, one), ("swap", other)):
        replaced = person.current(new)
        disk.rename(old, new)
        oracle.renamed(name, old, new, replaced)
    person.say("swaps", one, with_=other)


def _replace_by_directory(person: Person) -> None:
    path = person.pick(person.files())
    if path is not None:
        _delete_one(person, path)
        _make(person, path)
        data = person.content()
        inside = f"{path}/y.txt"
        person.put(inside, data, lambda: person.machine.disk.write(inside, data))


def _hold(person: Person) -> None:
    """Keep a file open, and write to it in a while."""
    path = person.pick(person.files())
    if path is not None:
        person.machine.disk.hold_open(path)
        data = person.content()
        person.say("opens", path)
        person.world.until_undone(lambda: _write_held(person, path, data), 5 * person.random.random())


def _write_held(person: Person, path: str, data: bytes) -> None:
    disk = person.machine.disk
    held = disk.held.get(path)
    if held is None:
        return
    now = next((where for where, inode in disk.volume.walk() if inode is held), None)
    was = held.content()
    try:
        if not disk.present:
            return
        disk.write_held(path, data)
        if held.links and now is not None:
            visible = now if not now.startswith(STATE_DIRECTORY) else path
            person.world.oracle.wrote(person.machine.name, visible, data, was)
        person.say("writes to", path, now=now)
    except OSError:
        pass  # a full disk, say: it is closed as it is
    finally:
        disk.let_go(path)


def _rules(person: Person) -> None:
    path = IGNORE_FILE
    data = person.random.choice(RULES) + f"# {person.number} by {person.machine.name}\n".encode()
    if person.random.random() < 0.2 and person.current(path) is not None:
        _delete_one(person, path)
    else:
        person.put(path, data, lambda: person.machine.disk.write(path, data))


def _odd_name(person: Person) -> None:
    path = person.random.choice(ODD_NAMES)
    data = person.content()
    person.put(path, data, lambda: person.machine.disk.write(path, data))


#: Name → (what is done, its weight). A new kind of action is a line here.
ACTIONS: dict[str, tuple[Act, int]] = {
    "write": (_write, 30),
    "edit": (_edit, 16),
    "append": (_append, 6),
    "insert": (_insert, 4),
    "delete": (_delete, 14),
    "delete copy": (_delete_copy, 5),
    "edit copy": (_edit_copy, 4),
    "rename": (_rename, 12),
    "rename directory": (_rename_directory, 4),
    "make directory": (_make_directory, 4),
    "remove directory": (_remove_directory, 3),
    "remove tree": (_remove_tree, 4),
    "change mode": (_change_mode, 4),
    "touch": (_touch, 2),
    "link": (_link, 4),
    "save": (_save_as_editors_do, 6),
    "swap": (_swap, 2),
    "replace by directory": (_replace_by_directory, 2),
    "hold": (_hold, 3),
    "rules": (_rules, 2),
    "odd name": (_odd_name, 2),
}


def act(person: Person, action: str) -> None:
    """Do it, as far as the disk lets a person."""
    try:
        ACTIONS[action][0](person)
    except OSError as error:
        person.say("fails to", action, why=type(error).__name__)
