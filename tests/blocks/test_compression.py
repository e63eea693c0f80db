"""Compression: only where it helps, and nothing but the block comes back."""

import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.blocks.compression import Compressor, Form, expand
from p2pdrive.limits import KIB, MIB

NOISE = blake3(b"noise").digest(MIB)
TEXT = b"".join(b"line %d of a log: all is well\n" % number for number in range(30_000))[:MIB]


@given(st.binary(min_size=1, max_size=300), st.integers(1, 300))
def test_any_block_comes_back(piece: bytes, times: int) -> None:
    data = piece * times
    form, stored = Compressor().compress(data)
    assert expand(form, stored, len(data)) == data
    assert len(stored) <= len(data)


def test_text_is_compressed_and_noise_is_not() -> None:
    compressor = Compressor()
    for size in (4 * KIB, 64 * KIB, MIB):
        form, stored = compressor.compress(TEXT[:size])
        assert form == Form.ZSTD
        assert len(stored) < size // 2
        assert compressor.compress(NOISE[:size]) == (Form.RAW, NOISE[:size])


def test_saving_of_less_than_an_eighth_is_not_worth_it() -> None:
    data = NOISE[: 8 * KIB] + bytes(KIB)
    assert len(zstandard.ZstdCompressor(level=1).compress(data)) < len(data) - 900
    assert Compressor().compress(data) == (Form.RAW, data)


def test_compressible_middle_of_noise_is_stored_raw() -> None:
    data = NOISE[: 400 * KIB] + bytes(20 * KIB) + NOISE[400 * KIB : 800 * KIB]
    assert Compressor().compress(data) == (Form.RAW, data)


def test_wrong_lengths_and_forms_are_damage() -> None:
    form, stored = Compressor().compress(TEXT[:4096])
    assert expand(form, stored, 4095) is None
    assert expand(form, stored[:-1], 4096) is None
    assert expand(form, b"", 4096) is None
    assert expand(form, b"no zstd frame", 4096) is None
    assert expand(Form.RAW, b"abc", 4) is None
    assert expand(2, stored, 4096) is None


def test_frame_that_claims_a_huge_size_is_not_expanded() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(64 * MIB))
    assert expand(Form.ZSTD, bomb, MIB) is None
