"""What is made durable before a file is published: its bytes, its time and its mode, not its bytes alone."""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.errors import NotWritable, WorldError
from p2pdrive.folder.exact import ExactFiles
from p2pdrive.folder.files import Stat
from p2pdrive.limits import SYNC_EACH_MAX
from tests.engine.world import Machine, World

#: What a power cut must not take: the bytes, the time in ns, the executable bit.
State = tuple[bytes, int, bool]


class Diary:
    """What the folder was asked, in order: what temporaries were when synced, and what came of them."""

    def __init__(self) -> None:
        self.durable: dict[str, State] = {}
        self.published: dict[str, State] = {}
        self.stubborn: set[bytes] = set()  # contents whose time cannot be set


class Watched(ExactFiles):
    def __init__(self, root: str, diary: Diary) -> None:
        super().__init__(Path(root))
        self._temporaries = Path(root, ".p2pdrive/tmp")
        self._diary = diary

    def finish_temporary(
        self, name: str, mtime_ns: int, executable: bool, private: bool | None = None
    ) -> Stat:
        content = (self._temporaries / name).read_bytes()
        if content in self._diary.stubborn:
            self._diary.stubborn.discard(content)
            raise NotWritable(f"{name}: its time cannot be set")
        return super().finish_temporary(name, mtime_ns, executable, private)

    def sync_temporaries(self, names: Iterable[str]) -> Mapping[str, WorldError]:
        names = list(names)
        unsynced = super().sync_temporaries(names)
        self._diary.durable.update({name: state(self._temporaries / name) for name in names})
        return unsynced

    def publish(self, name: str, path: str, expected: Any) -> Any:
        before = state(self._temporaries / name)
        assert self._diary.durable.get(name) == before, f"{path} is published as it was not synced"
        result = super().publish(name, path, expected)
        self._diary.published[path] = before
        return result


def state(place: Path) -> State:
    found = place.lstat()
    return (place.read_bytes(), found.st_mtime_ns, bool(found.st_mode & stat.S_IXUSR))


async def watched(world: World) -> tuple[Machine, Machine, Diary]:
    """Two machines; all that the second does to its folder is in the diary."""
    anna, berta = world.machine("anna"), world.machine("berta")
    diary = Diary()
    berta.services = replace(berta.services, open_files=lambda root: Watched(root, diary))
    await anna.share()
    await berta.join(anna)
    await world.converge()
    return anna, berta, diary


def check(berta: Machine, diary: Diary, count: int) -> None:
    assert len(diary.published) == count
    for path, published in diary.published.items():
        assert state(berta.root / path) == published


@pytest.mark.parametrize("count", [1, SYNC_EACH_MAX, SYNC_EACH_MAX + 10])
async def test_new_files_have_their_time_and_mode_when_they_are_synced(
    world: World, autojump_clock: MockClock, count: int
) -> None:
    """Synced one by one, or all together."""
    anna, berta, diary = await watched(world)
    for number in range(count):
        anna.write(f"d/f{number}", f"content {number}")
        os.utime(anna.root / f"d/f{number}", ns=(10**18 + number, 10**18 + number))
        (anna.root / f"d/f{number}").chmod(0o755 if number % 2 == 0 else 0o644)
    await world.converge()
    check(berta, diary, count)
    assert berta.tree()["d/f0"] == ("file", b"content 0", True, 10**18)


async def test_replaced_files_have_them_too(world: World, autojump_clock: MockClock) -> None:
    anna, berta, diary = await watched(world)
    anna.write("r", "first")
    anna.write("empty", "")
    await world.converge()
    await trio.sleep(5)
    anna.write("r", "second, and executable")
    (anna.root / "r").chmod(0o755)
    anna.write("empty", "no more")
    await world.converge()
    check(berta, diary, 2)
    assert diary.published["r"][0] == b"second, and executable" and diary.published["r"][2]


async def test_file_whose_time_cannot_be_set_is_not_published_and_the_others_are(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, diary = await watched(world)
    diary.stubborn.add(b"stubborn")
    for text in ("one", "stubborn", "two"):
        anna.write(text, text)
    anna.look()
    await world.until(lambda: "stubborn" in berta.problems, "the problem")
    await world.until(lambda: berta.files() == {"one": "one", "two": "two"}, "the others")
    assert "stubborn" not in diary.published
    await world.until(lambda: "stubborn" in berta.files(), "the file, tried again")
    await world.converge()
    check(berta, diary, 3)
    assert berta.problems == {}
