"""Nonces of the server in proofs of possession: what shows that a proof was made just now, and not beforehand.

A nonce is the authentication code of a slot of time, so nothing is kept: every process and every node that has the
organisation's signing key makes and takes the same ones. Whether a proof was used before is another matter, which the
database decides.

Source: RFC 9449, sections 8 and 9.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.util import urlsafe_b64decode

from schakel.generic.identity.errors import NONCE_HEADER, UseDpopNonceError
from schakel.generic.identity.keys import read_key

LEEWAY_SECONDS = 5
"""How far the clocks of two nodes of one organisation may differ: a nonce of so soon is taken."""

_PURPOSE = b"schakel nonces of DPoP "


class Nonces:
    """The nonces of the authorisation server `issuer`, each made for a slot of `seconds` and taken until the next slot
    has ended. `secret` is of nobody else, and for nothing else."""

    def __init__(self, secret: bytes, issuer: str, seconds: int) -> None:
        derived = HKDF(hashes.SHA256(), 32, salt=None, info=_PURPOSE + issuer.encode())
        self._key = derived.derive(secret)
        self._seconds = seconds

    @classmethod
    def read(cls, signing_key: Path, issuer: str, seconds: int) -> Nonces:
        """The same, with a secret derived from the organisation's signing key, which all its nodes have. Raises
        `Invalid` for a key that cannot be used."""
        private = str(read_key(signing_key).as_dict(private=True)["d"])
        return cls(urlsafe_b64decode(private.encode()), issuer, seconds)

    def fresh(self, moment: float) -> str:
        """The nonce to use at `moment`, in seconds since 1970."""
        return self._of(int(moment // self._seconds))

    def check(self, nonce: object, moment: float) -> None:
        """Raises `UseDpopNonceError`, with the nonce to use, unless `nonce` is one of ours of this slot or the last."""
        slots = {int((moment + LEEWAY_SECONDS) // self._seconds), int(moment // self._seconds)}
        slots.add(min(slots) - 1)
        if isinstance(nonce, str) and any(
            hmac.compare_digest(self._of(slot).encode(), nonce.encode(errors="replace")) for slot in slots
        ):
            return
        what = "has no claim nonce" if nonce is None else "has a claim nonce that is not ours, or too old"
        raise UseDpopNonceError(
            f"the proof {what}: make a new proof with the nonce in the header {NONCE_HEADER} of this answer",
            self.fresh(moment),
        )

    def _of(self, slot: int) -> str:
        code = hmac.digest(self._key, slot.to_bytes(8, "big", signed=True), hashlib.sha256)
        return urlsafe_b64encode(code[:18]).decode()
