"""Each checker passes a good world, and catches a bad state that was planted in it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import trio

from p2pdrive.lab.checkers import CHECKERS, Violation, checkers, curable, unobtainable
from p2pdrive.lab.evidence import original_of
from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.stories import Crash
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.problem import Problem
from tests.lab.deeds import write

Plant = Callable[[World], None]

#: Virtual seconds in which a node notices, records and announces.
NOTICED = 5.0


async def shared(world: World) -> tuple[Machine, Machine]:
    """Two that share some files, a directory and a conflict, and are at rest."""
    anna, berta = world.add_machine("anna", "admin"), world.add_machine("berta")
    await world.share(anna)
    await world.join(berta)
    write(anna, "a.txt", b"a")
    write(anna, "d/b.txt", b"b")
    write(anna, "c.txt", b"c")
    await world.converge()
    world.network.block([("anna", "berta"), ("berta", "anna")])
    write(anna, "c.txt", b"by anna")
    write(berta, "c.txt", b"by berta")
    await trio.sleep(NOTICED)
    world.network.unblock([("anna", "berta"), ("berta", "anna")])
    await world.converge()
    return anna, berta


@dataclass(frozen=True)
class Bad:
    """``plant`` makes it, at once and behind the backs of nodes and oracle; then ``pause`` seconds pass.

    ``fresh``: the checkers were not there before. ``moment``: when it is found.
    """

    checker: str
    plant: Plant
    pause: float = 0.0
    moment: str = "after"
    fresh: bool = False


def on_both(sql: str, *values: object) -> Plant:
    """Falsify both indexes."""

    def plant(world: World) -> None:
        for machine in world.machines:
            falsify(machine, sql, *values)

    return plant


def on_one(sql: str, *values: object) -> Plant:
    """Falsify the index of berta."""
    return lambda world: falsify(world.machine("berta"), sql, *values)


def falsify(machine: Machine, sql: str, *values: object) -> None:
    assert machine.drive is not None
    with machine.drive.replica.database.transaction() as connection:
        assert connection.execute(sql, values).rowcount != 0


def act(name: str, does: Callable[[Machine], object]) -> Plant:
    """Something is done on a machine, and nobody tells the oracle."""

    def plant(world: World) -> None:
        does(world.machine(name))

    return plant


def lose_a_crash(world: World) -> None:
    """A file that was shown is empty after a power loss."""
    berta = world.machine("berta")
    world.oracle.power_lost("berta", berta.disk.tree(), berta.disk.tree())
    before = {"a.txt": ("file", b"a", False, 0)}
    after = {"a.txt": ("file", b"", False, 0)}
    entries = world.oracle.seen.crashes[-1].entries
    world.oracle.seen.crashes[-1] = Crash("berta", before, after, entries, frozenset(), frozenset())


def lose_the_winner(world: World) -> None:
    """A person deletes a conflict copy, and its path is gone too."""
    anna = world.machine("anna")
    (copy,) = (path for path in anna.disk.tree() if "(conflict " in path)
    data = anna.disk.read(copy)
    anna.disk.delete(copy)
    world.oracle.deleted("anna", copy, data)
    anna.disk.delete("c.txt")


def lose_what_the_index_has(world: World) -> None:
    """The same, with the file that the index knows."""
    lose_a_crash(world)
    crash = world.oracle.seen.crashes[-1]
    stat = world.machine("berta").disk.volume.find("a.txt")
    assert stat is not None
    world.oracle.seen.crashes[-1] = replace(crash, stats={"a.txt": stat.stat()})


def misplace(world: World) -> None:
    tree = dict(world.machines[0].disk.tree()) | {"a.txt/inside": ("file", b"a", False, 0)}
    world.machines[0].disk.tree = lambda: tree  # type: ignore[method-assign]


def report(machine: Machine) -> None:
    assert machine.drive is not None
    machine.drive.problems.report(Problem("a.txt", "it is said to be bad, and is not"))


def demote(world: World) -> None:
    world.machine("berta").role = "viewer"


_COPY = "a (conflict 01234567 from anna).txt"
_LAST = "(SELECT max(position) FROM batches)"
BAD = [
    Bad("Convergence", act("berta", lambda berta: berta.disk.write("a.txt", b"x"))),
    Bad("Convergence", on_one("UPDATE actors SET seq = 0 WHERE own = 0")),
    Bad("NoLostUpdate", lambda world: world.oracle.wrote("anna", "e.txt", b"never seen again", None)),
    Bad("NoLostUpdate", act("anna", lambda anna: anna.disk.delete("a.txt")), NOTICED),
    Bad(
        "NoOverwrittenUnscannedEdit",
        lambda world: world.oracle.wrote("anna", "a.txt", b"overwritten", b"a"),
        moment="during",
    ),
    Bad("NoResurrectedDelete", lambda world: world.oracle.deleted("anna", "a.txt", b"a")),
    Bad("NoSpuriousDelete", act("anna", lambda anna: anna.disk.delete("a.txt")), NOTICED, "during"),
    Bad("NoSpuriousDelete", act("anna", lambda anna: anna.disk.remove_tree("d")), NOTICED, "during"),
    Bad("NoSpuriousDelete", lose_the_winner, NOTICED, "during"),
    Bad("NoInventedContent", act("anna", lambda anna: anna.disk.write("a.txt", b"x")), NOTICED),
    Bad("NoInventedContent", act("anna", lambda anna: anna.disk.symlink("link", "x")), NOTICED),
    Bad("VectorsOnlyGrow", on_one("UPDATE actors SET seq = seq - 1"), moment="during"),
    Bad(
        "SoundLogs",
        on_one(f"UPDATE batches SET signature = zeroblob(64) WHERE position = {_LAST}"),
        fresh=True,
    ),
    Bad("SoundLogs", on_one("DELETE FROM batches WHERE first = 2")),
    Bad("SoundLogs", on_one("UPDATE actors SET hash = zeroblob(32) WHERE own = 0")),
    Bad("AcknowledgedMeansDurable", on_one("UPDATE actors SET seq = seq - 1 WHERE own = 1"), moment="during"),
    Bad("AcknowledgedMeansDurable", lose_a_crash, moment="during"),
    Bad("AcknowledgedMeansDurable", lose_what_the_index_has, moment="during"),
    Bad("BlocksPresent", on_both("DELETE FROM borrowed")),
    Bad("AtomicVisibility", act("anna", lambda anna: anna.disk.write("a.txt", b"x")), moment="during"),
    Bad("Determinism", on_one("UPDATE records SET head = 0 WHERE head = 2")),
    Bad("BoundedCopies", act("anna", lambda anna: anna.disk.write(_COPY, b"a")), moment="at_rest"),
    Bad("BoundedCopies", act("anna", lambda anna: anna.disk.write(_COPY, b"a")), NOTICED, "during"),
    Bad("Quiescence", act("anna", lambda anna: anna.disk.write("a.txt", b"x")), NOTICED),
    Bad("Quiescence", lambda world: setattr(world.network, "bytes_sent", world.network.bytes_sent + 10**6)),
    Bad("WellFormedTree", misplace, moment="during"),
    Bad("Confinement", act("anna", lambda anna: (anna.state / "outside").write_text("x"))),
    Bad("Confinement", act("anna", lambda anna: (anna.state / ".p2pdrive/stray").write_text("x"))),
    Bad("Confinement", on_one("UPDATE entries SET key = CAST('../x' AS BLOB) WHERE id = 1"), moment="during"),
    Bad("Authority", demote, moment="during", fresh=True),
    Bad("Authority", lambda world: world.oracle.leaked(bytes(32), "Blocks"), moment="during"),
    Bad("NoReusedDots", on_one("UPDATE records SET data = zeroblob(9) WHERE key IS NULL")),
    Bad("Liveness", lambda world: world.network.block([("anna", "berta")]), pause=120.0),
    Bad(
        "NoSecretLeaves",
        lambda world: world.oracle.left("anna", "key", b"a", secret=True),
        moment="during",
        fresh=True,
    ),
    Bad("ProblemsReported", act("anna", report)),
    Bad(
        "ProblemsReported",
        on_one("INSERT INTO unshown (key, bytes) VALUES (CAST('a.txt' AS BLOB), 1)"),
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.checker)
def test_a_bad_state_is_caught(bad: Bad) -> None:
    async def story(world: World) -> None:
        await shared(world)
        before = [one for one in checkers() if one.name == bad.checker]
        for one in before:
            one.during(world)
            one.at_rest(world)
        bad.plant(world)
        await trio.sleep(bad.pause)
        (checker,) = [one for one in checkers() if one.name == bad.checker] if bad.fresh else before
        with pytest.raises(Violation) as caught:
            getattr(checker, bad.moment)(world)
        assert caught.value.checker == bad.checker
        world.failures.found.clear()  # whoever falsifies an index cannot complain

    run_simulated(lambda: within_world(1, story), 1)


def test_a_good_world_passes() -> None:
    async def story(world: World) -> None:
        anna, berta = await shared(world)
        them = checkers()
        assert [type(one) for one in them] == list(CHECKERS)
        assert [one.number for one in them] == [*range(1, 21), 24, 24]
        for one in them:
            one.during(world)
        write(berta, "a.txt", b"another a")
        anna.disk.delete("d/b.txt")
        world.oracle.deleted("anna", "d/b.txt", b"b")
        for one in them:
            one.during(world)
        await world.converge()
        for one in them:
            one.at_rest(world)
        await trio.sleep(60)
        for one in them:
            one.after(world)
        assert unobtainable(world) == curable(world, anna) == set()

    run_simulated(lambda: within_world(2, story), 2)


def test_content_that_no_member_holds_is_known_to_be_unobtainable_and_its_copies_wait_with_it() -> None:
    """Seed 900003: a copy that was stale stayed, as its path might have had a use for it."""

    async def story(world: World) -> None:
        anna, _ = await shared(world)
        on_both("DELETE FROM packed")(world)
        on_both("DELETE FROM borrowed")(world)
        (copy,) = (path for path in anna.disk.tree() if original_of(path) == "c.txt")
        assert unobtainable(world) == {"a.txt", "d/b.txt", "c.txt", copy}

    run_simulated(lambda: within_world(3, story), 3)


def test_nothing_that_a_person_begins_while_the_world_heals_goes_on_when_it_is_at_rest() -> None:
    """Seed 2274579452: a file was opened in that moment, and written to when all had come to rest."""

    async def story(world: World) -> None:
        _, berta = await shared(world)
        going_on: list[str] = []

        def open_for_long(path: str) -> None:
            going_on.append(path)
            world.until_undone(lambda: going_on.remove(path), 3600)

        async def edit_at_last() -> None:
            write(berta, "a.txt", b"edited")
            await trio.sleep(NOTICED)

        berta.ambushes.append(Ambush("before", "", 0, open_for_long))
        world.until_undone(edit_at_last, 3600)
        await world.heal()
        assert not going_on

    run_simulated(lambda: within_world(4, story), 4)
