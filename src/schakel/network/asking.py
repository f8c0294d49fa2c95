"""A token of a holder, asked in the way its authorisation server offers."""

from __future__ import annotations

import time
from urllib.parse import quote, urlsplit

from schakel.generic.identity.credentials import Definition
from schakel.generic.identity.signer import AskedServer, Errand, TokenForms
from schakel.kernel.outcomes import Invalid, Upstream
from schakel.network.peers import Peers

_KNOWN_SECONDS = 300.0
"""How long the metadata of a server are believed without looking again."""

_MOST_KNOWN = 10_000


class TokenAsker:
    """Asks tokens for one organisation. Metadata are looked up only where they can change what is sent or where to."""

    def __init__(self, peers: Peers, forms: TokenForms) -> None:
        self._peers = peers
        self._forms = forms
        self._known: dict[tuple[str, str], tuple[float, AskedServer]] = {}

    async def token(self, ura: str, issuer: str, endpoint: str, errand: Errand, metadata: str = "") -> str:
        """A token of holder `ura`, whose server is `issuer`; `endpoint` is its token endpoint, '' when its metadata
        say it (for us, who show a certificate or not: RFC 8705, section 5), and `metadata` where they are, '' for where
        RFC 8414 says. The grant is one that they offer.

        Raises `PeerRefused`, `Upstream`, and `Refused` that names the credential we lack.
        """
        if not issuer:
            raise Upstream("the directory names no authorisation server of this holder", code="no-issuer")
        if endpoint and not self._forms.presents:
            return await self._peers.token(ura, endpoint, self._forms.asserted(issuer, errand))

        async def definition(address: str, scope: str) -> Definition:
            joint = "&" if "?" in address else "?"
            members = await self._peers.document(ura, f"{address}{joint}scope={quote(scope)}")
            try:
                return Definition.read(members)
            except Invalid as error:
                raise Upstream(f"its presentation definition cannot be used: {error.message}") from error

        server = await self._server(ura, issuer, metadata)
        form = await self._forms.form(server, errand, definition)
        return await self._peers.token(ura, endpoint or server.token_endpoint, form)

    async def _server(self, ura: str, issuer: str, metadata: str) -> AskedServer:
        """What the server offers. Raises `Upstream`, also when it says that it is another (RFC 8414, section 3.3)."""
        parts = urlsplit(issuer)
        path = f"/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
        address = metadata or f"{parts.scheme}://{parts.netloc}{path}"
        until, server = self._known.get((issuer, address), (0.0, None))
        if server is not None and time.monotonic() < until:
            return server
        told = await self._peers.document(ura, address)
        server = AskedServer.read(told, with_certificate=self._peers.shows_certificate)
        if server.issuer != issuer:
            raise Upstream("the metadata of its authorisation server name another issuer")
        if len(self._known) >= _MOST_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[issuer, address] = time.monotonic() + _KNOWN_SECONDS, server
        return server
