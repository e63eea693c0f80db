"""Who may read and run a file, on a disk that does not say: what is known of the file, and of its path.

A person cannot change that there. So a file has it from wherever it was, be it renamed or put in place of
another.
"""

from collections.abc import Iterator
from contextlib import suppress

from p2pdrive.engine.same import describes
from p2pdrive.errors import Unreadable
from p2pdrive.folder.files import Files, Stat
from p2pdrive.history.log import Log
from p2pdrive.index.entries import Entry
from p2pdrive.model import paths
from p2pdrive.model.heads import rank
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import DELETED, Content, Kind
from p2pdrive.planning.conflicts import judge


class Bits:
    """What the index and ``log`` know; to be asked within one look at the folder."""

    def __init__(self, files: Files, log: Log) -> None:
        self._files = files
        self._log = log
        self._closed: set[str] = set()  # directories that are private where they are now

    def of(
        self, path: str, content: Content, stat: Stat, entry: Entry | None, manifest: Manifest | None
    ) -> tuple[bool, bool]:
        """Whether what is at ``path``, where ``entry`` was shown, is executable, and private. Raises
        RootMissing."""
        before = entry.content if entry is not None and entry.content.kind is content.kind else None
        came = entry is None or not describes(entry, stat, content)
        origins = list(self._origins(path, content, stat, manifest)) if came else []
        said = before or self._said(path, content.kind, bool(origins))
        executable = said.executable or any(origin.content.executable for origin in origins)
        private = said.private or any(self._kept_closed(origin, path) for origin in origins)
        if private and content.kind is Kind.DIRECTORY:
            self._closed.add(path)
        return executable and content.kind is Kind.FILE, private

    def _said(self, path: str, kind: Kind, came: bool) -> Content:
        """What is, or was at last, of this kind at ``path``: programs rename a file and write it anew. What
        ``came`` from elsewhere is not what was there at last."""
        content = judge(self._log.registers.heads(path), False).content
        if content.kind is kind:
            return content
        if content.live or came:
            return DELETED
        versions = [each for each in self._log.registers.versions(path) if each.content.kind is kind]
        return max(versions, key=rank).content if versions else DELETED

    def _kept_closed(self, origin: Entry, path: str) -> bool:
        """Whether it was not for others, and is not in what is closed to them anyway."""
        if origin.content.private:
            return True
        there, here = paths.ancestors(origin.path), paths.ancestors(path)
        above = self._log.entries.get_many([*there, *here])
        closed = self._closed.union(each for each, entry in above.items() if entry.content.private)
        return not closed.isdisjoint(there) and closed.isdisjoint(here)

    def _origins(self, path: str, content: Content, stat: Stat, manifest: Manifest | None) -> Iterator[Entry]:
        """The entries of what this was. After another mount inodes are others, and only the bytes tell."""
        entries = self._log.entries
        if content.kind is Kind.DIRECTORY:
            yield from self._gone(entries.directories_with_inode(stat.inode))
            return
        found = entries.with_inodes([stat.inode]).get(stat.inode, ())
        same = [each for each in found if each.path != path and describes(each, stat, content)]
        yield from same
        if not same and manifest is not None and len(manifest):
            block = next(block for _, block in manifest)
            found = entries.borrowing(block)
            yield from self._gone([each for each in found if each.content.identity == content.identity])

    def _gone(self, entries: list[Entry]) -> Iterator[Entry]:
        """Those at whose paths nothing is any more."""
        for entry in entries:
            with suppress(Unreadable):
                if self._files.stat(entry.path) is None:
                    yield entry
