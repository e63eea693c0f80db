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

import trio
import watchfiles

from p2pdrive.errors import RootMissing
from p2pdrive.folder.inotify import Inotify
from p2pdrive.limits import WATCH_GATHER_SECONDS, WATCH_POLL_SECONDS, WATCH_QUIET_SECONDS, WATCH_ROOT_SECONDS
from p2pdrive.model.paths import STATE_DIRECTORY

#: Milliseconds after which watchfiles comes back to us without news.
_RETURN_MS = 200


async def watch(
    root: Path, offload: Callable[..., Awaitable[None]], poll_seconds: float = WATCH_POLL_SECONDS
) -> AsyncGenerator[set[str], None]:
    """Sets of drive-relative paths that are to be looked at again; a directory with all that is in it.

    The first set is the root, as soon as no later change can be missed: a scan then misses nothing.
    The root comes again whenever events may have been lost, and every ``poll_seconds`` where
    directories cannot be watched. What is in ``.p2pdrive`` is left out.
    Raises RootMissing once the root is not in its place. Close it (``contextlib.aclosing``) when done.
    """
    identity = _identity(root)
    if identity is None:
        raise _missing(root)
    method = by_inotify(root, offload, poll_seconds) if sys.platform == "linux" else by_watchfiles(root)
    async with aclosing(method) as changes:
        async for changed in changes:
            if _identity(root) != identity:
                raise _missing(root)
            if changed:
                yield changed


async def by_inotify(
    root: Path, offload: Callable[..., Awaitable[None]], poll_seconds: float
) -> AsyncGenerator[set[str], None]:
    """``watch`` on Linux; an empty set now and then."""
    try:
        notify = Inotify(os.fspath(root))
    except OSError:  # this person may have no more instances: look at everything now and then
        while True:
            yield {""}
            await trio.sleep(poll_seconds)
    try:
        await offload(notify.watch_tree, "")
        looked = trio.current_time()
        yield {""}
        while True:
            quiet_seconds = min(poll_seconds, WATCH_ROOT_SECONDS) if notify.incomplete else WATCH_ROOT_SECONDS
            changed = await _gathered(notify, offload, quiet_seconds)
            if notify.lost_root:
                raise _missing(root)
            if notify.incomplete and trio.current_time() >= looked + poll_seconds:
                looked = trio.current_time()
                changed = {""}
            yield changed
    finally:
        notify.close()


async def by_watchfiles(root: Path) -> AsyncGenerator[set[str], None]:
    """``watch`` elsewhere; an empty set now and then. It cannot tell when it loses events."""
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
    notify: Inotify, offload: Callable[..., Awaitable[None]], quiet_seconds: float
) -> set[str]:
    """The next changes, gathered until they pause; none after ``quiet_seconds`` without any."""
    changed: set[str] = set()
    with trio.move_on_after(quiet_seconds) as waiting:
        await trio.lowlevel.wait_readable(notify.fd)
    if waiting.cancelled_caught:
        return changed
    until = trio.current_time() + WATCH_GATHER_SECONDS
    await offload(notify.read, changed)
    await trio.sleep(WATCH_QUIET_SECONDS)
    if notify.has_more():  # much is going on: read it in few pieces
        await trio.sleep_until(until)
        await offload(notify.read, changed)
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
