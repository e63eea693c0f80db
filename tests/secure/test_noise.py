"""Noise against the official vectors, and against another implementation as a live peer."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from noise.connection import Keypair, NoiseConnection

from p2pdrive.errors import AuthenticationFailed, ProtocolViolation
from p2pdrive.secure.noise import CIPHERS, COUNTER_END, HASHES, PATTERNS, CipherState, HandshakeState, Suite

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "noise-cacophony.json"
SUITES = [
    f"Noise_{pattern}_25519_{cipher}_{hash_name}"
    for pattern in PATTERNS
    for cipher in CIPHERS
    for hash_name in HASHES
]
STATIC = {True: bytes(range(32)), False: bytes(range(32, 64))}
EPHEMERAL = {True: bytes(range(64, 96)), False: bytes(range(96, 128))}
PSK = bytes(range(128, 160))

#: Points of small order on Curve25519, and their twins beyond the prime (RFC 7748, section 6.1, and
#: https://cr.yp.to/ecdh.html#validate).
WEAK_KEYS = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


@cache
def vectors() -> dict[str, dict[str, Any]]:
    return {vector["protocol_name"]: vector for vector in json.loads(VECTORS.read_text())["vectors"]}


def from_vector(vector: dict[str, Any], side: str) -> HandshakeState:
    psks = vector.get(f"{side}_psks")
    return HandshakeState(
        Suite.parse(vector["protocol_name"]),
        initiator=side == "init",
        prologue=bytes.fromhex(vector[f"{side}_prologue"]),
        static=bytes.fromhex(vector[f"{side}_static"]),
        ephemeral=bytes.fromhex(vector[f"{side}_ephemeral"]),
        psk=bytes.fromhex(psks[0]) if psks else None,
    )


def state(suite: str, initiator: bool, psk: bytes = PSK, prologue: bytes = b"prologue") -> HandshakeState:
    parsed = Suite.parse(suite)
    return HandshakeState(
        parsed,
        initiator=initiator,
        prologue=prologue,
        static=STATIC[initiator],
        ephemeral=EPHEMERAL[initiator],
        psk=psk if parsed.pattern == "XXpsk3" else None,
    )


def finish(initiator: HandshakeState, responder: HandshakeState) -> None:
    responder.read_message(initiator.write_message())
    initiator.read_message(responder.write_message())
    responder.read_message(initiator.write_message())


@pytest.mark.skipif(not VECTORS.exists(), reason="the official Noise vectors are not beside this checkout")
@pytest.mark.parametrize("suite", SUITES)
def test_official_vector_is_met_to_the_byte(suite: str) -> None:
    vector = vectors()[suite]
    writer, reader = from_vector(vector, "init"), from_vector(vector, "resp")
    sides = [writer, reader]
    passed = [
        (bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"]))
        for message in vector["messages"]
    ]
    for payload, ciphertext in passed[:3]:
        assert writer.write_message(payload) == ciphertext
        assert reader.read_message(ciphertext) == payload
        writer, reader = reader, writer
    assert [side.handshake_hash.hex() for side in sides] == [vector["handshake_hash"]] * 2

    (to_responder, from_responder), (to_initiator, from_initiator) = sides[0].split(), sides[1].split()
    directions = [(to_responder, from_initiator), (to_initiator, from_responder)]
    for number, (payload, ciphertext) in enumerate(passed[3:], start=3):
        sending, receiving = directions[number % 2]
        assert sending.encrypt(b"", payload) == ciphertext
        assert receiving.decrypt(b"", ciphertext) == payload


@pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "they-dial"])
@pytest.mark.parametrize("suite", SUITES)
def test_another_implementation_understands_us(suite: str, we_dial: bool) -> None:
    ours = state(suite, initiator=we_dial)
    theirs = NoiseConnection.from_name(suite.encode())
    if "psk3" in suite:
        theirs.set_psks(PSK)
    theirs.set_prologue(b"prologue")
    theirs.set_as_responder() if we_dial else theirs.set_as_initiator()
    theirs.set_keypair_from_private_bytes(Keypair.STATIC, STATIC[not we_dial])
    theirs.start_handshake()

    for number in range(3):
        payload = b"payload %d" % number
        if (number % 2 == 0) == we_dial:
            assert theirs.read_message(ours.write_message(payload)) == payload
        else:
            assert ours.read_message(bytes(theirs.write_message(payload))) == payload
    assert ours.handshake_hash == theirs.get_handshake_hash()
    sending, receiving = ours.split()
    for number in range(3):
        message = b"message %d" % number
        assert theirs.decrypt(sending.encrypt(b"", message)) == message
        assert receiving.decrypt(b"", theirs.encrypt(message)) == message


def test_suite_names_are_read_back() -> None:
    for name in SUITES:
        assert Suite.parse(name).name == name


@pytest.mark.parametrize("weak", WEAK_KEYS, ids=lambda key: key.hex()[:8])
def test_weak_ephemeral_key_is_refused(weak: bytes) -> None:
    responder = state("Noise_XX_25519_AESGCM_BLAKE2s", initiator=False)
    responder.read_message(weak)
    with pytest.raises(AuthenticationFailed, match="weak key"):
        responder.write_message()


def test_short_messages_are_refused() -> None:
    suite = "Noise_XX_25519_AESGCM_BLAKE2s"
    with pytest.raises(ProtocolViolation, match="too short"):
        state(suite, initiator=False).read_message(bytes(31))
    initiator, responder = state(suite, initiator=True), state(suite, initiator=False)
    responder.read_message(initiator.write_message())
    with pytest.raises(ProtocolViolation, match="too short"):
        initiator.read_message(responder.write_message()[:79])
    initiator, responder = state(suite, initiator=True), state(suite, initiator=False)
    responder.read_message(initiator.write_message())
    with pytest.raises(AuthenticationFailed):
        initiator.read_message(responder.write_message()[:90])


def test_other_prologue_is_refused() -> None:
    suite = "Noise_XX_25519_ChaChaPoly_BLAKE2s"
    with pytest.raises(AuthenticationFailed):
        finish(state(suite, initiator=True), state(suite, initiator=False, prologue=b"another"))


def test_wrong_psk_is_refused_at_the_third_message() -> None:
    suite = "Noise_XXpsk3_25519_AESGCM_BLAKE2s"
    initiator, responder = state(suite, initiator=True), state(suite, initiator=False, psk=bytes(32))
    responder.read_message(initiator.write_message())
    initiator.read_message(responder.write_message())
    with pytest.raises(AuthenticationFailed):
        responder.read_message(initiator.write_message())


def test_message_that_fails_does_not_use_up_its_number() -> None:
    sending, receiving = CipherState("AESGCM", bytes(32)), CipherState("AESGCM", bytes(32))
    sealed = sending.encrypt(b"", b"message")
    with pytest.raises(AuthenticationFailed):
        receiving.decrypt(b"", bytes(len(sealed)))
    assert receiving.decrypt(b"", sealed) == b"message"


def test_last_number_is_never_used() -> None:
    cipher = CipherState("ChaChaPoly", bytes(32))
    cipher._counter = COUNTER_END - 1
    cipher.encrypt(b"", b"the last")
    with pytest.raises(AuthenticationFailed, match="connect again"):
        cipher.encrypt(b"", b"one too many")
