from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.secure.identity import Identity, verify

# RFC 8032, section 7.1, test 2.
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_rfc_8032_vector_is_met() -> None:
    identity = Identity(SEED)
    assert identity.device == PUBLIC
    assert identity.sign(b"\x72") == SIGNATURE
    assert verify(PUBLIC, SIGNATURE, b"\x72")


def test_identity_comes_back_from_its_seed() -> None:
    asked: list[int] = []

    def random(count: int) -> bytes:
        asked.append(count)
        return bytes(range(count))

    identity = Identity.generate(random)
    assert asked == [32]
    assert Identity(identity.seed).device == identity.device


def test_repr_names_the_device_and_hides_the_seed() -> None:
    identity = Identity(SEED)
    assert PUBLIC.hex()[:16] in repr(identity)
    assert SEED.hex()[:8] not in repr(identity)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511))
def test_signature_with_any_bit_changed_is_refused(seed: bytes, message: bytes, bit: int) -> None:
    identity = Identity(seed)
    signature = bytearray(identity.sign(message))
    assert verify(identity.device, bytes(signature), message)
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify(identity.device, bytes(signature), message)


def test_signature_of_another_device_or_message_is_refused() -> None:
    assert not verify(Identity(bytes(32)).device, SIGNATURE, b"\x72")
    assert not verify(PUBLIC, SIGNATURE, b"\x73")


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=20))
def test_random_keys_and_signatures_of_any_length_are_refused(
    device: bytes, signature: bytes, message: bytes
) -> None:
    assert not verify(device, signature, message)
    assert not verify(PUBLIC, signature, message)
