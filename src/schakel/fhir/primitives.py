"""The primitive types of FHIR: which JSON value each takes and which text is well formed.

Source: STU3 and R4, datatypes.html, "Primitive Types". Where the versions differ: an exponent in a
decimal and a leap second exist in R4 only. Years run from 0001 to 9999 in both.
"""

from __future__ import annotations

import binascii
import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Literal

from schakel.fhir.definitions import Version
from schakel.fhir.json import FhirDecimal

Form = Literal["text", "number", "boolean"]
"""The JSON type of a primitive's value."""

NUMBERS = frozenset({"integer", "positiveInt", "unsignedInt", "decimal"})
_MAX_STRING = 1024 * 1024
_MAX_INT = 2**31 - 1

_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]+"
_DATE = r"(?!0000)([0-9]{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12][0-9]|3[01])%s)?)?"
_INSTANT = r"(?!0000)([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])%s"
_ZONE = r"(Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"


@dataclass(frozen=True, slots=True)
class Primitive:
    """How values of one primitive type look: `valid` decides, `rule` says it in words.

    `tolerable` holds for values that break the rule but can be understood; they pass a lenient check.
    """

    form: Form
    rule: str
    valid: Callable[[object], bool]
    tolerable: Callable[[object], bool] | None = None


def form_of(name: str) -> Form:
    """The JSON type of values of the primitive type `name`."""
    if name == "boolean":
        return "boolean"
    return "number" if name in NUMBERS else "text"


def _matching(pattern: str) -> Callable[[object], bool]:
    match = re.compile(pattern).fullmatch

    def valid(value: object) -> bool:
        return isinstance(value, str) and match(value) is not None and len(value) <= _MAX_STRING

    return valid


def _dated(pattern: str) -> Callable[[object], bool]:
    """Values that match `pattern`, whose first groups are year, month and day, and exist in the calendar."""
    match = re.compile(pattern).fullmatch

    def valid(value: object) -> bool:
        if not isinstance(value, str):
            return False
        found = match(value)
        if found is None:
            return False
        year, month, day = found.group(1, 2, 3)
        return day is None or day < "29" or int(day) <= monthrange(int(year), int(month))[1]

    return valid


def _whole(low: int) -> Callable[[object], bool]:
    def valid(value: object) -> bool:
        return type(value) is int and low <= value <= _MAX_INT

    return valid


def _is_boolean(value: object) -> bool:
    return value is True or value is False


def _is_decimal(value: object) -> bool:
    return type(value) is int or (isinstance(value, Decimal) and value.is_finite())


def _is_plain_decimal(value: object) -> bool:
    if isinstance(value, FhirDecimal):
        return "e" not in value.text and "E" not in value.text
    return _is_decimal(value)


def _is_base64(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        return len(binascii.a2b_base64("".join(value.split()), strict_mode=True)) > 0
    except ValueError:
        return False


def _is_unpadded_base64(value: object) -> bool:
    if not isinstance(value, str):
        return False
    text = "".join(value.split())
    return _is_base64(text + "=" * (-len(text) % 4))


@cache
def primitives(version: Version) -> Mapping[str, Primitive]:
    """The primitive types of a FHIR version by name; `xhtml` is checked only to be text here."""
    second = "(?:[0-5][0-9]|60)" if version == "r4" else "[0-5][0-9]"
    clock = rf"(?:[01][0-9]|2[0-3]):[0-5][0-9]:{second}(?:\.[0-9]+)?"
    text = Primitive(
        "text", "text that is not empty and has only characters that XML has too", _matching(_TEXT)
    )
    address = Primitive(
        "text", "an address without spaces", _matching(r"[^\s\x00-\x1f\ud800-\udfff\ufffe\uffff]+")
    )
    return {
        "base64Binary": Primitive("text", "data in base64 with its padding", _is_base64, _is_unpadded_base64),
        "boolean": Primitive("boolean", "true or false", _is_boolean),
        "canonical": address,
        "code": Primitive(
            "text",
            "text without spaces at the ends or two in a row",
            _matching(
                r"[^\s\x00-\x1f\ud800-\udfff\ufffe\uffff]+(?:\s[^\s\x00-\x1f\ud800-\udfff\ufffe\uffff]+)*"
            ),
        ),
        "date": Primitive("text", "an existing YYYY, YYYY-MM or YYYY-MM-DD", _dated(_DATE % "")),
        "dateTime": Primitive(
            "text",
            "an existing YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a time zone",
            _dated(_DATE % f"(?:T{clock}{_ZONE})?"),
            _dated(_DATE % f"(?:T{clock}{_ZONE}?)?"),
        ),
        "decimal": Primitive(
            "number", "a number", _is_decimal if version == "r4" else _is_plain_decimal, _is_decimal
        ),
        "id": Primitive("text", "1 to 64 letters, digits, '-' and '.'", _matching(r"[A-Za-z0-9\-.]{1,64}")),
        "instant": Primitive(
            "text",
            "an existing YYYY-MM-DDThh:mm:ss with a time zone",
            _dated(_INSTANT % f"T{clock}{_ZONE}"),
            _dated(_INSTANT % f"T{clock}{_ZONE}?"),
        ),
        "integer": Primitive("number", "a whole number of 32 bits", _whole(-_MAX_INT - 1)),
        "markdown": text,
        "oid": Primitive("text", "urn:oid: and an OID", _matching(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")),
        "positiveInt": Primitive("number", f"a whole number from 1 to {_MAX_INT}", _whole(1)),
        "string": text,
        "time": Primitive("text", "hh:mm:ss", _matching(clock)),
        "unsignedInt": Primitive("number", f"a whole number from 0 to {_MAX_INT}", _whole(0)),
        "uri": address,
        "url": address,
        "uuid": Primitive(
            "text",
            "urn:uuid: and a UUID in lower case",
            _matching(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        ),
        "xhtml": text,
    }
