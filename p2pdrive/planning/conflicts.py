"""Who wins a path, what that stands for, and what the losers' copies are called."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from p2pdrive.limits import NAME_BYTES_MAX
from p2pdrive.model import paths
from p2pdrive.model.heads import Heads, rank, winner
from p2pdrive.model.record import DELETED, Content, Kind, Record
from p2pdrive.model.vector import joined


class Verdict(NamedTuple):
    """What the heads of a path say that the folder shows.

    ``content`` at the path itself; ``seen`` is the vector that an edit of it has seen: all heads of that
    same content, and the deletions that lost to it. ``losers`` are the live heads with other contents,
    one a content, each to be shown as a copy beside the path.
    """

    content: Content
    seen: Mapping[bytes, int]
    losers: tuple[Record, ...]
    moved_from: str = ""


#: A directory that only what is in it tells of: as long as nobody says so, it is not for others.
IMPLIED = Content(Kind.DIRECTORY, private=True)
_NOTHING = Verdict(DELETED, {}, ())
_IMPLIED = Verdict(IMPLIED, {}, ())


def judge(heads: Heads, live_child: bool) -> Verdict:
    """The verdict over ``heads``; a path with a live child is a directory, whatever its heads say.

    What any of its heads made private is: one that had not seen that does not open it to others.
    """
    best = winner(heads)
    if best is None:
        return _IMPLIED if live_child else _NOTHING
    content = IMPLIED if live_child and best.content.kind is not Kind.DIRECTORY else best.content
    if len(heads) == 1 and content is best.content:
        return Verdict(content, best.vector, (), best.moved_from)
    covered = [head for head in heads if not head.content.live or head.content.identity == content.identity]
    if not content.private and any(_makes_private(head.content, content) for head in heads):
        content = replace(content, private=True)
    losers: dict[object, Record] = {}
    for head in sorted(heads, key=rank, reverse=True):
        if head not in covered:
            losers.setdefault(head.content.identity, head)
    seen = joined(head.vector for head in covered)
    moved_from = best.moved_from if best in covered else ""
    return Verdict(content, seen, tuple(losers.values()), moved_from)


def is_implied(heads: Heads) -> bool:
    """Whether no head says that the path is a directory: only what is in it does."""
    return not any(head.content.kind is Kind.DIRECTORY for head in heads)


def _makes_private(one: Content, shown: Content) -> bool:
    return one.private and one.kind is shown.kind


def dismissal(heads: Heads, verdict: Verdict, loser: Record) -> dict[bytes, int]:
    """The vector of a record that settles a conflict against ``loser``: it has seen what the path shows, and
    every head with the content of ``loser``, which are one copy."""
    lost = (head.vector for head in heads if head.content.identity == loser.content.identity)
    return joined((verdict.seen, *lost))


_COPY = re.compile(r"(.+) \(conflict ([0-9a-f]{8}) from .*?\)(\.[^.]*)?", re.DOTALL)


def copied(path: str) -> tuple[str, str] | None:
    """The path that a copy named ``path`` would be beside, and how the digest of what it shows begins.

    None where that is no copy's name; one that had to be shortened gives a path that is not the right one.
    """
    found = _COPY.fullmatch(paths.name(path)) if " (conflict " in path else None
    if found is None:
        return None
    stem, digest, suffix = found.groups()
    return paths.join(paths.parent(path), stem + (suffix or "")), digest


def copy_path(loser: Record, device_name: str) -> str:
    """Where a losing head is shown: ``report (conflict 3f9a2c1b from anna-laptop).docx``.

    It depends on the losing record (and the device name that its batch carries) alone, so that every node
    shows the same.
    """
    directory, name = paths.parent(loser.path), paths.name(loser.path)
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > 32:
        stem, dot, suffix = name, "", ""
    label = "".join("_" if letter in '/\\:*?"<>|' or ord(letter) < 32 else letter for letter in device_name)
    mark = f" (conflict {loser.digest.hex()[:8]} from {label})"
    room = NAME_BYTES_MAX - len(f"{mark}{dot}{suffix}".encode())
    stem = stem.encode()[:room].decode(errors="ignore")
    return paths.join(directory, f"{stem}{mark}{dot}{suffix}")
