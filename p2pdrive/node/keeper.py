"""Keeping one registered drive at work: opens it, runs it, and waits where its folder or index is not well.

A drive's failure is this drive's alone: it is reported, and tried again.
"""

import logging
from collections.abc import Callable

import trio

from p2pdrive.engine.drive import Drive
from p2pdrive.engine.replica import Replica, check_format
from p2pdrive.engine.services import Services
from p2pdrive.engine.status import DriveState
from p2pdrive.errors import RootMissing, StateReplaced, WorldError
from p2pdrive.history.log import Frontier
from p2pdrive.limits import DRIVE_RETRY_SECONDS, MARKS_SECONDS, ROOT_POLL_SECONDS
from p2pdrive.planning.reconcile import Choice

log = logging.getLogger(__name__)


class Keeper:
    """One drive of this node. ``drive`` is set while it is open; else ``state`` and ``trouble`` say why.

    ``marks`` are what the home remembers of the drive's log; ``save_marks`` is called with what they became,
    and returns when that is durable. ``choice`` is what a person chose while the drive was not open;
    ``chosen`` is called once the drive knows.
    ``moved`` is called when the drive opened, closed, or its status may have changed.
    """

    def __init__(
        self,
        path: str,
        drive: bytes,
        services: Services,
        marks: Frontier,
        save_marks: Callable[[Frontier], None],
        moved: Callable[[], None],
        choice: Choice = Choice.ASK,
        chosen: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self.id = drive
        self.name = ""
        self.drive: Drive | None = None
        self.state = DriveState.SCANNING
        self.trouble = ""
        self.trouble_since_ns = 0
        self.deleted_lately = 0  # of how many deletions the others were told just before it was closed
        self.ended = trio.Event()
        self._services = services
        self._marks = marks
        self._save_marks = save_marks
        self._moved = moved
        self.choice = choice
        self._chosen = chosen
        self._afresh = False  # another program changed the state: its past is not the one that is known

    async def run(self) -> None:
        """Keep the drive at work until cancelled, and set ``ended``; never raises what is wrong with it."""
        try:
            await self._keep()
        finally:
            self.ended.set()

    async def _keep(self) -> None:
        while True:
            try:
                await self._work()
            except* StateReplaced as group:
                self._note(DriveState.ERROR, _first(group))
                self._afresh = True
            except* RootMissing as group:
                self._note(DriveState.OFFLINE, _first(group))
            except* WorldError as group:
                self._note(DriveState.ERROR, _first(group))
            except* Exception as group:
                log.exception("drive %s: unexpected failure", self.path, exc_info=group)
                what = (
                    f"p2pdrive failed unexpectedly: {_first(group)!r}. Please report it; it is tried again."
                )
                self._note(DriveState.ERROR, RuntimeError(what))
            if self._afresh:
                await trio.sleep(ROOT_POLL_SECONDS)  # until all of it is copied, mostly
            elif self.state is DriveState.OFFLINE:
                await self._until_root_is_back()
            else:
                await trio.sleep(DRIVE_RETRY_SECONDS)

    async def _work(self) -> None:
        offload = self._services.offload
        replica = await offload(Replica, self.path, self._services, self._marks, self.id, self._afresh)
        self._afresh = replaced = False
        try:
            self.name = replica.genesis.name
            if self.choice is not Choice.ASK:
                await offload(replica.choose, self.choice)
                self.choice = Choice.ASK
                self._chosen()
            self.drive = Drive(replica, self._moved, self._remember)
            self._moved()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._note_frontier, replica)
                await self.drive.run()
        except* StateReplaced:
            replaced = True
            raise
        finally:
            self.deleted_lately = self.drive.deleting.told_lately if self.drive is not None else 0
            self.drive = None
            with trio.CancelScope(shield=True):
                if replaced:
                    await self._services.offload(replica.abandon)
                else:
                    self._remember(await self._services.offload(_close, replica, self._marks))
            self._moved()

    async def _note_frontier(self, replica: Replica) -> None:
        """Note now and then how much of others' logs is held: an older folder lacks that, though this device
        may have written nothing since."""
        while True:
            await trio.sleep(MARKS_SECONDS)
            self._remember(await self._services.offload(replica.frontier))

    def _remember(self, marks: Frontier) -> None:
        """Note our frontier outside the folder, so that an older folder is recognised as restored."""
        known = self._marks | {
            actor: at for actor, at in marks.items() if at[0] >= self._marks.get(actor, at)[0]
        }
        if known != self._marks:
            self._save_marks(known)
            self._marks = known

    async def _until_root_is_back(self) -> None:
        while True:
            await trio.sleep(ROOT_POLL_SECONDS)
            try:
                await self._services.offload(check_format, self.path)
            except RootMissing as error:
                self._note(DriveState.OFFLINE, error)  # which says what helps, whatever part was missed first
            except WorldError:
                continue
            else:
                return

    def _note(self, state: DriveState, error: BaseException) -> None:
        if (state, str(error)) != (self.state, self.trouble):
            log.warning("drive %s is %s: %s", self.path, state, error)
            self.trouble_since_ns = self._services.now_ns()
        self.state, self.trouble = state, str(error)
        self._moved()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _close(replica: Replica, marks: Frontier) -> Frontier:
    try:
        with replica.reading() as log:
            return log.frontier() | replica.marks(log)
    except WorldError:
        return marks
    finally:
        replica.close()
