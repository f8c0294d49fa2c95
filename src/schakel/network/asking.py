"""A token of a holder, asked in the way its authorisation server offers.

Source: RFC 8414 (metadata), RFC 9449 (tokens bound to a key), RFC 8707 and RFC 9728 section 4 (what a token is for).
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from urllib.parse import quote, urlsplit

from schakel.generic.identity.credentials import Definition
from schakel.generic.identity.signer import AskedServer, Errand, TokenForms
from schakel.kernel.outcomes import Invalid, Upstream
from schakel.network.peers import NonceWantedError, Peers, same_base
from schakel.network.proving import AccessToken

_KNOWN_SECONDS = 300.0
"""How long the metadata of a server are believed without looking again."""

_OPTIONAL_SECONDS = 2.0
"""How long is waited for metadata that can only make a token better."""

_MOST_KNOWN = 10_000


class TokenAsker:
    """Asks tokens for one organisation. Metadata are looked up only where they can change what is sent or where to."""

    def __init__(self, peers: Peers, forms: TokenForms) -> None:
        self._peers = peers
        self._forms = forms
        self._known: dict[tuple[str, str], tuple[float, AskedServer | None]] = {}

    async def token(
        self, ura: str, issuer: str, endpoint: str, errand: Errand, metadata: str = "", resource: str = ""
    ) -> AccessToken:
        """A token of holder `ura`, whose server is `issuer`; `endpoint` is its token endpoint, '' when its metadata
        say it (for us, who show a certificate or not: RFC 8705, section 5), and `metadata` where they are, '' for where
        RFC 8414 says. `resource` is the FHIR base that will be asked with it. The grant is one that they offer; the
        token is bound to our key and asked for that base when they offer that.

        Raises `PeerRefused`, `Upstream`, and `Refused` that names the credential we lack.
        """
        if not issuer:
            raise Upstream("the directory names no authorisation server of this holder", code="no-issuer")
        plain = bool(endpoint) and not self._forms.presents
        server: AskedServer | None = None
        if not plain:
            server = await self._server(ura, issuer, metadata)
        elif self._peers.proves:
            server = await self._server_if_there(ura, issuer, metadata)
        at = endpoint or (server.token_endpoint if server else "")
        wanted = _resource(server, resource)
        prove = server is not None and server.dpop and self._peers.proves

        async def form() -> dict[str, str]:
            if plain or server is None:
                return {**self._forms.asserted(issuer, errand), **wanted}
            return {**await self._forms.form(server, errand, partial(self._definition, ura)), **wanted}

        try:
            return await self._peers.token(ura, at, await form(), prove=prove)
        except NonceWantedError:
            return await self._peers.token(ura, at, await form(), prove=prove)

    async def _definition(self, ura: str, address: str, scope: str) -> Definition:
        joint = "&" if "?" in address else "?"
        members = await self._peers.document(ura, f"{address}{joint}scope={quote(scope)}")
        try:
            return Definition.read(members)
        except Invalid as error:
            raise Upstream(f"its presentation definition cannot be used: {error.message}") from error

    async def _server_if_there(self, ura: str, issuer: str, metadata: str) -> AskedServer | None:
        """What the server offers, None when it does not tell that: not asked again for as long as what it tells."""
        key = issuer, _address(issuer, metadata)
        until, server = self._known.get(key, (0.0, None))
        if time.monotonic() < until:
            return server
        try:
            async with asyncio.timeout(_OPTIONAL_SECONDS):
                return await self._server(ura, issuer, metadata)
        except (Upstream, TimeoutError):
            self._keep(key, None)
            return None

    async def _server(self, ura: str, issuer: str, metadata: str) -> AskedServer:
        """What the server offers. Raises `Upstream`, also when it says that it is another (RFC 8414, section 3.3)."""
        address = _address(issuer, metadata)
        until, server = self._known.get((issuer, address), (0.0, None))
        if server is not None and time.monotonic() < until:
            return server
        told = await self._peers.document(ura, address)
        server = AskedServer.read(told, with_certificate=self._peers.shows_certificate)
        if server.issuer != issuer:
            raise Upstream("the metadata of its authorisation server name another issuer")
        self._keep((issuer, address), server)
        return server

    def _keep(self, key: tuple[str, str], server: AskedServer | None) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[key] = time.monotonic() + _KNOWN_SECONDS, server


def _address(issuer: str, metadata: str) -> str:
    parts = urlsplit(issuer)
    path = f"/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
    return metadata or f"{parts.scheme}://{parts.netloc}{path}"


def _resource(server: AskedServer | None, base: str) -> dict[str, str]:
    """The form field that says what the token is for, where the server names what it gives tokens for. Raises
    `Upstream` when `base` is not among that: then somebody says of another's server that it is theirs."""
    if server is None or not server.resources or not base:
        return {}
    named = next((one for one in server.resources if same_base(f"{base}/", one)), None)
    if named is None:
        raise Upstream(
            "its authorisation server gives no tokens for the address that the directory has of this holder",
            code="peer-resource",
        )
    return {"resource": named}
