"""Records that are in order, and say what nobody would: no drive may stop for one."""

import pytest
import trio
from blake3 import blake3
from trio.testing import MockClock

from p2pdrive.errors import InviteError
from p2pdrive.limits import BLOCK_BYTES_MAX, FILE_BYTES_MAX, INVITE_USES_MAX, MANIFEST_BLOCKS_MAX
from p2pdrive.model.record import Content, Kind
from p2pdrive.node.sharing import make_invite
from tests.engine.hostile import Mallory
from tests.engine.world import EPOCH_NS, World


def some_file(size: int, blocks: int) -> Content:
    return Content(Kind.FILE, size, blake3(b"whatever").digest(), blocks, False, EPOCH_NS)


async def life_goes_on_after(world: World, *contents: Content) -> None:
    """Mallory, an editor, publishes them; and leaves."""
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    mallory = Mallory(world, anna)
    await mallory.enter("editor")
    for number, content in enumerate(contents):
        scribe = mallory.scribe
        await mallory.publish(scribe.batch(scribe.record(f"{number}.bin", content)))
    await mallory.stream.aclose()
    berta.write("after.txt", "life goes on")
    berta.look()
    for _ in range(10):
        await trio.sleep(10)
        assert anna.drive is not None
        assert berta.drive is not None
    assert anna.files()["after.txt"] == "life goes on"


@pytest.mark.parametrize("size", [BLOCK_BYTES_MAX + 1, (1 << 32) - 1, 1 << 32, 1 << 60])
async def test_one_block_of_a_size_that_no_block_has(
    world: World, autojump_clock: MockClock, size: int
) -> None:
    await life_goes_on_after(world, some_file(size, 1))


@pytest.mark.parametrize(
    "size", [BLOCK_BYTES_MAX * MANIFEST_BLOCKS_MAX, BLOCK_BYTES_MAX * MANIFEST_BLOCKS_MAX + 1, (1 << 63) - 1]
)
async def test_sizes_that_add_up_to_more_than_a_number_holds(
    world: World, autojump_clock: MockClock, size: int
) -> None:
    await life_goes_on_after(world, *[some_file(size, MANIFEST_BLOCKS_MAX)] * 3)


async def test_own_file_of_more_blocks_than_others_take_is_a_problem_and_nothing_more(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody took what the device wrote after it."""
    monkeypatch.setattr("p2pdrive.model.record.MANIFEST_BLOCKS_MAX", 3)
    monkeypatch.setattr("p2pdrive.engine.observe.MANIFEST_BLOCKS_MAX", 3)
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    anna.write("large.bin", bytes(8 * BLOCK_BYTES_MAX))
    anna.look()
    await trio.sleep(10)
    anna.write("after.txt", "life goes on")
    anna.look()
    await world.quiet()
    assert "after.txt" in berta.files()
    assert "large.bin" in anna.problems


async def test_sparse_file_that_is_too_large_to_read_is_a_problem_at_once(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    with (anna.root / "sparse.img").open("wb") as file:
        try:
            file.truncate(FILE_BYTES_MAX + 1)
        except OSError:
            pytest.skip("the disk holds no file as large")
    anna.write("after.txt", "life goes on")
    anna.look()
    await world.quiet()
    assert "after.txt" in berta.files()
    assert "sparse.img" in anna.problems


@pytest.mark.parametrize(("uses", "expires"), [(INVITE_USES_MAX + 1, 0), (1 << 80, 0), (1, 1 << 63), (0, 0)])
async def test_invite_beyond_all_bounds_is_refused_and_nothing_more(
    world: World, autojump_clock: MockClock, uses: int, expires: int
) -> None:
    """Others refused the log from there on, and the device was cut off from its drive."""
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    with pytest.raises(InviteError, match="at most"):
        make_invite(anna.replica, "editor", uses, expires, [])
    anna.write("after.txt", "life goes on")
    anna.look()
    await world.quiet()
    assert "after.txt" in berta.files()
