"""What p2pdrive replaces or deletes is kept as the file that it is, whenever the node is stopped."""

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from p2pdrive.engine import show
from p2pdrive.index.archived import Archived
from p2pdrive.limits import MIB
from tests.engine.test_received_versions import blocks_of, packs_bytes, received, whole
from tests.engine.world import Machine, World

PHOTO = random.Random(5).randbytes(2 * MIB)


def archive(machine: Machine) -> list[Path]:
    return sorted((machine.root / ".p2pdrive/archive").iterdir())


def temporaries(machine: Machine) -> list[Path]:
    return sorted((machine.root / ".p2pdrive/tmp").iterdir())


def rows(machine: Machine) -> set[int]:
    with machine.replica.reading() as log:
        return Archived(log.connection).numbers()


async def deleted(world: World, data: bytes = PHOTO) -> Machine:
    """Berta, who got a file of anna's that anna has deleted since."""
    anna, berta = await received(world, data)
    inode = (berta.root / "r").stat().st_ino
    anna.delete("r")
    anna.look()
    await world.converge()
    (kept,) = archive(berta)
    assert kept.stat().st_ino == inode
    return berta


async def test_deletion_elsewhere_keeps_the_file_itself_and_copies_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    berta = await deleted(world)
    assert packs_bytes(berta) == 0
    assert whole(berta, blocks_of(berta, PHOTO)) == PHOTO
    assert temporaries(berta) == []
    await berta.restart()
    assert whole(berta, blocks_of(berta, PHOTO)) == PHOTO
    assert len(archive(berta)) == 1


async def test_small_file_that_is_deleted_elsewhere_goes_into_a_pack(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await received(world, b"a note")
    anna.delete("r")
    anna.look()
    await world.converge()
    assert archive(berta) == []
    assert whole(berta, blocks_of(berta, b"a note")) == b"a note"


async def test_kill_between_the_index_and_the_rename_leaves_the_file_to_the_next_start(
    world: World, autojump_clock: MockClock
) -> None:
    berta = await deleted(world)
    await berta.stop()
    (kept,) = archive(berta)
    kept.rename(berta.root / f".p2pdrive/tmp/displaced.{kept.name}.r")
    await berta.restart()
    assert archive(berta) == [kept]
    assert temporaries(berta) == []
    assert not (berta.root / "r").exists()
    assert whole(berta, blocks_of(berta, PHOTO)) == PHOTO


async def test_archived_file_that_the_index_does_not_name_is_taken_in(
    world: World, autojump_clock: MockClock
) -> None:
    berta = await deleted(world)
    with berta.replica.writing() as log:
        for number in rows(berta):
            Archived(log.connection).forget(number)
    assert whole(berta, blocks_of(berta, PHOTO)) is None
    await berta.restart()
    assert whole(berta, blocks_of(berta, PHOTO)) == PHOTO


async def test_archived_file_that_is_gone_is_forgotten_and_its_number_is_free(
    world: World, autojump_clock: MockClock
) -> None:
    berta = await deleted(world)
    await berta.stop()
    for kept in archive(berta):
        kept.unlink()
    await berta.restart()
    assert rows(berta) == set()
    assert berta.replica.store.held(blocks_of(berta, PHOTO)) == set()


async def test_equal_files_that_are_deleted_together_are_kept_once(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await received(world, PHOTO)
    anna.write("again", PHOTO)
    await world.converge()
    for path in ("r", "again"):
        anna.delete(path)
    anna.look()
    await world.converge()
    assert len(archive(berta)) == 1
    assert temporaries(berta) == []
    assert whole(berta, blocks_of(berta, PHOTO)) == PHOTO


async def test_of_a_large_file_that_changes_a_little_the_old_part_is_copied_and_not_the_file_kept(
    world: World, autojump_clock: MockClock
) -> None:
    large = random.Random(6).randbytes(8 * MIB)
    anna, berta = await received(world, large)
    anna.write("r", large[: 4 * MIB] + b"an insert" + large[4 * MIB :])
    anna.look()
    await world.converge()
    assert archive(berta) == []
    assert 0 < packs_bytes(berta) <= 2 * MIB
    assert whole(berta, blocks_of(berta, large)) == large


async def test_version_that_was_displaced_at_a_kill_is_kept_though_its_entry_still_stands(
    world: World, autojump_clock: MockClock
) -> None:
    """The entry says that its blocks are at the path, where the next version is by then."""
    anna, berta = await received(world, PHOTO)
    world.part()
    anna.write("r", PHOTO[::-1])
    anna.look()
    await world.quiet()
    await berta.stop()
    (berta.root / "r").rename(berta.root / ".p2pdrive/tmp/displaced.77.r")
    (berta.root / "r").write_bytes(PHOTO[::-1])
    await berta.start()
    world.join_up()
    await world.converge()
    assert whole(berta, blocks_of(berta, PHOTO)) == PHOTO


async def test_nothing_is_let_go_while_it_is_decided_and_noted_what_history_holds(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two equal files that two runs removed at once, each counted as held by the other."""
    free: list[bool] = []

    def watched(work: Any) -> Any:
        def with_a_look(replica: Any, *arguments: Any) -> Any:
            other = threading.Thread(target=lambda: free.append(replica.yielding.acquire(blocking=False)))
            other.start()
            other.join()
            return work(replica, *arguments)

        return with_a_look

    for name in ("retire", "note_archived", "put_away"):
        monkeypatch.setattr(show, name, watched(getattr(show, name)))
    await deleted(world)
    assert len(free) >= 3
    assert not any(free)
