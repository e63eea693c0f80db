"""An editor's records that name others' blocks and manifests with lengths that those do not have."""

import random
from dataclasses import replace
from typing import Any

import pytest
import trio
from blake3 import blake3
from trio.testing import MockClock

from p2pdrive.engine.fetch import NOBODY
from p2pdrive.engine.gather import CONTRADICTS
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import Content, Kind
from p2pdrive.net.link import Link
from p2pdrive.wire.messages import GetBlocks
from tests.engine.hostile import Mallory, content_of
from tests.engine.world import EPOCH_NS, Machine, World

HONEST = "an honest file " * 100
LARGE = random.Random(1).randbytes(1_000_000)


class Watched:
    """What is asked of whom on all links, and why any is closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._closed: list[tuple[bytes, str]] = []
        self._asked: list[tuple[bytes, GetBlocks]] = []
        close, request = Link.close, Link.request

        def noting_close(link: Link, reason: str) -> None:
            self._closed.append((link.device, reason))
            close(link, reason)

        def noting_request(link: Link, asked: GetBlocks, allowance: int) -> Any:
            self._asked.append((link.device, asked))
            return request(link, asked, allowance)

        monkeypatch.setattr(Link, "close", noting_close)
        monkeypatch.setattr(Link, "request", noting_request)

    def closed(self, *besides: Mallory) -> list[str]:
        """Why links were closed, those to ``besides`` left out."""
        others = {mallory.identity.device for mallory in besides}
        return [reason for device, reason in self._closed if device not in others]

    def times(self, block: bytes, mallory: Mallory) -> int:
        """How often this block was asked of ``mallory``."""
        device = mallory.identity.device
        return sum(block in asked.blocks for peer, asked in self._asked if peer == device)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


async def attacked(world: World) -> tuple[Machine, Machine, Mallory]:
    """Two with a small and a large file, and an intruder linked to the first."""
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": HONEST, "b.txt": "second"})
    anna.write("large.bin", LARGE)
    await world.converge(anna, berta)
    mallory = Mallory(world, anna)
    await mallory.enter("editor")
    return anna, berta, mallory


async def publish_and_leave(mallory: Mallory, path: str, content: Content) -> None:
    """One record, and gone for good."""
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record(path, content)))
    await mallory.stream.aclose()
    await mallory.world.quiet()


def content_at(machine: Machine, path: str) -> Content:
    with machine.replica.reading() as log:
        return log.registers.heads(path)[0].content


def of_one_block(size: int) -> Content:
    """A record's word that the small honest file has this size."""
    return Content(Kind.FILE, size, blake3(HONEST.encode()).digest(), 1, False, EPOCH_NS)


async def newcomer(world: World, member: Machine, seconds: float = 30) -> Machine:
    """One more machine, some time after it has joined."""
    clara = world.machine("clara")
    await clara.enter(member.invite())
    world.join_up()
    await trio.sleep(seconds)
    await world.quiet()
    return clara


def shows_the_honest(machine: Machine) -> bool:
    tree = machine.tree()
    files = {"a.txt": HONEST.encode(), "b.txt": b"second", "large.bin": LARGE}
    return {path: shown[1] for path, shown in tree.items()} == files


@pytest.mark.parametrize("size", [1, 1499, 1501, 5000])
@pytest.mark.parametrize("path", ["0", "z"], ids=["before", "after"])
async def test_a_block_with_another_length_harms_only_its_own_path(
    world: World, autojump_clock: MockClock, watched: Watched, size: int, path: str
) -> None:
    anna, berta, mallory = await attacked(world)
    await publish_and_leave(mallory, path, of_one_block(size))
    clara = await newcomer(world, anna)
    for machine in (anna, berta, clara):  # those who hold the block, and one who has to fetch it
        assert shows_the_honest(machine)
        assert machine.problems == {path: CONTRADICTS}
    assert watched.closed(mallory) == []


@pytest.mark.parametrize(("blocks", "size"), [(0, 1), (0, -1), (1, 0), (-1, 0)])
@pytest.mark.parametrize("path", ["0", "z"], ids=["before", "after"])
async def test_a_manifest_with_another_size_or_count_harms_only_its_own_path(
    world: World, autojump_clock: MockClock, watched: Watched, blocks: int, size: int, path: str
) -> None:
    anna, berta, mallory = await attacked(world)
    true = content_at(anna, "large.bin")
    wrong = replace(true, blocks=true.blocks + blocks, size=true.size + size)
    await publish_and_leave(mallory, path, wrong)
    clara = await newcomer(world, anna)
    for machine in (anna, berta, clara):
        assert shows_the_honest(machine)
        assert machine.problems == {path: CONTRADICTS}
    assert watched.closed(mallory) == []


async def test_a_manifest_of_honest_blocks_with_other_lengths(
    world: World, autojump_clock: MockClock, watched: Watched
) -> None:
    anna, berta, mallory = await attacked(world)
    with anna.replica.reading() as log:
        packed = log.connection.execute("SELECT data FROM manifests").fetchone()[0]
    true = list(Manifest(packed))
    wrong = Manifest.of((length - 1, block) for length, block in true)
    mallory.manifests[wrong.root] = wrong.packed
    content = Content(Kind.FILE, wrong.size, wrong.root, len(wrong), False, EPOCH_NS)
    await publish_and_leave(mallory, "0", content)
    clara = await newcomer(world, anna)
    for machine in (anna, berta, clara):
        assert shows_the_honest(machine)
        assert machine.problems == {"0": CONTRADICTS}
        assert machine.replica.files.temporaries() == []
    assert watched.closed(mallory) == []


async def test_what_contradicts_is_not_fetched_again_and_again(
    world: World, autojump_clock: MockClock, watched: Watched
) -> None:
    anna, berta, mallory = await attacked(world)
    data = b"only mallory has this"
    wrong = replace(content_of(data), size=5000)
    mallory.blocks[wrong.root] = data
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record("0", wrong)))
    await newcomer(world, anna, seconds=3600)
    assert anna.problems == {"0": CONTRADICTS}
    assert berta.problems == {"0": NOBODY}  # as anna does not keep what she cannot use
    assert watched.times(wrong.root, mallory) == 1
    assert watched.closed() == []


async def test_a_file_saved_anew_ends_the_problem(
    world: World, autojump_clock: MockClock, watched: Watched
) -> None:
    anna, berta, mallory = await attacked(world)
    scribe = mallory.scribe
    await mallory.publish(scribe.batch(scribe.record("0", of_one_block(5000))))
    assert anna.problems == {"0": CONTRADICTS}
    seen = {scribe.actor: scribe.seq}
    await mallory.publish(scribe.batch(scribe.record("0", of_one_block(1500), vector=seen)))
    clara = await newcomer(world, anna)
    await world.converge(anna, berta, clara)
    assert [machine.problems for machine in (anna, berta, clara)] == [{}, {}, {}]
    assert clara.read("0") == HONEST
    assert watched.closed() == []


async def test_a_file_saved_beside_it_is_shown(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    await publish_and_leave(mallory, "0", of_one_block(5000))
    clara = await newcomer(world, anna)
    berta.write("0", "all is well")
    berta.look()
    for machine in (anna, clara):
        await world.until(
            lambda machine=machine: machine.tree().get("0", ("", b""))[1] == b"all is well", "berta's file"
        )
    assert anna.problems == {"0": CONTRADICTS}  # what would be its conflict copy


async def test_a_manifest_of_one_block_is_no_answer(world: World, autojump_clock: MockClock) -> None:
    """Its root is the block's own hash: such an answer would fit every root, and prove nothing."""
    anna, _, mallory = await attacked(world)
    root = content_at(anna, "large.bin").root[::-1]
    mallory.manifests[root] = Manifest.single(100_000, root).packed
    content = Content(Kind.FILE, 200_000, root, 2, False, EPOCH_NS)
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record("0", content)))
    assert "a manifest" in await mallory.thrown_out()
    assert shows_the_honest(anna)
    assert anna.problems["0"] != CONTRADICTS
