"""What is still to be shown: nobody else may have the bytes of it that only history has here."""

from collections.abc import Iterator
from sqlite3 import Connection

from p2pdrive.history.registers import Registers
from p2pdrive.index.entries import Entries
from p2pdrive.index.manifests import Manifests
from p2pdrive.limits import PLAN_PATHS_MAX
from p2pdrive.model.record import Kind


def blocks_to_come(connection: Connection) -> set[bytes]:
    """The blocks of the versions that are still to be shown."""
    manifests = Manifests(connection)
    blocks: set[bytes] = set()
    for content in _contents_to_come(connection):
        manifest = manifests.get(*content)
        if manifest is not None:
            blocks.update(block for _, block in manifest)
    return blocks


def _contents_to_come(connection: Connection) -> Iterator[tuple[bytes, int, int]]:
    """Root, number of blocks, and size."""
    entries, registers = Entries(connection), Registers(connection)
    after = ""
    while page := entries.unshown(after, PLAN_PATHS_MAX):
        after = page[-1][0]
        for heads in registers.heads_of([path for path, _ in page]).values():
            for content in (head.content for head in heads):
                if content.kind is Kind.FILE:
                    yield content.root, content.blocks, content.size
