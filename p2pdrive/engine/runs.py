"""What one run of settling takes up, in which order, and what it decides."""

from collections.abc import Callable, Iterable, Sequence

from p2pdrive.engine.observe import Observed
from p2pdrive.engine.secrets import refused_arrival
from p2pdrive.engine.tasks import Settled
from p2pdrive.folder.files import Files
from p2pdrive.history.log import Log
from p2pdrive.model import paths
from p2pdrive.model.record import Record
from p2pdrive.planning.reconcile import Action, Blocked, Show, Situation, reconcile


def without_stale_renames(log: Log, observed: Sequence[Observed], settled: Settled) -> list[Observed]:
    """Without the files that were noted under another name since they were looked at: a rename that we
    carried out, which a person's followed. They and that name are looked at again."""
    origins = log.entries.get_many(seen.moved.path for seen in observed if seen.moved is not None)
    stale: set[str] = set()
    for seen in observed:
        if seen.moved is None:
            continue
        origin = origins.get(seen.moved.path)
        if origin is None or origin.id != seen.moved.id:
            stale |= {seen.path, seen.moved.path}
    settled.again += sorted(stale)
    return [seen for seen in observed if seen.path not in stale]


def order(seen: Observed) -> tuple[bool, bytes]:
    """What is gone comes first, the inside of a directory before itself; then what is there, from the top.

    (Before all that, copies: what a person did to a copy was done seeing what is beside it.)
    """
    live = seen.content.live
    return (live, paths.key(seen.path) if live else paths.inside_first(seen.path))


def is_closed_here(files: Files, seen: Observed, versions: Callable[[str], Iterable[Record]]) -> bool:
    """Whether a person here made it private, and no record has ever said so."""
    if seen.stat is None or not seen.stat.private or files.makes_private:
        return False
    return not any(version.content.private for version in versions(seen.path))


def decide(now: Situation) -> Action | None:
    """What to do; a secret that others published is not shown."""
    action = reconcile(now)
    why = refused_arrival(now.path, now.verdict.content) if isinstance(action, Show) else None
    return action if why is None else Blocked(now.path, why)
