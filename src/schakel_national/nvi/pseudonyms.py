"""From a token to the pseudonym that the NVI keeps: open the JWE, take the blinding away, hash with a key of its own.

    N = r^-1 * Z          Z the evaluated point in the JWE, r the blind factor, on ristretto255
    pseudonym = hex of HMAC-SHA256(key, N)

The real NVI leaves this to a crypto service. A blind factor of another call is not noticed: it gives a pseudonym that
nobody will find. Nor is a token kept from being used twice.

Source: the facts sheet on pseudonyms, recipient side.
"""

from __future__ import annotations

import binascii
import hmac
import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from schakel.kernel.clock import now
from schakel.kernel.ristretto import SIZE, inverse, is_point, multiplied
from schakel_national.nvi.outcomes import Broken

OK, STRICT, DOWN, NO_KEY = "ok", "strict", "down", "no-key"
_ALGORITHMS = ["RSA-OAEP", "RSA-OAEP-256", "A256GCM"]
_SUBJECT = "pseudonym:eval:"


class Unreadable(Exception):
    """A token that gives no pseudonym."""


class Away(Exception):
    """The crypto service does not answer."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a client hands over for one patient."""

    jwe: str
    blind_factor: str

    @classmethod
    def read(cls, value: str) -> Token:
        """The token in an identifier: {evaluated_output, blind_factor} in base64url. Raises `Unreadable`."""
        try:
            members = json.loads(_bytes(value))
        except (ValueError, RecursionError) as error:
            raise Unreadable from error
        if not isinstance(members, dict):
            raise Unreadable
        output, factor = members.get("evaluated_output"), members.get("blind_factor")
        if not isinstance(output, str) or not isinstance(factor, str):
            raise Unreadable
        return cls(output, factor)


@dataclass(frozen=True, slots=True)
class Checks:
    """What a JWE must say: for whom it is and for what; None where that is not looked at, as the real one does not."""

    recipient: str
    scope: str

    def hold(self, payload: Mapping[str, Any]) -> bool:
        """Whether it does, and has not expired."""
        until = payload.get("exp")
        return (
            payload.get("aud") == self.recipient
            and payload.get("scope") == self.scope
            and isinstance(until, int)
            and until > now().timestamp()
        )


class Pseudonyms:
    """The crypto service. `state` is `ok`, `strict` (it refuses the mechanism that a delete by subject names), `down`,
    or `no-key` (no key is active in the NVI's table)."""

    def __init__(self, key: RSAKey, secret: bytes, checks: Checks | None, state: str = OK) -> None:
        self._key = key
        self._secret = secret
        self._checks = checks
        self.state = state

    def of(self, token: Token, deleting: bool = False) -> str:
        """The pseudonym; `deleting` by a query on the subject. Raises `Unreadable`, `Away` and `Broken`."""
        self.ensure_key()
        if self.state == DOWN:
            raise Away
        if deleting and self.state == STRICT:
            raise Unreadable
        try:
            opened = jwe.decrypt_compact(token.jwe, self._key, algorithms=_ALGORITHMS)
            payload = json.loads(opened.plaintext or b"")
            point = multiplied(_point(payload), inverse(_number(token.blind_factor)))
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise Unreadable from error
        if self._checks is not None and not self._checks.hold(payload):
            raise Unreadable
        return hmac.new(self._secret, point, "sha256").hexdigest()

    def ensure_key(self) -> None:
        """Raises `Broken` when no key is active."""
        if self.state == NO_KEY:
            raise Broken


def own_secret(path: Path) -> bytes:
    """The key of the hash, kept in the file; made at the first start."""
    if not path.exists():
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(32))
        fresh.replace(path)
    return path.read_bytes()


def _point(payload: Any) -> bytes:
    """The evaluated point in a JWE. Raises `ValueError`."""
    subject = payload.get("subject") if isinstance(payload, dict) else None
    if not isinstance(subject, str) or not subject.startswith(_SUBJECT):
        raise ValueError("no evaluated pseudonym")
    point = _bytes(subject.removeprefix(_SUBJECT))
    if not is_point(point):
        raise ValueError("not a point")
    return point


def _number(text: str) -> bytes:
    """A blind factor: 32 bytes, not zero. Raises `ValueError`."""
    number = _bytes(text)
    if len(number) != SIZE or not any(number):
        raise ValueError("not a blind factor")
    return number


def _bytes(text: str) -> bytes:
    """Base64 in either alphabet, with or without padding. Raises `ValueError`."""
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        decoded = urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return decoded
