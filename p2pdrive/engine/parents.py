"""The directories above what is published or to be shown: whose they are, before anything is in them."""

from collections.abc import Iterable

from p2pdrive.engine.observe import Observed
from p2pdrive.folder.files import FileKind, Files
from p2pdrive.history.log import Log
from p2pdrive.index.entries import Entry
from p2pdrive.model import paths
from p2pdrive.model.heads import rank
from p2pdrive.model.record import DIRECTORY, Content, Kind
from p2pdrive.model.vector import Vector
from p2pdrive.planning.conflicts import IMPLIED, is_implied, judge


def as_parent(log: Log, directory: str) -> tuple[Content, Vector]:
    """What a directory is that is made for what is in it, and what it stands for.

    Where no head says whose it is, it is what it was when it last was a directory; and as long as nobody has
    said so, not for others.
    """
    heads = log.registers.heads(directory)
    verdict = judge(heads, True)
    content = verdict.content
    if is_implied(heads):
        versions = [each for each in log.registers.versions(directory) if each.content.kind is Kind.DIRECTORY]
        content = max(versions, key=rank).content if versions else IMPLIED
    return content, verdict.seen


def to_close(log: Log, directories: Iterable[str]) -> dict[str, Entry]:
    """Those that others made private, and that are not shown as that yet; with their entries."""
    heads = log.registers.heads_of(directories)
    private = [
        path for path, found in heads.items() if judge(found, True).content.private and not is_implied(found)
    ]
    entries = log.entries.get_many(private)
    return {path: entry for path, entry in entries.items() if entry.content == DIRECTORY}


def just_closed(files: Files, log: Log, found: dict[str, Observed]) -> dict[str, Observed]:
    """Directories that a person has closed to others since the log, or ``found``, saw them open.

    What was read in them since is published after that. Raises RootMissing.
    """
    read = (seen.path for seen in found.values() if seen.manifest is not None or seen.moved is not None)
    stats = files.stats({directory for path in read for directory in paths.ancestors(path)})
    private = [
        path for path, stat in stats.items() if stat and stat.kind is FileKind.DIRECTORY and stat.private
    ]
    known = {path: entry.content for path, entry in log.entries.get_many(private).items()}
    known |= {path: found[path].content for path in private if path in found}
    closed = Content(Kind.DIRECTORY, private=True)
    return {path: Observed(path, closed, stats[path]) for path in private if known.get(path) == DIRECTORY}
