"""`share` while no node runs writes to the log too, and never writes anything of it anew."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from p2pdrive.node.home import Home
from p2pdrive.node.node import Node, NodeOptions
from p2pdrive.secure.invite import Invite

Dots = dict[tuple[bytes, int], bytes]


class Person:
    """Shares one folder, each time by a new command, and sometimes restores it from a backup."""

    def __init__(self, base: Path) -> None:
        self.home = Home(base / "home")
        self.folder = base / "Photos"
        self.folder.mkdir()
        (self.folder / "file").write_text("content")
        self.seen: Dots = {}

    async def share(self) -> Invite:
        """As `p2pdrive share` does while no node runs."""
        node = Node(self.home, NodeOptions(discovery=False))
        shared = await node.share(str(self.folder), None, "editor", 1, 0)
        self.check()
        return Invite.parse(shared.link)

    def dots(self) -> Dots:
        """(actor, seq) → the record."""
        with sqlite3.connect(self.folder / ".p2pdrive/index.db") as connection:
            sql = "SELECT a.id, r.seq, r.data FROM records r JOIN actors a ON a.number = r.actor"
            rows = connection.execute(sql).fetchall()
        connection.close()
        return {(actor, seq): data for actor, seq, data in rows}

    def check(self) -> None:
        """No dot ever names two records."""
        for dot, data in self.dots().items():
            assert self.seen.setdefault(dot, data) == data, "a dot was written anew"

    def actors(self) -> set[bytes]:
        return {actor for actor, _ in self.dots()}

    def back_up(self, to: Path) -> Path:
        return Path(shutil.copytree(self.folder, to, symlinks=True))

    def restore(self, backup: Path) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(backup, self.folder, symlinks=True)


@pytest.fixture
def person(home_path: Path) -> Person:
    return Person(home_path)


async def test_each_invite_is_a_record_of_the_same_actor(person: Person) -> None:
    first = await person.share()
    second = await person.share()
    assert first.drive == second.drive and first.public != second.public
    assert len(person.actors()) == 1 and len(person.dots()) == 2
    (registration,) = person.home.registrations()
    assert [seq for seq, _ in registration.marks.values()] == [2]


async def test_invite_after_a_restore_is_written_by_a_new_actor(person: Person, home_path: Path) -> None:
    await person.share()
    backup = person.back_up(home_path / "backup")
    await person.share()
    before = person.actors()
    person.restore(backup)
    invite = await person.share()
    (new,) = person.actors() - before
    assert [seq for actor, seq in person.dots() if actor == new] == [1]
    assert invite.drive == (await person.share()).drive


async def test_backup_that_is_restored_again_and_again(person: Person, home_path: Path) -> None:
    """Every time there is a new actor, as the marks of the former ones are kept."""
    await person.share()
    backup = person.back_up(home_path / "backup")
    for number in range(4):
        await person.share()
        assert len({actor for actor, _ in person.seen}) == number + 1
        person.restore(backup)
    (registration,) = person.home.registrations()
    assert len(registration.marks) == 4


async def test_restored_folder_is_adopted_when_the_node_runs(person: Person, home_path: Path) -> None:
    """The command that noticed it may end: what it noticed is in the index."""
    await person.share()
    backup = person.back_up(home_path / "backup")
    await person.share()
    person.restore(backup)
    await person.share()
    with sqlite3.connect(person.folder / ".p2pdrive/index.db") as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'adopting'").fetchone() == (1,)
    connection.close()
