"""The logs: they only grow, are sound, say the same in any order, and only members write them."""

import random
from typing import Any, ClassVar

from p2pdrive.history.registers import Registers
from p2pdrive.lab.checkers.books import Held
from p2pdrive.lab.checkers.checker import Checker
from p2pdrive.lab.checkers.wanted import records_of
from p2pdrive.lab.evidence import reading
from p2pdrive.model import heads as registers
from p2pdrive.model.batch import NO_BATCH, Header, body_root, signed_bytes
from p2pdrive.model.record import Record
from p2pdrive.model.vector import descends
from p2pdrive.planning.conflicts import copy_path, judge
from p2pdrive.secure.identity import verify


class VectorsOnlyGrow(Checker):
    """What a node holds of each actor only grows, but for its own log after it was put back from a backup;
    and each record of an actor has seen what the actor's earlier records of the path had.

    Of a node that was put back there may be two logs until it notices.
    """

    number: ClassVar[int] = 7

    def _prepare(self) -> None:
        self._latest: dict[tuple[bytes, str], Record] = {}

    def _during(self, world: Any) -> None:
        news = self.books.news(self, world)
        for name, book in self.books.books.items():
            if book.generation > world.oracle.seen.restores.get(name, 0) * 2:
                self.fail(f"{name} holds less than it held, and was not put back from a backup")
        own = {machine.identity.device: machine.name for machine in world.machines}
        for held in news:
            author = own.get(held.header.device)
            if author is not None and author not in world.oracle.seen.restores:
                self._check_chain(held)

    def _check_chain(self, held: Held) -> None:
        for record in held.records:
            place = (record.actor, record.path)
            before = self._latest.get(place)
            if before is None or before.seq < record.seq:
                self._latest[place] = record
                if before is not None and not descends(record.vector, before.vector):
                    self.fail(
                        f"{record.actor.hex()[:8]} {record.seq} of {record.path!r} has not seen all that "
                        f"{before.seq} of the same actor had seen"
                    )


class SoundLogs(Checker):
    """Every log is contiguous, its chain and its signatures are right; and forks are detected."""

    number: ClassVar[int] = 8

    def _prepare(self) -> None:
        self._ends: dict[tuple[str, bytes], tuple[int, bytes]] = {}
        self._verified: set[tuple[bytes, bytes]] = set()  # hash and signature

    def _during(self, world: Any) -> None:
        again: set[tuple[str, bytes]] = (
            set()
        )  # logs that were dropped and came back: to be read from the start
        for held in self.books.news(self, world):
            header, place = held.header, (held.machine, held.header.actor)
            self._check_batch(held)
            if (header.first - 1, header.previous) != self._ends.get(place, (0, NO_BATCH)):
                again.add(place)
            self._ends[place] = (header.last, header.hash)
        machines = {machine.name: machine for machine in world.machines}
        for name, actor in sorted(again):
            self._check_chain(machines[name], actor)

    def _after(self, world: Any) -> None:
        members = (machine for machine in world.machines if machine.name in self.books.books)
        for machine in members:
            for actor in sorted(self.books.books[machine.name].frontier):
                self._check_chain(machine, actor)
        running = {machine.name for machine in world.machines if machine.drive is not None}
        ends: dict[bytes, tuple[str, tuple[int, bytes]]] = {}
        for name, book in self.books.books.items():
            for actor, at in book.frontier.items() if name in running else ():
                other, there = ends.setdefault(actor, (name, at))
                both = actor in book.frozen or actor in self.books.books[other].frozen
                if there != at and not both:
                    self.fail(f"{name} and {other} hold two logs of {actor.hex()[:8]} and do not know it")

    def _check_batch(self, held: Held) -> None:
        header = held.header
        if len(held.bodies) != header.count or body_root(held.bodies) != header.root:
            self.fail(f"{held.machine} holds other records of {header.actor.hex()[:8]} than were signed")
        if (header.hash, held.signature) not in self._verified:
            if not verify(header.device, held.signature, signed_bytes(header.encode())):
                self.fail(f"{held.machine} holds a batch of {header.name} with a wrong signature")
            self._verified.add((header.hash, held.signature))

    def _check_chain(self, machine: Any, actor: bytes) -> None:
        """All of an actor's log, as it is held now."""
        sql = """SELECT b.header FROM batches b JOIN actors a ON a.number = b.actor WHERE a.id = ?
            ORDER BY b.first"""
        with reading(machine) as connection:
            rows = connection.execute(sql, (actor,)).fetchall() if connection is not None else ()
        end = (0, NO_BATCH)
        for (encoded,) in rows:
            header = Header.decode(encoded)
            if (header.first - 1, header.previous) != end:
                self.fail(f"{machine.name} holds {actor.hex()[:8]} {header.first}, which follows no {end[0]}")
            end = (header.last, header.hash)


class Determinism(Checker):
    """The heads in an index are those that its records give in any order, grouping and repetition; nodes with
    the same records agree on winners and on copies' names."""

    number: ClassVar[int] = 12

    def _prepare(self) -> None:
        self._random = random.Random(12)

    def _during(self, world: Any) -> None:
        """A path of what is new, on each machine."""
        named: dict[str, set[str]] = {}
        for held in self.books.news(self, world):
            named.setdefault(held.machine, set()).update(record.path for record in held.records)
        for machine in world.machines:
            changed = sorted(named.get(machine.name, ()))
            if not changed:
                continue
            with reading(machine) as connection:
                if connection is not None:
                    path = self._random.choice(changed)
                    self._check(machine.name, path, Registers(connection), None)

    def _after(self, world: Any) -> None:
        said: dict[tuple[str, frozenset[tuple[bytes, int]]], object] = {}
        for machine in world.machines:
            with reading(machine) as connection:
                if connection is None:
                    continue
                for path, records in records_of(connection).items():
                    verdict = self._check(machine.name, path, Registers(connection), records)
                    dots = frozenset((record.actor, record.seq) for record in records)
                    if said.setdefault((path, dots), verdict) != verdict:
                        self.fail(f"{machine.name} judges {path!r} as no other does: {verdict}")

    def _check(self, name: str, path: str, index: Registers, records: list[Record] | None) -> object:
        every = list(index.versions(path)) if records is None else list(records)
        self._random.shuffle(every)
        heads = self._merged_in_groups(every)
        if heads != registers.merge((), every):
            self.fail(f"the heads of {path!r} depend on the order of its records")
        if heads != index.heads(path):
            self.fail(f"{name} has other heads of {path!r} than its records give")
        verdict = judge(heads, False)
        copies = sorted(
            copy_path(loser, index.author_name(loser.actor, loser.seq)) for loser in verdict.losers
        )
        return (verdict.content, tuple(sorted(verdict.seen.items())), tuple(copies))

    def _merged_in_groups(self, every: list[Record]) -> registers.Heads:
        heads: registers.Heads = ()
        at = 0
        while at < len(every):
            size = self._random.randint(1, 3)
            group = every[max(0, at - self._random.randint(0, 2)) : at + size]
            heads = (
                registers.merge(heads, group)
                if self._random.random() < 0.5
                else (registers.merge(group, heads))
            )
            at += size
        return heads


class Authority(Checker):
    """Nothing is held that was written by a viewer, a stranger or a forger, nor is anything given to them."""

    number: ClassVar[int] = 17

    def _prepare(self) -> None:
        self._drive: bytes | None = None

    def _during(self, world: Any) -> None:
        if world.oracle.seen.leaks:
            self.fail(f"given away: {world.oracle.seen.leaks[0]}")
        writers = {m.identity.device: m.name for m in world.machines if getattr(m, "role", "") != "viewer"}
        for held in self.books.news(self, world):
            header = held.header
            if self._drive is None:
                self._drive = header.drive
            if header.drive != self._drive:
                self.fail(f"{held.machine} holds a batch of another drive")
            if header.device not in writers and header.device not in world.oracle.seen.guests:
                self.fail(f"{held.machine} holds a batch of {header.name}, who may not write")


class NoReusedDots(Checker):
    """No (actor, seq) ever names two contents, whatever was restored or copied.

    What a node wrote and no other has seen is forgotten when it is put back from a backup. And its own dots
    are let be from then on until others have them: it finds out when it meets those who know more.
    """

    number: ClassVar[int] = 18

    def _prepare(self) -> None:
        self._dots: dict[tuple[bytes, int], tuple[bytes, str]] = {}
        self._own: dict[str, dict[tuple[bytes, int], bytes]] = {}  # machine → its dots, seen nowhere else
        self._restores: dict[str, int] = {}

    def _during(self, world: Any) -> None:
        own = {machine.identity.device: machine.name for machine in world.machines}
        for held in self.books.news(self, world):
            author = own.get(held.header.device)
            if author is None:
                continue
            restores = world.oracle.seen.restores.get(author, 0)
            if restores != self._restores.get(author, 0):
                self._restores[author] = restores
                self._own.pop(author, None)
            for seq, body in enumerate(held.bodies, held.header.first):
                self._check((held.header.actor, seq), body, held.machine, author, restores > 0)

    def _check(self, dot: tuple[bytes, int], body: bytes, holder: str, author: str, restored: bool) -> None:
        mine = self._own.setdefault(author, {})
        if author == holder:
            if restored:
                return
            known, where = self._dots.get(dot, (mine.setdefault(dot, body), author))
        else:
            known, where = self._dots.setdefault(dot, (body, holder))
            if known == body and not restored:
                known, where = mine.pop(dot, body), author
        if known != body:
            self.fail(
                f"({dot[0].hex()[:8]}, {dot[1]}) of {author} is one thing on {where} and another on {holder}"
            )

    def _after(self, world: Any) -> None:
        own = {machine.identity.device for machine in world.machines}
        dots: dict[tuple[bytes, int], bytes] = {}
        sql = """SELECT a.id, r.seq, r.data, a.device FROM records r JOIN actors a ON a.number = r.actor"""
        for machine in world.machines:
            with reading(machine) as connection:
                rows = connection.execute(sql).fetchall() if connection is not None else ()
            for actor, seq, data, device in rows:
                if device in own and dots.setdefault((actor, seq), data) != data:
                    self.fail(f"({actor.hex()[:8]}, {seq}) names two contents, one of them on {machine.name}")
