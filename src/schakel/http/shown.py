"""Certificates as they come in: from TLS as DER, or in a header from a proxy that ended TLS.

Two forms of a header are known and told apart by their first character: RFC 9440 (`:BASE64:`, section 2.2, with the
others of the chain in Client-Cert-Chain, section 2.3) and percent-encoded PEM (the nginx variable
`$ssl_client_escaped_cert`). Whatever is neither, or is more than one certificate, is refused by the header's name.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from cryptography import x509

from schakel.kernel.outcomes import Invalid

Chain = tuple[bytes, ...]
"""Certificates as DER, the one of the client first."""

CLIENT_CERT = "client-cert"
CLIENT_CERT_CHAIN = "client-cert-chain"
_MOST = 10
"""Certificates in a chain."""

_BINARY = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
_ESCAPED = re.compile(rb"(?:[!-$&-~]|%[0-9A-Fa-f]{2})+")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")


def from_headers(name: str, values: Sequence[bytes], chain: Sequence[bytes] = ()) -> Chain:
    """The certificate in the header `name`, all of whose values are given, and the `chain` of Client-Cert-Chain; ()
    when the header is absent or empty. Raises `Invalid` naming the header at fault."""
    if len(values) > 1:
        raise _wrong(name, "it is there more than once")
    text = values[0].strip() if values else b""
    if not text:
        return ()
    if not text.startswith(b":"):
        return (_checked(name, _pem(name, text)),)
    [leaf, *more] = _binaries(name, [text])
    if more:
        raise _wrong(name, "it has more than one certificate")
    above = _binaries(CLIENT_CERT_CHAIN, chain)
    if len(above) > _MOST:
        raise _wrong(CLIENT_CERT_CHAIN, f"it has more than {_MOST} certificates")
    return (_checked(name, leaf), *(_checked(CLIENT_CERT_CHAIN, one) for one in above))


def _binaries(name: str, values: Sequence[bytes]) -> list[bytes]:
    """The items of a list of byte sequences (RFC 8941, sections 3.1 and 3.3.5)."""
    items = [one.strip() for value in values for one in value.decode("latin-1").split(",")]
    found = []
    for item in items if any(items) else ():
        match = _BINARY.fullmatch(item)
        if match is None:
            raise _wrong(name, "it is no byte sequence of RFC 8941 (:BASE64:)")
        found.append(_base64(name, match[1].encode()))
    return found


def _pem(name: str, text: bytes) -> bytes:
    if not _ESCAPED.fullmatch(text):
        raise _wrong(name, "it is neither percent-encoded PEM nor RFC 9440")
    pem = unquote_to_bytes(text)
    if pem.count(b"-----BEGIN") > 1:
        raise _wrong(name, "it has more than one certificate")
    match = _PEM.fullmatch(pem)
    if match is None:
        raise _wrong(name, "it is neither percent-encoded PEM nor RFC 9440")
    return _base64(name, b"".join(match[1].split()))


def _base64(name: str, text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise _wrong(name, "its base64 is not right") from error


def _checked(name: str, der: bytes) -> bytes:
    try:
        x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise _wrong(name, "what it has is no certificate") from error
    return der


def _wrong(name: str, why: str) -> Invalid:
    shown = "-".join(part.capitalize() for part in name.split("-"))
    return Invalid(
        f"the header {shown} does not hold one client certificate: {why}",
        code="certificate-header",
        expression=shown,
    )
