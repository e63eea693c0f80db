"""Homes of p2pdrive nodes in a drive: never published, never written to, whoever's they are."""

import os
import shutil
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.history.authoring import Edit
from p2pdrive.index.manifests import Manifests
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import Content, Kind
from p2pdrive.node.home import Config, Home, Registration
from tests.engine.world import Machine, World

A_SEED = b"\7" * 32
PLACE = ".local/share/p2pdrive"
HOME = "is the home of a p2pdrive node"


def make_home(folder: Path, seed: bytes = A_SEED) -> Path:
    home = Home(folder)
    home.seed(lambda length: seed[:length])
    home.save_config(Config("somebody"))
    home.save_registrations((Registration("/x", "00" * 32),))
    return home.path


async def rest(world: World) -> None:
    """Everybody looks at everything, and has done what is to be done."""
    for _ in range(2):
        for machine in world.machines:
            machine.look()
        await world.quiet()
        await trio.sleep(3)
    await world.quiet()


def published(machine: Machine) -> set[str]:
    """All paths of which there is a record."""
    with machine.replica.reading() as log:
        rows = log.connection.execute("SELECT DISTINCT key FROM records WHERE key IS NOT NULL").fetchall()
    return {key.replace(b"\0", b"/").decode() for (key,) in rows}


async def test_home_in_a_folder_that_is_shared_stays_here(world: World, autojump_clock: MockClock) -> None:
    anna, berta = world.machine("anna"), world.machine("berta")
    make_home(anna.root / PLACE)
    anna.write("letter.txt", "hello")
    await anna.share()
    await berta.join(anna)
    await rest(world)
    assert berta.files() == {"letter.txt": "hello"}
    assert published(anna) == {"letter.txt", ".local", ".local/share"}
    assert HOME in anna.problems[PLACE] and set(anna.problems) == {PLACE}
    anna.write(".p2pdriveignore", f"{PLACE}/\n")
    anna.look()
    await rest(world)
    assert anna.problems == {}


@pytest.mark.parametrize("how", ["made", "moved", "copied"])
async def test_home_that_comes_into_a_running_drive_stays_here(
    world: World, autojump_clock: MockClock, tmp_path: Path, how: str
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/a.txt": "a"})
    place = anna.root / "d/new"
    if how == "made":
        make_home(place)
    else:
        elsewhere = make_home(tmp_path / "elsewhere")
        shutil.move(elsewhere, place) if how == "moved" else shutil.copytree(elsewhere, place)
    names = sorted(f"d/new/{name}" for name in os.listdir(place))
    anna.look("d/new", *names)  # as a watcher does, of one that is made where it is
    await world.quiet()
    anna.look(*names)
    anna.write("d/b.txt", "b")
    await rest(world)
    assert berta.files() == {"d/a.txt": "a", "d/b.txt": "b"}
    assert published(anna) == {"d", "d/a.txt", "d/b.txt"}
    shutil.rmtree(place)
    await rest(world)
    assert published(anna) == {"d", "d/a.txt", "d/b.txt"}
    assert anna.problems == {}


@pytest.mark.parametrize("copied", [False, True], ids=["linked", "copied"])
async def test_key_of_a_member_is_never_published_whatever_it_is_called(
    world: World, autojump_clock: MockClock, tmp_path: Path, copied: bool
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    for number, machine in enumerate((anna, berta)):
        key = tmp_path / f"key {number}"
        key.write_bytes(machine.identity.seed)
        (shutil.copy if copied else os.link)(key, anna.root / f"backup {number}.bin")
    anna.write("other.bin", bytes(32))
    await rest(world)
    assert published(anna) == {"other.bin"}
    assert set(anna.problems) == {"backup 0.bin", "backup 1.bin"}
    assert "is the key of a member" in anna.problems["backup 1.bin"]


async def test_what_is_called_like_a_key_and_a_list_of_drives_without_its_home_are_named(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    home = make_home(tmp_path / "home")
    for name in ("device.key", "drives.json"):
        (anna.root / name[:3]).mkdir()
        shutil.copy(home / name, anna.root / name[:3] / name)
    anna.write("own/drives.json", '{"drives": ["C:"]}')
    anna.write("own/device.key", "-----BEGIN PRIVATE KEY----- and so on")
    await rest(world)
    assert set(berta.files()) == {"own/drives.json", "own/device.key"}
    assert set(anna.problems) == {"dev/device.key", "dri/drives.json"}
    (anna.root / "dev/device.key").rename(anna.root / "dev/thirty-two bytes")
    await rest(world)
    assert "dev/thirty-two bytes" in berta.files()
    assert set(anna.problems) == {"dri/drives.json"}


def publish(machine: Machine, path: str, data: bytes) -> None:
    """As an earlier version did, or one that means harm: a record of a file with these bytes."""
    replica = machine.replica
    (block,) = replica.chunker.blocks(_reader(data)) if data else ()
    replica.store.add([(block[0], bytes(block[1]))])
    replica.store.flush()
    manifest = Manifest.of([(len(data), block[0])])
    with replica.writing() as log, replica.author.writing(log) as pen:
        Manifests(log.connection).put([manifest])
        content = Content(Kind.FILE, len(data), manifest.root, 1, mtime_ns=1)
        pen.edit(Edit(path, content, {}))
    machine.drive.exchange.announce()


def _reader(data: bytes):
    left = memoryview(data)

    def readinto(view: memoryview) -> int:
        nonlocal left
        count = min(len(view), len(left))
        view[:count], left = left[:count], left[count:]
        return count

    return readinto


async def test_records_from_elsewhere_write_nothing_into_a_home(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    home = make_home(berta.root / PLACE)
    before = {name: (home / name).read_bytes() for name in os.listdir(home)}
    publish(anna, f"{PLACE}/config.json", b'{"format": 1, "listen": "192.0.2.66:1"}')
    publish(anna, f"{PLACE}/planted", b"planted")
    await anna.drive.exchange.look()
    await world.quiet()
    berta.look()
    await world.quiet()
    assert {name: (home / name).read_bytes() for name in os.listdir(home)} == before
    assert "the drive has files of it" in berta.problems[PLACE]


async def test_key_from_elsewhere_makes_no_home_here(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta")
    publish(anna, f"{PLACE}/device.key", A_SEED)
    await anna.drive.exchange.look()
    await world.quiet()
    assert not (berta.root / PLACE / "device.key").exists()
    assert "is not shown here" in berta.problems[f"{PLACE}/device.key"]


async def test_own_key_that_an_earlier_version_published_is_named_and_served_to_nobody(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    home = make_home(anna.root / PLACE, anna.identity.seed)
    publish(anna, f"{PLACE}/device.key", anna.identity.seed)
    await anna.restart()
    world.join_up()
    await trio.sleep(5)
    await world.quiet()
    assert "share the folder again" in anna.problems[""]
    assert "the drive has files of it" in anna.problems[PLACE]
    assert (home / "device.key").read_bytes() == anna.identity.seed
    assert not (berta.root / PLACE).exists() or not os.listdir(berta.root / PLACE)
    assert not berta.replica.store.held([anna.replica.own_key_block])


async def test_folder_deleted_elsewhere_keeps_the_home_in_it(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/a.txt": "a"})
    home = make_home(berta.root / "d/home")
    shutil.rmtree(anna.root / "d")
    anna.look()
    await world.until(lambda: "holds files that are not synced" in berta.problems.get("d", ""), "the problem")
    assert (home / "device.key").read_bytes() == A_SEED


async def test_folder_that_became_a_home_publishes_nothing_more(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a", "d/b.txt": "b"})
    make_home(anna.root)
    anna.write("c.txt", "c")
    (anna.root / "a.txt").unlink()
    anna.look()
    await world.quiet()
    await trio.sleep(5)
    assert berta.files() == {"a.txt": "a", "d/b.txt": "b"}
    assert "has become the home" in anna.problems[""]
    for name in os.listdir(anna.root):
        if name not in ("c.txt", "d", ".p2pdrive"):
            (anna.root / name).unlink()
    await rest(world)  # what went while it was hidden was deleted by nobody
    assert anna.files() == berta.files() == {"a.txt": "a", "c.txt": "c", "d/b.txt": "b"}
    assert anna.problems == {}


async def test_what_a_home_hid_is_shown_once_it_is_gone(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta")
    make_home(berta.root / "d")
    anna.write("d/a.txt", "a")
    await rest(world)
    assert not (berta.root / "d/a.txt").exists()
    await berta.stop()
    shutil.rmtree(berta.root / "d")
    await berta.start()
    world.join_up()
    await world.until(lambda: berta.files() == {"d/a.txt": "a"}, "what was hidden")
