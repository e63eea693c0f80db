"""Histories of one path, as several devices write them that see each other's records in any order.

Each device writes as ``history/authoring.py`` has it: a record has seen what the folder showed, and one
that must stand beside an earlier record of the same device is written under another actor. Beside the
vectors, the true causal past of each record is kept as a set, to hold the vectors against.
"""

from dataclasses import dataclass, field
from itertools import product

from hypothesis import strategies as st

from p2pdrive.model import heads as registers
from p2pdrive.model.heads import Heads
from p2pdrive.model.record import DELETED, DIRECTORY, Content, Kind, Record
from p2pdrive.model.vector import Vector, joined
from p2pdrive.planning.conflicts import judge

PATH = "folder/report.docx"
DEVICES = 3

Dot = tuple[bytes, int]
Past = frozenset[Dot]

#: Few contents, so that devices often write the same; times and exec bits differ within a content.
CONTENTS = (
    *(Content(Kind.FILE, 9, bytes([n]) * 32, 1, False, 1_700_000_000_000_000_000) for n in (1, 2, 3)),
    Content(Kind.FILE, 9, bytes([1]) * 32, 1, True, 1_600_000_000_000_000_000),
    Content(Kind.SYMLINK, target="elsewhere"),
    DIRECTORY,
    DELETED,
)


@dataclass(slots=True)
class Device:
    """What one device holds: the records it has seen, its actors, and what its folder shows."""

    number: int
    known: dict[Dot, Record] = field(default_factory=dict)
    latest: dict[bytes, int] = field(default_factory=dict)  # actor → its last seq, of any path
    of_path: dict[bytes, int] = field(default_factory=dict)  # actor → its last seq of the path
    seen: Vector = field(default_factory=dict)
    past: Past = frozenset()

    @property
    def heads(self) -> Heads:
        return registers.merge((), self.known.values())


@dataclass(slots=True)
class History:
    """Every record that was written, in order, with the true causal past of each."""

    records: list[Record] = field(default_factory=list)
    pasts: dict[Dot, Past] = field(default_factory=dict)
    devices: list[Device] = field(default_factory=lambda: [Device(number) for number in range(DEVICES)])

    def write(
        self, device: Device, content: Content, seen: Vector, past: Past, clock: int, gap: int = 1
    ) -> Record:
        """``gap``: how many records, of other paths, the actor wrote since its last one."""
        actor = self._actor(device, seen)
        record = Record(PATH, content, b"", 0, seen, clock).placed(actor, device.latest.get(actor, 0) + gap)
        device.latest[actor] = device.of_path[actor] = record.seq
        device.known[dot(record)] = record
        device.seen, device.past = record.vector, past | {dot(record)}
        self.records.append(record)
        self.pasts[dot(record)] = past
        return record

    def show(self, device: Device) -> None:
        """The folder shows the verdict now."""
        verdict = judge(device.heads, live_child=False)
        covered = [
            h for h in device.heads if not h.content.live or h.content.identity == verdict.content.identity
        ]
        device.seen, device.past = verdict.seen, self._closure(covered)

    def deleted(self, device: Device) -> tuple[Vector, Past]:
        """What a file has seen that was made where the folder shows nothing."""
        dead = [head for head in device.heads if not head.content.live]
        return joined(head.vector for head in dead), self._closure(dead)

    def dismissed(self, device: Device) -> tuple[Content, Vector, Past]:
        """What is written where a person deletes all conflict copies: the winner, having seen every head."""
        heads = device.heads
        return judge(heads, False).content, joined(h.vector for h in heads), self._closure(heads)

    def _closure(self, heads: list[Record] | Heads) -> Past:
        return frozenset().union(*({dot(head)} | self.pasts[dot(head)] for head in heads))

    def _actor(self, device: Device, seen: Vector) -> bytes:
        for actor, seq in device.of_path.items():
            if seen.get(actor, 0) >= seq:
                return actor
        return bytes([device.number, len(device.of_path)]) * 8


def dot(record: Record) -> Dot:
    return (record.actor, record.seq)


_VERBS = ("learn", "learn", "show", "edit", "edit", "make", "dismiss")
#: Device, verb, choice and clock, drawn as one: a draw for each would take four times as long.
_STEPS = st.lists(
    st.sampled_from([*product(range(DEVICES), _VERBS, range(51), range(4))]),
    max_size=25,
)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """What comes of random steps; numbers are taken modulo what there is to choose from."""
    history = History()
    for number, verb, choice, clock in draw(_STEPS):
        device = history.devices[number]
        content = CONTENTS[choice % len(CONTENTS)]
        gap = 1 + choice % 3
        if verb == "learn" and history.records:
            record = history.records[choice % len(history.records)]
            device.known[dot(record)] = record
        elif verb == "show":
            history.show(device)
        elif verb == "edit":
            history.write(device, content, device.seen, device.past, clock, gap)
        elif verb == "make":
            history.write(device, content, *history.deleted(device), clock, gap)
        elif verb == "dismiss" and device.heads:
            winner, seen, past = history.dismissed(device)
            history.write(device, winner, seen, past, clock, gap)
    return history
