"""Taking up what was displaced and not put away: the node was stopped in the middle of a write, or a person
wrote to a new version of ours just as it was taken back."""

from collections.abc import Collection
from contextlib import suppress
from itertools import chain

from p2pdrive.blocks.sparse import chunk_sparse
from p2pdrive.engine.history import find_archived
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.retire import keep_version
from p2pdrive.engine.same import describes, one_file
from p2pdrive.errors import Changed, DiskFull, NotWritable, Unreadable
from p2pdrive.folder.files import Displaced, FileKind
from p2pdrive.index.arriving import Arriving
from p2pdrive.model import paths
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import Content, Kind
from p2pdrive.planning.conflicts import copied

_TRIES = 1000
_KINDS = {FileKind.FILE: Kind.FILE, FileKind.SYMLINK: Kind.SYMLINK}


def recover(replica: Replica) -> None:
    """Give every displaced file its place: back where nothing is now, into history where the log knows its
    content, else beside its path under a name that says so. Raises WorldError.

    A version that the log knows goes back only where the index says that it is shown: a power loss can undo
    that it was put away, and its successor may have been deleted by a person since.
    """
    find_archived(replica)
    for displaced in replica.files.displaced():
        with suppress(Changed, DiskFull, NotWritable, Unreadable):  # it stays there until the next start
            _take_up(replica, displaced)


def take_up_edits(replica: Replica, left: Collection[Displaced]) -> frozenset[Displaced]:
    """The same for a drive that runs, at a moment when nothing is being shown. What the log knows stays until
    the next start, as some program may have it open. Returns what stays; it is not looked at again while it
    is as it was ``left``. Raises WorldError.
    """
    staying = set[Displaced]()
    for displaced in replica.files.displaced():
        with suppress(Changed, DiskFull, NotWritable, Unreadable):
            if displaced in left or _is_kept(replica, displaced):
                staying.add(displaced)
            else:
                _take_up(replica, displaced)
    return frozenset(staying)


def _is_kept(replica: Replica, displaced: Displaced) -> bool:
    """Whether the folder or the log has this content."""
    if displaced.stat.kind not in _KINDS:
        return False
    path = _origin(replica, displaced)
    there = replica.files.stat(path)
    return (there is not None and one_file(there, displaced.stat)) or _in_log(
        replica, path, _content(replica, displaced)
    )


def _origin(replica: Replica, displaced: Displaced) -> str:
    """Where it was taken from, or was to go. Where that is too long for its name, inode and bytes tell."""
    if displaced.path is not None:
        return displaced.path
    inode = displaced.stat.inode
    with replica.reading() as log:
        entries = log.entries.with_inodes([inode]).get(inode, [])
        arriving = Arriving(log.connection)
        known = [(entry.path, entry.content) for entry in entries]
        known += [(each.path, each.content) for each in arriving.among(arriving.with_inode(inode)).values()]
    if known and displaced.stat.kind in _KINDS:
        identity = _content(replica, displaced).identity
        known = [(path, content) for path, content in known if content.identity == identity]
        if known:
            return known[0][0]
    return f"recovered {displaced.name.rpartition('.')[2][:8]}"


def _take_up(replica: Replica, displaced: Displaced) -> None:
    path = _origin(replica, displaced)
    there = replica.files.stat(path)
    if there is None and _is_shown(replica, displaced, path) and _publish(replica, displaced, path):
        return
    if there is not None and one_file(there, displaced.stat):
        replica.files.discard(displaced.name)  # a second name of the same file
    elif _put_away(replica, displaced, path):
        return
    elif there is not None or not _publish(replica, displaced, path):
        _publish_beside(replica, displaced, path)


def _is_shown(replica: Replica, displaced: Displaced, path: str) -> bool:
    """Whether this is the file that the index says is at its path."""
    with replica.reading() as log:
        entry = log.entries.get(path)
    stat = displaced.stat
    if entry is None or entry.content.kind is not _KINDS.get(stat.kind):
        return False
    if stat.kind is FileKind.SYMLINK:
        return entry.content.target == stat.target
    return describes(entry, stat, _content(replica, displaced))


def _put_away(replica: Replica, displaced: Displaced, path: str) -> bool:
    """Whether the log has a version of this content; history keeps it then. A directory may hold anything."""
    if displaced.stat.kind is FileKind.SYMLINK:
        known = _in_log(replica, path, _link(displaced))
        if known:
            replica.files.discard(displaced.name)
        return known
    if displaced.stat.kind is not FileKind.FILE:
        return False
    manifest = _manifest(replica, displaced)
    known = _in_log(replica, path, _file(manifest))
    if known:
        keep_version(replica, displaced.name, manifest)
    return known


def _content(replica: Replica, displaced: Displaced) -> Content:
    link = displaced.stat.kind is FileKind.SYMLINK
    return _link(displaced) if link else _file(_manifest(replica, displaced))


def _link(displaced: Displaced) -> Content:
    return Content(Kind.SYMLINK, target=displaced.stat.target or "")


def _file(manifest: Manifest) -> Content:
    return Content(Kind.FILE, manifest.size, manifest.root, len(manifest))


def _manifest(replica: Replica, displaced: Displaced) -> Manifest:
    with replica.files.open_displaced(displaced.name) as handle:
        return chunk_sparse(replica.chunker, handle, displaced.stat.size)


def _in_log(replica: Replica, path: str, content: Content) -> bool:
    """A conflict copy is a version of the path that it is beside, and none of its own."""
    beside = copied(path)
    of = (path,) if beside is None else (path, beside[0])
    with replica.reading() as log:
        versions = chain.from_iterable(map(log.registers.versions, of))
        return any(version.content.identity == content.identity for version in versions)


def _publish_beside(replica: Replica, displaced: Displaced, path: str) -> None:
    directory, name = paths.parent(path), paths.name(path)
    above = replica.files.stat(directory)
    if above is None or above.kind is not FileKind.DIRECTORY:
        if replica.ignore.is_litter(path):
            replica.files.discard(displaced.name)  # it went with its folder
            return
        directory = ""
    for number in range(1, _TRIES):
        beside = paths.join(directory, f"recovered {number} {name}"[:200])
        if replica.files.stat(beside) is None and _publish(replica, displaced, beside):
            return


def _publish(replica: Replica, displaced: Displaced, path: str) -> bool:
    try:
        replica.files.publish(displaced.name, path, None)
    except Changed:
        return False
    return True
