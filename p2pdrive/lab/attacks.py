"""What a hostile peer tries: a table of attacks, each a few lines.

What it may write, as a member that was let in, lies at paths of its own, so that the truth about persons'
files stays known. None of it may harm anybody: the checkers see to that.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgpack
import trio

from p2pdrive.errors import P2PDriveError
from p2pdrive.lab.evidence import reading
from p2pdrive.lab.hostile import Mallory, small_file
from p2pdrive.limits import FRAME_BYTES_MAX
from p2pdrive.model.batch import actor_id
from p2pdrive.model.record import DELETED, Content, Grant, Kind, Role
from p2pdrive.secure.identity import Identity
from p2pdrive.wire.messages import (
    VERSION,
    Announce,
    Batches,
    Blocks,
    Close,
    Drives,
    GetBlocks,
    GetManifests,
    Hello,
    Join,
    Ping,
    Pull,
    encode,
)

#: Virtual seconds after which an attack gives up.
_ATTACK_SECONDS = 60.0
_BAD_PATHS = (
    "../mallory",
    "/etc/mallory",
    ".p2pdrive/index.db",
    "a/../../mallory",
    "a//b",
    "nul\0",
    "n" * 256,
)
_OWN_PATHS = ("mallory.txt", "mallory/a.txt", "mallory/b.txt")


async def attack(world: Any, victim: Any, random: Random, name: str | None = None) -> str:
    """Carry out an attack (``name``, or any) on ``victim``; returns its name. It never raises.

    To be started in a nursery of the world's: it takes up to a minute of virtual time.
    """
    chosen = name or random.choice(sorted(ATTACKS))
    if victim.drive is None:
        return chosen
    world.attacks += 1
    try:
        with trio.move_on_after(_ATTACK_SECONDS):
            await _carry_out(ATTACKS[chosen], world, victim, random)
    finally:
        world.attacks -= 1
    return chosen


async def _carry_out(chosen: "Attack", world: Any, victim: Any, random: Random) -> None:
    try:
        async with trio.open_nursery() as nursery:
            mallory = Mallory(world, victim, random, nursery)
            await chosen(mallory)
            await trio.sleep(random.random() * 5)
            nursery.cancel_scope.cancel()
    except* P2PDriveError:
        pass  # nobody answers, or it was thrown out: it has done what it could


# --- by anyone


async def _stall(mallory: Mallory) -> None:
    """Begin a handshake, and say nothing more."""
    await mallory.dial()
    await trio.sleep(mallory.random.random() * 20)
    await mallory.stream.aclose()


async def _babble(mallory: Mallory) -> None:
    await mallory.dial()
    await mallory.send_raw(mallory.random.randbytes(mallory.random.choice((5, 96, 5000))))
    await trio.sleep(1)
    await mallory.stream.aclose()


async def _break_frames(mallory: Mallory) -> None:
    """Frames that are replayed, changed, too long, or not what they say."""
    await mallory.connect()
    frame = mallory.sealed(encode(Ping(1)))
    changed = bytearray(frame)
    changed[-1] ^= 1
    nonsense: bytes = msgpack.packb((99, b"x"))
    await mallory.send_raw(
        mallory.random.choice(
            (
                frame + frame,
                bytes(changed),
                (FRAME_BYTES_MAX + 1).to_bytes(4, "big") + bytes(100),
                (3).to_bytes(4, "big") + bytes(3),
                mallory.sealed(len(nonsense).to_bytes(4, "big") + nonsense),
                mallory.sealed(encode(Hello(VERSION, "mallory", "again", 0, ()))),
            )
        )
    )
    await mallory.until(mallory.over.is_set)


async def _ask_as_a_stranger(mallory: Mallory) -> None:
    """It knows the drive's id, and blocks that are in it; it is told nothing."""
    await mallory.connect()
    await mallory.send(Drives((mallory.tag,)))
    with reading(mallory.victim) as connection:
        sql = "SELECT block FROM packed LIMIT 5"
        blocks = tuple(bytes(row[0]) for row in connection.execute(sql)) if connection is not None else ()
    await mallory.send(Announce(mallory.tag, (), True, True))
    await mallory.send(Pull(mallory.tag, 1, ()))
    await mallory.send(GetManifests(mallory.tag, 2, blocks or (bytes(32),)))
    await mallory.send(GetBlocks(mallory.tag, 3, blocks or (bytes(32),)))
    await mallory.until(lambda: mallory.heard(Batches) or mallory.heard(Blocks))


async def _guess_a_secret(mallory: Mallory) -> None:
    await mallory.connect()
    await mallory.send(Drives((mallory.tag,)))
    for _ in range(5):
        guess = mallory.random.randbytes(64)
        await mallory.send(Join(mallory.tag, "mallory", guess, mallory.random.randbytes(32)))
    await mallory.until(lambda: mallory.heard(Close))


# --- by members


async def _write_as_a_viewer(mallory: Mallory) -> None:
    if await mallory.enter("viewer"):
        await mallory.publish(mallory.scribe.batch(_record(mallory, b"by a viewer")))


async def _break_rules(mallory: Mallory) -> None:
    """A batch that no node may accept."""
    if not await mallory.enter("editor"):
        return
    scribe, random = mallory.scribe, mallory.random
    honest = mallory.victim.identity.device
    record = _record(mallory, b"refused")
    wrong = random.choice(("path", "signer", "device", "drive", "power", "count", "root"))
    if wrong == "path":
        batch = scribe.batch(scribe.record(random.choice(_BAD_PATHS), Content(Kind.DIRECTORY)))
    elif wrong == "signer":
        batch = scribe.batch(record, signer=Identity(random.randbytes(32)))
    elif wrong == "device":
        scribe.actor = actor_id(honest, scribe.nonce)
        batch = scribe.batch(scribe.record(_OWN_PATHS[0], Content(Kind.DIRECTORY)), device=honest)
    elif wrong == "drive":
        batch = scribe.batch(record, drive=random.randbytes(32))
    elif wrong == "power":
        batch = scribe.batch(Grant(mallory.identity.device, Role.ADMIN, "mallory"))
    elif wrong == "count":
        batch = scribe.batch(record, count=2)
    else:
        batch = scribe.batch(record, root=bytes(32))
    await mallory.publish(batch)


async def _leave_a_hole(mallory: Mallory) -> None:
    """A log that begins with its second batch."""
    if await mallory.enter("editor"):
        mallory.scribe.batch(_record(mallory, b"kept back"))
        await mallory.publish(mallory.scribe.batch(_record(mallory, b"after the hole")))


async def _fork(mallory: Mallory) -> None:
    """Two logs of one actor, one after the other."""
    if not await mallory.enter("editor"):
        return
    scribe = mallory.scribe
    seq, previous = scribe.seq, scribe.previous
    await mallory.publish(scribe.batch(_record(mallory, b"one way")))
    mallory.batches.clear()
    mallory.received.clear()
    scribe.seq, scribe.previous = seq, previous
    await mallory.publish(scribe.batch(_record(mallory, b"another way")))


async def _lie_about_blocks(mallory: Mallory) -> None:
    """Announce a file, and give other bytes, more bytes or none for it."""
    if not await mallory.enter("editor"):
        return
    data = mallory.random.randbytes(100)
    content = small_file(data, mallory.world.now_ns())
    mallory.world.oracle.guest_wrote(data)
    lie = mallory.random.choice((b"x" * 100, data + b"more", data[:50], None))
    if lie is not None:
        mallory.blocks[content.root] = lie
    path = mallory.random.choice(_OWN_PATHS)
    batch = mallory.scribe.batch(mallory.scribe.record(path, content))
    await mallory.publish(batch)
    # Some good in the end: a path that nobody can ever show would only be in the way of what is looked for.
    deleted = mallory.scribe.record(path, DELETED, vector={mallory.scribe.actor: mallory.scribe.seq})
    await mallory.come_back()
    await mallory.publish(mallory.scribe.batch(deleted))


async def _claim_our_future(mallory: Mallory) -> None:
    """Records that say to have seen what others have not written yet."""
    if not await mallory.enter("editor"):
        return
    frontier = mallory.victim.drive.exchange.standing.frontier if mallory.victim.drive else {}
    vector = {actor: seq + mallory.random.randint(1, 1000) for actor, (seq, _) in frontier.items()}
    record = mallory.scribe.record(_OWN_PATHS[0], Content(Kind.DIRECTORY), vector=vector)
    await mallory.publish(mallory.scribe.batch(record))


async def _claim_our_logs(mallory: Mallory) -> None:
    """Announce more of others' logs than there is."""
    if await mallory.enter("editor"):
        drive = mallory.victim.drive
        frontier = drive.exchange.standing.frontier if drive else {}
        await mallory.announce(
            *((actor, seq + 7, bytes(32)) for actor, (seq, _) in frontier.items()),
            *((mallory.random.randbytes(16), 1, bytes(32)) for _ in range(50)),
        )
        await mallory.until(mallory.over.is_set)


async def _ask_and_never_read(mallory: Mallory) -> None:
    if await mallory.enter("viewer"):
        mallory.reading = trio.Event()
        for request in range(1, 60):
            await mallory.send(Pull(mallory.tag, request, ()))
        await trio.sleep(10)


async def _behave(mallory: Mallory) -> None:
    """An editor that writes what it may: the others show it."""
    if await mallory.enter("editor"):
        data = b"by mallory " + mallory.random.randbytes(8).hex().encode()
        mallory.world.oracle.guest_wrote(data)
        content = small_file(data, mallory.world.now_ns())
        mallory.blocks[content.root] = data
        path = mallory.random.choice(_OWN_PATHS)
        await mallory.publish(mallory.scribe.batch(mallory.scribe.record(path, content)))
        await mallory.until(lambda: mallory.heard(GetBlocks))
        await trio.sleep(1)


def _record(mallory: Mallory, why: bytes) -> Any:
    """A change that would be in order if another than this one wrote it; it needs no bytes."""
    path = f"mallory {why.decode()}"
    return mallory.scribe.record(path, Content(Kind.DIRECTORY))


Attack = Callable[[Mallory], Awaitable[None]]

ATTACKS: dict[str, Attack] = {
    "stall": _stall,
    "babble": _babble,
    "break frames": _break_frames,
    "ask as a stranger": _ask_as_a_stranger,
    "guess a secret": _guess_a_secret,
    "write as a viewer": _write_as_a_viewer,
    "break rules": _break_rules,
    "leave a hole": _leave_a_hole,
    "fork": _fork,
    "lie about blocks": _lie_about_blocks,
    "claim our future": _claim_our_future,
    "claim our logs": _claim_our_logs,
    "ask and never read": _ask_and_never_read,
    "behave": _behave,
}
