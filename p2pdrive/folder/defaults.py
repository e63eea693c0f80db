"""What nobody wants in sync, though it lies among what people do want: built-in rules.

They come before those of ``.p2pdriveignore``, so that a line there undoes each (``!.DS_Store``). What may be
a person's only copy of something is not here: backups of editors (``*~``, ``#*#``), unfinished downloads, and
the ``._*`` files in which macOS keeps attributes, and some data, on foreign disks.
"""

import re
from dataclasses import dataclass

from p2pdrive.model.paths import name


@dataclass(frozen=True, slots=True)
class Default:
    """``line`` is in the language of gitignore(5); ``why`` says what it hides.

    ``litter`` goes along with a folder that is deleted elsewhere: it is made anew whenever it is missed, or
    is of no use without its folder. What may be a person's only copy stays: unsaved edits, trash, old files.
    """

    line: str
    why: str
    litter: bool = False


#: A line is a name, with stars behind its first letter and perhaps a slash at its end; others need code of
#: their own below.
DEFAULTS = (
    Default("lost+found/", "where fsck puts what it finds, at the top of a disk"),
    Default(".Trash-*/", "the trash of a Linux desktop, on a disk of its own"),
    Default(".Trash/", "the same, of several users"),
    Default(".Trashes/", "the trash of macOS, on a disk of its own"),
    Default("$RECYCLE.BIN/", "the trash of Windows"),
    Default("$Recycle.Bin/", "the trash of Windows"),
    Default("System Volume Information/", "restore points and indexes of Windows"),
    Default(".Spotlight-V100/", "the search index of macOS"),
    Default(".DocumentRevisions-V100/", "document versions of macOS"),
    Default(".fseventsd/", "the change log of macOS"),
    Default(".TemporaryItems/", "temporary files of macOS"),
    Default(".DS_Store", "how a macOS window looked", litter=True),
    Default("Thumbs.db", "thumbnails of Windows", litter=True),
    Default("thumbs.db", "thumbnails of Windows", litter=True),
    Default("ehthumbs.db", "thumbnails of Windows", litter=True),
    Default("desktop.ini", "how a Windows folder looks", litter=True),
    Default("Desktop.ini", "how a Windows folder looks", litter=True),
    Default(".nfs*", "a file that was deleted and is still open, over NFS", litter=True),
    Default(".fuse_hidden*", "a file that was deleted and is still open, over FUSE", litter=True),
    Default(".~lock.*#", "a lock of LibreOffice", litter=True),
    Default(".#*", "a lock of emacs", litter=True),
    Default("~$*", "a lock of Microsoft Office", litter=True),
    Default(".*.sw?", "the swap file of vim"),
    Default("**/.git/**/*.lock", "a lock of git", litter=True),
    Default(".stfolder/", "the marker of Syncthing", litter=True),
    Default(".stversions/", "old versions of Syncthing"),
    Default(".syncthing.*.tmp", "an unfinished transfer of Syncthing", litter=True),
    Default("~syncthing~*.tmp", "an unfinished transfer of Syncthing", litter=True),
    Default(".sync/", "the state and archive of Resilio Sync"),
    Default(".dropbox", "the marker of Dropbox", litter=True),
    Default(".dropbox.attr", "attributes of Dropbox", litter=True),
    Default(".dropbox.cache/", "the cache of Dropbox"),
    Default(".unison.*.unison.tmp", "an unfinished transfer of Unison", litter=True),
    Default("._sync_*.db*", "the journal of Nextcloud and ownCloud", litter=True),
    Default(".sync_*.db*", "the journal of Nextcloud and ownCloud", litter=True),
    Default(".csync_journal.db*", "the journal of an older ownCloud", litter=True),
    Default(".owncloudsync.log*", "the log of ownCloud", litter=True),
    Default(".nextcloudsync.log*", "the log of Nextcloud", litter=True),
    Default(".sync.ffs_db", "the state of FreeFileSync", litter=True),
    Default("sync.ffs_lock", "a lock of FreeFileSync", litter=True),
    Default(".tmp.drivedownload/", "an unfinished transfer of Google Drive"),
    Default(".tmp.driveupload/", "an unfinished transfer of Google Drive"),
)
#: As they are remembered, so that another version's rules are noticed.
LINES = tuple(each.line for each in DEFAULTS)

_IN_GIT = "**/.git/**/*.lock"
_GIT_LOCK = re.compile(r"(?:^|/)\.git/(?:.*/)?[^/]*\.lock(?:/|$)", re.DOTALL)


def hidden(path: str, is_directory: bool) -> bool:
    """Whether a rule hides ``path``, or a directory above it."""
    text = path + "/" if is_directory else path
    return _SOMEWHERE.search(text) is not None or (".git/" in text and _GIT_LOCK.search(text) is not None)


def hides(path: str, is_directory: bool) -> bool:
    """Whether a rule hides ``path`` itself, whatever is above it."""
    text = path + "/" if is_directory else path
    if _ITSELF.fullmatch(name(path) + text[len(path) :]) is not None:
        return True
    return name(path).endswith(".lock") and ".git/" in text and _GIT_LOCK.search(text) is not None


def is_litter(path: str, is_directory: bool = False) -> bool:
    """Whether what only a rule hides at ``path`` goes with the folder that it is in."""
    text = path + "/" if is_directory else path
    if _LITTER.fullmatch(name(path) + text[len(path) :]) is not None:
        return True
    return not is_directory and name(path).endswith(".lock") and _GIT_LOCK.search(path) is not None


def is_marker(child: str) -> bool:
    """Whether a file of this name goes along with the directory of a built-in rule that it is in."""
    return _MARKER.fullmatch(child) is not None


def _pattern(line: str) -> str:
    """The expression for a name with a slash behind it, if it is a directory."""
    glob = re.escape(line.removesuffix("/")).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return glob + ("/" if line.endswith("/") else "(?:/|$)")


def _any_of(lines: "tuple[str, ...]") -> str:
    return "(?:" + "|".join(map(_pattern, lines)) + ")"


_NAMED = tuple(line for line in LINES if line != _IN_GIT)
_ITSELF = re.compile(_any_of(_NAMED), re.DOTALL)
_FIRST = "".join(re.escape(letter) for letter in sorted({line[0] for line in _NAMED}))
_SOMEWHERE = re.compile(f"(?:^|/)(?=[{_FIRST}])" + _any_of(_NAMED), re.DOTALL)  # most names begin otherwise
_LITTER = re.compile(
    _any_of(tuple(each.line for each in DEFAULTS if each.litter and each.line != _IN_GIT)), re.DOTALL
)
_MARKER = re.compile("syncthing-folder-[^/]*[.]txt")
