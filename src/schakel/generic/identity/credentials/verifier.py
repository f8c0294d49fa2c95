"""Whether one credential is what it says: who issued it, who signed it, and what it proves.

Which kind of issuer is trusted for a type is a table of rules: certificates for the organisation's own credentials,
Dezi for professionals, and DIDs from the settings for the rest. A type without a rule is refused by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from schakel.generic.identity.credentials import dezi_user
from schakel.generic.identity.credentials.jwts import check_times
from schakel.generic.identity.credentials.model import Credential, Professionals, Proof
from schakel.generic.identity.credentials.reading import instant
from schakel.generic.identity.credentials.refusals import Refused, shown
from schakel.generic.identity.credentials.resolver import Resolver
from schakel.generic.identity.credentials.signers import (
    Anchors,
    Withdrawals,
    check_certificate,
    check_did_web,
)
from schakel.generic.identity.credentials.status import StatusLists
from schakel.generic.identity.credentials.subjects import (
    card_user,
    check_delegated_by,
    delegate,
    employee,
    of_certificate,
    of_certificate_by_identifier,
    of_issuer,
)

X509 = "X509Credential"
PROVIDER = "HealthcareProviderCredential"
DEZI = "DeziUserCredential"
EMPLOYEE = "NutsEmployeeCredential"
ENROLMENT = "PatientEnrollmentCredential"
DELEGATION = "HealthCareProfessionalDelegationCredential"
FACILITY = "HealthcareProviderRoleTypeCredential"
SERVICE = "ServiceProviderCredential"
SERVICE_DELEGATION = "ServiceProviderDelegationCredential"

HOLDER = "holder"
"""Stands among trusted issuers for: whoever presents it."""

CARD = "card"
"""Stands among trusted issuers for: a professional, by the certificate of a UZI card of that person."""

CLIENT = "client"
"""Stands among trusted issuers for: the care organisation on whose behalf the presenter asks."""

OWN_ISSUERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        EMPLOYEE: frozenset({HOLDER}),
        ENROLMENT: frozenset({CARD}),
        DELEGATION: frozenset({CARD}),
        SERVICE_DELEGATION: frozenset({CLIENT}),
    }
)
"""Who issues what when no setting says otherwise."""


@dataclass(frozen=True, slots=True)
class Presenter:
    """Who presents a credential: `holder` is their DID, `client` and `client_ura` the DID and URA of the care
    organisation on whose behalf they ask, '' when there is none."""

    holder: str
    client: str = ""
    client_ura: str = ""


@dataclass(frozen=True)
class CredentialVerifier:
    """Verifies credentials by trusted certificates, Dezi (`professionals`, None when its statements are not taken), and
    `issuers`: DIDs (or `holder`, `card`, `client`) per type of credential."""

    resolver: Resolver
    status: StatusLists
    trust: Anchors
    withdrawn: Withdrawals
    professionals: Professionals | None
    issuers: Mapping[str, frozenset[str]] = field(default_factory=dict)

    async def verify(self, credential: Credential, by: Presenter, moment: datetime) -> Proof:
        """What `credential` proves when `by` presents it at `moment`. Raises `Refused` and `NotChecked`."""
        special: dict[str, Callable[[Credential, Presenter, datetime], Awaitable[Proof]]] = {
            X509: self._x509,
            PROVIDER: self._x509,
            DEZI: self._dezi,
        }
        if (rule := special.get(credential.type)) is not None:
            return await rule(credential, by, moment)
        trusted = self.issuers.get(credential.type, OWN_ISSUERS.get(credential.type, frozenset()))
        if not trusted:
            raise Refused(
                f"credentials of type {shown(credential.type)} are not taken: no issuer is trusted for it (setting "
                "trust.issuers)",
                code="credential-type-unknown",
                expression="type",
            )
        return await self._issued(credential, by, moment, trusted)

    async def _x509(self, credential: Credential, by: Presenter, moment: datetime) -> Proof:
        """The organisation's own credential, issued by the holder of its UZI server certificate."""
        if credential.jwt is None:
            raise _needs_jwt()
        did, verified = await check_certificate(
            credential.jwt, credential.issuer, moment, self.trust, self.withdrawn
        )
        _check_holder(credential, by)
        if credential.type == X509:
            proof = of_certificate(credential.subject, did, verified)
        else:
            proof = of_certificate_by_identifier(credential.subject, verified)
        await self.status.check(credential, moment)
        return proof

    async def _dezi(self, credential: Credential, by: Presenter, moment: datetime) -> Proof:
        if self.professionals is None:
            raise Refused(
                "statements of Dezi are not taken here: Dezi is not set up",
                code="dezi-off",
                expression="type",
            )
        if "id" in credential.subject:
            _check_holder(credential, by)
        return await dezi_user.check(credential, self.professionals, moment)

    async def _issued(
        self, credential: Credential, by: Presenter, moment: datetime, trusted: frozenset[str]
    ) -> Proof:
        """A credential of an issuer that is trusted for its type."""
        _check_holder(credential, by)
        if CARD in trusted and credential.issuer.startswith("did:x509:"):
            if credential.jwt is None:
                raise _needs_jwt()
            _, verified = await check_certificate(
                credential.jwt, credential.issuer, moment, self.trust, self.withdrawn
            )
            await self.status.check(credential, moment)
            return card_user(credential, verified, delegates=credential.type == DELEGATION)
        self._check_issuer(credential, by, trusted)
        if credential.jwt is not None:
            await check_did_web(credential.jwt, credential.issuer, self.resolver)
            check_times(credential.jwt, moment.timestamp())
            await self.status.check(credential, moment)
        elif credential.issuer != by.holder or HOLDER not in trusted:
            raise _needs_jwt()
        else:
            # Signed by whoever says it, as a part of the presentation.
            _check_dates(credential, moment)
        if credential.type == EMPLOYEE:
            return employee(credential.subject)
        if credential.type == DELEGATION:
            return delegate(credential.subject)
        if credential.type == SERVICE_DELEGATION:
            check_delegated_by(credential.subject, by.client_ura)
        # What the presenter says of itself proves no URA.
        return Proof() if credential.issuer == by.holder else of_issuer(credential.subject)

    def _check_issuer(self, credential: Credential, by: Presenter, trusted: frozenset[str]) -> None:
        if credential.issuer in trusted:
            return
        if HOLDER in trusted and credential.issuer == by.holder:
            return
        if CLIENT in trusted and by.client and credential.issuer == by.client:
            return
        raise Refused(
            f"its issuer {shown(credential.issuer)} is not trusted for {credential.type} (setting trust.issuers)",
            code="credential-issuer",
            expression="iss",
        )


def _check_holder(credential: Credential, by: Presenter) -> None:
    if credential.subject.get("id") != by.holder:
        raise Refused(
            f"credentialSubject.id is not the holder, {shown(by.holder)}: it was issued to another",
            code="credential-holder",
            expression="credentialSubject.id",
        )


def _check_dates(credential: Credential, moment: datetime) -> None:
    """The dates of a credential without a signature of its own."""
    start = instant(credential.document, ("issuanceDate", "validFrom"))
    end = instant(credential.document, ("expirationDate", "validUntil"))
    seconds = moment.astimezone(UTC).timestamp()
    if start is not None and start.timestamp() > seconds + 5:
        raise Refused("it starts in the future", code="credential-early", expression="issuanceDate")
    if end is not None and end.timestamp() <= seconds - 5:
        raise Refused("it has expired", code="credential-expired", expression="expirationDate")


def _needs_jwt() -> Refused:
    return Refused(
        "a credential with a JSON-LD proof, or without one, is not supported: send a JWT",
        code="credential-format",
        expression="proof",
    )
