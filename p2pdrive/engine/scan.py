"""Comparing the folder with the index, path by path in key order: what may have changed unseen.

Memory holds one listing a level, one page of entries, and a bounded list of what is missing.
"""

from collections.abc import Iterator

from p2pdrive.engine.replica import Replica
from p2pdrive.engine.same import unchanged
from p2pdrive.engine.secrets import about_home
from p2pdrive.folder.files import FileKind, Stat
from p2pdrive.folder.scan import FoundHome, Unseen, walk
from p2pdrive.index.entries import Entry
from p2pdrive.limits import PLAN_PATHS_MAX, SCAN_MISSING_MAX, SCAN_STEP_PATHS
from p2pdrive.model import paths
from p2pdrive.model.problem import Problem
from p2pdrive.model.record import Kind

_PAGE = 1000


class Scan:
    """One scan of ``start`` (empty: the whole folder) and all that is in it. Synchronous, in steps.

    ``missing``: entries whose paths are not there, to be taken with ``take_missing`` after each step.
    They are settled after what is there, so that a renamed file is met under its new name first.
    """

    def __init__(self, replica: Replica, start: str = "") -> None:
        self._replica = replica
        self._start = start
        self._steps = self._compare()
        self._missing: list[str] = []
        self._missing_copies: list[str] = []
        self.problems: list[Problem] = []

    def step(self) -> list[str] | None:
        """The next some paths that are there and may have changed; None at the end. Raises RootMissing."""
        return next(self._steps, None)

    def take_missing(self, ended: bool) -> list[str]:
        """What is not there any more; when many, or at the end.

        Conflict copies come first, as whoever removed one saw what was beside it; then the rest, the inside
        of a directory before itself.
        """
        if not ended and len(self._missing) + len(self._missing_copies) < SCAN_MISSING_MAX:
            return []
        taken = self._missing_copies + self._missing[::-1]
        self._missing, self._missing_copies = [], []
        return taken

    def _miss(self, entry: Entry) -> None:
        (self._missing if entry.view is None else self._missing_copies).append(entry.path)

    def _compare(self) -> Iterator[list[str]]:
        changed: list[str] = []
        looked = 0
        entries = self._entries()
        entry = next(entries, None)
        for item in walk(self._replica.files, self._replica.ignore, self._start, self._replica.homes):
            if isinstance(item, Problem | FoundHome):
                problem = item if isinstance(item, Problem) else about_home(self._replica, item)
                self.problems += [problem] if problem is not None else []
                continue
            key = paths.key(item.path)
            while entry is not None and paths.key(entry.path) < key:
                self._miss(entry)
                entry = next(entries, None)
            if isinstance(item, Unseen):
                self.problems.append(item.problem)
                while entry is not None and (paths.key(entry.path) + b"\0").startswith(key + b"\0"):
                    entry = next(entries, None)
                continue
            if entry is None or entry.path != item.path:
                changed.append(item.path)
            elif _was_directory(entry, item.stat):
                self._missing.append(item.path)  # what is there now comes after what was in it
                entry = next(entries, None)
            else:
                if not unchanged(entry, item.stat):
                    changed.append(item.path)
                entry = next(entries, None)
            looked += 1
            if len(changed) >= PLAN_PATHS_MAX or looked >= SCAN_STEP_PATHS:
                yield changed
                changed, looked = [], 0
        while entry is not None:
            self._miss(entry)
            entry = next(entries, None)
        self._replica.note_mounts()
        yield changed

    def _entries(self) -> Iterator[Entry]:
        after = ""
        while True:
            with self._replica.reading() as log:
                page = log.entries.inside(self._start, after, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].path


def _was_directory(entry: Entry, stat: Stat) -> bool:
    return entry.content.kind is Kind.DIRECTORY and stat.kind is not FileKind.DIRECTORY
