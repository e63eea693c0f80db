"""Watching real folders; every wait has a deadline."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pdrive.errors import RootMissing
from p2pdrive.folder import mountinfo
from p2pdrive.folder import watch as watching
from p2pdrive.folder.ignore import Ignore
from p2pdrive.folder.inotify import Inotify
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.mountinfo import Mount
from p2pdrive.folder.outlook import Outlook
from p2pdrive.folder.scan import Seen, walk

DEADLINE_SECONDS = 20


async def offload(function: Callable[..., Any], *arguments: object) -> Any:
    return await trio.to_thread.run_sync(function, *arguments)


Method = Callable[[Path], AsyncGenerator[set[str], None]]


def native(root: Path) -> AsyncGenerator[set[str], None]:
    return watching.watch(root, offload)


METHODS = [pytest.param(native, id="native"), pytest.param(watching.by_watchfiles, id="watchfiles")]


class Watcher:
    def __init__(self, changes: AsyncGenerator[set[str], None]) -> None:
        self._changes = changes
        self.paths: set[str] = set()

    async def until(self, *wanted: str) -> None:
        """Until each of ``wanted``, or a directory above it, has been named since the last time."""
        missing = set(wanted)
        with trio.fail_after(DEADLINE_SECONDS):
            while missing:
                paths = await anext(self._changes)
                self.paths |= paths
                missing = {m for m in missing if not covered(m, self.paths)}


def covered(path: str, paths: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:length]) in paths for length in range(1, len(parts) + 1))


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if ".p2pdrive" not in path.parts}


@asynccontextmanager
async def watched(method: Method, root: Path) -> AsyncIterator[Watcher]:
    async with aclosing(method(root)) as changes:
        with trio.fail_after(DEADLINE_SECONDS):
            assert await anext(changes) == {""}
        yield Watcher(changes)


@pytest.mark.parametrize("method", METHODS)
async def test_edit_is_named_soon(root: Path, method: Method) -> None:
    async with watched(method, root) as watcher:
        (root / "f").write_bytes(b"x")
        await watcher.until("f")


@pytest.mark.parametrize("method", METHODS)
async def test_removal_and_rename_are_named(root: Path, method: Method) -> None:
    for name in ("removed", "old"):
        (root / name).touch()
    async with watched(method, root) as watcher:
        (root / "removed").unlink()
        (root / "old").rename(root / "new")
        await watcher.until("removed", "old", "new")


@pytest.mark.parametrize("method", METHODS)
async def test_state_of_the_drive_is_left_out(root: Path, method: Method) -> None:
    (root / ".p2pdrive/tmp").mkdir()
    async with watched(method, root) as watcher:
        (root / ".p2pdrive/tmp/x").touch()
        (root / ".p2pdrive/index.db").touch()
        (root / "f").touch()
        await watcher.until("f")
        assert watcher.paths == {"f"}


async def test_tree_made_at_once_is_seen_whole(root: Path) -> None:
    async with watched(native, root) as watcher:
        (root / "a/b/c").mkdir(parents=True)
        (root / "a/b/c/f").touch()
        await watcher.until("a/b/c/f")
        (root / "a/b/c/later").touch()
        watcher.paths.clear()
        await watcher.until("a/b/c/later")


async def test_tree_moved_in_is_seen_whole_and_watched(root: Path) -> None:
    outside = root.with_name("outside")
    (outside / "deep/er").mkdir(parents=True)
    (outside / "deep/er/f").touch()
    async with watched(native, root) as watcher:
        outside.rename(root / "tree")
        await watcher.until("tree/deep/er/f")
        watcher.paths.clear()
        (root / "tree/deep/er/g").touch()
        await watcher.until("tree/deep/er/g")
        assert watcher.paths == {"tree/deep/er/g"}


async def test_renamed_directory_is_named_by_its_new_name_from_then_on(root: Path) -> None:
    (root / "old/sub").mkdir(parents=True)
    async with watched(native, root) as watcher:
        (root / "old").rename(root / "new")
        await watcher.until("old", "new")
        watcher.paths.clear()
        (root / "new/sub/f").touch()
        await watcher.until("new/sub/f")
        assert watcher.paths == {"new/sub/f"}


async def test_directory_moved_out_is_watched_no_more(root: Path) -> None:
    (root / "d/e").mkdir(parents=True)
    async with watched(native, root) as watcher:
        (root / "d").rename(root.with_name("out"))
        await watcher.until("d")
        watcher.paths.clear()
        (root.with_name("out") / "e/f").touch()
        (root / "last").touch()
        await watcher.until("last")
        assert watcher.paths == {"last"}


async def test_what_a_caller_sees_is_what_is_there_while_trees_come_and_go(root: Path) -> None:
    """The caller's part is done here: look at each named path again, with all that is in it."""
    files = LocalFiles(root)
    shown: set[str] = set()

    def look(path: str) -> None:
        shown.difference_update({known for known in shown if covered(known, {path})})
        shown.update(item.path for item in walk(files, Ignore(), path) if isinstance(item, Seen))

    def churn() -> None:
        for round_ in range(30):
            directory = root / f"d{round_ % 7}"
            (directory / "x/y").mkdir(parents=True, exist_ok=True)
            (directory / f"x/y/f{round_}").touch()
            if round_ % 3 == 0:
                target = root / f"moved{round_}"
                directory.rename(target)
                (target / "x/y/after").touch()
            if round_ % 5 == 4:
                shutil.rmtree(root / f"d{(round_ - 1) % 7}", ignore_errors=True)
        (root / "end").touch()

    async with watched(native, root) as watcher, trio.open_nursery() as nursery:
        nursery.start_soon(offload, churn)
        while "end" not in shown:
            watcher.paths.clear()
            with trio.fail_after(DEADLINE_SECONDS):
                paths = await anext(watcher._changes)
            for path in paths:
                look(path)
    assert shown == everything(root)
    files.close()


@pytest.mark.parametrize("method", METHODS)
async def test_name_that_is_not_utf8_leads_to_a_look_at_its_directory(root: Path, method: Method) -> None:
    (root / "d").mkdir()
    async with watched(method, root) as watcher:
        os.close(os.open(os.fsencode(root) + b"/d/\xff", os.O_CREAT))
        with trio.fail_after(DEADLINE_SECONDS):
            while not watcher.paths & {"", "d"}:
                watcher.paths |= await anext(watcher._changes)


@pytest.mark.skipif(sys.platform != "linux", reason="the queue is that of inotify")
async def test_lost_events_lead_to_a_look_at_everything(root: Path) -> None:
    events = int(await trio.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if events > 100_000:
        pytest.skip("the queue of this system is too long to fill in a test")
    async with watched(native, root) as watcher:
        for number in range(events // 3 + 100):  # each is at least created, opened for writing, closed
            path = root / f"f{number}"
            path.touch()
            path.chmod(0o600)
        with trio.fail_after(DEADLINE_SECONDS):
            while "" not in watcher.paths:
                watcher.paths |= await anext(watcher._changes)
        (root / "d").mkdir()
        await watcher.until("d")


@pytest.mark.parametrize("how", ["removed", "renamed", "state gone"])
async def test_root_that_vanishes_ends_the_watch(root: Path, how: str) -> None:
    async with aclosing(native(root)) as changes:
        assert await anext(changes) == {""}
        if how == "removed":
            shutil.rmtree(root)
        elif how == "renamed":
            shutil.move(root, root.with_name("elsewhere"))
        else:
            shutil.rmtree(root / ".p2pdrive")
            (root / "f").touch()
        with trio.fail_after(DEADLINE_SECONDS), pytest.raises(RootMissing):
            async for _ in changes:
                pass


async def test_missing_root_is_not_watched(tmp_path: Path) -> None:
    with pytest.raises(RootMissing):
        await anext(native(tmp_path / "no"))


@pytest.mark.parametrize("method", METHODS)
async def test_cancelling_ends_the_watch_at_once(root: Path, method: Method) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        async with watched(method, root):
            pass
        with trio.move_on_after(0.05) as scope:
            async with watched(method, root) as watcher:
                await watcher.until("never")
    assert scope.cancelled_caught


_LIMITED = """
import sys
from contextlib import aclosing
from pathlib import Path
import trio
from p2pdrive.folder.outlook import Outlook
from p2pdrive.folder.watch import watch

root, what = Path(sys.argv[1]), sys.argv[2]
limit = Path("/proc/sys/user/max_inotify_" + what)
allowed = limit.read_text()
limit.write_text(sys.argv[3])

async def offload(function, *arguments):
    return await trio.to_thread.run_sync(function, *arguments)

named = []

async def until(condition):
    while not condition():
        await trio.sleep(0.01)

async def listen(outlook):
    async with aclosing(watch(root, offload, outlook, 0.05)) as changes:
        async for changed in changes:
            named.extend(changed)

async def main():
    outlook = Outlook()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, outlook)
            await until(lambda: named)
            print(outlook.polled.words())
            for act in ((root / "a/b/c/new").touch, lambda: (root / "a/b/c/f").write_text("edited")):
                named.clear()
                act()
                await until(lambda: {"a/b/c", "a/b/c/f"} & {*named})
            await trio.sleep(0.3)  # for it to look a few times more
            named.clear()
            await trio.sleep(0.3)
            assert not named, named
            limit.write_text(allowed)
            await until(lambda: not outlook.polled.directories)
            print(outlook.polled.words())
            named.clear()
            (root / "a/b/c/last").touch()
            await until(lambda: "a/b/c/last" in named)
            print("done")
            nursery.cancel_scope.cancel()

trio.run(main)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of inotify")
@pytest.mark.parametrize(
    ("what", "limit", "folders", "setting"),
    [("watches", "2", 2, "max_user_watches=524288"), ("instances", "0", 4, "max_user_instances=1024")],
)
def test_only_what_is_beyond_the_limits_is_looked_through_until_they_are_raised(
    root: Path, what: str, limit: str, folders: int, setting: str
) -> None:
    """At the limit all was scanned every half minute, and nobody said so, until a restart."""
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/b/c/f").touch()
    unshare = ["unshare", "--user", "--map-root-user"]
    try:
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
            pytest.skip("this account may not make user namespaces")
    except FileNotFoundError:
        pytest.skip("no `unshare` here")
    result = subprocess.run(
        [*unshare, sys.executable, "-c", _LIMITED, str(root), what, limit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert result.returncode == 0, result.stderr
    said, nothing, end = result.stdout.splitlines()
    assert said.startswith(f"{folders} folders cannot be watched")
    assert f"sudo sysctl fs.inotify.{setting}" in said
    assert (nothing, end) == ("", "done")


async def test_folder_behind_a_symlink_is_watched(root: Path) -> None:
    link = root.with_name("link")
    link.symlink_to(root)
    async with watched(native, link) as watcher:
        (root / "d").mkdir()
        await watcher.until("d")
        (root / "d/f").touch()
        await watcher.until("d/f")
        link.unlink()
        link.symlink_to(root / "d")
        with trio.fail_after(DEADLINE_SECONDS), pytest.raises(RootMissing):
            await watcher.until("never")


@pytest.mark.skipif(sys.platform != "linux", reason="what is watched is counted as inotify does")
async def test_ignored_directories_are_not_watched_until_the_rules_change(root: Path) -> None:
    rules = Ignore(["node_modules/"])
    outlook = Outlook(lambda path: rules.ignored(path, True))
    for name in ("node_modules/a/b", "src/node_modules/c", "src/d"):
        (root / name).mkdir(parents=True)
    async with watched(lambda root: watching.watch(root, offload, outlook), root) as watcher:
        assert watches_of(root) == {"", "src", "src/d"}
        (root / "node_modules/new").mkdir()
        (root / "other/node_modules/e").mkdir(parents=True)
        await watcher.until("other")
        rules = Ignore(["d/"])
        outlook.rules_changed()
        await watcher.until("node_modules")
        assert watches_of(root) == {directory for directory in everything(root) if directory != "src/d"} | {
            ""
        }
        (root / "node_modules/new/f").touch()
        await watcher.until("node_modules/new/f")


async def test_what_others_change_on_a_network_disk_is_looked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated by a file system whose events are lost: what is changed in it is told by no inotify."""
    (root / "net/d").mkdir(parents=True)
    (root / "net/d/f").touch()
    mount = Mount(os.makedev(0, 99), str(root / "net"), "nfs4")
    monkeypatch.setattr(mountinfo, "mounts", lambda: [mount])
    monkeypatch.setattr(Inotify, "_take", lambda *_: None)
    outlook = Outlook()
    changes = watching.watch(root, offload, outlook, 0.05)
    async with watched(lambda _: changes, root) as watcher:
        assert outlook.polled.directories == 2
        assert "network disk" in outlook.polled.words()
        (root / "net/d/f").write_text("edited elsewhere")
        await watcher.until("net/d")
        assert watcher.paths <= {"net/d"}
        (root / "net/new").touch()
        await watcher.until("net")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
async def test_disk_that_is_mounted_inside_is_watched_and_what_was_under_it_afterwards(root: Path) -> None:
    place = root / "d/under"
    place.mkdir(parents=True)
    changes = watching.watch(root, offload, None, 0.05)
    async with watched(lambda _: changes, root) as watcher:
        with mounted(place):
            await watcher.until("d/under")
            watcher.paths.clear()
            (place / "f").touch()
            await watcher.until("d/under/f")
        watcher.paths.clear()
        await watcher.until("d/under")
        watcher.paths.clear()
        (place / "g").touch()
        await watcher.until("d/under/g")
        assert watcher.paths == {"d/under/g"}


@contextmanager
def mounted(place: Path) -> Iterator[None]:
    if subprocess.run(["mount", "-t", "tmpfs", "none", place], check=False).returncode:
        pytest.skip("this account may not mount")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def watches_of(root: Path) -> set[str]:
    """The directories that this process watches, by the inodes that the kernel tells."""
    found: set[str] = set()
    inodes = {(root / path).stat().st_ino: path for path in {"", *everything(root)} if (root / path).is_dir()}
    for info in Path("/proc/self/fdinfo").iterdir():
        with suppress(OSError):
            for line in info.read_text().splitlines():
                if line.startswith("inotify"):
                    inode = int(line.split("ino:")[1].split()[0], 16)
                    found |= {inodes[inode]} if inode in inodes else set()
    return found


_UNREADABLE = """
import os, sys
from contextlib import aclosing
from pathlib import Path
import trio
from p2pdrive.folder import watch as watching

root = Path(sys.argv[1])
os.setuid(65534)

async def offload(function, *arguments):
    await trio.to_thread.run_sync(function, *arguments)

async def main():
    async with aclosing(watching.watch(root, offload)) as changes:
        with trio.fail_after(20):
            await anext(changes)
            os.chmod(root / "d", 0o755)
            await anext(changes)
            (root / "d/f").write_text("edited")
            while "d/f" not in await anext(changes):
                pass

trio.run(main)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root may not become another user")
def test_directory_that_could_not_be_read_at_first_is_watched_once_it_can_be() -> None:
    """What changed in it was seen by the hourly scan alone."""
    with tempfile.TemporaryDirectory() as name:  # which everybody may enter
        root = Path(name)
        (root / ".p2pdrive").mkdir()
        (root / "d").mkdir(mode=0)
        for path in (root, root / ".p2pdrive", root / "d"):
            os.chown(path, 65534, 65534)
        subprocess.run([sys.executable, "-c", _UNREADABLE, name], check=True, timeout=60)
