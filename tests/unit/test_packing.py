"""Packed data come out as they went in, in pieces of a bounded size; damage and a cut are told."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from schakel.kernel.outcomes import Invalid
from schakel.kernel.packing import Coding, coding_of, unpacked

CODINGS: list[Coding] = ["gzip", "zstd"]


def pack(data: bytes, coding: Coding) -> bytes:
    return gzip.compress(data) if coding == "gzip" else zstandard.compress(data)


def chunks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(parts=st.lists(st.binary(max_size=300), min_size=1), size=st.integers(1, 50))
@pytest.mark.parametrize("coding", CODINGS)
def test_any_data_in_any_chunks_come_out_whole(coding: Coding, parts: list[bytes], size: int) -> None:
    packed = b"".join(pack(part, coding) for part in parts)
    assert b"".join(unpacked(chunks(packed, size), coding)) == b"".join(parts)
    assert coding_of(packed) == coding


@given(data=st.binary(min_size=1, max_size=2000), at=st.floats(0, 1, exclude_max=True))
@pytest.mark.parametrize("coding", CODINGS)
def test_data_that_were_cut_off_are_never_taken_for_whole(coding: Coding, data: bytes, at: float) -> None:
    packed = pack(data, coding)
    cut = packed[: max(1, int(len(packed) * at))]
    with pytest.raises(Invalid, match="cut off"):
        list(unpacked([cut], coding))


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_not_packed_is_damaged(coding: Coding) -> None:
    with pytest.raises(Invalid, match="damaged"):
        list(unpacked([b'{"resourceType": "Patient"}'], coding))
    assert coding_of(b'{"re') is None


@pytest.mark.parametrize("coding", CODINGS)
def test_a_changed_byte_is_damage(coding: Coding) -> None:
    packed = bytearray(
        gzip.compress(bytes(1000))
        if coding == "gzip"
        else zstandard.ZstdCompressor(write_checksum=True).compress(bytes(1000))
    )
    packed[-3] ^= 1
    with pytest.raises(Invalid, match="damaged"):
        list(unpacked([bytes(packed)], coding))


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_comes_out_in_small_pieces(coding: Coding) -> None:
    bomb = pack(bytes(200_000_000), coding)
    tracemalloc.start()
    try:
        size = 0
        for piece in unpacked([bomb], coding):
            size += len(piece)
            if size > 20_000_000:
                break
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_zeros_after_the_last_member_are_filling() -> None:
    assert b"".join(unpacked([gzip.compress(b"a"), b"\0" * 100], "gzip")) == b"a"


def test_a_window_larger_than_the_web_allows_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(Invalid, match="damaged"):
        list(unpacked([packer.compress(bytes(20_000_000)), packer.flush()], "zstd"))
