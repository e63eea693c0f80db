"""Conflict copies are views: files without a record of their own, beside the path that they belong to."""

from dataclasses import dataclass

from p2pdrive.model.heads import Heads
from p2pdrive.model.record import Content, Kind, Record
from p2pdrive.model.vector import joined
from p2pdrive.planning.conflicts import Verdict
from p2pdrive.planning.reconcile import Adopt, Blocked, Publish, Show


@dataclass(frozen=True, slots=True)
class Dismiss:
    """The person settled the conflict: a new record of the loser's path joins the winner and ``loser``."""

    loser: Record


@dataclass(frozen=True, slots=True)
class Restore:
    """A copy that is still wanted is gone, and this device may not dismiss it: show it again."""

    path: str
    loser: Record


ViewAction = Publish | Adopt | Show | Blocked | Dismiss | Restore


def reconcile_view(
    path: str,
    heads: Heads,
    verdict: Verdict,
    loser: Record | None,
    shown: Content,
    disk: Content,
    may_write: bool,
) -> tuple[ViewAction, ...]:
    """What to do about the copy at ``path``.

    ``heads`` and ``verdict`` are of the copy's own path (someone may have made it an ordinary file);
    ``loser`` is the record that it shows, None once it has lost that standing; ``shown`` is what we put
    there and ``disk`` what is there now.
    """
    if disk.identity == shown.identity:
        if verdict.content.live or loser is None:
            return (Show(path, verdict),)
        return ()
    if not disk.live:
        if loser is None or verdict.content.live:
            return (Show(path, verdict),) if verdict.content.live else (Adopt(path, disk, verdict.seen),)
        return (Dismiss(loser),) if may_write else (Restore(path, loser),)
    if disk.identity == verdict.content.identity:  # as after a kill between showing it and noting that
        return (Show(path, verdict) if disk.kind is Kind.FILE else Adopt(path, disk, verdict.seen),)
    if not may_write:
        if verdict.content.live:  # others made something of it
            return (Show(path, verdict, keep=disk.kind is not Kind.DIRECTORY),)
        return (Blocked(path, "a conflict copy was edited, but this device is a viewer: it stays as it is."),)
    seen = joined(head.vector for head in heads if not head.content.live)
    publish = Publish(path, disk, seen)
    return (publish, Dismiss(loser)) if loser is not None else (publish,)
