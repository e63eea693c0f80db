"""Peers that say odd things about what they hold, or never give it: the drive goes on with the others."""

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.lab.hostile import Scribe
from p2pdrive.limits import ANSWER_SECONDS, KEEPALIVE_SECONDS
from p2pdrive.model.batch import Batch
from p2pdrive.secure.identity import Identity
from p2pdrive.wire.messages import Announce, Batches, GetBlocks, Pull
from tests.engine.hostile import Mallory, content_of, scribe_of
from tests.engine.world import Machine, World


async def attacked(world: World) -> tuple[Machine, Machine, Mallory]:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    mallory = Mallory(world, anna)
    await mallory.enter()
    return anna, berta, mallory


async def goes_on(world: World, anna: Machine, berta: Machine) -> None:
    """Both ways, while the odd peer is still there or not."""
    berta.write("by berta.txt", "life goes on")
    anna.write("by anna.txt", "here too")
    await world.converge(anna, berta)
    assert anna.read("by berta.txt") == "life goes on"
    assert berta.read("by anna.txt") == "here too"
    assert not anna.trouble and not berta.trouble


# --- silence


async def test_a_member_that_never_gives_its_log_does_not_keep_the_others_away(
    world: World, autojump_clock: MockClock
) -> None:
    """One is pulled from at a time, so whoever answers nothing must not be waited for without end."""
    anna, berta, mallory = await attacked(world)
    mallory.answers[Pull] = lambda _: None
    await mallory.announce((b"y" * 16, 7, bytes(32)))
    await world.until(lambda: mallory.heard(Pull), "being asked")
    berta.write("while it is waited for.txt", "life goes on")
    berta.look()
    await trio.sleep(ANSWER_SECONDS + 2 * KEEPALIVE_SECONDS)
    assert mallory.identity.device not in anna.connections.links
    assert anna.files()["while it is waited for.txt"] == "life goes on"
    await goes_on(world, anna, berta)


async def test_a_member_that_never_gives_a_block_does_not_keep_it_away(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, mallory = await attacked(world)
    mallory.answers[GetBlocks] = lambda _: None
    world.cut(anna, berta)
    await mallory.announce()
    content = content_of(b"berta has it")
    mallory.batches = [mallory.scribe.batch(mallory.scribe.record("x.txt", content))]
    await mallory.announce()
    await world.until(lambda: mallory.heard(GetBlocks), "being asked")
    berta.write("the same.txt", "berta has it")
    berta.look()
    world.join_up()
    await trio.sleep(ANSWER_SECONDS + 2 * KEEPALIVE_SECONDS)
    await world.until(lambda: anna.files().get("x.txt") == "berta has it", "the block of the other peer")
    assert mallory.identity.device not in anna.connections.links


# --- frontiers


async def test_an_announced_seq_of_nothing_at_all_is_no_news(world: World, autojump_clock: MockClock) -> None:
    """Of actors that are known, and of such that are not."""
    anna, berta, mallory = await attacked(world)
    (known,) = anna.own_actors()
    await mallory.send(
        Announce(mallory.tag, ((b"y" * 16, 0, bytes(32)), (b"z" * 16, 0, b"d" * 32)), True, True)
    )
    await world.quiet()
    assert not mallory.heard(Pull)
    await mallory.send(Announce(mallory.tag, ((b"y" * 16, 0, bytes(32)), (known, 0, bytes(32))), True, True))
    await world.quiet()
    await goes_on(world, anna, berta)
    await trio.sleep(60)
    assert len(mallory.heard(Pull)) <= 3
    assert mallory.identity.device in anna.connections.links
    assert anna.problems == {}


async def test_an_announced_fork_at_a_seq_of_an_unknown_actor_is_no_fork(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, mallory = await attacked(world)
    await mallory.announce((b"y" * 16, 1, b"d" * 32), (b"z" * 16, (1 << 63) - 1, b"d" * 32))
    await goes_on(world, anna, berta)
    assert not anna.problems
    assert len(mallory.heard(Pull)) <= 6


def crowd(mallory: Mallory, actors: int) -> list[Scribe]:
    """Many actors of one device, each of which wrote a file of its own."""
    made = []
    for number in range(actors):
        scribe = scribe_of(mallory.drive, mallory.identity, number.to_bytes(16, "big"))
        mallory.batches.append(scribe.batch(scribe.record(f"of actor {number}", content_of(b"x"))))
        made.append(scribe)
    mallory.blocks[content_of(b"x").root] = b"x"
    return made


async def test_more_actors_than_a_frontier_may_name_crash_no_drive(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is left out of what is said and of what is asked; all that was written stays."""
    room = 4
    monkeypatch.setattr("p2pdrive.engine.exchange.FRONTIER_ACTORS_MAX", room)
    anna, berta, mallory = await attacked(world)
    scribes = crowd(mallory, 12)
    ends = tuple((scribe.actor, 1, scribe.previous) for scribe in scribes)
    await mallory.send(Announce(mallory.tag, ends, True, True))
    await world.until(lambda: len(anna.drive.exchange.standing.frontier) > 12, "the crowd")
    for machine in (anna, berta):
        machine.write(f"by {machine.name}.txt", "life goes on")
        machine.look()
    await world.quiet()
    await mallory.send(Announce(mallory.tag, ((b"y" * 16, 1, bytes(32)),), True, True))  # is asked for
    await world.quiet()
    assert len(mallory.heard(Pull)) > 1
    assert not anna.trouble and not berta.trouble
    for said in mallory.heard(Announce):
        assert len(said.frontier) <= room
    for asked in mallory.heard(Pull):
        assert len(asked.after) <= room
    sent = anna.sent_bytes + berta.sent_bytes
    await trio.sleep(600)
    assert anna.sent_bytes + berta.sent_bytes - sent < 20_000  # they do not ask each other for ever

    monkeypatch.undo()
    await goes_on(world, anna, berta)
    assert len(berta.files()) == len(anna.files()) == 1 + 12 + 2


async def test_a_peer_that_always_has_more_of_what_may_not_be_taken_is_left_be(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of devices that are no members wait, as their grants may come; but not any number of them."""
    monkeypatch.setattr("p2pdrive.engine.exchange.FRONTIER_ACTORS_MAX", 8)
    anna, berta, mallory = await attacked(world)

    def more(pull: Pull) -> Batches:
        number = len(mallory.heard(Pull))
        stranger = scribe_of(mallory.drive, Identity(number.to_bytes(32, "big")))
        batch = stranger.batch(stranger.record("x.txt", content_of(b"x")))
        return Batches(pull.request, number < 200, (len(batch),), batch)

    mallory.answers[Pull] = more
    await mallory.announce((b"y" * 16, 1, bytes(32)))
    await goes_on(world, anna, berta)
    assert 2 <= len(mallory.heard(Pull)) < 40
    assert not (anna.root / "x.txt").exists()


async def test_a_bug_of_ours_that_is_met_while_pulling_ends_that_link_alone(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, berta, mallory = await attacked(world)
    bad = mallory.scribe.batch(mallory.scribe.record("x.txt", content_of(b"x")))

    class Buggy(Batch):
        @classmethod
        def decode(cls, data: bytes | memoryview) -> Batch:
            assert bytes(data) != bad
            return super().decode(data)

    monkeypatch.setattr("p2pdrive.engine.exchange.Batch", Buggy)
    mallory.batches.append(bad)
    await mallory.announce()
    assert "failed" in await mallory.thrown_out()
    (failure,) = world.failures.found
    assert "AssertionError" in failure
    world.failures.found.clear()
    await goes_on(world, anna, berta)
    assert not (anna.root / "x.txt").exists()
