"""The authorisation server's addresses: metadata, keys, token, introspection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from schakel.fhir.search import pairs_of
from schakel.generic.identity import Grant, OAuthError, Passage, PatientGrant
from schakel.generic.identity.errors import NONCE_HEADER, InvalidClientError
from schakel.generic.identity.patient import is_host
from schakel.generic.logging import ChainEvent, Event
from schakel.generic.logging.chain import ChainType
from schakel.http.errors import problem
from schakel.http.node import Node, OrganisationServices, PatientDoor
from schakel.http.peer import caller, certificate, network_address
from schakel.http.rates import Counting
from schakel.http.reading import as_json, read_form
from schakel.kernel.outcomes import Invalid, NotFound, Outcome, naming
from schakel.kernel.values import Ura


class OAuth:
    """Handlers of the authorisation servers of this node, one for each organisation; `url` is the address of their
    listener as others see it. Front and back are doors of one server, which has one issuer."""

    def __init__(self, node: Node, url: str) -> None:
        self._node = node
        self._url = url

    async def metadata(self, request: Request) -> Response:
        """Authorisation server metadata (RFC 8414), with the addresses on back (RFC 8705, section 5)."""
        organisation = self._node.organisation(request.path_params["organisation"])
        offered = organisation.server.metadata()
        if organisation.patients is not None:
            address = f"{organisation.server.issuer}/oauth2"
            offered["authorization_endpoint"] = f"{address}/authorize"
            offered["revocation_endpoint"] = f"{address}/revoke"
            offered["response_types_supported"] = ["code"]
            offered["grant_types_supported"] += sorted(organisation.patients.tokens.grant_types)
            if "none" not in (methods := offered["token_endpoint_auth_methods_supported"]):
                methods.append("none")
        if self._node.back_url:
            address = f"{self._node.back_url}/{organisation.slug}/oauth2"
            offered["mtls_endpoint_aliases"] = {
                name: f"{address}/{last}"
                for name, last in (
                    ("token_endpoint", "token"),
                    ("revocation_endpoint", "revoke"),
                    ("presentation_definition_endpoint", "presentation_definition"),
                )
                if name in offered
            }
        return as_json(offered)

    async def jwks(self, request: Request) -> Response:
        """The public keys with which this organisation signs its assertions."""
        return as_json(self._node.organisation(request.path_params["organisation"]).signer.jwks())

    async def token(self, request: Request) -> Response:
        """The token endpoint (RFC 6749, RFC 7523)."""
        try:
            with self._node.token_rates.counted(network_address(request)) as counting:
                return await self._token(request, counting)
        except Exception as error:
            return oauth_error(error)

    async def _token(self, request: Request, counting: Counting) -> Response:
        organisation = self._node.organisation(request.path_params["organisation"])
        form = await read_form(request)
        address = network_address(request)
        door = organisation.patients
        if door is not None and form.get("grant_type") in door.tokens.grant_types:
            return await self._patient_token(request, organisation, door, form, address)
        try:
            answer = await organisation.server.token(form, caller(request, self._url), counting.by)
        except OAuthError as error:
            if error.requester:
                # Not counted as theirs: others may have what they signed, such as an assertion for another holder.
                await organisation.log.write(_refused_token(organisation, error, address))
            raise
        await organisation.log.write(_token_event(organisation, answer.grant, address))
        given = as_json(answer.json())
        if answer.grant.jkt and (nonce := organisation.server.nonce()):
            given.headers[NONCE_HEADER] = nonce
        return given

    async def revoke(self, request: Request) -> Response:
        """Token revocation (RFC 7009): a client withdraws what a person allowed."""
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            door = organisation.patients
            if door is None:
                raise NotFound("this organisation does not take part in MedMij", code="medmij-off")
            form = await read_form(request)
            passage = self._passage(request)
            await door.chain.write(_received("receive_revocation_request", request, form, passage))
            grant = await door.tokens.revoke(form, passage)
            if grant is not None:
                address = network_address(request)
                event = _patient_event(organisation, door, grant, address, subtype="consent", action="U")
                await organisation.log.write(event)
            return as_json({})
        except Exception as error:
            return oauth_error(error)

    async def _patient_token(
        self,
        request: Request,
        organisation: OrganisationServices,
        door: PatientDoor,
        form: Mapping[str, str],
        address: str,
    ) -> Response:
        """Tokens for a code or refresh token, logged before they leave."""
        passage = self._passage(request)
        received = _received("receive_token_request", request, form, passage)
        await door.chain.write(received)
        try:
            answer = await door.tokens.token(form, passage)
        except OAuthError as error:
            failed = replace(
                received,
                type="send_token_request_error",
                status=error.status,
                error=error.error,
                description=error.kind,
            )
            await door.chain.write(failed)
            raise
        await organisation.log.write(
            _patient_event(organisation, door, answer.grant, address, subtype="token", action="E")
        )
        await door.chain.write(replace(received, type="send_token_response", status=200))
        return as_json(answer.json())

    def _passage(self, request: Request) -> Passage:
        """The ids of a request of a client, and the host names in its certificate.

        Raises `Invalid`, and `InvalidClientError` where nobody shows a certificate, unless such callers are taken
        there (demo).
        """
        if (shown := certificate(request)) is not None:
            return Passage.of(request.headers, shown.hosts)
        if not self._node.guarded_on_front:
            raise InvalidClientError(
                "a client certificate is needed here: this listener asks for none", code="certificate-missing"
            )
        return Passage.of(request.headers)

    async def introspect(self, request: Request) -> Response:
        """Token introspection (RFC 7662), for the organisation's own systems."""
        organisation = self._node.own(request)
        form = await read_form(request)
        if "token" not in form:
            raise Invalid("the form needs `token`", expression="token")
        return as_json(await organisation.server.introspect(form["token"]))

    async def withdraw(self, request: Request) -> Response:
        """Ends all access tokens of one requester."""
        organisation = self._node.own(request)
        asked = dict(pairs := pairs_of(request.url.query))
        if list(asked) != ["requester"] or len(pairs) > 1:
            raise Invalid("one parameter is needed: requester, the URA", expression="requester")
        with naming("requester"):
            requester = Ura(asked["requester"])
        ended = await organisation.server.withdraw(requester)
        await organisation.log.write(_withdrawn(organisation, requester, ended))
        return as_json({"requester": requester, "withdrawn": ended})

    async def presentation_definition(self, request: Request) -> Response:
        """The presentation definition of a scope (Nuts RFC021): which credentials open it."""
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            asked = dict(pairs := pairs_of(request.url.query))
            if len(pairs) > len(asked):
                raise Invalid("a parameter is given twice")
            return as_json(organisation.server.presentation_definition(asked.get("scope", "")))
        except Exception as error:
            return oauth_error(error)


_WORDS = {429: "temporarily_unavailable"}
"""The word for what is no error of OAuth, by status. The token endpoint has none of its own for 429."""


def oauth_error(error: Exception) -> Response:
    """An error as the token endpoint tells it (RFC 6749, section 5.2); what is our own fault as elsewhere."""
    if not isinstance(error, OAuthError) and (not isinstance(error, Outcome) or error.status >= 500):
        return problem(error)
    word = error.error if isinstance(error, OAuthError) else _WORDS.get(error.status, "invalid_request")
    answer = as_json({"error": word, "error_description": error.message}, error.status)
    answer.headers.update(error.headers)
    if error.status == 503:
        answer.headers["Retry-After"] = "5"
    return answer


def _received(kind: ChainType, request: Request, form: Mapping[str, str], passage: Passage) -> ChainEvent:
    grant_type, client = form.get("grant_type", ""), form.get("client_id", "")
    return ChainEvent(
        type=kind,
        session=passage.correlation_id,
        request_id=passage.request_id,
        method=request.method,
        client=client if is_host(client) else "",
        uri=request.url.path,
        grant_type=grant_type,
    )


def _patient_event(
    organisation: OrganisationServices,
    door: PatientDoor,
    grant: PatientGrant,
    address: str,
    *,
    subtype: Literal["token", "consent"],
    action: Literal["E", "U"],
) -> Event:
    """A token given, or what a person allowed withdrawn."""
    return Event(
        subtype=subtype,
        action=action,
        outcome="0",
        requester=grant.client,
        requester_name=door.lists.client_name(grant.client) or "",
        holder=organisation.ura,
        holder_name=organisation.name,
        patient=grant.patient,
        purpose="PATRQT",
        token=grant.jti,
        ground=grant.consent,
        query=f"services {' '.join(sorted(grant.services))}",
        network_address=address,
    )


def _token_event(organisation: OrganisationServices, grant: Grant, address: str) -> Event:
    return Event(
        subtype="token",
        action="E",
        outcome="0",
        requester=grant.requester,
        requester_name=grant.requester_name,
        holder=organisation.ura,
        holder_name=organisation.name,
        user=grant.user,
        purpose=grant.purpose,
        treatment_relation=grant.treatment_relation,
        patient=grant.patient,
        token=grant.jti,
        query=f"scope {grant.scope}",
        network_address=address,
    )


def _withdrawn(organisation: OrganisationServices, requester: str, ended: int) -> Event:
    return Event(
        subtype="token-withdrawn",
        action="E",
        outcome="0",
        requester=requester,
        holder=organisation.ura,
        holder_name=organisation.name,
        query=f"withdraw {ended} tokens",
    )


def _refused_token(organisation: OrganisationServices, error: OAuthError, address: str) -> Event:
    return Event(
        subtype="token",
        action="E",
        outcome="4",
        reason=error.kind,
        explanation=error.message,
        requester=error.requester,
        holder=organisation.ura,
        holder_name=organisation.name,
        network_address=address,
    )
