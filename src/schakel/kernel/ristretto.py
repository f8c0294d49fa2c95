"""The group ristretto255 (RFC 9496), computed by libsodium. Points and scalars are bytes, scalars little endian.

The library is loaded at the first use: the package writes it to a temporary file of 2.8 MB at each import, and only
who makes or reads pseudonyms needs it. The file is removed as soon as the library is in memory (Windows cannot).
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType

SIZE = 32
"""Bytes of a point and of a scalar."""


def random_scalar() -> bytes:
    """A new random scalar that is not zero."""
    scalar: bytes = _library().crypto_core_ristretto255_scalar_random()
    return scalar


def inverse(scalar: bytes) -> bytes:
    """The scalar that undoes `scalar`. Raises `ValueError` for zero, and for what is not a scalar."""
    if len(scalar) != SIZE or not any(scalar):
        raise ValueError(f"a scalar has {SIZE} bytes and is not zero")
    found: bytes = _library().crypto_core_ristretto255_scalar_invert(scalar)
    return found


def multiplied(point: bytes, scalar: bytes) -> bytes:
    """`point` multiplied by `scalar`. Raises `ValueError` for what is not a point, and where there is no answer but
    the neutral element: a scalar that is zero, that point itself."""
    if len(point) != SIZE or len(scalar) != SIZE:
        raise ValueError(f"points and scalars have {SIZE} bytes")
    try:
        product: bytes = _library().crypto_scalarmult_ristretto255(scalar, point)
    except RuntimeError:
        raise ValueError("not a point of the group, or the neutral element") from None
    return product


def is_point(data: bytes) -> bool:
    """Whether `data` is the encoding of a point."""
    return len(data) == SIZE and bool(_library().crypto_core_ristretto255_is_valid_point(data))


def point_from(uniform: bytes) -> bytes:
    """The point of 64 bytes, such as those of SHA-512 (RFC 9496, section 4.3.4). Raises `ValueError`."""
    if len(uniform) != 2 * SIZE:
        raise ValueError(f"{2 * SIZE} bytes make a point")
    point: bytes = _library().crypto_core_ristretto255_from_hash(uniform)
    return point


@cache
def _library() -> ModuleType:
    import rbcl
    from rbcl._sodium import lib_path

    with suppress(OSError):
        Path(lib_path).unlink()
    library: ModuleType = rbcl
    return library
