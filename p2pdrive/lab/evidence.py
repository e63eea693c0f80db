"""What a machine's disk and index prove, whether its node runs or not. Read only."""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from p2pdrive.blocks.chunking import Chunker
from p2pdrive.errors import P2PDriveError
from p2pdrive.folder.homes import OTHERS, names_key
from p2pdrive.folder.ignore import Ignore
from p2pdrive.history.registers import Registers
from p2pdrive.index.entries import Entries, Entry
from p2pdrive.index.manifests import Manifests
from p2pdrive.model.genesis import Chunking
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.paths import IGNORE_FILE, STATE_DIRECTORY, join, parent, within
from p2pdrive.model.record import Content, Kind

_CHUNKER = Chunker(Chunking())
_COPY = re.compile(r"(?P<stem>.*) \(conflict [0-9a-f]{8} from [^()]*\)(?P<suffix>[^/]*)", re.DOTALL)
_BLOCK_HELD = """SELECT 1 FROM packed WHERE block = :block
    UNION ALL SELECT 1 FROM borrowed WHERE block = :block LIMIT 1"""


def index_of(machine: Any) -> Path:
    """Where the drive's index is."""
    return Path(machine.state) / STATE_DIRECTORY / "index.db"


@contextmanager
def reading(machine: Any) -> Iterator[sqlite3.Connection | None]:
    """A connection to the index as it is committed; None where there is no drive (now)."""
    drive = machine.drive
    if drive is not None:
        with drive.replica.database.read() as connection:
            yield connection
        return
    path = index_of(machine)
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA query_only=1")
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'records'").fetchone()
        yield connection if known else None


def entries_of(machine: Any) -> dict[str, Entry]:
    """What the index says that the folder showed, by path."""
    with reading(machine) as connection:
        if connection is None:
            return {}
        every = Entries(connection).inside("", "", -1)
        return {entry.path: entry for entry in every}


def unrecorded_files(machine: Any) -> set[str]:
    """Files in its folder that are not, as they are, what the index says, but for those still being written:
    nobody has been told of them."""
    noted = {path: (entry.inode, entry.ctime_ns) for path, entry in entries_of(machine).items()}
    stats = {path: inode.stat() for path, inode in machine.disk.volume.walk()}
    files = files_in(machine.disk.tree()).keys() - machine.disk.unfinished
    return {path for path in files if noted.get(path) != (stats[path].inode, stats[path].ctime_ns)}


def members_of(machine: Any) -> set[bytes]:
    """The devices that are members, as far as its log says."""
    with reading(machine) as connection:
        rows = connection.execute("SELECT device FROM members") if connection is not None else ()
        return {device for (device,) in rows}


@lru_cache(4096)
def manifest_of(data: bytes) -> Manifest:
    """How all members cut these bytes."""
    return Manifest.of((len(block), name) for name, block in _CHUNKER.blocks(BytesIO(data).readinto))


def root_of(data: bytes) -> bytes:
    """What records call these bytes."""
    return manifest_of(data).root


def content_of(data: bytes) -> Content:
    """What a record says of a file with these bytes, but for its time and mode."""
    manifest = manifest_of(data)
    return Content(Kind.FILE, len(data), manifest.root, len(manifest))


def original_of(path: str) -> str:
    """The path that a conflict copy of this name belongs to; empty for what is none."""
    match = _COPY.fullmatch(path)
    return match["stem"] + match["suffix"] if match else ""


def is_superseded(machine: Any, path: str, root: bytes) -> bool:
    """Whether the log has a record of ``path`` with that content, and it is no head any more."""
    with reading(machine) as connection:
        if connection is None:
            return False
        registers = Registers(connection)
        versions = (record for record in registers.versions(path) if record.content.root == root)
        return any(True for _ in versions) and all(
            head.content.root != root for head in registers.heads(path)
        )


def is_to_adopt(machine: Any, path: str) -> bool:
    """Whether the node will take what is there as it is: it joins later, or has not scanned it all yet."""
    drive = machine.drive
    return machine.home.drive is None or (drive is not None and drive.replica.is_adopting(path))


def is_head(machine: Any, path: str, root: bytes) -> bool:
    """Whether the log has that content as a head of ``path``."""
    with reading(machine) as connection:
        heads = Registers(connection).heads(path) if connection is not None else ()
        return any(head.content.root == root for head in heads)


def files_in(tree: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a ``disk.tree()`` and their bytes."""
    return {path: shown[1] for path, shown in tree.items() if shown[0] == "file"}


def homes_in(tree: Mapping[str, Any]) -> set[str]:
    """The homes of nodes in a ``disk.tree()``."""
    files = files_in(tree)
    keys = [path for path, data in files.items() if names_key(path, len(data))]
    found = {parent(path) for path in keys}
    return {home for home in found if any(join(home, other) in tree for other in OTHERS)}


class Hidden:
    """What is not synced in the folder of ``machine``, whose ``disk.tree()`` this is."""

    def __init__(self, machine: Any, tree: Mapping[str, Any]) -> None:
        known = machine.drive.replica.homes.known if machine.drive is not None else ()
        self._homes = homes_in(tree).union(known)
        self._rules = ignore_of(tree)

    def ignored(self, path: str, is_directory: bool) -> bool:
        """Whether the rules hide it, or it is a home of a node, or in one."""
        return any(within(path, home) for home in self._homes) or self._rules.ignored(path, is_directory)


def ignore_of(tree: Mapping[str, Any]) -> Ignore:
    """The rules in a folder, as far as they are text."""
    shown = tree.get(IGNORE_FILE)
    if shown is None or shown[0] != "file":
        return Ignore()
    try:
        return Ignore(shown[1].decode("utf-8-sig").splitlines())
    except UnicodeDecodeError:
        return Ignore()


def shown_for_good(
    before: Mapping[str, Any], after: Mapping[str, Any], others: Iterable[Mapping[str, Any]]
) -> set[bytes]:
    """What the trees of ``others`` show, but what may go when a folder that showed ``before`` is put back to
    ``after``: what others could not see was deleted for them, and may be once more; and what they have at
    another path may be an older version there.
    """
    elsewhere = [files_in(tree) for tree in others]
    shown = {data for files in elsewhere for data in files.values()}
    rules, files, there = ignore_of(before), files_in(before), files_in(after)
    stay = {
        data
        for path, data in files.items()
        if not rules.ignored(path, False) and any(each.get(path) == data for each in (there, *elsewhere))
    }
    return shown.difference(files.values()) | stay


def on_disk(machine: Any) -> set[bytes]:
    """All contents on the disk, those in the temporary area too."""
    return set(machine.disk.every_file())


def blocks_held(connection: sqlite3.Connection, content: Content) -> bool:
    """Whether the store knows a place for every block of a file's content."""
    manifest = Manifests(connection).get(content.root, content.blocks, content.size)
    if manifest is None:
        return False
    return all(
        connection.execute(_BLOCK_HELD, {"block": block}).fetchone() is not None for _, block in manifest
    )


def readable(machine: Any, contents: Iterable[Content]) -> set[bytes]:
    """The roots of those contents whose every byte can be read from this machine's store."""
    drive = machine.drive
    found: set[bytes] = set()
    for content in contents:
        if content.root in found:
            continue
        if drive is None:
            with reading(machine) as connection:
                whole = connection is not None and blocks_held(connection, content)
        else:
            whole = _reads(drive.replica, content)
        if whole:
            found.add(content.root)
    return found


def _reads(replica: Any, content: Content) -> bool:
    with replica.reading() as log:
        manifest = Manifests(log.connection).get(content.root, content.blocks, content.size)
    if manifest is None:
        return False
    try:
        pieces = replica.store.read_many([block for _, block in manifest])
    except P2PDriveError:
        return False
    return all(piece is not None for piece in pieces)
