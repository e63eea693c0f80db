"""A join while the same two devices connect for other reasons, or while the line is cut: it always ends."""

import pytest
import trio
from trio.testing import MockClock

from tests.engine.world import Machine, World

#: Turns of the event loop after which the other thing happens: before the first byte, until after the end.
MOMENTS = (*range(0, 12, 2), *range(12, 60, 8))
#: Virtual seconds within which a join must have worked.
SOON = 30


async def turns(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


def another_drive(world: World, machine: Machine, number: int) -> None:
    machine.root = world.directory / machine.name / f"drive {number}"
    machine.root.mkdir()


def links_between(one: Machine, other: Machine) -> tuple[int, int]:
    return (
        sum(link.device == other.identity.device for link in one.connections._standings),
        sum(link.device == one.identity.device for link in other.connections._standings),
    )


@pytest.mark.parametrize(("owner_name", "guest_name"), [("anna", "berta"), ("berta", "anna")])
@pytest.mark.parametrize("racer", ["owner", "guest", "both"])
async def test_join_while_the_two_connect_for_the_sake_of_another_drive(
    world: World, autojump_clock: MockClock, owner_name: str, guest_name: str, racer: str
) -> None:
    """Whichever of the links stays, the join goes on over it; both ends keep the same one."""
    owner, guest = await world.sharing(owner_name, guest_name)
    first = owner.root, guest.root
    for moment in MOMENTS:
        world.part()
        await world.quiet()
        for machine in (owner, guest):
            another_drive(world, machine, moment)
        owner.write("file", f"of drive {moment}")
        await owner.share()
        with trio.fail_after(SOON):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(guest.join, owner)
                await turns(moment)
                if racer != "guest":
                    world.connect(owner, guest)
                if racer != "owner":
                    world.connect(guest, owner)
        await world.until(lambda: links_between(owner, guest) == (1, 1), "one link at each end")
        await world.until(lambda text=f"of drive {moment}": guest.files() == {"file": text}, "the drive")
    owner.root, guest.root = first
    owner.write("of the first", "which is still there")
    owner.look()
    await world.until(lambda: "of the first" in guest.files(), "the first drive's edit")


async def test_two_that_join_each_others_drives_at_the_same_time(
    world: World, autojump_clock: MockClock
) -> None:
    """Each dials the other with an invite, and one of the two links must go."""
    for number, moment in enumerate(MOMENTS):
        one, other = world.machine(f"one {number}"), world.machine(f"other {number}")
        for machine in (one, other):
            machine.write("file", f"by {machine.name}")
            await machine.share()
        invites = one.invite(), other.invite()
        roots = one.root, other.root
        another_drive(world, one, number)
        another_drive(world, other, number)
        with trio.fail_after(SOON):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.enter, invites[1])
                await turns(moment)
                nursery.start_soon(other.enter, invites[0])
        await world.until(lambda: one.files() == {"file": f"by {other.name}"}, "the other's drive")  # noqa: B023
        await world.until(lambda: other.files() == {"file": f"by {one.name}"}, "the one's drive")  # noqa: B023
        await world.until(lambda: links_between(one, other) == (1, 1), "one link at each end")  # noqa: B023
        one.root, other.root = roots


async def test_join_whose_connection_is_cut_at_any_moment(world: World, autojump_clock: MockClock) -> None:
    """Before, during and after the answer: it is tried again, and the invite, for one, is not used up."""
    owner = world.machine("owner")
    owner.write("file", "content")
    await owner.share()
    for moment in MOMENTS:
        guest = world.machine(f"guest {moment}")
        invite = owner.invite(uses=1)
        with trio.fail_after(SOON):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(guest.enter, invite)
                await turns(moment)
                world.cut(owner, guest)
        world.join_up(owner, guest)
        await world.until(lambda guest=guest: guest.files() == {"file": "content"}, "the file")
    await world.quiet()
    assert len(owner.drive.exchange.standing.members) == 1 + len(MOMENTS)


async def test_join_through_a_member_that_cuts_every_first_connection(
    world: World, autojump_clock: MockClock
) -> None:
    owner = world.machine("owner")
    await owner.share()
    guest = world.machine("guest")
    accept = owner.connections.accept
    calls = 0

    async def cutting(stream: object) -> None:
        nonlocal calls
        calls += 1
        if calls < 4:
            await stream.aclose()  # type: ignore[attr-defined]
        else:
            await accept(stream)  # type: ignore[arg-type]

    owner.connections.accept = cutting  # type: ignore[method-assign,assignment]
    with trio.fail_after(SOON):
        await guest.join(owner)
    assert calls == 4
    await world.converge(owner, guest)
