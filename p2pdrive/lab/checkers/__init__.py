"""The checkers of a simulated world: one for each property that must always hold."""

from p2pdrive.lab.checkers.books import Books
from p2pdrive.lab.checkers.checker import Checker
from p2pdrive.lab.checkers.contents import (
    AcknowledgedMeansDurable,
    BlocksPresent,
    NoInventedContent,
    NoLostUpdate,
    NoOverwrittenUnscannedEdit,
    NoSecretLeaves,
)
from p2pdrive.lab.checkers.deletes import NoResurrectedDelete, NoSpuriousDelete
from p2pdrive.lab.checkers.logs import Authority, Determinism, NoReusedDots, SoundLogs, VectorsOnlyGrow
from p2pdrive.lab.checkers.private import PrivateStaysPrivate
from p2pdrive.lab.checkers.rest import Liveness, ProblemsReported, Quiescence, curable
from p2pdrive.lab.checkers.trees import (
    AtomicVisibility,
    BoundedCopies,
    Confinement,
    Convergence,
    WellFormedTree,
)
from p2pdrive.lab.checkers.wanted import unobtainable
from p2pdrive.lab.oracle import Violation

__all__ = ("CHECKERS", "Checker", "Violation", "checkers", "curable", "unobtainable")

#: In the order of the list of what must always be true.
CHECKERS: tuple[type[Checker], ...] = (
    Convergence,
    NoLostUpdate,
    NoOverwrittenUnscannedEdit,
    NoResurrectedDelete,
    NoSpuriousDelete,
    NoInventedContent,
    VectorsOnlyGrow,
    SoundLogs,
    AcknowledgedMeansDurable,
    BlocksPresent,
    AtomicVisibility,
    Determinism,
    BoundedCopies,
    Quiescence,
    WellFormedTree,
    Confinement,
    Authority,
    NoReusedDots,
    Liveness,
    ProblemsReported,
    NoSecretLeaves,
    PrivateStaysPrivate,
)


def checkers() -> list[Checker]:
    """A fresh set, for one run; those that read logs read them together."""
    books = Books()
    return [checker(books) for checker in CHECKERS]
