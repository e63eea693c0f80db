"""What comes to an end: work, waiting, and trouble."""

from typing import Any, ClassVar

from p2pdrive.lab.checkers.checker import Checker
from p2pdrive.lab.checkers.wanted import unobtainable
from p2pdrive.lab.evidence import Hidden, entries_of, original_of, reading
from p2pdrive.limits import FRAME_BYTES_MAX, INBOX_BYTES_MAX, KEEPALIVE_SECONDS, SEND_QUEUE_BYTES_MAX
from p2pdrive.model.paths import IGNORE_FILE, refusal

#: Bytes that a link at rest may pass each way in the time between two pings, for a ping and its answer.
_PING_BYTES = 128
_LINK_BYTES = 2048  # for what is said now and then: addresses
_FORK = "two different logs"  # such a problem stays
_BATCHES, _MARKS = "the end of the log", "the last mark"


class Quiescence(Checker):
    """With nothing to do, no record is written, no path is marked, no file changes, hardly a byte passes."""

    number: ClassVar[int] = 14

    def _prepare(self) -> None:
        self._before: dict[str, dict[str, Any]] = {}
        self._problems: dict[str, set[str]] = {}
        self._bytes = 0
        self._time = 0

    def _at_rest(self, world: Any) -> None:
        self._before = self._look(world)
        self._problems = {
            machine.name: {path for path, _, _ in machine.drive.problems.all()} if machine.drive else set()
            for machine in world.machines
        }
        self._bytes, self._time = _bytes_sent(world), world.now_ns()

    def _after(self, world: Any) -> None:
        if not self._before:
            return
        now, nowhere = self._look(world), unobtainable(world)
        for name, before in self._before.items():
            changed = {what for what, _ in before.items() ^ now.get(name, {}).items()}
            tried_again = nowhere | self._problems[name]
            changed -= tried_again | {what for what in changed if original_of(what) in tried_again}
            if changed and not (tried_again and changed <= {_BATCHES, _MARKS}):
                said = {what: (before.get(what), now.get(name, {}).get(what)) for what in sorted(changed)}
                self.fail(f"{name} was at rest and did something: {str(said)[:500]}")
        seconds = (world.now_ns() - self._time) / 1e9
        links = len(world.machines) * (len(world.machines) - 1)
        allowed = links * (_LINK_BYTES + _PING_BYTES * (1 + seconds / KEEPALIVE_SECONDS))
        passed = _bytes_sent(world) - self._bytes
        if passed > allowed and not nowhere:
            self.fail(f"{passed} bytes passed in {seconds:g} s with nothing to say")

    def _look(self, world: Any) -> dict[str, dict[str, Any]]:
        """What would show any work: the ends of the log and of the marks, and what the folder shows."""
        found: dict[str, dict[str, Any]] = {}
        for machine in world.machines:
            with reading(machine) as connection:
                if connection is None:
                    continue
                ends = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
                marks = {_BATCHES: ends.get("batches"), _MARKS: ends.get("unshown")}
                found[machine.name] = marks | machine.disk.tree()
        return found


class Liveness(Checker):
    """Once healed, all converges, in a time that the scenario bounds; and each member knows of each other one
    that it has everything. Memory and bytes in flight stay bounded."""

    number: ClassVar[int] = 19

    def _during(self, world: Any) -> None:
        for machine in world.machines:
            peers = machine.drive.exchange.peers if machine.drive is not None else ()
            for link in peers:
                queued = link._connection.queued_bytes  # noqa: SLF001 - nobody else needs it
                waiting = link._unhandled_bytes  # noqa: SLF001
                if queued > SEND_QUEUE_BYTES_MAX + FRAME_BYTES_MAX:
                    self.fail(f"{machine.name} holds {queued} bytes for a peer that does not read")
                if waiting > INBOX_BYTES_MAX + FRAME_BYTES_MAX:
                    self.fail(f"{machine.name} holds {waiting} bytes that it has not dealt with")

    def _after(self, world: Any) -> None:
        if unobtainable(world):
            return
        members = {machine.identity.device: machine.name for machine in world.machines}
        for machine in world.machines:
            if machine.drive is None:
                self.fail(f"the drive on {machine.name} is not open")
            exchange = machine.drive.exchange
            known = {peer.link.device: peer for peer in exchange.members()}
            for device in members.keys() - {machine.identity.device}:
                if device not in known:
                    self.fail(f"{machine.name} is not connected to {members[device]}")
                if not exchange.held_all(known[device]):
                    self.fail(f"{machine.name} does not have all that {members[device]} has")


class ProblemsReported(Checker):
    """What cannot be synced is named, with what is wrong, and nothing else waits for it; once the world is
    well again, so is every path."""

    number: ClassVar[int] = 20

    def _after(self, world: Any) -> None:
        nowhere = unobtainable(world)
        for machine in world.machines:
            if machine.drive is None:
                self.fail(f"the drive on {machine.name} did not come back")
            problems = {path: what for path, what, _ in machine.drive.problems.all()}
            with reading(machine) as connection:
                rows = connection.execute("SELECT key FROM unshown") if connection is not None else ()
                unshown = {key.replace(b"\0", b"/").decode() for (key,) in rows}
            entries = entries_of(machine).values()  # what a copy waits for is said of its path
            told = {each.path for each in entries if each.view is not None and each.view.of in problems}
            silent = unshown - problems.keys() - told
            if silent:
                self.fail(f"{machine.name} does not show {sorted(silent)[:3]} and says nothing about it")
            needless = {path: problems[path] for path in sorted(curable(world, machine) - nowhere)}
            if needless:
                self.fail(f"all is well, and {machine.name} still reports {needless}")


def curable(world: Any, machine: Any) -> set[str]:
    """Paths with a problem that ends by itself when the world is well, and is tried again now and then.

    (Those in ``unobtainable`` may be among them.)
    """
    hampered = {path for name, path in world.oracle.seen.hampers if name == machine.name}
    if machine.drive is None or "" in hampered:
        return set()
    reported = {path for path, what, _ in machine.drive.problems.all() if path or _FORK not in what}
    if getattr(machine, "role", "") == "viewer":
        reported &= {""}  # what a viewer changed stays a problem
    return {path for path in reported - hampered if not _deserved(machine, path)}


def _deserved(machine: Any, path: str) -> bool:
    """Whether a problem is the path's own fault: a name that may not be, rules that cannot be followed, or a
    directory that holds what is not synced."""
    tree = machine.disk.tree()
    ignore = Hidden(machine, tree)
    inside = [one for one in tree if one.startswith(path + "/")]
    hidden = any(ignore.ignored(one, tree[one][0] == "directory") for one in inside)
    return hidden or path == IGNORE_FILE or bool(path and refusal(path))


def _bytes_sent(world: Any) -> int:
    return int(world.network.bytes_sent)
