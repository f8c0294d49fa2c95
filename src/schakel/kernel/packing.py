"""gzip and zstd, unpacked piece by piece: what was packed small may be large, and may have been cut off.

Source: RFC 1952 (gzip), RFC 8878 (zstd); the window of zstd is at most the 8 MB of RFC 9659.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Literal

import zstandard

from schakel.kernel.outcomes import Invalid

Coding = Literal["gzip", "zstd"]
PIECE = 1 << 18
"""Bytes that a piece of unpacked gzip has at most."""

_ZSTD_STEP = 256
"""Packed bytes that are unpacked at a time: each four may stand for 128 kB, so a piece has at most 8 MB."""
_WINDOW = 1 << 23


def coding_of(opening: bytes) -> Coding | None:
    """How data are packed that open with these bytes (four will do); None when they are not."""
    if opening.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if opening.startswith(b"\x28\xb5\x2f\xfd") else None


def unpacked(chunks: Iterable[bytes], coding: Coding) -> Iterator[bytes]:
    """The unpacked data in pieces. Raises `Invalid` for what is damaged, cut off or not packed this way."""
    try:
        yield from (_gunzip if coding == "gzip" else _unzstd)(chunks)
    except (zlib.error, zstandard.ZstdError) as error:
        raise Invalid(f"the {coding} data are damaged", code="packing-damaged") from error


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    engine = zlib.decompressobj(wbits=31)
    begun, filling = False, False
    for chunk in chunks:
        if filling and not begun:
            chunk = chunk.lstrip(b"\0")
        while chunk:
            begun = True
            piece = engine.decompress(chunk, PIECE)
            if piece:
                yield piece
            chunk = engine.unconsumed_tail
            while not engine.eof and not chunk and len(piece) == PIECE:
                piece = engine.decompress(b"", PIECE)
                if piece:
                    yield piece
            if engine.eof:  # Another member may follow, or the zeros with which tapes are filled.
                chunk = engine.unused_data.lstrip(b"\0")
                engine, begun, filling = zlib.decompressobj(wbits=31), False, True
    if begun:
        raise _cut_off("gzip")


def _unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    engine = decompressor.decompressobj()
    begun = False
    for chunk in chunks:
        for start in range(0, len(chunk), _ZSTD_STEP):
            step = chunk[start : start + _ZSTD_STEP]
            while step:
                begun = True
                piece = engine.decompress(step)
                if piece:
                    yield piece
                step = b""
                if engine.eof:
                    step = engine.unused_data
                    engine, begun = decompressor.decompressobj(), False
    if begun:
        raise _cut_off("zstd")


def _cut_off(coding: Coding) -> Invalid:
    return Invalid(f"the {coding} data end in the middle: they were cut off", code="packing-cut-off")
