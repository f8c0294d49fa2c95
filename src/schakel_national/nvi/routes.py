"""The NVI's addresses."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schakel_national import configuration, minvws
from schakel_national.nvi.bundles import processed
from schakel_national.nvi.caller import Caller
from schakel_national.nvi.capability import STATEMENT
from schakel_national.nvi.lists import Lists, searchset, written
from schakel_national.nvi.model import BundleResource, Identified, ListResource, Parameters, Plain
from schakel_national.nvi.outcomes import (
    PLAIN,
    Broken,
    Malformed,
    Refused,
    answer,
    outcome,
    said,
)
from schakel_national.nvi.plain import Registrations
from schakel_national.nvi.pseudonyms import DOWN, NO_KEY, OK, STRICT, Checks, Pseudonyms, own_secret
from schakel_national.nvi.register import Register

NAME = "nvi"
_STATES = (OK, STRICT, DOWN, NO_KEY)
_RECIPIENT, _SCOPE = "oin:00000099000000001000", "nationale-verwijsindex"
_MOST_BYTES = 1_000_000

M = TypeVar("M", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]


class Told:
    """What `nvi.toml` says."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        checks = Checks(str(table.get("recipient", _RECIPIENT)), str(table.get("scope", _SCOPE)))
        self.checks = checks if table.get("checked", True) else None
        self.state = str(table.get("crypto", OK))
        if self.state not in _STATES:
            raise ValueError(f"crypto is one of {', '.join(_STATES)}")
        self.verifier: Mapping[str, Any] = table.get("verifier", {})


def application(folder: Path, address: str) -> ASGIApp:
    """The facility at `address`, behind the ministry's verifier. Raises `Invalid` when its configuration is wrong."""
    file = folder / f"{NAME}.toml"
    known = configuration.read(file, Told) if file.exists() else Told({})
    inner = behind(folder, str(known.verifier.get("audience", address)), known)
    return minvws.verified(inner, folder, address, NAME, known.verifier)


def behind(folder: Path, audience: str, known: Told) -> ASGIApp:
    """The NVI without a verifier: it believes the `x-gf-*` headers, so nobody else may reach it."""
    pseudonyms = Pseudonyms(
        configuration.own_key(folder, NAME), own_secret(folder / f"{NAME}.secret"), known.checks, known.state
    )
    handlers = _Handlers(Register(folder / f"{NAME}.sqlite"), pseudonyms, audience)
    fhir, plain = handlers.fhir, handlers.plain
    return _Traced(
        Starlette(
            routes=[
                Route("/", handlers.root),
                Route("/version.json", handlers.version),
                Route("/health", handlers.health),
                Route("/health/ready", handlers.ready),
                Route("/fhir/metadata", fhir(handlers.metadata)),
                Route("/fhir", fhir(handlers.bundle), methods=["POST"]),
                Route("/fhir/List/{id}", fhir(handlers.read), methods=["GET"]),
                Route("/fhir/List/{id}", fhir(handlers.delete), methods=["DELETE"]),
                Route("/fhir/List", fhir(handlers.search), methods=["GET"]),
                Route("/fhir/List", fhir(handlers.create), methods=["POST"]),
                Route("/fhir/List", fhir(handlers.delete_where), methods=["DELETE"]),
                Route("/registrations", plain(handlers.register), methods=["POST"]),
                Route("/registrations", plain(handlers.registrations), methods=["GET"]),
                Route("/registrations", plain(handlers.withdraw), methods=["DELETE"]),
                Route("/localize", plain(handlers.localise), methods=["POST"]),
            ],
            exception_handlers={HTTPException: _unknown},
        )
    )


class _Handlers:
    def __init__(self, register: Register, pseudonyms: Pseudonyms, audience: str) -> None:
        self._lists = Lists(register, pseudonyms)
        self._registrations = Registrations(register, pseudonyms)
        self._pseudonyms = pseudonyms
        self._audience = audience

    def fhir(self, handler: Handler) -> Handler:
        """The handler, with its errors told as OperationOutcome."""

        async def told(request: Request) -> Response:
            try:
                return await handler(request)
            except Refused as error:
                return said(error.status, error.code, error.text)
            except Malformed as error:
                return answer(outcome(*error.issues()), 422)
            except Broken:
                return _broken()

        return told

    def plain(self, handler: Handler) -> Handler:
        """The handler, with its errors told as a bare text."""

        async def told(request: Request) -> Response:
            try:
                return await handler(request)
            except Refused as error:
                return answer(error.text, error.status, PLAIN)
            except Malformed as error:
                return answer(error.errors, 422, PLAIN)
            except Broken:
                return _broken()

        return told

    async def root(self, request: Request) -> Response:
        """What this is."""
        return PlainTextResponse("National Referral Index (stand-in)\n")

    async def version(self, request: Request) -> Response:
        """There is no version to tell."""
        return PlainTextResponse("Version info could not be loaded.", 404)

    async def ready(self, request: Request) -> Response:
        """Whether it serves."""
        return PlainTextResponse("ready")

    async def health(self, request: Request) -> Response:
        """Whether its parts work."""
        crypto = "error" if self._pseudonyms.state == DOWN else "ok"
        parts = {"database": "ok", "crypto_service_api": crypto}
        return answer({"status": crypto, "components": parts}, 200 if crypto == "ok" else 503, PLAIN)

    async def metadata(self, request: Request) -> Response:
        """The CapabilityStatement."""
        self._caller(request)
        return answer(STATEMENT)

    async def bundle(self, request: Request) -> Response:
        """A transaction."""
        caller = self._caller(request)
        return answer(processed(self._lists, caller, await _body(request, BundleResource)), kind=PLAIN)

    async def create(self, request: Request) -> Response:
        """A new registration."""
        caller = self._caller(request)
        return answer(written(self._lists.create(caller, await _body(request, ListResource))), 201)

    async def read(self, request: Request) -> Response:
        """One registration."""
        caller = self._caller(request)
        return answer(written(self._lists.read(caller, _id(request))))

    async def search(self, request: Request) -> Response:
        """Registrations by patient or source."""
        caller = self._caller(request)
        return answer(
            searchset(self._lists.search(caller, Parameters.parse(request.query_params.multi_items())))
        )

    async def delete(self, request: Request) -> Response:
        """Takes one away; the real one says 201."""
        caller, identifier = self._caller(request), _id(request)
        self._lists.delete(caller, identifier)
        return said(201, "informational", f"Resource {identifier} has been deleted successfully")

    async def delete_where(self, request: Request) -> Response:
        """Takes what matches away, and all when nothing is asked for."""
        caller = self._caller(request)
        self._lists.delete_where(caller, Parameters.parse(request.query_params.multi_items()))
        return said(201, "informational", "Resources have been deleted successfully")

    async def register(self, request: Request) -> Response:
        """A new registration."""
        caller = self._caller(request)
        return answer(self._registrations.create(caller, await _body(request, Plain)), kind=PLAIN)

    async def registrations(self, request: Request) -> Response:
        """The caller's own about a patient."""
        caller = self._caller(request)
        asked = _read(dict(request.query_params.multi_items()), Plain, "query")
        return answer(self._registrations.own(caller, asked), kind=PLAIN)

    async def withdraw(self, request: Request) -> Response:
        """Takes the caller's own of its source away."""
        caller = self._caller(request)
        self._registrations.delete(caller, _read(dict(request.query_params.multi_items()), Plain, "query"))
        return Response(status_code=204)

    async def localise(self, request: Request) -> Response:
        """Those of all organisations about a patient."""
        caller = self._caller(request)
        return answer(self._registrations.localise(caller, await _body(request, Plain)), kind=PLAIN)

    def _caller(self, request: Request) -> Caller:
        return Caller.read(request.headers, self._audience)


class _Traced:
    """The application, with an `X-Request-ID` on every answer and the client's `X-Client-Trace-ID` sent back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        traces = [one for one in scope["headers"] if one[0] == b"x-client-trace-id"]

        async def traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = (b"x-request-id", str(uuid.uuid4()).encode())
                message = {**message, "headers": [*message.get("headers", ()), own, *traces]}
            await send(message)

        await self._app(scope, receive, traced)


async def _body(request: Request, model: type[M]) -> M:
    """The body as such. Raises `Malformed` and `HTTPException`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise HTTPException(413)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != PLAIN and not (kind.startswith("application/") and kind.endswith("+json")):
        return _read(body.decode(errors="replace"), model, "body")
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        wrong = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise Malformed([wrong]) from error
    except (UnicodeDecodeError, RecursionError) as error:
        wrong = {"type": "json_invalid", "loc": ("body",), "msg": "JSON decode error", "input": {}}
        raise Malformed([wrong]) from error
    return _read(value, model, "body")


def _read(value: object, model: type[M], where: str) -> M:
    try:
        return model.model_validate(value, from_attributes=True)
    except ValidationError as error:
        raise Malformed.of(where, error) from error


def _id(request: Request) -> str:
    return str(_read(request.path_params, Identified, "path").id)


def _broken() -> Response:
    return answer({"error": "Internal server error"}, 500, PLAIN)


async def _unknown(request: Request, error: Exception) -> Response:
    """A path or method that is not here."""
    assert isinstance(error, HTTPException)  # it is registered for these
    made = answer({"detail": error.detail}, error.status_code, PLAIN)
    for name, value in (error.headers or {}).items():
        made.headers[name] = ", ".join(one for one in value.split(", ") if one != "HEAD")
    return made
