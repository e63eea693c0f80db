"""A file or directory that its disk does not make durable is a problem of its own; all else goes on."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.engine.world import Machine, World


class Bad:
    """What is at ``place`` cannot be synced, for ``times`` times once it is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Path, times: int) -> None:
        self._place = place
        self._left = times
        self._real: Callable[[int], None] = os.fsync
        self.failed = 0
        monkeypatch.setattr(os, "fsync", self._sync)

    def mend(self) -> None:
        """From now on it can."""
        self._left = 0

    def _sync(self, fd: int) -> None:
        if self._left and self._place.exists() and os.path.samestat(os.fstat(fd), self._place.stat()):
            self._left -= 1
            self.failed += 1
            raise OSError(errno.EIO, "I/O error")
        self._real(fd)


async def two(world: World) -> tuple[Machine, Machine]:
    anna, berta = await world.sharing("anna", "berta", files={"plain.txt": "p", "d/kept.txt": "k"})
    await world.converge()
    return anna, berta


@pytest.mark.parametrize("times", [1, 1000])
async def test_edit_that_cannot_be_synced_is_not_published_and_others_are(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    anna, berta = await two(world)
    drive = anna.drive
    bad = Bad(monkeypatch, anna.root / "bad.txt", times)
    anna.write("bad.txt", "bad")
    anna.write("good.txt", "good")
    anna.look()
    await world.until(lambda: "good.txt" in berta.files(), "what can be synced")
    assert bad.failed
    assert "bad.txt" not in berta.files()
    assert list(anna.problems) == ["bad.txt"]
    anna.write("later.txt", "later")
    anna.look()
    await world.until(lambda: "later.txt" in berta.files(), "what comes later")
    bad.mend()
    await world.until(lambda: "bad.txt" in berta.files(), "what could not be synced")
    await world.converge()
    assert not anna.problems
    assert anna.drive is drive


async def test_names_in_a_directory_that_cannot_be_synced_are_not_published_nor_missed(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, berta = await two(world)
    drive = anna.drive
    bad = Bad(monkeypatch, anna.root / "d", 1000)
    anna.write("d/new.txt", "new")
    anna.delete("d/kept.txt")
    anna.write("good.txt", "good")
    anna.look()
    await world.until(lambda: "good.txt" in berta.files(), "what can be synced")
    await trio.sleep(20)
    assert berta.files() == {"plain.txt": "p", "good.txt": "good", "d/kept.txt": "k"}
    assert set(anna.problems) == {"d/new.txt", "d/kept.txt"}
    bad.mend()
    await world.converge()
    assert anna.files() == berta.files() == {"plain.txt": "p", "good.txt": "good", "d/new.txt": "new"}
    assert not anna.problems
    assert anna.drive is drive


async def test_what_is_in_a_new_directory_waits_for_the_name_of_that(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, berta = await two(world)
    bad = Bad(monkeypatch, anna.root / "d", 1000)
    anna.write("d/e/new.txt", "new")
    anna.look()
    await trio.sleep(20)
    assert "d/e" not in berta.tree()
    bad.mend()
    await world.converge()
    assert berta.read("d/e/new.txt") == "new"
    assert not anna.problems


@pytest.mark.parametrize("act", ["create", "replace", "delete", "rename", "touch"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_what_is_shown_and_cannot_be_synced_is_shown_in_the_end(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, act: str, restarted: bool
) -> None:
    anna, berta = await two(world)
    await trio.sleep(10)
    bad = Bad(monkeypatch, berta.root / ("d/kept.txt" if act == "touch" else "d"), 1000)
    drive = berta.drive
    match act:
        case "create":
            anna.write("d/new.txt", "new")
        case "replace":
            anna.write("d/kept.txt", "another")
        case "delete":
            anna.delete("d/kept.txt")
        case "rename":
            anna.rename("d/kept.txt", "d/renamed.txt")
        case _:
            os.utime(anna.root / "d/kept.txt", ns=(10**18, 10**18))
    anna.look()
    await world.until(lambda: bad.failed, "the sync that fails")
    anna.write("good.txt", "good")
    anna.look()
    await world.until(lambda: "good.txt" in berta.files(), "what can be synced")
    assert berta.problems
    assert berta.drive is drive
    records = len(anna.dots())
    if restarted:
        await berta.stop()
        bad.mend()
        await berta.start()
    bad.mend()
    await world.converge()
    assert len(anna.dots()) == records, "what was shown was taken for an edit"
    assert not berta.problems
    assert not berta.copies()


async def test_temporary_that_cannot_be_synced_is_not_shown_but_gathered_anew(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, berta = await two(world)
    drive = berta.drive
    real = os.fsync
    failed: list[int] = []

    def sync(fd: int) -> None:
        name = os.readlink(f"/proc/self/fd/{fd}")
        if (
            not failed
            and name.startswith(str(berta.root / ".p2pdrive/tmp/"))
            and os.pread(fd, 3, 0) == b"bad"
        ):
            failed.append(os.fstat(fd).st_ino)
            raise OSError(errno.EIO, "I/O error")
        real(fd)

    monkeypatch.setattr(os, "fsync", sync)
    anna.write("bad.txt", "bad")
    anna.write("good.txt", "good")
    anna.look()
    await world.converge()
    assert failed
    assert berta.read("bad.txt") == "bad"
    assert berta.drive is drive
    assert not berta.problems
