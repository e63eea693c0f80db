"""Which folders may be drives at all, and which only if the person means it."""

import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path

from p2pdrive.errors import AskFirst, DriveError
from p2pdrive.folder.homes import home_around
from p2pdrive.limits import SURVEY_FILES_MAX, SURVEY_SECONDS_MAX
from p2pdrive.model.paths import STATE_DIRECTORY

#: User ids of persons begin here; those below are of services, but for root.
_FIRST_PERSON = 1000
#: Folders in a home folder that hold keys and passwords.
_SECRETS = (".ssh", ".gnupg", ".aws", ".kube", ".password-store", ".mozilla", ".local/share/keyrings")


def check_place(path: str, home: Path, yes: bool) -> None:
    """Refuse what may be no drive: the root of the file system, a home of a p2pdrive node (``home`` is this
    one's), and what is in one. Raises DriveError; AskFirst for a person's whole home folder, without ``yes``.
    """
    folder = Path(os.path.realpath(path))
    if folder == Path(folder.anchor):
        raise DriveError("/ is the whole system, and cannot be a drive. Choose a folder of your own files.")
    around = home if home in (folder, *folder.parents) else home_around(folder)
    if around is not None:
        what = "is the home of a p2pdrive node" if around == folder else f"is in {around}, a p2pdrive home"
        raise DriveError(f"{path} {what}, which holds the node's key. Choose a folder apart from it.")
    if not yes and (why := _why_ask(folder, home)) is not None:
        raise AskFirst(f"{path} {why} {_survey(folder, home)} Say --yes to do it, or choose a folder in it.")


def _why_ask(folder: Path, home: Path) -> str | None:
    persons = _homes_of_persons()
    if folder in persons:
        return "is a whole home folder: all in it becomes part of the drive."
    if any(folder in each.parents for each in persons):
        return "has whole home folders in it: all in them becomes part of the drive."
    if folder in home.parents:
        return "has p2pdrive's own home in it, so it is probably more than you mean to sync."
    return None


def _homes_of_persons() -> set[Path]:
    named = {each.pw_dir for each in pwd.getpwall() if each.pw_uid >= _FIRST_PERSON or not each.pw_uid}
    named.add(os.path.expanduser("~"))
    found = {Path(os.path.realpath(each)) for each in named if os.path.isabs(each)}
    return {each for each in found if each != Path(each.anchor) and each.is_dir()}


def _survey(folder: Path, home: Path) -> str:
    """About how much that is, and what else to know."""
    files, size, whole = _count(folder, home)
    said = f"{'' if whole else 'More than '}{files:,} files, {size / 1e6:,.0f} MB, would be synced"
    secrets = [each for each in _SECRETS if (folder / each).is_dir()]
    said += f", among them keys and passwords in {', '.join(secrets)}." if secrets else "."
    return said + f" p2pdrive's own home, {home}, is left out." if folder in home.parents else said


def _count(folder: Path, home: Path) -> tuple[int, int, bool]:
    """Files and their bytes; and whether these are all, as it takes some time at most."""
    files, size = 0, 0
    until = time.monotonic() + SURVEY_SECONDS_MAX
    for found in _files(folder, home):
        files, size = files + 1, size + found.st_size
        if files >= SURVEY_FILES_MAX or time.monotonic() > until:
            return files, size, False
    return files, size, True


def _files(folder: Path, home: Path) -> Iterator[os.stat_result]:
    for directory, names, files in os.walk(folder):
        names[:] = [each for each in names if each != STATE_DIRECTORY and Path(directory, each) != home]
        for each in files:
            try:
                yield os.lstat(os.path.join(directory, each))
            except OSError:
                continue
