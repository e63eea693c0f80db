"""The archive and the index brought together again, after the node was stopped between them."""

from contextlib import suppress

from p2pdrive.blocks.sparse import chunk_sparse
from p2pdrive.engine.replica import Replica
from p2pdrive.errors import Changed, DiskFull, NotWritable, Unreadable
from p2pdrive.folder.temporary import number_of
from p2pdrive.index.archived import Archived, ArchivedFile, borrowed_as
from p2pdrive.index.manifests import Manifests


def find_archived(replica: Replica) -> None:
    """Give each file of the archive its row, and each row its file. Raises WorldError.

    A row without its file was written right before the file was to be renamed: the file is still among the
    displaced. Or the file was removed by hand. A file without a row came from another index than this one.
    """
    archive = replica.files.archive
    there = set(archive.numbers())
    with replica.reading() as log:
        named = Archived(log.connection).numbers()
    displaced = {number_of(each.name): each.name for each in replica.files.displaced()}
    lost = []
    for number in sorted(named - there):
        if number not in displaced:
            lost.append(number)
        else:
            with suppress(Changed, DiskFull, NotWritable, Unreadable):
                archive.keep(displaced[number])
    if lost:
        with replica.writing() as log:
            for number in lost:
                Archived(log.connection).forget(number)
    for number in sorted(there - named):
        with suppress(Changed, DiskFull, NotWritable, Unreadable):
            _take_in(replica, number)


def _take_in(replica: Replica, number: int) -> None:
    with replica.files.archive.open(number) as handle:
        found = handle.stat()
        manifest = chunk_sparse(replica.chunker, handle, found.size)
    with replica.writing() as log:
        Archived(log.connection).put(ArchivedFile(number, manifest.root, manifest.size, found.ctime_ns))
        replica.store.borrow(log.connection, borrowed_as(number), manifest)
        Manifests(log.connection).put(manifest)
