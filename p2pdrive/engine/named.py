"""Sorting what the watcher named: most of it we did ourselves, and need not look at any closer."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from p2pdrive.engine.replica import Replica
from p2pdrive.engine.same import unchanged
from p2pdrive.errors import RootMissing, WorldError
from p2pdrive.folder.exact import alike
from p2pdrive.folder.files import FileKind, Stat
from p2pdrive.history.log import Log
from p2pdrive.index.entries import Entry
from p2pdrive.limits import PLAN_PATHS_MAX
from p2pdrive.model import paths
from p2pdrive.model.record import Kind

#: What cannot be looked at; settling it says what is wrong.
_UNREADABLE = Stat(FileKind.OTHER, 0, 0, 0, 0, False, None)


@dataclass(slots=True)
class Named:
    """What is worth a look, in this order: ``files`` that are there and ``directories`` with all that is in
    them; then ``gone``, where conflict copies come first (whoever removed one saw what was beside it), and
    ``gone_directories``. So a renamed file is met under its new name before it is missed under the old.
    ``nothing``: where nothing is, was, or should be.
    """

    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    gone_directories: list[str] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)


def sort(
    replica: Replica, named: Iterable[str], shown: Mapping[str, Stat], troubled: Collection[str] = ()
) -> Named:
    """Sort the paths that may have changed; what is as in ``shown`` is as we left it just now.

    ``troubled`` are worth a look in any case: it tells whether their problem is over. Synchronous. Raises
    RootMissing.
    """
    named = list(named)
    stats: dict[str, Stat | None] = dict.fromkeys(named, _UNREADABLE)
    stats.update(replica.files.stats(named))
    if replica.files.odd and (others := _spelled_otherwise(replica, stats)):
        stats |= dict.fromkeys(others, _UNREADABLE) | replica.files.stats(others)
    directories = {path for path, stat in stats.items() if stat and stat.kind is FileKind.DIRECTORY}
    stats = {
        path: stat
        for path, stat in stats.items()
        if stat is None or path in troubled or shown.get(path) != stat
    }
    result = Named()
    with replica.reading() as log:
        entries = log.entries.get_many(stats)
        waiting = {*troubled, *log.entries.among_unshown(stats)}
        for path, stat in stats.items():
            if not directories.isdisjoint(paths.ancestors(path)):
                continue  # the look into that directory finds it
            entry = entries.get(path)
            if path in directories:
                same = entry is not None and stat is not None and unchanged(entry, stat)
                if (
                    entry is not None
                    and same
                    and path not in waiting
                    and _as_left(replica, log, entry, shown)
                ):
                    continue
                result.directories.append(path)
                result.files += [path] if path in waiting else []
            elif stat is not None:
                if entry is not None and entry.content.kind is Kind.DIRECTORY:
                    result.gone_directories.append(path)  # what is there now comes after what was in it
                elif path in waiting or entry is None or not unchanged(entry, stat):
                    result.files.append(path)
            elif (entry is not None and entry.content.kind is Kind.DIRECTORY) or log.entries.below(path, 1):
                result.gone_directories.append(path)
            elif entry is not None or path in waiting:
                result.gone.append(path)
            else:
                result.nothing.append(path)
    result.gone.sort(key=lambda path: not _is_copy(entries.get(path)))
    return result


def _spelled_otherwise(replica: Replica, stats: Mapping[str, Stat | None]) -> set[str]:
    """What a program may have changed by another spelling of its name, on a disk that ignores case: as the
    directory lists it, or, where it is gone, as the index knows it."""
    found: set[str] = set()
    missing = [path for path, stat in stats.items() if stat is None]
    with replica.reading() as log:
        for path in missing:
            listed = path
            while (twin := replica.files.twin(listed)) is not None:
                listed = twin.other + listed.removeprefix(twin.path)
            if listed != path:
                found.add(listed)
            above = paths.parent(listed)
            beside = log.entries.inside(above, above, PLAN_PATHS_MAX)
            found.update(entry.path for entry in beside if alike(entry.path) == alike(listed))
            if len(beside) == PLAN_PATHS_MAX:
                found.add(above)  # too many to tell
    return found.difference(stats)


def _as_left(replica: Replica, log: Log, entry: Entry, shown: Mapping[str, Stat]) -> bool:
    """Whether a known directory holds just the files that we have put there."""
    try:
        names = replica.files.list(entry.path)
    except RootMissing:
        raise
    except WorldError:
        return False  # the look into it finds out what is wrong
    for found in names:
        ours = shown.get(paths.join(entry.path, found.name)) if found.name is not None else None
        if ours is None or ours != found.stat:
            return False
    return entry.content.kind is Kind.DIRECTORY and log.entries.count_below(entry.path) == len(names)


def _is_copy(entry: Entry | None) -> bool:
    return entry is not None and entry.view is not None
