"""What the heads say that a folder shows, worked out anew from all records of a log."""

from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any

from p2pdrive.history.registers import Registers
from p2pdrive.lab.evidence import blocks_held, entries_of, reading, root_of
from p2pdrive.model import paths
from p2pdrive.model.heads import Heads, merge
from p2pdrive.model.record import Content, Kind, Record, stored
from p2pdrive.planning.conflicts import copy_path, judge

_RECORDS = """SELECT a.id, r.seq, r.data FROM records r JOIN actors a ON a.number = r.actor
    WHERE r.key IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be at a path; ``copy`` where it is a conflict copy."""

    content: Content
    copy: bool = False

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self.content.kind

    def differs(self, shown: Any) -> str | None:
        """In what way the folder shows something else; None if it does not."""
        content = self.content
        if shown is None:
            return "nothing"
        names = {Kind.FILE: "file", Kind.DIRECTORY: "directory", Kind.SYMLINK: "link"}
        if shown[0] != names[content.kind]:
            return f"a {shown[0]}, not a {names[content.kind]}"
        if content.kind is Kind.SYMLINK and shown[1] != content.target:
            return f"a link to {shown[1]!r}, not to {content.target!r}"
        if content.kind is not Kind.FILE:
            return None
        if root_of(shown[1]) != content.root:
            return f"other bytes than its heads say: {shown[1][:40]!r}"
        if shown[2] not in (None, content.executable) and not self.copy:
            return "another mode than its heads say"
        return None


def records_of(connection: Connection) -> dict[str, list[Record]]:
    """All records of paths, by path."""
    found: dict[str, list[Record]] = {}
    for actor, seq, data in connection.execute(_RECORDS):
        record = stored(data, actor, seq)
        found.setdefault(record.path, []).append(record)
    return found


def heads_of(connection: Connection) -> dict[str, Heads]:
    """The heads of every path, from all of its records."""
    return {path: merge((), records) for path, records in records_of(connection).items()}


def wanted_tree(connection: Connection) -> dict[str, Wanted]:
    """What a folder that follows this log shows, ignore rules aside."""
    heads = heads_of(connection)
    crowded = {
        directory
        for path, those in heads.items()
        if any(head.content.live for head in those)
        for directory in paths.ancestors(path)
    }
    wanted: dict[str, Wanted] = {}
    losers: list[Record] = []
    for path in heads.keys() | crowded:
        verdict = judge(heads.get(path, ()), path in crowded)
        if verdict.content.live:
            wanted[path] = Wanted(verdict.content)
        losers += verdict.losers
    registers = Registers(connection)
    for loser in losers:
        copy = copy_path(loser, registers.author_name(loser.actor, loser.seq))
        wanted.setdefault(copy, Wanted(loser.content, copy=True))
    return wanted


def unobtainable(world: Any) -> set[str]:
    """Paths of which a live head has blocks that no machine holds any more, as after a restored backup; and
    their copies, which stay where they are until their path shows all (``without_needed_copies``)."""
    needed: dict[bytes, tuple[Content, set[str]]] = {}
    for machine in world.machines:
        with reading(machine) as connection:
            if connection is None:
                continue
            for path, heads in heads_of(connection).items():
                for head in heads:
                    if head.content.kind is Kind.FILE:
                        needed.setdefault(head.content.root, (head.content, set()))[1].add(path)
    for machine in world.machines:
        with reading(machine) as connection:
            if connection is not None:
                here = [root for root, (content, _) in needed.items() if blocks_held(connection, content)]
                for root in here:
                    del needed[root]
    nowhere = {path for _, those in needed.values() for path in those}
    if not nowhere:
        return nowhere
    entries = (entry for machine in world.machines for entry in entries_of(machine).values())
    return nowhere | {each.path for each in entries if each.view is not None and each.view.of in nowhere}
