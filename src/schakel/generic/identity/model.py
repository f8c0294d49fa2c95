"""Who asks, as values that refuse bad input when they are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from schakel.kernel.outcomes import Invalid

_ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}")
_CODE = re.compile(r"\S+( \S+)*")
_USER = ("id", "name", "role", "responsible", "responsible_role")
MAX_NAME = 200
MAX_CODE = 64


def check_text(value: object, where: str, longest: int) -> str:
    """`value` when it is text of 1 to `longest` printable characters without blanks around; else Invalid."""
    if not isinstance(value, str) or not value:
        raise Invalid(f"{where} is missing: text is needed", code="claim-missing", expression=where)
    if len(value) > longest:
        raise Invalid(f"{where} is longer than {longest} characters", code="claim-invalid", expression=where)
    if not value.isprintable() or value != value.strip():
        raise Invalid(
            f"{where} has a control character, or blanks around it", code="claim-invalid", expression=where
        )
    return value


def check_code(value: object, where: str) -> str:
    """`value` when it is a code of at most 64 characters: words with one blank between them; else Invalid."""
    text = check_text(value, where, MAX_CODE)
    if not _CODE.fullmatch(text):
        raise Invalid(f"{where} is not a code: it has double blanks", code="claim-invalid", expression=where)
    return text


def _check_role(value: object, where: str) -> None:
    if not _ROLE.fullmatch(check_code(value, where)):
        raise Invalid(
            f"{where} is not a role code: two digits, a dot and three digits are needed, as in 01.015",
            code="claim-invalid",
            expression=where,
        )


@dataclass(frozen=True, slots=True)
class User:
    """The professional on whose behalf is asked.

    `id` is a Dezi or UZI number or the asking organisation's own account, `role` a role code (OID
    2.16.840.1.113883.2.4.15.111) such as 01.015, `responsible` the Dezi or UZI number of the professional who
    gave the mandate and `responsible_role` the role code of that one, or ''. Raises `Invalid` naming the member that is
    wrong.
    """

    id: str
    name: str
    role: str
    responsible: str = ""
    responsible_role: str = ""

    def __post_init__(self) -> None:
        check_code(self.id, "user.id")
        check_text(self.name, "user.name", MAX_NAME)
        _check_role(self.role, "user.role")
        if self.responsible != "":
            check_code(self.responsible, "user.responsible")
        if self.responsible_role != "":
            _check_role(self.responsible_role, "user.responsible_role")
            if self.responsible == "":
                raise Invalid(
                    "user.responsible_role is the role of user.responsible, which is missing",
                    code="claim-missing",
                    expression="user.responsible",
                )

    @classmethod
    def parse(cls, value: object) -> User:
        """The user in the JSON object `value`: {id, name, role, responsible?, responsible_role?}. Raises `Invalid`."""
        if not isinstance(value, dict):
            raise Invalid(
                "user is missing: an object {id, name, role, responsible?, responsible_role?} is needed",
                code="claim-missing",
                expression="user",
            )
        if unknown := set(value) - set(_USER):
            raise Invalid(
                f"user has a member that is not known: {sorted(unknown)[0][:40]!r}",
                code="claim-invalid",
                expression="user",
            )
        return cls(**{name: value.get(name, "") for name in _USER})

    def json(self) -> dict[str, str]:
        """The inverse of `parse`."""
        return {name: value for name in _USER if (value := getattr(self, name))}


_ALWAYS = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The certificate that the other side of a connection proved to hold, as far as anything here needs it.

    `der` is the certificate, `thumbprint` its SHA-256 in base64url (RFC 8705, x5t#S256), `hosts` its DNS names in
    lower case, `until` its notAfter. Chain, validity and revocation were judged before this value is made.
    """

    der: bytes
    thumbprint: str
    hosts: frozenset[str] = frozenset()
    until: datetime = _ALWAYS


@dataclass(frozen=True, slots=True)
class Caller:
    """What a listener knows of a request, for telling who sent it.

    `url` is our own public address of what is asked, without query (never from the Host header), `authorization` and
    `dpop` all headers of these names as they came, `certificate` the client's, None where it showed none.
    """

    method: str
    url: str
    authorization: tuple[str, ...] = ()
    dpop: tuple[str, ...] = ()
    certificate: PeerCertificate | None = None
    network_address: str = ""
    request_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid access token says.

    `requester` is the asking organisation's URA, `requester_name` its name and `facility_type` its type (a code of
    2.16.840.1.113883.2.4.15.1060), as a credential proved or as the holder's own directory says. `jti` is the token's
    own id (not the token), `patient` a BSN when the token is for one patient only, else ''. `assurance` is the level at
    which the user proved who they are (a URI such as http://eidas.europa.eu/LoA/high), '' when only the organisation
    vouches. `claims` are the values that the presented credentials proved, by field id of the presentation definition.
    `jkt` and `x5t` are the thumbprints of the key (RFC 9449) and the certificate (RFC 8705) the token is bound to, ''
    when to none. `authorization_base` is what the notification gave with which the asker was called (Twiin TA NP): the
    token is for the Tasks that have it, or else for those without one; '' when none was given back.
    """

    requester: str
    scope: str
    user: User | None
    purpose: str
    treatment_relation: str
    jti: str
    expires: datetime
    patient: str = ""
    requester_name: str = ""
    facility_type: str = ""
    client_id: str = ""
    assurance: str = ""
    grant_type: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    jkt: str = ""
    x5t: str = ""
    authorization_base: str = ""

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.scope.split())
