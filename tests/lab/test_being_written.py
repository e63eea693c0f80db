"""Programs that write for a while: nobody sees half of what they write, whatever befalls the machine."""

from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio

from p2pdrive.lab.checkers.books import Books
from p2pdrive.lab.checkers.contents import NoInventedContent
from p2pdrive.lab.oracle import Violation
from p2pdrive.lab.person import Person
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.lab.writing import append_often, write_slowly
from p2pdrive.planning.patience import Patience
from tests.lab.deeds import two_that_share, versions, write

SLOW = "slow 7.txt"


def run(story: Callable[[World], Awaitable[None]]) -> None:
    """As a scenario does, for a violation that is to be caught outside."""
    found: list[Violation] = []

    async def main(world: World) -> None:
        try:
            await story(world)
        except Violation as violation:
            found.append(violation)

    run_simulated(lambda: within_world(1, main), 1)
    for violation in found:
        raise violation


def begin(world: World, seed: int) -> None:
    write_slowly(Person(world, world.machine("anna"), Random(seed), 7))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("befalls", ["nothing", "kill", "power loss"])
def test_file_that_is_written_slowly_is_seen_by_others_once_it_is_closed(befalls: str, seed: int) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        begin(world, seed)
        checker = NoInventedContent(Books())
        for second in range(40):
            await trio.sleep(1)
            if second == 2 and befalls == "kill":
                anna.kill()
                await anna.start()
            if second == 2 and befalls == "power loss":
                anna.power_loss()
                await anna.start()
            checker.during(world)
            if SLOW in anna.disk.unfinished:
                assert not berta.disk.exists(SLOW)
        await world.heal()
        await world.converge()
        checker.after(world)
        assert not anna.disk.unfinished
        if befalls != "power loss":
            assert berta.disk.read(SLOW).startswith(b"the beginning of 7 by anna")
            assert len(versions(berta, SLOW)) == 1

    run_simulated(lambda: within_world(seed, story), seed)


def test_backup_that_is_put_back_takes_what_was_still_being_written() -> None:
    """Seed 2635201687: nobody had been told of that file yet."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        anna.back_up()
        begin(world, 1)
        assert SLOW in anna.disk.unfinished
        assert anna.backup is not None
        anna.put_back(anna.backup)
        await anna.start()
        await trio.sleep(40)
        await world.converge()
        assert not anna.disk.exists(SLOW)
        assert not berta.disk.exists(SLOW)

    run_simulated(lambda: within_world(1, story), 1)


def test_lab_notices_who_publishes_half_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "must_wait", lambda *_: False)

    async def story(world: World) -> None:
        await two_that_share(world)
        begin(world, 1)
        checker = NoInventedContent(Books())
        for _ in range(40):
            await trio.sleep(1)
            checker.during(world)

    with pytest.raises(Violation, match="nobody wrote"):
        run(story)


def test_file_that_is_appended_to_ten_times_a_second_has_few_versions() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "log", b"")
        await world.converge()
        await trio.sleep(5)
        append_often(Person(world, anna, Random(2), 7))
        await trio.sleep(60)
        await world.converge()
        lines = berta.disk.read("log").count(b"\n")
        assert lines > 20
        assert len(versions(berta, "log")) < 8

    run_simulated(lambda: within_world(1, story), 1)
