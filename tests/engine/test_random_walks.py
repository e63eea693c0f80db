"""People doing anything at all on three machines that lose and find each other: nothing is lost."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio._core import _run
from trio.testing import MockClock

from p2pdrive.model import paths
from p2pdrive.model.record import Kind
from p2pdrive.planning.conflicts import copy_path, judge
from tests.engine.hostile import content_of
from tests.engine.world import Machine, World

STEPS = 40
NAMES = ["a.txt", "b.txt", "d", "d/a.txt", "d/b.txt", "d/e/c.txt", "x", "x/y.txt"]


class Walk:
    """One seeded walk.

    ``written`` holds all contents, ``observed`` those that were looked at; ``kept`` the paths that were
    written, ``touched`` those that someone took away.
    """

    def __init__(self, world: World, machines: list[Machine], seed: int) -> None:
        self.world = world
        self.pauses = [0.01] if world.threads else [0.01, 1, 5]
        self.machines = machines
        self.random = random.Random(seed)
        _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
        _run._r.seed(seed)  # the order of trio's tasks is of this walk, too
        self.written: set[str] = set()
        self.observed: set[str] = set()
        self.kept: set[str] = set()
        self.touched: set[str] = set()
        self.log: list[str] = []

    async def step(self) -> None:
        machine = self.random.choice(self.machines)
        acts: list[tuple[Callable[[Machine], None], int]] = [
            (self.write, 8),
            (self.edit_anything, 4),
            (self.delete, 4),
            (self.rename, 3),
            (self.remove_tree, 1),
            (self.make_directory, 1),
            (self.make_link, 1),
            (self.change_mode, 1),
            (self.write_at_the_last_moment, 2),
        ]
        act = self.random.choices([act for act, _ in acts], [weight for _, weight in acts])[0]
        act(machine)
        looked = self.random.random() < 0.7
        if looked:
            machine.look()
        if self.random.random() < 0.5:
            await self.world.quiet()
            if looked:
                self.observed.update(machine.files().values())
        if self.random.random() < 0.3:
            await trio.sleep(self.random.choice(self.pauses))
        if self.random.random() < 0.25:
            await self.cable()
        if self.random.random() < 0.05:
            self.log.append(f"{machine.name} restarts")
            await machine.restart()

    async def cable(self) -> None:
        one, other = self.random.sample(self.machines, 2)
        if self.random.random() < 0.6:
            self.log.append(f"cut {one.name} {other.name}")
            self.world.cut(one, other)
        else:
            self.log.append(f"connect {one.name} {other.name}")
            self.world.join_up(one, other)

    def write(self, machine: Machine) -> None:
        self._put(machine, self.random.choice(NAMES))

    def edit_anything(self, machine: Machine) -> None:
        files = sorted(machine.files())
        if files:
            self._put(machine, self.random.choice(files))

    def _put(self, machine: Machine, path: str) -> None:
        place = machine.root / path
        if place.is_dir() or place.is_symlink() or self._is_blocked(machine, path):
            return
        text = "the same" if self.random.random() < 0.2 else f"{len(self.log)} by {machine.name}"
        machine.write(path, text)
        self.written.add(text)
        self.kept.add(path)
        self.log.append(f"{machine.name} writes {path}: {text}")

    def _take_away(self, path: str) -> None:
        """Who takes a conflict copy away gives up what it stands for."""
        self.touched |= {path, re.sub(r" \(conflict \w+ from \w+\)", "", path)}

    def _is_blocked(self, machine: Machine, path: str) -> bool:
        above = [machine.root / directory for directory in paths.ancestors(path)]
        return any(place.is_symlink() or place.is_file() for place in above)

    def delete(self, machine: Machine) -> None:
        files = sorted(machine.files())
        if files:
            path = self.random.choice(files)
            machine.delete(path)
            self._take_away(path)
            self.log.append(f"{machine.name} deletes {path}")

    def rename(self, machine: Machine) -> None:
        files = sorted(machine.files())
        to = self.random.choice([*NAMES, "moved.txt", "m/moved.txt"])
        place = machine.root / to
        if not files or place.is_dir() or place.is_symlink() or self._is_blocked(machine, to):
            return
        path = self.random.choice(files)
        machine.rename(path, to)
        self._take_away(path)
        self.log.append(f"{machine.name} renames {path} to {to}")

    def remove_tree(self, machine: Machine) -> None:
        directories = sorted(path for path, shown in machine.tree().items() if shown[0] == "directory")
        if directories:
            path = self.random.choice(directories)
            for one in (path, *machine.files()):
                if one == path or one.startswith(f"{path}/"):
                    self._take_away(one)
            shutil.rmtree(machine.root / path)
            self.log.append(f"{machine.name} removes {path} and all in it")

    def make_directory(self, machine: Machine) -> None:
        place = machine.root / self.random.choice(["d", "x", "empty"])
        if not place.exists() and not place.is_symlink():
            place.mkdir()
            self.log.append(f"{machine.name} makes {place.name}")

    def make_link(self, machine: Machine) -> None:
        place = machine.root / self.random.choice(["a.txt", "link", "x"])
        if not place.exists() and not place.is_symlink():
            place.symlink_to(self.random.choice(["here", "there"]))
            self.log.append(f"{machine.name} makes the link {place.name}")

    def change_mode(self, machine: Machine) -> None:
        files = sorted(machine.files())
        if files:
            path = self.random.choice(files)
            (machine.root / path).chmod(self.random.choice([0o644, 0o755]))
            self.log.append(f"{machine.name} changes the mode of {path}")

    def write_at_the_last_moment(self, machine: Machine) -> None:
        """Just before p2pdrive changes that very path."""
        path = self.random.choice(NAMES)
        operation = self.random.choice(["publish", "remove", "move", "set_metadata"])
        machine.before[operation, path] = lambda: self._put(machine, path)

    # --- what must hold at the end

    def check(self) -> None:
        shown = self.machines[0].files()
        assert set(shown.values()) <= self.written  # no invented content
        for path in self.kept - self.touched:
            assert path in self.machines[0].tree(), f"nobody took {path} away"
        for machine in self.machines:
            self.check_heads_are_shown(machine)
            roots = {content_of(text.encode()).root for text in self.observed}
            with machine.replica.reading() as log:
                rows = log.connection.execute("SELECT data FROM records").fetchall()
            assert all(any(root in data for (data,) in rows) for root in roots)  # each edit is in history
        self.world.check_dots()

    def check_heads_are_shown(self, machine: Machine) -> None:
        tree = machine.tree()
        with machine.replica.reading() as log:
            rows = log.connection.execute("SELECT DISTINCT key FROM records WHERE key IS NOT NULL")
            for path in [paths.from_key(key) for (key,) in rows]:
                verdict = judge(log.registers.heads(path), log.registers.live_below(path))
                assert verdict.content.live == (path in tree), path
                if verdict.content.kind is Kind.FILE:
                    assert tree[path][0] == "file"
                for loser in verdict.losers:
                    copy = copy_path(loser, log.registers.author_name(loser.actor, loser.seq))
                    assert copy in tree, f"{copy} is not shown"


async def walk(world: World, seed: int) -> None:
    machines = await world.sharing("anna", "berta", "clara")
    walk = Walk(world, machines, seed)
    try:
        for _ in range(STEPS):
            await walk.step()
        world.join_up()
        await world.converge()
        walk.check()
    except BaseException:
        print("\n".join(walk.log))  # noqa: T201 - what led there, shown if the test fails
        raise


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_on_a_random_walk(world: World, autojump_clock: MockClock, seed: int) -> None:
    await walk(world, seed)


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_on_a_random_walk_with_threads(
    tmp_path: Path, nursery: trio.Nursery, seed: int
) -> None:
    world = World(tmp_path, nursery, threads=True)
    await walk(world, seed)
    await world.close()
    nursery.cancel_scope.cancel()
