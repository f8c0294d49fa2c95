"""What the subject of a credential says, held against the certificate that signed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schakel.generic.identity.certificates import CertificateRefused, Verified
from schakel.generic.identity.credentials.did_x509 import DidX509
from schakel.generic.identity.credentials.model import Credential, Proof
from schakel.generic.identity.credentials.refusals import Refused, shown
from schakel.generic.identity.model import User
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import URA_SYSTEM, UZI_SYSTEM, Ura

LOW = "http://eidas.europa.eu/LoA/low"
_PROFESSIONAL = "Z"
_DELEGATING = ("delegatedBy", "issuedBy")


def of_certificate(subject: Mapping[str, Any], did: DidX509, verified: Verified) -> Proof:
    """The organisation of an X509Credential: every value of the subject must be one of the DID (Nuts RFC023)."""
    for kind, members in subject.items():
        if kind in ("id", "@type", "type"):
            continue
        if kind not in ("subject", "san") or not isinstance(members, Mapping) or not members:
            raise _wrong(f"credentialSubject.{kind}", "is not a group of values of the certificate")
        for name, value in members.items():
            where = f"credentialSubject.{kind}.{name}"
            if not isinstance(value, str) or not did.names(f"{kind}:{name}", value):
                raise _wrong(where, f"says {shown(value)}, which its did:x509 does not")
    names = verified.subject.get("O", ())
    return _organisation(_server_ura(verified), names)


def of_certificate_by_identifier(subject: Mapping[str, Any], verified: Verified) -> Proof:
    """The organisation of a HealthcareProviderCredential: identifier and name must be those of the certificate."""
    ura, names = _server_ura(verified), verified.subject.get("O", ())
    identifier = subject.get("identifier")
    if isinstance(identifier, list) and len(identifier) == 1:
        identifier = identifier[0]
    if not isinstance(identifier, Mapping) or identifier.get("system") != URA_SYSTEM:
        raise _wrong("credentialSubject.identifier", f"is not an identifier of {URA_SYSTEM}")
    if identifier.get("value") != ura:
        raise _wrong("credentialSubject.identifier.value", "is not the URA in the certificate")
    if "name" in subject and subject["name"] not in names:
        raise _wrong("credentialSubject.name", "is not the organisation (O) in the certificate")
    return _organisation(ura, names)


def card_user(credential: Credential, verified: Verified, *, delegates: bool) -> Proof:
    """The professional who signed with the card of `verified`; it says so itself in registeredBy (and roleCode).

    `delegates`: the credential lets the organisation ask in this person's name.
    """
    uzi = verified.uzi
    if uzi is None or uzi.card != _PROFESSIONAL:
        raise Refused(
            "it is not signed with the UZI card of a professional (card type Z)",
            code="credential-card",
            expression="x5c",
        )
    subject = credential.subject
    if subject.get("registeredBy") != f"{UZI_SYSTEM}|{uzi.number}":
        raise _wrong("credentialSubject.registeredBy", "is not the UZI number of the card that signed")
    if not delegates:
        return Proof(ura=uzi.ura)
    if str(subject.get("roleCode")).rpartition("|")[2] != uzi.role:
        raise _wrong("credentialSubject.roleCode", "is not the role of the card that signed")
    names = verified.subject.get("CN", ())
    user = _user("x5c", uzi.number, names[0] if names else uzi.number, uzi.role, responsible=uzi.number)
    return Proof(ura=uzi.ura, user=user)


def delegate(subject: Mapping[str, Any]) -> Proof:
    """The professional in whose name is asked, as a trusted issuer says. The credential has no name: the UZI number
    stands in its place."""
    system, _, number = str(subject.get("registeredBy")).rpartition("|")
    role = str(subject.get("roleCode")).rpartition("|")[2]
    if system != UZI_SYSTEM:
        raise _wrong("credentialSubject.registeredBy", f"is not {UZI_SYSTEM}|<UZI number>")
    return Proof(user=_user("credentialSubject", number, number, role, responsible=number))


def employee(subject: Mapping[str, Any]) -> Proof:
    """The professional of a NutsEmployeeCredential: only the organisation's word, so at the low level.

    There is no `user` without an identifier, a name and a role code: roles in words are for a definition to read.
    """
    member = subject.get("member", subject)
    told = member if isinstance(member, Mapping) else subject
    fields = [
        value if isinstance(value := told.get(name), str) else ""
        for name in ("identifier", "name", "roleName")
    ]
    try:
        return Proof(user=User(*fields), assurance=LOW)
    except Invalid:
        return Proof(assurance=LOW)


def of_issuer(subject: Mapping[str, Any]) -> Proof:
    """The organisation that a trusted issuer names, when it names one: an identifier with the system of URA numbers."""
    identifier = subject.get("identifier")
    if isinstance(identifier, list) and len(identifier) == 1:
        identifier = identifier[0]
    if not isinstance(identifier, Mapping) or identifier.get("system") != URA_SYSTEM:
        return Proof()
    value, name = identifier.get("value"), subject.get("name")
    if not isinstance(value, str):
        raise _wrong("credentialSubject.identifier.value", "is not a URA")
    try:
        return _organisation(str(Ura(value)), (name,) if isinstance(name, str) else ())
    except Invalid:
        raise _wrong("credentialSubject.identifier.value", "is not a URA") from None


def check_delegated_by(subject: Mapping[str, Any], ura: str) -> None:
    """Refuses a ServiceProviderDelegationCredential unless the organisation `ura` is the one that delegates: in
    `delegatedBy`, or in `issuedBy` as newer texts have it. Its identifier is the URA, one with its system, or a list
    of one such."""
    delegation = subject.get("hasDelegation")
    named = delegation if isinstance(delegation, Mapping) else {}
    for place in [one for one in _DELEGATING if one in named] or _DELEGATING[:1]:
        by = named.get(place)
        identifier = by.get("identifier") if isinstance(by, Mapping) else None
        if isinstance(identifier, list) and len(identifier) == 1:
            identifier = identifier[0]
        if isinstance(identifier, Mapping) and identifier.get("system", URA_SYSTEM) == URA_SYSTEM:
            identifier = identifier.get("value")
        if not ura or identifier not in (ura, f"{URA_SYSTEM}|{ura}"):
            raise _wrong(
                f"credentialSubject.hasDelegation.{place}.identifier",
                "is not the URA of the organisation on whose behalf is asked",
            )


def _organisation(ura: str, names: Sequence[str]) -> Proof:
    return Proof(ura=ura, organisation=names[0] if names else "", organisation_proved=True)


def _server_ura(verified: Verified) -> str:
    try:
        return str(verified.server().ura)
    except CertificateRefused as error:
        raise Refused(error.message, code=error.kind, expression="x5c") from error


def _user(where: str, number: str, name: str, role: str, responsible: str = "") -> User:
    try:
        return User(number, name, role, responsible, role if responsible else "")
    except Invalid as error:
        raise Refused(error.message, code=error.kind, expression=where) from error


def _wrong(where: str, what: str) -> Refused:
    return Refused(f"{where} {what}", code="credential-subject", expression=where)
