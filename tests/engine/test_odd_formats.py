"""What may stand where a drive says which format it has: looked at without waiting, and never a crash."""

import os
from pathlib import Path

import pytest
from trio.testing import MockClock

from p2pdrive.engine.replica import FORMAT, check_format
from p2pdrive.errors import FormatTooNew, RootMissing
from tests.engine.world import World


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / ".p2pdrive").mkdir()
    return tmp_path / ".p2pdrive/FORMAT"


def check(place: Path) -> None:
    check_format(str(place.parent.parent))


def test_this_format_is_opened(place: Path) -> None:
    place.write_text(FORMAT)
    check(place)


@pytest.mark.parametrize("content", [b"", b"p2pdrive drive, format 2\n", b"\xff\xfe", FORMAT.encode() * 2])
def test_other_format_is_named_and_left_alone(place: Path, content: bytes) -> None:
    place.write_bytes(content)
    with pytest.raises(FormatTooNew, match="Update p2pdrive here"):
        check(place)


def test_large_file_is_not_read_whole(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FormatTooNew) as raised:
        check(place)
    assert len(str(raised.value)) < 1000


@pytest.mark.timeout(20)
def test_pipe_is_no_drive_and_nobody_waits_for_what_comes_through_it(place: Path) -> None:
    os.mkfifo(place)
    with pytest.raises(RootMissing, match="FORMAT is no file"):
        check(place)


@pytest.mark.parametrize("there", ["nothing", "directory", "link"])
def test_what_is_no_file_is_no_drive(place: Path, there: str) -> None:
    if there == "directory":
        place.mkdir()
    elif there == "link":
        place.symlink_to("/dev/zero")
    with pytest.raises(RootMissing, match=r"is no drive: its \.p2pdrive"):
        check(place)


@pytest.mark.timeout(60)
async def test_drive_whose_format_was_a_pipe_for_a_while_goes_on_after_it(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    await anna.stop()
    place = anna.root / ".p2pdrive/FORMAT"
    place.rename(place.with_name("aside"))
    os.mkfifo(place)
    with pytest.raises(RootMissing):
        await anna.start()
    place.with_name("aside").replace(place)
    await anna.start()
    world.join_up()
    berta.write("b.txt", "b")
    berta.look()
    await world.converge()
    assert anna.files() == {"a.txt": "a", "b.txt": "b"}
