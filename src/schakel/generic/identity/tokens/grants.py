"""The grants of the token endpoint: from a form to what it proves.

    client_credentials                           the requester signed an assertion (RFC 7523, section 2.2)
    vp_token-bearer                              the requester's presentation (Nuts RFC021)
    urn:ietf:params:oauth:grant-type:jwt-bearer  the same as an assertion (RFC 7523, section 2.1), and perhaps the
                                                 presentation of its vendor as the client assertion (GFI-004)

No patient is known here: each refusal names the field, claim or credential at fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from schakel.generic.identity.assertion import CLIENT_ASSERTION_TYPE, RequesterKeys, verify
from schakel.generic.identity.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuthError,
)
from schakel.generic.identity.model import User, check_text
from schakel.generic.identity.tokens.presenting import Definition, Presentations, Presented
from schakel.generic.identity.tokens.proved import OnceOnly, Proved
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura

CLIENT_CREDENTIALS = "client_credentials"
VP_TOKEN = "vp_token-bearer"
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


def by_client_assertion(form: Form, issuer: str, keys: RequesterKeys) -> Proved:
    """What the client assertion in `form` proves."""
    required(form, "client_assertion_type", "client_assertion")
    _check_assertion_type(form)
    assertion = verify(form["client_assertion"], issuer, keys, now().timestamp())
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
        once=(OnceOnly("assertion", requester, assertion.jti, until, replayed),),
        user=assertion.user,
        purpose=assertion.purpose,
        treatment_relation=assertion.treatment_relation,
    )


@dataclass(frozen=True, slots=True)
class PresentationGrants:
    """The two grants that are made of presentations, at the authorisation server `issuer`."""

    issuer: str
    presentations: Presentations
    client_assertions: ClientAssertions

    async def vp_token(self, form: Form, scopes: Sequence[str]) -> Proved:
        """What the presentation in `form` proves, when it satisfies the definition of every scope."""
        required(form, "assertion", "presentation_submission", "client_id")
        client = _client_id(form)
        presented = await self._satisfied(form["assertion"], scopes, form["presentation_submission"])
        if not presented.nonce:
            raise InvalidGrantError(
                "the claim nonce of the presentation is missing",
                code="presentation-nonce",
                expression="assertion.nonce",
            )
        return _proved(presented, VP_TOKEN, client, _once(presented, "assertion"))

    async def jwt_bearer(self, form: Form, scopes: Sequence[str]) -> Proved:
        """The same, with the presentation of the vendor beside it: it must speak for the same organisation."""
        required(form, "assertion")
        told = bool(form.get("client_assertion") or form.get("client_assertion_type"))
        if told or self.client_assertions == "required":
            required(form, "client_assertion", "client_assertion_type")
            _check_assertion_type(form)
        client = _client_id(form) if "client_id" in form else ""
        presented = await self._satisfied(form["assertion"], scopes, form.get("presentation_submission"))
        proved = _proved(
            presented, JWT_BEARER, client or presented.holder, _once(presented, "assertion"), "assertions"
        )
        if not told:
            return proved
        vendor = await self._vendor(form["client_assertion"], scopes, presented, proved.requester)
        return _proved(
            presented,
            JWT_BEARER,
            client or vendor.holder,
            (*proved.once, *_once(vendor, "client_assertion", proved.requester)),
            "assertions",
            {"client_assertions": _origins(vendor)},
        )

    def definitions(self, scopes: Sequence[str]) -> list[Definition]:
        """The definitions that these scopes ask for, each once. Raises `InvalidScopeError`."""
        found: dict[str, Definition] = {}
        for scope in scopes:
            definition = self.presentations.definition(scope)
            if definition is None:
                raise InvalidScopeError(
                    f"no presentation gives the scope {scope}", code="scope", expression="scope"
                )
            found[definition.id] = definition
        return list(found.values())

    async def _satisfied(self, text: str, scopes: Sequence[str], submission: str | None) -> Presented:
        """The presentation in `text`, which satisfies every definition of `scopes`; a submission tells about one."""
        definitions = self.definitions(scopes)
        about = _about(submission)
        if about is not None and about not in {definition.id for definition in definitions}:
            raise InvalidRequestError(
                "the definition_id of presentation_submission is not the presentation definition of the scope",
                code="submission-definition",
                expression="presentation_submission.definition_id",
            )
        presented = []
        for definition in definitions:
            said = submission if about == definition.id else None
            presented.append(await self._verified(text, definition, said))
        return presented[0] if len(presented) == 1 else _Joined(presented)

    async def _verified(self, text: str, definition: Definition, submission: str | None = None) -> Presented:
        return await self.presentations.verify(
            text, audience=self.issuer, moment=now(), definition=definition, submission=submission
        )

    async def _vendor(
        self, text: str, scopes: Sequence[str], organisation: Presented, requester: str
    ) -> Presented:
        """The presentation of the vendor, which names the same organisation in the fields that both have."""
        vendor: Presented | None = None
        for scope in scopes:
            definition = self.presentations.vendor_definition(scope)
            if definition is None:
                raise InvalidClientError(
                    f"no client assertion is taken with the scope {scope}",
                    code="client-assertion-scope",
                    expression="client_assertion",
                    requester=requester,
                )
            try:
                vendor = await self._verified(text, definition)
            except OAuthError as error:
                raise InvalidClientError(
                    f"in client_assertion, {error.message}",
                    code=error.kind,
                    expression=f"client_assertion.{error.expression}".rstrip("."),
                    requester=requester,
                ) from error
            _check_bound(vendor, organisation, requester)
        assert vendor is not None  # There is at least one scope.
        return vendor


def _check_bound(vendor: Presented, organisation: Presented, requester: str) -> None:
    """Refuse a vendor that speaks for another organisation, or for none."""
    shared = vendor.fields.keys() & organisation.fields.keys()
    if not shared:
        raise InvalidClientError(
            "client_assertion names no organisation for which its maker may ask",
            code="client-assertion-unbound",
            expression="client_assertion",
            requester=requester,
        )
    for name in sorted(shared):
        if vendor.fields[name] != organisation.fields[name]:
            raise InvalidClientError(
                f"{name} in client_assertion is another than in assertion: its maker may not ask for this organisation",
                code="client-assertion-other",
                expression=f"client_assertion.{name}",
                requester=requester,
            )


class _Joined:
    """One presentation that satisfied several definitions, as one."""

    def __init__(self, each: Sequence[Presented]) -> None:
        first = each[0]
        self.holder, self.jti, self.nonce, self.expires = first.holder, first.jti, first.nonce, first.expires
        self.assurance = first.assurance
        self.fields: dict[str, str] = {}
        for one in each:
            for name, value in one.fields.items():
                if self.fields.setdefault(name, value) != value:
                    raise InvalidGrantError(
                        f"{name} has two values: the scopes are proved by different credentials, ask a token for each",
                        code="presentation-ambiguous",
                        expression=f"assertion.{name}",
                    )
        self.credentials = tuple(credential for one in each for credential in one.credentials)


def _proved(
    presented: Presented,
    grant_type: str,
    client: str,
    once: tuple[OnceOnly, ...],
    origins: str = "",
    more: Mapping[str, Any] | None = None,
) -> Proved:
    """Who a presentation is of: the field ids are those of the presentation definitions in use."""
    fields = presented.fields
    requester = _ura(fields.get("organization_ura", ""))
    try:
        user = _user(fields)
    except Invalid as error:
        raise InvalidGrantError(
            f"in the presentation, {error.message}",
            code=error.kind,
            expression=f"assertion.{error.expression}",
            requester=requester,
        ) from None
    return Proved(
        requester=requester,
        grant_type=grant_type,
        client_id=client,
        once=tuple(_named(one, requester) for one in once),
        user=user,
        requester_name=fields.get("organization_name", ""),
        facility_type=fields.get("organization_facility_type", ""),
        assurance=presented.assurance,
        claims=dict(fields),
        origins={origins: _origins(presented), **(more or {})} if origins else {},
        longest=VP_SECONDS,
    )


def _named(one: OnceOnly, requester: str) -> OnceOnly:
    one.refusal.requester = requester
    return one


def _ura(text: str) -> str:
    try:
        if text and Ura(text) == text:
            return text
    except Invalid:
        pass
    raise InvalidGrantError(
        "the presentation proves no organization_ura of eight digits",
        code="presentation-ura",
        expression="assertion.organization_ura",
    )


def _user(fields: Mapping[str, str]) -> User | None:
    """The professional of a presentation; None when it has only an organisation."""
    if "user_id" not in fields:
        return None
    parts = (fields.get(f"user_{part}", "") for part in ("initials", "surname_prefix", "surname"))
    return User(fields["user_id"], " ".join(part for part in parts if part), fields.get("user_role", ""))


def _once(presented: Presented, field: str, requester: str = "") -> tuple[OnceOnly, ...]:
    """What a presentation uses up: its jti, and its nonce when it has one."""
    until = datetime.fromtimestamp(presented.expires, UTC) + _KEPT
    refused = InvalidClientError if field == "client_assertion" else InvalidGrantError
    kinds: tuple[tuple[Literal["presentation", "nonce"], str, str], ...] = (
        ("presentation", "jti", presented.jti),
        ("nonce", "nonce", presented.nonce),
    )
    return tuple(
        OnceOnly(
            kind,
            presented.holder,
            value,
            until,
            refused(
                f"the presentation in {field} was used before: make a new one, with a new {claim}, for each request",
                code="presentation-replayed",
                expression=f"{field}.{claim}",
                requester=requester,
            ),
        )
        for kind, claim, value in kinds
        if value
    )


def _origins(presented: Presented) -> dict[str, Any]:
    """Who said which claim about whom, and when: by subject, then by claim (GFI-006)."""
    told: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for credential in presented.credentials:
        about = told.setdefault(credential.subject, {})
        for name, value in credential.fields.items():
            said: dict[str, Any] = {
                "value": value,
                "iss": credential.issuer,
                "iat": int(credential.issued),
            }
            if credential.expires is not None:
                said["exp"] = int(credential.expires)
            about.setdefault(name, []).append(said)
    return told


def _client_id(form: Form) -> str:
    try:
        return check_text(form["client_id"], "client_id", _MAX_CLIENT_ID)
    except Invalid as error:
        raise InvalidRequestError(error.message, code=error.kind, expression="client_id") from None


def _about(submission: str | None) -> str | None:
    """Which definition a presentation submission is about; None without a submission."""
    if not submission:
        return None
    try:
        members = orjson.loads(submission)
        about = members["definition_id"]
    except (ValueError, TypeError, KeyError):
        about = None
    if not isinstance(about, str):
        raise InvalidRequestError(
            "presentation_submission is not a JSON object with a definition_id",
            code="submission-malformed",
            expression="presentation_submission",
        )
    return about


def _check_assertion_type(form: Form) -> None:
    if form["client_assertion_type"] != CLIENT_ASSERTION_TYPE:
        raise InvalidRequestError(
            f"client_assertion_type is not supported: {CLIENT_ASSERTION_TYPE} is",
            code="assertion-type",
            expression="client_assertion_type",
        )
