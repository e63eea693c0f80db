"""The address book holds members of our drives: strangers and liars fill neither it nor those of others."""

import trio
from trio.testing import MockClock

from p2pdrive.limits import ADDRESSES_MAX, DEVICES_MAX, RELAYED_ADDRESSES_MAX, STRANGER_SECONDS
from p2pdrive.secure.identity import Identity
from p2pdrive.wire.messages import VERSION, Addresses, Announce, Drives, Hello, Join, Refused
from tests.engine.hostile import Mallory
from tests.engine.world import Machine, World

MANY = tuple(f"203.0.113.{number}:4100" for number in range(1, ADDRESSES_MAX + 1))


def known(machine: Machine) -> set[bytes]:
    """The devices in its book."""
    return {bytes.fromhex(device) for device in machine.book.to_json()}


def addresses_in(machine: Machine) -> set[str]:
    return {address for card in machine.book.to_json().values() for address in card["addresses"]}


def invented(count: int) -> tuple[tuple[bytes, tuple[str, ...]], ...]:
    return tuple((number.to_bytes(32, "big"), MANY[:2]) for number in range(count))


async def pair(world: World) -> tuple[Machine, Machine]:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    await world.quiet()
    assert known(anna) == {berta.identity.device} and known(berta) == {anna.identity.device}
    return anna, berta


class Stranger(Mallory):
    """No member. It knows the drive's id, from an old invite, say, and tells where it and others are."""

    def __init__(self, world: World, victim: Machine, number: int) -> None:
        super().__init__(world, victim)
        self.identity = Identity(number.to_bytes(32, "big"))

    async def come(self, *told: tuple[bytes, tuple[str, ...]]) -> None:
        await self.connect()
        await self.send(Hello(VERSION, "stranger", "by hand", 4100, MANY))
        await self.send(Drives((self.tag,)))
        if told:
            await self.send(Addresses(self.tag, told))
        await self.world.quiet()


async def test_strangers_that_come_and_go_leave_nothing(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await pair(world)
    before = known(anna), addresses_in(anna)
    for number in range(1, 40):
        await Stranger(world, anna, number).come()
    await trio.sleep(STRANGER_SECONDS * 2)
    await world.converge(anna, berta)
    assert (known(anna), addresses_in(anna)) == before
    assert not addresses_in(berta) & set(MANY)


async def test_what_a_stranger_says_of_others_is_not_believed(
    world: World, autojump_clock: MockClock
) -> None:
    """Neither of devices that nobody knows, nor of members."""
    anna, berta = await pair(world)
    stranger = Stranger(world, anna, 7)
    await stranger.come(*invented(DEVICES_MAX - 1), (berta.identity.device, MANY[:3]))
    anna.write("news.txt", "so that all is looked at again")
    await world.converge(anna, berta)
    assert known(anna) == {berta.identity.device}
    assert not (addresses_in(anna) | addresses_in(berta)) & set(MANY)
    assert not stranger.heard(Addresses)  # and it is told nothing in return


async def test_a_stranger_that_is_refused_is_not_noted(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await pair(world)
    stranger = Stranger(world, anna, 7)
    await stranger.come()
    await stranger.send(Join(stranger.tag, "stranger", bytes(64), bytes(32)))
    await stranger.send(Announce(stranger.tag, (), True, True))
    await world.quiet()
    await trio.sleep(5)
    assert known(anna) == {berta.identity.device}


async def test_members_say_where_members_are_and_no_one_else(world: World, autojump_clock: MockClock) -> None:
    """A member may lie about members, within bounds; the address that worked is not pushed out."""
    anna, berta = await pair(world)
    mallory = Mallory(world, anna)
    await mallory.enter()
    await mallory.send(
        Addresses(mallory.tag, (*invented(DEVICES_MAX - 1), (berta.identity.device, MANY[:8])))
    )
    await world.quiet()
    await world.until(lambda: mallory.identity.device in known(anna), "the new member")
    assert known(anna) == {berta.identity.device, mallory.identity.device}
    told = anna.book.addresses(berta.identity.device)
    assert told[0] == berta.address
    assert len(told) == RELAYED_ADDRESSES_MAX
    await world.converge(anna, berta)
    assert known(berta) <= {anna.identity.device, mallory.identity.device}


async def test_a_stranger_that_becomes_a_member_is_noted_then(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await pair(world)
    stranger = Stranger(world, anna, 7)
    await stranger.come()
    assert known(anna) == {berta.identity.device}
    invite = anna.invite()
    proof = invite.prove(stranger.identity.device, "stranger")
    await stranger.send(Join(stranger.tag, "stranger", proof, invite.public))
    await world.until(lambda: stranger.identity.device in known(anna), "the new member")
    await world.until(lambda: stranger.identity.device in known(berta), "word of it")
    assert addresses_in(berta) & set(MANY)


async def test_a_stranger_without_a_name_is_not_let_in_and_costs_nobody_anything(
    world: World, autojump_clock: MockClock
) -> None:
    """A grant without a name is refused by all: nobody would have taken more of the log that has it."""
    anna, berta = await pair(world)
    stranger = Stranger(world, anna, 7)
    await stranger.come()
    invite = anna.invite()
    await stranger.send(Join(stranger.tag, "", invite.prove(stranger.identity.device, ""), invite.public))
    await world.quiet()
    assert stranger.heard(Refused)
    assert stranger.identity.device not in known(anna)
    anna.write("after.txt", "life goes on")
    anna.look()
    await world.converge(anna, berta)
    assert berta.files()["after.txt"] == "life goes on"
