"""Folders that were deleted elsewhere and hold nothing but what built-in rules hide: all of that goes."""

from p2pdrive.engine.replica import Replica
from p2pdrive.errors import WorldError
from p2pdrive.folder.files import FileKind, Stat
from p2pdrive.model import paths


def litter_in(replica: Replica, directory: str) -> list[tuple[str, Stat]]:
    """What is in ``directory``, if all of it is litter. Raises WorldError with what else there is."""
    found = [(paths.join(directory, each.name or ""), each.stat) for each in replica.files.list(directory)]
    litter = [(path, stat) for path, stat in found if stat is not None and _is_litter(replica, path, stat)]
    if len(litter) < len(found):
        stay = sorted({path for path, _ in found}.difference(path for path, _ in litter))
        named = ", ".join(map(paths.name, stay[:3])) + (" ..." if len(stay) > 3 else "")
        raise WorldError(
            f"{directory} was deleted or replaced elsewhere, but holds files that are not synced here "
            f"({named}): it stays until you move them away, or delete the folder."
        )
    return litter


def _is_litter(replica: Replica, path: str, stat: Stat) -> bool:
    return stat.kind in (FileKind.FILE, FileKind.SYMLINK) and replica.ignore.is_litter(path)
