import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from p2pdrive.errors import FormatTooNew, HomeInUse, NotWritable, Unreadable
from p2pdrive.limits import LABEL_BYTES_MAX, SOCKET_PATH_BYTES_MAX
from p2pdrive.node.home import Config, Home, Registration, default_name, label

PHOTOS = Registration(
    "/srv/Photos", "ab" * 32, paused=True, invite="p2pdrive://join/x", marks={"cd" * 16: (7, "ef" * 32)}
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def never(count: int) -> bytes:
    raise AssertionError("a second key was drawn")


def test_nothing_is_made_by_looking(home: Home) -> None:
    assert home.registrations() == ()
    assert home.config() == Config(default_name(), None)
    assert not home.path.exists()


def test_key_is_drawn_once_and_only_the_owner_can_read_it(home: Home) -> None:
    seed = home.seed(lambda count: bytes(range(count)))
    assert seed == bytes(range(32))
    assert Home(home.path).seed(never) == seed
    assert stat.S_IMODE((home.path / "device.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700


def test_key_of_the_wrong_length_is_never_replaced(home: Home) -> None:
    home.prepare()
    (home.path / "device.key").write_bytes(b"short")
    with pytest.raises(Unreadable, match=r"device\.key is not 32 bytes"):
        home.seed(never)
    assert (home.path / "device.key").read_bytes() == b"short"


def test_config_survives(home: Home) -> None:
    home.save_config(Config("laptop", "127.0.0.1:4242"))
    assert Home(home.path).config() == Config("laptop", "127.0.0.1:4242")


def test_config_written_by_hand_may_leave_everything_out(home: Home) -> None:
    home.prepare()
    (home.path / "config.json").write_text('{"listen": "[::1]:7"}')
    assert home.config() == Config(default_name(), "[::1]:7")


def test_registrations_survive(home: Home) -> None:
    both = (PHOTOS, Registration("/srv/Music", "12" * 32))
    home.save_registrations(both)
    assert Home(home.path).registrations() == both
    home.save_registrations(both[1:])
    assert Home(home.path).registrations() == both[1:]
    assert not list(home.path.glob("*.new"))


def test_a_write_cut_short_leaves_the_old_file_and_does_not_stop_the_next(home: Home) -> None:
    home.save_registrations((PHOTOS,))
    (home.path / "drives.json.new").write_text('{"format": 1, "dri')
    assert home.registrations() == (PHOTOS,)
    home.save_registrations(())
    assert home.registrations() == ()


def test_repr_hides_the_invite() -> None:
    assert "join/x" not in repr(PHOTOS)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"format": "one"}',
        b'{"format": 1}',
        b'{"format": 1, "drives": 3}',
        b'{"format": 1, "drives": [{}]}',
        b'{"format": 1, "drives": ["x"]}',
        b"[" * 100_000,
    ],
)
def test_damaged_registrations_name_the_file(home: Home, damage: bytes) -> None:
    home.prepare()
    (home.path / "drives.json").write_bytes(damage)
    with pytest.raises(Unreadable, match=r"home/drives\.json is damaged"):
        home.registrations()


@pytest.mark.parametrize(
    "change",
    [
        {"path": "relative"},
        {"path": 3},
        {"drive": "AB" * 32},
        {"drive": "ab"},
        {"paused": 0},
        {"invite": 5},
        {"marks": []},
        {"marks": {"cd": [1, "ef" * 32]}},
        {"marks": {"cd" * 16: [-1, "ef" * 32]}},
        {"marks": {"cd" * 16: [1]}},
        {"marks": {"cd" * 16: [1, "zz" * 32]}},
    ],
)
def test_a_registration_with_a_wrong_field_is_damage(home: Home, change: dict[str, object]) -> None:
    home.save_registrations((PHOTOS,))
    data = json.loads((home.path / "drives.json").read_text())
    data["drives"][0] |= change
    (home.path / "drives.json").write_text(json.dumps(data))
    with pytest.raises(Unreadable, match="damaged"):
        home.registrations()


def test_files_of_a_newer_version_are_left_alone(home: Home) -> None:
    home.prepare()
    (home.path / "drives.json").write_text('{"format": 2, "drives": {}}')
    with pytest.raises(FormatTooNew, match="Update"):
        home.registrations()


def test_second_holder_of_the_lock_is_refused_until_the_first_is_done(home: Home) -> None:
    again = Home(home.path)
    with home.lock(), pytest.raises(HomeInUse, match="Another p2pdrive node runs"), again.lock():
        pass
    with again.lock():
        assert home.path.is_dir()


def test_home_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable, match="file/home"):
        Home(tmp_path / "file" / "home").prepare()


def test_socket_is_in_the_home(home_path: Path) -> None:
    assert Home(home_path).socket() == home_path / "control.sock"


def test_home_with_a_long_path_has_a_short_private_socket(tmp_path: Path) -> None:
    home = Home(tmp_path / ("x" * SOCKET_PATH_BYTES_MAX))
    socket = home.socket()
    assert not socket.parent.exists()
    try:
        assert home.socket(make=True) == socket == Home(home.path).socket()
        assert len(os.fsencode(socket)) <= SOCKET_PATH_BYTES_MAX
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert socket != Home(tmp_path / ("y" * SOCKET_PATH_BYTES_MAX)).socket()
        socket.parent.chmod(0o755)
        with pytest.raises(NotWritable, match="this user alone"):
            home.socket()
    finally:
        socket.parent.rmdir()


def test_names_are_cut_between_letters_and_lose_what_cannot_be_shown() -> None:
    assert label("an\x1bna/lap\ntop ") == "annalaptop"
    assert label("ä" * 40) == "ä" * 32
    assert len(label("€" * 40).encode()) <= LABEL_BYTES_MAX
    assert default_name() == label(default_name())


def test_marks_are_the_callers_to_replace() -> None:
    moved = replace(PHOTOS, marks={"cd" * 16: (8, "ee" * 32)})
    assert PHOTOS.marks["cd" * 16] == (7, "ef" * 32)
    assert moved.marks["cd" * 16] == (8, "ee" * 32)
