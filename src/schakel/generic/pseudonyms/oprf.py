"""The oblivious function of RFC 9497, base mode, suite ristretto255-SHA512: the client's half.

A client blinds its input, who has the key evaluates what it cannot read, and who has both blind factor and answer finds
the same point for the same input whatever the blind factor was. The ministry's pseudonyms are that point itself: the
hash at the end of the RFC (Finalize) is not made.

The group is `schakel.kernel.ristretto`; expand_message_xmd (RFC 9380, section 5.3.1) is here.
"""

from __future__ import annotations

import hashlib

from schakel.kernel.ristretto import inverse, multiplied, point_from, random_scalar

_CONTEXT = b"OPRFV1-\x00-ristretto255-SHA512"
"""createContextString(modeOPRF, suite), RFC 9497 section 3.1."""

_HASH_TO_GROUP = b"HashToGroup-" + _CONTEXT
_BLOCK = 128
"""Bytes that SHA-512 takes at a time."""


def blind(data: bytes) -> tuple[bytes, bytes]:
    """A new random scalar, and the point of `data` multiplied by it (RFC 9497, section 3.3.1)."""
    scalar = random_scalar()
    return scalar, blinded(data, scalar)


def blinded(data: bytes, scalar: bytes) -> bytes:
    """The point of `data` multiplied by `scalar`."""
    return multiplied(hash_to_group(data), scalar)


def unblinded(evaluated: bytes, scalar: bytes) -> bytes:
    """The point without the `scalar` of `blind`. Raises `ValueError`."""
    return multiplied(evaluated, inverse(scalar))


def hash_to_group(data: bytes) -> bytes:
    """The point of `data` (RFC 9497, section 4.1; hash_to_ristretto255 of RFC 9380, appendix B)."""
    return point_from(expand_message_xmd(data, _HASH_TO_GROUP, 64))


def expand_message_xmd(message: bytes, tag: bytes, length: int) -> bytes:
    """`length` bytes that nobody tells from random, made of `message` by SHA-512 (RFC 9380, section 5.3.1). Raises
    `ValueError` for a `tag` (DST) of more than 255 bytes or a `length` that the construction does not have."""
    blocks = -(-length // hashlib.sha512().digest_size)
    if blocks > 255 or length > 65_535 or len(tag) > 255:
        raise ValueError("too long for expand_message_xmd")
    suffix = tag + bytes((len(tag),))
    start = hashlib.sha512(bytes(_BLOCK) + message + length.to_bytes(2, "big") + b"\x00" + suffix).digest()
    made = [hashlib.sha512(start + b"\x01" + suffix).digest()]
    for number in range(2, blocks + 1):
        mixed = bytes(a ^ b for a, b in zip(start, made[-1], strict=True))
        made.append(hashlib.sha512(mixed + bytes((number,)) + suffix).digest())
    return b"".join(made)[:length]
