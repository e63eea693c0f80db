"""The second tier, much faster: the pure planner alone, on replicas that exist on paper.

A case is a tree that two or three people change at once, with conflicts and all; then their records reach
everybody in some order, and every folder is settled in some order. It must end, on the same tree everywhere,
with nobody writing a record about what they only heard; heads must not depend on any order; and no more
copies than losers are shown.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from p2pdrive.lab.evidence import original_of
from p2pdrive.lab.oracle import Violation
from p2pdrive.lab.paper import Paper, united
from p2pdrive.model import paths
from p2pdrive.model.heads import Heads, merge
from p2pdrive.model.record import DIRECTORY, Content, Kind, Record

#: Few, so that people meet; names that are a file for one and a directory for another.
PATHS = ("a", "b.txt", "d", "d/a", "d/e", "d/e/f")
_CHANGES_MAX = 4
_ROUNDS_MAX = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """The first case that failed: ``try_case(seed)`` is that one again."""

    seed: str
    violation: Violation


@dataclass(frozen=True, slots=True)
class Tried:
    """How many cases were tried, in how many seconds, what failed, and whether a person ended it."""

    cases: int
    seconds: float
    failure: Failure | None
    interrupted: bool = False

    def __str__(self) -> str:
        pace = f", {60 * self.cases / self.seconds:.0f} a minute" if self.seconds > 0 else ""
        noun = "case" if self.cases == 1 else "cases"
        return f"{self.cases} {noun} in {self.seconds:.1f} s{pace}"


def try_planner(seed: int, cases: float = float("inf"), seconds: float = float("inf")) -> Tried:
    """Try so many cases, or for so long; stops at the first that fails, and at an interrupt."""
    began = time.monotonic()
    count, failure, took = 0, None, 0.0
    try:
        while count < cases and failure is None and took <= seconds:
            failure = failure_of(f"{seed} {count}")
            count, took = count + 1, time.monotonic() - began
    except KeyboardInterrupt:
        return Tried(count, took, failure, interrupted=True)
    return Tried(count, took, failure)


def failure_of(seed: str) -> Failure | None:
    """How one case fails, if it does; with what is no Violation too."""
    try:
        try_case(seed)
    except Violation as violation:
        return Failure(seed, violation)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be told with its seed
        return Failure(seed, Violation("NoUnexpectedFailure", "".join(traceback.format_exception(error))))
    return None


def try_case(seed: str) -> list[Paper]:
    """One case; returns the replicas as they ended. Raises Violation."""
    random = Random(seed)
    case = _Case(random, [Paper(name) for name in ("anna", "berta", "clara")[: random.choice((2, 2, 3))]])
    case.begin()
    for _ in range(random.randint(1, _ROUNDS_MAX)):
        case.change()
        case.exchange(random.random() < 0.7)
    case.rest()
    case.check()
    return case.papers


class _Case:
    def __init__(self, random: Random, papers: list[Paper]) -> None:
        self.papers = papers
        self._random = random
        self._contents = 0

    def begin(self) -> None:
        """A tree that all have."""
        for _ in range(self._random.randint(0, 3)):
            self.write(self.papers[0])
        self.papers[0].settle([])
        self._spread()
        for paper in self.papers:
            paper.settle([])

    def change(self) -> None:
        """People do this and that; not all of it is noticed at once."""
        for paper in self.papers:
            for _ in range(self._random.randint(0, _CHANGES_MAX)):
                self._random.choices(_ACTS, _WEIGHTS)[0](self, paper)
                if self._random.random() < 0.3:
                    paper.settle(self._order(paper))

    def exchange(self, noticed: bool) -> None:
        """Records reach some, in some order; what people did is looked at before (``noticed``) or after."""
        for paper in self.papers:
            if noticed:
                paper.settle(self._order(paper))
        self._spread(everybody=False)
        for paper in self.papers:
            if self._random.random() < 0.8:
                paper.settle(self._order(paper))

    def rest(self) -> None:
        """Nobody does anything more, and all hear of all."""
        for paper in self.papers:
            paper.settle(self._order(paper))
        self._spread()
        for paper in self.papers:
            published = paper.published
            paper.settle(self._order(paper))
            if paper.published != published:
                raise Violation("Quiescence", f"{paper.name} wrote about what it only heard")

    def check(self) -> None:
        """The promises."""
        records, _ = united(self.papers)
        self._check_order(list(records.values()))
        first = self.papers[0]
        for paper in self.papers:
            if _shown(paper) != _shown(first):
                raise Violation("Convergence", f"{_shown(first)} but {paper.name} {_shown(paper)}")
            if paper.heads != first.heads:
                raise Violation("Determinism", f"{paper.name} has other heads than {first.name}")
            self._check_tree(paper)

    def _check_tree(self, paper: Paper) -> None:
        for path in paper.disk:
            parent = paths.parent(path)
            if parent and not _is_directory(paper, parent):
                raise Violation("WellFormedTree", f"{path} is in {parent}, which is no directory")
        for path, heads in paper.heads.items():
            self._check_private(paper, path, heads)
            live = {head.content.identity for head in heads if head.content.live}
            copies = [copy for copy, note in paper.notes.items() if note.loser and note.loser.path == path]
            if len(copies) > max(0, len(live | {paper.verdict(path).content.identity}) - 1):
                raise Violation("BoundedCopies", f"{copies} for {len(live)} versions of {path}")
            there = [paper.disk[path].identity] if path in paper.disk else []
            beside = {paper.disk[copy].identity for copy in paper.copies(path) if copy in paper.disk}
            hidden = live.difference(there, beside)
            taken = [copy for copy in paper.copies(path) if copy in paper.disk and copy not in copies]
            if hidden and not taken:
                raise Violation("NoLostUpdate", f"a version of {path} is a head and is not shown")

    def _check_private(self, paper: Paper, path: str, heads: Heads) -> None:
        there = paper.disk.get(path)
        said = {head.content.private for head in heads if there and head.content.kind is there.kind}
        if there is None or not said or original_of(path):
            return
        if there.private != any(said):
            raise Violation("PrivateStaysPrivate", f"{path} is {there} at {paper.name}, its heads {heads}")

    def _check_order(self, records: list[Record]) -> None:
        """Heads from these records in any order, grouping and repetition."""
        expected = _heads_of(records)
        for _ in range(2):
            shuffled = records + self._random.sample(records, len(records) // 3)
            self._random.shuffle(shuffled)
            found: dict[str, Heads] = {}
            for record in shuffled:
                found[record.path] = merge([record], found.get(record.path, ()))
            if found != expected:
                raise Violation("Determinism", "the heads depend on the order of the records")

    # --- how records and settling go

    def _order(self, paper: Paper) -> list[str]:
        named = sorted({*paper.disk, *paper.notes, *paper.heads})
        self._random.shuffle(named)
        return named

    def _spread(self, everybody: bool = True) -> None:
        records, authors = united(self.papers)
        for paper in self.papers:
            if everybody or self._random.random() < 0.6:
                missing = [record for dot, record in records.items() if dot not in paper.known]
                self._random.shuffle(missing)
                paper.take_in(missing, authors)

    # --- what people do

    def write(self, paper: Paper) -> None:
        """A new file."""
        path = self._random.choice(PATHS)
        if not _is_directory(paper, path):
            self._put(paper, path, self._content())

    def edit(self, paper: Paper) -> None:
        """Another content for a file."""
        files = self._files(paper)
        if files:
            paper.disk[self._random.choice(files)] = self._content()

    def edit_copy(self, paper: Paper) -> None:
        """Another content for a conflict copy."""
        copies = [path for path in self._files(paper) if original_of(path)]
        if copies:
            paper.disk[self._random.choice(copies)] = self._content()

    def delete(self, paper: Paper) -> None:
        """A file goes."""
        files = self._files(paper)
        if files:
            del paper.disk[self._random.choice(files)]

    def delete_copy(self, paper: Paper) -> None:
        """A conflict copy goes."""
        copies = [path for path in self._files(paper) if original_of(path)]
        if copies:
            del paper.disk[self._random.choice(copies)]

    def rename(self, paper: Paper) -> None:
        """A file gets a new name."""
        files = self._files(paper)
        if files:
            path, target = self._random.choice(files), self._random.choice(PATHS)
            if target not in paper.disk:
                content = paper.disk.pop(path)
                if not self._put(paper, target, content):
                    paper.disk[path] = content

    def remove_tree(self, paper: Paper) -> None:
        """A directory goes, with all in it."""
        directories = [path for path in sorted(paper.disk) if _is_directory(paper, path)]
        if directories:
            gone = self._random.choice(directories)
            for path in list(paper.disk):
                if paths.within(path, gone):
                    del paper.disk[path]

    def change_mode(self, paper: Paper) -> None:
        """The executable bit."""
        files = self._files(paper)
        if files:
            path = self._random.choice(files)
            content = paper.disk[path]
            if content.kind is Kind.FILE:
                paper.disk[path] = replace(content, executable=not content.executable)

    def close_to_others(self, paper: Paper) -> None:
        """A file or directory becomes private, or is for others too."""
        if paper.disk:
            path = self._random.choice(sorted(paper.disk))
            content = paper.disk[path]
            if content.kind is not Kind.SYMLINK:
                paper.disk[path] = replace(content, private=not content.private)

    def _put(self, paper: Paper, path: str, content: Content) -> bool:
        for directory in reversed(paths.ancestors(path)):
            paper.disk.setdefault(directory, DIRECTORY)
            if not _is_directory(paper, directory):
                return False
        paper.disk[path] = content
        return True

    def _files(self, paper: Paper) -> list[str]:
        return [path for path in sorted(paper.disk) if not _is_directory(paper, path)]

    def _content(self) -> Content:
        """New, mostly."""
        self._contents += 1
        number = 0 if self._random.random() < 0.15 else self._contents
        if self._random.random() < 0.1:
            return Content(Kind.SYMLINK, target=f"target {number}")
        return Content(Kind.FILE, 1, number.to_bytes(32, "big"), 1, False, self._contents)


_TABLE: dict[Callable[[_Case, Paper], None], int] = {
    _Case.write: 6,
    _Case.edit: 4,
    _Case.edit_copy: 2,
    _Case.delete: 3,
    _Case.delete_copy: 2,
    _Case.rename: 3,
    _Case.remove_tree: 1,
    _Case.change_mode: 1,
    _Case.close_to_others: 1,
}
_ACTS, _WEIGHTS = list(_TABLE), list(_TABLE.values())


def _is_directory(paper: Paper, path: str) -> bool:
    return path in paper.disk and paper.disk[path].kind is Kind.DIRECTORY


def _heads_of(records: list[Record]) -> dict[str, Heads]:
    by_path: dict[str, list[Record]] = {}
    for record in records:
        by_path.setdefault(record.path, []).append(record)
    return {path: merge((), those) for path, those in by_path.items()}


def _shown(paper: Paper) -> dict[str, tuple[object, ...]]:
    """What is to be equal: the mode of a conflict copy is nobody's business."""
    copies = {path for path, note in paper.notes.items() if note.loser}
    return {
        path: (*content.identity, content.executable and path not in copies)
        for path, content in paper.disk.items()
    }
