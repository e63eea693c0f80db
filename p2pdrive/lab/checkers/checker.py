"""What a checker is.

A world has ``oracle``, ``machines`` and ``now_ns``; a machine ``name``, ``state`` (the real directory that
holds ``.p2pdrive``), ``disk``, ``identity`` and ``drive`` (None while it is not open).
"""

from typing import Any, ClassVar, NoReturn

from p2pdrive.lab.checkers.books import Books
from p2pdrive.lab.oracle import Violation


class Checker:
    """One promise of the design. Made anew for each run; remembers what it saw before."""

    number: ClassVar[int]

    def __init__(self, books: Books) -> None:
        self.books = books
        self._prepare()

    @property
    def name(self) -> str:
        """That of the property."""
        return type(self).__name__

    def during(self, world: Any) -> None:
        """To be called every few steps; cheap. Raises Violation."""
        self._during(world)

    def at_rest(self, world: Any) -> None:
        """To be called when all is healed and has converged, some virtual time before ``after``."""
        self._at_rest(world)

    def after(self, world: Any) -> None:
        """To be called at the end, with nothing done since ``at_rest``. Raises Violation."""
        self._during(world)
        self._after(world)

    def fail(self, message: str) -> NoReturn:
        """The promise is broken."""
        raise Violation(self.name, message)

    # --- what each checker does at these times

    def _prepare(self) -> None:
        """Set up what it remembers."""

    def _during(self, world: Any) -> None:
        """Look, cheaply."""

    def _at_rest(self, world: Any) -> None:
        """Remember what must not change."""

    def _after(self, world: Any) -> None:
        """Look at everything."""
