"""What persons did, told by those who act for them: the truth that a run is judged by.

Contents are known by their bytes. One that a person wrote *stands* until a person, having it before the
eyes, wrote something else, deleted it, or a fault took it that nobody can help. What stands must be in the
folder; what p2pdrive once recorded must stay readable in the history.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from p2pdrive.folder.defaults import is_litter
from p2pdrive.folder.files import Stat
from p2pdrive.lab.evidence import (
    Hidden,
    content_of,
    entries_of,
    files_in,
    is_head,
    is_superseded,
    is_to_adopt,
    original_of,
    readable,
    root_of,
    shown_for_good,
)
from p2pdrive.lab.seen import Seen
from p2pdrive.lab.stories import Crash, Tree, Writing
from p2pdrive.lab.touched import Touched
from p2pdrive.lab.written import Written
from p2pdrive.model import paths


class Violation(Exception):
    """``checker`` found a broken promise."""

    def __init__(self, checker: str, message: str) -> None:
        super().__init__(f"{checker}: {message}")
        self.checker = checker
        self.message = message


class Oracle:
    """Who is told: keeps what was ``written``, what persons ``touched``, and what nodes were ``seen`` to go
    through. What excuses a promise that looks broken for all that, ``excuses.py`` says."""

    def __init__(self, world: Any = None) -> None:
        self.world = world
        self.count = 0
        self.written = Written()
        self.touched = Touched()
        self.seen = Seen()

    # --- what persons do

    def wrote(self, machine: str, path: str, data: bytes, replaced: bytes | None) -> None:
        """A person's program wrote ``data`` to ``path``, where ``replaced`` was shown just before."""
        number = self._next()
        if replaced is not None and replaced != data:
            self._take_away(machine, path, replaced, number)
        self.touched.changed.add(original_of(path))
        story = self.written.story(data, f"{path} on {machine}, event {number}")
        if data != replaced:
            if not self._is_adopted(machine, path, data):
                story.writings.append(Writing(number, machine, path))
            self._put(machine, path, data, number)
        else:
            self.touched.changed.add(path)
        if data != replaced or not original_of(path):  # a copy stays one until it is edited
            self.touched.made_on(machine)[path] = data
        self.touched.unscanned[machine, path] = data

    def deleted(self, machine: str, path: str, data: bytes | None) -> None:
        """A person deleted ``path``; ``data``: what the file there held, None for what is no file. A tree
        that goes is told of file by file and directory by directory."""
        number = self._next()
        self.touched.leave(machine, path)
        if data is not None:
            self._take_away(machine, path, data, number)

    def renamed(
        self,
        machine: str,
        old: str,
        new: str,
        replaced: bytes | None = None,
        contents: Mapping[str, bytes] | None = None,
    ) -> None:
        """A person renamed ``old``, with all that is in it; ``replaced``: the file that was at ``new``.

        ``contents``: the files that moved, by their new paths, and their bytes, if the world cannot be asked.
        """
        number = self._next()
        if contents is None and self.world is not None:
            tree = self._machine(machine).disk.tree()
            self.touched.moved.add((machine, new))
            moved = {path: shown for path, shown in tree.items() if paths.within(path, new)}
            self.touched.made_on(machine).update(dict.fromkeys(moved))
            inside = [path for path in moved if path != new]
            self.touched.origins.update({(machine, path): old + path[len(new) :] for path in inside})
            contents = files_in(moved)
        if replaced is not None and replaced not in (contents or {}).values():
            self._take_away(machine, new, replaced, number)
        elif replaced is not None and (contents or {}).get(new) == replaced:
            self._take_away(machine, old, replaced, number)  # of two equal files one is left
        unscanned = self.touched.unscanned_on(machine)
        self.touched.leave(machine, old)
        self.touched.leave_unscanned(machine, new)
        self.touched.changed.add(original_of(new))
        self.touched.made_on(machine)[new] = None
        if contents is None:
            self.touched.arrived.add(new)
        for path, data in (contents or {}).items():
            before = old + path[len(new) :]
            self.written.story(data, path).moved(machine, before, path)
            if not self._is_viewer(machine):
                self.written.remove(before, data, machine, number)
            elif self.written.story(data, path).writer == machine and self._is_adopted(machine, path, data):
                self.written.forgive(data, number, "a viewer brought back what its node shows there")
            self._put(machine, path, data, number)
            self.touched.made_on(machine)[path] = data
            if before in unscanned:
                self.touched.unscanned[machine, path] = data

    def made_directory(self, machine: str, path: str) -> None:
        """A person made a directory."""
        self._next()
        self.touched.made_on(machine)[path] = None

    def linked(self, machine: str, path: str, target: str) -> None:
        """A person made a symlink."""
        self._next()
        self.written.targets.add(target)
        self.touched.made_on(machine)[path] = None

    def chmodded(self, machine: str, path: str) -> None:  # noqa: ARG002 - on whichever machine
        """A person changed the mode or the time of ``path``."""
        self._next()
        self.touched.changed.add(path)

    def left(self, machine: str, path: str, data: bytes, secret: bool = False) -> None:
        """A program left ``data`` at ``path``: nobody need keep it. ``secret``: it may not leave the disk."""
        number = self._next()
        story = self.written.story(data, f"{path} on {machine}, event {number}, by a program")
        story.forgiven, story.why = number, "nobody wrote it"
        if secret:
            self.written.secrets.add(data)

    # --- what faults forgive

    def undone(self, machine: str, old: str, new: str) -> None:
        """The node renamed ``old``, saw that it was no longer what it meant to rename, and undid that. What a
        person did under the new name meanwhile went back to the old one, be it that it is gone."""
        within = {path for path in self.touched.made_on(machine) if paths.within(path, new)}
        self._may_be_gone({old, new, *within}, f"{machine} undid a rename of {old!r} to {new!r}")
        if not self._machine(machine).disk.exists(old):
            self.touched.gone.setdefault(machine, set()).add(old)

    def killed(self, machine: str) -> None:
        """The node was killed, by whatever."""
        self.seen.killed(machine, self._next())

    def power_lost(
        self,
        machine: str,
        before: Tree,
        after: Tree,
        stats: Mapping[str, Stat] | None = None,
        lost: AbstractSet[bytes] = frozenset(),
    ) -> None:
        """The power failed: the folder held ``before`` (``disk.tree()``, and its ``stats``), and holds
        ``after`` now. What the disk holds no more, be it aside, is ``lost``."""
        self.killed(machine)
        number, why = self._next(), f"the power failed on {machine}"
        mine = self.touched.made_on(machine)
        persons = (path for path, was in before.items() if path in mine and _is_still(mine[path], was))
        torn = (path for path, data in files_in(after).items() if data not in self.written.stories)
        entries = entries_of(self._machine(machine)) if self.world is not None else {}
        shown = (dict(before), dict(after), entries)
        crash = Crash(machine, *shown, frozenset(persons), frozenset(torn), stats or {})
        self.seen.crashes.append(crash)
        for path, data in self.touched.unscanned_on(machine).items():
            if data in lost:  # the node had put it aside, perhaps
                del self.touched.unscanned[machine, path]
                self._may_be_gone([path], why)
                self.written.forgive(data, number, why)
        for path in sorted({*before, *after}):
            was, now = before.get(path), after.get(path)
            if was is not None and now is not None and was[:2] == now[:2]:
                continue
            self._may_be_gone([path], why)
            self.touched.unscanned.pop((machine, path), None)
            if was is not None:
                self.touched.leave(machine, path)
                if was[0] == "file":
                    self.written.forgive(was[1], number, why)
            if now is not None and now[0] == "file":
                self.written.story(now[1], f"{path} on {machine}, after a power loss")
                self.written.arrive(path, now[1], self.count)
            elif now is not None and now[0] == "link":
                self.written.targets.add(now[1])

    def restored(
        self,
        machine: str,
        before: Tree,
        after: Tree,
        gone: Iterable[str] = (),
        put_away: Mapping[bytes, int] | None = None,
        unrecorded: Iterable[str] = (),
    ) -> None:
        """A backup was put back, folder and state (or a copied folder arrived); the node does not run yet.

        ``unrecorded`` are files in ``before`` that the node had not recorded as they were: they are gone, be
        it that the same bytes are in what was put back. ``gone`` is what persons took away before it was
        made: a node may find that only here. ``put_away`` is what a viewer replaced in it: the business of
        all, in the folder of a member that may write.
        """
        number = self._next()
        why = f"only {machine} had it, and was put back from a backup"
        self.seen.restored(machine, number)
        self.killed(machine)
        there = files_in(after)
        for path in unrecorded:
            self.written.stories[files_in(before)[path]].undo(machine, path)
        kept = {path: data for path, data in there.items() if not is_litter(path)}
        for path, data in there.items():
            story = self.written.story(data, f"{path} on {machine}, put back")
            if path in kept:  # litter goes with its folder, and no history has it
                story.kept = number
            self.written.arrive(path, data, self.count)
        if not self._is_viewer(machine):
            for data, when in (put_away or {}).items():
                if data not in there.values() and self.written.stories[data].written < when:
                    self.written.stories[data].replaced = number
        self.touched.leave_unscanned(machine)
        mine = self.touched.made_on(machine)
        for path in [path for path, data in mine.items() if data is not None and there.get(path) != data]:
            del mine[path]  # what was put back is older
        others = [tree for name, tree in self._trees() if name != machine]
        shown = shown_for_good({} if self._is_viewer(machine) else before, after, others)
        known = self._known_elsewhere(machine, shown)
        for data, story in self.written.stories.items():
            if data not in shown:
                self.written.forgive(data, number, why)
                if data in known or data in kept.values():  # others had it before, and have it still
                    story.kept = self._next()
            elif data not in known:
                story.unrecorded = number
        self._may_be_gone(before.keys() - {path for tree in others for path in tree}, why)
        self._forget_removals()
        self.touched.gone.setdefault(machine, set()).update(gone)

    def rotted(self, machine: str, path: str, data: bytes | None = None, was: bytes | None = None) -> None:
        """Bytes of ``path`` changed by themselves, from ``was`` to ``data``; of a pack if both are None."""
        number = self._next()
        self.seen.rotten.add(machine)
        self.touched.unscanned.pop((machine, path), None)
        if data is not None:
            self.written.story(data, f"{path} on {machine}, rotted")
            self.written.arrive(path, data, self.count)
        if was is not None:
            self.written.forgive(was, number, f"it rotted on {machine}")

    def hampered(self, machine: str, path: str) -> None:
        """From now on ``path`` (empty: the whole drive) cannot be read or written on ``machine``."""
        self.seen.hampers[machine, path] = self.world.now_ns() if self.world is not None else 0

    def relieved(self, machine: str, path: str) -> None:
        """That is over."""
        self.seen.hampers.pop((machine, path), None)

    # --- hostile peers

    def guest(self, device: bytes, name: str) -> None:
        """A hostile peer was let in, and may write."""
        self.seen.guests[device] = name

    def guest_wrote(self, data: bytes) -> None:
        """A hostile member published this; it may be shown, and may be lost."""
        self.written.story(data, "by a hostile peer").forgiven = self._next()

    def leaked(self, device: bytes, what: str) -> None:
        """A peer that may not was given something."""
        self.seen.leaks.append(f"{what}, to device {device.hex()[:8]}")

    # --- what checkers tell

    def looked_at_everything(self, machine: str) -> None:
        """All that happened until now on ``machine`` is known to its node, and recorded."""
        self.seen.looked_at_everything(machine, self.count)

    # --- how

    def _next(self) -> int:
        self.count += 1
        return self.count

    def _may_be_gone(self, gone: Iterable[str], why: str) -> None:
        self.seen.taken.update(dict.fromkeys(gone, why))

    def _put(self, machine: str, path: str, data: bytes, number: int) -> None:
        """A person put it there. In a folder that is taken as it is, an older version is just that; under a
        copy's name also one of the file that the copy is of."""
        taken_as_it_is = machine in self.seen.adopting or (
            self.world is not None and is_to_adopt(self._machine(machine), path)
        )
        if taken_as_it_is and any(self.written.came_to(at, data) for at in {path, original_of(path) or path}):
            self.written.forgive(data, number, "it may be an older version, brought along")
        self.written.arrive(path, data, self.count)

    def _is_adopted(self, machine: str, path: str, data: bytes) -> bool:
        """Whether another version that is about to be shown there says the same: the two count as one. Or the
        one that a viewer's node shows there: who brings that back has changed nothing."""
        if self.world is None:
            return False
        one, root = self._machine(machine), root_of(data)
        shown = entries_of(one).get(path)
        if shown is not None and shown.content.root == root:
            return self._is_viewer(machine)
        return is_head(one, path, root)

    def _take_away(self, machine: str, path: str, data: bytes, number: int) -> None:
        story = self.written.story(data, f"{path} on {machine}, seen there")
        for each, there in self.touched.unscanned_on(machine).items():
            if there == data:
                del self.touched.unscanned[machine, each]  # the node may have moved it before it went
        elsewhere = self._is_shown_elsewhere(machine, data)
        if not elsewhere:
            story.gone = number
        viewer = self._is_viewer(machine)  # what it does with others' files is nobody else's business
        if not viewer or story.writer == machine or not elsewhere:
            story.replaced = number
        else:
            self.touched.put_away.setdefault(machine, {})[data] = number
        if not viewer and machine not in self.seen.adopting:
            self.written.remove(path, data, machine, number)

    def _is_shown_elsewhere(self, machine: str, data: bytes) -> bool:
        """Others can get it there: neither do rules hide it, nor did a viewer put it there."""
        for name, tree in self._trees():
            there = {path for path, shown in files_in(tree).items() if shown == data and name != machine}
            if not there:
                continue
            one = self._machine(name)
            hidden = Hidden(one, tree)
            if self._is_viewer(name):
                entries, root = entries_of(one), root_of(data)
                there = {path for path in there if path in entries and entries[path].content.root == root}
            if not all(hidden.ignored(path, False) for path in there):
                return True
        return False

    def _is_viewer(self, machine: str) -> bool:
        return self.world is not None and getattr(self._machine(machine), "role", "") == "viewer"

    def _machine(self, name: str) -> Any:
        return next(machine for machine in self.world.machines if machine.name == name)

    def _trees(self) -> Iterable[tuple[str, Tree]]:
        machines = self.world.machines if self.world is not None else ()
        return [(machine.name, machine.disk.tree()) for machine in machines]

    def _forget_removals(self) -> None:
        """What was taken away where the folder was put back since, and no log (any more) knows that."""
        machines = self.world.machines if self.world is not None else ()
        for (path, data), place in self.written.places.items():
            left = [gone for gone in place.removals if gone.number > self.seen.put_back.get(gone.machine, 0)]
            if left != place.removals:
                recorded_at = [path, *filter(None, [original_of(path)])]
                if not any(is_superseded(each, at, root_of(data)) for each in machines for at in recorded_at):
                    place.removals = left

    def _known_elsewhere(self, machine: str, shown: set[bytes]) -> set[bytes]:
        """Contents that others have in their history, of those that are ``shown`` or must be readable."""
        others = [m for m in (self.world.machines if self.world is not None else ()) if m.name != machine]
        stories = self.written.stories.items()
        asked = [data for data, story in stories if story.must_be_readable or data in shown]
        contents = {root_of(data): data for data in asked}
        found: set[bytes] = set()
        for other in others:
            found.update(contents[root] for root in readable(other, (content_of(data) for data in asked)))
        return found


def _is_still(made: bytes | None, shown: Any) -> bool:
    """Whether ``shown`` is what a person made there (None: something that is no file)."""
    return made is None or shown[0] != "file" or bool(shown[1] == made)
