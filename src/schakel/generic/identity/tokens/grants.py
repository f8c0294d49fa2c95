"""The grants of the token endpoint: from a form to what it proves.

    client_credentials                           the requester signed an assertion (RFC 7523, section 2.2)
    vp_token-bearer                              the requester's presentation (Nuts RFC021)
    urn:ietf:params:oauth:grant-type:jwt-bearer  the same as an assertion (RFC 7523, section 2.1), and perhaps the
                                                 presentation of its service provider beside it (GFI-004)

No patient is known here: each refusal names the field, claim or credential at fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from schakel.fhir.json import parse
from schakel.generic.identity.assertion import ASSERTION_TYPE, MAX_SECONDS, RequesterKeys, verify
from schakel.generic.identity.credentials.definition import Definition
from schakel.generic.identity.credentials.definitions import Definitions
from schakel.generic.identity.credentials.model import Credential, Presented
from schakel.generic.identity.credentials.verifier import FACILITY
from schakel.generic.identity.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuthError,
)
from schakel.generic.identity.model import check_text
from schakel.generic.identity.tokens.proved import ASSERTION, NONCE, PRESENTATION, OnceOnly, Proved
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid

CLIENT_CREDENTIALS = "client_credentials"
VP_BEARER = "vp_token-bearer"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

VP_SECONDS = 900
"""Longest life of a token that a presentation was given for (RFC021)."""

_KEPT = timedelta(hours=1)
"""How long past its expiry a used id is remembered: more than clocks of nodes can ever differ."""

_MAX_CLIENT_ID = 500

Form = Mapping[str, str]
ClientAssertions = Literal["optional", "required"]


def required(form: Form, *names: str) -> None:
    """Refuse a form that lacks one of these fields."""
    for name in names:
        if not form.get(name):
            raise InvalidRequestError(
                f"the form field {name} is missing", code="field-missing", expression=name
            )


async def by_client_assertion(form: Form, issuer: str, keys: RequesterKeys) -> Proved:
    """What the client assertion in `form` proves."""
    required(form, "client_assertion_type", "client_assertion")
    _check_assertion_type(form)
    assertion = await verify(form["client_assertion"], issuer, keys, now().timestamp())
    requester = assertion.requester
    if form.get("client_id", requester) != requester:
        raise InvalidClientError(
            "client_id is not the organisation that made the assertion",
            code="client-id",
            expression="client_id",
            requester=requester,
        )
    replayed = InvalidClientError(
        "the assertion was used before: make a new one, with a new jti, for each request",
        code="assertion-replayed",
        expression="jti",
        requester=requester,
    )
    until = datetime.fromtimestamp(assertion.expires, UTC) + _KEPT
    return Proved(
        requester=requester,
        grant_type=CLIENT_CREDENTIALS,
        client_id=requester,
        once=(OnceOnly(ASSERTION, requester, assertion.jti, until, replayed),),
        user=assertion.user,
        purpose=assertion.purpose,
        treatment_relation=assertion.treatment_relation,
        # An assertion proves no name and no type: what the holder itself knows of the requester counts.
        requester_name=await keys.name(requester),
        facility_type=await keys.facility_type(requester),
    )


class Presentations(Protocol):
    """Verifies presentations for one organisation; see `credentials.Presentations`."""

    @property
    def definitions(self) -> Definitions:
        """What each scope asks for."""

    async def verify(
        self,
        vp_jwt: str,
        *,
        audience: str,
        definition: Definition,
        submission: Mapping[str, Any] | None = None,
        longest: float = 5,
        nonce_needed: bool = True,
        client: Presented | None = None,
    ) -> Presented:
        """What a presentation proves. Raises `OAuthError`."""


@dataclass(frozen=True, slots=True)
class PresentationGrants:
    """The two grants that are made of presentations, at the authorisation server `issuer`."""

    issuer: str
    presentations: Presentations
    client_assertions: ClientAssertions
    keys: RequesterKeys

    async def vp_token(self, form: Form, scopes: Sequence[str]) -> Proved:
        """What the presentation in `form` proves, when it satisfies the definition of every scope."""
        required(form, "assertion", "presentation_submission", "client_id")
        client, submission = _client_id(form), _submission(form)
        definitions = self.definitions(scopes)
        about = _about(submission, definitions)
        presented = [
            await self.presentations.verify(
                form["assertion"],
                audience=self.issuer,
                definition=definition,
                submission=submission if about == definition.id else None,
            )
            for definition in definitions
        ]
        return await self._typed(_proved(presented, VP_BEARER, client), presented)

    async def jwt_bearer(self, form: Form, scopes: Sequence[str]) -> Proved:
        """The same, with the presentation of the service provider beside it, when there is one."""
        required(form, "assertion")
        beside = bool(form.get("client_assertion") or form.get("client_assertion_type"))
        if beside or self.client_assertions == "required":
            required(form, "client_assertion", "client_assertion_type")
            _check_assertion_type(form)
        client = _client_id(form) if "client_id" in form else ""
        definitions = self.definitions(scopes)
        presented = [
            await self.presentations.verify(
                form["assertion"],
                audience=self.issuer,
                definition=definition,
                longest=MAX_SECONDS,
                nonce_needed=False,
            )
            for definition in definitions
        ]
        proved = _proved(presented, JWT_BEARER, client or presented[0].holder)
        proved = await self._typed(proved, presented)
        origins = {"assertions": _origins(presented, definitions)}
        if not beside:
            return replace(proved, origins=origins)
        provider = await self._provider(form["client_assertion"], presented[0])
        return replace(
            proved,
            client_id=client or provider.holder,
            once=(*proved.once, *_once(provider, "client_assertion")),
            origins={
                **origins,
                "client_assertions": _origins([provider], [self.presentations.definitions.client]),
            },
        )

    async def _typed(self, proved: Proved, presented: Sequence[Presented]) -> Proved:
        """The type of the organisation, when no credential about that alone says it (as in a delegation, which it makes
        itself), is what the holder knows of it; its own word counts where the holder knows none."""
        vouched = any(one.type == FACILITY for each in presented for one in each.credentials)
        if vouched or not proved.facility_type:
            return proved
        known = await self.keys.facility_type(proved.requester)
        return replace(proved, facility_type=known or proved.facility_type)

    def definitions(self, scopes: Sequence[str]) -> list[Definition]:
        """The definitions that these scopes ask for, each once. Raises `InvalidScopeError`."""
        of = self.presentations.definitions.of
        return list({definition.id: definition for definition in (of([scope]) for scope in scopes)}.values())

    async def _provider(self, text: str, organisation: Presented) -> Presented:
        """The presentation of a service provider that may ask for this organisation."""
        try:
            provider = await self.presentations.verify(
                text,
                audience=self.issuer,
                definition=self.presentations.definitions.client,
                longest=MAX_SECONDS,
                nonce_needed=False,
                client=organisation,
            )
        except OAuthError as error:
            raise InvalidClientError(
                f"client_assertion: {error.message}",
                code=error.kind,
                expression=".".join(part for part in ("client_assertion", error.expression) if part),
                requester=organisation.ura,
            ) from error
        for name in sorted(provider.fields.keys() & organisation.fields.keys()):
            if provider.fields[name] != organisation.fields[name]:
                raise InvalidClientError(
                    f"{name} in client_assertion is another than in assertion",
                    code="client-assertion-other",
                    expression=f"client_assertion.{name}",
                    requester=organisation.ura,
                )
        return provider


def _proved(presented: Sequence[Presented], grant_type: str, client: str) -> Proved:
    """What one presentation proves, which was verified once for each definition that it satisfies."""
    first = presented[0]
    if not first.ura:
        raise InvalidGrantError(
            "assertion: no credential proves the organisation's URA to the holder of the presentation",
            code="presentation-ura",
            expression="assertion",
        )
    claims: dict[str, str] = {}
    for one in presented:
        for name, value in one.fields.items():
            if claims.setdefault(name, value) != value:
                raise InvalidGrantError(
                    f"assertion: {name} has two values, as different credentials satisfy the scopes: ask a token for "
                    "each scope",
                    code="presentation-ambiguous",
                    expression=f"assertion.{name}",
                    requester=first.ura,
                )
    return Proved(
        requester=first.ura,
        grant_type=grant_type,
        client_id=client,
        once=_once(first, "assertion"),
        user=first.user,
        requester_name=first.organisation_name,
        facility_type=next((one.facility_type for one in presented if one.facility_type), ""),
        assurance=first.assurance,
        patient=next((one.patient for one in presented if one.patient), ""),
        claims=claims,
        longest=VP_SECONDS,
    )


def _once(presented: Presented, field: str) -> tuple[OnceOnly, ...]:
    """What a presentation uses up: its jti, and its nonce when it has one."""
    until = datetime.fromtimestamp(presented.expires, UTC) + _KEPT
    refused = InvalidClientError if field == "client_assertion" else InvalidGrantError
    return tuple(
        OnceOnly(
            kind,
            presented.holder,
            value,
            until,
            refused(
                f"{field}: the presentation was used before: make a new one, with a new {claim}, for each request",
                code="presentation-replayed",
                expression=f"{field}.{claim}",
            ),
        )
        for kind, claim, value in (
            (PRESENTATION, "jti", presented.jti),
            (NONCE, "nonce", presented.nonce),
        )
        if value
    )


def _origins(presented: Sequence[Presented], definitions: Sequence[Definition]) -> dict[str, Any]:
    """Who said which claim about whom, and when: by subject, then by claim (GFI-006)."""
    told: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for one, definition in zip(presented, definitions, strict=True):
        for credential in one.credentials:
            for descriptor in definition.descriptors:
                values, missing = descriptor.values(credential)
                if missing:
                    continue
                about = told.setdefault(str(credential.subject.get("id", "")), {})
                for name, value in values.items():
                    said = {"value": value, "iss": credential.issuer, **_times(credential)}
                    if said not in about.setdefault(name, []):
                        about[name].append(said)
    return told


def _times(credential: Credential) -> dict[str, int]:
    """When a credential was issued and when it ends, in seconds since 1970, as far as it says so."""
    if credential.jwt is None:
        return {}
    issued = credential.jwt.seconds("iat")
    times = {
        "iat": issued if issued is not None else credential.jwt.seconds("nbf"),
        "exp": credential.jwt.seconds("exp"),
    }
    return {name: int(value) for name, value in times.items() if value is not None}


def _client_id(form: Form) -> str:
    try:
        return check_text(form["client_id"], "client_id", _MAX_CLIENT_ID)
    except Invalid as error:
        raise InvalidRequestError(error.message, code=error.kind, expression="client_id") from None


def _submission(form: Form) -> dict[str, Any]:
    try:
        return parse(form["presentation_submission"].encode(errors="replace"), max_depth=16)
    except Invalid as error:
        raise InvalidRequestError(
            f"presentation_submission is not a JSON object: {error.message}",
            code="submission-invalid",
            expression="presentation_submission",
        ) from None


def _about(submission: Mapping[str, Any], definitions: Sequence[Definition]) -> str:
    """Which of the definitions a presentation submission is about."""
    about = submission.get("definition_id")
    names = [definition.id for definition in definitions]
    if about not in names:
        raise InvalidRequestError(
            f"definition_id in presentation_submission is not {' or '.join(names)}, which the scope asks for",
            code="submission-definition",
            expression="presentation_submission.definition_id",
        )
    return str(about)


def _check_assertion_type(form: Form) -> None:
    if form["client_assertion_type"] != ASSERTION_TYPE:
        raise InvalidRequestError(
            f"client_assertion_type is not supported: {ASSERTION_TYPE} is",
            code="assertion-type",
            expression="client_assertion_type",
        )
