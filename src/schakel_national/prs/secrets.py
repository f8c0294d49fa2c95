"""What the PRS computes: evaluation of blinded points, pseudonyms made of the number itself, and sealed answers.

Blinded points: RFC 9497, base mode, ristretto255-SHA512. The others: HMAC-SHA-256 (irreversible), AES-SIV of RFC 5297
(reversible), AES-256-GCM (references, RID), each with a key of its own made by HKDF-SHA-256.
"""

from __future__ import annotations

import hmac
import json
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe

from schakel.kernel.clock import now
from schakel.kernel.ristretto import multiplied, random_scalar
from schakel_national.prs.register import Key, sealing_key

_SECONDS = 300
_ORDER = 2**252 + 27742317777372353535851937790883648493
_NONCE, _TAG = 12, 16


class Evaluator:
    """The key `secret` (a scalar, little endian). Raises `ValueError` for one that is none."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "little") < _ORDER:
            raise ValueError("oprf_key is a scalar of ristretto255: 32 bytes, not zero, below the order")
        self._secret = secret

    def evaluated(self, point: bytes) -> bytes:
        """The blinded point multiplied by the key (BlindEvaluate). Raises `ValueError`."""
        return multiplied(point, self._secret)


class Pseudonymiser:
    """Pseudonyms of a person (`NL:bsn:<n>`) for an organisation (with its prefix) and scope, under one master key."""

    def __init__(self, master: bytes) -> None:
        if len(master) != 32:
            raise ValueError("master_key is 32 bytes")
        self._master = master

    def irreversible(self, person: str, organisation: str, scope: str) -> str:
        """The same for everybody who asks for the same."""
        text = f"{person}|{organisation}|{scope}".encode()
        made = hmac.digest(self._key("prs:irp:hmac"), text, "sha256")
        return f"pseudonym:irreversible:{url_text(made)}"

    def reversible(self, person: str, organisation: str, scope: str) -> str:
        """The same for everybody who asks for the same; the PRS can read it."""
        text = f"{person}|{organisation}|{scope}".encode()
        made = AESSIV(self._key(f"prs:rp:aes-siv:{organisation}")).encrypt(text, [b"PRS:Pseudonym:v1"])
        return f"pseudonym:reversible:{url_text(made)}"

    def reference(self, members: Mapping[str, str]) -> str:
        """A RID with these members, another each time."""
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(self._key("prs:rid")).encrypt(nonce, json.dumps(dict(members)).encode(), b"RID:v1")
        return f"rid:{url_text(nonce + sealed[-_TAG:] + sealed[:-_TAG])}"

    def referred(self, rid: str) -> dict[str, str]:
        """The members of a RID (without `rid:`). Raises `ValueError`."""
        data = urlsafe_b64decode(rid + "=" * (-len(rid) % 4))
        nonce, tag, text = data[:_NONCE], data[_NONCE : _NONCE + _TAG], data[_NONCE + _TAG :]
        try:
            opened = AESGCM(self._key("prs:rid")).decrypt(nonce, text + tag, b"RID:v1")
        except InvalidTag as error:
            raise ValueError("not a RID of ours") from error
        members: dict[str, str] = json.loads(opened)
        return members

    def _key(self, label: str) -> bytes:
        return HKDF(hashes.SHA256(), 32, salt=None, info=label.encode()).derive(self._master)


def sealed(
    key: Key, algorithm: str, named: bool, subject: str, recipient: str, scope: str, **further: Any
) -> str:
    """A compact JWE for the recipient; `named` uses the name it registered for its key, else the thumbprint."""
    public = sealing_key(key.pem)
    moment = int(now().timestamp())
    header = {
        "kid": (key.key_id if named else None) or public.thumbprint(),
        "alg": algorithm,
        "enc": "A256GCM",
        "cty": "application/json",
    }
    claims = {
        "subject": subject,
        "aud": recipient,
        "scope": scope,
        "version": "1.1",
        "iat": moment,
        "exp": moment + _SECONDS,
        **further,
    }
    return jwe.encrypt_compact(header, json.dumps(claims), public, algorithms=[algorithm, "A256GCM"])


def kept_secret(folder: Path, name: str, given: str | None) -> bytes:
    """The secret that the configuration gives in hexadecimal, or the one kept in the folder, made at the first start: a
    scalar, so that it serves as either. Raises `ValueError`."""
    if given is not None:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", given):
            raise ValueError(f"{name} is 32 bytes in hexadecimal")
        return bytes.fromhex(given)
    path = folder / f"prs.{name}"
    if not path.exists():
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(random_scalar())
        fresh.replace(path)
    return path.read_bytes()


def url_text(data: bytes) -> str:
    """base64url with padding, as the PRS writes."""
    return urlsafe_b64encode(data).decode()
