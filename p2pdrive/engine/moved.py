"""Renaming a file that is here under another name, as others did, instead of bringing it together anew."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from p2pdrive.engine.replica import Replica
from p2pdrive.engine.same import untouched
from p2pdrive.engine.tasks import Task
from p2pdrive.errors import Unreadable
from p2pdrive.folder.files import Stat
from p2pdrive.index.entries import Entry
from p2pdrive.model.record import Content, Kind, Record
from p2pdrive.planning.conflicts import judge


class Sources:
    """The files that one run of tasks renames: what is there (``stats``), and what the index says of it.

    Looked at once for all: nobody else notes anything of them meanwhile, and a rename checks what it takes.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.stats: Mapping[str, Stat | None] = {}
        self._entries: Mapping[str, Entry] = {}

    def look(self, named: Iterable[str]) -> None:
        """Look at all of them. Raises RootMissing."""
        if named := list(named):
            self.stats = self._replica.files.stats(named)
            with self._replica.reading() as log:
                self._entries = log.entries.get_many(named)

    def of(self, path: str) -> tuple[Stat | None, Entry | None]:
        """What is at ``path``, and its entry. Raises Unreadable."""
        if path not in self.stats:
            raise Unreadable(f"{path} became this elsewhere, and cannot be looked at here.")
        return self.stats[path], self._entries.get(path)


def with_sources(replica: Replica, tasks: Sequence[Task]) -> list[Task]:
    """The tasks, ``moved_from`` kept only where the file to rename is there and no longer wanted there.

    Raises RootMissing.
    """
    sources = [task.moved_from for task in tasks if task.moved_from]
    if not sources:
        return list(tasks)
    with replica.reading() as log:
        marks = log.entries.among_unshown(sources)  # before the heads are looked at
        entries = log.entries.get_many(sources)
        heads = log.registers.heads_of(sources)
        crowded = log.registers.with_live_below(sources)
        for source in log.entries.with_views(sources):
            marks.pop(source, None)  # it is to be settled by itself, as its copies go too
    stats = replica.files.stats(sources)

    def checked(task: Task) -> Task:
        source = task.moved_from
        if not source:
            return task
        if replica.hides(source, False):
            return task._replace(moved_from="")  # nobody looks at what is there, so it may be anything
        wanted = judge(heads.get(source, ()), source in crowded).content
        mark = marks[source][0] if source in marks else None
        entry, stat = entries.get(source), stats.get(source)
        if entry is None or stat is None or not untouched(entry, stat):
            return task._replace(moved_from="")  # an edit that may not be published, say
        if task.content.private and stat.private is False:
            return task._replace(moved_from="")  # a rename would show it to others for a moment
        return _with_source(task, entry, wanted, mark)

    return [checked(task) for task in tasks]


def without_needed_copies(replica: Replica, tasks: Sequence[Task]) -> list[Task]:
    """The tasks without the removals of conflict copies that hold what their path is still to show: its bytes
    need not come from elsewhere then. Any other copy goes, as what the path waits for may never come."""
    copies = {task.path: task.before for task in tasks if not task.content.live and task.before}
    needed = {path: copy.view.of for path, copy in copies.items() if copy.view is not None}
    if not needed:
        return list(tasks)
    with replica.reading() as log:
        unshown = log.registers.heads_of(log.entries.among_unshown(needed.values()))
    wanted = {path: {head.content.identity for head in heads} for path, heads in unshown.items()}
    return [
        task
        for task in tasks
        if task.path not in needed
        or copies[task.path].content.identity not in wanted.get(needed[task.path], ())
    ]


def _with_source(task: Task, entry: Entry, wanted: Content, mark: int | None) -> Task:
    """``entry`` and ``wanted`` are what the source's path shows and should show, ``mark`` its own mark."""
    nothing = task._replace(moved_from="")
    if task.content.kind is not Kind.FILE or task.expected is not None:
        return nothing
    if entry.view is not None or entry.content.identity != task.content.identity:
        return nothing
    if wanted.identity == entry.content.identity:
        return nothing
    return task if wanted.live or mark is None else task._replace(marks=(*task.marks, mark))


def as_it_was_said(content: Content, moved: Entry, versions: Callable[[str], Iterable[Record]]) -> Content:
    """What a renamed file is for the others: where all new files here are private, that one need not be."""
    if not (content.private and moved.content.private):
        return content
    said = [each.content.private for each in versions(moved.path) if dict(each.vector) == dict(moved.vector)]
    return content if all(said) else replace(content, private=False)
