"""Folders that were deleted elsewhere and hold nothing but what built-in rules hide: all of that goes."""

from p2pdrive.engine.replica import Replica
from p2pdrive.errors import Changed, WorldError
from p2pdrive.folder.files import FileKind, Stat
from p2pdrive.model import paths


def clear_litter(replica: Replica, directory: str) -> list[str]:
    """Remove ``directory`` with the litter in it, if there is nothing else; the names under which that is
    displaced now. Raises WorldError with what else there is, Changed, NotWritable.
    """
    found = [(paths.join(directory, each.name or ""), each.stat) for each in replica.files.list(directory)]
    litter = [(path, stat) for path, stat in found if stat is not None and _is_litter(replica, path, stat)]
    if len(litter) < len(found):
        stay = sorted({path for path, _ in found}.difference(path for path, _ in litter))
        named = ", ".join(map(paths.name, stay[:3])) + (" ..." if len(stay) > 3 else "")
        raise WorldError(
            f"{directory} was deleted or replaced elsewhere, but holds files that are not synced here "
            f"({named}): it stays until you move them away, or delete the folder."
        )
    displaced = [replica.files.remove(path, stat) for path, stat in litter]
    if not replica.files.remove_directory(directory):
        raise Changed(f"{directory} is not empty yet.")
    return displaced


def _is_litter(replica: Replica, path: str, stat: Stat) -> bool:
    return stat.kind in (FileKind.FILE, FileKind.SYMLINK) and replica.ignore.is_litter(path)
