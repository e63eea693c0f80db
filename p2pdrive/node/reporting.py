"""What the node says of its drives: status, versions, members."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import trio

from p2pdrive.api.control import Member as MemberReport
from p2pdrive.api.control import Version
from p2pdrive.engine.drive import Drive
from p2pdrive.engine.exchange import Peer
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.status import BusyStatus, DriveState, DriveStatus, PeerStatus, ProblemStatus
from p2pdrive.errors import WorldError
from p2pdrive.index.manifests import Manifests
from p2pdrive.model import clock
from p2pdrive.model.record import Kind, Record
from p2pdrive.node.addressbook import AddressBook
from p2pdrive.node.joining import Joining
from p2pdrive.node.keeper import Keeper


def when(nanoseconds: int) -> str:
    """RFC 3339, in UTC."""
    moment = datetime.fromtimestamp(min(nanoseconds // 10**9, 253402300799), UTC)
    return moment.isoformat().replace("+00:00", "Z")


async def drive_status(
    keeper: Keeper, device: bytes, traffic: Callable[[bytes], tuple[int, int]]
) -> DriveStatus:
    """The status of one registered drive; ``traffic`` gives the bytes sent to and received from a device."""
    drive = keeper.drive
    if drive is None:
        trouble = (
            (ProblemStatus("", keeper.trouble, when(keeper.trouble_since_ns)),) if keeper.trouble else ()
        )
        name = keeper.name or keeper.path.rpartition("/")[2]
        status = _empty(keeper.id, name, keeper.path, "", keeper.state, trouble)
        return replace(status, deleted_lately=keeper.deleted_lately)
    try:
        counts = await drive.replica.services.offload(_count, drive.replica)
        brought = await drive.replica.services.offload(drive.replica.count_brought)
    except WorldError as error:  # the folder went just now: the keeper hears of it soon
        now = drive.replica.services.now_ns()
        trouble = (ProblemStatus("", str(error), when(now)),)
        return _empty(keeper.id, keeper.name, keeper.path, "", DriveState.ERROR, trouble)
    members = drive.exchange.standing.members
    own = members.get(device)
    return DriveStatus(
        keeper.id.hex(),
        keeper.name,
        keeper.path,
        own.role.name.lower() if own else "",
        drive_state(drive, counts[3]),
        *counts,
        tuple(ProblemStatus(path, what, when(since)) for path, what, since in _problems(drive)),
        tuple(
            _peer(drive, member.device, *traffic(member.device))
            for member in members.values()
            if member.device != device
        ),
        deleting=drive.deleting.count,
        polled_directories=drive.outlook.polled.directories,
        watching=drive.outlook.polled.words(),
        busy=tuple(_busy(drive)),
        brought=brought,
    )


def joining_status(joining: Joining) -> DriveStatus:
    """The status of a drive that this device is not a member of yet."""
    trouble = (ProblemStatus("", joining.trouble, when(joining.since_ns)),)
    invite = joining.invite
    return _empty(invite.drive, invite.drive_name, joining.path, "", DriveState.WAITING, trouble)


def drive_state(drive: Drive, missing: int) -> DriveState:
    """What an open drive is doing, in one word."""
    exchange = drive.exchange
    others = len(exchange.standing.members) > 1
    peers = exchange.members()
    if others and not peers:
        return DriveState.WAITING
    if not drive.settled:
        return DriveState.SCANNING
    behind = any(not exchange.held_all(peer) or not peer.settled for peer in peers)
    if missing or behind or drive.materialiser.busy:
        return DriveState.SYNCING
    return DriveState.IN_SYNC


def versions(replica: Replica, path: str) -> list[Version]:
    """The versions of one path, newest first. Synchronous."""
    found = []
    with replica.reading() as log:
        heads = log.registers.heads(path)
        names = {member.device: member.name for member in log.membership.all()}
        for record in log.registers.versions(path):
            device = log.device_of(record.actor)
            milliseconds = clock.milliseconds(record.clock)
            found.append(
                (
                    record.clock,
                    Version(
                        when(milliseconds * 1_000_000),
                        device.hex(),
                        names.get(device, log.registers.author_name(record.actor, record.seq)),
                        record.content.size,
                        record.content.kind.name.lower(),
                        _readable(replica, Manifests(log.connection), record),
                        record in heads,
                    ),
                )
            )
    return [version for _, version in sorted(found, key=lambda each: each[0], reverse=True)]


def members(keeper: Keeper, device: bytes, book: AddressBook) -> list[MemberReport]:
    """The members of an open drive."""
    drive = keeper.drive
    if drive is None:
        return []
    linked = {link.device for link in drive.exchange.peers}
    found = []
    for member in drive.exchange.standing.members.values():
        seen = book.last_seen_ns(member.device)
        found.append(
            MemberReport(
                keeper.id.hex(),
                keeper.name,
                member.device.hex(),
                member.name,
                member.role.name.lower(),
                member.device == device,
                member.device in linked,
                when(seen) if seen else None,
            )
        )
    return found


def _count(replica: Replica) -> tuple[int, int, int, int, int, int]:
    """Files, directories, bytes, missing files, missing bytes, conflict copies."""
    with replica.reading() as log:
        totals = log.entries.totals()
        missing, missing_bytes = log.entries.count_unshown()
        conflicts = log.entries.count_views()
    files, size = totals.get(Kind.FILE, (0, 0))
    links, _ = totals.get(Kind.SYMLINK, (0, 0))
    directories, _ = totals.get(Kind.DIRECTORY, (0, 0))
    return files + links, directories, size, missing, missing_bytes, conflicts


def _problems(drive: Drive) -> list[tuple[str, str, int]]:
    packs = [(problem.path, problem.what, drive.since_ns) for problem in drive.replica.store.problems()]
    return drive.problems.all() + packs


def _busy(drive: Drive) -> Iterator[BusyStatus]:
    now, now_ns = trio.current_time(), drive.replica.services.now_ns()
    for path, what, since, look_at in drive.waiting.patience.busy(now):
        begun, again = (when(now_ns + int((at - now) * 1e9)) for at in (since, look_at))
        yield BusyStatus(path, what, begun, again)


def _peer(drive: Drive, device: bytes, sent: int, received: int) -> PeerStatus:
    member = drive.exchange.standing.members[device]
    peer: Peer | None = next((p for p in drive.exchange.peers.values() if p.link.device == device), None)
    if peer is None:
        role = member.role.name.lower()
        return PeerStatus(device.hex(), member.name, role, False, None, False, sent, received)
    return PeerStatus(
        device.hex(),
        member.name,
        member.role.name.lower(),
        True,
        peer.link.address,
        drive.exchange.holds_all(peer),
        sent,
        received,
    )


def _readable(replica: Replica, manifests: Manifests, record: Record) -> bool:
    content = record.content
    if content.kind is not Kind.FILE:
        return True
    manifest = manifests.get(content.root, content.blocks, content.size)
    return manifest is not None and not replica.store.missing(block for _, block in manifest)


def _empty(
    drive: bytes, name: str, path: str, role: str, state: DriveState, problems: tuple[ProblemStatus, ...]
) -> DriveStatus:
    return DriveStatus(drive.hex(), name, path, role, state, 0, 0, 0, 0, 0, 0, problems, ())
