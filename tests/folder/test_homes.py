"""Homes of p2pdrive nodes, recognised in a drive's folder by what is in them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from p2pdrive.folder.files import Files
from p2pdrive.folder.homes import Homes, home_around
from p2pdrive.folder.ignore import Ignore
from p2pdrive.folder.scan import FoundHome, Seen, walk
from p2pdrive.node.home import Config, Home

SEED = bytes(range(32))


def make_home(folder: Path) -> Home:
    home = Home(folder)
    home.seed(lambda length: SEED[:length])
    home.save_config(Config("anna"))
    home.save_registrations(())
    return home


def found(files: Files) -> tuple[list[str], list[str]]:
    """What a walk sees, and the homes that it met."""
    items = list(walk(files, Ignore()))
    return [x.path for x in items if isinstance(x, Seen)], [x.path for x in items if isinstance(x, FoundHome)]


@pytest.mark.parametrize("place", ["home", ".local/share/p2pdrive", "a/b/any name"])
def test_home_is_found_and_nothing_of_it_seen(files: Files, root: Path, place: str) -> None:
    make_home(root / place)
    (root / place / "deep/er").mkdir(parents=True)
    (root / "beside").touch()
    above = [str(each) for each in reversed(Path(place).parents) if each.name]
    assert found(files) == ([*above, "beside"] if place != "home" else ["beside"], [place])


def test_key_that_is_not_yet_renamed_tells_a_home(files: Files, root: Path) -> None:
    """The lock is made first, so there is no moment at which a new home looks like an ordinary folder."""
    home = Home(root / "new")
    home.prepare()
    assert os.listdir(home.path) == ["lock"]
    (home.path / "device.key.new").touch()
    assert found(files) == ([], ["new"])


@pytest.mark.parametrize(
    "contents",
    [
        {"device.key": b"-----BEGIN PRIVATE KEY-----\nMIIEvQ", "config.json": b"{}"},
        {"lock": b"", "config.json": b"{}", "drives.json": b"[]"},
        {"device.key": SEED},
    ],
    ids=["of a thing with a certificate", "no key", "a key alone"],
)
def test_folder_of_a_person_is_no_home(files: Files, root: Path, contents: dict[str, bytes]) -> None:
    (root / "d").mkdir()
    for name, data in contents.items():
        (root / "d" / name).write_bytes(data)
    assert found(files) == (["d", *(f"d/{name}" for name in sorted(contents))], [])


def test_home_that_is_removed_file_by_file_stays_one_until_nothing_of_it_is_left(
    files: Files, root: Path
) -> None:
    home = make_home(root / "home")
    (home.path / "peers.json").write_text(json.dumps({}))
    homes = Homes(files)
    homes.look(["home"])
    for name in ("device.key", "peers.json", "config.json", "lock"):
        (home.path / name).unlink()
        homes.look(["", "home"])
        assert homes.hides("home/drives.json")
    (home.path / "drives.json").unlink()
    homes.look(["home"])
    assert not homes.hides("home/drives.json")


def test_home_that_moves_is_one_in_its_new_place_alone(files: Files, root: Path) -> None:
    homes = Homes(files)
    make_home(root / "one")
    homes.look(["one", "two"])
    (root / "one").rename(root / "two")
    homes.look(["one", "two"])
    assert homes.known == {"two"}


def test_home_of_which_a_link_leads_there_is_not_followed(files: Files, root: Path, tmp_path: Path) -> None:
    make_home(tmp_path / "elsewhere")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    assert found(files) == (["link"], [])


def test_the_folder_itself_may_become_a_home(files: Files, root: Path) -> None:
    (root / "a").touch()
    make_home(root)
    assert found(files) == ([], [""])


def test_home_around_a_folder(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home").path
    (home / "a/b").mkdir(parents=True)
    for inside in (home, home / "a", home / "a/b", home / "a/b/not there"):
        assert home_around(inside) == home
    assert home_around(tmp_path) is None
    shutil.rmtree(home)
    assert home_around(home) is None
