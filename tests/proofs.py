"""Proofs of possession for tests, made by hand so that each part can be wrong."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from schakel.kernel.clock import new_id, now

KEY = ECKey.generate_key("P-256")
_RULES = JWSRegistry(
    algorithms=["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256"], strict_check_header=False
)
_RULES.max_header_length = 8192


def digest(token: str) -> str:
    """The claim ath of a token."""
    return urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


def proof(
    method: str,
    url: str,
    token: str | None = None,
    *,
    key: ECKey | RSAKey = KEY,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A good proof with changes; a change to None takes the member away."""
    content = {"jti": new_id(), "htm": method, "htu": url, "iat": int(now().timestamp())}
    if token is not None:
        content["ath"] = digest(token)
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False), **(header or {})}
    head, content = (
        {name: value for name, value in members.items() if value is not None}
        for members in (head, {**content, **claims})
    )
    return jwt.encode(head, content, key, registry=_RULES)
