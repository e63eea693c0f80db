"""Joining over a link that is there already, as two devices have another drive, or found each other."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.net.discovery import NoDiscovery
from p2pdrive.node.dialler import Dialler
from tests.engine.world import Machine, World


@pytest.mark.parametrize(("first", "second"), [("anna", "berta"), ("berta", "anna")])
async def test_second_drive_is_joined_over_the_link_that_is_there(
    world: World, autojump_clock: MockClock, first: str, second: str
) -> None:
    """Whoever of the two opened the link, and whichever has the smaller id."""
    owner, guest = await world.sharing(first, second)
    for dialling, dialled in ((owner, guest), (guest, owner)):
        world.part()
        await world.quiet()
        world.connect(dialling, dialled)
        await world.converge()
        owner.root = world.directory / owner.name / f"more of {dialling.name}"
        guest.root = world.directory / guest.name / f"more of {dialling.name}"
        for machine in (owner, guest):
            machine.root.mkdir()
        owner.write("file", "in another drive")
        await owner.share()
        await guest.join(owner)
        await world.until(lambda: guest.files() == {"file": "in another drive"}, "the other drive")
        assert len(guest.connections.links) == 1


async def sharing_another(world: World) -> tuple[Machine, Machine, Machine]:
    """Anna and berta have a drive, whose invite berta will not hear of; berta and clara have another."""
    anna, berta = await world.sharing("anna", "berta", files={"file": "anna's"})
    clara = world.machine("clara")
    berta.root, first = world.directory / "another", berta.root
    berta.root.mkdir()
    await berta.share()
    await clara.join(berta)
    berta.root, clara.root = first, world.directory / "anna's"
    clara.root.mkdir()
    world.cut(anna, berta)
    await world.quiet()
    return anna, berta, clara


async def test_member_that_does_not_know_the_invite_yet_refuses_nobody_for_good(
    world: World, autojump_clock: MockClock
) -> None:
    anna, _, clara = await sharing_another(world)
    await clara.enter(anna.invite())
    await world.until(lambda: clara.files() == {"file": "anna's"}, "the drive")


async def test_member_that_never_hears_of_the_invite_is_asked_ever_more_seldom(
    world: World, autojump_clock: MockClock
) -> None:
    """It ends a connection that another drive needs each time."""
    anna, berta, clara = await sharing_another(world)
    invite = anna.invite()
    await anna.stop()
    ends = 0

    async def connect_again() -> None:
        nonlocal ends
        while True:
            await trio.sleep(0.2)
            if not clara.connections.links:
                ends += 1
                world.connect(clara, berta)

    world.nursery.start_soon(connect_again)
    with trio.move_on_after(100):
        await clara.enter(invite)
    assert 3 < ends < 10


@pytest.mark.parametrize("opened_by", ["the member", "who joins"])
async def test_who_let_us_in_is_found_again_though_the_link_was_cut_before_the_log_came(
    world: World, autojump_clock: MockClock, opened_by: str
) -> None:
    """All that is known then is who made the drive, and that is away."""
    anna, berta = await world.sharing("anna", "berta", files={"file": "anna's"})
    invite = anna.invite()
    await world.converge()
    await anna.stop()
    world.part()
    clara = world.machine("clara")
    if opened_by == "the member":
        world.connect(berta, clara)
        invite = replace(invite, addresses=())
    else:
        invite = replace(invite, addresses=(berta.address,))

    start = clara.start

    async def start_alone() -> None:
        world.part()
        await world.quiet()
        await start()

    clara.start = start_alone  # type: ignore[method-assign]
    await clara.enter(invite)
    await world.quiet()
    assert clara.files() == {}

    dialler = Dialler(clara.services, clara.connections, clara.book, NoDiscovery(), clara._dial)
    await world.nursery.start(dialler.run, ())
    dialler.want(clara.connections.wanted())
    await world.converge(berta, clara)
    assert clara.files() == {"file": "anna's"}
