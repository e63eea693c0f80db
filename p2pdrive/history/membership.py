"""Who is a member, as the log's grants say, and who may become one."""

import sqlite3
from dataclasses import dataclass

from p2pdrive.errors import InviteError, LinkClosed, RecordRefused
from p2pdrive.model.record import Grant, Invitation, Role
from p2pdrive.secure.invite import invite_id, verify_proof


@dataclass(frozen=True, slots=True)
class Member:
    """A device granted a role."""

    device: bytes
    role: Role
    name: str


class Membership:
    """The members and open invitations of one drive on one connection."""

    def __init__(self, connection: sqlite3.Connection, drive: bytes) -> None:
        self._db = connection
        self._drive = drive

    def member(self, device: bytes) -> Member | None:
        """The member with this device id."""
        row = self._db.execute("SELECT role, name FROM members WHERE device = ?", (device,)).fetchone()
        return Member(device, Role(row[0]), row[1]) if row else None

    def all(self) -> list[Member]:
        """Every member, by name."""
        rows = self._db.execute("SELECT device, role, name FROM members ORDER BY name, device")
        return [Member(device, Role(role), name) for device, role, name in rows]

    def may_write(self, device: bytes) -> bool:
        """Whether batches of this device count."""
        member = self.member(device)
        return member is not None and member.role >= Role.EDITOR

    def apply(self, change: Invitation | Grant, author: bytes) -> None:
        """Carry out a membership record written by ``author``. Raises RecordRefused where it may not."""
        writer = self.member(author)
        role = writer.role if writer else None
        if role is None or role < Role.EDITOR:
            raise RecordRefused("a membership record is by a device that may not write")
        if isinstance(change, Invitation):
            if role is not Role.ADMIN:
                raise RecordRefused("an invitation is by a member who is no admin")
            self._invite(change)
        else:
            if role is not Role.ADMIN or change.public:
                self._check_proof(change)
            self.grant(change)

    def grant(self, grant: Grant) -> None:
        """Make ``grant.device`` a member; of several roles the highest holds, so order is no matter."""
        member = self.member(grant.device)
        if grant.public and (member is None or member.role < grant.role):
            self._db.execute("UPDATE invitations SET used = used + 1 WHERE public = ?", (grant.public,))
        self._db.execute(
            """INSERT INTO members VALUES (?, ?, ?) ON CONFLICT DO UPDATE
            SET role = max(role, excluded.role), name = min(name, excluded.name)""",
            (grant.device, int(grant.role), grant.name),
        )

    def psk(self, identifier: bytes) -> bytes | None:
        """The key for the handshake of whoever holds the invite with this id."""
        row = self._db.execute("SELECT psk FROM invitations WHERE id = ?", (identifier,)).fetchone()
        return bytes(row[0]) if row else None

    def admit(self, device: bytes, name: str, public: bytes, proof: bytes, now: int) -> Grant | None:
        """The grant to write for a device that shows an invite at ``now`` (unix seconds); None where it has
        that role already. Raises InviteError with what to tell the person who joins, and LinkClosed where the
        invite is not known: the record of it may be on its way to this member."""
        sql = "SELECT role, uses, used, expires FROM invitations WHERE public = ?"
        row = self._db.execute(sql, (public,)).fetchone()
        if row is None:
            raise LinkClosed("this member does not know the invite, or not yet: try another one, or later")
        if not name or not verify_proof(public, self._drive, device, name, proof):
            raise InviteError("the invite's secret is wrong; copy the whole link again")
        role, uses, used, expires = row
        member = self.member(device)
        if member is not None and member.role >= role:
            return None
        if expires and now > expires:
            raise InviteError("this invite has expired; ask for another")
        if used >= uses:
            raise InviteError("this invite is used up; ask for another")
        return Grant(device, Role(role), name, public, proof)

    def _invite(self, invitation: Invitation) -> None:
        row = (
            invitation.public,
            invite_id(invitation.public),
            invitation.psk,
            int(invitation.role),
            invitation.uses,
            invitation.expires,
        )
        self._db.execute("INSERT OR IGNORE INTO invitations VALUES (?, ?, ?, ?, ?, ?, 0)", row)

    def _check_proof(self, grant: Grant) -> None:
        sql = "SELECT role FROM invitations WHERE public = ?"
        row = self._db.execute(sql, (grant.public,)).fetchone()
        if row is None or row[0] != grant.role:
            raise RecordRefused("a grant names no invitation of that role")
        if not verify_proof(grant.public, self._drive, grant.device, grant.name, grant.proof):
            raise RecordRefused("a grant's proof of its invitation is wrong")
