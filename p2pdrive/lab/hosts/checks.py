"""How it must have ended: equal folders, nothing lost, nothing invented, no bug, no growth."""

import os
from collections.abc import Iterator
from pathlib import Path

import trio
from blake3 import blake3

from p2pdrive.blocks.store import Store
from p2pdrive.engine.status import DriveState
from p2pdrive.errors import BlockMissing, P2PDriveError
from p2pdrive.index.database import Database
from p2pdrive.index.entries import Entries
from p2pdrive.index.manifests import Manifests
from p2pdrive.lab.hosts.host import Host
from p2pdrive.lab.hosts.lab import Lab
from p2pdrive.lab.hosts.ledger import Version, content_of
from p2pdrive.model.paths import STATE_DIRECTORY

#: Bytes of memory that no node may need, whatever happens to it.
MEMORY_BYTES_MAX = 256 * 1024 * 1024
#: Looks in a row that must find all hosts equal and at rest, and seconds between them.
_STEADY_LOOKS = 3
_LOOK_SECONDS = 0.4
_TOLD_MAX = 10

#: Path → what all hosts must agree on: kind, content and exec bit and time, or target.
Tree = dict[str, tuple[object, ...]]
Known = dict[tuple[int, ...], bytes]


async def settled(lab: Lab) -> None:
    """Returns once all nodes are connected and at rest, and all folders equal. Raises HostFailed."""
    known: Known = {}
    steady = 0

    async def at_rest() -> bool:
        nonlocal steady
        rests = await _all_in_sync(lab) and await trio.to_thread.run_sync(_equal, lab.hosts, known)
        steady = steady + 1 if rests else 0
        await trio.sleep(_LOOK_SECONDS)
        return steady >= _STEADY_LOOKS

    try:
        await lab.until(at_rest, "all hosts are equal and at rest")
    except P2PDriveError:
        for line in differences(lab.hosts, known)[:_TOLD_MAX]:
            lab.say(line)
        raise


async def found_wrong(lab: Lab) -> list[str]:
    """What is wrong on the settled hosts, in words; their nodes are ended for it."""
    wrong = await _problems(lab)
    async with trio.open_nursery() as nursery:
        for host in lab.hosts:
            host.note_memory()
            nursery.start_soon(host.stop)
    first = tree(lab.hosts[0].folder, {})
    contents = {path: entry[1] for path, entry in first.items() if entry[0] == "file"}
    shown = {content for content in contents.values() if isinstance(content, bytes)}
    wrong += differences(lab.hosts, {})
    wrong += [f"{path} holds what nobody ever wrote" for path in _invented(lab, contents)]
    wrong += [f"Lost: {version}" for version in lost(lab, shown)]
    for host in lab.hosts:
        if host.memory > MEMORY_BYTES_MAX:
            wrong.append(f"{host.name} took {host.memory / 1e6:.0f} MB of memory")
        if "Traceback" in host.written() or "This is a bug" in host.written():
            wrong.append(f"The node of {host.name} met a bug; see {host.output}\n{host.tail()}")
    return wrong


def lost(lab: Lab, shown: set[bytes]) -> list[Version]:
    """Versions that are in no folder and no history, though nobody who saw them let them go."""
    unseen = lab.ledger.unaccounted(shown)
    kept = {content for host in lab.hosts for content in _kept_aside(host)} if unseen else set()
    missing = [version for version in unseen if version.content not in kept]
    for host in lab.hosts:
        if missing:
            missing = _not_in_history(host, missing)
    lab.say(
        f"{len(lab.ledger.versions)} versions were written, {len(shown)} are shown, "
        f"{len(unseen) - len(missing)} that nobody replaced are in history"
    )
    return sorted(missing, key=lambda version: version.seconds)


def tree(folder: Path, known: Known) -> Tree:
    """All that a drive's members must agree on; ``known`` remembers contents from look to look."""
    found: Tree = {}
    for directory, names, files in os.walk(folder):
        if Path(directory) == folder and STATE_DIRECTORY in names:
            names.remove(STATE_DIRECTORY)
        for name in [*names, *files]:
            path = Path(directory, name)
            found[str(path.relative_to(folder))] = _entry(path, known)
    return found


def differences(hosts: list[Host], known: Known) -> list[str]:
    """At which paths the hosts' folders differ from the first one's, in words."""
    first, *others = hosts
    one = tree(first.folder, known)
    found = []
    for host in others:
        other = tree(host.folder, known)
        found += [
            f"{path}: on {first.name} {_brief(one.get(path))}, on {host.name} {_brief(other.get(path))}"
            for path in sorted(one.keys() | other.keys())
            if one.get(path) != other.get(path)
        ]
    return found


def _equal(hosts: list[Host], known: Known) -> bool:
    return not differences(hosts, known)


async def _all_in_sync(lab: Lab) -> bool:
    for host in lab.hosts:
        host.check()
        drive = await host.drive()
        if drive is None or drive.state != DriveState.IN_SYNC:
            return False
        if not all(peer.in_sync for peer in drive.peers if peer.connected):
            return False
    return True


async def _problems(lab: Lab) -> list[str]:
    found = []
    for host in lab.hosts:
        drive = await host.drive()
        problems = () if drive is None else drive.problems
        found += [f"{host.name} has a problem left: {each.path}: {each.what}" for each in problems]
    return found


def _invented(lab: Lab, contents: dict[str, object]) -> list[str]:
    return lab.ledger.invented(
        {path: content for path, content in contents.items() if isinstance(content, bytes)}
    )


def _entry(path: Path, known: Known) -> tuple[object, ...]:
    try:
        if path.is_symlink():
            return ("symlink", os.readlink(path))
        if path.is_dir():
            return ("directory",)
        stat = path.stat()
        version = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if version not in known:
            known[version] = content_of(path)
        return ("file", known[version], bool(stat.st_mode & 0o100), stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        return ("gone while looked at",)


def _brief(entry: tuple[object, ...] | None) -> str:
    if entry is None:
        return "nothing"
    return " ".join(part.hex()[:8] if isinstance(part, bytes) else str(part) for part in entry)


def _kept_aside(host: Host) -> Iterator[bytes]:
    """Contents of files that a node took out of the folder and has not put away."""
    area = host.folder / STATE_DIRECTORY / "tmp"
    for path in area.iterdir() if area.is_dir() else ():
        if path.is_file():
            yield content_of(path)


def _not_in_history(host: Host, versions: list[Version]) -> list[Version]:
    """Those versions that cannot be read from what the host keeps."""
    state = host.folder / STATE_DIRECTORY
    if not (state / "index.db").exists():
        return versions
    database = Database(str(state / "index.db"))

    def read_range(entry: int, offset: int, view: memoryview) -> int:
        if entry < 0:
            path = state / "archive" / f"{-entry:x}"
        else:
            with database.read() as connection:
                found = Entries(connection).by_id(entry)
            if found is None:
                raise BlockMissing("the file is gone")
            path = host.folder / found.path
        with open(path, "rb") as file:
            return os.preadv(file.fileno(), [view], offset)

    try:
        store = Store(database, state / "packs", read_range)
        try:
            return [version for version in versions if not _readable(database, store, version)]
        finally:
            store.close()
    finally:
        database.close()


def _readable(database: Database, store: Store, version: Version) -> bool:
    with database.read() as connection:
        manifest = Manifests(connection).get(version.manifest.root, len(version.manifest), version.size)
    if manifest is None:
        return False
    hashed = blake3()
    for _, block in manifest:
        try:
            hashed.update(store.read(block))
        except (P2PDriveError, OSError):
            return False
    return hashed.digest() == version.content
