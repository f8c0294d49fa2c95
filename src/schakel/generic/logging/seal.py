"""A seal: which events an organisation wrote down, in which order, signed by that organisation.

One line of text, a JWS in compact form (RFC 7515, ES256, header `kid` the signing key). Its payload is JSON:
`organisation` (URA), `number` (1 and on, without gaps), `sealed` (instant), `previous` (SHA-256 of the line before,
hexadecimal; 64 zeros in the first), `count`, and `events`: for each event 16 bytes of its id and the 32 of its leaf
hash (see `stored.leaf`), one after the other in base64url. The signature covers the list itself, so that no hash over
the list is needed beside it, and the chain of lines says that none is missing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from schakel.kernel.clock import instant

FIRST = "0" * 64
"""What stands for the line before the first."""

_ALGORITHM = "ES256"
_ENTRY = 48

Leaf: TypeAlias = tuple[uuid.UUID, bytes]
"""An event's id and its hash."""


class SealDamaged(ValueError):
    """A line that is no seal of this organisation; the text says why."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What a line says."""

    organisation: str
    number: int
    sealed: datetime
    previous: str
    leaves: tuple[Leaf, ...]


def digest(line: str) -> str:
    """What the next seal says of this line."""
    return hashlib.sha256(line.encode()).hexdigest()


def make(
    key: ECKey, organisation: str, number: int, sealed: datetime, previous: str, leaves: Sequence[Leaf]
) -> str:
    """The line of a new seal."""
    payload = {
        "organisation": organisation,
        "number": number,
        "sealed": instant(sealed),
        "previous": previous,
        "count": len(leaves),
        "events": base64.urlsafe_b64encode(b"".join(one.bytes + leaf for one, leaf in leaves)).decode(),
    }
    return jws.serialize_compact(
        {"alg": _ALGORITHM, "kid": key.kid}, orjson.dumps(payload), key, [_ALGORITHM]
    )


def read(line: str) -> Seal:
    """What a line says, without a look at its signature. Raises `SealDamaged`."""
    try:
        payload = line.split(".")[1]
        table: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        packed = base64.urlsafe_b64decode(table["events"])
        leaves = tuple(
            (uuid.UUID(bytes=packed[at : at + 16]), packed[at + 16 : at + _ENTRY])
            for at in range(0, len(packed) - len(packed) % _ENTRY, _ENTRY)
        )
        seal = Seal(
            str(table["organisation"]),
            table["number"],
            datetime.fromisoformat(table["sealed"]),
            str(table["previous"]),
            leaves,
        )
    except (ValueError, TypeError, KeyError, IndexError, binascii.Error) as error:
        raise SealDamaged("cannot be read") from error
    if type(seal.number) is not int or not 0 < seal.number < 1 << 63:
        raise SealDamaged("has no number")
    if len(packed) % _ENTRY or len(leaves) != table.get("count"):
        raise SealDamaged("does not hold as many events as it says")
    return seal


def check_signature(line: str, keys: KeySet) -> None:
    """Raises `SealDamaged` when `line` is not signed with one of the keys."""
    try:
        jws.deserialize_compact(line, keys, [_ALGORITHM])
    except (JoseError, ValueError, TypeError) as error:
        raise SealDamaged("is not signed with a key of this organisation") from error
