"""What is about to be shown, as the next start finds it."""

from pathlib import Path

from p2pdrive.index.arriving import Arrival, Arriving
from p2pdrive.index.database import Database
from p2pdrive.model.record import Content, Kind

ACTOR = bytes(range(16))


def test_what_was_arriving_is_known_until_it_is_dropped(tmp_path: Path) -> None:
    path = str(tmp_path / "index.db")
    database = Database(path)
    file = Content(Kind.FILE, 9, bytes(32), 1, True, 1_700_000_000_123_456_789)
    link = Arrival("d/b", Content(Kind.SYMLINK, target="é"), {}, 0)
    with database.transaction() as connection:
        assert Arriving(connection).among(["a"]) == {}
        Arriving(connection).put([Arrival("a", file, {}, 1), link, Arrival("c", file, {}, 3)])
        Arriving(connection).put([Arrival("a", file, {ACTOR: 2}, 4, finished=True)])
        Arriving(connection).drop(["c", "none"])
    database.close()
    database = Database(path)
    with database.read() as connection:
        found = Arriving(connection).among(["a", "c", "d/b"])
        assert found == {"a": Arrival("a", file, {ACTOR: 2}, 4, finished=True), "d/b": link}
        assert Arriving(connection).among(["c"]) == {}
    database.close()


def test_only_what_arrived_and_is_unchanged_is_known_again() -> None:
    file, other = (Content(Kind.FILE, root=bytes([number]) * 32, blocks=1) for number in (1, 2))
    arrival = Arrival("f", file, {}, 7)
    assert arrival.is_in(7, file)
    assert not arrival.is_in(8, file)
    assert not arrival.is_in(7, other)
    link = Content(Kind.SYMLINK, target="there")
    assert Arrival("l", link, {}, 0).is_in(7, link)


def test_mode_and_time_that_a_finished_file_had_are_what_was_shown() -> None:
    had, found = (Content(Kind.FILE, 1, bytes(32), 1, executable) for executable in (False, True))
    assert Arrival("f", had, {}, 7, finished=True).shown(found) == had
    assert Arrival("f", had, {}, 7).shown(found) == found
