"""The FHIR doors: internal for the organisation's own EHR, guarded for others."""

from __future__ import annotations

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schakel.fhir.definitions import Version
from schakel.gateway import Call
from schakel.http.errors import fhir_error
from schakel.http.negotiation import render, wanted
from schakel.http.node import Node
from schakel.http.reading import read_limited
from schakel.kernel.outcomes import NotFound
from schakel.server import Request

_FORM_BYTES = 64_000
"""A body at the guarded door can only be the form of a search."""


class Fhir:
    """Handlers of FHIR requests."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._versions: dict[str, Version] = {version: version for version in node.versions}

    def _version(self, request: HttpRequest) -> Version:
        version = self._versions.get(request.path_params["version"])
        if version is None:
            raise NotFound("this FHIR version is not served here", code="fhir-version-unknown")
        return version

    async def _fhir_request(self, request: HttpRequest, version: Version, most: int) -> Request:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in request.scope["headers"]}
        has_body = "content-length" in headers or "transfer-encoding" in headers
        return Request(
            version,
            request.method,
            request.path_params.get("path", "").strip("/"),
            request.scope["query_string"].decode("latin-1"),
            headers,
            await read_limited(request, most) if has_body else b"",
        )

    async def internal(self, request: HttpRequest) -> Response:
        """The organisation's own FHIR API."""
        version: Version = "stu3"
        try:
            organisation = self._node.own(request)
            version = self._version(request)
            base = f"{self._node.internal_url}/{organisation.slug}/fhir/{version}"
            fhir = await self._fhir_request(request, version, self._node.max_body)
            form = wanted(request.headers.get("accept", ""), _parameters(fhir), version)
            answer = await organisation.service.answer(fhir, base, "internal")
            return render(answer, form, version)
        except Exception as error:
            return fhir_error(request, error, version)

    async def guarded(self, request: HttpRequest) -> Response:
        """FHIR through the gateway."""
        version: Version = "stu3"
        try:
            slug = request.path_params["organisation"]
            organisation = self._node.organisation(slug)
            version = self._version(request)
            base = f"{self._node.public_url}/{slug}/fhir/{version}"
            fhir = await self._fhir_request(request, version, _FORM_BYTES)
            form = wanted(request.headers.get("accept", ""), _parameters(fhir), version)
            call = Call(
                fhir,
                request.headers.get("authorization"),
                request.client.host if request.client else "",
                request.headers.get("x-request-id", "")[:128],
            )
            return render(await organisation.gateway.answer(call, base), form, version)
        except Exception as error:
            return fhir_error(request, error, version)


def _parameters(fhir: Request) -> str:
    """Where the parameters of a request stand: the form of a search by POST, the query of any other."""
    return fhir.body.decode("latin-1") if fhir.path.endswith("/_search") else fhir.query
