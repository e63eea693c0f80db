"""What programs leave among people's files: litter, locks, and the homes of nodes that are moved in.

Nobody need keep any of it, and most of it is nobody's business on other machines.
"""

from contextlib import suppress

from p2pdrive.folder.defaults import is_litter
from p2pdrive.folder.files import FileKind
from p2pdrive.lab.person import Person
from p2pdrive.model import paths

#: What is made anew, and what a folder stays for when it is deleted elsewhere.
LITTER = (".DS_Store", "Thumbs.db", ".a.txt.swp", ".Trash-1000/old.txt")
HOMES = ("home", "d/home")
#: A lock has a longer name than its document, and no name has more than 255 bytes.
_LOCKED_NAME_MAX = 60


def leave_litter(person: Person) -> None:
    """A desktop or an editor leaves something in a folder."""
    directory = person.pick(["", *person.directories()])
    name = person.random.choice(LITTER)
    if directory is not None:
        _leave(person, paths.join(directory, name))


def lock(person: Person) -> None:
    """An office program opens a document, and closes it in a while."""
    document = person.pick(person.files())
    if document is None or len(document) > _LOCKED_NAME_MAX:
        return
    path = paths.join(paths.parent(document), f".~lock.{paths.name(document)}#")
    _leave(person, path)
    person.world.until_undone(lambda: _unlock(person, path), 5 * person.random.random())


def _unlock(person: Person, path: str) -> None:
    disk = person.machine.disk
    with suppress(OSError):  # its disk is away, say
        if disk.kind(path) is FileKind.FILE:
            disk.delete(path)


def bring_home(person: Person) -> None:
    """A node is given a home in the folder, or a home is copied there."""
    home = person.random.choice(HOMES)
    if person.machine.disk.exists(home):
        return
    own = f" {person.number} of {person.machine.name}\n".encode()  # no two homes are the same
    files = {
        "lock": b"lock" + own,
        "device.key": person.random.randbytes(32),
        "config.json": b'{"format": 1}' + own,
        "drives.json": b'{\n  "format": 1,\n  "drives": []\n}' + own,
    }
    for name, data in files.items():
        path = paths.join(home, name)
        person.make_parents(path)
        person.world.oracle.left(person.machine.name, path, data, secret=name == "device.key")
        person.machine.disk.write(path, data)
    person.say("brings a node's home", home)


def _leave(person: Person, path: str) -> None:
    disk = person.machine.disk
    if disk.kind(path) not in (None, FileKind.FILE):
        return
    data = f"{person.number} by a program on {person.machine.name}\n".encode()
    if not is_litter(path):  # that has to stay where it is
        person.put(path, data, lambda: disk.write(path, data))
        return
    person.make_parents(path)
    person.world.oracle.left(person.machine.name, path, data)
    disk.write(path, data)
    person.say("a program leaves", path)
