"""With nothing to do, nothing is written, and only signs of life pass."""

import trio
from trio.testing import MockClock

from p2pdrive.limits import KEEPALIVE_SECONDS, RESCAN_SECONDS
from tests.engine.world import Machine, World

#: Bytes of a Ping or Pong with its seal.
SIGN_OF_LIFE_BYTES = 40


def written(machines: list[Machine]) -> list[int]:
    """How many rows each database has had changed."""
    return [machine.replica.database._writer.total_changes for machine in machines]


async def rest(world: World, machines: list[Machine]) -> None:
    """Ten minutes in which nothing may happen."""
    await trio.sleep(10)
    rows, sent = written(machines), [machine.sent_bytes for machine in machines]
    seconds = 600
    await trio.sleep(seconds)
    assert written(machines) == rows
    pings = seconds / KEEPALIVE_SECONDS + 1
    for machine, before in zip(machines, sent, strict=True):
        links = len(machine.connections.links)
        assert links == len(machines) - 1
        assert machine.sent_bytes - before <= links * 2 * pings * SIGN_OF_LIFE_BYTES


async def test_machines_in_sync_are_quiet(world: World, autojump_clock: MockClock) -> None:
    machines = await world.sharing("anna", "berta", "clara", files={"a.txt": "a", "d/b.txt": "b"})
    await rest(world, machines)


async def test_machines_with_a_conflict_are_quiet(world: World, autojump_clock: MockClock) -> None:
    machines = await world.sharing("anna", "berta", "clara", files={"r.txt": "first"})
    world.part()
    for machine in machines:
        await trio.sleep(1)
        machine.write("r.txt", f"by {machine.name}")
        machine.look()
        await world.quiet()
    world.join_up()
    await world.converge()
    await rest(world, machines)
    assert len(machines[0].copies()) == 2


async def test_a_rescan_of_an_unchanged_folder_says_nothing(world: World, autojump_clock: MockClock) -> None:
    machines = await world.sharing("anna", "berta", files={"a.txt": "a", "d/b.txt": "b"})
    await trio.sleep(10)
    dots, sent = machines[0].dots(), [machine.sent_bytes for machine in machines]
    await trio.sleep(RESCAN_SECONDS + 60)
    assert machines[0].dots() == dots
    pings = (RESCAN_SECONDS + 60) / KEEPALIVE_SECONDS + 1
    for machine, before in zip(machines, sent, strict=True):
        assert machine.sent_bytes - before <= 2 * pings * SIGN_OF_LIFE_BYTES


async def test_looking_again_and_again_writes_no_records(world: World, autojump_clock: MockClock) -> None:
    machines = await world.sharing("anna", "berta", files={"a.txt": "a", "d/b.txt": "b"})
    dots = machines[0].dots()
    for _ in range(5):
        await world.converge()
    assert machines[1].dots() == dots


async def test_an_hour_of_edits_at_both_ends_never_ping_pongs(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    before = len(anna.dots())
    for round_ in range(10):
        (anna if round_ % 2 else berta).write("r.txt", f"round {round_}")
        await world.converge()
    assert len(anna.dots()) == before + 10
    assert anna.files() == {"r.txt": "round 9"}
