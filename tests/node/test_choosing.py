"""Folders that may be no drive, and those about which a person is asked first."""

from pathlib import Path

import pytest

from p2pdrive.errors import AskFirst, DriveError
from p2pdrive.node.choosing import check_place
from p2pdrive.node.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of the node, in the home folder of a person who has nothing else yet."""
    person = tmp_path / "people/anna"
    monkeypatch.setenv("HOME", str(person))
    made = Home(person / ".local/share/p2pdrive")
    made.seed(bytes)
    return made.path


def test_ordinary_folder_is_asked_nothing_about(home: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "elsewhere", tmp_path / "people/anna/Photos"):
        folder.mkdir()
        check_place(str(folder), home, yes=False)


def test_whole_system_is_no_drive(home: Path) -> None:
    with pytest.raises(DriveError, match="/ is the whole system"):
        check_place("/", home, yes=True)


@pytest.mark.parametrize("inside", ["", "sub/folder"])
@pytest.mark.parametrize("whose", ["own", "another's"])
def test_home_of_a_node_and_what_is_in_it_is_no_drive(
    home: Path, tmp_path: Path, whose: str, inside: str
) -> None:
    place = home if whose == "own" else tmp_path / "of another"
    if whose != "own":
        Home(place).seed(bytes)
    (place / inside).mkdir(parents=True, exist_ok=True)
    (tmp_path / "link").symlink_to(place / inside)
    for path in (place / inside, tmp_path / "link"):
        with pytest.raises(DriveError, match="which holds the node's key") as refused:
            check_place(str(path), home, yes=True)
        assert not isinstance(refused.value, AskFirst)


@pytest.mark.parametrize("above", [".", "..", "../..", ".local"])
def test_folder_with_a_whole_home_folder_or_our_home_in_it_takes_a_yes(home: Path, above: str) -> None:
    folder = home.parents[2] / above
    (home.parents[2] / "letter.txt").write_text("hello")
    (home.parents[2] / ".ssh").mkdir()
    (home.parents[2] / ".ssh/id").write_text("secret")
    with pytest.raises(AskFirst) as asked:
        check_place(str(folder), home, yes=False)
    said = str(asked.value)
    assert ("2 files, 0 MB" if above != ".local" else "0 files") in said
    assert f"p2pdrive's own home, {home}, is left out" in said and "--yes" in said
    assert (".ssh" in said) == (above == ".")
    check_place(str(folder), home, yes=True)


def test_link_to_a_whole_home_folder_is_that_folder(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home.parents[2])
    with pytest.raises(AskFirst, match="is a whole home folder"):
        check_place(str(tmp_path / "link"), home, yes=False)


def test_count_stops_after_a_while_and_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (home.parents[2] / str(number)).write_text("x")
    monkeypatch.setattr("p2pdrive.node.choosing.SURVEY_FILES_MAX", 2)
    with pytest.raises(AskFirst, match="More than 2 files"):
        check_place(str(home.parents[2]), home, yes=False)
