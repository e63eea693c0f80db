"""Heads + what the index last materialised + what is on disk → plan. The heart of p2pdrive; pure.

The caller carries out a plan's ``Publish`` actions, judges the heads again and reconciles again, until
no ``Publish`` is left (one round: a published change is what the disk shows). ``Show`` actions then make
the folder equal to the verdict. A plan for a state that it has led to is empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from p2pdrive.model import clock
from p2pdrive.model.heads import Heads
from p2pdrive.model.record import Content, Kind, Record
from p2pdrive.model.vector import joined
from p2pdrive.planning.conflicts import Verdict, is_implied


class Choice(StrEnum):
    """What becomes of files that a folder with another past (copied, restored) brought along, and that were
    deleted elsewhere since: they stay here alone until a person decides."""

    ASK = "ask"
    RESTORE = "restore"  # they come back everywhere, as new versions
    CATCH_UP = "catch-up"  # they are deleted here too; history keeps them


class Base(NamedTuple):
    """What the index says the folder showed: ``content``, for the records that ``seen`` covers."""

    content: Content
    seen: Mapping[bytes, int]


class Situation(NamedTuple):
    """All that a decision about one path depends on.

    ``disk`` is what is there now (``DELETED`` for nothing). ``past`` is given only while a folder is being
    adopted (after a join, a restore or a copy): the vector of the version that ``disk`` equals, if any.
    ``unshown``: what the heads said before, or say now, is still to be shown, be it a time alone.
    ``mtime_ns``: of what nobody was seen to change; None where a person changed it just now.
    ``brought``: what is there was brought along by a folder with another past, so a deletion elsewhere takes
    it only by choice. ``closed``: a person here made private what is there, and no record has ever said so.
    """

    path: str
    heads: Heads
    verdict: Verdict
    base: Base | None
    disk: Content
    may_write: bool
    past: Mapping[bytes, int] | None = None
    unshown: bool = False
    mtime_ns: int | None = None
    brought: Choice | None = None
    closed: bool = False


class Publish(NamedTuple):
    """A person changed ``path`` to ``content`` having seen ``seen``. ``clock`` where older than now."""

    path: str
    content: Content
    seen: Mapping[bytes, int]
    clock: int | None = None


class Adopt(NamedTuple):
    """The disk shows ``content`` already: note that it stands for ``seen``."""

    path: str
    content: Content
    seen: Mapping[bytes, int]


class Show(NamedTuple):
    """Make the folder show the verdict. ``aside`` is a loser that the disk holds now: the file becomes its
    copy. ``keep``: what is on disk is a local change that may not be published; it is kept beside."""

    path: str
    verdict: Verdict
    aside: Record | None = None
    keep: bool = False


class Hold(NamedTuple):
    """The disk shows ``content``, which stands for ``seen`` and was deleted since: it stays until a person
    has chosen."""

    path: str
    content: Content
    seen: Mapping[bytes, int]


@dataclass(frozen=True, slots=True)
class Blocked:
    """A local change that this device may not publish; it stays as it is."""

    path: str
    what: str


Action = Publish | Adopt | Show | Hold | Blocked


def reconcile(now: Situation) -> Action | None:
    """What to do about one path; None where the folder shows what the heads say, and the index knows it."""
    base, disk, verdict = now.base, now.disk, now.verdict
    if _closes(now):
        return _publish(now, verdict.seen, None)
    if base is None and disk.live and now.past is not None:
        base = Base(disk, now.past)  # an older version, brought along: no edit
    if not _changed(base, disk):
        if base is not None and now.brought is not None and disk.live and not verdict.content.live:
            return _brought(now, base, now.brought)
        return _remote(now, base)
    if disk.identity == verdict.content.identity:
        edited = base is not None and base.content.identity == disk.identity
        if edited and now.may_write:
            assert base is not None
            return _publish(now, base.seen, base)  # its time or permissions
        return _settle(now)
    if base is None and any(loser.content.identity == disk.identity for loser in verdict.losers):
        return _show(now)
    if _made_room(now):
        return _show(now)
    if not now.may_write:
        return _refuse(now, base)
    if base is not None:
        return _publish(now, base.seen, base)
    if any(head.content.live for head in now.heads):  # merging: the newest of two is to win
        now = now._replace(mtime_ns=disk.mtime_ns)
    return _publish(now, joined(head.vector for head in now.heads if not head.content.live), None)


def _closes(now: Situation) -> bool:
    """Whether what others have too is private here by a person's will."""
    wanted = now.verdict.content
    return now.closed and now.may_write and now.disk.identity == wanted.identity and not wanted.private


def _as_changed(now: Situation, base: Base | None) -> Content:
    """What the disk shows; but where nobody changed here whether it is private, it stays what the heads say.

    The person here may want none of their files to be for others, whoever made them.
    """
    disk, wanted = now.disk, now.verdict.content
    if base is None or not disk.kind is base.content.kind is wanted.kind:
        return disk
    unchanged = disk.private == base.content.private and dict(base.seen) == dict(now.verdict.seen)
    return replace(disk, private=wanted.private) if unchanged else disk


def _brought(now: Situation, base: Base, choice: Choice) -> Action:
    if choice is Choice.CATCH_UP:
        return _show(now)
    if choice is Choice.RESTORE and now.may_write:
        return Publish(now.path, now.disk, joined([base.seen, *(head.vector for head in now.heads)]))
    return Hold(now.path, now.disk, base.seen)


def _made_room(now: Situation) -> bool:
    """Whether a directory went for the sake of what comes in its place; perhaps a kill came in between."""
    was_directory = now.base is not None and now.base.content.kind is Kind.DIRECTORY
    return was_directory and not now.disk.live and now.verdict.content.kind is not Kind.DIRECTORY


def _remote(now: Situation, base: Base | None) -> Action | None:
    """The disk is as the index says: only the heads can ask for something."""
    content = now.verdict.content
    if base is None:
        return _show(now) if content.live else None
    if base.content.identity != content.identity:
        return _show(now)
    known = now.base is not None and dict(base.seen) == dict(now.verdict.seen)
    return None if known and not now.unshown else _settle(now)


def _settle(now: Situation) -> Action:
    """The disk has the right content; perhaps not its time or permissions."""
    show = _show(now)
    wanted, disk = show.verdict.content, now.disk
    if wanted.metadata == disk.metadata or (wanted.kind is Kind.DIRECTORY and is_implied(now.heads)):
        return Adopt(now.path, disk, now.verdict.seen)
    return show


def _show(now: Situation) -> Show:
    aside = next((lost for lost in now.verdict.losers if lost.content.identity == now.disk.identity), None)
    return Show(now.path, _as_private_as_here(now), aside if now.disk.live else None)


def _as_private_as_here(now: Situation) -> Verdict:
    """What a person here keeps to themselves, and could not or need not say so, is not opened to others: it
    is private though the very heads that it stands for say otherwise."""
    wanted, disk, base = now.verdict.content, now.disk, now.base
    own = base is None or base.content.private != disk.private
    own |= base is not None and not now.may_write and dict(base.seen) == dict(now.verdict.seen)
    if own and disk.private and not wanted.private and disk.kind is wanted.kind:
        return now.verdict._replace(content=replace(wanted, private=True))
    return now.verdict


def _refuse(now: Situation, base: Base | None) -> Action:
    """A viewer's local change: never published, never lost, and no obstacle to what others write."""
    wanted = now.verdict.content
    if not now.disk.live or now.disk.kind is Kind.DIRECTORY:
        return _show(now) if wanted.live else Blocked(now.path, _VIEWER)
    elsewhere = base is None or base.content.identity != wanted.identity
    if wanted.live and (elsewhere or wanted.kind is Kind.DIRECTORY):  # a directory is there for what is in it
        return Show(now.path, now.verdict, keep=True)
    return Blocked(now.path, _VIEWER)


_VIEWER = (
    "changed here, but this device is a viewer of the drive: the change stays on this device alone. "
    "Ask an admin for the editor role to share it."
)


def _changed(base: Base | None, disk: Content) -> bool:
    if base is None:
        return disk.live
    if base.content.identity != disk.identity:
        return True
    return base.content.metadata != disk.metadata


def _publish(now: Situation, seen: Mapping[bytes, int], base: Base | None) -> Publish:
    """What was found is as old as it says, and no older than what it follows. A deletion has no time of its
    own, and wins no name: it is as old as its finding."""
    if now.mtime_ns is None or not now.disk.live:
        return Publish(now.path, _as_changed(now, base), seen)
    followed = (head.clock for head in now.heads if seen.get(head.actor, 0) >= head.seq)
    age = max(clock.from_milliseconds(now.mtime_ns // 1_000_000), *(each + 1 for each in followed), 0)
    return Publish(now.path, _as_changed(now, base), seen, age)
