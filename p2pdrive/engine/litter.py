"""Folders that were deleted elsewhere and hold nothing but what built-in rules hide: all of that goes."""

from collections.abc import Iterator

from p2pdrive.engine.replica import Replica
from p2pdrive.errors import WorldError
from p2pdrive.folder.files import FileKind, Stat
from p2pdrive.model import paths


def take_litter(replica: Replica, directory: str) -> Iterator[tuple[str, str | None]]:
    """Take out what is in ``directory``, if all of it is litter: each path, and as what it is displaced (None
    for a directory, which was empty). Raises WorldError with what else there is."""
    for path, stat in _litter_in(replica, directory):
        if stat.kind is not FileKind.DIRECTORY:
            yield path, replica.files.remove(path, stat)
        elif replica.files.remove_directory(path):
            yield path, None


def _litter_in(replica: Replica, directory: str) -> list[tuple[str, Stat]]:
    """What is in ``directory``, if all of it is litter; the inside of a directory before itself. Raises
    WorldError with what else there is."""
    litter: list[tuple[str, Stat]] = []
    stay: list[str] = []
    for path, stat in _listed(replica, directory):
        going = _going(replica, path, stat) if stat is not None else None
        stay += [path] if going is None else []
        litter += going or []
    if stay:
        named = ", ".join(map(paths.name, stay[:3])) + (" ..." if len(stay) > 3 else "")
        raise WorldError(
            f"{directory} was deleted or replaced elsewhere, but holds files that are not synced here "
            f"({named}): it stays until you move them away, or delete the folder."
        )
    return litter


def _listed(replica: Replica, directory: str) -> list[tuple[str, Stat | None]]:
    return [(paths.join(directory, each.name or ""), each.stat) for each in replica.files.list(directory)]


def _going(replica: Replica, path: str, stat: Stat) -> list[tuple[str, Stat]] | None:
    """What goes along at ``path``; None where it stays."""
    if stat.kind in (FileKind.FILE, FileKind.SYMLINK):
        return [(path, stat)] if replica.ignore.is_litter(path) else None
    if stat.kind is not FileKind.DIRECTORY or not replica.ignore.is_litter(path, is_directory=True):
        return None
    inside = [(each, found) for each, found in _listed(replica, path) if found is not None]
    if all(found.kind is FileKind.FILE and replica.ignore.is_litter(each) for each, found in inside):
        return [*inside, (path, stat)]
    return None
