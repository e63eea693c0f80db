"""Files that are about to be shown, as the next start finds them."""

from pathlib import Path

from p2pdrive.index.arriving import Arriving
from p2pdrive.index.database import Database


def test_what_was_arriving_is_known_until_it_is_dropped(tmp_path: Path) -> None:
    path = str(tmp_path / "index.db")
    database = Database(path)
    with database.transaction() as connection:
        Arriving(connection).put({"a": 1, "d/b": 2, "c": 3})
        Arriving(connection).put({"a": 4})
        Arriving(connection).drop(["c", "none"])
    database.close()
    database = Database(path)
    with database.read() as connection:
        assert Arriving(connection).all() == {"a": 4, "d/b": 2}
    database.close()
