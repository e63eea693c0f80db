"""Why what was seen in the folder may not outlast a power cut, and so is not recorded yet."""

from collections.abc import Mapping

from p2pdrive.engine.observe import Observed
from p2pdrive.errors import Changed, Unreadable, WorldError
from p2pdrive.folder.files import Files
from p2pdrive.model import paths


def not_durable(
    files: Files, seen: Observed, contents: Mapping[str, WorldError], names: Mapping[str, WorldError]
) -> WorldError | None:
    """Why what was seen may not be durable; ``names`` are directories whose names may not be."""
    why = contents.get(seen.path)
    unread = seen.moved is not None and seen.manifest is None
    if isinstance(why, Changed | Unreadable) and unread and _is_there(files, seen):
        why = None
    there = names.get(paths.parent(seen.path))
    left = names.get(paths.parent(seen.moved.path)) if seen.moved is not None else None
    if not seen.content.live:
        there, left = None, there
    if isinstance(left, Changed):  # what is not there any more went with its directory, durably
        left = None
    return why or there or left


def above(path: str, held: Mapping[str, WorldError]) -> WorldError | None:
    """What keeps a directory above ``path`` from being published, and so what is in it."""
    found = (held[directory] for directory in paths.ancestors(path) if directory in held)
    return next((why for why in found if not isinstance(why, Changed)), None)


def _is_there(files: Files, seen: Observed) -> bool:
    """Whether it only cannot be opened, which a file that was renamed need not."""
    stat = files.stats([seen.path]).get(seen.path)
    return stat is not None and seen.stat is not None and stat.inode == seen.stat.inode
