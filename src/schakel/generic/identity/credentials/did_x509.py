"""did:x509: a name for whoever holds a certificate with these properties, from that authority (method version 0).

    did:x509:0:sha256:<fingerprint>::subject:O:Kliniek%20Oost::san:otherName:2.16.528...

The fingerprint is the digest (base64url) of a certificate of the chain above the first. Each policy names properties
that the first certificate must have. Values are percent-encoded; some that are in use are encoded twice, so they are
compared as decoded once and, when that differs, twice.

Source: the did:x509 method specification; Nuts RFC023 for `otherName`, an UZI name of type-id 2.5.5.5.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding

from schakel.generic.identity.certificates import Verified, other_names
from schakel.generic.identity.credentials.jwts import decoded
from schakel.generic.identity.credentials.refusals import Refused, shown

PREFIX = "did:x509:"
MAX_CHARACTERS = 4_000
_HASHES = {"sha256": 32, "sha384": 48, "sha512": 64}
_SUBJECT = ("CN", "L", "ST", "O", "OU", "C", "STREET", "serialNumber")
_PERMANENT = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.3")
_VALUE, _ASSIGNER = "permanentIdentifier.value", "permanentIdentifier.assigner"
_SAN = ("otherName", "dns", "email", "uri", "ip", _VALUE, _ASSIGNER)
_is_value = re.compile(r"(?:[A-Za-z0-9._-]|%[0-9A-Fa-f]{2})+").fullmatch


@asn1.sequence
class _Permanent:
    """A permanent identifier (RFC 4043); newer UZI server certificates have the URA in it."""

    value: str | None
    assigner: x509.ObjectIdentifier | None


@dataclass(frozen=True, slots=True)
class Policy:
    """One property the first certificate must have: `kind` is subject, san or eku, `name` as in `subject:O` (for eku
    empty), `value` as it stands in the DID."""

    kind: str
    name: str
    value: str

    @property
    def label(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def meets(self, text: str) -> bool:
        """Whether `text` is the value, decoded once or twice."""
        once = _decoded(self.value)
        return text == once or text == _decoded(once)


@dataclass(frozen=True, slots=True)
class DidX509:
    """A did:x509 that was taken apart."""

    text: str
    algorithm: str
    fingerprint: bytes
    policies: tuple[Policy, ...]

    @classmethod
    def parse(cls, text: str) -> DidX509:
        """Raises `Refused` that says which part is wrong."""
        head, *rest = text.split("::")
        parts = head.split(":")
        if len(text) > MAX_CHARACTERS or len(parts) != 5 or parts[:2] != ["did", "x509"]:
            raise _malformed("it is not did:x509:0:<hash>:<fingerprint>::<policy>")
        version, algorithm, fingerprint = parts[2:]
        if version != "0":
            raise _malformed(f"version {shown(version)} is not known, 0 is")
        if algorithm not in _HASHES:
            raise _malformed(f"the hash {shown(algorithm)} is not one of {', '.join(_HASHES)}")
        try:
            digest = decoded(fingerprint)
        except ValueError:
            digest = b""
        if len(digest) != _HASHES[algorithm]:
            raise _malformed(f"the fingerprint is not a {algorithm} in base64url")
        if not rest:
            raise _malformed("it has no policy")
        policies = tuple(policy for one in rest for policy in _policies(one))
        return cls(text, algorithm, digest, policies)

    def check(self, certificate: Verified) -> None:
        """Refuses unless an authority above `certificate` has the fingerprint, and it has every property.

        Raises `Refused`.
        """
        authorities = (one.public_bytes(Encoding.DER) for one in certificate.chain[1:])
        if self.fingerprint not in (hashlib.new(self.algorithm, der).digest() for der in authorities):
            raise Refused(
                "the fingerprint of the did:x509 is not that of an authority above the certificate",
                code="did-x509-fingerprint",
                expression="iss",
            )
        has = properties(certificate)
        for policy in self.policies:
            if not any(policy.meets(value) for value in has.get(policy.label, ())):
                raise Refused(
                    f"the certificate does not have what the did:x509 says of {policy.label}",
                    code="did-x509-policy",
                    expression=f"iss.{policy.label}",
                )

    def names(self, label: str, text: str) -> bool:
        """Whether a policy says that the certificate has the value `text` for `label`, such as subject:O."""
        return any(policy.label == label and policy.meets(text) for policy in self.policies)


def make(certificate: Verified, labels: Mapping[str, Sequence[str]]) -> str:
    """The did:x509 of `certificate` by the last authority above it; `labels` are names of properties by kind, such as
    {"san": ["otherName"]}. Raises `Refused` when the certificate lacks one."""
    has = properties(certificate)
    digest = hashlib.sha256(certificate.chain[-1].public_bytes(Encoding.DER)).digest()
    policies = []
    for kind, names in labels.items():
        pairs = []
        for name in names:
            values = has.get(f"{kind}:{name}")
            if not values:
                raise Refused(f"the certificate has no {kind}:{name}", code="did-x509-policy")
            pairs.append(f"{name}:{quote(values[0], safe='').replace('~', '%7E')}")
        policies.append(f"{kind}:{':'.join(pairs)}")
    fingerprint = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return "::".join((f"{PREFIX}0:sha256:{fingerprint}", *policies))


def properties(certificate: Verified) -> dict[str, tuple[str, ...]]:
    """What a policy can name: the values of the certificate by label, such as subject:O or san:otherName.

    Raises `Refused` for one whose extensions cannot be read.
    """
    found = {f"subject:{name}": certificate.subject.get(name, ()) for name in _SUBJECT}
    if certificate.uzi is not None:
        found["san:otherName"] = (str(certificate.uzi),)
    try:
        for name in other_names(certificate.certificate):
            if name.type_id == _PERMANENT:
                told = asn1.decode_der(_Permanent, name.value)
                found[f"san:{_VALUE}"] = (told.value,) if told.value is not None else ()
                found[f"san:{_ASSIGNER}"] = (
                    (told.assigner.dotted_string,) if told.assigner is not None else ()
                )
        extensions = certificate.certificate.extensions
        for extension in extensions:
            match extension.value:
                case x509.SubjectAlternativeName() as names:
                    found["san:dns"] = tuple(names.get_values_for_type(x509.DNSName))
                    found["san:email"] = tuple(names.get_values_for_type(x509.RFC822Name))
                    found["san:uri"] = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
                    found["san:ip"] = tuple(map(str, names.get_values_for_type(x509.IPAddress)))
                case x509.ExtendedKeyUsage() as usages:
                    found["eku"] = tuple(usage.dotted_string for usage in usages)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Refused(
            "the extensions of the certificate cannot be read",
            code="certificate-malformed",
            expression="x5c",
        ) from None
    return found


def _policies(text: str) -> list[Policy]:
    kind, *parts = text.split(":")
    if not parts or not all(_is_value(part) for part in parts):
        raise _malformed(f"the policy {shown(text)} has a value that is missing or not percent-encoded")
    if kind == "eku" and len(parts) == 1:
        made = [Policy("eku", "", parts[0])]
    elif kind in ("subject", "san") and len(parts) % 2 == 0:
        made = [Policy(kind, *pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
    else:
        raise _malformed(f"the policy {shown(text)} is not subject, san or eku with names and values")
    known = {"subject": _SUBJECT, "san": _SAN, "eku": ("",)}[kind]
    for policy in made:
        if policy.name not in known:
            raise _malformed(f"{policy.label} is not supported: {kind} has {', '.join(known)} here")
        _decoded(_decoded(policy.value))
    if len({policy.name for policy in made}) < len(made):
        raise _malformed(f"the policy {shown(text)} has a name twice")
    return made


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise _malformed(f"{shown(text)} is not UTF-8 when decoded") from None


def _malformed(what: str) -> Refused:
    return Refused(f"the did:x509 cannot be read: {what}", code="did-x509-malformed", expression="iss")
