"""The simulated world: machines with whole nodes, a network, people, time, and what is known of it all."""

import logging
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import trio

from p2pdrive.errors import DiskFull
from p2pdrive.lab.choosing import choose
from p2pdrive.lab.machine import Machine
from p2pdrive.lab.network import Network
from p2pdrive.lab.oddities import ODDITIES
from p2pdrive.lab.oracle import Oracle, Violation
from p2pdrive.lab.secrets import Secrets
from p2pdrive.lab.standstill import differing
from p2pdrive.lab.trace import Trace
from p2pdrive.node.sharing import make_drive, make_invite

#: The true wall clock when a world begins: 2030.
EPOCH_NS = 1_893_456_000 * 10**9
#: Virtual seconds that a whole world has to come to rest when all is well again: problems are tried again
#: after at most 300 s, lost peers dialled after 60 s.
PATIENCE_SECONDS = 1200.0
#: Looks, half a second apart, at which the world must be at rest to count as such.
_STEADY_LOOKS = 3
#: Virtual seconds in which nothing may happen at the end.
REST_SECONDS = 60.0

#: Where the real parts of a world lie, if there is such a place: in memory.
_SHARED_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - only private directories


class World:
    """Everything random comes from ``seed``."""

    def __init__(self, seed: int, directory: Path, nursery: trio.Nursery) -> None:
        self.seed = seed
        self.directory = directory
        self.nursery = nursery
        self.trace = Trace()
        self.oracle = Oracle(self)
        self.secrets = Secrets()
        self.machines: list[Machine] = []
        self.network = Network(self.random_for("network"))
        self.failures = _Failures()
        self.healed_ns: int | None = None
        self.converged_ns: int | None = None
        self.attacks = 0  # that are under way
        self._undo: dict[int, Callable[[], object]] = {}
        self._undone = 0
        self._began = trio.current_time()

    def now_ns(self) -> int:
        """The true time."""
        return EPOCH_NS + int((trio.current_time() - self._began) * 1e9)

    def random_for(self, name: str) -> Random:
        """A generator of its own for each use, so that one use does not move another."""
        return Random(f"{self.seed} {name}")

    def note(self, kind: str, machine: str, **details: object) -> None:
        """Add to the trace."""
        self.trace.seconds = trio.current_time() - self._began
        self.trace.note(kind, machine, **details)

    def machine(self, name: str) -> Machine:
        """The machine of that name."""
        return next(machine for machine in self.machines if machine.name == name)

    def add_machine(
        self,
        name: str,
        role: str = "editor",
        *,
        grain_ns: int = 1,
        folds_case: bool = False,
        oddity: str = "",
    ) -> Machine:
        """A machine with an empty folder that is no drive yet; ``oddity`` is one of ``ODDITIES``."""
        made = Machine(
            self,
            name,
            len(self.machines),
            role,
            grain_ns=grain_ns,
            folds_case=folds_case,
            oddity=ODDITIES[oddity],
        )
        self.machines.append(made)
        return made

    # --- membership

    async def share(self, machine: Machine) -> None:
        """Make the folder of ``machine`` a drive, if it is none, and start its node."""
        if machine.home.drive is not None:
            return
        await machine.stop()
        make_drive(machine.root, "drive", machine.services)
        machine.packs.all_durable()
        machine.home.drive = drive_id(machine)
        await machine.start()

    async def join(self, joiner: Machine) -> None:
        """Let ``joiner``'s node become a member through the first machine, as soon as that can be."""
        admin = self.machines[0]
        while joiner.home.drive is None and joiner.home.invite is None:
            await admin.opened()
            if admin.drive is not None and joiner.mounted:
                try:
                    invite = make_invite(admin.drive.replica, joiner.role, 1, 0, [admin.address])
                except DiskFull:
                    await trio.sleep(1)
                    continue
                admin.drive.exchange.announce()
                await joiner.stop()
                joiner.home.invite = invite
                await joiner.start()
            else:
                await trio.sleep(1)

    @property
    def members(self) -> list[Machine]:
        """The machines that hold the drive."""
        return [machine for machine in self.machines if machine.home.drive is not None]

    # --- faults that end

    def until_undone(self, undo: Callable[[], object], seconds: float) -> None:
        """``undo`` is called after so many seconds, or when all is healed."""
        self._undone += 1
        self._undo[self._undone] = undo
        self.nursery.start_soon(self._undo_later, self._undone, seconds)

    async def _undo_later(self, number: int, seconds: float) -> None:
        await trio.sleep(seconds)
        await self._undo_now(number)

    async def _undo_now(self, number: int) -> None:
        undo = self._undo.pop(number, None)
        result = undo() if undo is not None else None
        if isinstance(result, Awaitable):
            await result

    async def heal(self) -> None:
        """End all faults and what persons are at, start all nodes."""
        for machine in self.machines:
            machine.ambushes.clear()  # first of all, as nothing new may begin from here on
        for number in list(self._undo):
            await self._undo_now(number)
        self.network.heal()
        for machine in self.machines:
            machine.mount()
            machine.permit_all()
            machine.disk.work()
            if machine.home.drive is not None or machine.home.invite is not None:
                await machine.start()
        self.healed_ns = self.now_ns()
        self.note("healed", "-")

    # --- rest

    async def converge(self) -> None:
        """Wait until all members show and know the same. Raises Violation when they do not in time."""
        began = trio.current_time()
        pause, well = 0.5, 0
        while well < _STEADY_LOOKS:
            for machine in self.members:
                choose(machine, machine.random)
            why = differing(self)
            well = well + 1 if why is None else 0
            if why is not None and trio.current_time() - began >= PATIENCE_SECONDS:
                raise Violation("Liveness", f"not converged {PATIENCE_SECONDS:g} s after healing: {why}")
            await trio.sleep(pause)
            pause = 0.5 if well else min(pause * 1.2, 10.0)
        self.converged_ns = self.now_ns()
        self.note("converged", "-")

    async def close(self) -> None:
        """Stop all nodes."""
        for machine in self.machines:
            await machine.stop()


def drive_id(machine: Machine) -> bytes:
    """Of the drive in the folder."""
    from p2pdrive.engine.replica import drive_of

    return drive_of(machine.root)


async def within_world(seed: int, main: "Callable[[World], Awaitable[None]]") -> None:
    """Run ``main`` with a new world, and clear it away."""
    with tempfile.TemporaryDirectory(prefix="p2pdrive-lab-", dir=_SHARED_MEMORY) as name:
        async with trio.open_nursery() as nursery:
            world = World(seed, Path(name), nursery)
            with world.failures.listening():
                await main(world)
                with trio.CancelScope(shield=True):
                    await world.close()
            nursery.cancel_scope.cancel()


class _Failures(logging.Handler):
    """What p2pdrive logged as a bug of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter().format(record))

    @contextmanager
    def listening(self) -> Iterator[None]:
        logger = logging.getLogger("p2pdrive")
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)

    def check(self) -> None:
        """Raises Violation."""
        if self.found:
            raise Violation("NoUnexpectedFailure", self.found[0])
