"""Deletions: each has a person as its cause, and what a person deleted stays deleted."""

from typing import Any, ClassVar

from p2pdrive.lab.checkers.checker import Checker
from p2pdrive.lab.checkers.wanted import unobtainable
from p2pdrive.lab.evidence import files_in
from p2pdrive.lab.excuses import Case, excuse
from p2pdrive.model.record import Kind, Record
from p2pdrive.planning.conflicts import copied


class NoResurrectedDelete(Checker):
    """A version that came to a path once, and was deleted there by a person, is not seen there again.

    Excused is what a person also changed in another way, and a deletion that its node could not notice: it
    was killed in the same breath, its drive had failed, or had just been restored.
    """

    number: ClassVar[int] = 4

    def _prepare(self) -> None:
        self._ran: dict[str, tuple[Any, Any]] = {}  # machine → its process and its open drive, when last seen

    def _during(self, world: Any) -> None:
        """Only notes which nodes have looked at everything that happened on their disks."""
        oracle = world.oracle
        for machine in world.machines:
            drive = machine.drive
            process, before = self._ran.get(machine.name, (None, None))
            if process is machine.process and before is not drive and before is not None:
                oracle.killed(machine.name)  # in the midst of what it was showing, perhaps
            self._ran[machine.name] = (machine.process, drive)
            if drive is None:
                continue
            if drive.replica.adopting:
                oracle.seen.adopting.add(machine.name)
            elif drive.scanned:
                oracle.seen.adopting.discard(machine.name)
            if drive.settled and not drive.materialiser.busy and not machine.disk.changes:
                oracle.looked_at_everything(machine.name)

    def _after(self, world: Any) -> None:
        nowhere = unobtainable(world)
        for machine in world.machines:
            if _may_write(machine):
                for path, data in files_in(machine.disk.tree()).items():
                    self._check(Case(world.oracle, self.name, machine.name, path, nowhere), data)

    def _check(self, case: Case, data: bytes) -> None:
        oracle = case.oracle
        place = oracle.written.places.get((case.path, data))
        if place is None or len(place.arrivals) != 1:
            return
        later = [gone for gone in place.removals if gone.number > place.arrivals[0]]
        noticed = [gone for gone in later if oracle.seen.noticed(gone)]
        if noticed and excuse(case) is None:
            self.fail(
                f"{case.path!r} is back on {case.machine} with {data[:24]!r}, which was deleted "
                f"on {noticed[0].machine}, event {noticed[0].number}"
            )


class NoSpuriousDelete(Checker):
    """Each record of a deletion has a person's deletion on that machine as its cause; and what nobody took
    away is there.

    A person may delete a conflict copy just as its file is moved there from its path: then it is gone from
    both. That deletion has seen the loser, and nothing else that lives.
    """

    number: ClassVar[int] = 5

    def _prepare(self) -> None:
        self._records: dict[str, dict[str, Record]] = {}  # by path and by how the digest begins

    def _during(self, world: Any) -> None:
        names = {machine.identity.device: machine.name for machine in world.machines}
        for held in self.books.news(self, world):
            for record in held.records:
                self._records.setdefault(record.path, {})[record.digest.hex()[:8]] = record
            author = names.get(held.header.device)
            if author is None:
                continue
            for record in held.records:
                if record.content.kind is Kind.DELETED and not self._has_a_cause(world, author, record):
                    self.fail(f"{author} published that {record.path!r} is deleted, which nobody did there")

    def _has_a_cause(self, world: Any, author: str, record: Record) -> bool:
        if world.oracle.touched.took_away(author, record.path):
            return True
        known = self._records[record.path]
        seen = [other for other in known.values() if _covers(record, other) and other.content.live]
        copies = filter(None, map(copied, world.oracle.touched.gone.get(author, ())))
        losers = [known[digest] for of, digest in copies if of == record.path and digest in known]
        return any(all(_covers(loser, other) for other in seen) for loser in losers)

    def _after(self, world: Any) -> None:
        touched = world.oracle.touched
        trees = [machine.disk.tree() for machine in world.machines]
        nowhere = unobtainable(world)
        for machine, made in touched.made.items():
            for path in sorted(made):
                if any(path in tree for tree in trees) or touched.anyone_took_away(path):
                    continue
                if excuse(Case(world.oracle, self.name, machine, path, nowhere)) is None:
                    self.fail(f"{path!r} is nowhere any more, though nobody ever took it away")


def _covers(record: Record, other: Record) -> bool:
    return record.vector.get(other.actor, 0) >= other.seq


def _may_write(machine: Any) -> bool:
    return getattr(machine, "role", "editor") != "viewer"
