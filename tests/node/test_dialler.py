"""Staying connected: who is dialled, how soon again, and never twice at once."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.errors import Unreachable
from p2pdrive.limits import (
    DIAL_SECONDS_MAX,
    DIAL_SECONDS_MIN,
    DIAL_TIMEOUT_SECONDS,
    HANDSHAKE_SECONDS,
    LINK_STABLE_SECONDS,
)
from p2pdrive.net.discovery import Found
from p2pdrive.node.dialler import Dialler
from tests.engine.pipes import MemoryStream
from tests.engine.world import Machine, World

#: Seconds in which much would happen, if anything did.
LONG = 1200


class Line:
    """The network as the dialler of one machine sees it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.dead = False  # nobody answers
        self.short = False  # whoever answers hangs up at once
        self.seconds = 0.0  # that one attempt takes
        self.tried: list[tuple[float, tuple[str, ...]]] = []
        self.under_way: Counter[str] = Counter()
        self.most = 0

    async def dial(self, addresses: Sequence[str]) -> MemoryStream:
        self.tried.append((trio.current_time(), tuple(addresses)))
        self.under_way.update(addresses)
        self.most = max(self.most, *self.under_way.values())
        try:
            await trio.sleep(self.seconds)
        finally:
            self.under_way.subtract(addresses)
        there = {machine.address for machine in self.machine.world.machines}
        answering = [address for address in addresses if address in there]
        if self.dead or not answering:
            raise Unreachable("nobody answers")
        stream = await self.machine._dial(answering[:1])
        if self.short:
            await stream.aclose()
        return stream

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.tried]

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.times)]


class Announcements:
    """A ``Discovery`` that finds what a test says."""

    problem: str | None = None

    def __init__(self) -> None:
        self._there: dict[str, Found] = {}
        self._send, self._news = trio.open_memory_channel[Found](100)

    def appear(self, instance: str, *addresses: str) -> None:
        self._there[instance] = Found(instance, addresses, frozenset({b"d" * 32}))
        self._send.send_nowait(self._there[instance])

    def vanish(self, instance: str) -> None:
        del self._there[instance]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def __aiter__(self) -> AsyncIterator[Found]:
        async for found in self._news:
            yield found

    def known(self) -> tuple[Found, ...]:
        return tuple(self._there.values())

    def update(self) -> None:
        pass


@dataclass
class Scene:
    """Two members of one drive that are not connected; the first has a dialler."""

    world: World
    anna: Machine
    berta: Machine
    line: Line
    found: Announcements
    dialler: Dialler

    async def runs(self, *named: str) -> None:
        await self.world.nursery.start(self.dialler.run, named)

    @property
    def connected(self) -> bool:
        return self.berta.identity.device in self.anna.connections.links

    async def until_connected(self) -> None:
        await self.world.until(lambda: self.connected, "a connection")

    def want_berta(self) -> None:
        self.dialler.want([self.berta.identity.device])


@pytest.fixture
async def scene(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Scene]:
    world = World(tmp_path, nursery)
    anna, berta = await world.sharing("anna", "berta")
    world.part()
    await world.quiet()
    assert anna.book.addresses(berta.identity.device) == (berta.address,)
    line, found = Line(anna), Announcements()
    dialler = Dialler(anna.services, anna.connections, anna.book, found, line.dial)
    yield Scene(world, anna, berta, line, found, dialler)
    await world.close()
    nursery.cancel_scope.cancel()


# --- how soon


async def test_member_is_dialled_at_once_and_then_left_alone(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.runs()
    scene.want_berta()
    scene.want_berta()
    await scene.until_connected()
    assert trio.current_time() < 1
    await trio.sleep(LONG)
    assert len(scene.line.tried) == 1


async def test_lost_connection_is_dialled_again_within_a_second(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.runs()
    scene.want_berta()
    for _ in range(10):
        await scene.until_connected()
        await trio.sleep(LINK_STABLE_SECONDS + 1)
        scene.world.cut(scene.anna, scene.berta)
        lost = trio.current_time()
        await scene.world.until(lambda: not scene.connected, "the loss")
        await scene.until_connected()
        assert trio.current_time() - lost <= 1.2
    assert len(scene.line.tried) == 11


async def test_connection_that_the_peer_had_opened_is_dialled_when_it_is_lost(
    scene: Scene, autojump_clock: MockClock
) -> None:
    scene.world.connect(scene.berta, scene.anna)
    await scene.until_connected()
    await scene.runs()
    scene.want_berta()
    await trio.sleep(LONG)
    assert scene.line.tried == []
    scene.world.cut(scene.anna, scene.berta)
    await scene.world.until(lambda: scene.line.tried, "being dialled")
    await scene.until_connected()
    assert trio.current_time() - LONG < 5


async def test_pauses_grow_to_a_minute_while_nobody_answers(scene: Scene, autojump_clock: MockClock) -> None:
    scene.line.dead = True
    await scene.runs()
    scene.want_berta()
    await trio.sleep(LONG)
    pauses = scene.line.pauses
    assert pauses[0] <= 1
    assert all(DIAL_SECONDS_MIN <= pause <= DIAL_SECONDS_MAX for pause in pauses)
    assert all(pause <= DIAL_SECONDS_MIN * 2 ** (number + 1) for number, pause in enumerate(pauses))
    assert max(pauses) > DIAL_SECONDS_MAX / 2
    assert LONG / DIAL_SECONDS_MAX < len(pauses) < 5 * LONG / DIAL_SECONDS_MAX
    scene.line.dead = False
    back = trio.current_time()
    await scene.until_connected()
    assert trio.current_time() - back <= DIAL_SECONDS_MAX + 1


async def test_attempts_that_take_long_are_no_success(scene: Scene, autojump_clock: MockClock) -> None:
    """A machine that is off answers nothing at all: that takes as long as a link that counts as stable."""
    scene.line.dead, scene.line.seconds = True, max(DIAL_TIMEOUT_SECONDS, LINK_STABLE_SECONDS)
    await scene.runs()
    scene.want_berta()
    await trio.sleep(LONG)
    pauses = [pause - scene.line.seconds for pause in scene.line.pauses]
    assert min(pauses) >= DIAL_SECONDS_MIN
    assert max(pauses) > DIAL_SECONDS_MAX / 2


async def test_peer_that_never_ends_the_handshake_is_dialled_more_and_more_seldom(
    scene: Scene, autojump_clock: MockClock
) -> None:
    async def stall(_stream: MemoryStream) -> None:
        await trio.sleep_forever()

    scene.berta.connections.accept = stall  # type: ignore[method-assign,assignment]
    await scene.runs()
    scene.want_berta()
    await trio.sleep(LONG)
    pauses = [pause - HANDSHAKE_SECONDS for pause in scene.line.pauses]
    assert min(pauses) >= DIAL_SECONDS_MIN
    assert max(pauses) > DIAL_SECONDS_MAX / 2


async def test_peer_that_hangs_up_at_once_is_dialled_more_and_more_seldom(
    scene: Scene, autojump_clock: MockClock
) -> None:
    scene.line.short = True
    await scene.runs()
    scene.want_berta()
    await trio.sleep(LONG)
    assert not scene.connected
    assert scene.line.pauses[0] <= 1.1
    assert max(scene.line.pauses) > DIAL_SECONDS_MAX / 2
    assert len(scene.line.pauses) < 5 * LONG / DIAL_SECONDS_MAX


async def test_news_end_the_pause_and_pauses_start_over(scene: Scene, autojump_clock: MockClock) -> None:
    scene.line.dead = True
    await scene.runs()
    scene.want_berta()
    await trio.sleep(LONG)
    for _ in range(3):
        await trio.sleep(600)
        count, now = len(scene.line.tried), trio.current_time()
        scene.dialler.hurry()
        await scene.world.until(lambda count=count: len(scene.line.tried) > count + 2, "tries")
        first, second, third = scene.line.times[count : count + 3]
        assert first - now < 0.1
        assert second - first <= 1 and third - second <= 2


# --- whom


async def test_address_that_two_targets_share_is_dialled_once_at_a_time(
    scene: Scene, autojump_clock: MockClock
) -> None:
    scene.line.dead, scene.line.seconds = True, 8.0
    await scene.runs(scene.berta.address)
    scene.want_berta()
    scene.found.appear("an announcement", scene.berta.address, "192.0.2.99:4100")
    await trio.sleep(LONG)
    assert scene.line.most == 1
    assert len(scene.line.tried) > LONG / DIAL_SECONDS_MAX
    tried = {address for _, addresses in scene.line.tried for address in addresses}
    assert tried == {scene.berta.address, "192.0.2.99:4100"}
    scene.line.dead = False
    await scene.until_connected()
    await trio.sleep(30)  # other attempts may have been under way
    count = len(scene.line.tried)
    await trio.sleep(LONG)
    assert len(scene.line.tried) == count  # who is connected under one name is not dialled under another
    assert len(scene.anna.connections.links) == 1


async def test_named_address_of_someone_who_is_connected_already_is_not_dialled(
    scene: Scene, autojump_clock: MockClock
) -> None:
    scene.world.connect(scene.berta, scene.anna)
    await scene.until_connected()
    await scene.runs(scene.berta.address)
    scene.found.appear("an announcement", scene.berta.address)
    await trio.sleep(LONG)
    assert scene.line.tried == []


async def test_we_do_not_dial_ourselves(scene: Scene, autojump_clock: MockClock) -> None:
    scene.anna.book.learn(scene.anna.identity.device, [scene.anna.address])
    await scene.runs()
    scene.dialler.want([scene.anna.identity.device])
    scene.dialler.hurry()
    await trio.sleep(LONG)
    assert scene.line.tried == []


async def test_member_whose_address_is_learnt_later(scene: Scene, autojump_clock: MockClock) -> None:
    clara = scene.world.machine("clara")
    await clara.share()
    await scene.runs()
    scene.dialler.want([clara.identity.device])
    await trio.sleep(LONG)
    assert scene.line.tried == []
    scene.anna.book.learn(clara.identity.device, [clara.address])
    scene.dialler.hurry()
    await scene.world.until(lambda: clara.identity.device in scene.anna.connections.links, "a connection")
    assert trio.current_time() - LONG < 1


async def test_someone_else_at_a_members_address_is_not_taken_for_it_and_hides_it_not(
    scene: Scene, autojump_clock: MockClock
) -> None:
    """A network gave berta's old address to clara: berta is looked for at the next one then."""
    clara = scene.world.machine("clara")
    await clara.share()
    scene.anna.book.learn(scene.berta.identity.device, [clara.address], first=True)
    scene.world.machines.remove(scene.berta)
    await scene.runs()
    scene.want_berta()
    await trio.sleep(60)
    assert scene.line.tried[0][1] == (clara.address, scene.berta.address)
    assert scene.anna.connections.links == {}
    scene.world.machines.append(scene.berta)
    back = trio.current_time()
    await scene.until_connected()
    assert trio.current_time() - back <= DIAL_SECONDS_MAX + 1
    assert scene.line.tried[-1][1] == (scene.berta.address, clara.address)


async def test_named_address_is_kept_whoever_is_there(scene: Scene, autojump_clock: MockClock) -> None:
    await scene.runs(scene.berta.address)
    await scene.until_connected()
    await trio.sleep(LINK_STABLE_SECONDS + 1)
    scene.world.cut(scene.anna, scene.berta)
    await scene.world.until(lambda: not scene.connected, "the loss")
    lost = trio.current_time()
    await scene.until_connected()
    assert trio.current_time() - lost <= 1.2


async def test_announced_node_is_dialled_at_once_and_forgotten_when_it_goes(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.runs()
    await trio.sleep(LONG)
    scene.line.dead = True
    scene.found.appear("first", scene.berta.address)
    await trio.sleep(600)
    assert scene.line.times[0] - LONG < 0.1
    scene.found.vanish("first")
    await trio.sleep(DIAL_SECONDS_MAX)
    count = len(scene.line.tried)
    await trio.sleep(LONG)
    assert len(scene.line.tried) == count
    scene.line.dead = False
    scene.found.appear("first", scene.berta.address)  # it is back
    await scene.until_connected()
    assert len(scene.line.tried) == count + 1


async def test_announced_node_that_moves_is_dialled_at_its_new_address_at_once(
    scene: Scene, autojump_clock: MockClock
) -> None:
    await scene.runs()
    scene.found.appear("first", "192.0.2.99:4100")
    for _ in range(4):
        await trio.sleep(LONG)
        moved = trio.current_time()
        scene.found.appear("first", scene.berta.address)
        await scene.until_connected()
        assert trio.current_time() - moved < 1
        scene.found.appear("first", "192.0.2.99:4100")
        scene.world.cut(scene.anna, scene.berta)
