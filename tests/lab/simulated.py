"""Disks of tests, and what is on them; a violation for tests of how one is found."""

from random import Random

import pytest
from hypothesis import strategies as st

from p2pdrive.folder.files import Stat
from p2pdrive.lab.disk import Disk
from p2pdrive.lab.files import SimulatedFiles
from p2pdrive.lab.oracle import Violation
from p2pdrive.lab.people import ACTIONS
from p2pdrive.lab.person import Person

NOW_NS = 1_700_000_000 * 10**9
Act = tuple[object, ...]

_paths = st.sampled_from(["a", "b", "a/a", "a/b", "b/a", "b/a/a", "b/a/b"])
#: What a person may try, possible or not.
ACTS = st.one_of(
    st.tuples(st.just("write"), _paths, st.binary(max_size=3)),
    st.tuples(st.just("rename"), _paths, _paths),
    st.tuples(st.sampled_from(["delete", "make_directory", "remove_directory", "sync"]), _paths),
)


def disk_of(seed: int = 0, **options: bool | int) -> Disk:
    return Disk(Random(seed), lambda: NOW_NS, **options)  # type: ignore[arg-type]


def summary(disk: Disk) -> tuple[tuple[str, object], ...]:
    """(path, content or kind) of all there is."""
    return tuple((path, shown[1] if shown[0] == "file" else shown[0]) for path, shown in disk.tree().items())


def received(files: SimulatedFiles, content: bytes, *, synced: bool = True) -> str:
    """The name of a finished temporary."""
    with files.open_temporary("received", len(content)) as handle:
        handle.pwrite(content, 0)
    files.finish_temporary("received", NOW_NS, False)
    if synced:
        files.sync_temporaries(["received"])
    return "received"


def there(files: SimulatedFiles, path: str) -> Stat:
    found = files.stat(path)
    assert found is not None
    return found


def attempt(disk: Disk, act: Act) -> None:
    name, *arguments = act
    options = {"parents": False} if name == "write" else {}
    try:
        getattr(disk, str(name))(*arguments, **options)
    except OSError:
        return


def plant_violation(monkeypatch: pytest.MonkeyPatch, action: str = "delete") -> None:
    """Whoever does this to a file brings forth, as it were, a content that nobody wrote."""
    act, weight = ACTIONS[action]

    def break_promise(person: Person) -> None:
        if person.pick(person.files()) is not None:
            raise Violation("NoInventedContent", "planted")
        act(person)

    monkeypatch.setitem(ACTIONS, action, (break_promise, weight))
