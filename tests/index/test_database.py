"""The index file: transactions, migrations, and what is said when it cannot be used."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from p2pdrive.errors import FormatTooNew, IndexCorrupt, NotWritable, Unreadable
from p2pdrive.index.database import Database
from p2pdrive.index.schema import MIGRATIONS


class Stopped(Exception):
    """Why a transaction of these tests is not committed."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(str(tmp_path / "index.db"))
    yield database
    database.close()


def put(connection: sqlite3.Connection, name: str, value: bytes = b"") -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return [name for (name,) in connection.execute("SELECT name FROM meta ORDER BY name")]


def test_committed_rows_are_there_after_reopening(tmp_path: Path) -> None:
    path = str(tmp_path / "index.db")
    first = Database(path)
    with first.transaction() as connection:
        put(connection, "kept")
    first.close()
    second = Database(path)
    assert names(second) == ["kept"]
    second.close()


def test_reader_sees_nothing_of_an_open_transaction(database: Database) -> None:
    with database.transaction() as connection:
        put(connection, "new")
        assert names(database) == []
    assert names(database) == ["new"]


def test_exception_undoes_the_whole_transaction(database: Database) -> None:
    with suppress(Stopped), database.transaction() as connection:
        put(connection, "outer")
        with database.transaction() as inner:
            put(inner, "inner")
        raise Stopped
    assert names(database) == []


def test_failed_inner_transaction_leaves_the_outer_one_whole(database: Database) -> None:
    with database.transaction() as connection:
        put(connection, "outer")
        with suppress(Stopped), database.transaction() as inner:
            put(inner, "inner")
            with database.transaction() as innermost:
                put(innermost, "innermost")
            raise Stopped
        with database.transaction() as later:
            put(later, "later")
    assert names(database) == ["later", "outer"]


def test_transaction_after_a_failed_one_works(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError), database.transaction() as connection:
        connection.execute("SELECT * FROM no_such_table")
    with database.transaction() as connection:
        put(connection, "after")
    assert names(database) == ["after"]


def test_threads_write_one_after_another(database: Database) -> None:
    def count_up() -> None:
        for _ in range(50):
            with database.transaction() as connection:
                row = connection.execute("SELECT value FROM meta WHERE name = 'count'").fetchone()
                put(connection, "count", (int.from_bytes(row[0], "big") + 1).to_bytes(2, "big"))

    with database.transaction() as connection:
        put(connection, "count", bytes(2))
    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        (value,) = connection.execute("SELECT value FROM meta WHERE name = 'count'").fetchone()
    assert int.from_bytes(value, "big") == 200


def test_reader_cannot_write(database: Database) -> None:
    with pytest.raises((NotWritable, sqlite3.OperationalError)), database.read() as connection:
        put(connection, "sneaked")
    assert names(database) == []


def test_every_commit_is_durable(database: Database) -> None:
    with database.transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_new_file_has_the_newest_format(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_file_of_an_older_version_becomes_what_a_new_one_is_and_keeps_what_is_in_it(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("p2pdrive.index.database.MIGRATIONS", MIGRATIONS[:version])
        old = Database(str(tmp_path / "index.db"))
        with old.transaction() as connection:
            put(connection, "kept")
        old.close()
    schemas: list[list[tuple[str, str]]] = []
    for name in ("index.db", "new.db"):
        opened = Database(str(tmp_path / name))
        with opened.read() as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
            schemas.append(
                sorted(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOTNULL"))
            )
        assert names(opened) == (["kept"] if name == "index.db" else [])
        opened.close()
    assert schemas[0] == schemas[1]


def test_file_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    Database(str(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(FormatTooNew, match="Update p2pdrive"):
        Database(str(path))
    assert path.read_bytes() == before


def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(IndexCorrupt, match=r"index\.db is damaged"):
        Database(str(path))


def test_damaged_page_is_reported_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    database = Database(str(path))
    with database.transaction() as connection:
        for number in range(2000):
            put(connection, f"name {number}", bytes(100))
    database.close()
    content = bytearray(path.read_bytes())
    content[-len(content) // 3 :] = b"\xff" * (len(content) // 3)
    path.write_bytes(content)
    damaged = Database(str(path))
    with pytest.raises(IndexCorrupt, match="join the drive again"):
        names(damaged)
    damaged.close()


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NotWritable, match="cannot be opened"):
        Database(str(tmp_path / "gone" / "index.db"))


def test_totals_follow_the_entries(database: Database) -> None:
    columns = "0, 0, 0, 0, x'', 0, '', x'', NULL, NULL, NULL, 0, 0"

    def totals() -> dict[int, tuple[int, int]]:
        with database.read() as connection:
            rows = connection.execute("SELECT kind, count, bytes FROM totals").fetchall()
        return {kind: (count, size) for kind, count, size in rows}

    with database.transaction() as connection:
        connection.execute(f"INSERT INTO entries VALUES (1, x'61', 1, 10, {columns})")
        connection.execute(f"INSERT INTO entries VALUES (2, x'62', 1, 5, {columns})")
    assert totals() == {1: (2, 15)}
    with database.transaction() as connection:
        connection.execute("UPDATE entries SET kind = 2, size = 0 WHERE id = 1")
    assert totals() == {1: (1, 5), 2: (1, 0)}
    with database.transaction() as connection:
        connection.execute("DELETE FROM entries")
    assert totals() == {1: (0, 0), 2: (0, 0)}


def test_a_closed_database_says_so(tmp_path: Path) -> None:
    """A message from a peer may be handled while the drive is being closed."""
    database = Database(str(tmp_path / "index.db"))
    database.close()
    with pytest.raises(Unreadable, match="closed"), database.transaction():
        pass
    with pytest.raises(Unreadable, match="closed"), database.read():
        pass
