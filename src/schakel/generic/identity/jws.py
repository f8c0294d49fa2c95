"""Signed JWTs as others send them: taken apart strictly, nothing in them trusted yet (RFC 7515, RFC 8725)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry, validate_compact
from joserfc.util import urlsafe_b64decode

from schakel.fhir.json import parse
from schakel.kernel.outcomes import Invalid

_DEPTH = 4
_SHORT = 1024
"""Characters of a header that is remembered."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A JWS in its parts: `header` and `claims` are JSON objects without a member that stands twice."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signature: CompactSignature


def registry(*algorithms: str, longest: int) -> JWSRegistry:
    """What joserfc may do: these algorithms, in headers of at most `longest` characters."""
    made = JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
    made.max_header_length = longest
    return made


def opened(text: str, rules: JWSRegistry, depth: int = _DEPTH) -> Signed:
    """The parts of the JWS `text`, its objects nested `depth` levels at most.

    Raises `ValueError` for anything that is not one with JSON objects in it.
    """
    data = text.encode(errors="replace")
    parts = data.split(b".")
    if len(parts) != 3:
        raise ValueError("not three parts")
    try:
        rules.validate_compact_value_size(data)
        rules.validate_header_size(parts[0])
        rules.validate_payload_size(parts[1])
        rules.validate_signature_size(parts[2])
        # Not by joserfc: it would take the last of two members with one name, and any depth.
        payload = urlsafe_b64decode(parts[1])
        read = _header if len(parts[0]) <= _SHORT else _header.__wrapped__
        header, claims = read(parts[0], depth), parse(payload, max_depth=depth)
        if "b64" in header:
            raise ValueError("a payload that is not encoded")
        if "alg" not in header:
            raise ValueError("no algorithm")
        signature = CompactSignature(header, payload)
        signature.segments.update({"header": parts[0], "payload": parts[1], "signature": parts[2]})
        return Signed(header, claims, signature)
    except (JoseError, Invalid) as error:
        raise ValueError("not a JWS") from error


@lru_cache(maxsize=1024)
def _header(segment: bytes, depth: int) -> dict[str, Any]:
    """The header in its segment; one sender writes the same one each time. Shared, so never to be changed."""
    return parse(urlsafe_b64decode(segment), max_depth=depth)


def made_with(signed: Signed, key: ECKey | RSAKey, rules: JWSRegistry) -> bool:
    """Whether `key` made the signature."""
    try:
        return validate_compact(signed.signature, key, registry=rules)
    except (JoseError, ValueError):
        return False
