"""What is asked of the PRS, and what the recipient gets.

Source: the ministry's guide on generic functions, pseudonymisation; HKDF is RFC 5869, JCS RFC 8785.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Literal

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schakel.kernel.outcomes import Invalid

_OIN = r"[0-9]{8}(?:[A-Za-z0-9]{8}0{4}|[A-Za-z0-9]{9}0{3})"
RECIPIENT = rf"(?:ura:[0-9]{{8}}|oin:{_OIN})"
"""The full name of a recipient, as a regular expression."""

SCOPE = r"[a-z0-9][a-z0-9._-]*"
"""A scope. The PRS lowers those that are registered and compares what is asked as it stands: capitals find nothing."""


Person = Literal["guide", "blanks", "snake"]
"""How the JSON about a person is written before it is hashed: as the guide has it, which is RFC 8785, or as clients of
2025 and 2026 have written it too, with the blanks of Python's json, or with a member land_code."""

_PERSONS: dict[Person, str] = {
    "guide": '{"landCode":"NL","type":"BSN","value":"%s"}',
    "blanks": '{"landCode": "NL", "type": "BSN", "value": "%s"}',
    "snake": '{"land_code":"NL","type":"BSN","value":"%s"}',
}


@dataclass(frozen=True, slots=True)
class Recipient:
    """For whom pseudonyms are made, and how a person is written. All are part of what is hashed: whoever registers
    under one and asks under another finds nothing, and nobody can notice. Raises `Invalid`."""

    name: str
    scope: str
    person: Person = "guide"

    def __post_init__(self) -> None:
        if not re.fullmatch(RECIPIENT, self.name):
            raise Invalid(
                f"{self.name[:40]!r} is no recipient of pseudonyms: ura: with eight digits, or oin: with twenty "
                "characters, is needed",
                code="pseudonym-recipient",
            )
        if not re.fullmatch(SCOPE, self.scope):
            raise Invalid(
                f"{self.scope[:40]!r} is no scope of pseudonyms: it has lower-case letters, digits, '.', '_' and '-'",
                code="pseudonym-scope",
            )

    @property
    def key(self) -> str:
        """The scope, with the way of writing a person where that is not the guide's: what must be the same for two
        pseudonyms of this recipient to meet."""
        return self.scope if self.person == "guide" else f"{self.scope} ({self.person})"

    def input_of(self, bsn: str) -> bytes:
        """What is blinded for the person with this number: 32 bytes."""
        person = _PERSONS[self.person] % bsn
        info = f"{self.name}|{self.scope}|v1"
        return HKDF(hashes.SHA256(), 32, salt=None, info=info.encode()).derive(person.encode())


@dataclass(frozen=True, slots=True)
class PseudonymToken:
    """What the recipient finds the patient by, once: `jwe` is the sealed answer of the PRS, `blind_factor` (base64url
    with padding) opens it together with the recipient's key, `value` is both in one. Never to be kept or logged."""

    value: str = field(repr=False)
    jwe: str = field(repr=False)
    blind_factor: str = field(repr=False)

    @classmethod
    def of(cls, jwe: str, scalar: bytes) -> PseudonymToken:
        """The token of an answer and the scalar that the question was blinded with."""
        factor = urlsafe_b64encode(scalar).decode()
        whole = orjson.dumps({"evaluated_output": jwe, "blind_factor": factor})
        return cls(urlsafe_b64encode(whole).rstrip(b"=").decode(), jwe, factor)
