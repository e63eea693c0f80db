"""What persons wrote: never lost, never overwritten unseen, never invented, and readable as promised."""

from collections.abc import Iterable
from typing import Any, ClassVar

from p2pdrive.lab.checkers.checker import Checker
from p2pdrive.lab.evidence import content_of, files_in, index_of, on_disk, readable, reading, root_of
from p2pdrive.lab.stories import Crash, Story
from p2pdrive.model.record import Content, Kind


class NoLostUpdate(Checker):
    """What a person wrote is in the folder until a person replaces it, and what was put back is readable."""

    number: ClassVar[int] = 2

    def _after(self, world: Any) -> None:
        shown: set[bytes] = set()
        for machine in world.machines:
            shown.update(files_in(machine.disk.tree()).values())
        missing = [
            story
            for story in world.oracle.written.stories.values()
            if story.must_be_readable and story.data not in shown
        ]
        if not missing:
            return
        read = self._readable(world, missing)
        for story in missing:
            if root_of(story.data) not in read and not self._may_be_gone(world, story):
                self.fail(f"{_name(story)} is nowhere any more, though nobody replaced it")
            if story.stands and root_of(story.data) in read:
                self.fail(f"{_name(story)} is only in the history, though nobody replaced it")

    def _readable(self, world: Any, stories: Iterable[Story]) -> set[bytes]:
        contents = [content_of(story.data) for story in stories]
        found: set[bytes] = set()
        for machine in world.machines:
            found.update(readable(machine, contents))
        return found

    def _may_be_gone(self, world: Any, story: Story) -> bool:
        """Where a pack is damaged, or a disk was full, what only history held may be gone."""
        return bool(world.oracle.seen.rotten or world.oracle.seen.cramped) and not story.stands


class NoOverwrittenUnscannedEdit(Checker):
    """What a person wrote is on that very disk, until the node has recorded it or a person replaces it."""

    number: ClassVar[int] = 3

    def _prepare(self) -> None:
        self._recorded: dict[str, set[bytes]] = {}

    def _during(self, world: Any) -> None:
        names = {machine.identity.device: machine.name for machine in world.machines}
        for held in self.books.news(self, world):
            # Who wrote it has it too, and may not be asked just now: its disk may be away.
            for name in {held.machine, names.get(held.header.device, held.machine)}:
                roots = self._recorded.setdefault(name, set())
                roots.update(record.content.root for record in held.records)
        machines = {machine.name: machine for machine in world.machines}
        unscanned = world.oracle.touched.unscanned
        for (name, path), data in list(unscanned.items()):
            machine, story = machines[name], world.oracle.written.stories[data]
            if root_of(data) in self._recorded.get(name, ()) or not story.stands:
                del unscanned[name, path]
            elif not _is_at(machine, path, data) and data not in on_disk(machine):
                self.fail(f"{_name(story)} is gone from {name} before it was recorded")


class NoInventedContent(Checker):
    """No record has, and no folder shows, what no person wrote."""

    number: ClassVar[int] = 6

    def _prepare(self) -> None:
        self._roots: set[bytes] = set()
        self._known = 0
        self._doubtful: list[tuple[str, str, Content]] = []

    def _during(self, world: Any) -> None:
        """Records are judged a little later, should their bytes be known by then."""
        oracle = world.oracle
        if len(oracle.written.stories) != self._known:
            self._known = len(oracle.written.stories)
            self._roots.update(oracle.written.roots())
        for machine, path, content in self._doubtful:
            if content.kind is Kind.FILE and content.root not in self._roots:
                self.fail(f"{machine} has a record of {path!r} whose content nobody wrote")
            if content.kind is Kind.SYMLINK and content.target not in oracle.written.targets:
                self.fail(f"{machine} has a record of the link {path!r} that nobody made")
        own = {machine.identity.device: machine.name for machine in world.machines}
        self._doubtful = [
            (held.machine, record.path, record.content)
            for held in self.books.news(self, world)
            if held.header.device in own
            for record in held.records
        ]

    def _after(self, world: Any) -> None:
        self._during(world)  # once more, for what was doubtful
        for machine in world.machines:
            for path, data in files_in(machine.disk.tree()).items():
                if not world.oracle.written.is_known(data):
                    self.fail(f"{machine.name} shows at {path!r} what nobody wrote: {data[:40]!r}")


class NoSecretLeaves(Checker):
    """No key of a node is ever recorded."""

    number: ClassVar[int] = 24

    def _during(self, world: Any) -> None:
        secret = {root_of(data) for data in world.oracle.written.secrets}
        for held in self.books.news(self, world):
            for record in held.records:
                if record.content.root in secret:
                    self.fail(f"{held.machine} has a record of {record.path!r}, which is the key of a node")


class AcknowledgedMeansDurable(Checker):
    """What a node said that it holds, it holds, whatever ended it; what it showed outlasts a power loss."""

    number: ClassVar[int] = 9

    def _prepare(self) -> None:
        self._told: dict[str, dict[bytes, int]] = {}
        self._restores: dict[str, int] = {}
        self._crashes = 0

    def _during(self, world: Any) -> None:
        self.books.look(self, world)
        oracle = world.oracle
        for crash in oracle.seen.crashes[self._crashes :]:
            self._check_folder(crash)
        self._crashes = len(oracle.seen.crashes)
        for machine in world.machines:
            restores = oracle.seen.restores.get(machine.name, 0)
            if restores:  # a backup holds less, and is known to
                self._told.pop(machine.name, None)
                continue
            if not index_of(machine).exists():
                continue  # its disk is away
            book = self.books.books.get(machine.name)
            frontier = book.frontier if book is not None else {}
            for actor, seq in self._told.get(machine.name, {}).items():
                if frontier.get(actor, (0, b""))[0] < seq:
                    self.fail(f"{machine.name} said that it holds {actor.hex()[:8]} {seq}, and does not")
        self._listen(world)

    def _listen(self, world: Any) -> None:
        """What others heard from each machine."""
        names = {machine.identity.device: machine.name for machine in world.machines}
        for machine in world.machines:
            peers = machine.drive.exchange.peers.values() if machine.drive is not None else ()
            for peer in peers:
                name = names.get(peer.link.device)
                if name is not None and peer.frontier is not None:
                    told = self._told.setdefault(name, {})
                    for actor, (seq, _) in peer.frontier.items():
                        told[actor] = max(seq, told.get(actor, 0))

    def _check_folder(self, crash: Crash) -> None:
        """The name that a person gave a file need not be durable, but bytes that we recorded are.

        Another file than the index has was about to be shown in place of one that a person took away.
        """
        for path, entry in crash.entries.items():
            was, now = crash.before.get(path), crash.after.get(path)
            if was is None or entry.content.kind is not Kind.FILE:
                continue
            showed = was[0] == "file" and root_of(was[1]) == entry.content.root
            stat = crash.stats.get(path)
            noted = stat is None or (stat.inode, stat.ctime_ns) == (entry.inode, entry.ctime_ns)
            if not showed or not noted or (now is not None and now[:2] == was[:2]):
                continue
            if path not in crash.persons or path in crash.torn:
                left = "nothing" if now is None else f"{now[0]} {now[1][:40]!r}"
                self.fail(f"{crash.machine} had shown {path!r}; after a power loss there is {left}")


class BlocksPresent(Checker):
    """All blocks of every version that is retained can be read from some member."""

    number: ClassVar[int] = 10

    def _after(self, world: Any) -> None:
        if world.oracle.seen.rotten or world.oracle.seen.cramped:
            return
        needed: dict[bytes, tuple[str, Content]] = {}
        for machine in world.machines:
            with reading(machine) as connection:
                if connection is not None:
                    needed.update(self._versions(machine.name, connection))
        contents = {root: content for root, (_, content) in needed.items()}
        stories = world.oracle.written.stories.values()
        forgiven = {root_of(story.data) for story in stories if story.may_be_missing}
        known = {root_of(story.data) for story in stories}
        for machine in world.machines:
            for root in readable(machine, contents.values()):
                del contents[root]
        for root in contents.keys() - forgiven:
            if root in known:
                self.fail(f"a version of {needed[root][0]!r} is retained, and its blocks are nowhere")

    def _versions(self, machine: str, connection: Any) -> dict[bytes, tuple[str, Content]]:
        from p2pdrive.lab.checkers.wanted import records_of

        del machine
        return {
            record.content.root: (path, record.content)
            for path, records in records_of(connection).items()
            for record in records
            if record.content.kind is Kind.FILE
        }


def _is_at(machine: Any, path: str, data: bytes) -> bool:
    try:
        return bool(machine.disk.read(path) == data)
    except OSError:
        return False


def _name(story: Story) -> str:
    return f"what was written to {story.where} ({len(story.data)} bytes, {story.data[:24]!r})"
