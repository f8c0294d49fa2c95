"""The handlers behind the routes: read the request, call one service, render the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal, get_args

import orjson
from prometheus_client import generate_latest
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from schakel.exchanges.bgz import parse_ask
from schakel.fhir.definitions import Version
from schakel.fhir.moments import interval
from schakel.fhir.search import pairs_of, split_prefix
from schakel.gateway import Call
from schakel.generic.consent import Ground
from schakel.generic.identity import OAuthError
from schakel.generic.logging import Event
from schakel.http.errors import as_outcome, fhir_error, problem
from schakel.http.negotiation import render, wanted
from schakel.http.node import Node, OrganisationServices
from schakel.kernel.clock import instant, new_id
from schakel.kernel.outcomes import Invalid, NotFound, NotSupported, Outcome, TooLarge, Unauthenticated
from schakel.kernel.values import BSN_SYSTEM, Bsn
from schakel.server import Answer, Request

Handler = Callable[[HttpRequest], Awaitable[Response]]
_FORM = "application/x-www-form-urlencoded"


async def read_limited(request: HttpRequest, most: int) -> bytes:
    """The body, at most `most` bytes. Raises `TooLarge`."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise TooLarge(f"a body may have {most} bytes (setting limits.body)")
        chunks.append(chunk)
    return b"".join(chunks)


def as_json(value: object, status: int = 200) -> Response:
    """A JSON answer that no cache keeps."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")


class Handlers:
    """All handlers of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    # -- health ----------------------------------------------------------------------------------------------

    async def live(self, _request: HttpRequest) -> Response:
        """The process answers."""
        return as_json({"status": "up"})

    async def ready(self, _request: HttpRequest) -> Response:
        """The database answers."""
        try:
            await self._node.pool.fetchval("SELECT 1", timeout=2)
        except Exception as error:  # Whatever is wrong with the database, the answer is the same.
            as_outcome(error)
            return as_json({"status": "down", "database": "unreachable"}, 503)
        return as_json({"status": "up", "database": "up"})

    async def metrics(self, _request: HttpRequest) -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(), media_type="text/plain; version=0.0.4; charset=utf-8")

    # -- FHIR ------------------------------------------------------------------------------------------------

    def _version(self, request: HttpRequest) -> Version:
        for version in get_args(Version):
            if request.path_params["version"] == version and version in self._node.versions:
                return version  # type: ignore[no-any-return]
        raise NotFound("this FHIR version is not served here", code="fhir-version-unknown")

    async def _fhir_request(self, request: HttpRequest, version: Version) -> Request:
        return Request(
            version,
            request.method,
            request.path_params["path"].strip("/"),
            request.scope["query_string"].decode("latin-1"),
            {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in request.scope["headers"]},
            await read_limited(request, self._node.max_body),
        )

    async def internal_fhir(self, request: HttpRequest) -> Response:
        """The organisation's own FHIR API."""
        version: Version = "stu3"
        try:
            slug = request.path_params["organisation"]
            organisation = self._node.keyed(slug, request.headers.get("x-api-key"))
            version = self._version(request)
            form = wanted(request.headers.get("accept", ""), request.url.query)
            base = f"{self._node.internal_url}/{slug}/fhir/{version}"
            fhir = await self._fhir_request(request, version)
            answer = await organisation.service.answer(fhir, base, "internal")
            return render(answer, form, version)
        except Exception as error:
            return fhir_error(request, error, version)

    async def guarded_fhir(self, request: HttpRequest) -> Response:
        """FHIR through the gateway."""
        version: Version = "stu3"
        try:
            slug = request.path_params["organisation"]
            organisation = self._node.organisation(slug)
            version = self._version(request)
            form = wanted(request.headers.get("accept", ""), request.url.query)
            base = f"{self._node.public_url}/{slug}/fhir/{version}"
            call = Call(
                await self._fhir_request(request, version),
                request.headers.get("authorization"),
                request.client.host if request.client else "",
                request.headers.get("x-request-id", "")[:128],
            )
            return render(await organisation.gateway.answer(call, base), form, version)
        except Exception as error:
            return fhir_error(request, error, version)

    # -- OAuth -----------------------------------------------------------------------------------------------

    async def metadata(self, request: HttpRequest) -> Response:
        """Authorisation server metadata (RFC 8414)."""
        return await self._plain(request, self._metadata)

    async def _metadata(self, request: HttpRequest) -> Response:
        return as_json(self._node.organisation(request.path_params["organisation"]).server.metadata())

    async def jwks(self, request: HttpRequest) -> Response:
        """The public keys with which this organisation signs its assertions."""
        return await self._plain(request, self._jwks)

    async def _jwks(self, request: HttpRequest) -> Response:
        return as_json(self._node.organisation(request.path_params["organisation"]).signer.jwks())

    async def token(self, request: HttpRequest) -> Response:
        """The token endpoint (RFC 6749, RFC 7523)."""
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            form = await self._form(request)
            answer = await organisation.server.token(form)
            return as_json(answer.json())
        except OAuthError as error:
            body = {"error": error.error, "error_description": error.message}
            return as_json(body, error.status)
        except Outcome as outcome:
            if outcome.status >= 500:
                return problem(outcome)
            return as_json({"error": "invalid_request", "error_description": outcome.message}, outcome.status)
        except Exception as error:
            return problem(error)

    async def introspect(self, request: HttpRequest) -> Response:
        """Token introspection (RFC 7662), for the organisation's own systems."""
        return await self._plain(request, self._introspect)

    async def _introspect(self, request: HttpRequest) -> Response:
        organisation = self._own(request)
        form = await self._form(request)
        if "token" not in form:
            raise Invalid("the form needs `token`", expression="token")
        return as_json(await organisation.server.introspect(form["token"]))

    async def _form(self, request: HttpRequest) -> dict[str, str]:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise Invalid(f"Content-Type must be {_FORM}")
        if request.url.query:
            raise Invalid("parameters go in the form, not in the address")
        body = await read_limited(request, 64_000)
        try:
            pairs = pairs_of(body.decode("ascii"))
        except UnicodeDecodeError as error:
            raise Invalid("the form must be percent-encoded ASCII") from error
        form = dict(pairs)
        if len(form) < len(pairs):
            raise Invalid("a parameter of the form is given twice")
        return form

    # -- exchanges, grounds, log -----------------------------------------------------------------------------

    def _own(self, request: HttpRequest) -> OrganisationServices:
        return self._node.keyed(request.path_params["organisation"], request.headers.get("x-api-key"))

    async def _plain(self, request: HttpRequest, handler: Handler) -> Response:
        """Runs `handler`; errors become problem documents."""
        try:
            return await handler(request)
        except Exception as error:
            return problem(error)

    async def fetch_bgz(self, request: HttpRequest) -> Response:
        """The EHR asks for the BgZ of a patient."""
        return await self._plain(request, self._fetch_bgz)

    async def _fetch_bgz(self, request: HttpRequest) -> Response:
        organisation = self._own(request)
        ask = parse_ask(await read_limited(request, 100_000))
        return as_json(await organisation.bgz.fetch(ask))

    async def grounds(self, request: HttpRequest) -> Response:
        """Grounds for disclosure: list (GET) and write (POST)."""
        return await self._plain(
            request, self._write_ground if request.method == "POST" else self._list_grounds
        )

    async def _list_grounds(self, request: HttpRequest) -> Response:
        organisation = self._own(request)
        asked = dict(pairs_of(request.url.query))
        unknown = set(asked) - {"patient", "requester", "active"}
        if unknown:
            raise Invalid(
                f"unknown parameter {sorted(unknown)[0][:40]!r}; known are patient, requester, active"
            )
        if asked.get("active", "true") not in ("true", "false"):
            raise Invalid("active is true or false", expression="active")
        found = await organisation.grounds.list(
            patient=Bsn(asked["patient"]) if "patient" in asked else None,
            requester=asked.get("requester"),
            active=asked.get("active") == "true",
        )
        return as_json({"grounds": [_ground(g) for g in found]})

    async def _write_ground(self, request: HttpRequest) -> Response:
        organisation = self._own(request)
        table = _json_object(await read_limited(request, 100_000))
        unknown = set(table) - {"requester", "patient", "exchange", "queries", "until", "reason"}
        if unknown:
            raise Invalid(f"unknown member {sorted(unknown)[0][:40]!r}")
        for name in ("requester", "patient", "until", "reason"):
            if not isinstance(table.get(name), str) or not table[name]:
                raise Invalid(f"{name} is needed, as text", expression=name)
        queries = table.get("queries", [])
        exchange = table.get("exchange", "")
        if (
            not isinstance(exchange, str)
            or not isinstance(queries, list)
            or not all(isinstance(q, str) for q in queries)
        ):
            raise Invalid("give exchange as a text, or queries as a list of texts", expression="exchange")
        ground = await organisation.grounds.write(
            table["requester"],
            table["patient"],
            exchange=exchange,
            queries=tuple(queries),
            until=_moment(table["until"]),
            reason=table["reason"],
        )
        await organisation.log.write(_ground_event(organisation, ground, "C"))
        return as_json(_ground(ground), 201)

    async def end_ground(self, request: HttpRequest) -> Response:
        """Ends a ground."""
        return await self._plain(request, self._end_ground)

    async def _end_ground(self, request: HttpRequest) -> Response:
        organisation = self._own(request)
        ground = await organisation.grounds.end(request.path_params["id"])
        await organisation.log.write(_ground_event(organisation, ground, "U"))
        return as_json(_ground(ground))

    async def log_events(self, request: HttpRequest) -> Response:
        """The NEN 7513 log as a searchset of AuditEvents; reading it is logged too."""
        try:
            organisation = self._own(request)
            base = f"{self._node.internal_url}/{organisation.slug}/log/fhir/r4"
            return await self._log_search(request, organisation, base)
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def _log_search(
        self, request: HttpRequest, organisation: OrganisationServices, base: str
    ) -> Response:
        patient: str | None = None
        decision: str | None = None
        since: datetime | None = None
        until: datetime | None = None
        count, offset = 100, 0
        for name, value in pairs_of(request.url.query):
            match name:
                case "patient.identifier" | "patient:identifier":
                    patient = Bsn(value.removeprefix(f"{BSN_SYSTEM}|"))
                case "entity:identifier":
                    decision = value.removeprefix("urn:ietf:rfc:3986|").removeprefix("urn:uuid:")
                case "date":
                    prefix, text = split_prefix(value)
                    if prefix not in ("ge", "le", "eq"):
                        raise NotSupported("date takes ge, le or a day", expression="date")
                    since = interval(text)[0] if prefix in ("ge", "eq") else since
                    until = interval(text)[1] if prefix in ("le", "eq") else until
                case "_count" if value.isascii() and value.isdigit():
                    count = max(1, min(int(value[:6]), 1000))
                case "_offset" if value.isascii() and value.isdigit():
                    offset = int(value[:9])
                case "_format":
                    pass
                case _:
                    raise NotSupported(
                        f"parameter {name[:40]!r} is not supported on the log", expression=name[:40]
                    )
        form = wanted(request.headers.get("accept", ""), request.url.query)
        await organisation.log.write(
            Event(
                subtype="log",
                action="R",
                outcome="0",
                decision=new_id(),
                requester=organisation.ura,
                holder=organisation.ura,
                holder_name=organisation.name,
                patient=patient or "",
                query=f"GET AuditEvent?{request.url.query}",
            )
        )
        events = await organisation.log.search(
            patient=patient, since=since, until=until, decision=decision, count=count + 1, offset=offset
        )
        links = [{"relation": "self", "url": f"{base}/AuditEvent?{request.url.query}"}]
        if len(events) > count:
            pairs = [(n, v) for n, v in pairs_of(request.url.query) if n != "_offset"]
            following = "&".join(f"{n}={v}" for n, v in [*pairs, ("_offset", str(offset + count))])
            links.append({"relation": "next", "url": f"{base}/AuditEvent?{following}"})
        entries = [
            {
                "fullUrl": f"{base}/AuditEvent/{orjson.loads(e)['id']}",
                "resource": orjson.Fragment(e),
                "search": {"mode": "match"},
            }
            for e in events[:count]
        ]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
        if entries:
            bundle["entry"] = entries
        return render(Answer(200, orjson.dumps(bundle)), form, "r4")

    async def log_event(self, request: HttpRequest) -> Response:
        """One event of the log."""
        try:
            organisation = self._own(request)
            form = wanted(request.headers.get("accept", ""), request.url.query)
            body = await organisation.log.read(request.path_params["id"])
            return render(Answer(200, body), form, "r4")
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def nothing(self, request: HttpRequest) -> Response:
        """A path that is not there."""
        if "/fhir/" in request.url.path:
            return fhir_error(request, NotFound("there is nothing at this path"), "stu3")
        return problem(NotFound("there is nothing at this path"))


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        table = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise Invalid("the body must be a JSON object")
    return table


def _moment(text: str) -> datetime:
    """The end of a date, or a moment: a ground until a day holds that whole day."""
    low, high = interval(text)
    return low if "T" in text else high


def _ground(ground: Ground) -> dict[str, Any]:
    return {
        "id": ground.id,
        "requester": ground.requester,
        "patient": ground.patient,
        **({"exchange": ground.exchange} if ground.exchange else {"queries": list(ground.queries)}),
        "until": instant(ground.until),
        "reason": ground.reason,
        "made": instant(ground.made),
        "ended": instant(ground.ended) if ground.ended else None,
    }


def _ground_event(organisation: OrganisationServices, ground: Ground, action: Literal["C", "U"]) -> Event:
    return Event(
        subtype="ground",
        action=action,
        outcome="0",
        decision=new_id(),
        requester=ground.requester,
        holder=organisation.ura,
        holder_name=organisation.name,
        patient=ground.patient,
        ground=ground.id,
        query=ground.exchange or "; ".join(ground.queries),
    )


__all__ = ["Handlers", "Unauthenticated"]
