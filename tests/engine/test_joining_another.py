"""Joining a second drive of a device that is connected already."""

import pytest
from trio.testing import MockClock

from tests.engine.world import World


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
