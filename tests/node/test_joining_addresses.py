"""An invite's addresses may lead to others than its members by the time that it is used."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.errors import Unreachable
from tests.engine.pipes import MemoryStream
from tests.engine.world import Machine, World


class InOrder:
    """Dials as the real one does when all answer: the first address that anybody is at."""

    def __init__(self, machine: Machine) -> None:
        self.tried: list[tuple[str, ...]] = []
        self._machine = machine
        self._dial = machine._dial

    async def __call__(self, addresses: Iterable[str]) -> MemoryStream:
        self.tried.append(tuple(addresses))
        there = {machine.address for machine in self._machine.world.machines}
        for address in self.tried[-1]:
            if address in there:
                return await self._dial([address])
        raise Unreachable("nobody answers")


@pytest.fixture
async def world(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[World]:
    made = World(tmp_path, nursery)
    yield made
    await made.close()
    nursery.cancel_scope.cancel()


async def scene(world: World) -> tuple[Machine, Machine, Machine, InOrder]:
    """A member, a machine that knows nothing of the drive, and a guest."""
    owner, other, guest = (world.machine(name) for name in ("owner", "other", "guest"))
    for machine in (owner, other):
        machine.write("file", f"of {machine.name}")
        await machine.share()
    dial = InOrder(guest)
    guest._dial = dial  # type: ignore[method-assign]
    return owner, other, guest, dial


async def test_somebody_else_at_the_first_address_is_passed_over(
    world: World, autojump_clock: MockClock
) -> None:
    owner, other, guest, dial = await scene(world)
    invite = replace(owner.invite(), addresses=(other.address, owner.address))
    with trio.fail_after(30):
        await guest.enter(invite)
    await world.converge(owner, guest)
    assert guest.files() == {"file": "of owner"}
    assert dial.tried == [(other.address, owner.address), (owner.address, other.address)]


async def test_several_others_are_passed_over_one_after_the_other(
    world: World, autojump_clock: MockClock
) -> None:
    """The guest itself among them, at an address that is the same on every machine."""
    owner, other, guest, _dial = await scene(world)
    another = world.machine("another")
    await another.share()
    addresses = (guest.address, other.address, "192.0.2.200:1", another.address, owner.address)
    with trio.fail_after(30):
        await guest.enter(replace(owner.invite(), addresses=addresses))
    await world.converge(owner, guest)
    assert guest.files() == {"file": "of owner"}


async def test_member_that_comes_to_a_wrong_address_is_found_there(
    world: World, autojump_clock: MockClock
) -> None:
    """Wrong addresses are tried last, but tried."""
    owner, other, guest, _dial = await scene(world)
    invite = replace(owner.invite(), addresses=(other.address,))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest.enter, invite)
        await trio.sleep(20)
        owner.address, other.address = other.address, owner.address
        with trio.fail_after(10):
            await world.until(lambda: guest._kept, "the join")
    await world.converge(owner, guest)
    assert guest.files() == {"file": "of owner"}
