"""What settling asks of those who change the folder, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from p2pdrive.folder.files import Stat
from p2pdrive.index.entries import Entry, View
from p2pdrive.model import paths
from p2pdrive.model.problem import Problem
from p2pdrive.model.record import Content, Kind
from p2pdrive.model.vector import Vector
from p2pdrive.planning.deletions import Gone


class Keep(NamedTuple):
    """Where a file goes that must make room, and what it is there: a conflict copy, or the person's own."""

    path: str
    content: Content
    view: View | None


class Task(NamedTuple):
    """Make ``path`` show ``content``, standing for ``seen``, where ``expected`` is now.

    ``before`` is the entry of what is there. ``view``: it is a conflict copy. ``moved_from``: where the
    same file may be. ``keep``: what to do with the file that is there, if not to retire it. ``marks`` are the
    serials in ``unshown`` that are done with then.
    """

    path: str
    content: Content
    seen: Vector
    expected: Stat | None
    before: Entry | None
    view: View | None = None
    moved_from: str = ""
    keep: Keep | None = None
    marks: tuple[int, ...] = ()


@dataclass(slots=True)
class Settled:
    """``tasks``: to be shown. ``again``: changed meanwhile, to be looked at soon. ``published``: records
    written. ``waiting``: files that are not at rest, and were not looked at.

    ``well``: paths that have no problem (any more). ``touched``: other paths that are to be shown now too.
    ``left``: not settled yet, as the run has read enough. ``gone``: deletions that are not published yet.
    ``vacant``: those of ``well`` at which nothing is, nor is to be. ``unread``: large files to be read ahead,
    as ``ReadAhead.add`` takes them.
    """

    tasks: list[Task] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    well: list[str] = field(default_factory=list)
    published: int = 0
    left: list[str] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    gone: list[Gone] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    vacant: list[str] = field(default_factory=list)
    unread: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)


def marked(tasks: list[Task], marks: Mapping[str, int]) -> list[Task]:
    """The tasks with the marks that they are done with; a path with copies to show is settled once more."""
    in_conflict = {task.view.of for task in tasks if task.view is not None}
    return [
        task._replace(marks=(marks[task.path],))
        if task.path in marks and task.path not in in_conflict
        else task
        for task in tasks
    ]


def order(task: Task) -> tuple[int, bytes]:
    """Directories, then what is in them; removals last, the inside of a directory before itself."""
    if not task.content.live:
        return (3, paths.inside_first(task.path))
    key = paths.key(task.path)
    if task.content.kind is Kind.DIRECTORY:
        return (0, key)
    return (1 if task.moved_from else 2, key)
