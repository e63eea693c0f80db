"""A person shares their whole home folder, with p2pdrive's own home in it, as persons do."""

import os
import shutil
from pathlib import Path

import pytest

from tests.system.machines import Machine, Machines, quiet, tree, write

PLACE = ".local/share/p2pdrive"


@pytest.fixture
def anna(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Her folder is her home folder, and the home of her node is where it is by default."""
    made = machines.make("anna")
    monkeypatch.setenv("HOME", str(made.folder))
    shutil.move(made.home, made.folder / PLACE)
    made.home = made.folder / PLACE
    write(made.folder, {"letter.txt": "hello", ".ssh/id": "secret"})
    return made.start()


def test_whole_home_is_shared_with_a_yes_and_the_nodes_own_home_stays(
    machines: Machines, anna: Machine
) -> None:
    berta = machines.make("berta").start()
    refused = anna.cli("share", anna.folder, code=1).stderr
    assert "is a whole home folder" in refused and "--yes" in refused and "passwords in .ssh" in refused
    assert f"p2pdrive's own home, {anna.home}, is left out" in refused
    assert not (anna.folder / ".p2pdrive").exists()
    for inside in (anna.home, anna.home / "sub"):
        assert "holds the node's key" in anna.cli("share", inside, "--yes", code=1).stderr
    assert "the whole system" in anna.cli("share", "/", "--yes", code=1).stderr

    berta.join(anna.share("--yes"))
    quiet([anna, berta])
    shared = {"letter.txt", ".ssh", ".ssh/id", ".local", ".local/share"}
    assert tree(berta.folder).keys() == shared
    assert anna.problems() == {}

    second = anna.folder / "another node"
    anna.cli("share", berta.folder.parent, "--no-run", "--home", second, "--name", "other")  # makes that home
    os.link(anna.home / "device.key", anna.folder / "backup.bin")
    write(anna.folder, {"last.txt": "written after all that"})
    quiet([anna, berta])
    assert tree(berta.folder).keys() == shared | {"last.txt"}
    assert set(anna.problems()) == {"another node", "backup.bin"}
    (anna.folder / "another node").rename(anna.folder / ".local" / "moved")
    (anna.folder / "backup.bin").unlink()
    write(anna.folder, {"last.txt": "again"})
    quiet([anna, berta])
    assert tree(berta.folder).keys() == shared | {"last.txt"}
    assert set(anna.problems()) == {".local/moved"}


def test_node_that_is_started_in_its_own_drive_comes_to_rest(machines: Machines, anna: Machine) -> None:
    """Its own files change at each sync: that must be no news to it."""
    berta = machines.make("berta").start()
    berta.join(anna.share("--yes"))
    for number in range(5):
        write(anna.folder, {"f.txt": f"{number}"})
        quiet([anna, berta])
    before = _written(anna.folder)
    quiet([anna, berta])
    assert _written(anna.folder) == before


def _written(folder: Path) -> dict[str, int]:
    state = folder / ".p2pdrive"
    return {str(each): each.stat().st_mtime_ns for each in state.rglob("*") if each.suffix != ".db-shm"}
