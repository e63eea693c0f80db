"""What is not synced: our own files, what is in folders that are too deep, what the built-in rules hide
(``defaults.py``), and what the rules in ``.p2pdriveignore`` say.

Rules are lines in the language of gitignore(5). As in git, nothing within an ignored directory can be
un-ignored. The file itself is synced whatever they say, so that all members hide the same.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from p2pdrive.errors import Changed, Unreadable
from p2pdrive.folder import defaults
from p2pdrive.folder.files import FileKind, Files
from p2pdrive.limits import (
    IGNORE_BYTES_MAX,
    IGNORE_DEPTHS_MAX,
    IGNORE_LINE_BYTES_MAX,
    IGNORE_LINES_MAX,
    IGNORE_MEMORY_MAX,
    IGNORE_WILDCARDS_MAX,
    PATH_NAMES_MAX,
)
from p2pdrive.model.paths import IGNORE_FILE, STATE_DIRECTORY, ancestors, name, parent
from p2pdrive.model.problem import Problem

#: How pathspec writes a star in a name, and '**' between two names.
_STAR = "[^/]*"
_DEPTH = "(?:/.+)?/"
#: How it writes the slash behind a directory. What is in one is no match for us: directories are asked for
#: themselves.
_INSIDE = "(?P<ps_d>/)"
#: The rule that hides everything.
_ALL = ("*",)
#: How the names of our temporary files start where they cannot be in the temporary area.
SIBLING_PREFIX = ".p2pdrive-tmp."


class Ignore:
    """The rules of one drive, as ``lines``. ``problems`` names those that could not be followed; ``stale``
    rules are older ones, as the file cannot be read now."""

    def __init__(
        self, lines: Iterable[str] = (), problems: Iterable[Problem] = (), stale: bool = False
    ) -> None:
        self.stale = stale
        patterns: list[GitIgnoreSpecPattern] = []
        found = list(problems)
        self.lines = tuple(lines)
        if len(self.lines) > IGNORE_LINES_MAX:
            found.append(Problem(IGNORE_FILE, f"only its first {IGNORE_LINES_MAX} lines are followed"))
        for number, line in enumerate(self.lines[:IGNORE_LINES_MAX], 1):
            try:
                patterns.append(_pattern(line))
            except ValueError as error:
                found.append(Problem(IGNORE_FILE, f"line {number} is not followed: {error}"))
        self.problems = tuple(found)
        followed = [pattern for pattern in patterns if pattern.include is not None]
        self._rules = followed[::-1]  # the last that matches counts
        self._directory = lru_cache(IGNORE_MEMORY_MAX)(lambda path: self._matches(path + "/"))

    @classmethod
    def load(cls, files: Files, followed: Iterable[str] | None = None, coming: bool = False) -> "Ignore":
        """The rules in the drive's folder; none where there is no ignore file, unless one is ``coming``.

        Without it, and while it cannot be read, those ``followed`` so far: what they hide may be secret. None
        were followed yet: then all is hidden that a file which cannot be read may hide. Raises RootMissing.
        """
        try:
            found = files.stat(IGNORE_FILE)
            if found is None:
                return cls(followed or () if coming else ())
            if found.kind is not FileKind.FILE:
                return cls((), [Problem(IGNORE_FILE, "is no file, so nothing is ignored; make it one")])
            if files.being_written(IGNORE_FILE):  # emptied at first, and about to hide something, perhaps
                raise Changed("is being written by a program; until it is closed, the rules before count")
            with files.open(IGNORE_FILE) as handle:
                content = bytearray(IGNORE_BYTES_MAX + 1)
                length = 0
                while count := handle.readinto(memoryview(content)[length:]):
                    length += count
        except (Changed, Unreadable) as error:
            return cls(_ALL if followed is None else followed, [Problem(IGNORE_FILE, str(error))], stale=True)
        if length > IGNORE_BYTES_MAX:
            return cls((), [Problem(IGNORE_FILE, f"is larger than {IGNORE_BYTES_MAX} bytes, not followed")])
        try:
            text = content[:length].decode("utf-8-sig")
        except UnicodeDecodeError:
            return cls((), [Problem(IGNORE_FILE, "is not UTF-8 text, and not followed; save it as UTF-8")])
        return cls(text.splitlines())

    def ignored(self, path: str, is_directory: bool) -> bool:
        """Whether ``path``, or a directory above it, is not synced."""
        if path.count("/") > PATH_NAMES_MAX:
            return True  # it is in a directory that is too deep to be in a drive: that one is the problem
        if STATE_DIRECTORY in path.casefold().split("/") or name(path).startswith(SIBLING_PREFIX):
            return True
        if path == IGNORE_FILE:
            return False
        if not self._rules:
            return defaults.hidden(path, is_directory)
        if any(self._directory(directory) for directory in ancestors(path)):
            return True
        return self._directory(path) if is_directory else self._matches(path)

    def is_litter(self, path: str, is_directory: bool = False) -> bool:
        """Whether only a built-in rule hides what is at ``path``, and it goes with the folder it is in."""
        text = path + "/" if is_directory else path
        if self._rule(text) is not None:
            return False
        if is_directory or not defaults.is_marker(name(path)):
            return defaults.is_litter(path, is_directory)
        return self.is_litter(parent(path), is_directory=True)

    def why(self, path: str, is_directory: bool) -> str | None:
        """The line that hides ``path``, or a directory above it; None where it is synced."""
        for each in (*reversed(ancestors(path)), path):
            if self.ignored(each, is_directory or each != path):
                return self._line(each, is_directory or each != path)
        return None

    def _matches(self, path: str) -> bool:
        """The last rule that matches counts, built-in ones come first. A directory has a slash at its end."""
        rule = self._rule(path)
        if rule is not None:
            return bool(rule.include)
        return defaults.hides(path.removesuffix("/"), path.endswith("/"))

    def _rule(self, path: str) -> GitIgnoreSpecPattern | None:
        return next((rule for rule in self._rules if rule.match_file(path) is not None), None)

    def _line(self, path: str, is_directory: bool) -> str:
        """The line that hides ``path`` itself."""
        text = path + "/" if is_directory else path
        if (rule := self._rule(text)) is not None:
            return str(rule.pattern)
        lines = (each.line for each in defaults.DEFAULTS if _pattern(each.line).match_file(text) is not None)
        return next(lines, f"{STATE_DIRECTORY} and what is p2pdrive's own")


class _Rule(GitIgnoreSpecPattern):
    """A rule that takes a time to match which grows with the path alone, whatever its stars are.

    What stands between two stars is taken where it is first found, which leaves the most to what follows;
    elsewhere it is not looked for. So there is nothing to go back to ("(?>...)") when the rest does not fit.
    """

    __slots__ = ()

    @staticmethod
    def _translate_segment_glob(pattern: str, range_error: Literal["literal", "raise"]) -> str:
        """One name of the rule."""
        plain = GitIgnoreSpecPattern._translate_segment_glob(pattern, range_error)  # noqa: SLF001 - to refine it
        first, *parts = plain.split(_STAR)
        between = "".join(f"(?>{_STAR}?{part})" for part in parts[:-1])
        return first + between + "".join(_STAR + last for last in parts[-1:])

    @classmethod
    def pattern_to_regex(cls, pattern: Any) -> tuple[Any, bool | None]:
        """The whole rule."""
        plain, include = super().pattern_to_regex(pattern)
        if not isinstance(plain, str):
            return plain, include
        plain = plain.replace(_INSIDE, f"{_INSIDE}$") + ("." if plain.endswith("/") else "")
        if _DEPTH not in plain:
            return plain, include
        first, *between, last = plain.split(_DEPTH)
        if first.startswith("^(?:.+/)?"):
            first = f"^(?>(?:.+?/)??{first.removeprefix('^(?:.+/)?')}(?=/))"
        middle = "".join(f"(?>(?:/.+?)??/{part}(?=/))" for part in between)
        return first + middle + _DEPTH + last, include


def _pattern(line: str) -> GitIgnoreSpecPattern:
    """Raises ValueError with a reason for people."""
    rule = "" if line.startswith("#") else line
    if len(rule.encode()) > IGNORE_LINE_BYTES_MAX:
        raise ValueError(f"it is longer than {IGNORE_LINE_BYTES_MAX} bytes, shorten it: {rule[:80]!r}")
    parts = rule.rstrip().removeprefix("!").split("/")
    if parts.count("**") > IGNORE_DEPTHS_MAX:
        raise ValueError(f"it has more than {IGNORE_DEPTHS_MAX} '**': {rule[:80]!r}")
    for part in parts:
        if part != "**" and part.count("*") > IGNORE_WILDCARDS_MAX:
            raise ValueError(f"it has more than {IGNORE_WILDCARDS_MAX} '*' in one name: {rule[:80]!r}")
    try:
        return _Rule(rule)
    except re.error as error:  # no ValueError; pathspec takes what is between brackets as it is
        raise ValueError(f"correct what is between its brackets ({error.msg}): {rule[:80]!r}") from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no rule: {rule[:80]!r}") from error
