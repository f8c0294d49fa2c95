"""The authorisation server's addresses: metadata, keys, token, introspection."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from schakel.generic.identity import Grant, OAuthError
from schakel.generic.logging import Event
from schakel.http.errors import problem
from schakel.http.node import Node, OrganisationServices
from schakel.http.reading import as_json, read_form
from schakel.kernel.outcomes import Invalid, Outcome


class OAuth:
    """Handlers of the authorisation servers of this node, one for each organisation."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def metadata(self, request: Request) -> Response:
        """Authorisation server metadata (RFC 8414)."""
        return as_json(self._node.organisation(request.path_params["organisation"]).server.metadata())

    async def jwks(self, request: Request) -> Response:
        """The public keys with which this organisation signs its assertions."""
        return as_json(self._node.organisation(request.path_params["organisation"]).signer.jwks())

    async def token(self, request: Request) -> Response:
        """The token endpoint (RFC 6749, RFC 7523)."""
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            form = await read_form(request)
            address = request.client.host if request.client else ""
            try:
                answer = await organisation.server.token(form)
            except OAuthError as error:
                if error.requester:
                    await organisation.log.write(_refused_token(organisation, error, address))
                raise
            await organisation.log.write(_token_event(organisation, answer.grant, address))
            return as_json(answer.json())
        except OAuthError as error:
            body = {"error": error.error, "error_description": error.message}
            return as_json(body, error.status)
        except Outcome as outcome:
            if outcome.status >= 500:
                return problem(outcome)
            return as_json({"error": "invalid_request", "error_description": outcome.message}, outcome.status)
        except Exception as error:
            return problem(error)

    async def introspect(self, request: Request) -> Response:
        """Token introspection (RFC 7662), for the organisation's own systems."""
        organisation = self._node.own(request)
        form = await read_form(request)
        if "token" not in form:
            raise Invalid("the form needs `token`", expression="token")
        return as_json(await organisation.server.introspect(form["token"]))


def _token_event(organisation: OrganisationServices, grant: Grant, address: str) -> Event:
    return Event(
        subtype="token",
        action="E",
        outcome="0",
        requester=grant.requester,
        holder=organisation.ura,
        holder_name=organisation.name,
        user=grant.user,
        purpose=grant.purpose,
        treatment_relation=grant.treatment_relation,
        token=grant.jti,
        query=f"scope {grant.scope}",
        network_address=address,
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
