"""What of a folder inotify watches, and what is looked through now and then: the blocking half of ``watch``.

Looked through is what inotify refuses to watch, and what other machines may change, on a network disk.
"""

import os
from pathlib import Path

from p2pdrive.folder import mountinfo
from p2pdrive.folder.inotify import Inotify
from p2pdrive.folder.mountinfo import Mount
from p2pdrive.folder.outlook import Cause, Outlook, Polled
from p2pdrive.folder.polling import Poller
from p2pdrive.limits import WATCH_POLL_SECONDS_MIN, WATCH_POLL_SHARE


class Lookout:
    """Over the folder ``root``, be it through a symlink. One call at a time, from any thread.

    ``notify`` is None while this account may have no more instances of inotify. ``pause`` is how many seconds
    there are to be between two polls.
    """

    def __init__(self, root: Path, outlook: Outlook, poll_seconds: float) -> None:
        self.notify: Inotify | None = None
        self.pause = min(poll_seconds, WATCH_POLL_SECONDS_MIN)
        self._root = os.path.realpath(root)  # a symlink is no place that can be watched
        self._outlook = outlook
        self._seconds_max = poll_seconds
        self._poller = Poller(self._root, self._ignored)
        self._mounts: dict[str, Mount] = {}
        self._shared: set[str] = set()

    @property
    def lost_root(self) -> bool:
        """Whether the root is gone from its place, as far as inotify knows."""
        return self.notify is not None and self.notify.lost_root

    @property
    def polls(self) -> bool:
        """Whether there is anything to look through."""
        return self.notify is None or bool(self.notify.unwatched or self._shared)

    @property
    def polled(self) -> Polled:
        """What is to be said of it."""
        if not self.polls:
            return Polled()
        causes = {Cause.SHARED} if self._shared else set()
        if self.notify is None:
            causes.add(Cause.INSTANCES)
        elif self.notify.unwatched:
            causes.add(Cause.WATCHES if self.notify.at_limit else Cause.FAILED)
        return Polled(self._poller.directories, self.pause, frozenset(causes))

    def begin(self) -> None:
        """Once this returns, no later change is missed."""
        self._learn_mounts()
        self._watch_all()
        self._look()

    def follow_rules(self) -> set[str]:
        """Other directories are ignored now. Returns those that are looked at newly."""
        return self.notify.follow_rules() if self.notify is not None else set()

    def follow_mounts(self) -> set[str]:
        """Watch what was mounted or unmounted since the last time; returns these directories."""
        before = self._learn_mounts()
        changed = {
            path
            for path in {*before, *self._mounts}
            if path and before.get(path) != self._mounts.get(path) and not self._ignored(path)
        }
        if self.notify is not None:
            changed |= self.notify.unmounted  # another may be mounted there already
            self.notify.unmounted.clear()
            for path in changed:
                self.notify.watch_tree(path)
        return changed

    def poll(self) -> set[str]:
        """Look through what is not watched, and try again to watch it. Returns what is to be looked at."""
        watched: set[str] = set()
        if self.notify is None:
            self._watch_all()
            watched = {""} if self.notify is not None else set()
        else:
            watched = self.notify.retry()
        changed = self._look()
        longest = max(self._seconds_max, WATCH_POLL_SHARE * self._poller.seconds)
        shortest = min(longest, max(WATCH_POLL_SECONDS_MIN, WATCH_POLL_SHARE * self._poller.seconds))
        self.pause = shortest if changed else min(longest, 2 * self.pause)
        return changed | watched

    def close(self) -> None:
        """Stop watching."""
        if self.notify is not None:
            self.notify.close()

    def _watch_all(self) -> None:
        try:
            self.notify = Inotify(self._root, self._ignored)
        except OSError:
            return
        self.notify.watch_tree("")

    def _look(self) -> set[str]:
        unwatched = self.notify.unwatched if self.notify is not None else {""}
        return self._poller.look(unwatched | self._shared)

    def _learn_mounts(self) -> dict[str, Mount]:
        """Returns what was mounted before."""
        before = self._mounts
        self._mounts = mountinfo.within_root(mountinfo.mounts(), self._root)
        shared = (path for path, mount in self._mounts.items() if mount.shared)
        self._shared = {path for path in shared if not self._ignored(path)}
        return before

    def _ignored(self, path: str) -> bool:
        return bool(path) and self._outlook.ignored(path)
