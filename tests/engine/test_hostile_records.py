"""A peer whose records and batches may not be: refused, and nobody is the worse for it."""

import os

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.errors import InviteError
from p2pdrive.model.batch import NO_BATCH, actor_id
from p2pdrive.model.record import DELETED, Content, Grant, Invitation, Kind, Role
from p2pdrive.secure.identity import Identity
from p2pdrive.wire.messages import Pull
from tests.engine.hostile import Mallory, content_of, scribe_of
from tests.engine.world import Machine, World

BAD_PATHS = [
    "..",
    "../outside/evil",
    "a/../../outside/evil",
    "/etc/evil",
    ".p2pdrive/evil",
    ".P2PDrive/index.db",
    "nul\0evil",
    "a//evil",
    "./evil",
    "evil/",
    "",
    "n" * 256,
    "/".join(["long"] * 1000),
]


async def attacked(world: World, role: str | None = "editor") -> tuple[Machine, Machine, Mallory]:
    """Two that share a drive, and an intruder with a role in it, linked to the first."""
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a", "d/b.txt": "b"})
    outside = world.directory / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("not ours")
    mallory = Mallory(world, anna)
    await mallory.enter(role)
    return anna, berta, mallory


def outside_of(world: World) -> dict[str, str]:
    """The files beside the folders, which nobody may touch."""
    return {path.name: path.read_text() for path in (world.directory / "outside").iterdir()}


async def unharmed(world: World, anna: Machine, berta: Machine, **more: str) -> None:
    """The honest ones go on, and nothing outside their folders has changed."""
    berta.write("after.txt", "life goes on")
    await world.converge(anna, berta)
    assert anna.files() == {"a.txt": "a", "d/b.txt": "b", "after.txt": "life goes on", **more}
    assert outside_of(world) == {"secret.txt": "not ours"}
    assert {path.name for path in world.directory.iterdir()} == {"anna", "berta", "outside"}
    state = {path.name for path in (anna.root / ".p2pdrive").iterdir()}
    assert state <= {
        "index.db",
        "index.db-wal",
        "index.db-shm",
        "packs",
        "tmp",
        "archive",
        "reserve",
        "instance",
        "FORMAT",
    }


@pytest.mark.parametrize(
    ("place", "path"),
    [
        *(("path", path) for path in BAD_PATHS),
        ("moved_from", "../evil"),
        ("moved_from", ".p2pdrive/index.db"),
    ],
    ids=lambda value: repr(value[:20]),
)
async def test_a_path_that_no_drive_may_have(
    world: World, autojump_clock: MockClock, place: str, path: str
) -> None:
    anna, berta, mallory = await attacked(world)
    content = content_of(b"evil")
    mallory.blocks[content.root] = b"evil"
    record = (
        mallory.scribe.record(path, content)
        if place == "path"
        else mallory.scribe.record("good.txt", content, moved_from=path)
    )
    await mallory.publish(mallory.scribe.batch(record))
    assert "a record" in await mallory.thrown_out()
    assert mallory.log == []
    await unharmed(world, anna, berta)


async def test_what_came_before_a_bad_batch_stays(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    good = mallory.scribe.batch(mallory.scribe.record("good", Content(Kind.DIRECTORY)))
    bad = mallory.scribe.batch(mallory.scribe.record("../bad", Content(Kind.DIRECTORY)))
    await mallory.publish(good, bad)
    await mallory.thrown_out()
    assert len(mallory.log) == 1
    await world.until((berta.root / "good").is_dir, "the good one")
    (anna.root / "good").rmdir()
    await unharmed(world, anna, berta)


async def test_a_forged_signature(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    record = mallory.scribe.record("x", Content(Kind.DIRECTORY))
    await mallory.publish(mallory.scribe.batch(record, signer=Identity(b"somebody" * 4)))
    assert "signature" in await mallory.thrown_out()
    assert mallory.log == []
    await unharmed(world, anna, berta)


async def test_a_batch_in_the_name_of_another_device(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    scribe = mallory.scribe
    scribe.actor = actor_id(berta.identity.device, scribe.nonce)
    record = scribe.record("x", Content(Kind.DIRECTORY))
    await mallory.publish(scribe.batch(record, device=berta.identity.device))
    assert "signature" in await mallory.thrown_out()
    await unharmed(world, anna, berta)


async def test_a_batch_of_another_drive(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    record = mallory.scribe.record("x", Content(Kind.DIRECTORY))
    await mallory.publish(mallory.scribe.batch(record, drive=b"?" * 32))
    assert "another drive" in await mallory.thrown_out()
    await unharmed(world, anna, berta)


@pytest.mark.parametrize("role", ["viewer", None])
async def test_batches_of_who_may_not_write_go_nowhere(
    world: World, autojump_clock: MockClock, role: str | None
) -> None:
    anna, berta, mallory = await attacked(world, role)
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record("x", Content(Kind.DIRECTORY))))
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record("a.txt", DELETED)))
    await trio.sleep(120)
    assert mallory.log == []
    assert len(mallory.heard(Pull)) < 10
    await unharmed(world, anna, berta)


@pytest.mark.parametrize(
    "change",
    [
        Grant(Identity(b"friend.." * 4).device, Role.ADMIN, "friend"),
        Grant(Identity(b"mallory." * 4).device, Role.ADMIN, "mallory"),
        Grant(Identity(b"friend.." * 4).device, Role.EDITOR, "friend", b"p" * 32, b"s" * 64),
        Invitation(b"p" * 32, b"k" * 32, Role.ADMIN, 100, 0),
    ],
    ids=["makes a friend admin", "makes itself admin", "invents a proof", "invites"],
)
async def test_an_editor_that_takes_more_power_than_it_has(
    world: World, autojump_clock: MockClock, change: Grant | Invitation
) -> None:
    anna, berta, mallory = await attacked(world)
    await mallory.publish(mallory.scribe.batch(change))
    assert await mallory.thrown_out()
    assert mallory.log == []
    members = anna.drive.exchange.standing.members
    assert members[mallory.identity.device].role is Role.EDITOR
    assert len(members) == 3
    await unharmed(world, anna, berta)


async def test_a_log_with_a_hole(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    mallory.scribe.batch(mallory.scribe.record("withheld", Content(Kind.DIRECTORY)))
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record("x", Content(Kind.DIRECTORY))))
    await trio.sleep(60)
    assert mallory.log == []
    await unharmed(world, anna, berta)


async def test_two_logs_of_one_actor_are_seen_and_frozen(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    other = scribe_of(mallory.drive, mallory.identity)
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record("one", Content(Kind.DIRECTORY))))
    assert len(mallory.log) == 1
    mallory.batches = [other.batch(other.record("two", Content(Kind.DIRECTORY)))]
    mallory.scribe = other
    await mallory.announce()
    await world.until(lambda: "" in anna.problems, "reporting the fork")
    assert "two different logs" in anna.problems[""]
    assert not (anna.root / "two").exists()
    mallory.batches = [other.batch(other.record("three", Content(Kind.DIRECTORY)))]
    await mallory.announce()
    await world.quiet()
    assert not (anna.root / "three").exists()
    (anna.root / "one").rmdir()
    await unharmed(world, anna, berta)


@pytest.mark.parametrize("ahead", [0, 1, 10**9])
async def test_a_claim_to_know_more_of_our_own_log_proves_nothing(
    world: World, autojump_clock: MockClock, ahead: int
) -> None:
    anna, berta, mallory = await attacked(world)
    actors, dots = anna.own_actors(), anna.dots()
    ((seq,),) = anna.query("SELECT seq FROM actors WHERE id = ?", actors[0])
    await mallory.announce((actors[0], seq + ahead, b"?" * 32))
    await trio.sleep(60)
    assert mallory.heard(Pull)
    assert anna.own_actors() == actors
    assert anna.dots() == dots
    anna.write("mine.txt", "still by the same actor")
    await unharmed(world, anna, berta, **{"mine.txt": "still by the same actor"})
    assert anna.own_actors() == actors


async def test_a_link_in_the_place_of_a_parent_leads_nobody_outside(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, mallory = await attacked(world)
    os.symlink(world.directory / "outside", anna.root / "link")
    content = content_of(b"evil")
    mallory.blocks[content.root] = b"evil"
    scribe = mallory.scribe
    await mallory.publish(
        scribe.batch(scribe.record("link/evil.txt", content)),
        scribe.batch(scribe.record("link/secret.txt", content)),
    )
    await trio.sleep(10)
    assert outside_of(world) == {"secret.txt": "not ours"}
    anna.look()
    await world.quiet()
    assert outside_of(world) == {"secret.txt": "not ours"}
    links = [path for path, shown in anna.tree().items() if shown[0] == "link"]
    assert len(links) == 1  # the person's link is still there, under some name
    berta.write("after.txt", "life goes on")
    await world.converge(anna, berta)


async def test_a_link_from_a_peer_and_a_file_beyond_it(world: World, autojump_clock: MockClock) -> None:
    anna, _berta, mallory = await attacked(world)
    outside = world.directory / "outside"
    content = content_of(b"evil")
    mallory.blocks[content.root] = b"evil"
    scribe = mallory.scribe
    await mallory.publish(
        scribe.batch(scribe.record("exit", Content(Kind.SYMLINK, target=str(outside)))),
        scribe.batch(scribe.record("exit/evil.txt", content)),
        scribe.batch(scribe.record("exit/secret.txt", DELETED)),
    )
    await trio.sleep(10)
    await world.quiet()
    assert outside_of(world) == {"secret.txt": "not ours"}
    assert anna.read("exit/evil.txt") == "evil"
    assert not (anna.root / "exit").is_symlink()


async def test_a_record_that_claims_to_have_seen_our_future(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    content = content_of(b"evil")
    mallory.blocks[content.root] = b"evil"
    (actor,) = anna.own_actors()
    claim = {actor: 1 << 60}
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record("a.txt", content, vector=claim)))
    await world.quiet()
    assert "evil" not in anna.files().values()  # it waits for what it says that it has seen
    anna.write("a.txt", "by anna, after all")
    await world.converge(anna, berta)
    assert berta.read("a.txt") == "by anna, after all"


async def test_a_claim_to_have_seen_the_future_hides_no_concurrent_edit(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, mallory = await attacked(world)
    berta.write("d/b.txt", "so that berta has an actor")
    await world.converge(anna, berta)
    world.cut_off(berta)
    content = content_of(b"evil")
    mallory.blocks[content.root] = b"evil"
    claim = dict.fromkeys(berta.own_actors(), 1 << 60)
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record("a.txt", content, vector=claim)))
    await world.quiet()
    berta.write("a.txt", "by berta, who never saw it")
    berta.look()
    await world.quiet()
    world.join_up()
    await world.converge(anna, berta)
    assert "by berta, who never saw it" in anna.files().values()


async def test_an_invite_that_is_used_up_lets_nobody_in(world: World, autojump_clock: MockClock) -> None:
    anna, _berta, _ = await attacked(world)
    invite = anna.invite()
    clara, dora = world.machine("clara"), world.machine("dora")
    await clara.enter(invite)
    with pytest.raises(InviteError, match="used up"):
        await dora.enter(invite)


async def test_a_chain_that_begins_again(world: World, autojump_clock: MockClock) -> None:
    anna, _berta, mallory = await attacked(world)
    record = mallory.scribe.record("x", Content(Kind.DIRECTORY))
    batch = mallory.scribe.batch(record)
    await mallory.publish(batch)
    again = mallory.scribe.batch(mallory.scribe.record("y", Content(Kind.DIRECTORY)), previous=NO_BATCH)
    mallory.batches = [again]
    await mallory.announce()
    await world.quiet()
    await trio.sleep(10)
    assert not (anna.root / "y").exists()
    assert len(mallory.log) == 1
