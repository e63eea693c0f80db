"""SQLite databases, written by SQLite itself: each machine has a sound one, whatever happens meanwhile."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.folder.syscalls import SystemCalls
from p2pdrive.limits import EMPTIED_PATIENCE_SECONDS, OPEN_PATIENCE_SECONDS, OPEN_QUIET_SECONDS
from tests.engine.world import Machine, World

pytestmark = pytest.mark.skipif(
    not SystemCalls.detect().leases, reason="this platform cannot tell who has a file open"
)

MODES = ["wal", "delete", "persist", "truncate"]


def opened(machine: Machine, mode: str, path: str = "app.db") -> sqlite3.Connection:
    (machine.root / path).parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(machine.root / path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("CREATE TABLE IF NOT EXISTS rows (text)")
    return connection


def insert(connection: sqlite3.Connection, count: int, text: str) -> None:
    for number in range(count):
        connection.execute("INSERT INTO rows VALUES (?)", (f"{text} {number} " + "x" * 500,))


def rows(place: Path) -> int:
    """How many are in it; it must be sound, and is left as it is."""
    copy = place.with_name(f"{place.name}.copy")
    copy.write_bytes(place.read_bytes())
    connection = sqlite3.connect(f"file:{copy}?immutable=1", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (count,) = connection.execute("SELECT count(*) FROM rows").fetchone()
        return int(count)
    finally:
        connection.close()
        copy.unlink()


def in_sync(*machines: Machine) -> bool:
    """But for what a database has beside it, which stays on its machine."""
    beside = ("-journal", "-wal", "-shm")
    first, *rest = [
        {path: shown for path, shown in machine.tree().items() if not path.endswith(beside)}
        for machine in machines
    ]
    waiting = [machine.drive.waiting.patience.all() for machine in machines]
    unshown = [machine.query("SELECT key FROM unshown") for machine in machines]
    return all(other == first for other in rest) and not any(waiting) and not any(unshown)


def killed_while_writing(machine: Machine, mode: str, count: int) -> None:
    """A program commits some rows, and is killed in the midst of a transaction."""
    script = f"""
import os, sqlite3, sys
c = sqlite3.connect({os.fspath(machine.root / "app.db")!r}, isolation_level=None)
c.execute("PRAGMA journal_mode={mode}")
c.execute("PRAGMA cache_size=1")
c.execute("CREATE TABLE IF NOT EXISTS rows (text)")
for number in range({count}):
    c.execute("INSERT INTO rows VALUES (?)", (str(number) * 500,))
c.execute("BEGIN")
for number in range(500):
    c.execute("INSERT INTO rows VALUES (?)", ("never committed" * 100,))
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9


async def watched(machine: Machine, seconds: float) -> None:
    """What a watcher would say for so long, if all of it changed all the time."""
    until = trio.current_time() + seconds
    while trio.current_time() < until:
        machine.look("app.db", "app.db-wal", "app.db-journal", "app.db-shm")
        await trio.sleep(0.5)


@pytest.mark.parametrize("mode", MODES)
async def test_database_comes_over_when_its_program_closes_it(
    world: World, autojump_clock: MockClock, mode: str
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"other": "x"})
    await trio.sleep(5)
    connection = opened(anna, mode)
    for number in range(10):
        insert(connection, 20, f"round {number}")
        await watched(anna, 1)
    if mode == "wal":
        await watched(anna, 3 * OPEN_PATIENCE_SECONDS)
        assert set(berta.files()) == {"other"}, "half of it is elsewhere"
        (busy,) = anna.drive.waiting.patience.busy(trio.current_time())
        assert (busy.path, "app.db-wal" in busy.what) == ("app.db", True)
    connection.close()
    anna.look()
    await world.until((berta.root / "app.db").exists, "the database")
    await world.quiet()
    assert rows(berta.root / "app.db") == rows(anna.root / "app.db") == 200
    assert sorted(path.name for path in berta.root.glob("app.db*")) == ["app.db"]


async def test_database_that_is_never_closed_comes_over_when_it_pauses(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"other": "x"})
    connection = opened(anna, "delete")
    insert(connection, 20, "first")
    await watched(anna, 10 * OPEN_PATIENCE_SECONDS)
    assert rows(berta.root / "app.db") == 20
    connection.execute("PRAGMA journal_mode=memory")
    connection.execute("BEGIN")
    insert(connection, 20, "not committed")
    await watched(anna, 10 * OPEN_PATIENCE_SECONDS)
    assert rows(berta.root / "app.db") == 20
    connection.close()


async def test_new_database_that_rests_comes_over_while_its_program_keeps_it_open(
    world: World, autojump_clock: MockClock
) -> None:
    """Its journal was there before the database began as one, and waited like any file; it never went."""
    anna, berta = await world.sharing("anna", "berta", files={"other": "x"})
    connection = sqlite3.connect(anna.root / "app.db", isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE rows (text)")
    await watched(anna, 5)
    patience = anna.drive.waiting.patience
    assert patience.all() == {"app.db", "app.db-journal"}
    insert(connection, 20, "first")
    connection.execute("COMMIT")
    await watched(anna, 1)
    assert patience.all() == {"app.db"}
    for _ in range(5):
        insert(connection, 1, "more")
        await watched(anna, 1)
    await watched(anna, OPEN_PATIENCE_SECONDS + OPEN_QUIET_SECONDS)
    assert rows(berta.root / "app.db") == 25
    connection.close()


async def test_database_that_is_being_copied_waits_for_its_end(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """It looks at rest: nobody locks it, and it has no journal."""
    anna, berta = await world.sharing("anna", "berta", files={"other": "x"})
    connection = sqlite3.connect(tmp_path / "elsewhere.db", isolation_level=None)
    connection.execute("CREATE TABLE rows (text)")
    insert(connection, 100, "row")
    connection.close()
    whole = (tmp_path / "elsewhere.db").read_bytes()
    with (anna.root / "app.db").open("wb", buffering=0) as copy:
        copy.write(whole[: len(whole) // 2])
        await watched(anna, EMPTIED_PATIENCE_SECONDS - 20)
        assert set(berta.files()) == {"other"}
        copy.write(whole[len(whole) // 2 :])
    anna.look()
    await world.until((berta.root / "app.db").exists, "the database")
    assert rows(berta.root / "app.db") == 100


@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_database_whose_program_was_killed_waits_until_it_was_opened_once_more(
    world: World, autojump_clock: MockClock, mode: str
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"other": "x"})
    opened(anna, mode).close()
    anna.look()
    await world.converge()
    await trio.sleep(5)
    killed_while_writing(anna, mode, 50)
    assert (anna.root / f"app.db-{'wal' if mode == 'wal' else 'journal'}").stat().st_size
    anna.look()
    await trio.sleep(1000)
    anna.look()
    await trio.sleep(30)
    assert rows(berta.root / "app.db") == 0, "as it was before"
    (busy,) = anna.drive.waiting.patience.busy(trio.current_time())
    assert "open the database there once more" in busy.what
    opened(anna, mode).close()
    anna.look()
    await world.converge()
    assert rows(berta.root / "app.db") == 50
    assert anna.drive.waiting.patience.all() == set()


@pytest.mark.parametrize("mode", MODES)
async def test_database_in_which_rows_are_committed_while_a_conflict_arrives_keeps_them_all(
    world: World, autojump_clock: MockClock, mode: str
) -> None:
    """The loser was moved aside under the program, and no row could be read from either version."""
    anna, berta = await world.sharing("anna", "berta")
    first = opened(anna, mode)
    insert(first, 10, "first")
    first.close()
    anna.look()
    await world.until(lambda: in_sync(anna, berta), "the first version")
    await world.quiet()
    world.part()
    program = opened(berta, mode)
    insert(program, 10, "by berta")
    await watched(berta, 5)
    other = opened(anna, mode)
    insert(other, 100, "by anna")
    other.close()
    anna.look()
    await world.quiet()
    world.join_up()
    number = (berta.root / "app.db").stat().st_ino
    for round_ in range(20):
        insert(program, 10, f"by berta, {round_}")
        await watched(berta, 3)
    assert (berta.root / "app.db").stat().st_ino == number
    assert berta.copies() == []
    program.close()
    berta.look()
    await world.until(lambda: anna.copies() and in_sync(anna, berta), "both versions")
    (copy,) = anna.copies()
    for machine in (anna, berta):
        assert sorted(rows(machine.root / path) for path in ("app.db", copy)) == [110, 220]
    assert anna.problems == berta.problems == {}


@pytest.mark.parametrize("change", ["edited", "renamed", "deleted"])
async def test_database_that_was_not_closed_here_is_changed_by_nobody(
    world: World, autojump_clock: MockClock, change: str
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    opened(anna, "wal").close()
    anna.look()
    await world.converge()
    await trio.sleep(5)
    killed_while_writing(berta, "wal", 30)
    if change == "edited":
        connection = opened(anna, "wal")
        insert(connection, 7, "by anna")
        connection.close()
    elif change == "renamed":
        anna.rename("app.db", "new.db")
    else:
        anna.delete("app.db")
    anna.look()
    await trio.sleep(60)
    assert "app.db-wal" in " ".join(berta.problems.values()) + " ".join(
        busy.what for busy in berta.drive.waiting.patience.busy(trio.current_time())
    )
    again = sqlite3.connect(berta.root / "app.db")
    assert again.execute("SELECT count(*) FROM rows").fetchone() == (30,)
    again.close()
    berta.look()
    await world.converge()
    counts = sorted(rows(path) for path in anna.root.glob("*.db"))
    assert 30 in counts
    assert berta.problems == {}


async def test_what_a_database_leaves_beside_it_goes_with_it(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta")
    connection = opened(anna, "persist", "d/app.db")
    insert(connection, 3, "row")
    connection.close()
    anna.look()
    await world.until((berta.root / "d/app.db").exists, "the database")
    await world.quiet()
    assert (anna.root / "d/app.db-journal").stat().st_size
    assert [path.name for path in (berta.root / "d").iterdir()] == ["app.db"]
    shutil.rmtree(berta.root / "d")
    berta.look()
    await world.until(lambda: anna.tree() == {}, "that all of it goes")
    await world.converge()


@pytest.mark.parametrize("text", ["a file of that name, and no database", ""])
async def test_file_that_is_only_called_like_what_a_database_has_beside_it_is_any_file(
    world: World, autojump_clock: MockClock, text: str
) -> None:
    files = {"notes": text, "notes-journal": "a journal", "-wal": "odd", "alone-wal": "alone"}
    _, berta = await world.sharing("anna", "berta", files=files)
    assert berta.files() == files


async def test_file_that_is_called_like_a_companion_stays_when_its_neighbour_goes(
    world: World, autojump_clock: MockClock
) -> None:
    files = {"photo": "x", "photo-shm": "precious", "sketch": "y", "sketch-journal": "\0\0precious"}
    anna, berta = await world.sharing("anna", "berta", files=files)
    anna.delete("photo")
    anna.rename("sketch", "drawing")
    anna.look()
    await world.until(lambda: "drawing" in berta.files() and "photo" not in berta.files(), "both changes")
    for machine in (anna, berta):
        machine.look()
    await world.converge()
    assert berta.files() == {"drawing": "y", "photo-shm": "precious", "sketch-journal": "\0\0precious"}


async def test_file_that_is_called_like_a_log_holds_up_no_edit_of_its_neighbour(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"foo": "x", "foo-wal": "my notes"})
    anna.write("foo", "new")
    anna.look()
    await world.converge()
    assert berta.files() == {"foo": "new", "foo-wal": "my notes"}


async def test_new_database_waits_where_a_part_of_another_lies(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"other": "x"})
    berta.write("app.db-wal", "what another database left")
    opened(anna, "wal").close()
    anna.look()
    await trio.sleep(60)
    assert "app.db-wal" in berta.problems["app.db"]
    (berta.root / "app.db-wal").unlink()
    berta.look()
    await world.until((berta.root / "app.db").exists, "the database")


async def test_of_many_new_files_each_database_waits_where_a_part_of_another_lies(
    world: World, autojump_clock: MockClock
) -> None:
    """Of so many the directory is listed, and not asked for each."""
    anna, berta = await world.sharing("anna", "berta", files={"other": "x"})
    berta.write("app.db-wal", "what another database left")
    opened(anna, "wal").close()
    for number in range(20):
        anna.write(f"{number}", "x")
    anna.look()
    await trio.sleep(60)
    assert "app.db-wal" in berta.problems["app.db"]
    assert not (berta.root / "app.db").exists()
    assert all((berta.root / f"{number}").exists() for number in range(20))
