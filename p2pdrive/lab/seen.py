"""What was seen to befall machines and nodes: kills, power cuts, backups put back, bad disks, guests."""

from p2pdrive.lab.stories import Crash, Removal


class Seen:
    """By machine; numbers are those of events."""

    def __init__(self) -> None:
        self.kills: dict[str, list[int]] = {}
        self.quiet: dict[str, list[int]] = {}  # machine → events up to which its node looked at everything
        self.crashes: list[Crash] = []
        self.restores: dict[str, int] = {}  # machine → how often it was put back from a backup
        self.put_back: dict[str, int] = {}  # machine → when last
        self.adopting: set[str] = set()  # machines that take their folder as it is: nothing counts as deleted
        self.taken: dict[str, str] = {}  # path → why a fault may have taken what was there
        self.hampers: dict[tuple[str, str], int] = {}  # (machine, path) → since when, in ns
        self.rotten: set[str] = set()  # machines with a damaged pack or file
        self.cramped: set[str] = set()  # machines whose disk was full: history may have yielded there
        self.guests: dict[bytes, str] = {}  # devices of hostile members that may write
        self.leaks: list[str] = []

    def killed(self, machine: str, number: int) -> None:
        """The node was killed, by whatever."""
        self.kills.setdefault(machine, []).append(number)

    def restored(self, machine: str, number: int) -> None:
        """A backup was put back; the node was killed for that."""
        self.restores[machine] = self.restores.get(machine, 0) + 1
        self.put_back[machine] = number
        self.adopting.add(machine)

    def looked_at_everything(self, machine: str, number: int) -> None:
        """All events up to ``number`` are known to its node, and recorded."""
        looked = self.quiet.setdefault(machine, [])
        if not looked or looked[-1] != number:
            looked.append(number)

    # --- for checkers

    def noticed(self, removal: Removal) -> bool:
        """Whether its node must have noticed it: it was not killed in the same breath."""
        quiet = self.quiet.get(removal.machine, [])
        before = max((at for at in quiet if at < removal.number), default=0)
        after = min((at for at in quiet if at >= removal.number), default=None)
        kills = self.kills.get(removal.machine, [])
        return not any(before <= kill and (after is None or kill <= after) for kill in kills)
