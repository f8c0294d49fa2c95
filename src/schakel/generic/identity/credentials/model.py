"""What is presented, and what a presentation that was verified says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from schakel.generic.identity.credentials.jwts import Jwt
from schakel.generic.identity.model import User

CONTEXT_V1 = "https://www.w3.org/2018/credentials/v1"
CONTEXT_V2 = "https://www.w3.org/ns/credentials/v2"
BASE_TYPE = "VerifiableCredential"


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential that was taken apart, and is not trusted yet.

    `type` is its type beside VerifiableCredential, `document` the credential as JSON members (with credentialSubject
    a list), which is what presentation definitions look into; `jwt` is None for one that came as an object.
    """

    type: str
    issuer: str
    subject: Mapping[str, Any]
    document: Mapping[str, Any]
    jwt: Jwt | None

    @property
    def format(self) -> str:
        """Its format as presentation definitions call it."""
        return "ldp_vc" if self.jwt is None else "jwt_vc"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verified credential proves by itself: the organisation (`ura`, `organisation`), and the professional
    (`user`) with the level at which they proved who they are; '' and None for what it does not. `organisation_proved`
    says that it is the organisation's own credential, `holder_bound` that it is of who presents it."""

    ura: str = ""
    organisation: str = ""
    user: User | None = None
    assurance: str = ""
    holder_bound: bool = True
    organisation_proved: bool = False


@dataclass(frozen=True, slots=True)
class Presented:
    """A presentation that was verified and meets its definition.

    `holder` is the DID that signed it, `expires` its end in seconds since 1970, `nonce` '' when it has none. All of its
    `credentials` were verified. `fields` are the values by field id of the definition. `ura` and `organisation_name`
    are proved by a credential bound to the holder; `user` is the professional, at the level of assurance with which
    they proved who they are; `patient` is a BSN when an enrolment was presented. What was not presented is '' or None.
    """

    holder: str
    jti: str
    nonce: str
    expires: float
    credentials: tuple[Credential, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    ura: str = ""
    organisation_name: str = ""
    facility_type: str = ""
    user: User | None = None
    assurance: str = ""
    patient: str = ""


class Professional(Protocol):
    """What a verified statement of Dezi (verklaring) says; see `Professionals`."""

    @property
    def number(self) -> str:
        """The Dezi number."""

    @property
    def name(self) -> str:
        """The full name."""

    @property
    def role(self) -> str:
        """The role code, such as 01.015."""

    @property
    def ura(self) -> str:
        """The organisation for which this person works."""

    @property
    def assurance(self) -> str:
        """The level of assurance, a URI."""


class Professionals(Protocol):
    """Who can tell whether a statement of Dezi is genuine."""

    async def verify(self, verklaring: str, moment: datetime) -> Professional:
        """The professional of the statement (a JWT), valid at `moment`. Raises an `Outcome` that says what is wrong."""
