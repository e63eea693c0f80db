"""The manifests that are held, by the root of their content."""

import sqlite3

from p2pdrive.model.manifest import Manifest


class Manifests:
    """The table ``manifests`` on one connection. Contents of at most one block need no row."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, root: bytes, blocks: int, size: int) -> Manifest | None:
        """The manifest of a content of ``blocks`` blocks and ``size`` bytes, if it is held.

        Of several blocks it is what hashes to ``root``, even where the record it is looked up for says
        another size: what is displaced can be kept for history, and what is shown given to others, all the
        same. Before it is shown the two are compared (``engine/gather.py``).
        """
        if blocks == 0:
            return Manifest(b"")
        if blocks == 1:
            return Manifest.single(size, root)
        return self.find(root)

    def find(self, root: bytes) -> Manifest | None:
        """The manifest of several blocks with this root, if it is held."""
        row = self._db.execute("SELECT data FROM manifests WHERE root = ?", (root,)).fetchone()
        return Manifest(row[0]) if row else None

    def length(self, root: bytes) -> int | None:
        """Bytes of the packed manifest of several blocks with this root, if it is held; it is not read."""
        row = self._db.execute("SELECT length(data) FROM manifests WHERE root = ?", (root,)).fetchone()
        return int(row[0]) if row else None

    def part(self, root: bytes, offset: int, length: int) -> bytes:
        """At most ``length`` bytes of the packed manifest from ``offset``; none where it is not held."""
        sql = "SELECT substr(data, ?, ?) FROM manifests WHERE root = ?"
        row = self._db.execute(sql, (offset + 1, length, root)).fetchone()
        return bytes(row[0]) if row else b""

    def put(self, manifest: Manifest) -> None:
        """Hold a manifest."""
        if len(manifest) > 1:
            row = (manifest.root, manifest.packed)
            self._db.execute("INSERT OR IGNORE INTO manifests VALUES (?, ?)", row)
