"""The DID document of each organisation: where others find its public key."""

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
        return as_json(self._node.organisation(request.path_params["organisation"]).wallet.document())
