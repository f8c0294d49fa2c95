"""Directories of our own organisations' entries, for others; and the doors of the ministry's update client.

Source: the ministry's guide on generic functions (administration directory: ITI-90-NL, ITI-91-NL), and the recorded
requests of its update client (`gfmodules-mcsd-update-client` of June 2026).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote_plus

import structlog
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schakel.fhir.moments import interval
from schakel.fhir.search import encode, pairs_of
from schakel.generic.addressing.received import Received
from schakel.generic.identity.errors import InvalidClientError, InvalidRequestError, UnsupportedGrantTypeError
from schakel.http.errors import fhir_error
from schakel.http.fhir import Fhir
from schakel.http.node import Node, UpdateClientDoors
from schakel.http.oauth import oauth_error
from schakel.http.peer import sure_address, within
from schakel.http.reading import as_json, read_form
from schakel.kernel.outcomes import Forbidden, Invalid, NotFound
from schakel.server import FhirService, Request

_log = structlog.get_logger("schakel.directory")
_CALLER = "update-client"


class Administration(Fhir):
    """The administration directory of an organisation, for whoever shows a certificate."""

    async def directory(self, request: HttpRequest) -> Response:
        """The organisation's own entries: read, search and history of a type."""
        try:
            slug = self._node.organisation(request.path_params["organisation"]).slug
            service = _of(self._node.administration.get(slug))
            asked, form = await self._asked(request, "r4", self._node.max_guarded_body, "limits.guarded_body")
            base = f"{self._url}/{slug}/administration/fhir/r4"
            return self._given(await service.answer(asked, base, f"administration:{slug}"), form, "r4")
        except Exception as error:
            return fhir_error(request, error, "r4")


class UpdateClient(Fhir):
    """What the ministry's update client reads and writes; `doors` say who may come."""

    def __init__(self, node: Node, url: str, doors: UpdateClientDoors) -> None:
        super().__init__(node, url)
        self._doors = doors

    async def own(self, request: HttpRequest) -> Response:
        """The organisation's own entries, for the ministry's update client."""
        try:
            slug = self._node.organisation(request.path_params["organisation"]).slug
            service = _of(self._doors.directories.get(slug))
            base = f"{self._url}/{slug}/administration/update-client/fhir/r4"
            self._known(request)
            return await self._answer(request, service, base)
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def root(self, request: HttpRequest) -> Response:
        """The directories of this node, as a root directory names them."""
        try:
            self._known(request)
            return await self._answer(request, self._doors.root, f"{self._url}/directory/root/fhir/r4")
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def query(self, request: HttpRequest) -> Response:
        """The query directory, for the ministry's update client to write."""
        try:
            if (received := self._doors.query) is None:
                raise NotFound("the query directory is not written here (setting addressing.update_client)")
            self._writer(request)
            base = f"{self._url}/directory/update-client/fhir/r4"
            response = await self._answer(request, received, base)
            bundle = request.method == "POST" and not request.path_params.get("path")  # No search is one.
            if bundle and response.status_code == 200:
                await received.in_step()
            return response
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def token(self, request: HttpRequest) -> Response:
        """A token for the ministry's update client (RFC 6749, section 4.4)."""
        try:
            if (tokens := self._doors.tokens) is None:
                raise NotFound("no tokens are given here", code="tokens-off")
            form = await read_form(request)
            if (kind := form.get("grant_type", "")) != "client_credentials":
                raise UnsupportedGrantTypeError(
                    f"grant_type {kind[:40]!r} is not taken here: client_credentials is", code="grant-unknown"
                )
            client, secret = _client(request.headers.get("authorization", ""), form)
            if not tokens.known(client, secret):
                _log.warning("update-client-refused")
                raise InvalidClientError(
                    "client_id and client_secret are not those of the client here", code="client-unknown"
                )
            token = {
                "access_token": tokens.give(),
                "token_type": "Bearer",
                "expires_in": tokens.seconds,
            }
            return as_json(token)
        except Exception as error:
            return oauth_error(error)

    def _known(self, request: HttpRequest) -> None:
        """Raises `Unauthenticated` for who needs a token and has none; its body is not read then. Everybody may read
        the CapabilityStatement."""
        if self._doors.tokens is not None and request.path_params.get("path", "").strip("/") != "metadata":
            self._doors.tokens.check(request.headers.get("authorization", ""))

    def _writer(self, request: HttpRequest) -> None:
        """As `_known`, at the query directory: an address of the setting writers needs no token. Where nobody does,
        raises `Forbidden` for any other."""
        writers = self._doors.writers
        if writers and within(sure_address(request), writers):
            return
        self._known(request)
        if (
            writers
            and self._doors.tokens is None
            and request.path_params.get("path", "").strip("/") != "metadata"
        ):
            raise Forbidden(
                "the query directory is written from the addresses in the setting addressing.update_client.writers "
                "alone: this request is not from one of those, or came through a proxy that hides where it is from",
                code="writer-unknown",
            )

    async def _answer(self, request: HttpRequest, service: FhirService | Received, base: str) -> Response:
        asked, form = await self._asked(request, "r4", self._node.max_body, "limits.body")
        return self._given(await service.answer(self._earlier(asked), base, _CALLER), form, "r4")

    def _earlier(self, asked: Request) -> Request:
        """A question for changes since a moment, as one since a while before it: see the setting overlap_seconds."""
        pairs = pairs_of(asked.query) if asked.path.endswith("_history") else ()
        since = dict(pairs).get("_since")
        if since is None:
            return asked
        try:
            moment = interval(since.replace(" ", "+"))[0] - self._doors.overlap
        except (Invalid, OverflowError):
            return asked  # It is refused by name where histories are read.
        changed = ((name, moment.isoformat() if name == "_since" else value) for name, value in pairs)
        return replace(asked, query=encode(tuple(changed)))


def _client(header: str, form: Mapping[str, str]) -> tuple[str, str]:
    """The id and the secret of a client, in its header or in the form (RFC 6749, section 2.3.1). Raises
    `InvalidClientError` for a header that cannot be read, `InvalidRequestError` for both at once."""
    scheme, _, told = header.partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    if "client_secret" in form:
        raise InvalidRequestError(
            "the client proves itself in the header Authorization or in the form, not in both",
            code="client-twice",
            expression="client_secret",
        )
    try:
        client, _, secret = b64decode(told.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise InvalidClientError("the header Authorization cannot be read", code="client-unknown") from None
    return unquote_plus(client), unquote_plus(secret)


def _of(service: FhirService | None) -> FhirService:
    if service is None:
        raise NotFound("this organisation has no directory of entries (setting entries)", code="entries-off")
    return service
