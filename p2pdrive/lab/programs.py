"""What programs do that keep sizes and times (archives, mirrors, package managers), or that link hard."""

from p2pdrive.lab.inodes import File
from p2pdrive.lab.person import PATHS, Person

#: 2000-01-01, as archives and package managers like it.
_OLD_NS = 946_684_800 * 10**9
_OLD_BYTES = 40
#: A file that has just got its name is left alone for so long: see ``checked_at`` in ``engine/same.py``.
_TICK_NS = 20_000_000


def save_with_old_time(person: Person) -> None:
    """Save a file of the size and time that all such files have: in place, as another file, or, as an upgrade
    does, under another name, so that the disk hands the inode number of the one before out again."""
    path = person.pick(PATHS)
    assert path is not None
    disk, oracle, name = person.machine.disk, person.world.oracle, person.machine.name
    found = disk.volume.find(path)
    if isinstance(found, File) and person.machine.now_ns() - found.ctime_ns < _TICK_NS:
        return
    data = f"{person.number} by {name}".encode().ljust(_OLD_BYTES)
    how = person.random.choice(("in place", "another file", "another name"))
    was = person.current(path)
    if how == "another name" and was is not None:
        disk.delete(path)
        oracle.deleted(name, path, was)
        path = person.pick((*PATHS, "upgraded.txt")) or path
    person.put(path, data, lambda: disk.write(path, data, new_inode=how == "another file"))
    disk.touch(path, _OLD_NS)
    oracle.chmodded(name, path)


def link_hard(person: Person) -> None:
    """Give a file another name, as a program does that finds duplicates."""
    path, new = person.pick(person.files()), person.pick((*PATHS, "linked.txt"))
    if path is None or new is None or person.machine.disk.exists(new):
        return
    data = person.current(path) or b""
    person.put(new, data, lambda: person.machine.disk.hard_link(path, new))
