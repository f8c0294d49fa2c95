"""Value types that refuse bad input when they are made.

Source: facts on the Dutch identifier systems (BSN 11-proef; URA of eight digits, CIBG).
"""

from __future__ import annotations

import re

from schakel.kernel.outcomes import Invalid

BSN_SYSTEM = "http://fhir.nl/fhir/NamingSystem/bsn"
BSN_OID = "urn:oid:2.16.840.1.113883.2.4.6.3"
URA_SYSTEM = "http://fhir.nl/fhir/NamingSystem/ura"
UZI_SYSTEM = "http://fhir.nl/fhir/NamingSystem/uzi"

NAME_LENGTH = 255
"""Characters that the name of a person may have, and what an identity provider calls one (OpenID Connect Core, section
2: a `sub` has 255 at most)."""


class Bsn(str):
    """A citizen service number: nine digits that pass the 11-proef. Raises `Invalid`."""

    __slots__ = ()

    def __new__(cls, value: str) -> Bsn:
        if not re.fullmatch(r"[0-9]{9}", value) or not cls.passes(value):
            raise Invalid("not a BSN: nine digits that pass the 11-proef are needed", code="bsn-invalid")
        return super().__new__(cls, value)

    @staticmethod
    def passes(value: str) -> bool:
        """Whether nine digits pass the 11-proef (9·d1 + 8·d2 + … + 2·d8 − d9 divisible by 11, not all zero)."""
        digits = [int(c) for c in value]
        total = sum(w * d for w, d in zip(range(9, 1, -1), digits, strict=False)) - digits[8]
        return total % 11 == 0 and any(digits)


class Ura(str):
    """The number of a care provider: eight digits; shorter ones are padded. Raises `Invalid`."""

    __slots__ = ()

    def __new__(cls, value: str) -> Ura:
        if not re.fullmatch(r"[0-9]{1,8}", value):
            raise Invalid(
                f"not a URA: {value[:20]!r} is not a number of at most eight digits", code="ura-invalid"
            )
        return super().__new__(cls, value.zfill(8))
