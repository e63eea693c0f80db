"""What the folders show: convergence, whole versions, few copies, well-formed trees, nothing outside."""

import os
from collections.abc import Iterator
from sqlite3 import Connection
from typing import Any, ClassVar

from p2pdrive.history.registers import Registers
from p2pdrive.lab.checkers.checker import Checker
from p2pdrive.lab.checkers.wanted import Wanted, unobtainable, wanted_tree
from p2pdrive.lab.evidence import Hidden, files_in, original_of, reading, root_of
from p2pdrive.lab.excuses import Case, excuse
from p2pdrive.model import paths
from p2pdrive.model.paths import STATE_DIRECTORY
from p2pdrive.model.record import Kind, Record

#: What may lie in a drive's own directory.
_STATE_NAMES = {
    "index.db",
    "index.db-wal",
    "index.db-shm",
    "packs",
    "tmp",
    "archive",
    "instance",
    "reserve",
    "opened",
    "FORMAT",
}


class Convergence(Checker):
    """All logs are equal, and each folder shows what the heads say, no more and no less."""

    number: ClassVar[int] = 1

    def _after(self, world: Any) -> None:
        members = [machine for machine in world.machines if machine.drive is not None]
        if not members:
            return
        nowhere = unobtainable(world)
        frozen = frozenset[bytes]().union(*(self._frozen(machine) for machine in members))
        first = self._frontier(members[0], frozen)
        for machine in members:
            if self._frontier(machine, frozen) != first:
                self.fail(f"{machine.name} and {members[0].name} hold different logs")
            self._check_folder(machine, nowhere)

    def _check_folder(self, machine: Any, nowhere: set[str]) -> None:
        tree = machine.disk.tree()
        ignore = Hidden(machine, tree)
        troubled = {path for path, _, _ in machine.drive.problems.all()} | nowhere
        with machine.drive.replica.reading() as log:
            wanted = wanted_tree(log.connection)
        for path, content in wanted.items():
            of = original_of(path) if content.copy else ""
            hidden = ignore.ignored(path, content.kind is Kind.DIRECTORY) or (
                of and ignore.ignored(of, False)
            )
            if hidden or _near(path, troubled):
                continue
            why = content.differs(tree.get(path))
            if why is not None:
                self.fail(f"{machine.name} shows at {path!r} {why}")
        for path, shown in tree.items():
            ignored = ignore.ignored(path, shown[0] == "directory")
            if path not in wanted and not ignored and not _near(path, troubled):
                self.fail(f"{machine.name} shows {path!r}, which no head says")

    def _frozen(self, machine: Any) -> set[bytes]:
        with machine.drive.replica.reading() as log:
            return set(log.frozen())

    def _frontier(self, machine: Any, frozen: frozenset[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """But for what some member does not follow."""
        with machine.drive.replica.reading() as log:
            return {actor: at for actor, at in log.frontier().items() if actor not in frozen}


class AtomicVisibility(Checker):
    """Every file that can be seen is, at any time, wholly a version that there was."""

    number: ClassVar[int] = 11

    def _prepare(self) -> None:
        self._seen: dict[str, dict[str, bytes]] = {}

    def _during(self, world: Any) -> None:
        for machine in world.machines:
            before = self._seen.get(machine.name, {})
            files = files_in(machine.disk.tree())
            for path in machine.disk.unfinished:  # there its own program writes, and it is seen nowhere else
                files.pop(path, None)
            for path, data in files.items():
                if before.get(path) is not data and not world.oracle.written.is_known(data):
                    self.fail(f"{machine.name} shows at {path!r} bytes that nobody wrote: {_brief(data)}")
            self._seen[machine.name] = files


class BoundedCopies(Checker):
    """Of k versions of a path at most k - 1 are shown beside it, wherever and however often that happens; and
    a copy has no record unless a person made it a file.

    Once it is a file, what a person writes to it under the name that it is just being moved to goes back.
    """

    number: ClassVar[int] = 13

    def _prepare(self) -> None:
        self._files: set[tuple[bytes, int]] = set()  # live records of paths that are called like copies

    def _during(self, world: Any) -> None:
        self._check_records(world)
        for machine in world.machines:
            with reading(machine) as connection:
                if connection is not None:
                    self._check_entries(machine, connection)

    def _at_rest(self, world: Any) -> None:
        """A viewer's own changes lie beside what others wrote, under such names too."""
        nowhere = unobtainable(world)  # while its winner cannot be had, a path shows what it showed before
        for machine in world.machines:
            if getattr(machine, "role", "") == "viewer":
                continue
            tree = machine.disk.tree()
            ignore = Hidden(machine, tree)
            with reading(machine) as connection:
                if connection is None:
                    continue
                wanted = wanted_tree(connection)
            for path, shown in tree.items():
                of = original_of(path) if shown[0] != "directory" else ""
                if of and of not in nowhere and path not in wanted and not ignore.ignored(path, False):
                    self.fail(f"{machine.name} shows the copy {path!r}, which stands for no losing head")

    def _check_entries(self, machine: Any, connection: Connection) -> None:
        sql = "SELECT of_key, count(*) FROM entries WHERE of_key IS NOT NULL GROUP BY of_key"
        shown = {paths.from_key(key): count for key, count in connection.execute(sql)}
        registers = Registers(connection)
        for path, count in shown.items():
            versions = list(registers.versions(path))
            stands = registers.live_below(path)  # a directory because of what is in it
            if count > max(0, len(versions) + stands - 1):
                self.fail(f"{machine.name} shows {count} copies of {path!r}, of {len(versions)} versions")

    def _check_records(self, world: Any) -> None:
        oracle = world.oracle
        names = {machine.identity.device: machine.name for machine in world.machines}
        for held in self.books.news(self, world):
            author = names.get(held.header.device, "")
            named = [record for record in held.records if original_of(record.path)]
            self._files.update((record.actor, record.seq) for record in named if record.content.live)
            for record in named if author else ():
                path, touched = record.path, oracle.touched
                if path in touched.made.get(author, ()) or touched.took_away(author, path):
                    continue
                if any(dot in self._files for dot in _others(record)):
                    continue
                if excuse(Case(oracle, self.name, author, path)) is None:
                    self.fail(f"{author} published the conflict copy {path!r}, which nobody made a file")


class WellFormedTree(Checker):
    """Every parent exists and is a directory, in the folder and in what the index says of it."""

    number: ClassVar[int] = 15

    def _during(self, world: Any) -> None:
        for machine in world.machines:
            tree = machine.disk.tree()
            for path in tree:
                parent = paths.parent(path)
                if parent and tree.get(parent, ("nothing",))[0] != "directory":
                    self.fail(f"{machine.name} shows {path!r} in {parent!r}, which is no directory")

    def _after(self, world: Any) -> None:
        for machine in world.machines:
            with reading(machine) as connection:
                if connection is None:
                    continue
                wanted = wanted_tree(connection)
                for path in wanted:
                    parent = paths.parent(path)
                    if parent and (parent not in wanted or wanted[parent].kind is not Kind.DIRECTORY):
                        self.fail(f"the heads on {machine.name} put {path!r} in no directory")


class Confinement(Checker):
    """Nothing is ever done outside the root, or to what is p2pdrive's own."""

    number: ClassVar[int] = 16

    def _during(self, world: Any) -> None:
        for machine in world.machines:
            with reading(machine) as connection:
                if connection is not None:
                    self._check_names(machine, connection)

    def _after(self, world: Any) -> None:
        for machine in world.machines:
            if set(os.listdir(machine.state)) - {STATE_DIRECTORY}:
                self.fail(f"{machine.name} wrote beside its state: {sorted(os.listdir(machine.state))}")
            state = machine.state / STATE_DIRECTORY
            stray = set(os.listdir(state)) - _STATE_NAMES if state.is_dir() else set()
            if stray:
                self.fail(f"{machine.name} wrote into its state: {sorted(stray)}")
            if any(STATE_DIRECTORY in path.casefold().split("/") for path in machine.disk.tree()):
                self.fail(f"{machine.name} shows a {STATE_DIRECTORY}")

    def _check_names(self, machine: Any, connection: Connection) -> None:
        for table in ("entries", "unshown"):
            for (key,) in connection.execute(f"SELECT key FROM {table}"):
                why = paths.refusal(paths.from_key(key))
                if why is not None:
                    self.fail(f"{machine.name} has {paths.from_key(key)!r} in its {table}: {why}")


def _near(path: str, troubled: set[str]) -> bool:
    """Whether a reported problem is about this path, one above, one inside, or its conflict."""
    if path in troubled or original_of(path) in troubled:
        return True
    inside = path + "/"
    return any(one.startswith(inside) or path.startswith(one + "/") for one in troubled if one)


def _others(record: Record) -> Iterator[tuple[bytes, int]]:
    """The latest dots that ``record`` has seen, but its writer's own."""
    return (dot for dot in record.vector.items() if dot[0] != record.actor)


def _brief(data: bytes) -> str:
    return f"{len(data)} bytes beginning {data[:40]!r}, root {root_of(data).hex()[:8]}"


__all__ = ("AtomicVisibility", "BoundedCopies", "Confinement", "Convergence", "Wanted", "WellFormedTree")
