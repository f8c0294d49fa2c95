"""The signature in a Provenance over a resource as it is stored.

The payload of the detached JWS is the resource without `meta` and narratives, at any depth, in the canonical form of
RFC 8785. Its certificate (x5c) leads to an authority that is trusted, and names the URA of who signed; so does the
Provenance.

Source: the guide of the generic functions, page on signing (canonicalisation json#static); RFC 7515 appendix F.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, urlsafe_b64encode
from decimal import Decimal
from pathlib import Path
from typing import Any

import rfc8785
from cryptography import x509
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Invalid, Unprocessable
from schakel_national.lrza.parties import URA, Party, party_of
from schakel_national.lrza.resources import values
from schakel_national.minvws.certificates import Shown, led, signing_key

TYPE = ("urn:iso-astm:E1762-95:2013", "1.2.840.10065.1.12.1.1")
CANONICAL = "http://hl7.org/fhir/canonicalization/json#static"
TARGET_FORMAT = f"application/fhir+json;canonicalization={CANONICAL}"
SIGNATURE_FORMAT = "application/jose"
_ALGORITHMS = ["RS256", "ES256"]
_REGISTRY = JWSRegistry(algorithms=_ALGORITHMS)
_REGISTRY.max_header_length = 20_000  # a chain of certificates is long
_SAN = re.compile(r"urn:oid:2\.16\.528\.1\.1007\.3\.3\.([0-9]{8})")


def canonical(resource: Resource) -> bytes:
    """What is signed of a resource."""
    return rfc8785.dumps(_static(resource))


def _static(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _static(member)
            for name, member in value.items()
            if not (name in ("meta", "text") and isinstance(member, dict))
        }
    if isinstance(value, list):
        return [_static(member) for member in value]
    return float(value) if isinstance(value, Decimal) else value


def check_signature(signature: Any, resource: Resource, anchors: tuple[Path, ...]) -> Party:
    """Who signed `resource`. Raises `Unprocessable` naming what of the signature is not right."""
    if not isinstance(signature, dict):
        raise _wrong("it is no Signature")
    types = {(one.get("system"), one.get("code")) for one in values(signature, "type")}
    if TYPE not in types:
        raise _wrong(f"type must be {'#'.join(TYPE)}")
    if signature.get("sigFormat") != SIGNATURE_FORMAT:
        raise _wrong(f"sigFormat must be {SIGNATURE_FORMAT}")
    if str(signature.get("targetFormat", "")).replace(" ", "") != TARGET_FORMAT:
        raise _wrong(f"targetFormat must be {TARGET_FORMAT}")
    signer = _signer(str(signature.get("data", "")), canonical(resource), anchors)
    ura = signer.ura or _named(signer.certificate)
    who = party_of(signature.get("who", {}).get("identifier"))
    if not ura or who != Party(URA, ura):
        raise _wrong("who.identifier must be the URA that stands in the certificate")
    return who


def _signer(data: str, payload: bytes, anchors: tuple[Path, ...]) -> Shown:
    try:
        text = b64decode(data, validate=True).decode("ascii")
        header, detached, rest = text.split(".")
        if detached:
            raise _wrong("the JWS in data must be detached: header..signature")
        attached = f"{header}.{urlsafe_b64encode(payload).rstrip(b'=').decode()}.{rest}"
        chain = jws.extract_compact(attached.encode(), registry=_REGISTRY).headers().get("x5c")
    except (binascii.Error, UnicodeDecodeError, ValueError, JoseError) as error:
        raise _wrong("data is no JWS in base64") from error
    signer = _led(chain, anchors)
    try:
        jws.deserialize_compact(attached, signing_key(signer), algorithms=_ALGORITHMS, registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise _wrong("it is not over the resource as it is stored, or not with this key") from error
    return signer


def _led(chain: Any, anchors: tuple[Path, ...]) -> Shown:
    problem = "is missing"
    for one in anchors if isinstance(chain, list) and chain else ():
        try:
            return led(chain, one)
        except ValueError as error:
            problem = str(error)
    raise _wrong(f"x5c {problem}")


def _named(certificate: x509.Certificate) -> str:
    """The URA in a name of the form `urn:oid:2.16.528.1.1007.3.3.<URA>`; '' without one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    found = (_SAN.fullmatch(one) for one in names.get_values_for_type(x509.UniformResourceIdentifier))
    return next((match[1] for match in found if match), "")


def _wrong(message: str) -> Invalid:
    return Unprocessable(
        f"Provenance.signature: {message}", code="signature-invalid", expression="Provenance.signature"
    )
