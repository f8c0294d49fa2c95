"""The DID document of each organisation and of the service provider: where others find their public keys."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.node import Node
from schakel.http.reading import as_json


class Did:
    """Handler of `did.json`, which is the same at every listener."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def document(self, request: Request) -> Response:
        """The DID document (did:web; DID Core) with the key that signs assertions and presentations."""
        slug = request.path_params["organisation"]
        wallet = self._node.providers.get(slug) or self._node.organisation(slug).wallet
        return as_json(wallet.document())
