"""An API that meets every requirement a machine can see, and breaks the one that a test names.

async with running_api("banner") as api:
    result = await check_api(api.options())
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from ssl import SSLContext
from typing import Any

import orjson
from aiohttp import web

from schakel.conformance.api_requirements import ApiOptions, Standard
from schakel.fhir import definitions, json, xml
from schakel.kernel.clock import now

JSON, XML = "application/fhir+json", "application/fhir+xml"
_ENGLISH = "This is the documentation of the API, with the use cases and what it is for, as it was written for them. "
_DUTCH = "Dit is de documentatie van de API, met het gebruik en wat die voor u is, zoals die voor hen is geschreven. "


@dataclass
class ApiPeer:
    """The API, where it is, what it breaks, and the Basics that were written."""

    faults: frozenset[str]
    root: str = ""
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    looked: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    posted: int = 0

    def has(self, fault: str) -> bool:
        """Whether this is broken."""
        return fault in self.faults

    def options(self, **others: Any) -> ApiOptions:
        """What a tester asks of it: everything, with permission to write."""
        given: dict[str, Any] = {
            "url": f"{self.root}/api",
            "standard": Standard.FULL,
            "docs": f"{self.root}/docs",
            "openapi": f"{self.root}/openapi.json",
            "oauth": f"{self.root}/issuer",
            "writes": True,
            "seconds": 5.0,
        }
        return ApiOptions(**{**given, **others})

    def statement(self) -> dict[str, Any]:
        """The CapabilityStatement."""
        related: dict[str, Any] = {"searchParam": [{"name": "subject", "type": "reference"}]}
        related = {} if self.has("nothing is related") else related
        reads = [{"code": "read"}, {"code": "search-type"}]
        writes = [{"code": code} for code in ("create", "update", "patch", "delete")]
        operation: dict[str, Any] = {"name": "tell", "definition": "OperationDefinition/tell"}
        operation = {"name": "tell"} if self.has("an operation without a definition") else operation
        body: dict[str, Any] = {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": now().isoformat(timespec="seconds"),
            "kind": "instance",
            "description": "A peer. " * 300,
            "fhirVersion": "4.0.1",
            "format": ["json", "xml"],
            "rest": [
                {
                    "mode": "server",
                    "resource": [
                        {"type": "Basic", "interaction": [*reads, *writes], **related},
                        {"type": "Observation", "interaction": reads, **related},
                    ],
                    "operation": [operation],
                }
            ],
        }
        if self.has("no resources"):
            body["rest"] = [{"mode": "server"}]
        if self.has("get changes"):
            body["description"] += str(self.looked)
        return body

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        shown: dict[str, Any] = {} if self.has("no examples") else {"example": {"resourceType": "Basic"}}
        content = {"content": {JSON: {"schema": {"type": "object"}, **shown}}}
        done: dict[str, Any] = {"summary": "Done", "responses": {"200": {"description": "Done.", **content}}}
        made = {
            "summary": "Made",
            "responses": {"201": {"description": "Made.", **content}},
            "requestBody": content,
        }
        one: dict[str, Any] = {
            "get": done,
            "put": {**done, "requestBody": content},
            "delete": {"summary": "Gone", "responses": {}},
        }
        one["patch"] = {**done, "requestBody": content}
        paths: dict[str, Any] = {
            "/api/Basic": {"get": done, "post": made},
            "/api/Basic/{id}": one,
            "/api/Observation/{id}": {"get": done},
            "/api/$tell": {"get": done},
            "/api/wards": {"get": done, "post": made},
        }
        if not self.has("singular and plural"):
            del paths["/api/wards"]
        else:
            paths["/api/wards/{id}"] = {"get": done}
        extra: dict[str, tuple[str, Any]] = {
            "a Dutch path": ("/api/Basic/{id}/gegevens", {"get": done}),
            "get with a body": ("/api/Flag", {"get": {**done, "requestBody": content}}),
            "post that makes nothing": ("/api/Flag", {"post": {**done, "requestBody": content}}),
            "put without a body": ("/api/Flag/{id}", {"put": done}),
            "patch without a body": ("/api/Flag/{id}", {"patch": done}),
            "delete of a collection": ("/api/Flag", {"delete": done}),
            "a relation below nothing": ("/api/Ward/{ward}/Bed", {"get": done}),
            "an operation without a dollar": ("/api/getBasic", {"get": done}),
        }
        paths |= dict(extra[fault] for fault in self.faults if fault in extra)
        if self.has("a relation in two ways"):
            query = {"parameters": [{"name": "ward", "in": "query"}]}
            paths |= {
                "/api/Ward/{ward}": {"get": done},
                "/api/Ward/{ward}/Bed": {"get": done},
                "/api/Bed": {"get": {**done, **query}},
            }
        version = {"version is a date": "2026-11", "no version": ""}
        told = next((version[fault] for fault in self.faults if fault in version), "1.4.0")
        info = {"title": "A peer", **({"version": told} if told else {})}
        return {"openapi": "3.1.0", "info": info, "paths": paths}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Everything that is asked."""
        self.asked.append((request.method, request.path_qs))
        if self.has("not well"):
            return web.Response(status=503, text="later", headers={"Server": "api"})
        if self.has("closed") and request.path.startswith("/api/"):
            return web.Response(status=401, text="who is there?", headers={"Server": "api"})
        answer = await self._answer(request)
        if not self.has("no nosniff"):
            answer.headers.setdefault("X-Content-Type-Options", "nosniff")
        if not self.has("framed"):
            answer.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
        if not self.has("no hsts"):
            answer.headers["Strict-Transport-Security"] = "max-age=31536000"
        answer.headers["Server"] = "Hidden/4.2" if self.has("banner") else "api"
        if self.has("cookie"):
            answer.set_cookie("session", "1")
        for fault, days in (("ends properly", 400), ("ends soon", 100), ("has ended", -1)):
            if self.has(fault):
                answer.headers["Deprecation"] = f"@{int((now() - timedelta(days=1)).timestamp())}"
                answer.headers["Sunset"] = format_datetime(now() + timedelta(days=days), usegmt=True)
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.path
        if request.method == "TRACE":
            return web.Response(status=200 if self.has("trace") else 405)
        if path == "/api/metadata":
            return self._metadata(request)
        if path == "/openapi.json":
            return web.json_response(self.openapi())
        if path == "/docs":
            return self._docs()
        if path.startswith(("/issuer", "/.well-known")):
            return await self._oauth(request)
        if path == "/api/OperationDefinition/tell":
            return self._resource({"resourceType": "OperationDefinition", "id": "tell"})
        if path.endswith("/_search"):
            return web.Response(status=200 if self.has("no 415") else 415)
        if path == "/api/Basic" and request.method == "POST":
            return self._post(await request.json())
        if path.startswith("/api/Basic/"):
            return self._basic(request.method, path.rsplit("/", 1)[1], await request.read())
        if self.has("a stack trace"):
            return web.Response(status=400, text='Traceback (most recent call last):\n  File "x.py", line 3')
        return web.Response(status=404, text="nothing here")

    def _metadata(self, request: web.Request) -> web.Response:
        changing = {"head changes": "HEAD", "options changes": "OPTIONS"}
        self.looked += self.has("get changes")
        self.looked += any(self.has(fault) and request.method == method for fault, method in changing.items())
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS"})
        statement = self.statement()
        if any(map(self.has, changing)):
            statement["description"] += str(self.looked)
        accept = request.headers.get("Accept", JSON)
        if "xml" in accept and not self.has("no xml"):
            other = {**statement, "publisher": "another"} if self.has("xml differs") else statement
            body, media = xml.dump(json.parse(orjson.dumps(other)), definitions("r4")), XML
        elif "json" in accept or "xml" in accept or self.has("no 406"):
            body, media = orjson.dumps(statement), JSON
            body = (
                body.replace(b'"status":', b'"status":"draft","status":', 1)
                if self.has("a name twice")
                else body
            )
        else:
            return web.Response(status=406)
        headers = {"Content-Type": "text/plain" if self.has("wrong content type") else media}
        coding = request.headers.get("Accept-Encoding", "")
        if coding == "gzip" or self.has("packed unasked"):
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        elif coding == "deflate" and not self.has("no deflate"):
            body, headers["Content-Encoding"] = zlib.compress(body), "deflate"
        return web.Response(body=body, headers=headers)

    def _docs(self) -> web.Response:
        if self.has("documentation asks for a login"):
            return web.Response(text="<form><input type='password'></form>", content_type="text/html")
        if self.has("documentation is away"):
            return web.Response(status=404)
        words = (_DUTCH if self.has("documentation in Dutch") else _ENGLISH) * 4
        named = "" if self.has("bare documentation") else "<h2>FAQ</h2><h2>Versioning</h2>"
        return web.Response(text=f"<html><body><p>{words}</p>{named}</body></html>", content_type="text/html")

    async def _oauth(self, request: web.Request) -> web.Response:
        issuer = f"{self.root}/issuer"
        if request.path == "/.well-known/oauth-authorization-server/issuer":
            algorithms = ["ES256"]
            algorithms += ["HS256"] * self.has("a shared secret") + ["XX99"] * self.has(
                "an unknown algorithm"
            )
            method = "client_secret_basic" if self.has("no signed assertion") else "private_key_jwt"
            return web.json_response(
                {
                    "issuer": "https://other.example" if self.has("another issuer") else issuer,
                    "token_endpoint": f"{issuer}/token",
                    "jwks_uri": f"{issuer}/jwks",
                    "token_endpoint_auth_methods_supported": [method],
                    "token_endpoint_auth_signing_alg_values_supported": algorithms,
                }
            )
        if request.path == "/issuer/jwks":
            secret = {"d": "AA"} if self.has("a secret key") else {}
            return web.json_response(
                {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", **secret}]}
            )
        if request.path == "/issuer/token":
            return web.json_response({}, status=200 if self.has("a token for nobody") else 401)
        if request.path == "/issuer/.well-known/openid-configuration":
            return web.json_response({"issuer": issuer, "authorization_endpoint": f"{issuer}/authorize"})
        return web.Response(status=404)

    def _resource(self, resource: dict[str, Any], status: int = 200, **headers: str) -> web.Response:
        return web.Response(
            body=orjson.dumps(resource), status=status, headers={"Content-Type": JSON, **headers}
        )

    def _post(self, resource: dict[str, Any]) -> web.Response:
        self.posted += 1
        id_ = "one" if self.has("post once") else str(self.posted)
        if not self.has("post is lost"):
            self.stored[id_] = {**resource, "id": id_}
        return self._resource(
            {**resource, "id": id_}, 201, Location=f"{self.root}/api/Basic/{id_}/_history/1"
        )

    def _basic(self, method: str, id_: str, body: bytes) -> web.Response:
        there = id_ in self.stored
        if method == "DELETE":
            if not self.has("delete keeps"):
                self.stored.pop(id_, None)
            return web.Response(status=204 if there or not self.has("delete fails again") else 500)
        if method == "PUT" and not self.has("put does nothing"):
            self.stored[id_] = orjson.loads(body)
            if self.has("put counts"):
                self.posted += 1
                self.stored[id_]["language"] = str(self.posted)
        if method == "PATCH" and not self.has("patch does nothing"):
            added = [one["value"] for one in orjson.loads(body)]
            known = self.stored[id_]["identifier"]
            if not (self.has("patch once") and added[0] in known):
                known.extend(added)
        return self._resource(self.stored[id_]) if id_ in self.stored else web.Response(status=404)


@asynccontextmanager
async def running_api(*faults: str, tls: SSLContext | None = None) -> AsyncIterator[ApiPeer]:
    """A running API with these faults, on a port of its own."""
    peer = ApiPeer(frozenset(faults))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", peer.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    peer.root = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield peer
    finally:
        await runner.cleanup()
