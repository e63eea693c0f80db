"""The scenarios. At their ends all nodes run and all hosts reach each other; the stage checks the rest.

A new one is a function here with a line in PLAYS, and a line of help in ``names.py``.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from p2pdrive.lab.hosts.checks import settled
from p2pdrive.lab.hosts.disk import LimitedDisk
from p2pdrive.lab.hosts.host import Host
from p2pdrive.lab.hosts.lab import Lab
from p2pdrive.lab.hosts.link import Link

_MB = 1_000_000
#: What a home far away may have, where --link does not say otherwise.
_SLOW = Link(delay=0.06, rate=4e6, loss=0.01)


async def join_storm(lab: Lab) -> None:
    """All but one join at the same moment; every other one of them has files already."""
    founder, *others = lab.hosts
    for number in range(60):
        lab.person(founder).save(f"shared/{number % 7}/{number}")
    lab.person(founder).save("shared/large", lab.random.randbytes(5 * _MB))
    for host in others[::2]:
        for number in range(20, 30):  # of the same names as the founder's
            lab.person(host).save(f"shared/{number % 7}/{number}")
        lab.person(host).save(f"of {host.name}/own")
    began = lab.elapsed
    await lab.start([founder])
    invite = await lab.invite(founder, len(others))
    lab.say(f"{len(others)} hosts start and join at once")
    async with lab.people_write([founder]):
        await lab.start(others)
        await lab.join(others, invite)
        await lab.until(lab.all_connected, "all hosts are connected")
        lab.say(f"All are members, {lab.elapsed - began:.1f} s after the first one started")
    async with lab.people_write():
        await trio.sleep(lab.remaining(began))


async def sleep(lab: Lab) -> None:
    """The last host's node stops in the middle of what it does, for seconds up to more than a minute."""
    laptop = lab.hosts[-1]
    await lab.gather()
    began = lab.elapsed
    async with lab.people_write():
        while lab.remaining(began):
            await trio.sleep(lab.pause(1, 8))
            seconds = lab.pause(1, lab.random.choice((3, 10, 80)))
            laptop.sleep()
            lab.say(f"{laptop.name} sleeps for {seconds:.1f} s")
            await trio.sleep(seconds)
            laptop.wake()


async def split_brain(lab: Lab) -> None:
    """Two halves that cannot reach each other, again and again; after each time they become equal."""
    await lab.gather()
    began = lab.elapsed
    halves = [lab.hosts[::2], lab.hosts[1::2]]
    while lab.remaining(began):
        seconds = lab.pause(3, lab.random.choice((8, 80)))
        await _split(lab, halves)
        async with lab.people_write():
            await trio.sleep(seconds)
            for host in lab.hosts:  # at the least this is edited on both sides
                lab.person(host).save("everyone's.txt")
        await _heal(lab)
        async with lab.people_write():
            await trio.sleep(min(lab.remaining(began), 3))
        await settled(lab)
        lab.say("both sides are equal again")


async def _split(lab: Lab, halves: list[list[Host]]) -> None:
    names = " | ".join(" ".join(host.name for host in half) for half in halves)
    if lab.network.isolated:
        lab.network.split([[host.number for host in half] for half in halves])
        lab.say(f"the network falls in two: {names}")
    else:
        for host in halves[1]:
            await host.stop()
        lab.say(f"the nodes of the second half are off (the loopback cannot be split): {names}")


async def _heal(lab: Lab) -> None:
    lab.network.heal()
    await lab.start(host for host in lab.hosts if not host.runs)
    lab.say("and is whole again")


async def kill(lab: Lab) -> None:
    """A node after the other dies without a word and is started again."""
    await lab.gather()
    began = lab.elapsed
    kills = 0
    async with lab.people_write():
        while lab.remaining(began):
            await trio.sleep(lab.pause(0.5, 4))
            host = lab.random.choice(lab.hosts)
            host.kill()
            kills += 1
            lab.say(f"kill -9 of {host.name}")
            await trio.sleep(lab.pause(0.1, 2))
            await host.start()
    lab.say(f"{kills} kills")


async def slow_link(lab: Lab) -> None:
    """The last host is far away; people write on all, and now and then something larger."""
    far = lab.hosts[-1]
    await lab.gather()
    if lab.network.isolated:
        if lab.link.is_plain:
            lab.link = _SLOW
            lab.network.shape(far.number, _SLOW)
        lab.say(f"{far.name} has a slow line: {lab.link}")
    else:
        lab.say("the loopback cannot be slow: this is played on a fast line")
    began = lab.elapsed
    async with lab.people_write():
        while True:
            host = lab.random.choice(lab.hosts)
            lab.person(host).save(f"film of {host.name}", lab.random.randbytes(lab.random.randrange(_MB)))
            if not lab.remaining(began):
                break
            await trio.sleep(min(10.0, lab.remaining(began)))


async def disk_full(lab: Lab) -> None:
    """One disk is too small for a film, then full to the brim, then large enough."""
    poor, rich = lab.hosts[-1], lab.hosts[0]
    disk = LimitedDisk(poor.disk, 64 * _MB)
    poor.make_folders()
    await lab.gather()
    began = lab.elapsed
    lab.person(rich).save("film", lab.random.randbytes(60 * _MB))
    await lab.until(partial(_has_problem, poor), f"{poor.name} reports that the film does not fit")
    lab.say(f"{poor.name} reports that the film does not fit")
    for writer, reader in ((rich, poor), (poor, rich)):
        name = f"small file of {writer.name}"
        lab.person(writer).save(name)
        await lab.until(partial(_exists, reader, name), f"the {name} is on {reader.name}")
    lab.say("everything else goes on")
    disk.fill()
    lab.say(f"the disk of {poor.name} is full to the brim")
    async with lab.people_write():
        await trio.sleep(lab.remaining(began))
    disk.grow(512 * _MB)
    lab.say(f"the disk of {poor.name} has room again")


async def swarm(lab: Lab) -> None:
    """Large files go from one to all; told is how long it takes, and what the one has to send of it."""
    seeder, *others = lab.hosts
    await lab.gather()
    began = lab.elapsed
    for number in range(1, 1000):
        size = 32 * _MB if number == 1 else 8 * _MB
        name, sent = f"film {number}", _sent(others, seeder)
        await trio.to_thread.run_sync(lab.person(seeder).save, name, lab.random.randbytes(size))
        start = lab.elapsed
        for host in others:
            await lab.until(partial(_exists, host, name), f"{name} is on {host.name}")
        seconds = lab.elapsed - start
        await settled(lab)
        lab.say(
            f"{size / _MB:.0f} MB are on {len(others)} more hosts after {seconds:.1f} s; "
            f"{seeder.name} sent {(_sent(others, seeder) - sent) / size:.1f} times as much"
        )
        if not lab.remaining(began):
            break


def _sent(others: list[Host], seeder: Host) -> int:
    return sum(host.received.get(seeder.name, 0) for host in others)


async def _has_problem(host: Host) -> bool:
    drive = await host.drive()
    return drive is not None and bool(drive.problems)


async def _exists(host: Host, name: str) -> bool:
    return (host.folder / name).exists()


PLAYS: dict[str, Callable[[Lab], Awaitable[None]]] = {
    "join-storm": join_storm,
    "sleep": sleep,
    "split-brain": split_brain,
    "kill": kill,
    "slow-link": slow_link,
    "disk-full": disk_full,
    "swarm": swarm,
}
