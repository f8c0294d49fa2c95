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
    """Asks tokens for one organisation. Metadata are looked up only where they can change what is sent."""

    def __init__(self, peers: Peers, forms: TokenForms) -> None:
        self._peers = peers
        self._forms = forms
        self._known: dict[str, tuple[float, AskedServer]] = {}

    async def token(self, ura: str, issuer: str, endpoint: str, errand: Errand, metadata: str = "") -> str:
        """A token of holder `ura`, whose server is `issuer` with its token endpoint as the directory has it;
        `metadata` is where that says they are, '' where RFC 8414 says.

        Raises `PeerRefused`, `Upstream`, and `Refused` that names the credential we lack.
        """
        if not self._forms.presents:
            return await self._peers.token(ura, endpoint, self._forms.asserted(issuer, errand))

        async def definition(address: str, scope: str) -> Definition:
            joint = "&" if "?" in address else "?"
            members = await self._peers.document(ura, f"{address}{joint}scope={quote(scope)}")
            try:
                return Definition.read(members)
            except Invalid as error:
                raise Upstream(f"its presentation definition cannot be used: {error.message}") from error

        form = await self._forms.form(await self._server(ura, issuer, metadata), errand, definition)
        return await self._peers.token(ura, endpoint, form)

    async def _server(self, ura: str, issuer: str, metadata: str) -> AskedServer:
        """What the server offers. Raises `Upstream`, also when it says that it is another (RFC 8414, section 3.3)."""
        until, server = self._known.get(issuer, (0.0, None))
        if server is not None and time.monotonic() < until:
            return server
        parts = urlsplit(issuer)
        address = (
            metadata or f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
        )
        server = AskedServer.read(await self._peers.document(ura, address))
        if server.issuer != issuer:
            raise Upstream("the metadata of its authorisation server name another issuer")
        if len(self._known) >= _MOST_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[issuer] = time.monotonic() + _KNOWN_SECONDS, server
        return server
