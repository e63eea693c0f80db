"""The built-in rules: what they hide, that they mean what lines of an ignore file do, what undoes them."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from p2pdrive.folder import defaults
from p2pdrive.folder.defaults import DEFAULTS, LINES, hidden, is_litter
from p2pdrive.folder.ignore import Ignore

#: A name for each rule, and names that are near to one and are people's.
HIDDEN_FILES = (
    *(".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini", ".nfs0000000000a1", ".fuse_hidden0001"),
    *(".~lock.letter.odt#", ".#notes.txt", "~$letter.docx", ".notes.txt.swp", ".notes.txt.swo", ".dropbox"),
    *("._sync_0a1b.db", "._sync_0a1b.db-wal", ".sync_0a1b.db", ".csync_journal.db", ".syncthing.a.txt.tmp"),
)
HIDDEN_DIRECTORIES = (
    *("lost+found", ".Trash-1000", ".Trash", ".Trashes", "$RECYCLE.BIN", "System Volume Information"),
    *(".stfolder", ".stversions", ".sync", ".dropbox.cache", ".tmp.drivedownload"),
)
VISIBLE = (
    *("a.txt", "notes.txt~", "#notes.txt#", "._letter.doc", "movie.mkv.part", "a.crdownload", ".gitignore"),
    *("yarn.lock", "Cargo.lock", "a.swp", "$letter.doc", "Thumbs.db.txt", "sync", ".git", "HEAD", "lock"),
)
NAMES = st.sampled_from((*HIDDEN_FILES, *HIDDEN_DIRECTORIES, *VISIBLE, "index.lock", "refs")) | st.text(
    st.sampled_from(".~$#*ls+wp[é"), min_size=1, max_size=6
).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize("where", ["", "d/", "d/e/"])
def test_what_nobody_wants_is_hidden_anywhere(where: str) -> None:
    ignore = Ignore()
    for name in HIDDEN_FILES:
        assert ignore.ignored(where + name, False), name
    for name in HIDDEN_DIRECTORIES:
        assert ignore.ignored(where + name, True), name
        assert ignore.ignored(f"{where}{name}/inside/a.txt", False), name
    for name in (*VISIBLE, *HIDDEN_DIRECTORIES):
        assert not ignore.ignored(where + name, False), name


def test_locks_of_git_are_hidden_and_nobody_elses() -> None:
    for path in (".git/index.lock", "src/.git/refs/heads/main.lock", "a/.git/modules/b/index.lock"):
        assert hidden(path, False), path
    for path in ("index.lock", "yarn.lock", "git/index.lock", "x.git/index.lock", ".git/index", ".git.lock"):
        assert not hidden(path, False), path


@given(path=PATHS, is_directory=st.booleans(), alone=st.booleans())
@example(path="lost+found/.git/index.lock", is_directory=False, alone=True)
@example(path=".git/x.lock/y", is_directory=False, alone=False)
def test_fast_path_means_what_the_lines_mean_to_git(path: str, is_directory: bool, alone: bool) -> None:
    """``alone``: without a rule of a person, which takes another way through the code."""
    spec = GitIgnoreSpec.from_lines(LINES)
    text = path + "/" if is_directory else path
    expected = spec.match_file(text)
    assert Ignore([] if alone else ["nothing like it"]).ignored(path, is_directory) is expected


@pytest.mark.parametrize("default", DEFAULTS, ids=LINES)
def test_each_is_undone_by_a_line_and_is_listed_with_a_word(default: defaults.Default) -> None:
    example = default.line.removesuffix("/").replace("**/", "").replace("*", "x").replace("?", "p")
    path, is_directory = f"d/{example}", default.line.endswith("/")
    if "/" in example:
        path = f"{example.split('/')[0]}/{example.split('/')[1]}"
    assert Ignore().ignored(path, is_directory)
    assert Ignore().why(path, is_directory) in LINES
    undone = Ignore([f"!{default.line}"])
    assert not undone.ignored(path, is_directory)
    assert undone.why(path, is_directory) is None
    assert not undone.is_litter(path)
    assert default.why


def test_rule_of_a_person_hides_more() -> None:
    ignore = Ignore(["*.tmp"])
    assert ignore.ignored(".DS_Store", False) and ignore.ignored("a.tmp", False)
    assert (ignore.why("d/a.tmp", False), ignore.why(".sync/a.tmp", False)) == ("*.tmp", ".sync/")


def test_litter_is_what_is_made_anew_or_of_no_use_alone() -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", ".~lock.a#", ".#a", "~$a", ".nfs01", ".dropbox"):
        assert is_litter(name), name
    for path in ("d/.git/index.lock", ".git/refs/heads/main.lock", "d/._sync_1.db-wal", ".sync.ffs_db"):
        assert is_litter(path), path
    for name in (".a.swp", ".Trash-1000", ".stfolder", "a.txt", ".DS_Store2", "index.lock", ".git/HEAD"):
        assert not is_litter(name), name
    assert is_litter("d/.stfolder", is_directory=True)
    for name in (".stversions", ".sync", ".Trash", ".dropbox.cache", ".git/index.lock", ".dropbox2"):
        assert not is_litter(name, is_directory=True), name
    assert not Ignore([".DS_Store"]).is_litter("d/.DS_Store")  # a person's own rule: who knows why
    marker = "d/.stfolder/syncthing-folder-1.txt"
    assert Ignore().is_litter(marker)
    assert not any(Ignore([line]).is_litter(marker) for line in (".stfolder/", "!.stfolder/", "syncthing-*"))
    assert not Ignore().is_litter("d/syncthing-folder-1.txt")
    assert not Ignore([".stfolder/"]).is_litter("d/.stfolder", is_directory=True)


def test_rules_cost_little_for_each_path_of_a_scan() -> None:
    paths = [f"photos/2024/{number % 50}/IMG_{number}.jpg" for number in range(20_000)]
    ignore = Ignore()
    began = time.process_time()
    for path in paths:
        ignore.ignored(path, False)
    assert time.process_time() - began < 1.0  # some 0.1 s
