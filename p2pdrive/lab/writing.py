"""Programs that write for a while: half of a file is there meanwhile, and nobody else is ever to see it.

The oracle is told of what is closed. What is in a file before that counts as written by nobody, so that a
record of it is a broken promise.
"""

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from p2pdrive.lab.person import Person

if TYPE_CHECKING:
    from p2pdrive.lab.machine import Machine

#: Seconds for which a file is open at most: less than a node has patience for.
_OPEN_SECONDS_MAX = 25.0
_APPENDS_MAX, _APPEND_SECONDS = 60, 0.1


def write_slowly(person: Person) -> None:
    """Make a file, write it in pieces, and close it; now and then the program dies half-way."""
    disk, path = person.machine.disk, f"slow {person.number}.txt"
    if disk.exists(path) or not disk.modern:  # else it is seen half
        return
    beginning = f"the beginning of {person.number} by {person.machine.name}\n".encode()
    whole = beginning + b"and the end\n" * person.random.randrange(1, 200)
    disk.write(path, b"")
    disk.hold_open(path)
    disk.unfinished.add(path)
    person.say("begins", path)
    seconds = _OPEN_SECONDS_MAX * person.random.random()
    person.later(partial(_write, person, path, beginning), seconds * person.random.random())
    last = beginning if person.random.random() < 0.2 else whole
    person.later(partial(_finish, person, path, last), seconds)


def append_often(person: Person) -> None:
    """Append to a file ten times a second, for some seconds."""
    path = person.pick(person.files())
    if path is not None:
        person.say("appends to", path)
        for count in range(1, person.random.randrange(2, _APPENDS_MAX)):
            line = f"line {count} of {person.number} by {person.machine.name}\n".encode()
            person.later(partial(_append, person, path, line), _APPEND_SECONDS * count)


def tell_unfinished(machine: "Machine") -> None:
    """The power fails: what is in files that were being written is what is left of them."""
    for path in sorted(machine.disk.unfinished):
        machine.world.oracle.wrote(machine.name, path, machine.disk.held[path].content(), None)


def _write(person: Person, path: str, data: bytes) -> None:
    disk = person.machine.disk
    with suppress(OSError):  # a full disk, say
        if path in disk.unfinished and disk.present:
            disk.write_held(path, data)


def _finish(person: Person, path: str, data: bytes) -> None:
    disk = person.machine.disk
    if path not in disk.unfinished:
        return  # the power failed meanwhile, or a backup was put back
    _write(person, path, data)
    left = disk.held[path].content()
    disk.unfinished.discard(path)
    disk.let_go(path)
    person.world.oracle.wrote(person.machine.name, path, left, None)
    person.say("closes", path, bytes=len(left))


def _append(person: Person, path: str, line: bytes) -> None:
    was = person.current(path)
    if was is not None and path not in person.machine.disk.unfinished:
        with suppress(OSError):
            person.put(path, was + line, lambda: person.machine.disk.append(path, line))
