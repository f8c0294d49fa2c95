"""The key with which we show that a token is ours, and the proofs that it makes (RFC 9449, section 4.2)."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey

from schakel.generic.identity.dpop import token_digest
from schakel.generic.identity.keys import new_key, read_key
from schakel.kernel.clock import new_id, now

ALGORITHM = "ES256"
_COORDINATE = 32
"""Bytes of each half of a signature (RFC 7518, section 3.4)."""


class DpopKey:
    """A private key on P-256, which never leaves this value.

    A question to a holder is tens of requests, each with a proof: so the header, which is the same in each, is made
    once, and the signature is asked of the key without anything between.
    """

    def __init__(self, key: ECKey) -> None:
        private = key.private_key
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise TypeError("the key has no private part")
        self.jkt = key.thumbprint()
        self._private = private
        self._sign_by = ec.ECDSA(hashes.SHA256())
        members = key.as_dict(private=False)
        jwk = {name: members[name] for name in ("kty", "crv", "x", "y")}
        self._header = _segment({"typ": "dpop+jwt", "alg": ALGORITHM, "jwk": jwk})

    @classmethod
    def new(cls) -> DpopKey:
        """A key that lives as long as this value."""
        return cls(ECKey.import_key(new_key()))

    @classmethod
    def read(cls, path: Path) -> DpopKey:
        """The private key in the JWK file `path`. Raises `Invalid`."""
        return cls(read_key(path))

    def proof(self, method: str, url: str, token: str | None = None, nonce: str = "") -> str:
        """The header DPoP for one request with `method` to `url`; with `token` when the request carries one, and with
        the `nonce` that the server asked for, '' when it asked for none."""
        claims: dict[str, Any] = {
            "jti": new_id(),
            "htm": method,
            "htu": url.partition("#")[0].partition("?")[0],
            "iat": int(now().timestamp()),
        }
        if token is not None:
            claims["ath"] = token_digest(token)
        if nonce:
            claims["nonce"] = nonce
        signed = b"%b.%b" % (self._header, _segment(claims))
        r, s = decode_dss_signature(self._private.sign(signed, self._sign_by))
        halves = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        return (b"%b.%b" % (signed, _encoded(halves))).decode()


def _segment(members: dict[str, Any]) -> bytes:
    return _encoded(orjson.dumps(members))


def _encoded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
