"""The stage: sets up the hosts, plays the scenario, checks the end, and tells of it on standard output.

``python -m p2pdrive.lab.hosts.stage ORDER``. It ends when its standard input does: then whoever started it
is gone, or wants it to end.
"""

import os
import sys
from pathlib import Path
from random import Random

import trio

from p2pdrive.errors import P2PDriveError
from p2pdrive.lab.hosts.checks import found_wrong, settled
from p2pdrive.lab.hosts.host import Host
from p2pdrive.lab.hosts.lab import Lab
from p2pdrive.lab.hosts.link import parse_link
from p2pdrive.lab.hosts.network import Loopback, Namespaces, Network
from p2pdrive.lab.hosts.scenarios import PLAYS
from p2pdrive.lab.hosts.telling import Event, Order

#: Seconds between two looks at all hosts.
_LOOK_SECONDS = 0.5


def main() -> int:
    """Plays the order of the command line; returns 0 if all was well."""
    return trio.run(_play, Order.from_json(sys.argv[1]))


async def _play(order: Order) -> int:
    base = Path(order.base)
    network: Network = Namespaces(base, order.nodes) if order.isolated else Loopback(order.nodes)
    hosts = [Host(base, number, network) for number in range(1, order.nodes + 1)]
    stage = _Stage(order, network, hosts)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_input_ends, nursery.cancel_scope)
            await stage.play()
            nursery.cancel_scope.cancel()
    finally:
        for host in hosts:
            host.end()
        network.close()
    return stage.code


class _Stage:
    def __init__(self, order: Order, network: Network, hosts: list[Host]) -> None:
        self.code = 1
        self._order = order
        self._lab = Lab(hosts, network, parse_link(order.link), order.seconds, Random(), self._say)

    async def play(self) -> None:
        """The scenario, its end, and what is wrong with that."""
        wrong: list[str] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_on)
                await self._scenario()
                nursery.cancel_scope.cancel()
            wrong = await found_wrong(self._lab)
        except* P2PDriveError as group:
            wrong = [str(error) for error in _leaves(group)]
        for line in wrong:
            self._say(line, bad=True)
        self.code = 1 if wrong else 0
        self._tell(Event(self._lab.elapsed, code=self.code))

    async def _scenario(self) -> None:
        for host in self._lab.hosts:
            host.prepare()
            if not self._lab.link.is_plain:
                host.network.shape(host.number, self._lab.link)
        await PLAYS[self._order.scenario](self._lab)
        self._say("People stop; all nodes run and reach each other")
        await settled(self._lab)
        self._say(
            f"All hosts are equal, after {sum(person.acts for person in self._lab.people)} acts of people"
        )
        await self._tell_hosts()

    async def _look_on(self) -> None:
        """Tells how all hosts are, and sees that none fails, until cancelled."""
        while True:
            self._lab.network.check()
            for host in self._lab.hosts:
                host.check()
            await self._tell_hosts()
            await trio.sleep(_LOOK_SECONDS)

    async def _tell_hosts(self) -> None:
        self._tell(Event(self._lab.elapsed, hosts=await self._lab.look()))

    def _say(self, text: str, *, bad: bool = False) -> None:
        self._tell(Event(self._lab.elapsed, say=text, bad=bad))

    def _tell(self, event: Event) -> None:
        sys.stdout.write(event.to_json() + "\n")
        sys.stdout.flush()


async def _until_input_ends(scope: trio.CancelScope) -> None:
    while True:
        await trio.lowlevel.wait_readable(sys.stdin.fileno())
        if not os.read(sys.stdin.fileno(), 1):
            scope.cancel()
            return


def _leaves(group: BaseException) -> list[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        return [leaf for member in group.exceptions for leaf in _leaves(member)]
    return [group]


if __name__ == "__main__":
    sys.exit(main())
