"""Real programs that keep files open, and real nodes that watch them."""

import sqlite3
import time
from pathlib import Path

import pytest

from p2pdrive.folder.syscalls import SystemCalls
from tests.system.machines import Machine, Machines, eventually, settled

pytestmark = pytest.mark.skipif(
    not SystemCalls.detect().leases, reason="this platform cannot tell who has a file open"
)


def two(machines: Machines) -> tuple[Machine, Machine]:
    anna, berta = machines.started("anna", "berta")
    (anna.folder / "doc.txt").write_text("old")
    berta.join(anna.share())
    settled(anna, berta)
    return anna, berta


def versions(machine: Machine, path: str) -> int:
    return len(machine.cli("log", machine.folder / path).stdout.splitlines()) - 1


def rows(place: Path) -> int:
    connection = sqlite3.connect(f"file:{place}?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return int(connection.execute("SELECT count(*) FROM rows").fetchone()[0])
    finally:
        connection.close()


def test_document_and_log_are_published_when_they_are_at_rest(machines: Machines) -> None:
    anna, berta = two(machines)
    before = versions(anna, "doc.txt")
    seen = set[str]()
    with (anna.folder / "doc.txt").open("w") as program:
        for number in range(40):
            with (anna.folder / "app.log").open("a") as log:
                log.write(f"{number}\n")
            seen.add((berta.folder / "doc.txt").read_text())
            time.sleep(0.1)
        program.write("new")
    eventually(lambda: (berta.folder / "doc.txt").read_text() == "new", within=5)
    assert seen == {"old"}
    anna.wait()
    settled(anna, berta)
    assert versions(anna, "doc.txt") == before + 1
    assert versions(anna, "app.log") <= 6


def test_database_keeps_every_row_that_was_committed_while_a_conflict_arrived(machines: Machines) -> None:
    anna, berta = two(machines)
    first = sqlite3.connect(anna.folder / "app.db", isolation_level=None)
    first.execute("PRAGMA journal_mode=wal")
    first.execute("CREATE TABLE rows (text)")
    first.close()
    settled(anna, berta)
    anna.stop()
    program = sqlite3.connect(berta.folder / "app.db", isolation_level=None)
    program.execute("INSERT INTO rows VALUES ('by berta, at first')")
    elsewhere = sqlite3.connect(anna.folder / "app.db", isolation_level=None)
    elsewhere.execute("INSERT INTO rows VALUES ('by anna')")
    elsewhere.close()
    anna.start()
    committed = 1
    until = time.monotonic() + 6
    while time.monotonic() < until:
        program.execute("INSERT INTO rows VALUES (?)", ("x" * 300,))
        committed += 1
        time.sleep(0.003)
    assert "app.db" in {busy["path"] for busy in berta.drive()["busy"]} | set(berta.problems())
    assert not list(berta.folder.glob("*conflict*"))
    program.close()
    eventually(lambda: list(anna.folder.glob("*conflict*")), anna.drive)
    settled(anna, berta)
    for machine in (anna, berta):
        found = sorted(rows(place) for place in machine.folder.glob("app*.db"))
        assert found == [1, committed], machine.tail()
