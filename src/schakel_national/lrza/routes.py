"""The addresses of the directory: its FHIR API, and its token endpoint."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel.fhir import json
from schakel.fhir.json import Resource
from schakel.fhir.search.values import pairs_of
from schakel.kernel.outcomes import (
    Fault,
    Invalid,
    NotAcceptable,
    NotAllowed,
    NotFound,
    NotSupported,
    Outcome,
    TooLarge,
    UnsupportedMedia,
)
from schakel_national.lrza import queries
from schakel_national.lrza.asking import Asking
from schakel_national.lrza.capabilities import statement
from schakel_national.lrza.clients import Caller, Clients
from schakel_national.lrza.register import Register, Stored
from schakel_national.lrza.resources import HELD, OTHERS
from schakel_national.lrza.settings import NAME, Settings, seed, settings
from schakel_national.lrza.writing import Writing, no_delete

_MEDIA = "application/fhir+json"
_FORM = "application/x-www-form-urlencoded"
_MOST = 5_000_000
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]
_log = logging.getLogger(__name__)


def secured(folder: Path) -> bool:
    """Whether it speaks TLS. Raises `Invalid`."""
    return settings(folder).tls


def open_reading(folder: Path) -> bool:
    """Whether one may connect without a certificate. Raises `Invalid`."""
    return settings(folder).open_reading


def application(folder: Path, address: str) -> ASGIApp:
    """The facility, with what it holds in `folder`. Raises `Invalid` when its configuration is not right."""
    told = settings(folder)
    first = seed(folder / told.seed) if told.seed else ()
    register = Register(folder / f"{NAME}.sqlite", first)
    door = _Door(folder, told, register, address)

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        yield
        register.close()

    return Starlette(
        lifespan=running,
        routes=[
            Route("/health/ready", _ready),
            Route("/token", door.token, methods=["POST"]),
            Route("/fhir", door.fhir, methods=_METHODS),
            Route("/fhir/{path:path}", door.fhir, methods=_METHODS),
        ],
    )


async def _ready(request: Request) -> Response:
    """Whether it answers."""
    return PlainTextResponse("ready")


class _Door:
    def __init__(self, folder: Path, told: Settings, register: Register, address: str) -> None:
        self._told = told
        self._base = f"{address}/fhir"
        self._types = (*HELD, *OTHERS) if told.seven_types else HELD
        self._clients = Clients(folder, told, address)
        self._asking = Asking(register, self._base, told.page_size)
        anchors = tuple(folder / one for one in told.signers)
        self._writing = Writing(register, self._base, anchors, told.signed)

    async def token(self, request: Request) -> Response:
        """A token for the holder of the client certificate (RFC 6749 section 4.4)."""
        headers = {"Cache-Control": "no-store"}
        try:
            if _media(request) != _FORM:
                raise Invalid(f"the body must be {_FORM}", code="invalid_request")
            form = dict(parse_qsl((await _body(request)).decode(), keep_blank_values=True))
            return JSONResponse(self._clients.token(request, form), headers=headers)
        except (Outcome, UnicodeDecodeError) as error:
            kind = error.kind if isinstance(error, Outcome) else "invalid_request"
            body = {"error": kind, "error_description": str(error)}
            return JSONResponse(body, 401 if kind == "invalid_client" else 400, headers=headers)

    async def fhir(self, request: Request) -> Response:
        """Any request below the base; every error is an OperationOutcome."""
        try:
            _check_accept(request)
            parts = [part for part in request.path_params.get("path", "").split("/") if part]
            return await self._answer(request, parts)
        except Outcome as outcome:
            return _failed(outcome)
        except Exception:
            _log.exception("the directory failed at a request")
            return _failed(Fault("the directory made a mistake"))

    async def _answer(self, request: Request, parts: list[str]) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if parts == ["metadata"] and method == "GET":
            await self._clients.caller(request, writing=False, open_to_all=True)
            tokens = self._told.tokens is not None
            return _answered(statement(self._base, seven_types=self._told.seven_types, tokens=tokens))
        if not parts:
            if method != "POST":
                raise NotAllowed("at the base there is POST of a transaction", headers={"Allow": "POST"})
            bundle = await _sent(request)
            writing = bundle.get("type") != "batch"
            return await self._bundle(await self._clients.caller(request, writing=writing), bundle)
        writing = method != "GET" and parts[1:] != ["_search"]
        caller = await self._clients.caller(request, writing=writing)
        kind = parts[0]
        if kind not in self._types:
            raise NotFound(
                f"there is no {kind[:60]} here: there are {', '.join(self._types)}", code="type-unknown"
            )
        if method == "GET":
            return await self._read(request, caller, kind, parts[1:])
        return await self._write(request, method, caller, kind, parts[1:])

    async def _read(self, request: Request, caller: Caller, kind: str, rest: list[str]) -> Response:
        pairs = pairs_of(request.url.query)
        asking = self._asking
        match rest:
            case []:
                caller.check(kind, "s")
                return _answered(await run_in_threadpool(asking.search, kind, pairs))
            case ["_history"]:
                caller.check(kind, "s")
                return _answered(await run_in_threadpool(asking.history, kind, pairs))
            case ["_search"] if kind == "Organization":
                caller.check(kind, "s")
                return _answered(await run_in_threadpool(asking.directories, pairs))
            case [logical_id, "_history"]:
                caller.check(kind, "r")
                return _answered(await run_in_threadpool(asking.history, kind, pairs, logical_id))
            case [logical_id] | [logical_id, "_history", _]:
                caller.check(kind, "r")
                for name, value in pairs:
                    if name != "_format":
                        raise NotSupported(f"{name[:60]} is no parameter of a read", expression=name[:60])
                    queries.check_format(value)
                found = await run_in_threadpool(asking.read, kind, logical_id, *rest[2:])
                return _shown(found)
        raise NotFound("there is nothing at this address")

    async def _write(
        self, request: Request, method: str, caller: Caller, kind: str, rest: list[str]
    ) -> Response:
        if method == "DELETE":
            raise no_delete()
        if method == "POST" and rest == ["_search"]:
            caller.check(kind, "s")
            if _media(request) != _FORM:
                raise UnsupportedMedia(f"a search by POST has a body of {_FORM}")
            body = await _body(request)
            if not body.isascii():
                raise Invalid("the form is not percent-encoded ASCII")
            pairs = (*pairs_of(request.url.query), *pairs_of(body.decode()))
            return _answered(await run_in_threadpool(self._asking.search, kind, pairs))
        if kind in OTHERS:
            raise NotAllowed(f"no {kind} is registered here", headers={"Allow": "GET"})
        if request.url.query:
            raise NotSupported("a conditional create or update is not supported here")
        if method == "POST" and not rest:
            if "if-none-exist" in request.headers:
                raise NotSupported("If-None-Exist is not supported here", expression="If-None-Exist")
            sent = await _sent(request)
            made = await run_in_threadpool(self._writing.create, caller, kind, sent)
            location = {"Location": f"{self._base}/{made.name}/_history/{made.version}"}
            return _shown(made, 201, location, minimal=_minimal(request))
        if method == "PUT" and len(rest) == 1:
            match, sent = request.headers.get("if-match", ""), await _sent(request)
            made = await run_in_threadpool(self._writing.update, caller, kind, rest[0], sent, match)
            return _shown(made, minimal=_minimal(request))
        allowed = {0: "GET, POST", 1: "GET, PUT"}.get(len(rest), "GET")
        raise NotAllowed(f"{method} does not exist at this address", headers={"Allow": allowed})

    # -- Bundles ---------------------------------------------------------------------------------------------

    async def _bundle(self, caller: Caller, bundle: Resource) -> Response:
        if bundle.get("resourceType") != "Bundle":
            raise Invalid("a Bundle is needed at the base", expression="resourceType")
        if bundle.get("type") == "transaction":
            stored = await run_in_threadpool(self._writing.transaction, caller, bundle)
            return _answered(json.dump(_responses("transaction-response", [_written(one) for one in stored])))
        if bundle.get("type") == "batch" and self._told.seven_types:
            return _answered(await run_in_threadpool(self._batch, caller, bundle))
        raise NotSupported(
            "the Bundle must be a transaction" + (" or a batch" if self._told.seven_types else ""),
            expression="Bundle.type",
        )

    def _batch(self, caller: Caller, bundle: Resource) -> bytes:
        """The answers to reads and instance histories, which the ministry's client asks in a batch."""
        answers = []
        for entry in bundle.get("entry", ()):
            try:
                body, status = self._asked(caller, entry), b'{"status":"200 OK"}'
                answers.append(b'{"resource":' + body + b',"response":' + status + b"}")
            except Outcome as outcome:
                said = {"status": f"{outcome.status}", "outcome": _outcome(outcome)}
                answers.append(json.dump({"response": said}))
        head = json.dump({"resourceType": "Bundle", "type": "batch-response"})[:-1]
        return head + (b',"entry":[' + b",".join(answers) + b"]}" if answers else b"}")

    def _asked(self, caller: Caller, entry: Any) -> bytes:
        request = entry.get("request", {}) if isinstance(entry, dict) else {}
        if request.get("method") != "GET":
            raise NotSupported("a batch here has GET only", expression="Bundle.entry.request.method")
        url = urlsplit(str(request.get("url", "")))
        parts = [part for part in url.path.split("/") if part]
        if len(parts) < 2 or parts[0] not in self._types:
            raise NotFound("there is nothing at this address")
        caller.check(parts[0], "r")
        pairs = pairs_of(url.query)
        if parts[2:] == ["_history"]:
            return self._asking.history(parts[0], pairs, parts[1])
        if len(parts) == 2:
            return self._asking.read(parts[0], parts[1]).body
        raise NotFound("there is nothing at this address")


def _responses(kind: str, entries: list[Resource]) -> Resource:
    return {"resourceType": "Bundle", "type": kind, **({"entry": entries} if entries else {})}


def _written(one: Stored) -> Resource:
    status = "201 Created" if one.method == "POST" else "200 OK"
    location = f"{one.name}/_history/{one.version}"
    said = {"status": status, "location": location, "etag": one.etag, "lastModified": one.instant}
    return {"resource": json.parse(one.body), "response": said}


def _shown(
    one: Stored, status: int = 200, headers: dict[str, str] | None = None, *, minimal: bool = False
) -> Response:
    told = {"ETag": one.etag, **(headers or {})}
    return Response(b"" if minimal else one.body, status, told, _MEDIA)


def _answered(body: bytes) -> Response:
    return Response(body, media_type=_MEDIA)


def _failed(outcome: Outcome) -> Response:
    return Response(json.dump(_outcome(outcome)), outcome.status, outcome.headers, _MEDIA)


def _outcome(outcome: Outcome) -> Resource:
    where = "" if outcome.place is None else f"Bundle.entry[{outcome.place}]: "
    issues = []
    for one in outcome.issues:
        issue: Resource = {
            "severity": one.severity,
            "code": one.issue,
            "diagnostics": f"{where}{one.message}",
        }
        if one.expression:
            issue["expression"] = [one.expression]
        issues.append(issue)
    return {"resourceType": "OperationOutcome", "issue": issues}


def _minimal(request: Request) -> bool:
    return "return=minimal" in request.headers.get("prefer", "").replace(" ", "")


def _media(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_accept(request: Request) -> None:
    accepted = {
        one.partition(";")[0].strip().lower() for one in request.headers.get("accept", "*/*").split(",")
    }
    if not accepted & {"", "*/*", "application/*", _MEDIA, "application/json"}:
        raise NotAcceptable(f"the answer is {_MEDIA}")


async def _sent(request: Request) -> Resource:
    """The resource in the body. Raises `UnsupportedMedia`, `TooLarge` and `Invalid`."""
    if _media(request) not in (_MEDIA, "application/json"):
        raise UnsupportedMedia(f"the body must be {_MEDIA}")
    return json.parse(await _body(request))


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST:
            raise TooLarge(f"a body has at most {_MOST} bytes")
    return body
