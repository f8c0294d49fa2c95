"""The FHIR doors: internal for the organisation's own EHR, guarded for others."""

from __future__ import annotations

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schakel.fhir.definitions import Version
from schakel.gateway import Call
from schakel.http import binary
from schakel.http.errors import fhir_error
from schakel.http.negotiation import Format, accepted, render, wanted, without_pretty
from schakel.http.node import Node
from schakel.http.peer import caller
from schakel.http.reading import read_limited
from schakel.kernel.outcomes import NotFound, TooCostly
from schakel.server import Answer, Request

_FORM_BYTES = 64_000
"""The most in the form of a search at the guarded door."""


class Fhir:
    """Handlers of FHIR requests; `url` is the address of their listener as others see it."""

    def __init__(self, node: Node, url: str) -> None:
        self._node = node
        self._url = url
        self._versions: dict[str, Version] = {version: version for version in node.versions}

    async def internal(self, request: HttpRequest) -> Response:
        """The organisation's own FHIR API."""
        try:
            organisation = self._node.own(request)
            version = self._version(request)
            base = f"{self._url}/{organisation.slug}/fhir/{version}"
            asked, form = await self._asked(request, version, self._node.max_body, "limits.body")
            answer = await organisation.service.answer(binary.received(asked), base, "internal")
            return self._given(answer, form, version)
        except Exception as error:
            return fhir_error(request, error)

    async def guarded(self, request: HttpRequest) -> Response:
        """FHIR through the gateway."""
        try:
            slug = request.path_params["organisation"]
            organisation = self._node.organisation(slug)
            version = self._version(request)
            base = f"{self._url}/{slug}/fhir/{version}"
            form_only = request.method in ("GET", "HEAD") or request.url.path.endswith("/_search")
            most, setting = (
                (_FORM_BYTES, "") if form_only else (self._node.max_guarded_body, "limits.guarded_body")
            )
            asked, form = await self._asked(request, version, most, setting)
            call = Call(asked, caller(request, self._url))
            return self._given(await organisation.gateway.answer(call, base), form, version)
        except Exception as error:
            return fhir_error(request, error)

    def _version(self, request: HttpRequest) -> Version:
        version = self._versions.get(request.path_params["version"])
        if version is None:
            raise NotFound("this FHIR version is not served here", code="fhir-version-unknown")
        return version

    async def _asked(
        self, request: HttpRequest, version: Version, most: int, setting: str = ""
    ) -> tuple[Request, Format | None]:
        """The request, its body unpacked, and the format of its answer: None for the content of a Binary.

        A HEAD is a GET whose answer loses its body on the way out. How the answer is written is no business of
        those behind: `_pretty` ends here, and `_format` was read.
        """
        headers: dict[str, str] = {}
        for name, value in ((k.decode("latin-1"), v.decode("latin-1")) for k, v in request.scope["headers"]):
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = b""
        if "content-length" in headers or "transfer-encoding" in headers:
            body = await read_limited(request, most, setting)
            headers.pop("content-encoding", None)
        path = request.path_params.get("path", "")
        path = path.removesuffix("/") if path != "/" else path
        query = shown = request.scope["query_string"].decode("latin-1")
        if path.endswith("_search"):
            text = body.decode("latin-1")
            shown, body = f"{query}&{text}", without_pretty(text).encode("latin-1")
        if shown.count("&") >= self._node.max_parameters:
            most = self._node.max_parameters
            raise TooCostly(f"a query may have at most {most} parameters (setting limits.parameters)")
        asked = Request(
            version,
            "GET" if request.method == "HEAD" else request.method,
            path,
            without_pretty(query),
            headers,
            body,
        )
        accept = accepted(request)
        if binary.asks_content(asked, accept):
            return asked, None
        return asked, wanted(accept, shown, version)

    @staticmethod
    def _given(answer: Answer, form: Format | None, version: Version) -> Response:
        if form is None and (bare := binary.content(version, answer)) is not None:
            return bare
        return render(answer, form or Format(), version)
