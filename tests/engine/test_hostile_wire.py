"""A peer that breaks the protocol, lies about content, or asks for what is not its own."""

import random
import tracemalloc

import pytest
import trio
from blake3 import blake3
from trio.testing import MockClock

from p2pdrive.limits import (
    DEVICES_MAX,
    FRAME_BYTES_MAX,
    FRONTIER_ACTORS_MAX,
    HANDSHAKE_SECONDS,
    HANDSHAKES_MAX,
    MIB,
    REQUESTS_OUTSTANDING_MAX,
    STRANGER_SECONDS,
)
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import Content, Kind
from p2pdrive.wire.messages import (
    VERSION,
    Addresses,
    Announce,
    Batches,
    Blocks,
    Drives,
    GetBlocks,
    GetManifests,
    Hello,
    Join,
    Manifests,
    Ping,
    Pull,
    encode,
)
from tests.engine.hostile import Mallory, content_of, header_of
from tests.engine.pipes import stream_pair
from tests.engine.world import EPOCH_NS, Machine, World


async def attacked(world: World, role: str | None = "editor") -> tuple[Machine, Machine, Mallory]:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    mallory = Mallory(world, anna)
    await mallory.enter(role)
    return anna, berta, mallory


async def unharmed(world: World, anna: Machine, berta: Machine) -> None:
    berta.write("after.txt", "life goes on")
    await world.converge(anna, berta)
    assert anna.files() == {"a.txt": "a", "after.txt": "life goes on"}


def ping(mallory: Mallory) -> bytes:
    return mallory.sealed(encode(Ping(1)))


async def replayed(mallory: Mallory) -> None:
    frame = ping(mallory)
    await mallory.send_raw(frame)
    await mallory.send_raw(frame)


async def out_of_order(mallory: Mallory) -> None:
    one, two = ping(mallory), mallory.sealed(encode(Ping(2)))
    await mallory.send_raw(two + one)


async def oversized(mallory: Mallory) -> None:
    await mallory.send_raw((FRAME_BYTES_MAX + 1).to_bytes(4, "big") + bytes(100))


async def undersized(mallory: Mallory) -> None:
    await mallory.send_raw((3).to_bytes(4, "big") + bytes(3))


async def tampered(mallory: Mallory) -> None:
    frame = bytearray(ping(mallory))
    frame[-1] ^= 1
    await mallory.send_raw(bytes(frame))


async def garbage(mallory: Mallory) -> None:
    await mallory.send_raw(b"GET / HTTP/1.1\r\nHost: p2pdrive\r\n\r\n" * 10)


async def truncated(mallory: Mallory) -> None:
    await mallory.send_raw(ping(mallory)[:-5])
    await mallory.stream.aclose()


async def no_msgpack(mallory: Mallory) -> None:
    await mallory.send_plaintext((4).to_bytes(4, "big") + b"\xc1\xc1\xc1\xc1")


async def a_header_beyond_the_frame(mallory: Mallory) -> None:
    await mallory.send_plaintext((1 << 31).to_bytes(4, "big") + b"\x90")


async def an_unknown_type(mallory: Mallory) -> None:
    await mallory.send_plaintext(header_of(99, b"x"))


async def a_nest_of_lists(mallory: Mallory) -> None:
    await mallory.send_plaintext((100_000).to_bytes(4, "big") + b"\x91" * 100_000)


async def too_many_fields(mallory: Mallory) -> None:
    await mallory.send_plaintext(header_of(16, 1, 2, 3))


async def a_second_hello(mallory: Mallory) -> None:
    await mallory.send(Hello(VERSION, "mallory", "by hand", 0, ()))


async def an_answer_to_nothing(mallory: Mallory) -> None:
    await mallory.send(Batches(7, False, ()))


async def too_many_requests(mallory: Mallory) -> None:
    mallory.reading = trio.Event()
    for number in range(REQUESTS_OUTSTANDING_MAX + 1):
        await mallory.send(Join(number.to_bytes(8, "big"), "m", bytes(64), bytes(32)))
        await mallory.send(Pull(mallory.tag, 5, ()))
        await mallory.send(Pull(mallory.tag, 5, ()))
    mallory.reading.set()


BREACHES = [
    replayed,
    out_of_order,
    oversized,
    undersized,
    tampered,
    garbage,
    truncated,
    no_msgpack,
    a_header_beyond_the_frame,
    an_unknown_type,
    a_nest_of_lists,
    too_many_fields,
    a_second_hello,
    an_answer_to_nothing,
    too_many_requests,
]


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: breach.__name__)
async def test_a_breach_of_the_protocol_ends_the_link(
    world: World, autojump_clock: MockClock, breach: object
) -> None:
    anna, berta, mallory = await attacked(world)
    assert mallory.identity.device in anna.connections.links
    await breach(mallory)  # type: ignore[operator]
    reason = await mallory.thrown_out()
    assert reason or breach is truncated
    await world.until(lambda: mallory.identity.device not in anna.connections.links, "the end of the link")
    assert berta.identity.device in anna.connections.links
    await unharmed(world, anna, berta)
    again = Mallory(world, anna)  # and the door is not shut
    await again.enter(role=None)
    assert again.heard(Hello)


async def test_speaking_before_the_greeting(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    mallory = Mallory(world, anna)
    await mallory.connect()
    await mallory.send(Pull(mallory.tag, 1, ()))
    assert "Pull" in await mallory.thrown_out()
    await unharmed(world, anna, berta)


async def test_strangers_who_stall_in_the_handshake(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    near = []
    for number in range(HANDSHAKES_MAX + 10):
        mine, far = stream_pair(f"198.51.100.9:{number + 1}", anna.address)
        near.append(mine)
        world.nursery.start_soon(anna.connections.accept, far)
        await mine.send_all(b"p2pdr")
    await unharmed(world, anna, berta)
    await trio.sleep(HANDSHAKE_SECONDS + 1)
    assert all(stream.ended for stream in near[:HANDSHAKES_MAX])
    mallory = Mallory(world, anna)
    await mallory.enter(role=None)
    assert mallory.heard(Hello)


async def test_a_bug_of_ours_that_a_peer_meets_ends_that_link_alone(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, mallory = await attacked(world, role=None)

    async def fail(_device: bytes, _request: Join) -> None:
        raise ZeroDivisionError

    anna.drive.admit = fail  # type: ignore[method-assign]
    await mallory.send(Join(mallory.tag, "mallory", bytes(64), bytes(32)))
    await mallory.thrown_out()
    (failure,) = world.failures.found
    assert "ZeroDivisionError" in failure
    world.failures.found.clear()
    await unharmed(world, anna, berta)


# --- lies about content


def a_file(mallory: Mallory, path: str, data: bytes) -> Content:
    content = content_of(data)
    mallory.batches.append(mallory.scribe.batch(mallory.scribe.record(path, content)))
    return content


async def test_a_block_with_the_wrong_bytes(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    content = a_file(mallory, "x.txt", b"true!")
    mallory.blocks[content.root] = b"false"
    await mallory.publish()
    assert "hash" in await mallory.thrown_out()
    await world.until(lambda: "x.txt" in anna.problems, "reporting it")
    assert not (anna.root / "x.txt").exists()
    berta.write("after.txt", "life goes on")
    berta.look()
    await world.until(lambda: "after.txt" in anna.files(), "the other peer's edit")
    again = Mallory(world, anna)
    await again.enter(role=None)
    again.blocks[content.root] = b"true!"
    await again.announce()
    await world.until(lambda: "x.txt" in anna.files(), "the true bytes")
    assert anna.read("x.txt") == "true!"


@pytest.mark.parametrize("length", [1, 4, 6, 1000])
async def test_a_block_of_another_length(world: World, autojump_clock: MockClock, length: int) -> None:
    anna, _berta, mallory = await attacked(world)
    content = a_file(mallory, "x.txt", b"true!")
    mallory.blocks[content.root] = b"!" * length
    await mallory.publish()
    assert await mallory.thrown_out()
    assert not (anna.root / "x.txt").exists()


async def test_blocks_that_are_missing_for_ever(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    a_file(mallory, "x.txt", b"never to be had")
    await mallory.publish()
    await trio.sleep(600)
    assert "x.txt" in anna.problems
    assert 1 <= len(mallory.heard(GetBlocks)) < 60
    berta.write("after.txt", "life goes on")
    berta.look()
    await world.until(lambda: "after.txt" in anna.files(), "the other peer's edit")
    assert mallory.reason is None


async def test_a_liar_does_not_keep_the_true_bytes_away(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    content = content_of(b"true!")
    mallory.blocks[content.root] = b"false"
    await mallory.announce()
    world.cut(anna, berta)
    berta.write("x.txt", "true!")
    berta.look()
    await world.quiet()
    world.join_up()
    await world.converge(anna, berta)
    assert anna.read("x.txt") == "true!"


@pytest.mark.parametrize("lie", ["other bytes", "other length", "zero block"])
async def test_a_manifest_that_does_not_match(world: World, autojump_clock: MockClock, lie: str) -> None:
    anna, _berta, mallory = await attacked(world)
    blocks = [b"1" * 70_000, b"2" * 70_000]
    entries = [(len(data), blake3(data).digest()) for data in blocks]
    size = sum(map(len, blocks))
    if lie == "zero block":
        entries.append((0, blake3(b"").digest()))
    true = Manifest.of(entries)
    content = Content(Kind.FILE, size, true.root, len(entries), False, EPOCH_NS)
    packed = {
        "other bytes": Manifest.of(entries[::-1]).packed,
        "other length": true.packed + entries[0][1] + bytes(4),
    }.get(lie, true.packed)
    mallory.manifests[true.root] = packed
    mallory.batches.append(mallory.scribe.batch(mallory.scribe.record("x.bin", content)))
    await mallory.publish()
    assert "manifest" in await mallory.thrown_out()
    await world.until(lambda: "x.bin" in anna.problems, "reporting it")
    assert not (anna.root / "x.bin").exists()


async def test_more_bytes_than_the_block_has(world: World, autojump_clock: MockClock) -> None:
    anna, _berta, mallory = await attacked(world)
    a_file(mallory, "x.txt", b"true!")
    mallory.answers[GetBlocks] = lambda asked: Blocks(asked.request, ((0, MIB),), (), True, bytes(MIB))
    await mallory.publish()
    assert "hash" in await mallory.thrown_out()
    assert not (anna.root / "x.txt").exists()


# --- asking for what is not one's own


@pytest.mark.parametrize("kind", [Pull, GetBlocks, GetManifests])
async def test_a_stranger_that_knows_the_drives_id_gets_nothing(
    world: World, autojump_clock: MockClock, kind: type
) -> None:
    anna, berta, mallory = await attacked(world, role=None)
    assert not mallory.heard(Announce) and not mallory.heard(Addresses)
    things = () if kind is Pull else (blake3(b"a").digest(),)
    await mallory.send(kind(mallory.tag, 1, things))
    assert "not a member" in await mallory.thrown_out()
    assert {type(message).__name__ for message in mallory.received} <= {"Hello", "Drives", "Close"}
    await unharmed(world, anna, berta)


async def test_a_stranger_is_shown_the_door(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    mallory = Mallory(world, anna)
    await mallory.connect()
    await mallory.send(Hello(VERSION, "mallory", "by hand", 0, ()))
    await trio.sleep(STRANGER_SECONDS + 1)
    assert "no drive" in await mallory.thrown_out()
    await unharmed(world, anna, berta)


async def test_a_member_of_one_drive_gets_nothing_of_another(world: World, autojump_clock: MockClock) -> None:
    anna, _berta, mallory = await attacked(world)
    first = anna.root
    anna.root = first.with_name("private")
    anna.root.mkdir()
    anna.write("diary.txt", "private")
    await anna.share()
    await world.quiet()
    private = anna.replica.drive
    anna.root = first
    secret = blake3(b"private").digest()

    await mallory.send(GetBlocks(mallory.tag, 1, (secret, blake3(b"a").digest())))
    await world.until(lambda: mallory.heard(Blocks), "an answer")
    (answer,) = mallory.heard(Blocks)
    assert (answer.missing, bytes(answer.payload)) == ((0,), b"a")
    await mallory.send(GetManifests(mallory.tag, 2, (secret,)))
    await world.until(lambda: mallory.heard(Manifests), "an answer")
    assert mallory.heard(Manifests)[0].sizes == (-1,)
    await mallory.send(Drives((mallory.tag, mallory.session.tag(private))))
    await mallory.send(GetBlocks(mallory.session.tag(private), 3, (secret,)))
    assert "not a member" in await mallory.thrown_out()
    assert len(mallory.heard(Blocks)) == 1


# --- floods


async def test_floods_of_what_is_allowed_fill_no_memory(world: World, autojump_clock: MockClock) -> None:
    anna, berta, mallory = await attacked(world)
    mallory.answers[Pull] = lambda pull: Batches(pull.request, False, ())
    numbers = iter(range(1 << 40))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(6):
        actors = [next(numbers).to_bytes(16, "big") for _ in range(FRONTIER_ACTORS_MAX)]
        frontier = tuple((actor, 1, bytes(32)) for actor in actors)
        await mallory.send(Announce(mallory.tag, frontier, True, True))
        devices = tuple(
            (next(numbers).to_bytes(32, "big"), ("192.0.2.1:1", "192.0.2.2:2")) for _ in range(DEVICES_MAX)
        )
        await mallory.send(Addresses(mallory.tag, devices))
        tags = [next(numbers).to_bytes(8, "big") for _ in range(1000)]
        await mallory.send(Drives((*tags, mallory.tag)))
    await world.quiet()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 8 * MIB
    assert peak - before < 32 * MIB
    assert len(anna.book.to_json()) <= 3
    assert len(anna.drive.exchange.peers) == 2
    await unharmed(world, anna, berta)


async def test_a_flood_of_joins_with_guessed_secrets(world: World, autojump_clock: MockClock) -> None:
    """Each guess costs a connection."""
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    for number in range(100):
        mallory = Mallory(world, anna)
        await mallory.enter(None)
        await mallory.send(Join(mallory.tag, "mallory", bytes(64), number.to_bytes(32, "big")))
        assert "does not know the invite" in await mallory.thrown_out()
    assert len(anna.drive.exchange.standing.members) == 2
    await unharmed(world, anna, berta)


async def test_a_peer_that_asks_and_never_reads(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    anna.write("large.bin", random.Random(1).randbytes(2 * MIB))
    await world.converge(anna, berta)
    mallory = Mallory(world, anna)
    await mallory.enter()
    (packed,) = anna.query("SELECT data FROM manifests ORDER BY length(data) DESC LIMIT 1")[0]
    blocks = tuple(block for _, block in Manifest(packed))
    mallory.reading = trio.Event()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(REQUESTS_OUTSTANDING_MAX - 2):
        await mallory.send(GetBlocks(mallory.tag, 1000 + number, blocks))
    await trio.sleep(30)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 16 * MIB
    berta.write("after.txt", "life goes on")
    berta.look()
    await world.until((anna.root / "after.txt").exists, "the other peer's edit")
    mallory.reading.set()
    await mallory.stream.aclose()
