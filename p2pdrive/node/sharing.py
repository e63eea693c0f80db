"""Making folders drives, and invites to them. Synchronous; the drive need not be running."""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from p2pdrive.engine.replica import Replica, create, is_drive
from p2pdrive.engine.services import Services
from p2pdrive.errors import DriveError, InviteError
from p2pdrive.history.log import Frontier
from p2pdrive.limits import ADDRESSES_MAX, INVITE_SECONDS_MAX, INVITE_USES_MAX
from p2pdrive.model.genesis import Genesis
from p2pdrive.model.paths import STATE_DIRECTORY
from p2pdrive.model.record import Invitation, Role
from p2pdrive.node.home import label
from p2pdrive.secure.invite import Invite


def check_folder(path: str, registered: Iterable[str], make: bool) -> None:
    """Refuse a folder that cannot be a drive, in words that say what to do. Raises DriveError.

    ``registered`` are the folders of this node's drives; with ``make`` the folder itself may be made.
    """
    folder = Path(path)
    if STATE_DIRECTORY in folder.parts:
        raise DriveError(f"{path} is inside a drive's own {STATE_DIRECTORY}. Choose another folder.")
    if not folder.exists() and make and folder.parent.is_dir():
        _make(folder)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise DriveError(f"{path} {what}. Make the folder first, or name another.")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise DriveError(f"{path} is not writable for you. Change its permissions, or name another folder.")
    for other in registered:
        if other != path and (_inside(path, other) or _inside(other, path)):
            raise DriveError(
                f"{path} and the drive {other} lie in each other. Choose a folder apart from it."
            )
    for above in folder.parents:
        if is_drive(str(above)):
            raise DriveError(f"{path} is inside another drive, {above}. Choose a folder apart from it.")


def make_drive(path: str, name: str | None, services: Services) -> bool:
    """Make the folder a drive whose first admin is this device; False if it is one already."""
    if is_drive(path):
        return False
    title = label(name or Path(path).name) or "drive"
    genesis = Genesis(
        title, services.identity.device, services.name, services.random(16), services.now_ms() << 16
    )
    try:
        create(path, genesis, services, adopting=False)
    except OSError as error:
        raise DriveError(f"{path} cannot be made a drive: {error.strerror}.") from error
    return True


def make_invite(replica: Replica, role: str, uses: int, expires: int, addresses: Sequence[str]) -> Invite:
    """Write an invitation to the log, and give the invite that goes with it. Raises InviteError.

    ``expires`` is in seconds from now, 0 for never.
    """
    services = replica.services
    if not (0 < uses <= INVITE_USES_MAX and 0 <= expires <= INVITE_SECONDS_MAX):
        many = f"1 to {INVITE_USES_MAX:,} devices"
        raise InviteError(f"An invite admits {many}, for ten years at most, or for ever.")
    until = services.now_ms() // 1000 + expires if expires else 0
    invite = Invite(
        replica.drive,
        replica.genesis.name,
        services.random(16),
        tuple(addresses[:ADDRESSES_MAX]),
        until,
        role,
    )
    with replica.writing() as log, replica.author.writing(log) as pen:
        member = log.membership.member(services.identity.device)
        if member is None or member.role is not Role.ADMIN:
            have = member.role.name.lower() if member else "no member"
            raise InviteError(f"Only an admin of the drive can invite others; this device is {have}.")
        pen.admit(Invitation(invite.public, invite.psk, Role[role.upper()], uses, until))
    return invite


def make_invite_while_closed(
    path: str,
    services: Services,
    marks: Frontier,
    role: str,
    uses: int,
    expires: int,
    addresses: Sequence[str],
) -> tuple[Invite, Frontier]:
    """``make_invite`` for a drive that is not open; also our own actors' marks, before given and now."""
    replica = Replica(path, services, marks)
    try:
        invite = make_invite(replica, role, uses, expires, addresses)
        with replica.reading() as log:
            return invite, replica.marks(log)
    finally:
        replica.close()


def forget_state(path: str) -> None:
    """Remove the drive's ``.p2pdrive``: its log and its older versions; fine where it is gone already. Raises
    DriveError."""
    try:
        shutil.rmtree(Path(path, STATE_DIRECTORY))
    except FileNotFoundError:
        return
    except OSError as error:
        raise DriveError(f"{path}/{STATE_DIRECTORY} cannot be removed: {error.strerror}.") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        raise DriveError(f"{folder} cannot be made: {error.strerror}.") from error


def _inside(path: str, other: str) -> bool:
    return Path(other) in Path(path).parents
