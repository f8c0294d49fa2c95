"""Verifies what an organisation presents: one signed presentation, its credentials, and what they say together.

The order is that of cost: what the presentation says of itself, then who signed it (a document is fetched), then each
credential, then what was asked for. Nothing is kept between two presentations but documents of DIDs, for seconds.

Sources: Nuts RFC021 (vp_token-bearer), RFC 7523 with presentations (GFI-004), W3C VC data model 1.1 section 6.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from schakel.generic.identity.credentials.definition import Definition
from schakel.generic.identity.credentials.definitions import Definitions
from schakel.generic.identity.credentials.did_web import ASSERTION, AUTHENTICATION
from schakel.generic.identity.credentials.jwts import Jwt, check_times, read
from schakel.generic.identity.credentials.matching import matched
from schakel.generic.identity.credentials.model import Credential, Presented, Proof
from schakel.generic.identity.credentials.reading import credential, items
from schakel.generic.identity.credentials.refusals import NotChecked, Refused, inside, shown
from schakel.generic.identity.credentials.resolver import Resolver
from schakel.generic.identity.credentials.verifier import CredentialVerifier, Presenter
from schakel.generic.identity.model import User
from schakel.kernel import clock
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import BSN_SYSTEM, Bsn

MAX_CREDENTIALS = 20
MAX_TEXT = 500
PRESENTATION = "VerifiablePresentation"


class Client(Protocol):
    """The care organisation on whose behalf a service provider asks: as it presented itself."""

    @property
    def holder(self) -> str: ...
    @property
    def ura(self) -> str: ...


@dataclass(frozen=True)
class Presentations:
    """Verifies presentations; `definitions` are what scopes ask for."""

    resolver: Resolver
    verifier: CredentialVerifier
    definitions: Definitions

    async def verify(
        self,
        vp_jwt: str,
        *,
        audience: str,
        definition: Definition,
        submission: Mapping[str, Any] | None = None,
        longest: float = 5,
        nonce_needed: bool = True,
        client: Client | None = None,
    ) -> Presented:
        """What the presentation in the JWT `vp_jwt` proves to the authorisation server with issuer `audience`.

        `submission` says which credential is meant for which part of `definition`; without it all are tried.
        `longest` is the longest life of a presentation in seconds. `client` is the care organisation when this is the
        presentation of the service provider that asks on its behalf.

        Raises `Refused` naming what is missing or wrong, `NotChecked` naming what could not be looked up. Whether
        it was used before is not checked here.
        """
        moment = clock.now()
        jwt = _opened(vp_jwt)
        holder = _holder(jwt)
        _check_audience(jwt, audience)
        expires = _check_life(jwt, moment.timestamp(), longest)
        jti, nonce = _text(jwt, "jti", needed=True), _text(jwt, "nonce", needed=nonce_needed)
        listed = _credentials(jwt)
        key = await self.resolver.key(str(jwt.header["kid"]), (AUTHENTICATION, ASSERTION))
        if not jwt.signed_by(key):
            raise Refused(
                f"the presentation was not signed with the key {shown(jwt.header['kid'])}",
                code="presentation-signature",
            )
        by = Presenter(holder, client.holder if client else "", client.ura if client else "")
        credentials: list[Credential] = []
        proofs: list[Proof] = []
        try:
            for place, value in enumerate(listed):
                with inside(f"credential {place + 1}", f"vp.verifiableCredential[{place}]"):
                    one = credential(value)
                    with inside(one.type[:80], ""):
                        proofs.append(await self.verifier.verify(one, by, moment))
                credentials.append(one)
            _check_together(credentials, proofs)
            fields = matched(definition, credentials, submission)
            patient = _patient(fields)
            user, assurance = _user(proofs)
        except (Refused, NotChecked) as error:
            error.requester = next((one.ura for one in proofs if one.organisation_proved), "")
            raise
        organisation = next((one for one in proofs if one.organisation_proved), Proof())
        return Presented(
            holder=holder,
            jti=jti,
            nonce=nonce,
            expires=expires,
            credentials=tuple(credentials),
            fields=fields,
            ura=organisation.ura,
            organisation_name=organisation.organisation or fields.get("organization_name", ""),
            facility_type=fields.get("organization_facility_type", ""),
            user=user,
            assurance=assurance,
            patient=patient,
        )


def _opened(text: str) -> Jwt:
    if text.lstrip()[:1] in ("{", "["):
        raise Refused(
            "a presentation with a JSON-LD proof is not supported: send a JWT", code="presentation-format"
        )
    return read(text, "the presentation")


def _holder(jwt: Jwt) -> str:
    """The DID that presents: iss and sub. Some peers leave one of them out and write `vp.holder`; all that are there
    must be the same, and the key must be of that DID."""
    inner = jwt.claims.get("vp")
    told = {
        "iss": jwt.claims.get("iss"),
        "sub": jwt.claims.get("sub"),
        "vp.holder": inner.get("holder") if isinstance(inner, Mapping) else None,
    }
    named = {name: value for name, value in told.items() if value is not None}
    for name, value in named.items():
        if not isinstance(value, str):
            raise Refused(
                f"the claim {name} of the presentation is not text",
                code="presentation-holder",
                expression=name,
            )
    if "iss" not in named and "sub" not in named:
        raise Refused(
            "the claims iss and sub of the presentation are missing",
            code="presentation-holder",
            expression="iss",
        )
    holder = str(named.get("iss", named.get("sub")))
    for name, value in named.items():
        if value != holder:
            raise Refused(
                f"the claim {name} of the presentation says {shown(value)}, and iss {shown(holder)}",
                code="presentation-holder",
                expression=name,
            )
    kid = jwt.header.get("kid")
    if not isinstance(kid, str) or kid.partition("#")[0] != holder:
        raise Refused(
            f"kid in the header of the presentation is not a key of the holder {shown(holder)}",
            code="presentation-kid",
            expression="kid",
        )
    return holder


def _check_audience(jwt: Jwt, audience: str) -> None:
    if items(jwt.claims.get("aud")) != [audience]:
        raise Refused(
            f"the claim aud of the presentation is not the issuer of this authorisation server, {audience}, alone",
            code="presentation-aud",
            expression="aud",
        )


def _check_life(jwt: Jwt, moment: float, longest: float) -> float:
    """The end of the presentation, when it is valid at `moment` and not for longer than `longest`."""
    begin, expires = check_times(jwt, moment)
    if expires - begin > longest:
        raise Refused(
            f"the presentation is valid for {expires - begin:g} seconds (exp - nbf), and {longest:g} is the most",
            code="presentation-too-long",
            expression="exp",
        )
    return expires


def _text(jwt: Jwt, name: str, *, needed: bool) -> str:
    value = jwt.claims.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise Refused(
            f"the claim {name} of the presentation is missing or is not text of 1 to {MAX_TEXT} characters",
            code=f"presentation-{name}",
            expression=name,
        )
    return value


def _credentials(jwt: Jwt) -> list[Any]:
    inner = jwt.claims.get("vp")
    if not isinstance(inner, Mapping) or PRESENTATION not in items(inner.get("type")):
        raise Refused(
            f"the claim vp of the presentation is missing, or is not of type {PRESENTATION}",
            code="presentation-type",
            expression="vp.type",
        )
    listed = inner.get("verifiableCredential")
    if isinstance(listed, list) and len(listed) > MAX_CREDENTIALS:
        raise Refused(
            f"the presentation has more than {MAX_CREDENTIALS} credentials",
            code="presentation-too-many",
            expression="vp.verifiableCredential",
        )
    return items(listed)


def _check_together(credentials: Sequence[Credential], proofs: Sequence[Proof]) -> None:
    """Refuses credentials of two organisations, and one that is bound to nobody without the organisation it names."""
    named: dict[str, str] = {}
    for one, proof in zip(credentials, proofs, strict=True):
        if proof.ura:
            named.setdefault(proof.ura, one.type)
    if len(named) > 1:
        told = " and ".join(f"URA {ura} in {kind}" for ura, kind in named.items())
        raise Refused(
            f"the credentials are not of one organisation: {told}",
            code="presentation-ura",
            expression="vp.verifiableCredential",
        )
    bound = {proof.ura for proof in proofs if proof.organisation_proved}
    for one, proof in zip(credentials, proofs, strict=True):
        if not proof.holder_bound and proof.ura not in bound:
            raise Refused(
                f"{one.type} is bound to nobody, so it is taken only beside a credential of the holder as the "
                f"organisation with URA {proof.ura}, which was not presented",
                code="presentation-unbound",
                expression="vp.verifiableCredential",
            )


def _user(proofs: Sequence[Proof]) -> tuple[User | None, str]:
    """The professional and the level at which they proved who they are. One who signed a delegation is the person in
    whose name is asked: the one who acts when nobody else is named."""
    acting = [one for one in proofs if one.assurance]
    delegating = [one.user for one in proofs if one.user and not one.assurance]
    for found, what in ((acting, "credentials of a professional"), (delegating, "delegations")):
        if len(found) > 1:
            raise Refused(
                f"the presentation has {len(found)} {what}: one is needed",
                code="presentation-user",
                expression="vp.verifiableCredential",
            )
    delegated = delegating[0] if delegating else None
    if not acting:
        return delegated, ""
    user = acting[0].user
    if user is not None and delegated is not None:
        user = User(user.id, user.name, user.role, delegated.id, delegated.role)
    return user, acting[0].assurance


def _patient(fields: Mapping[str, str]) -> str:
    """The BSN of the patient who is enrolled with the organisation."""
    identifier = fields.get("patient_enrollment_identifier")
    if identifier is None:
        return ""
    system, _, value = identifier.rpartition("|")
    try:
        if system == BSN_SYSTEM:
            return str(Bsn(value))
    except Invalid:
        pass
    raise Refused(
        f"patientId of the enrolment is not {BSN_SYSTEM}|<BSN>",
        code="presentation-patient",
        expression="credentialSubject.patientId",
    )
