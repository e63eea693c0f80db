"""Whether a file is the one that the index knows. All that rests on inode, size and times stands here.

A file is what its bytes are. Programs set mtime as they like (tar, rsync, package managers), sizes are equal
by chance, and a disk hands an inode number out again within a moment. Only ctime is the kernel's own: it
moves with each write, chmod, link and rename of the file itself, and stays when a directory above is renamed.

=============  =====  ==============  ========  ========  =========  =================================
what holds     path   inode, size,    ctime     exec bit  was read   so
                      mtime
=============  =====  ==============  ========  ========  =========  =================================
``unchanged``  same   equal           equal     equal     no         nobody has touched it since
``untouched``  any    equal           equal     any       no         its bytes are the entry's
``alike``      any    equal           equal     any       not yet    so they are, unless read too early
``describes``  any    inode equal     any       any       yes, same  its bytes are the entry's
``one_file``   two    equal           equal     equal     no         two names of one file, right now
``unproven``   same   as found        none      as found  not yet    the next look reads it
none of them   any    any             other     any       no         it is read
=============  =====  ==============  ========  ========  =========  =================================

An equal ctime proves nothing within one tick of the disk's clock (``tells_edits``). A disk that invents
inodes or ctimes costs reads, and never gives a wrong answer.
"""

from contextlib import suppress

from p2pdrive.blocks.sparse import chunk_sparse
from p2pdrive.engine.replica import Replica
from p2pdrive.errors import Changed, Unreadable
from p2pdrive.folder.files import FileKind, ReadHandle, Stat
from p2pdrive.index.entries import Entry
from p2pdrive.model.record import Content, Kind

#: Nanoseconds by which a file system's times may lag: a file whose ctime is this close to our last look may
#: have changed again with the same ctime. Linux stamps by its timer tick (at most 10 ms) where times are
#: fine at all; FAT's are the coarsest in use.
FINE_GRAIN_NS = 20_000_000
COARSE_GRAIN_NS = 2_000_000_000


def unchanged(entry: Entry, stat: Stat) -> bool:
    """Whether the path, where ``stat`` is, shows for certain what its entry says."""
    content = entry.content
    if stat.kind is FileKind.DIRECTORY:
        return content.kind is Kind.DIRECTORY and content.private == stat.is_private(content.private)
    if stat.kind is FileKind.SYMLINK:
        return content.kind is Kind.SYMLINK and content.target == stat.target
    same = content.executable == stat.is_executable(content.executable)
    return same and content.private == stat.is_private(content.private) and untouched(entry, stat)


def untouched(entry: Entry, stat: Stat) -> bool:
    """Whether the file that is ``stat``, under any name, has for certain the bytes of ``entry``."""
    return alike(entry, stat) and tells_edits(stat, entry.checked_ns)


def alike(entry: Entry, stat: Stat) -> bool:
    """Whether nothing tells that the file that is ``stat`` has other bytes than ``entry``."""
    content = entry.content
    return (
        content.kind is Kind.FILE
        and stat.kind is FileKind.FILE
        and (content.size, content.mtime_ns) == (stat.size, stat.mtime_ns)
        and (entry.inode, entry.ctime_ns) == (stat.inode, stat.ctime_ns)
    )


def describes(entry: Entry, stat: Stat | None, content: Content) -> bool:
    """Whether ``entry`` is of this very file or thing: ``content`` is what its bytes say."""
    inode = stat.inode if stat is not None else 0
    return (entry.inode, entry.content.identity) == (inode, content.identity)


def unproven(stat: Stat) -> Stat:
    """``stat`` for an entry whose bytes nobody has read: its ctime equals none, so the next look reads it."""
    return stat._replace(ctime_ns=0)


def one_file(first: Stat, second: Stat) -> bool:
    """Whether two names, looked at now, lead to one file; inodes of two disks may be equal by chance."""
    return first == second


def tells_edits(stat: Stat, checked_ns: int) -> bool:
    """Whether a file that was ``stat`` at that time would have another ctime after any edit since."""
    return stat.ctime_ns < checked_ns - (COARSE_GRAIN_NS if _is_coarse(stat) else FINE_GRAIN_NS)


def checked_at(stat: Stat, looked_ns: int, noted_ns: int) -> int:
    """As of when a file that we put there ourselves is known to be ``stat``: it was looked at right then.

    RACE: where times are fine, the time of noting it counts, a sync of the disk later; else each file that
    arrives would be read once more. Unseen is an edit in place within the tick (at most 10 ms) in which the
    file got its name, if it keeps the size and sets mtime back; the next edit brings it to light.
    """
    return looked_ns if _is_coarse(stat) else noted_ns


def has_bytes(replica: Replica, opened: ReadHandle, content: Content) -> bool:
    """Read an open file: whether its bytes are those of ``content``. Raises Unreadable."""
    if content.kind is not Kind.FILE or opened.stat().size != content.size:
        return False
    manifest = chunk_sparse(replica.chunker, opened, content.size)
    found = (manifest.size, manifest.root, len(manifest))
    return found == (content.size, content.root, content.blocks) and opened.stat().size == content.size


def may_have_bytes(replica: Replica, path: str, content: Content) -> bool:
    """The same of the file at ``path``; True also where it cannot be read."""
    with suppress(Changed, Unreadable), replica.files.open(path) as opened:
        return has_bytes(replica, opened, content)
    return True


def _is_coarse(stat: Stat) -> bool:
    return stat.ctime_ns % 1_000_000 == 0
