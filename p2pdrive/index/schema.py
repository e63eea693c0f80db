"""The tables of ``index.db``, as numbered migrations on ``PRAGMA user_version``.

``key`` columns hold sort keys of paths (``model.paths.key``), so that a range of keys is a subtree.
``actor`` columns hold the small number of an actor in ``actors``. docs/disk-format.md describes each.
"""

FIRST = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
    # --- history: who wrote what
    """CREATE TABLE actors (
        number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, device BLOB NOT NULL, nonce BLOB NOT NULL,
        seq INTEGER NOT NULL DEFAULT 0, hash BLOB NOT NULL, own INTEGER NOT NULL DEFAULT 0,
        frozen INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE batches (
        position INTEGER PRIMARY KEY AUTOINCREMENT, actor INTEGER NOT NULL, first INTEGER NOT NULL,
        count INTEGER NOT NULL, hash BLOB NOT NULL, header BLOB NOT NULL, signature BLOB NOT NULL,
        UNIQUE (actor, first))""",
    """CREATE TABLE records (
        actor INTEGER NOT NULL, seq INTEGER NOT NULL, key BLOB, head INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (actor, seq)) WITHOUT ROWID""",
    # head: 0 superseded, 1 a head that deletes, 2 a live head; key is NULL for membership
    "CREATE INDEX records_key ON records (key, head) WHERE key IS NOT NULL",
    """CREATE TABLE members (
        device BLOB PRIMARY KEY, role INTEGER NOT NULL, name TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE invitations (
        public BLOB PRIMARY KEY, id BLOB NOT NULL UNIQUE, psk BLOB NOT NULL, role INTEGER NOT NULL,
        uses INTEGER NOT NULL, expires INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
    # --- folder: what was last materialised, and what the heads say but the folder does not show yet
    """CREATE TABLE entries (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
        executable INTEGER NOT NULL, root BLOB NOT NULL, blocks INTEGER NOT NULL, target TEXT NOT NULL,
        vector BLOB NOT NULL, view_actor BLOB, view_seq INTEGER, of_key BLOB, checked_ns INTEGER NOT NULL)""",
    "CREATE INDEX entries_inode ON entries (inode)",
    "CREATE INDEX entries_view ON entries (of_key) WHERE of_key IS NOT NULL",
    # serial: new whenever the path is marked again, so that only what was planned for is taken off
    """CREATE TABLE unshown (
        serial INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, bytes INTEGER NOT NULL)""",
    "CREATE TABLE totals (kind INTEGER PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    """CREATE TRIGGER entries_added AFTER INSERT ON entries BEGIN
        INSERT INTO totals VALUES (new.kind, 1, new.size)
        ON CONFLICT DO UPDATE SET count = count + 1, bytes = bytes + new.size; END""",
    """CREATE TRIGGER entries_removed AFTER DELETE ON entries BEGIN
        UPDATE totals SET count = count - 1, bytes = bytes - old.size WHERE kind = old.kind; END""",
    """CREATE TRIGGER entries_changed AFTER UPDATE OF kind, size ON entries BEGIN
        UPDATE totals SET count = count - 1, bytes = bytes - old.size WHERE kind = old.kind;
        INSERT INTO totals VALUES (new.kind, 1, new.size)
        ON CONFLICT DO UPDATE SET count = count + 1, bytes = bytes + new.size; END""",
    # --- blocks: where they can be read from
    """CREATE TABLE packed (
        block BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL, stored INTEGER NOT NULL,
        length INTEGER NOT NULL, form INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX packed_place ON packed (pack, offset)",
    """CREATE TABLE borrowed (
        block BLOB NOT NULL, entry INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
        PRIMARY KEY (block, entry, offset)) WITHOUT ROWID""",
    "CREATE INDEX borrowed_entry ON borrowed (entry)",
    "CREATE TABLE manifests (root BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID",
)

#: Files that were about to get their names when the node was stopped.
SECOND = ("CREATE TABLE arriving (key BLOB PRIMARY KEY, inode INTEGER NOT NULL) WITHOUT ROWID",)

#: With them their contents and what these stand for; and other things than files.
THIRD = (
    "DROP TABLE arriving",
    """CREATE TABLE arriving (
        key BLOB PRIMARY KEY, kind INTEGER NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
        blocks INTEGER NOT NULL, executable INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
        target TEXT NOT NULL, vector BLOB NOT NULL, inode INTEGER NOT NULL,
        finished INTEGER NOT NULL) WITHOUT ROWID""",
)

#: Replaced and deleted files that history keeps as they are.
FOURTH = (
    """CREATE TABLE archived (
        number INTEGER PRIMARY KEY, root BLOB NOT NULL, size INTEGER NOT NULL, since_ns INTEGER NOT NULL)""",
)

#: What is for nobody but its owner.
FIFTH = (
    "ALTER TABLE entries ADD COLUMN private INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE arriving ADD COLUMN private INTEGER NOT NULL DEFAULT 0",
)

#: What a folder with another past brought along, and others had deleted; what its entries stood for.
SIXTH = (
    "CREATE TABLE brought (key BLOB PRIMARY KEY, kind INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE former (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID",
)

#: In which order what is unshown is shown: by lane, then by serial, which such an index ends in.
SEVENTH = (
    "ALTER TABLE unshown ADD COLUMN lane INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX unshown_lane ON unshown (lane)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH)
