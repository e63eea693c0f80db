import base64
import string
from dataclasses import replace

import msgpack
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import InviteMalformed
from p2pdrive.limits import ADDRESS_BYTES_MAX, ADDRESSES_MAX, INVITE_TEXT_MAX
from p2pdrive.secure.identity import Identity
from p2pdrive.secure.invite import PREFIX, Invite, invite_id, verify_proof

SAMPLE = Invite(
    drive=bytes(range(32)),
    drive_name="Photos",
    secret=bytes(range(32, 48)),
    addresses=("192.168.1.10:22020", "[2001:db8::1]:22020"),
    expires=1_800_000_000,
    role="editor",
)
LINK = (
    "p2pdrive://join/AZbEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fplBob3Rvc8QQICEi"
    "IyQlJicoKSorLC0uL5KyMTkyLjE2OC4xLjEwOjIyMDIws1syMDAxOmRiODo6MV06MjIwMjDOa0nSAKZl"
    "ZGl0b3L7Jelj"
)

labels = st.text(st.characters(exclude_categories=("Cs",)), max_size=16)
addresses = st.text(string.ascii_letters + string.digits + ".:[]-%", min_size=1, max_size=60)
invites = st.builds(
    Invite,
    drive=st.binary(min_size=32, max_size=32),
    drive_name=labels,
    secret=st.binary(min_size=16, max_size=16),
    addresses=st.lists(addresses, max_size=4).map(tuple),
    expires=st.integers(0, 2**63 - 1),
    role=st.sampled_from(["viewer", "editor", "admin"]),
)


def linked(fields: object, version: int = 1) -> str:
    """A link with a right checksum around whatever is inside."""
    return enclosed(bytes([version]) + msgpack.packb(fields))


def enclosed(body: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(body + blake3(body).digest(4)).rstrip(b"=").decode()


def test_link_vector() -> None:
    assert SAMPLE.link() == LINK
    assert Invite.parse(LINK) == SAMPLE


def test_derivation_vectors() -> None:
    assert SAMPLE.psk.hex() == "66f40ceef8b7c9d9b77e7201f62f1430e64a9f4b0254c709d0baa01b11e65ef2"
    assert SAMPLE.public.hex() == "b054064eaf565cb996874446cd1e48ffe91be4d38df096e3f554bb8b6b438e3b"
    assert SAMPLE.id.hex() == "60422c995ee0ecf659a4bd771af6c22c"
    assert SAMPLE.prove(bytes(32), "desktop").hex() == (
        "999798a848ce9f28e02555bdc478ac2b4a89349a3eaacabf0c05eebbbbd47fd9"
        "67ae02546dea8df96a0aea7fbe255f4e1185050c22a91d3049d6f91983583104"
    )


@given(invites)
def test_every_invite_comes_back_from_its_link(invite: Invite) -> None:
    link = invite.link()
    assert Invite.parse(link) == invite
    assert link.isascii()
    assert not set(link) & set(" \"'<>=+\\")


@given(invites, st.data())
def test_any_single_changed_character_is_refused(invite: Invite, data: st.DataObject) -> None:
    link = invite.link()
    position = data.draw(st.integers(0, len(link) - 1))
    other = data.draw(st.one_of(st.sampled_from(string.printable), st.characters()))
    changed = link[:position] + other + link[position + 1 :]
    if other != link[position]:
        with pytest.raises(InviteMalformed):
            Invite.parse(changed)


@pytest.mark.parametrize("name", ["n", "na", "nam"])  # 0, 2 and 4 spare bits at the end, in some order
def test_any_other_base64_character_at_any_place_is_refused(name: str) -> None:
    link = replace(SAMPLE, drive_name=name, addresses=()).link()
    alphabet = string.ascii_letters + string.digits + "-_"
    for position in range(len(PREFIX), len(link)):
        for other in alphabet.replace(link[position], ""):
            with pytest.raises(InviteMalformed, match="cut short or mistyped"):
                Invite.parse(link[:position] + other + link[position + 1 :])


def test_link_cut_short_anywhere_is_refused() -> None:
    for length in range(len(LINK)):
        with pytest.raises(InviteMalformed):
            Invite.parse(LINK[:length])


@given(st.one_of(st.text(max_size=200), st.text(max_size=200).map(lambda text: PREFIX + text)))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InviteMalformed):
        Invite.parse(text)


@pytest.mark.parametrize("around", ["  {}\n", '"{}"', "'{}'", "<{}>", "`{}`", "\t'{}' \r\n"])
def test_space_and_quotes_around_a_link_are_ignored(around: str) -> None:
    assert Invite.parse(around.format(LINK)) == SAMPLE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a p2pdrive invite"),
        ("https://example.org/", "Copy the whole line"),
        (LINK[:-7], "cut short or mistyped. Copy the whole link again"),
        (LINK + "A", "cut short or mistyped"),
        (PREFIX + "A" * INVITE_TEXT_MAX, "too long"),
        (linked(["whatever", "is", "new"], version=2), "newer p2pdrive. Update"),
        (linked(["whatever"]), "Ask for a new invite"),
    ],
)
def test_message_says_what_to_do(text: str, says: str) -> None:
    with pytest.raises(InviteMalformed, match=says):
        Invite.parse(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, bytes(31)),
        (0, "d" * 32),
        (1, "n" * 65),
        (1, b"name"),
        (2, bytes(15)),
        (2, None),
        (3, ["a:1"] * (ADDRESSES_MAX + 1)),
        (3, ["a" * (ADDRESS_BYTES_MAX + 1)]),
        (3, [""]),
        (3, ["host name:1"]),
        (3, ["\x1b[2J:1"]),
        (3, [5]),
        (3, "a:1"),
        (4, -1),
        (4, 2**63),
        (4, True),
        (4, 1.5),
        (5, "owner"),
        (5, ["admin"]),
    ],
)
def test_link_with_a_right_checksum_and_wrong_content_is_refused(field: int, value: object) -> None:
    fields: list[object] = [bytes(32), "name", bytes(16), ["a:1"], 0, "viewer"]
    assert Invite.parse(linked(fields)).addresses == ("a:1",)
    fields[field] = value
    with pytest.raises(InviteMalformed, match="Ask for a new invite"):
        Invite.parse(linked(fields))


def test_same_content_in_another_encoding_is_refused() -> None:
    fields = [bytes(32), "name", bytes(16), ["a:1"], 0, "viewer"]
    body = b"\x01" + msgpack.packb(fields)
    longer = body.replace(b"\x00\xa6viewer", b"\xcc\x00\xa6viewer")
    assert msgpack.unpackb(longer[1:]) == fields
    assert Invite.parse(enclosed(body)).expires == 0
    with pytest.raises(InviteMalformed):
        Invite.parse(enclosed(longer))
    with pytest.raises(InviteMalformed):
        Invite.parse(enclosed(b"\x00" + body[1:]))


@pytest.mark.parametrize("inside", [None, 7, {}, [], [1, 2, 3], {1: 2, (1, 2): 3}])
def test_link_around_something_else_is_refused(inside: object) -> None:
    with pytest.raises(InviteMalformed):
        Invite.parse(linked(inside))


def test_invite_with_as_many_and_as_long_addresses_as_may_be_fits_its_link() -> None:
    largest = replace(SAMPLE, addresses=("a" * ADDRESS_BYTES_MAX,) * ADDRESSES_MAX, drive_name="n" * 64)
    assert Invite.parse(largest.link()) == largest


def test_repr_hides_the_secret() -> None:
    assert "Photos" in repr(SAMPLE)
    assert repr(SAMPLE.secret) not in repr(SAMPLE)
    assert "secret" not in repr(SAMPLE)


@given(invites, invites)
def test_secrets_decide_all_that_is_derived(one: Invite, other: Invite) -> None:
    same_secret = replace(other, secret=one.secret)
    assert (same_secret.psk, same_secret.public, same_secret.id) == (one.psk, one.public, one.id)
    if other.secret != one.secret:
        assert other.psk != one.psk
        assert other.public != one.public
        assert other.id != one.id


def test_proof_holds_for_its_invite_drive_device_and_name_only() -> None:
    device = Identity(bytes(32)).device
    proof = SAMPLE.prove(device, "desktop")
    public = SAMPLE.public
    assert invite_id(public) == SAMPLE.id
    assert verify_proof(public, SAMPLE.drive, device, "desktop", proof)
    assert not verify_proof(replace(SAMPLE, secret=bytes(16)).public, SAMPLE.drive, device, "desktop", proof)
    assert not verify_proof(public, bytes(32), device, "desktop", proof)
    assert not verify_proof(public, SAMPLE.drive, bytes(32), "desktop", proof)
    assert not verify_proof(public, SAMPLE.drive, device, "laptop", proof)
    assert not verify_proof(public, SAMPLE.drive, device, "desktop", proof[:-1])
    assert not verify_proof(public, SAMPLE.drive, device, "desktop", bytes(64))


def test_proof_with_fields_of_other_lengths_is_refused() -> None:
    device, name = b"d" * 32, "xdesktop"
    proof = SAMPLE.prove(device, name)
    assert not verify_proof(SAMPLE.public, SAMPLE.drive, device + b"x", "desktop", proof)
    assert not verify_proof(SAMPLE.public, SAMPLE.drive[:-1], device, name, proof)
    assert not verify_proof(SAMPLE.public, SAMPLE.drive, device, "\ud800", proof)
