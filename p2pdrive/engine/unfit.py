"""What this disk cannot show: that nothing is there says nothing of what anybody did."""

from collections.abc import Iterator

from p2pdrive.engine.replica import Replica
from p2pdrive.folder.exact import alike
from p2pdrive.history.log import Log
from p2pdrive.index.entries import Entry
from p2pdrive.limits import PLAN_PATHS_MAX
from p2pdrive.model.record import Kind
from p2pdrive.planning.conflicts import Verdict, judge
from p2pdrive.planning.ordering import Lane


def unfit(replica: Replica, log: Log, path: str, entry: Entry | None) -> str | None:
    """Why ``path``, at which there is nothing, cannot be shown on this disk, in words; None where it can, or
    need not be.

    Of two names that the disk takes for one, the one that is there stays while others have it too. But where
    ``path`` was shown, a person has changed its name to the one that is there.
    """
    files = replica.files
    content = _wanted(log, path).content
    if not content.live:
        return None
    if (why := files.unfit(path, content.kind is Kind.SYMLINK)) is not None:
        return why
    twin = files.twin(path) if entry is None else None
    return twin.words() if twin is not None and _wanted(log, twin.other).content.live else None


def forget_unfit(replica: Replica) -> None:
    """The folder may come from a disk that held more: what this one cannot hold was not shown on it."""
    files = replica.files
    if not files.odd:
        return
    once, twice = set[int](), set[int]()  # numbers take less memory than paths
    absent: list[str] = []
    for entry in _entries(replica):
        number = hash(alike(entry.path))
        (twice if number in once else once).add(number)
        if files.unfit(entry.path, entry.content.kind is Kind.SYMLINK) is not None:
            absent.append(entry.path)
    if twice:
        crowded = (each.path for each in _entries(replica) if hash(alike(each.path)) in twice)
        absent += [path for path in crowded if files.twin(path) is not None]
    if absent:
        with replica.writing() as log:
            for path in absent:
                own = log.entries.get(path)
                for each in ([own] if own is not None else []) + log.entries.below(path):
                    log.entries.delete(each.path)
                    replica.store.unborrow(log.connection, each.id)
                    shown_for = each.view.of if each.view is not None else each.path
                    log.entries.mark_unshown([(shown_for, 0, Lane.PLAIN)])


def _entries(replica: Replica) -> Iterator[Entry]:
    after = ""
    while True:
        with replica.reading() as log:
            page = log.entries.inside("", after, PLAN_PATHS_MAX)
        yield from page
        if len(page) < PLAN_PATHS_MAX:
            return
        after = page[-1].path


def _wanted(log: Log, path: str) -> Verdict:
    return judge(log.registers.heads(path), log.registers.live_below(path))
