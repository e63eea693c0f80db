"""Membership: who becomes a member by whose word, and what an invite is good for."""

from dataclasses import replace

import pytest

from p2pdrive.errors import InviteError, LinkClosed, RecordRefused
from p2pdrive.history.membership import Member
from p2pdrive.model.record import Grant, Invitation, Role
from p2pdrive.secure.invite import Invite
from tests.history.machines import ONE, Machine, batch_of, change_of, founded

NOW = 1_700_000_000


def invite_to(machine: Machine, role: Role = Role.EDITOR, secret: int = 7) -> Invite:
    return Invite(machine.genesis.drive, "Photos", bytes([secret]) * 16, (), 0, role.name.lower())


def invitation_for(invite: Invite, uses: int = 1, expires: int = 0) -> Invitation:
    return Invitation(invite.public, invite.psk, Role[invite.role.upper()], uses, expires)


def invited(
    machine: Machine, role: Role = Role.EDITOR, uses: int = 1, expires: int = 0, secret: int = 7
) -> Invite:
    """An invite that ``machine``, an admin, made."""
    invite = invite_to(machine, role, secret)
    machine.admit(invitation_for(invite, uses, expires))
    return invite


def admit(member: Machine, invite: Invite, joiner: Machine, now: int = NOW) -> Grant | None:
    """``member`` lets ``joiner`` in if the invite is good."""
    proof = invite.prove(joiner.device, joiner.name)
    grant = member.log.membership.admit(joiner.device, joiner.name, invite.public, proof, now)
    if grant is not None:
        member.admit(grant)
    return grant


def role_of(machine: Machine, member: Machine) -> Role | None:
    found = machine.log.membership.member(member.device)
    return found.role if found else None


def refused(machine: Machine, author: Machine, change: Invitation | Grant, words: str) -> None:
    """``machine`` refuses the batch in which ``author`` writes ``change``, and nothing of it stays."""
    before = machine.state()
    with pytest.raises(RecordRefused, match=words):
        machine.take([batch_of(author, change_of("along"), change)])
    assert machine.state() == before


@pytest.fixture
def three() -> list[Machine]:
    """A founder, an editor, and a stranger."""
    return founded(1, strangers=1)


def test_founder_is_admin_from_the_start() -> None:
    (founder,) = founded(0)
    assert founder.log.membership.all() == [Member(founder.device, Role.ADMIN, "machine 0")]
    assert founder.log.membership.may_write(founder.device)


def test_only_editors_and_admins_may_write() -> None:
    founder, other = founded(0, strangers=1)
    assert not founder.log.membership.may_write(other.device)
    for role in Role:
        founder.grant(other, role=role)
        assert founder.log.membership.may_write(other.device) == (role >= Role.EDITOR)


def test_joiner_with_an_invite_is_let_in_by_an_editor_and_all_agree(three: list[Machine]) -> None:
    founder, editor, joiner = three
    invite = invited(founder)
    editor.pull(founder)
    assert admit(editor, invite, joiner) is not None
    founder.pull(editor)
    joiner.pull(editor)
    assert role_of(founder, joiner) is role_of(joiner, joiner) is Role.EDITOR
    joiner.edit("a", ONE)
    assert founder.pull(joiner).records == 1


def test_invite_is_found_by_its_id(three: list[Machine]) -> None:
    founder, *_ = three
    invite = invited(founder)
    assert founder.log.membership.psk(invite.id) == invite.psk
    assert founder.log.membership.psk(bytes(16)) is None


def test_editors_grant_without_a_proof_is_refused(three: list[Machine]) -> None:
    founder, editor, stranger = three
    refused(founder, editor, Grant(stranger.device, Role.EDITOR, "s"), "no invitation")
    refused(founder, editor, Grant(editor.device, Role.ADMIN, "e"), "no invitation")


def test_grant_with_a_wrong_proof_is_refused(three: list[Machine]) -> None:
    founder, editor, stranger = three
    invite = invited(founder)
    good = Grant(stranger.device, Role.EDITOR, "s", invite.public, invite.prove(stranger.device, "s"))
    for bad in (
        replace(good, proof=bytes(64)),
        replace(good, name="t"),
        replace(good, device=b"d" * 32),
        replace(good, proof=invite_to(founder, secret=8).prove(stranger.device, "s")),
    ):
        refused(founder, editor, bad, "proof of its invitation is wrong")
    assert founder.take([batch_of(editor, good)]).membership


def test_proof_for_another_drive_is_refused(three: list[Machine]) -> None:
    founder, editor, stranger = three
    invite = invited(founder)
    elsewhere = replace(invite, drive=b"o" * 32)
    proof = elsewhere.prove(stranger.device, "s")
    refused(founder, editor, Grant(stranger.device, Role.EDITOR, "s", invite.public, proof), "proof")


def test_grant_of_another_role_than_invited_is_refused(three: list[Machine]) -> None:
    founder, editor, stranger = three
    invite = invited(founder, Role.VIEWER)
    proof = invite.prove(stranger.device, "s")
    for role in (Role.EDITOR, Role.ADMIN):
        refused(founder, editor, Grant(stranger.device, role, "s", invite.public, proof), "of that role")


def test_grant_by_an_unknown_invitation_is_refused(three: list[Machine]) -> None:
    founder, editor, stranger = three
    invite = invite_to(founder)
    grant = Grant(stranger.device, Role.EDITOR, "s", invite.public, invite.prove(stranger.device, "s"))
    refused(founder, editor, grant, "no invitation")


def test_admins_grant_with_a_wrong_proof_is_refused_too(three: list[Machine]) -> None:
    founder, _, stranger = three
    reader = founded(0)[0]
    grant = Grant(stranger.device, Role.EDITOR, "s", b"p" * 32, bytes(64))
    refused(reader, founder, grant, "no invitation")


def test_invitation_by_an_editor_is_refused(three: list[Machine]) -> None:
    founder, editor, _ = three
    refused(founder, editor, invitation_for(invite_to(founder)), "no admin")


def test_own_membership_change_that_may_not_be_is_not_written(three: list[Machine]) -> None:
    _, editor, stranger = three
    before = editor.state()
    with pytest.raises(RecordRefused):
        editor.admit(Grant(stranger.device, Role.EDITOR, "s"))
    assert editor.state() == before


def test_viewer_can_neither_invite_nor_admit() -> None:
    founder, viewer, stranger = founded(1, strangers=1, role=Role.VIEWER)
    invite = invited(founder)
    grant = Grant(stranger.device, Role.EDITOR, "s", invite.public, invite.prove(stranger.device, "s"))
    for change in (grant, invitation_for(invite_to(founder, secret=9))):
        assert founder.take([batch_of(viewer, change)]).waiting.keys() == {
            batch_of(viewer, change).header.actor
        }
    assert role_of(founder, stranger) is None


def test_used_up_invite_lets_nobody_else_in(three: list[Machine]) -> None:
    founder, one, two = founded(0, strangers=2)
    invite = invited(founder, uses=1)
    assert admit(founder, invite, one) is not None
    with pytest.raises(InviteError, match="used up"):
        admit(founder, invite, two)
    assert role_of(founder, two) is None


def test_joiner_that_asks_again_uses_nothing_up() -> None:
    founder, one, two = founded(0, strangers=2)
    invite = invited(founder, uses=2)
    assert admit(founder, invite, one) is not None
    assert admit(founder, invite, one) is None
    assert admit(founder, invite, two) is not None


def test_invite_that_raises_a_members_role_counts_as_used() -> None:
    founder, one, two = founded(2, role=Role.VIEWER)
    invite = invited(founder, Role.EDITOR, uses=1)
    assert admit(founder, invite, one) is not None
    assert role_of(founder, one) is Role.EDITOR
    with pytest.raises(InviteError, match="used up"):
        admit(founder, invite, two)


def test_use_at_another_member_counts_once_it_is_known() -> None:
    founder, editor, one, two = founded(1, strangers=2)
    invite = invited(founder, uses=1)
    editor.pull(founder)
    admit(editor, invite, one)
    founder.pull(editor)
    with pytest.raises(InviteError, match="used up"):
        admit(founder, invite, two)


def test_one_joiner_let_in_by_two_members_is_one_use() -> None:
    founder, editor, one, two = founded(1, strangers=2)
    invite = invited(founder, uses=2)
    editor.pull(founder)
    admit(editor, invite, one)
    admit(founder, invite, one)
    founder.pull(editor)
    assert admit(founder, invite, two) is not None
    editor.pull(founder)
    assert founder.state() == editor.state()


def test_expired_invite_lets_nobody_in() -> None:
    founder, one, two = founded(0, strangers=2)
    invite = invited(founder, uses=2, expires=NOW)
    assert admit(founder, invite, one, now=NOW) is not None
    with pytest.raises(InviteError, match="expired"):
        admit(founder, invite, two, now=NOW + 1)
    assert admit(founder, invite, one, now=NOW + 1) is None


def test_invite_that_never_expires_is_good_for_long() -> None:
    founder, one = founded(0, strangers=1)
    assert admit(founder, invited(founder), one, now=NOW * 2) is not None


def test_unknown_invite_and_wrong_secret_are_told_apart() -> None:
    founder, one = founded(0, strangers=1)
    with pytest.raises(LinkClosed, match="does not know the invite"):
        admit(founder, invite_to(founder), one)
    invite = invited(founder)
    for name, proof in ((one.name, bytes(64)), ("other", invite.prove(one.device, one.name)), ("", b"")):
        with pytest.raises(InviteError, match="secret is wrong"):
            founder.log.membership.admit(one.device, name, invite.public, proof, NOW)


def test_lower_invite_leaves_a_member_as_it_is(three: list[Machine]) -> None:
    founder, editor, _ = three
    assert admit(founder, invited(founder, Role.VIEWER), editor) is None
    assert role_of(founder, editor) is Role.EDITOR


def test_of_two_grants_the_higher_role_holds_in_any_order() -> None:
    founder, admin, joiner = founded(0, strangers=2)
    founder.grant(admin, role=Role.ADMIN)
    admin.pull(founder)
    founder.grant(joiner, role=Role.EDITOR)
    admin.grant(joiner, role=Role.VIEWER)
    founder.pull(admin)
    admin.pull(founder)
    assert role_of(founder, joiner) is role_of(admin, joiner) is Role.EDITOR
    assert founder.state() == admin.state()


def test_admin_by_grant_may_invite_and_grant() -> None:
    founder, admin, joiner = founded(0, strangers=2)
    founder.grant(admin, role=Role.ADMIN)
    admin.pull(founder)
    admin.admit(invitation_for(invite_to(founder)))
    admin.grant(joiner, role=Role.ADMIN)
    assert founder.pull(admin).membership
    assert role_of(founder, joiner) is Role.ADMIN
