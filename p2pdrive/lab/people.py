"""What people do in a drive's folder: a table of actions, each a few lines.

An action works on the disk of one machine and tells the oracle. Habits that take more than a few lines have a
file of their own, and a line in the table.
"""

from collections.abc import Callable

from p2pdrive.folder.files import FileKind
from p2pdrive.lab.desktop import bring_home, leave_litter, lock
from p2pdrive.lab.person import PATHS, Person
from p2pdrive.lab.programs import link_hard, save_with_old_time
from p2pdrive.lab.writing import append_often, write_slowly
from p2pdrive.model import paths
from p2pdrive.model.paths import IGNORE_FILE, STATE_DIRECTORY

DIRECTORIES = ("d", "d/e", "x", "empty")
TARGETS = ("a.txt", "../outside", "/etc/passwd", "d", "nowhere")
RULES = (b"b.txt\n", b"d/\n", b"*.bin\n", b"*.txt\n!a.txt\n", b"", b"!.DS_Store\n")
ODD_NAMES = ("a:b?.txt", " leading", "trailing ", "é.txt", "e\u0301.txt", "A.TXT", "-rf", "a\nb", "x" * 180)

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
        person.make_parents(new)
        person.machine.disk.rename(old, new)
        person.world.oracle.renamed(person.machine.name, old, new, replaced)
        person.say("renames", old, to=new)


def _rename_directory(person: Person) -> None:
    old = person.pick(person.directories())
    new = person.pick(("d", "m", "x", "d/deep"))
    if old is None or new is None or new == old or new.startswith(old + "/"):
        return
    if not person.machine.disk.exists(new):
        person.make_parents(new)
        person.machine.disk.rename(old, new)
        person.world.oracle.renamed(person.machine.name, old, new)
        person.say("renames", old, to=new)


def _make_directory(person: Person) -> None:
    path = person.pick(DIRECTORIES)
    assert path is not None
    if not person.machine.disk.exists(path):
        person.make_parents(path)
        person.make(path)
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


def _keep_private(person: Person) -> None:
    """A file or directory becomes private, or is for others too."""
    person.begin_secrets()
    path = person.pick([*person.files(), *person.directories()])
    if path is not None:
        private = person.random.random() < 0.7
        person.machine.disk.close_to_others(path, private)
        person.world.oracle.chmodded(person.machine.name, path)
        person.say("closes" if private else "opens to others", path)


def _write_secret(person: Person) -> None:
    """A new file is private before there is anything in it; or it is in a directory that is."""
    person.begin_secrets()
    path = person.pick(PATHS)
    assert path is not None
    closed = paths.parent(path) if "/" in path and person.random.random() < 0.6 else path
    data, disk = person.content(), person.machine.disk
    if not disk.exists(path):
        person.put(path, b"", lambda: disk.write(path, b""))  # all that is left, where the disk is full
    disk.close_to_others(closed, True)
    person.put(path, data, lambda: disk.write(path, data))
    person.say("keeps private", closed)


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
        person.make_parents(path)
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
        person.make(path)
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
        person.later(lambda: _write_held(person, path, data), 5 * person.random.random())


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
            for name in (now, *disk.other_names(now)):
                visible = name if not name.startswith(STATE_DIRECTORY) else path
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
    "keep private": (_keep_private, 3),
    "write secret": (_write_secret, 3),
    "link": (_link, 4),
    "link hard": (link_hard, 2),
    "save with old time": (save_with_old_time, 6),
    "save": (_save_as_editors_do, 6),
    "swap": (_swap, 2),
    "replace by directory": (_replace_by_directory, 2),
    "hold": (_hold, 3),
    "write slowly": (write_slowly, 3),
    "append often": (append_often, 1),
    "rules": (_rules, 2),
    "odd name": (_odd_name, 2),
    "litter": (leave_litter, 3),
    "lock": (lock, 2),
    "home": (bring_home, 1),
}


def act(person: Person, action: str) -> None:
    """Do it, as far as the disk lets a person."""
    try:
        ACTIONS[action][0](person)
    except OSError as error:
        person.say("fails to", action, why=type(error).__name__)
