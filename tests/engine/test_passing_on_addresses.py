"""Knowing one member is enough: members tell each other where the others are."""

from dataclasses import replace

from trio.testing import MockClock

from tests.engine.world import World


async def test_who_joins_while_a_member_is_away_learns_where_that_is_and_the_other_way_round(
    world: World, autojump_clock: MockClock
) -> None:
    """The addresses come when those who are told do not know yet that the two are members."""
    laptop, desktop = await world.sharing("laptop", "desktop", files={"photo": "sunset"})
    invite = laptop.invite()
    await world.converge()
    world.cut_off(laptop)
    await laptop.stop()

    tablet = world.machine("tablet")
    await tablet.enter(replace(invite, addresses=(desktop.address,)))
    await world.converge(desktop, tablet)
    await world.until(lambda: tablet.book.addresses(laptop.identity.device), "where the laptop is")

    await laptop.start()
    world.connect(laptop, desktop)
    await world.converge()
    await world.until(lambda: laptop.book.addresses(tablet.identity.device), "where the tablet is")
    assert laptop.address in tablet.book.addresses(laptop.identity.device)
    assert tablet.address in laptop.book.addresses(tablet.identity.device)
