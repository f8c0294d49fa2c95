"""The number in a UZI certificate, read strictly.

It stands in the subject alternative name as an otherName with type-id 2.5.5.5, whose value is one IA5String:

    <OID of the CA>-<version>-<UZI number>-<card type>-<URA>-<role>-<AGB code>
    2.16.528.1.1007.99.2110-1-900025039-S-90000382-00.000-00000000

Source: CA model and certificate profiles of the Zorg CSP (CIBG), SubjectAltName.otherName.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509

from schakel.generic.identity.certificates.errors import CertificateRefused
from schakel.kernel.values import Ura

TYPE_ID = x509.ObjectIdentifier("2.5.5.5")
WHERE = "certificate.subjectAltName.otherName"
SERVER = "S"

PRODUCTION_AUTHORITIES = (
    "2.16.528.1.1003.1.3.5.5.2",  # care professionals
    "2.16.528.1.1003.1.3.5.5.3",  # employees by name
    "2.16.528.1.1003.1.3.5.5.4",  # employees, not by name
    "2.16.528.1.1003.1.3.5.5.5",  # servers
)
TEST_AUTHORITIES = ("2.16.528.1.1007.99.*",)

_PARTS = (
    ("the OID of the CA", re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")),
    ("the version", re.compile(r"1")),
    ("the UZI number", re.compile(r"[0-9]{1,9}")),
    ("the card type", re.compile(r"[ZNMS]")),
    ("the URA", re.compile(r"[0-9]{8}")),
    ("the role", re.compile(r"[0-9]{2}\.[0-9]{3}")),
    ("the AGB code", re.compile(r"[0-9]{8}")),
)
_NO_ROLE = "00.000"
_IA5_STRING = 0x16
_LONGEST = 127  # bytes whose length is told in one


@dataclass(frozen=True, slots=True)
class UziNumber:
    """The seven parts. `card` is Z (professional), N or M (employee, by name or not) or S (server); `role` is a code of
    2.16.840.1.113883.2.4.15.111, 00.000 for M and S; `agb` is zeros when there is none."""

    authority: str
    version: str
    number: str
    card: str
    ura: Ura
    role: str
    agb: str

    @classmethod
    def parse(cls, text: str, *, authorities: Iterable[str] = PRODUCTION_AUTHORITIES) -> UziNumber:
        """The number written as `text`, when its CA is one of `authorities`.

        An authority is an OID, or the start of one with `.*` for all below it. Raises `CertificateRefused` naming the
        part that is wrong.
        """
        parts = text.split("-")
        if len(parts) != len(_PARTS):
            raise _refused(f"the UZI number has {len(parts)} parts, and {len(_PARTS)} are needed")
        for (name, shape), part in zip(_PARTS, parts, strict=True):
            if not shape.fullmatch(part):
                raise _refused(f"{name} in the UZI number is not right: {part[:40]!r}")
        authority, version, number, card, ura, role, agb = parts
        if not any(_covers(one, authority) for one in authorities):
            raise _refused(
                f"the OID of the CA in the UZI number is not one that is taken here: {authority[:80]}"
            )
        if card in "SM" and role != _NO_ROLE:
            raise _refused(f"the role in the UZI number is {role}, and card type {card} has {_NO_ROLE}")
        return cls(authority, version, number, card, Ura(ura), role, agb)

    def __str__(self) -> str:
        fields = (self.authority, self.version, self.number, self.card, self.ura, self.role, self.agb)
        return "-".join(fields)


def uzi_number(certificate: x509.Certificate, authorities: Iterable[str]) -> UziNumber | None:
    """The UZI number of the certificate, None when it has none.

    Raises `CertificateRefused` when there are several, or when the one there is not right.
    """
    texts = [_ia5(one.value) for one in other_names(certificate) if one.type_id == TYPE_ID]
    if not texts:
        return None
    if len(texts) > 1:
        raise _refused(f"the certificate has {len(texts)} UZI numbers, and must have one")
    return UziNumber.parse(texts[0], authorities=authorities)


def other_names(certificate: x509.Certificate) -> list[x509.OtherName]:
    """The otherNames of the certificate, of every type. Raises `CertificateRefused` when they cannot be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise CertificateRefused(
            "the alternative names of the certificate cannot be read",
            code="certificate-malformed",
            expression="certificate.subjectAltName",
            cause=str(error),
        ) from error
    return [name for name in names if isinstance(name, x509.OtherName)]


def _ia5(der: bytes) -> str:
    """The text of one DER IA5String of at most 127 bytes and nothing behind it."""
    if len(der) < 2 or der[0] != _IA5_STRING or der[1] > _LONGEST or len(der) != 2 + der[1]:
        raise _refused(f"the UZI number is not one IA5String of at most {_LONGEST} characters")
    try:
        return der[2:].decode("ascii")
    except UnicodeDecodeError as error:
        raise _refused("the UZI number has a character that IA5String does not have") from error


def _covers(allowed: str, oid: str) -> bool:
    return oid.startswith(allowed[:-1]) if allowed.endswith(".*") else oid == allowed


def _refused(message: str) -> CertificateRefused:
    return CertificateRefused(message, code="certificate-uzi", expression=WHERE)
