"""The simulated folder does what the real one does: the same results, names and errors."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from io import BufferedRandom
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from p2pdrive.errors import NotWritable, WorldError
from p2pdrive.folder.files import Displaced, FileKind, Files, Name, Published, Stat
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.syscalls import SystemCalls
from p2pdrive.lab.disk import Disk
from p2pdrive.lab.files import SimulatedFiles

#: What is said of permissions: nothing, for others too, for nobody but the owner.
PRIVATE = st.sampled_from([None, False, True])
PATHS = st.sampled_from(["a", "b", "d", "d/a", "d/e", "d/e/a", "e", "e/a", "d/../a", "e/.p2pdrive"])
NAMES = st.sampled_from(["one", "two"])
CONTENTS = st.sampled_from([b"", b"x", b"some text", bytes(70_000)])
SECOND = 10**9
START_NS = 1_600_000_000 * SECOND
#: In memory where there is such a place: it is about names, not about disks.
DIRECTORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Pair(RuleBasedStateMachine):
    """A real folder and a simulated one, to which the same is done."""

    modern = True

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp(dir=DIRECTORY)
        self.root = Path(self.directory) / "drive"
        (self.root / ".p2pdrive").mkdir(parents=True)
        calls = SystemCalls.detect() if self.modern else SystemCalls.portable()
        self.real: Files = LocalFiles(self.root, calls)
        self.disk = Disk(Random(0), lambda: START_NS, modern=self.modern)
        self.simulated: Files = SimulatedFiles(self.disk)
        self.times = START_NS
        self.writer: BufferedRandom | None = None
        self.held = ""
        self.seen: dict[str, tuple[Stat | None, Stat | None]] = {}

    @initialize()
    def begin(self) -> None:
        for directory in ("d", "d/e"):
            self.make_directory(directory, None)
        for path in ("a", "d/a"):
            self.person_writes(path, b"begun", False)

    # --- the engine
    @rule(path=PATHS)
    def stat(self, path: str) -> None:
        self.both(lambda files: files.stat(path))
        self.both(lambda files: files.stats([path, "a", "d/a", "gone/b"]))
        if "." not in path:
            self.seen[path] = (self.real.stat(path), self.simulated.stat(path))

    @rule(path=PATHS | st.just(""))
    def list(self, path: str) -> None:
        self.both(lambda files: files.list(path))

    @rule(path=PATHS)
    def open(self, path: str) -> None:
        self.both(lambda files: content_of(files.open(path)))

    @rule(name=NAMES, content=CONTENTS, executable=st.booleans(), private=PRIVATE, resumed=st.booleans())
    def receive(
        self, name: str, content: bytes, executable: bool, private: bool | None, resumed: bool
    ) -> None:
        mtime_ns = self.later()

        def work(files: Files) -> object:
            with files.open_temporary(name, len(content)) as handle:
                if not resumed:
                    handle.pwrite(content, 0)
            return files.finish_temporary(name, mtime_ns, executable, private)

        self.both(work)

    @rule(name=NAMES)
    def sync_temporary(self, name: str) -> None:
        self.both(lambda files: files.sync_temporaries([name]))

    @rule(path=PATHS)
    def sync_file(self, path: str) -> None:
        if "." not in path:
            self.both(lambda files: files.sync_files([path]))

    @rule(path=PATHS)
    def sync_directory(self, path: str) -> None:
        self.both(lambda files: files.sync_directories(["", path]))

    @rule(name=NAMES, path=PATHS, new=st.booleans())
    def publish(self, name: str, path: str, new: bool) -> None:
        real, simulated = (None, None) if new else self.expected(path)
        self.each(
            lambda: self.real.publish(name, path, real), lambda: self.simulated.publish(name, path, simulated)
        )

    @rule(name=NAMES)
    def discard(self, name: str) -> None:
        self.both(lambda files: files.discard(name))

    @rule(path=PATHS)
    def take_up_displaced(self, path: str) -> None:
        for displaced in self.simulated.displaced():
            name = displaced.name
            if displaced.stat.kind is FileKind.FILE:
                self.both(partial(content_of_displaced, name))
            self.both(partial(publish_new, name, path))

    @rule(source=PATHS, path=PATHS)
    def move(self, source: str, path: str) -> None:
        real, simulated = self.expected(source)
        if real is not None and simulated is not None:
            self.each(
                lambda: self.real.move(source, path, real),
                lambda: self.simulated.move(source, path, simulated),
            )

    @rule(path=PATHS)
    def remove(self, path: str) -> None:
        real, simulated = self.expected(path)
        if real is not None and simulated is not None:
            self.each(lambda: self.real.remove(path, real), lambda: self.simulated.remove(path, simulated))

    @rule(path=PATHS, executable=st.booleans(), private=PRIVATE)
    def set_metadata(self, path: str, executable: bool, private: bool | None) -> None:
        real, simulated = self.expected(path)
        mtime_ns = self.later()
        if real is not None and simulated is not None:
            self.each(
                lambda: self.real.set_metadata(path, mtime_ns, executable, real, private),
                lambda: self.simulated.set_metadata(path, mtime_ns, executable, simulated, private),
            )

    @rule(path=PATHS, private=PRIVATE)
    def make_directory(self, path: str, private: bool | None) -> None:
        self.both(lambda files: files.make_directory(path, private))

    @rule(path=PATHS)
    def remove_directory(self, path: str) -> None:
        self.both(lambda files: files.remove_directory(path))

    @rule(path=PATHS, leads=st.sampled_from(["a", "", "../x", "d"]), new=st.booleans())
    def make_symlink(self, path: str, leads: str, new: bool) -> None:
        real, simulated = (None, None) if new else self.expected(path)
        self.each(
            lambda: self.real.make_symlink(path, leads, real),
            lambda: self.simulated.make_symlink(path, leads, simulated),
        )

    # --- a person
    @rule(path=PATHS, content=CONTENTS, new_inode=st.booleans())
    def person_writes(self, path: str, content: bytes, new_inode: bool) -> None:
        place, mtime_ns = self.root / path, self.later()
        if place.is_dir() or place.is_symlink() or not place.parent.is_dir() or "." in path:
            return
        if any(above.is_symlink() for above in place.parents if self.root in above.parents):
            return
        if new_inode and place.exists():
            mode = place.stat().st_mode
            (self.root / "saved").write_bytes(content)
            (self.root / "saved").chmod(mode)
            (self.root / "saved").rename(place)
        else:
            place.write_bytes(content)
        os.utime(place, ns=(mtime_ns, mtime_ns))
        self.disk.write(path, content, new_inode=new_inode, parents=False)
        self.disk.touch(path, mtime_ns)

    @rule(path=PATHS)
    def person_deletes(self, path: str) -> None:
        if "." not in path:
            place = self.root / path
            self.persons(lambda: os.rmdir(place), lambda: self.disk.remove_directory(path))
            self.persons(lambda: os.unlink(place), lambda: self.disk.delete(path))

    @rule(old=PATHS, new=PATHS)
    def person_renames(self, old: str, new: str) -> None:
        if "." not in old + new:
            self.persons(
                lambda: os.rename(self.root / old, self.root / new), lambda: self.disk.rename(old, new)
            )

    @rule(path=PATHS, executable=st.booleans(), private=st.booleans())
    def person_chmods(self, path: str, executable: bool, private: bool) -> None:
        if self.disk.kind(path) is FileKind.FILE:
            mtime_ns = self.later()
            (self.root / path).chmod((0o755 if executable else 0o644) & (0o700 if private else 0o777))
            os.utime(self.root / path, ns=(mtime_ns, mtime_ns))
            self.disk.chmod(path, executable)
            self.disk.close_to_others(path, private)
            self.disk.touch(path, mtime_ns)

    @rule(path=PATHS)
    def person_holds_open(self, path: str) -> None:
        if self.writer is None and self.disk.kind(path) is FileKind.FILE:
            self.writer = (self.root / path).open("r+b")
            self.disk.hold_open(path)
            self.held = path

    @rule(content=st.sampled_from([b"y", b"written"]))
    def person_lets_go(self, content: bytes) -> None:
        if self.writer is not None:
            self.writer.truncate()
            self.writer.write(content)
            self.writer.flush()
            mtime_ns = self.later()
            os.utime(self.writer.fileno(), ns=(mtime_ns, mtime_ns))
            self.writer.close()
            self.writer = None
            file = self.disk.held[self.held]
            self.disk.write_held(self.held, content)
            file.mtime_ns = mtime_ns
            file.changed(self.disk.volume.stamp())
            self.disk.let_go(self.held)

    # --- how
    def both(self, work: Callable[[Files], object]) -> None:
        self.each(lambda: work(self.real), lambda: work(self.simulated))

    def each(self, real: Callable[[], object], simulated: Callable[[], object]) -> None:
        """Do it to each, and compare what comes of it, and what is there then."""
        assert outcome(simulated) == outcome(real)
        assert self.simulated.temporaries() == self.real.temporaries()
        assert seen(self.simulated.displaced()) == seen(self.real.displaced())
        assert self.disk.tree() == tree(self.root)

    def persons(self, real: Callable[[], object], simulated: Callable[[], object]) -> None:
        """A symlink on the way stops a simulated person; all else is as it is."""
        try:
            simulated()
        except OSError:
            return
        real()
        assert self.disk.tree() == tree(self.root)

    def expected(self, path: str) -> tuple[Stat | None, Stat | None]:
        """What was seen there once; no directory.

        Where it has changed in its ctime only, a real clock may be too coarse to tell: looked at again.
        """
        real, simulated = self.seen.get(path, (None, None))
        now = self.simulated.stat(path) if simulated is not None else None
        if now is not None and simulated is not None and now.same_version(simulated):
            real, simulated = self.real.stat(path), now
        if simulated is not None and simulated.kind is FileKind.DIRECTORY:
            return None, None
        return real, simulated

    def later(self) -> int:
        self.times += SECOND
        return self.times

    def teardown(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.real.close()
        self.simulated.close()
        shutil.rmtree(self.directory)


class PortablePair(Pair):
    """The same where nothing is there but what every system has."""

    modern = False


@pytest.mark.parametrize("machine", [Pair, PortablePair])
def test_simulated_folder_does_what_the_real_one_does(machine: type[Pair]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=50, stateful_step_count=30, deadline=None)
    )


@pytest.mark.parametrize("machine", [Pair, PortablePair])
def test_publishing_what_is_not_there_is_the_same_to_both(machine: type[Pair]) -> None:
    """The names of what was displaced afterwards were not."""
    pair = machine()
    try:
        pair.begin()
        pair.stat("a")
        pair.publish("one", "a", False)
        pair.remove("a")
    finally:
        pair.teardown()


def test_what_cannot_be_synced_is_named_and_the_rest_is_synced() -> None:
    """As in tests/folder/test_failing_calls.py."""
    disk = Disk(Random(0), lambda: START_NS)
    files = SimulatedFiles(disk)
    names = ["a", "bad", "c"]
    for name in names:
        disk.write(name, b"some")
        files.make_directory(f"in {name}")
        files.open_temporary(name, 4).close()
    for operation, path, sync in (
        ("sync_files", "bad", files.sync_files),
        ("sync_directories", "in bad", files.sync_directories),
        ("sync_temporaries", "bad", files.sync_temporaries),
    ):
        disk.fail(operation, path, OSError(errno.EIO, "I/O error"))
        failed = sync([path.replace("bad", name) for name in names])
        assert {name: type(why) for name, why in failed.items()} == {path: NotWritable}
        assert sync([path]) == {}
    disk.crash()
    assert disk.read("c") == b"some"


def content_of(handle: Any) -> bytes:
    with handle:
        buffer = bytearray(100_000)
        number = handle.readinto(memoryview(buffer))
        assert handle.readinto(memoryview(buffer)) == 0
        assert handle.stat().size == number
        return bytes(buffer[:number])


def content_of_displaced(name: str, files: Files) -> bytes:
    return content_of(files.open_displaced(name))


def publish_new(name: str, path: str, files: Files) -> Published:
    return files.publish(name, path, None)


def outcome(work: Callable[[], object]) -> object:
    try:
        return seen(work())
    except WorldError as error:
        return type(error)


def seen(found: object) -> object:
    """Without what may differ: numbers, times that were not set, sizes of directories."""
    match found:
        case Stat(kind=FileKind.DIRECTORY):
            return FileKind.DIRECTORY
        case Stat():
            mtime_ns = found.mtime_ns if found.kind is FileKind.FILE else 0
            return (found.kind, found.size, mtime_ns, found.executable, found.target, found.private)
        case Published(stat, displaced):
            return (seen(stat), displaced)
        case Displaced(name, path, stat):
            return (name, path, seen(stat))
        case Name(name, raw, stat):
            return (name, raw, seen(stat))
        case WorldError():
            return type(found)
        case list():
            return [seen(item) for item in found]
        case dict():
            return {path: seen(stat) for path, stat in found.items()}
    return found


def tree(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for place in sorted(root.rglob("*")):
        path = str(place.relative_to(root))
        if path.split("/", maxsplit=1)[0] == ".p2pdrive":
            continue
        if place.is_symlink():
            found[path] = ("link", os.readlink(place))
        elif place.is_dir():
            found[path] = ("directory",)
        else:
            stat = place.stat()
            found[path] = ("file", place.read_bytes(), bool(stat.st_mode & 0o100), stat.st_mtime_ns)
    return found
