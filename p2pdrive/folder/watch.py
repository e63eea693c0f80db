"""Waiting for changes in a folder.

On Linux by inotify itself, which tells when it lost events and costs nothing while nothing happens;
elsewhere by watchfiles, whose thread looks every few milliseconds.
"""

import os
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import trio
import watchfiles

from p2pdrive.errors import RootMissing
from p2pdrive.folder.lookout import Lookout
from p2pdrive.folder.outlook import Outlook
from p2pdrive.limits import WATCH_GATHER_SECONDS, WATCH_POLL_SECONDS, WATCH_QUIET_SECONDS, WATCH_ROOT_SECONDS
from p2pdrive.model.paths import STATE_DIRECTORY

#: Milliseconds after which watchfiles comes back to us without news.
_RETURN_MS = 200


async def watch(
    root: Path,
    offload: Callable[..., Awaitable[Any]],
    outlook: Outlook | None = None,
    poll_seconds: float = WATCH_POLL_SECONDS,
) -> AsyncGenerator[set[str], None]:
    """Sets of drive-relative paths that are to be looked at again; a directory with all that is in it.

    The first set is the root, as soon as no later change can be missed: a scan then misses nothing.
    The root comes again whenever events may have been lost. What cannot be watched is looked through every
    ``poll_seconds`` at most, as is what other machines may change. ``outlook`` says what is ignored, and is
    told what is polled. What is in ``.p2pdrive`` is left out.
    Raises RootMissing once the root is not in its place. Close it (``contextlib.aclosing``) when done.
    """
    identity = _identity(root)
    if identity is None:
        raise _missing(root)
    if sys.platform == "linux":
        method = by_inotify(root, offload, outlook or Outlook(), poll_seconds)
    else:
        method = by_watchfiles(root)
    async with aclosing(method) as changes:
        async for changed in changes:
            if _identity(root) != identity:
                raise _missing(root)
            if changed:
                yield changed


async def by_inotify(
    root: Path, offload: Callable[..., Awaitable[Any]], outlook: Outlook, poll_seconds: float
) -> AsyncGenerator[set[str], None]:
    """``watch`` on Linux; an empty set now and then."""
    look = Lookout(root, outlook, poll_seconds)
    try:
        await offload(look.begin)
        mounts_at = poll_at = trio.current_time()
        outlook.polled = look.polled
        yield {""}
        while True:
            now = trio.current_time()
            pause = WATCH_ROOT_SECONDS
            if look.polls:
                pause = min(pause, max(0.0, poll_at + look.pause - now))
            changed = await _gathered(look, outlook, offload, pause)
            if look.lost_root:
                raise _missing(root)
            if outlook.stale:
                outlook.stale = False
                changed |= await offload(look.follow_rules)
            now = trio.current_time()
            if now >= mounts_at + min(WATCH_ROOT_SECONDS, poll_seconds):
                mounts_at = now
                changed |= await offload(look.follow_mounts)
            if look.polls and now >= poll_at + look.pause:
                changed |= await offload(look.poll)
                poll_at = trio.current_time()
            outlook.polled = look.polled
            yield changed
    finally:
        look.close()


async def by_watchfiles(root: Path) -> AsyncGenerator[set[str], None]:
    """``watch`` elsewhere; an empty set now and then. It cannot tell when it loses events."""
    root = Path(await trio.Path(root).resolve())
    stop = threading.Event()
    thread = trio.CapacityLimiter(1)  # its own: hundreds of drives would take all the shared ones
    try:
        while True:
            changes = watchfiles.watch(
                root,
                watch_filter=None,
                debounce=int(1000 * WATCH_GATHER_SECONDS),
                step=int(1000 * WATCH_QUIET_SECONDS),
                stop_event=stop,
                rust_timeout=_RETURN_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
            watching = False
            try:
                while True:
                    found = await trio.to_thread.run_sync(
                        next, changes, abandon_on_cancel=True, limiter=thread
                    )
                    yield _relative(root, (path for _, path in found)) if watching else {""}
                    watching = True
            except (OSError, RuntimeError, StopIteration):
                # It gives up at a name that is not UTF-8, and where it may not watch: start it again.
                await trio.sleep(WATCH_ROOT_SECONDS)
    finally:
        stop.set()


async def _gathered(
    look: Lookout, outlook: Outlook, offload: Callable[..., Awaitable[Any]], pause: float
) -> set[str]:
    """The next changes, gathered until they end; none after ``pause`` seconds without any, or once the rules
    change."""
    changed: set[str] = set()
    with trio.move_on_after(pause) as waiting:
        outlook.interrupt = waiting.cancel
        if outlook.stale:
            return changed
        if look.notify is None:
            await trio.sleep_forever()
        else:
            await trio.lowlevel.wait_readable(look.notify.fd)
    if waiting.cancelled_caught or look.notify is None:
        return changed
    until = trio.current_time() + WATCH_GATHER_SECONDS
    await offload(look.notify.read, changed)
    await trio.sleep(WATCH_QUIET_SECONDS)
    if look.notify.has_more():  # much is going on: read it in few pieces
        await trio.sleep_until(until)
        await offload(look.notify.read, changed)
    return changed


def _relative(root: Path, paths: Iterator[str]) -> set[str]:
    inside = {os.path.relpath(path, root) for path in paths}
    return {
        "" if path == "." else path for path in inside if path.split("/", 1)[0] not in (STATE_DIRECTORY, "..")
    }


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(root)
        os.lstat(root / STATE_DIRECTORY)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _missing(root: Path) -> RootMissing:
    return RootMissing(f"{root}: the drive's folder is not in its place; bring it back")
