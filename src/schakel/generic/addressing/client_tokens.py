"""Tokens for one client that can do nothing but a client id and a secret: `ClientTokens`.

Source: RFC 6749 sections 2.3.1 and 4.4. A token is opaque to the client: the moment it ends, a random part, and a code
over both under a key made of the secret, so that every process of a node knows it and none keeps it. A new secret ends
all tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, Unauthenticated

_SHORTEST = 16
_CODE = 32
_RANDOM = 16
_MOMENT = 8


class ClientTokens:
    """Tokens of the client `client`, which live `seconds`."""

    def __init__(self, client: str, secret: bytes, seconds: int) -> None:
        self.seconds = seconds
        self._known = _digest(client.encode()), _digest(secret)
        self._key = hmac.digest(secret, b"schakel client token", "sha256")

    @classmethod
    def read(cls, client: str, secret: Path, seconds: int, setting: str) -> ClientTokens:
        """With the secret in a file. Raises `Invalid` naming the file and the setting."""
        try:
            text = secret.read_bytes().strip()
        except OSError as error:
            raise Invalid(
                f"the file {secret} (setting {setting}) cannot be read: {error.strerror}"
            ) from error
        if len(text) < _SHORTEST:
            raise Invalid(f"the secret in {secret} (setting {setting}) needs {_SHORTEST} characters or more")
        return cls(client, text, seconds)

    def known(self, client: str, secret: str) -> bool:
        """Whether this is the client with its secret."""
        same = [
            hmac.compare_digest(_digest(given.encode()), kept)
            for given, kept in zip((client, secret), self._known, strict=True)
        ]
        return all(same)

    def give(self) -> str:
        """A new token."""
        until = int(now().timestamp()) + self.seconds
        content = until.to_bytes(_MOMENT, "big") + secrets.token_bytes(_RANDOM)
        return urlsafe_b64encode(content + self._code(content)).decode()

    def check(self, authorization: str) -> None:
        """Raises `Unauthenticated` unless this header bears a token of ours that still lives."""
        kind, _, token = authorization.strip().partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise _refused("a token is needed here: Authorization: Bearer ...", "token-missing", "")
        content = _decoded(token.strip())
        content, code = content[:-_CODE], content[-_CODE:]
        if len(content) != _MOMENT + _RANDOM or not hmac.compare_digest(code, self._code(content)):
            raise _refused("the token is not one of ours", "token-unknown", "invalid_token")
        if int.from_bytes(content[:_MOMENT], "big") <= now().timestamp():
            raise _refused("the token has expired: ask for a new one", "token-expired", "invalid_token")

    def _code(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")


def _decoded(token: str) -> bytes:
    """The bytes of a token; none when it is not written just as we write them."""
    try:
        content = urlsafe_b64decode(token.encode("ascii"))
    except ValueError:
        return b""
    return content if urlsafe_b64encode(content).decode() == token else b""


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _refused(message: str, code: str, error: str) -> Unauthenticated:
    told = f'Bearer error="{error}"' if error else "Bearer"
    return Unauthenticated(message, code=code, headers={"WWW-Authenticate": told})
