"""What persons did, told by those who act for them: the truth that a run is judged by.

Contents are known by their bytes. One that a person wrote *stands* until a person, having it before the
eyes, wrote something else, deleted it, or a fault took it that nobody can help. What stands must be in the
folder; what p2pdrive once recorded must stay readable in the history.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from p2pdrive.folder.files import Stat
from p2pdrive.folder.ignore import Ignore
from p2pdrive.lab.evidence import (
    content_of,
    entries_of,
    files_in,
    ignore_of,
    is_head,
    is_superseded,
    is_to_adopt,
    original_of,
    readable,
    root_of,
    shown_for_good,
)
from p2pdrive.lab.stories import Crash, Place, Removal, Story, Tree
from p2pdrive.model import paths


class Violation(Exception):
    """``checker`` found a broken promise."""

    def __init__(self, checker: str, message: str) -> None:
        super().__init__(f"{checker}: {message}")
        self.checker = checker
        self.message = message


class Oracle:
    """All that persons wrote, deleted and moved, on which machine, and what faults took by design."""

    def __init__(self, world: Any = None) -> None:
        self.world = world
        self.count = 0
        self.stories: dict[bytes, Story] = {}
        self.places: dict[tuple[str, bytes], Place] = {}
        self.targets: set[str] = set()  # of all links that persons made
        self.gone: dict[str, set[str]] = {}  # machine → paths that persons took away there, with their inside
        #: machine → path → the file that a person put there last, None for what is no file
        self.made: dict[str, dict[str, bytes | None]] = {}
        self.origins: dict[tuple[str, str], str] = {}  # (machine, path) → whence it came with its directory
        self.put_away: dict[str, dict[bytes, int]] = {}  # viewer → what of others it replaced, when
        self.moved: set[tuple[str, str]] = set()  # (machine, what a person gave another name)
        self.arrived: set[str] = set()  # paths that a rename put things under which nobody listed
        self.changed: set[str] = set()  # paths whose mode or time a person changed
        self.unscanned: dict[tuple[str, str], bytes] = {}  # (machine, path) → what was written there last
        self.excused: set[str] = set()  # paths that a fault may have taken
        self.hampers: dict[tuple[str, str], int] = {}  # (machine, path) → since when, in ns
        self.restores: dict[str, int] = {}  # machine → how often it was put back from a backup
        self.put_back: dict[str, int] = {}  # machine → when last
        self.adopting: set[str] = set()  # machines that take their folder as it is: nothing counts as deleted
        self.kills: dict[str, list[int]] = {}
        self.quiet: dict[str, list[int]] = {}  # machine → events up to which its node looked at everything
        self.crashes: list[Crash] = []
        self.rotten: set[str] = set()  # machines with a damaged pack or file
        self.guests: dict[bytes, str] = {}  # devices of hostile members that may write
        self.leaks: list[str] = []
        self._rules: list[Ignore] = []  # all that were ever written

    # --- what persons do

    def wrote(self, machine: str, path: str, data: bytes, replaced: bytes | None) -> None:
        """A person's program wrote ``data`` to ``path``, where ``replaced`` was shown just before."""
        number = self._next()
        if replaced is not None and replaced != data:
            self._take_away(machine, path, replaced, number)
        self.changed.add(original_of(path))
        story = self._story(data, f"{path} on {machine}, event {number}")
        if data != replaced:
            if not self._is_adopted(machine, path, data):
                story.written, story.writer = number, machine
            self._put(machine, path, data, number)
        else:
            self.changed.add(path)
        if data != replaced or not original_of(path):  # a copy stays one until it is edited
            self._made(machine)[path] = data
        self.unscanned[machine, path] = data

    def deleted(self, machine: str, path: str, data: bytes | None) -> None:
        """A person deleted ``path``; ``data``: what the file there held, None for what is no file. A tree
        that goes is told of file by file and directory by directory."""
        number = self._next()
        self._leave(machine, path)
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
            self.moved.add((machine, new))
            moved = {path: shown for path, shown in tree.items() if paths.within(path, new)}
            self._made(machine).update(dict.fromkeys(moved))
            self.origins.update({(machine, path): old + path[len(new) :] for path in moved if path != new})
            contents = files_in(moved)
        if replaced is not None and replaced not in (contents or {}).values():
            self._take_away(machine, new, replaced, number)
        elif replaced is not None and (contents or {}).get(new) == replaced:
            self._take_away(machine, old, replaced, number)  # of two equal files one is left
        unscanned = {path for name, path in self.unscanned if name == machine}
        self._leave(machine, old)
        self._leave_unscanned(machine, new)
        self.changed.add(original_of(new))
        self._made(machine)[new] = None
        if contents is None:
            self.arrived.add(new)
        for path, data in (contents or {}).items():
            before = old + path[len(new) :]
            if not self._is_viewer(machine):
                self.places.setdefault((before, data), Place()).removals.append(Removal(machine, number))
            elif self._story(data, path).writer == machine and self._is_adopted(machine, path, data):
                self._forgive(data, number, "a viewer brought back what its node shows there")
            self._put(machine, path, data, number)
            self._made(machine)[path] = data
            if before in unscanned:
                self.unscanned[machine, path] = data

    def made_directory(self, machine: str, path: str) -> None:
        """A person made a directory."""
        self._next()
        self._made(machine)[path] = None

    def linked(self, machine: str, path: str, target: str) -> None:
        """A person made a symlink."""
        self._next()
        self.targets.add(target)
        self._made(machine)[path] = None

    def chmodded(self, machine: str, path: str) -> None:  # noqa: ARG002 - on whichever machine
        """A person changed the mode or the time of ``path``."""
        self._next()
        self.changed.add(path)

    # --- what faults forgive

    def lost_by_design(self, machine: str, path: str, why: str) -> None:
        """What a person last wrote to ``path`` on ``machine`` may be gone for a reason nobody can help."""
        number = self._next()
        self.excused.add(path)
        self._leave(machine, path)
        data = self.unscanned.pop((machine, path), None)
        for place, content in self.places:
            if place == path and data in (None, content):
                self._forgive(content, number, why)

    def undone(self, machine: str, old: str, new: str) -> None:
        """The node renamed ``old``, saw that it was no longer what it meant to rename, and undid that. What a
        person did under the new name meanwhile went back to the old one, be it that it is gone."""
        within = {path for path in self._made(machine) if paths.within(path, new)}
        self.excused |= {old, new, *within}
        if not self._machine(machine).disk.exists(old):
            self.gone.setdefault(machine, set()).add(old)

    def killed(self, machine: str) -> None:
        """The node was killed, by whatever."""
        self.kills.setdefault(machine, []).append(self._next())

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
        number = self._next()
        mine = self._made(machine)
        persons = (path for path, was in before.items() if path in mine and _is_still(mine[path], was))
        torn = (path for path, data in files_in(after).items() if data not in self.stories)
        entries = entries_of(self._machine(machine)) if self.world is not None else {}
        shown = (dict(before), dict(after), entries)
        crash = Crash(machine, *shown, frozenset(persons), frozenset(torn), stats or {})
        self.crashes.append(crash)
        for (name, path), data in list(self.unscanned.items()):
            if name == machine and data in lost:  # the node had put it aside, perhaps
                del self.unscanned[name, path]
                self.excused.add(path)
                self._forgive(data, number, f"the power failed on {machine}")
        for path in sorted({*before, *after}):
            was, now = before.get(path), after.get(path)
            if was is not None and now is not None and was[:2] == now[:2]:
                continue
            self.excused.add(path)
            self.unscanned.pop((machine, path), None)
            if was is not None:
                self._leave(machine, path)
                if was[0] == "file":
                    self._forgive(was[1], number, f"the power failed on {machine}")
            if now is not None and now[0] == "file":
                self._story(now[1], f"{path} on {machine}, after a power loss")
                self._arrive(path, now[1])
            elif now is not None and now[0] == "link":
                self.targets.add(now[1])

    def restored(
        self,
        machine: str,
        before: Tree,
        after: Tree,
        gone: Iterable[str] = (),
        put_away: Mapping[bytes, int] | None = None,
    ) -> None:
        """A backup was put back, folder and state (or a copied folder arrived); the node does not run yet.

        ``gone`` is what persons took away before it was made: a node may find that only here. ``put_away`` is
        what a viewer replaced in it: the business of all, in the folder of a member that may write.
        """
        number = self._next()
        self.restores[machine] = self.restores.get(machine, 0) + 1
        self.put_back[machine] = number
        self.adopting.add(machine)
        self.killed(machine)
        there = files_in(after)
        for path, data in there.items():
            story = self._story(data, f"{path} on {machine}, put back")
            story.kept = number
            self._arrive(path, data)
        if not self._is_viewer(machine):
            for data, when in (put_away or {}).items():
                if data not in there.values() and self.stories[data].written < when:
                    self.stories[data].replaced = number
        for key in [key for key in self.unscanned if key[0] == machine]:
            del self.unscanned[key]
        mine = self._made(machine)
        for path in [path for path, data in mine.items() if data is not None and there.get(path) != data]:
            del mine[path]  # what was put back is older
        others = [tree for name, tree in self._trees() if name != machine]
        shown = shown_for_good({} if self._is_viewer(machine) else before, after, others)
        known = self._known_elsewhere(machine, shown)
        for data, story in self.stories.items():
            if data not in shown:
                self._forgive(data, number, f"only {machine} had it, and was put back from a backup")
                if data in known or data in there.values():  # others had it before, and have it still
                    story.kept = self._next()
            elif data not in known:
                story.unrecorded = number
        self.excused.update(before.keys() - {path for tree in others for path in tree})
        self._forget_removals()
        self.gone.setdefault(machine, set()).update(gone)

    def rotted(self, machine: str, path: str, data: bytes | None = None, was: bytes | None = None) -> None:
        """Bytes of ``path`` changed by themselves, from ``was`` to ``data``; of a pack if both are None."""
        number = self._next()
        self.rotten.add(machine)
        self.unscanned.pop((machine, path), None)
        if data is not None:
            self._story(data, f"{path} on {machine}, rotted")
            self._arrive(path, data)
        if was is not None:
            self._forgive(was, number, f"it rotted on {machine}")

    def hampered(self, machine: str, path: str) -> None:
        """From now on ``path`` (empty: the whole drive) cannot be read or written on ``machine``."""
        self.hampers[machine, path] = self.world.now_ns() if self.world is not None else 0

    def relieved(self, machine: str, path: str) -> None:
        """That is over."""
        self.hampers.pop((machine, path), None)

    # --- hostile peers

    def guest(self, device: bytes, name: str) -> None:
        """A hostile peer was let in, and may write."""
        self.guests[device] = name

    def guest_wrote(self, data: bytes) -> None:
        """A hostile member published this; it may be shown, and may be lost."""
        self._story(data, "by a hostile peer").forgiven = self._next()

    def leaked(self, device: bytes, what: str) -> None:
        """A peer that may not was given something."""
        self.leaks.append(f"{what}, to device {device.hex()[:8]}")

    # --- for checkers

    def is_known(self, data: bytes) -> bool:
        """Whether a person wrote this, or a fault made it of what a person wrote."""
        return data in self.stories

    def roots(self) -> set[bytes]:
        """What records call the contents that are known."""
        return {root_of(data) for data in self.stories}

    def took_away(self, machine: str, path: str) -> bool:
        """Whether a person ever took away ``path``, or a directory above it, on ``machine``."""
        gone = self.gone.get(machine, set())
        return any(one in gone for one in (path, *paths.ancestors(path)))

    def anyone_took_away(self, path: str) -> bool:
        """The same, on any machine."""
        return any(self.took_away(machine, path) for machine in self.gone)

    def was_going(self, machine: str, path: str) -> bool:
        """Whether it came to ``path`` with its directory, and under its earlier name was deleted elsewhere,
        or was the copy of a file that was deleted, and is that file now.

        The node may have been about to remove it when the directory was renamed under its hands.
        """
        origin = self.origins.get((machine, path), "")
        elsewhere = any(self.took_away(other, origin) for other in self.gone.keys() - {machine})
        return elsewhere or self.anyone_took_away(original_of(origin))

    def may_have_moved(self, machine: str, path: str) -> bool:
        """Whether a person renamed a directory above it: what the node did in there at that moment, it did at
        the new place."""
        return any((machine, above) in self.moved for above in paths.ancestors(path))

    def was_ignored(self, path: str) -> bool:
        """Whether any ignore rules that there ever were hid ``path``: what is done there may go unnoticed."""
        return any(rules.ignored(path, False) or rules.ignored(path, True) for rules in self._rules)

    def looked_at_everything(self, machine: str) -> None:
        """All that happened until now on ``machine`` is known to its node, and recorded."""
        looked = self.quiet.setdefault(machine, [])
        if not looked or looked[-1] != self.count:
            looked.append(self.count)

    def noticed(self, removal: Removal) -> bool:
        """Whether the node must have noticed it: it was not killed in the same breath."""
        quiet = self.quiet.get(removal.machine, [])
        before = max((at for at in quiet if at < removal.number), default=0)
        after = min((at for at in quiet if at >= removal.number), default=self.count + 1)
        return not any(before <= kill <= after for kill in self.kills.get(removal.machine, []))

    # --- how

    def _next(self) -> int:
        self.count += 1
        return self.count

    def _made(self, machine: str) -> dict[str, bytes | None]:
        return self.made.setdefault(machine, {})

    def _story(self, data: bytes, where: str) -> Story:
        return self.stories.setdefault(data, Story(data, where))

    def _put(self, machine: str, path: str, data: bytes, number: int) -> None:
        """A person put it there. In a folder that is taken as it is, an older version is just that; under a
        copy's name also one of the file that the copy is of."""
        before = [self.places.get((at, data), Place()).arrivals for at in {path, original_of(path) or path}]
        if any(before) and (
            machine in self.adopting or (self.world and is_to_adopt(self._machine(machine), path))
        ):
            self._forgive(data, number, "it may be an older version, brought along")
        self._arrive(path, data)

    def _arrive(self, path: str, data: bytes) -> None:
        self.places.setdefault((path, data), Place()).arrivals.append(self.count)
        if path == paths.IGNORE_FILE:
            self._rules.append(ignore_of({path: ("file", data)}))

    def _leave(self, machine: str, path: str) -> None:
        self.changed.add(original_of(path))  # a conflict was settled: that is an edit of its path
        self.gone.setdefault(machine, set()).add(path)
        self._leave_unscanned(machine, path)

    def _leave_unscanned(self, machine: str, path: str) -> None:
        for key in [key for key in self.unscanned if key[0] == machine and paths.within(key[1], path)]:
            del self.unscanned[key]

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
        story = self._story(data, f"{path} on {machine}, seen there")
        for key in [key for key, there in self.unscanned.items() if key[0] == machine and there == data]:
            del self.unscanned[key]  # the node may have moved it before it went
        viewer = self._is_viewer(machine)  # what it does with others' files is nobody else's business
        if not viewer or story.writer == machine or not self._is_shown_elsewhere(machine, data):
            story.replaced = number
        else:
            self.put_away.setdefault(machine, {})[data] = number
        if not viewer and machine not in self.adopting:
            self.places.setdefault((path, data), Place()).removals.append(Removal(machine, number))

    def _is_shown_elsewhere(self, machine: str, data: bytes) -> bool:
        return any(data in files_in(tree).values() for name, tree in self._trees() if name != machine)

    def _forgive(self, data: bytes, number: int, why: str) -> None:
        story = self.stories.get(data)
        if story is not None:
            story.forgiven, story.why = number, why

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
        for (path, data), place in self.places.items():
            left = [gone for gone in place.removals if gone.number > self.put_back.get(gone.machine, 0)]
            if left != place.removals:
                recorded_at = [path, *filter(None, [original_of(path)])]
                if not any(is_superseded(each, at, root_of(data)) for each in machines for at in recorded_at):
                    place.removals = left

    def _known_elsewhere(self, machine: str, shown: set[bytes]) -> set[bytes]:
        """Contents that others have in their history, of those that are ``shown`` or must be readable."""
        others = [m for m in (self.world.machines if self.world is not None else ()) if m.name != machine]
        asked = [data for data, story in self.stories.items() if story.must_be_readable or data in shown]
        contents = {root_of(data): data for data in asked}
        found: set[bytes] = set()
        for other in others:
            found.update(contents[root] for root in readable(other, (content_of(data) for data in asked)))
        return found


def _is_still(made: bytes | None, shown: Any) -> bool:
    """Whether ``shown`` is what a person made there (None: something that is no file)."""
    return made is None or shown[0] != "file" or bool(shown[1] == made)
