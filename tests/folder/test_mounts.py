"""A drive with another file system mounted in it, and one on a disk that is full."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
from p2pdrive.errors import Changed
from p2pdrive.folder.ignore import Ignore
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.scan import Seen, walk
from p2pdrive.folder.syscalls import SystemCalls

root = Path(sys.argv[1])
for calls in (SystemCalls.detect(), SystemCalls.portable()):
    files = LocalFiles(root, calls)

    def put(path, content, expected=None):
        with files.open_temporary("t", len(content)) as handle:
            handle.pwrite(content, 0)
        files.finish_temporary("t", 10**18 + 1, True)
        return files.publish("t", path, expected)

    new = put("mount/f", b"one")
    assert new.stat == files.stat("mount/f") and new.stat.mtime_ns == 10**18 + 1 and new.stat.executable
    replaced = put("mount/f", b"two", new.stat)
    assert (root / "mount/f").read_bytes() == b"two"
    assert (root / ".p2pdrive/tmp" / replaced.displaced).read_bytes() == b"one"
    try:
        put("mount/f", b"bad", new.stat)
    except Changed:
        files.discard("t")
    else:
        raise AssertionError
    link = files.make_symlink("mount/l", "to", None)
    moved = files.move("mount/f", "out", replaced.stat)
    assert moved == files.stat("out") and (root / "out").read_bytes() == b"two"
    back = files.move("out", "mount/f", moved)
    assert [item.path for item in walk(files, Ignore())] == ["mount", "mount/f", "mount/l"]
    removed = files.remove("mount/f", back)
    assert (root / ".p2pdrive/tmp" / removed).read_bytes() == b"two"
    files.discard(files.remove("mount/l", link.stat))
    files.discard(removed)
    files.discard(replaced.displaced)
    assert [p.name for p in (root / "mount").iterdir()] == []
    assert [p.name for p in (root / ".p2pdrive/tmp").iterdir()] == []
    files.close()
print("done")
"""

FULL = """
import sys
from pathlib import Path
from p2pdrive.errors import DiskFull
from p2pdrive.folder.local import LocalFiles

root = Path(sys.argv[1]) / "mount"
(root / ".p2pdrive").mkdir()
(root / "kept").write_bytes(b"kept")
files = LocalFiles(root)
handle = files.open_temporary("big", 4 << 20)
try:
    for offset in range(0, 4 << 20, 1 << 16):
        handle.pwrite(bytes(1 << 16), offset)
except DiskFull as error:
    assert "no space" in str(error)
else:
    raise AssertionError
handle.close()
assert files.free_bytes() == 0
moved = files.move("kept", "moved", files.stat("kept"))
files.discard("big")
assert files.free_bytes() > 0
with files.open_temporary("small", 1) as handle:
    handle.pwrite(b"x", 0)
files.publish("small", "moved", moved)
assert (root / "moved").read_bytes() == b"x"
print("done")
"""


AWAY = """
import os
import subprocess
import sys
from pathlib import Path
from p2pdrive.errors import NotWritable, Unreadable
from p2pdrive.folder import mountinfo
from p2pdrive.folder.ignore import Ignore
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.scan import Seen, Unseen, walk
from p2pdrive.folder.syscalls import SystemCalls

root = Path(sys.argv[1])

def refused(error, act, *arguments):
    try:
        act(*arguments)
    except error as found:
        assert "disk that was mounted at mount is not there" in str(found), found
    else:
        raise AssertionError(act)

told = mountinfo._PLACE
for learn in (lambda files: files.list(""), lambda files: files.stat("mount")):
    for calls, table in ((SystemCalls.detect(), told), (SystemCalls.portable(), "/no/such/table")):
        mountinfo._PLACE = table
        (root / "mount/d").mkdir()
        (root / "mount/d/f").write_bytes(b"f")
        (root / "mount/f").write_bytes(b"f")
        (root / "out").write_bytes(b"out")
        (root / "plain").mkdir(exist_ok=True)
        earlier = LocalFiles(root, calls)
        assert earlier.mounts == ({"mount"} if table == told else set())
        learn(earlier)
        assert earlier.mounts == {"mount"}
        files = LocalFiles(root, calls)
        files.expect_mounts(earlier.mounts)
        there = files.stats(["mount/f", "mount/d/f", "out"])
        assert None not in there.values() and files.stat("mount/gone") is None
        subprocess.run(["umount", root / "mount"], check=True)
        (root / "mount/below").write_bytes(b"below")
        with files.open_temporary("t", 1):
            pass
        for path in ("mount/f", "mount/d/f", "mount/gone", "mount/below"):
            refused(Unreadable, files.stat, path)
            refused(Unreadable, files.open, path)
            refused(NotWritable, files.publish, "t", path, None)
            refused(NotWritable, files.move, "out", path, there["out"])
            refused(NotWritable, files.set_metadata, path, 0, False, there["out"])
            refused(NotWritable, files.make_directory, path)
            refused(NotWritable, files.remove_directory, path)
            assert "disk" in str(files.sync_files([path])[path])
            assert "disk" in str(files.sync_directories([path])[path])
        (root / "mount/below").unlink()
        refused(NotWritable, files.remove_directory, "mount")
        assert files.stats([*there, "gone", "plain"]).keys() == {"out", "gone", "plain"}
        found = {item.path: type(item) for item in walk(files, Ignore())}
        assert found == {"mount": Unseen, "out": Seen, "plain": Seen}, found
        assert list((root / "mount").iterdir()) == []

        subprocess.run(["mount", "-t", "tmpfs", "none", root / "mount"], check=True)
        assert files.stats(["mount/f"]) == {"mount/f": None}
        files.publish("t", "mount/f", None)
        assert files.mounts == {"mount"}

        subprocess.run(["umount", root / "mount"], check=True)
        (root / "mount").rename(root / "away")
        if learn(files) is None:
            assert files.stats(["mount/d/f"]) == {"mount/d/f": None}
        assert files.mounts == set()
        (root / "away").rename(root / "mount")
        assert files.stat("mount/f") is None and files.list("mount") == []
        subprocess.run(["mount", "-t", "tmpfs", "none", root / "mount"], check=True)
        earlier.close()
        files.close()
print("done")
"""


def run_with_mount(root: Path, script: str, options: str) -> None:
    (root / "mount").mkdir()
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
            pytest.skip("this account may not make mount namespaces")
    except FileNotFoundError:
        pytest.skip("no `unshare` here")
    mount = f'mount -t tmpfs -o {options} none "$1/mount" && exec "$2" -c "$3" "$1"'
    result = subprocess.run(
        [*unshare, "sh", "-c", mount, "sh", str(root), sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout == "done\n", result.stderr


def test_files_are_written_moved_and_removed_across_a_mount_point(root: Path) -> None:
    run_with_mount(root, SCRIPT, "size=1m")


def test_full_disk_is_told_and_leaves_everything_as_it_was(root: Path) -> None:
    run_with_mount(root, FULL, "size=1m")


def test_disk_in_the_folder_that_goes_away_takes_nothing_with_it(root: Path) -> None:
    run_with_mount(root, AWAY, "size=1m")
