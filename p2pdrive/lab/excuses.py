"""What excuses a promise that looks broken: one table, with a reason for each.

An excuse is about a path on a machine. It holds for all of a promise's checks, so it must be as narrow as its
reason: what is excused without need hides a bug.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pdrive.folder.defaults import is_litter
from p2pdrive.model import paths

if TYPE_CHECKING:
    from p2pdrive.lab.oracle import Oracle


@dataclass(frozen=True, slots=True)
class Case:
    """``promise`` (a checker's name) looks broken at ``path`` on ``machine``.

    ``nowhere`` are the paths of which a head has blocks that no machine holds any more.
    """

    oracle: "Oracle"
    promise: str
    machine: str
    path: str
    nowhere: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Excuse:
    """``reason`` excuses these ``promises`` where it ``holds``."""

    reason: str
    promises: tuple[str, ...]
    holds: Callable[[Case], bool]


def excuse(case: Case) -> str | None:
    """Why the promise is not broken after all; None where it is."""
    return next((each.reason for each in EXCUSES if case.promise in each.promises and each.holds(case)), None)


#: A new kind of excuse is an entry here.
EXCUSES = (
    Excuse(
        "a fault took, or may have taken, what was at the path",
        ("NoResurrectedDelete", "NoSpuriousDelete", "BoundedCopies"),
        lambda case: case.path in case.oracle.seen.taken,
    ),
    Excuse(
        "its winner cannot be had from anyone: until it can, the path shows what it showed before",
        ("NoResurrectedDelete", "NoSpuriousDelete"),
        lambda case: case.path in case.nowhere,
    ),
    Excuse(
        "a person changed its mode or time, or settled its conflict: an edit that a deletion may have missed",
        ("NoResurrectedDelete", "BoundedCopies"),
        lambda case: case.path in case.oracle.touched.changed,
    ),
    Excuse(
        "a program left it, and it goes with its folder",
        ("NoSpuriousDelete",),
        lambda case: is_litter(case.path),
    ),
    Excuse(
        "it came with a rename whose contents nobody listed",
        ("NoResurrectedDelete",),
        lambda case: any(paths.within(case.path, above) for above in case.oracle.touched.arrived),
    ),
    Excuse(
        "rules hid it at some time: its deletion may have gone unnoticed",
        ("NoResurrectedDelete",),
        lambda case: case.oracle.written.was_ignored(case.path),
    ),
    Excuse(
        "it was about to go under its earlier name when a person renamed its directory",
        ("NoSpuriousDelete",),
        lambda case: case.oracle.touched.was_going(case.machine, case.path),
    ),
    Excuse(
        "it was displaced at a kill, could not be told, and got a name that says so (engine/recover.py)",
        ("BoundedCopies",),
        lambda case: paths.name(case.path).startswith("recovered "),
    ),
    Excuse(
        "a person renamed a directory above it: what the node did in there, it did at the new place",
        ("BoundedCopies",),
        lambda case: case.oracle.touched.may_have_moved(case.machine, case.path),
    ),
    Excuse(
        "the folder was put back, and holds a copy that others edited meanwhile: it is taken for a file",
        ("BoundedCopies",),
        lambda case: case.machine in case.oracle.seen.restores,
    ),
)
