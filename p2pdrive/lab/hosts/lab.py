"""What a scenario plays with: the hosts, what joins them, the people, the time that there is."""

import dataclasses
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random

import trio

from p2pdrive.engine.status import DriveStatus
from p2pdrive.lab.hosts.host import Host, HostFailed
from p2pdrive.lab.hosts.ledger import Ledger
from p2pdrive.lab.hosts.link import Link
from p2pdrive.lab.hosts.network import Network
from p2pdrive.lab.hosts.person import Person
from p2pdrive.lab.hosts.telling import HostLook
from p2pdrive.secure.invite import Invite

Condition = Callable[[], Awaitable[bool]]

#: Seconds within which what has to happen has happened, on a machine that is busy with other work.
PATIENCE_SECONDS = 120.0
#: Seconds between two acts of one person, on average.
_ACT_SECONDS = 0.4
_LOOK_SECONDS = 0.2


@dataclass
class Lab:
    """``seconds`` is how long people write and things go wrong; ``say`` tells whoever watches.

    ``link`` is what the slowest cable is like.
    """

    hosts: list[Host]
    network: Network
    link: Link
    seconds: float
    random: Random
    say: Callable[[str], None]
    ledger: Ledger = field(default_factory=Ledger)
    began: float = field(default_factory=time.monotonic)
    people: list[Person] = field(default_factory=list)

    def __post_init__(self) -> None:
        for host in self.hosts:
            own = Random(self.random.random())
            self.people.append(
                Person(host.name, host.folder, host.outside, self.ledger, own, lambda: self.elapsed)
            )

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    @property
    def patience(self) -> float:
        """Seconds within which what has to happen has happened: more where much has to pass a slow line."""
        if self.link.rate is None:
            return PATIENCE_SECONDS
        return PATIENCE_SECONDS + len(self.hosts) * self.ledger.size * 8 / self.link.rate

    def person(self, host: Host) -> Person:
        """Who sits at the host."""
        return self.people[host.number - 1]

    # --- setting up

    async def start(self, hosts: Iterable[Host]) -> None:
        """Starts the nodes of all these at once."""
        async with trio.open_nursery() as nursery:
            for host in hosts:
                nursery.start_soon(host.start)

    async def invite(self, host: Host, uses: int) -> str:
        """Makes the host's folder a drive, and gives an invite to it.

        Where the nodes can find each other by themselves, the invite names no address.
        """
        link = (await host.cli("share", str(host.folder), "--uses", str(uses))).strip()
        if self.network.isolated:
            link = replace(Invite.parse(link), addresses=()).link()
        return link

    async def join(self, hosts: Iterable[Host], invite: str) -> None:
        """All of these join at the same moment; returns once every one is a member."""
        async with trio.open_nursery() as nursery:
            for host in hosts:
                nursery.start_soon(host.cli, "join", invite, str(host.folder))

    async def gather(self) -> None:
        """All nodes run, and their hosts are members of one drive."""
        founder, *others = self.hosts
        await self.start(self.hosts)
        await self.join(others, await self.invite(founder, len(others)))
        await self.until(self.all_connected, "all hosts are connected")
        self.say(f"{len(self.hosts)} hosts share a drive")

    # --- while it goes on

    @asynccontextmanager
    async def people_write(self, hosts: Sequence[Host] | None = None) -> AsyncIterator[None]:
        """People write on these hosts (all of them if not said) while the context is open."""
        async with trio.open_nursery() as nursery:
            for host in self.hosts if hosts is None else hosts:
                nursery.start_soon(self._write, host)
            yield
            nursery.cancel_scope.cancel()

    async def until(self, holds: Condition, what: str) -> None:
        """Returns once ``holds`` is true. Raises HostFailed when patience is at its end."""
        seconds = self.patience
        with trio.move_on_after(seconds):
            while not await holds():  # noqa: ASYNC110 - it lies in other processes
                await trio.sleep(_LOOK_SECONDS)
            return
        raise HostFailed(f"It was waited in vain for {seconds:g} s until {what}.\n{await self.told()}")

    async def all_connected(self) -> bool:
        """Whether every node is connected to every other."""
        for host in self.hosts:
            drive = await host.drive()
            if drive is None or sum(peer.connected for peer in drive.peers) < len(self.hosts) - 1:
                return False
        return True

    def remaining(self, since: float) -> float:
        """Seconds left of those that the scenario has, as it began to play when ``since`` had elapsed."""
        return max(0.0, since + self.seconds - self.elapsed)

    def pause(self, least: float, most: float) -> float:
        """So many seconds, by chance; never more than a third of the time that there is."""
        return min(self.random.uniform(least, most), max(self.seconds / 3, 0.5))

    async def told(self) -> str:
        """What all nodes say of their drives, for whoever has to find out."""
        lines = []
        for host in self.hosts:
            drive = await host.drive()
            lines.append(f"{host.name}: {drive if drive is None else dataclasses.asdict(drive)}")
        return "\n".join(lines)

    async def look(self) -> tuple[HostLook, ...]:
        """All hosts as they are now."""
        looks: dict[int, HostLook] = {}

        async def one(host: Host) -> None:
            host.note_memory()
            looks[host.number] = _look(host, await host.status())

        async with trio.open_nursery() as nursery:
            for host in self.hosts:
                nursery.start_soon(one, host)
        return tuple(looks[host.number] for host in self.hosts)

    async def _write(self, host: Host) -> None:
        while True:
            await trio.sleep(-math.log(1 - self.random.random()) * _ACT_SECONDS)
            if not host.asleep:
                self.person(host).act()


def _look(host: Host, drives: tuple[DriveStatus, ...] | None) -> HostLook:
    drive = drives[0] if drives else None
    return HostLook(
        host.name,
        host.network.address(host.number),
        host.state if drives is not None or host.state != "running" else "silent",
        "" if drive is None else str(drive.state),
        0 if drive is None else drive.files,
        0 if drive is None else drive.conflicts,
        0 if drive is None else len(drive.problems),
        0 if drive is None else sum(peer.connected for peer in drive.peers),
        host.memory,
        host.received,
    )
