"""Value types that refuse bad input when they are made.

Source: facts on the Dutch identifier systems (BSN 11-proef; URA of eight digits, CIBG).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from schakel.kernel.outcomes import Invalid

BSN_SYSTEM = "http://fhir.nl/fhir/NamingSystem/bsn"
BSN_OID = "urn:oid:2.16.840.1.113883.2.4.6.3"
URA_SYSTEM = "http://fhir.nl/fhir/NamingSystem/ura"
UZI_SYSTEM = "http://fhir.nl/fhir/NamingSystem/uzi"

NAME_LENGTH = 255
"""Characters that the name of a person may have, and what an identity provider calls one (OpenID Connect Core, section
2: a `sub` has 255 at most)."""


_test_numbers: Counter[str] = Counter()


@contextmanager
def taking_test_numbers(numbers: Iterable[str]) -> Iterator[None]:
    """Within the block this process takes these numbers for BSNs too: nine digits each, which do not pass the 11-proef.
    Published examples have such numbers.

    It is of the whole process: a `Bsn` is made wherever a number is read, at the doors, in stored resources and in what
    others answer, and a number that passes at one place and not at the next would lose its patient on the way. A node
    opens the block once, before anything of it is composed. Where several are open, as in tests, each adds its own.
    """
    own = Counter(numbers)
    _test_numbers.update(own)
    try:
        yield
    finally:
        _test_numbers.subtract(own)


class Bsn(str):
    """A citizen service number: nine digits that pass the 11-proef, or a test number that this process takes. Raises
    `Invalid`."""

    __slots__ = ()

    def __new__(cls, value: str) -> Bsn:
        if not cls.fits(value):
            raise Invalid("not a BSN: nine digits that pass the 11-proef are needed", code="bsn-invalid")
        return super().__new__(cls, value)

    @classmethod
    def kept(cls, value: str) -> Bsn:
        """A number that was judged before it was stored: it stays what it was when test numbers no longer are taken."""
        return super().__new__(cls, value)

    @classmethod
    def fits(cls, value: str) -> bool:
        """Whether this text can be a `Bsn`."""
        return re.fullmatch(r"[0-9]{9}", value) is not None and (
            cls.passes(value) or _test_numbers[value] > 0
        )

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

    @property
    def spellings(self) -> tuple[str, ...]:
        """How it may be written: with the zeros before it, or without some or all of them."""
        bare = self.lstrip("0") or self[-1]
        return tuple(bare.zfill(length) for length in range(len(bare), len(self) + 1))
