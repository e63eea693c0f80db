"""What a person gave a file stays at its path; what is new is as if they had made it there."""

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from p2pdrive.folder.acl import ACCESS, DEFAULT
from p2pdrive.folder.files import Published
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.syscalls import SystemCalls
from tests.folder.accounts import as_account, needs_root

ANNA, BOB, TEAM = 20001, 20002, 20010
OWNER, USER, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
NOBODY = 0xFFFFFFFF


def access_list(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


#: Anna may write, the group may do nothing, all others read.
ANNA_WRITES = access_list(
    (OWNER, 6, NOBODY), (USER, 6, ANNA), (GROUP, 0, NOBODY), (MASK, 6, NOBODY), (OTHER, 4, NOBODY)
)


@pytest.fixture
def root() -> Iterator[Path]:
    """A drive's folder that other accounts may come to."""
    with tempfile.TemporaryDirectory(prefix="p2pdrive-test-") as name:
        os.chmod(name, 0o777)
        made = Path(name) / "drive"
        (made / ".p2pdrive").mkdir(parents=True, mode=0o700)
        os.chmod(made, 0o777)
        yield made


def needs_lists(root: Path) -> None:
    try:
        os.setxattr(root, DEFAULT, ANNA_WRITES)
        os.removexattr(root, DEFAULT)
    except OSError as error:
        pytest.skip(f"this file system has no access control lists ({error.strerror})")


def received(files: LocalFiles, content: bytes = b"new", *, executable: bool = False) -> str:
    with files.open_temporary("received", len(content)) as handle:
        handle.pwrite(content, 0)
    files.finish_temporary("received", 1_600_000_000_000_000_000, executable)
    return "received"


def put(files: LocalFiles, path: str, *, executable: bool = False) -> Published:
    return files.publish(received(files, executable=executable), path, files.stat(path))


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def test_replacement_keeps_owner_group_permissions_list_and_attributes(
    root: Path, calls: SystemCalls
) -> None:
    needs_lists(root)
    file = root / "f"
    file.write_bytes(b"old")
    os.setxattr(file, "user.xdg.tags", b"holiday")
    os.setxattr(file, ACCESS, ANNA_WRITES)
    os.chmod(file, 0o764)
    if os.geteuid() == 0:
        os.chown(file, ANNA, TEAM)
    before, given = file.stat(), attributes(file)
    with closing(LocalFiles(root, calls)) as files:
        published = put(files, "f", executable=True)
        assert published.stat == files.stat("f")
    after = file.stat()
    assert file.read_bytes() == b"new"
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert attributes(file) == given


def test_attributes_of_a_file_that_nobody_may_write_are_kept(root: Path) -> None:
    needs_lists(root)
    file = root / "f"
    file.write_bytes(b"old")
    os.setxattr(file, "user.rating", b"5")
    os.chmod(file, 0o444)
    os.chmod(root / ".p2pdrive", 0o777)

    def replace() -> None:
        with closing(LocalFiles(root)) as files:
            put(files, "f")

    if os.geteuid() == 0:
        os.chown(file, ANNA, ANNA)
        as_account(ANNA, replace)
    else:
        replace()
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o7777 == 0o444
    assert os.getxattr(file, "user.rating") == b"5"


def test_set_id_bits_go_with_a_new_content(root: Path) -> None:
    file = root / "f"
    file.write_bytes(b"old")
    os.chmod(file, 0o6755)
    with closing(LocalFiles(root)) as files:
        put(files, "f", executable=True)
    assert file.stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("executable", [False, True])
def test_new_file_gets_the_group_and_the_list_of_its_folder(
    root: Path, calls: SystemCalls, executable: bool
) -> None:
    needs_lists(root)
    folder = root / "shared"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, BOB, TEAM)
    os.chmod(folder, 0o2775)
    os.setxattr(folder, DEFAULT, ANNA_WRITES)
    by_hand = os.open(folder / "by hand", os.O_CREAT | os.O_WRONLY, 0o777 if executable else 0o666)
    os.close(by_hand)
    if executable:
        os.chmod(folder / "by hand", (folder / "by hand").stat().st_mode | 0o100)
    with closing(LocalFiles(root, calls)) as files:
        put(files, "shared/by us", executable=executable)
        files.make_directory("shared/directory")
    ours, theirs = folder / "by us", folder / "by hand"
    assert (ours.stat().st_gid, ours.stat().st_mode) == (theirs.stat().st_gid, theirs.stat().st_mode)
    assert attributes(ours) == attributes(theirs)
    assert os.getxattr(folder / "directory", DEFAULT) == ANNA_WRITES


def test_list_that_the_temporary_area_would_hand_on_is_not_given_to_a_new_file(root: Path) -> None:
    needs_lists(root)
    os.setxattr(root, DEFAULT, ANNA_WRITES)
    (root / ".p2pdrive" / "tmp").mkdir()
    plain = root / "plain"
    plain.mkdir()
    os.removexattr(plain, DEFAULT)
    (plain / "by hand").touch()
    with closing(LocalFiles(root)) as files:
        put(files, "plain/by us")
    assert ACCESS not in os.listxattr(plain / "by us")
    assert (plain / "by us").stat().st_mode == (plain / "by hand").stat().st_mode


def test_temporary_area_that_others_may_enter_is_closed(root: Path) -> None:
    area = root / ".p2pdrive" / "tmp"
    area.mkdir(mode=0o755)
    area.parent.chmod(0o755)
    LocalFiles(root).close()
    assert [path.stat().st_mode & 0o777 for path in (area, area.parent)] == [0o700, 0o700]


def test_new_time_or_mode_leaves_other_links_as_they_are(root: Path, calls: SystemCalls) -> None:
    file, snapshot = root / "f", root.parent / "snapshot"
    file.write_bytes(b"text")
    os.utime(file, ns=(1, 1_000_000_000))
    os.setxattr(file, "user.tag", b"x")
    os.link(file, snapshot)
    with closing(LocalFiles(root, calls)) as files:
        expected = files.stat("f")
        assert expected is not None
        changed = files.set_metadata("f", 2_000_000_000, True, expected)
        assert changed == files.stat("f")
    assert (changed.mtime_ns, changed.executable) == (2_000_000_000, True)
    assert file.read_bytes() == b"text"
    assert os.getxattr(file, "user.tag") == b"x"
    assert (snapshot.stat().st_mtime_ns, snapshot.stat().st_mode & 0o111) == (1_000_000_000, 0)


@needs_root
def test_time_from_elsewhere_leaves_another_accounts_file_theirs(root: Path, calls: SystemCalls) -> None:
    file = root / "f"
    file.write_bytes(b"text")
    os.chmod(file, 0o664)
    os.chown(file, BOB, TEAM)
    os.chown(root / ".p2pdrive", ANNA, ANNA)
    before = file.stat()

    def touch() -> None:
        with closing(LocalFiles(root, calls)) as files:
            expected = files.stat("f")
            assert expected is not None
            assert files.set_metadata("f", 2_000_000_000, True, expected) == expected

    as_account(ANNA, touch, TEAM)
    assert file.stat() == before


@needs_root
def test_content_from_elsewhere_keeps_the_group_that_the_account_is_of(root: Path) -> None:
    file = root / "f"
    file.write_bytes(b"old")
    os.chmod(file, 0o664)
    os.chown(file, BOB, TEAM)
    os.chown(root / ".p2pdrive", ANNA, ANNA)

    def replace() -> None:
        with closing(LocalFiles(root)) as files:
            put(files, "f")

    as_account(ANNA, replace, TEAM)
    found = file.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (ANNA, TEAM, 0o664)


@needs_root
@pytest.mark.parametrize("listed", [False, True])
def test_group_that_cannot_be_kept_hands_nothing_to_another_group(root: Path, listed: bool) -> None:
    needs_lists(root)
    file = root / "f"
    file.write_bytes(b"old")
    os.chmod(file, 0o664)
    if listed:
        entries = [
            (OWNER, 6, NOBODY),
            (USER, 6, BOB),
            (GROUP, 6, NOBODY),
            (MASK, 6, NOBODY),
            (OTHER, 4, NOBODY),
        ]
        os.setxattr(file, ACCESS, access_list(*entries))
    os.chown(file, BOB, TEAM)
    os.chown(root / ".p2pdrive", ANNA, ANNA)

    def replace() -> None:
        with closing(LocalFiles(root)) as files:
            put(files, "f")

    as_account(ANNA, replace)
    found = file.stat()
    assert (found.st_uid, found.st_gid) == (ANNA, ANNA)
    if listed:
        assert os.getxattr(file, ACCESS)[4 + 16 : 4 + 24] == struct.pack("<HHI", GROUP, 4, NOBODY)
    else:
        assert found.st_mode & 0o777 == 0o644
