"""The addresses for systems: the closed question, the open question and subscriptions."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel.fhir import json
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn, Ura
from schakel_national import configuration
from schakel_national.mitz import soap, xacml, xcpd
from schakel_national.mitz.assertion import LEEWAY
from schakel_national.mitz.notifying import delivering
from schakel_national.mitz.register import (
    Choice,
    Register,
    Subscription,
    data_category,
    requester_category,
)

NAME = "mitz"
_MOST = 200_000
_SOAP = "application/soap+xml; charset=UTF-8"
_BIRTH_DATE = "http://fhir.nl/StructureDefinition/Patient.birthDate"
_SYSTEMS = (
    "http://fhir.nl/StructureDefinition/GatewaySystem",
    "http://fhir.nl/StructureDefinition/SourceSystem",
)
_OID = re.compile(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+")
_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}){0,2}")
PAYLOADS = ("application/fhir+xml", "application/fhir+json")
PURPOSES = frozenset({"TREAT", "COC"})


class Told:
    """What `mitz.toml` says."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.clients = frozenset(str(one).lower() for one in table.get("clients", ()))
        self.endpoints = tuple(str(one) for one in table.get("endpoints", ()))
        self.signed = bool(table.get("signed", False))
        self.providers = tuple(
            (str(Ura(one["ura"])), str(one["name"]), str(one["type"])) for one in table.get("providers", ())
        )
        self.notify = table.get("notify", {})
        self.choices = tuple(Choice.parse(one) for one in table.get("choices", ()))


def told(folder: Path) -> Told:
    """The configuration in `folder`; without one nobody's choices are known. Raises `Invalid`."""
    path = folder / f"{NAME}.toml"
    return configuration.read(path, Told) if path.exists() else Told({})


def register(folder: Path, known: Told) -> Register:
    """The register in `folder`, with its first contents when it is new."""
    return Register(folder / f"{NAME}.sqlite", known.choices)


def application(folder: Path, address: str) -> ASGIApp:
    """The facility for systems. Raises `Invalid` when its configuration is not right."""
    known = told(folder)
    kept = register(folder, known)
    handlers = _Handlers(known, kept)
    tls = _outgoing(folder, known.notify)

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        async with delivering(kept, tls):
            yield

    return Starlette(
        lifespan=running,
        routes=[
            Route("/health/ready", handlers.ready),
            Route("/geslotenautorisatievraag/xacml3", handlers.closed, methods=["POST"]),
            Route("/openautorisatievraag", handlers.open, methods=["POST"]),
            Route("/abonnementen/fhir/Subscription", handlers.subscribe, methods=["POST"]),
        ],
    )


def _outgoing(folder: Path, table: Mapping[str, Any]) -> ssl.SSLContext | None:
    """What notifications are delivered with; None for plain trust and no certificate of ours. Raises `Invalid`."""
    if not table:
        return None
    try:
        context = ssl.create_default_context(cafile=folder / table["trusted"])
        context.load_cert_chain(folder / table["certificate"], folder / table["key"])
    except (KeyError, OSError) as error:
        raise Invalid(f"[notify] in {NAME}.toml is not right: {error!r}") from error
    return context


class _Handlers:
    def __init__(self, known: Told, kept: Register) -> None:
        self._known = known
        self._register = kept

    async def ready(self, request: Request) -> Response:
        """Whether it answers."""
        return PlainTextResponse("ready")

    async def closed(self, request: Request) -> Response:
        """The closed question."""

        def decided(body: bytes) -> bytes:
            question = xacml.read(body)
            self._same_message(request, question.message)
            self._signed_by(question.signer)
            decisions = tuple(self._decide(question, category) for category, _ in question.categories)
            return xacml.answer(question, decisions)

        return await self._answer(request, decided)

    async def open(self, request: Request) -> Response:
        """The open question."""

        def located(body: bytes) -> bytes:
            question = xcpd.read(body)
            asker = question.asker
            self._same_message(request, question.message)
            self._signed_by(asker.signer)
            until = (asker.until + LEEWAY).timestamp()
            if not self._register.fresh(asker.id, until, now().timestamp()):
                raise soap.Fault("an Assertion with this ID has come before")
            if asker.purpose not in PURPOSES:
                return xcpd.answer(question, ())
            category = requester_category(asker.requester_type)
            return xcpd.answer(question, self._register.holders(question.patient, category))

        return await self._answer(request, located)

    async def _answer(self, request: Request, answered: Callable[[bytes], bytes]) -> Response:
        """What `answered` makes of the body, or the fault that says why there is no answer."""
        if not self._listed(request):
            return Response(soap.fault("the client certificate is not on the list"), 403, media_type=_SOAP)
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind not in ("application/soap+xml", "text/xml"):
            return Response(soap.fault("the content type is not application/soap+xml"), 415, media_type=_SOAP)
        try:
            return Response(answered(await _body(request)), media_type=_SOAP)
        except soap.Fault as fault:
            return Response(soap.fault(str(fault)), 400, media_type=_SOAP)

    @staticmethod
    def _same_message(request: Request, message: str) -> None:
        if request.headers.get("x-request-id", "").lower() != message.removeprefix("urn:uuid:").lower():
            raise soap.Fault("X-Request-Id is not the UUID of wsa:MessageID")

    def _signed_by(self, signer: str) -> None:
        if self._known.signed and not signer:
            raise soap.Fault("the question is not signed")
        if signer and self._known.clients and signer not in self._known.clients:
            raise soap.Fault("the certificate of the signature is not known")

    def _listed(self, request: Request) -> bool:
        """Whether the client showed a certificate of the list; an empty list takes every one."""
        if not self._known.clients:
            return True
        shown = request.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", [])
        return bool(shown) and _digest(shown[0]) in self._known.clients

    def _decide(self, question: xacml.Question, category: str) -> str:
        """Permit only on a choice of the patient; what cannot be asked so is not applicable."""
        if question.purpose not in PURPOSES or data_category(question.holder_type) != category:
            return "NotApplicable"
        asking = requester_category(question.requester_type)
        permits = self._register.permits(question.patient, question.holder, category, asking)
        return "Permit" if permits else "Deny"

    async def subscribe(self, request: Request) -> Response:
        """A subscription on the choices of one patient, for one organisation."""
        if not self._listed(request):
            return _outcome(401, "login", "the client certificate is not on the list")
        try:
            wanted = self._subscription(json.parse(await _body(request)))
        except soap.Fault as fault:
            return _outcome(400, "too-long", str(fault))
        except Invalid as error:
            return _outcome(422 if error.kind == "unprocessable" else 400, "invalid", error.message)
        made = self._register.subscribe(wanted)
        return Response(status_code=201, headers={"Location": f"Subscription/{made}"})

    def _subscription(self, resource: Mapping[str, Any]) -> Subscription:
        if resource.get("resourceType") != "Subscription":
            raise Invalid("a Subscription is needed")
        channel = resource.get("channel")
        if resource.get("status") != "requested" or resource.get("reason") != "OTV":
            raise _unprocessable("status must be requested and reason OTV")
        if not isinstance(channel, dict) or channel.get("type") != "rest-hook":
            raise _unprocessable("channel.type must be rest-hook")
        if channel.get("payload") not in PAYLOADS:
            raise _unprocessable(f"channel.payload must be one of {', '.join(PAYLOADS)}")
        endpoint = channel.get("endpoint")
        if not isinstance(endpoint, str) or not endpoint.startswith(self._known.endpoints):
            raise _unprocessable("channel.endpoint is not on the list of addresses")
        gateway, source = self._systems(resource.get("extension"))
        path, _, text = str(resource.get("criteria", "")).partition("?")
        asked = dict(parse_qsl(text))
        if path != "Consent" or asked.get("_query") != "otv":
            raise _unprocessable(
                "criteria must be Consent?_query=otv&patientid=..&providerid=..&providertype=.."
            )
        try:
            patient, provider = str(Bsn(asked["patientid"])), str(Ura(asked["providerid"]))
        except (KeyError, Invalid) as error:
            raise _unprocessable("criteria needs a BSN (patientid) and a URA (providerid)") from error
        kind = asked.get("providertype", "")
        if not data_category(kind):
            raise _unprocessable("providertype has no data category")
        return Subscription("", patient, provider, kind, endpoint, channel["payload"], gateway, source)

    @staticmethod
    def _systems(extensions: Any) -> tuple[str, str]:
        """The exchange system and the source system that a subscription names."""
        values = {one.get("url"): one for one in extensions or () if isinstance(one, dict)}
        if not _DATE.fullmatch(str(values.get(_BIRTH_DATE, {}).get("valueDate", ""))):
            raise _unprocessable(f"the extension {_BIRTH_DATE} with a valueDate is needed")
        for url in _SYSTEMS:
            if not _OID.fullmatch(str(values.get(url, {}).get("valueOid", ""))):
                raise _unprocessable(f"the extension {url} with a valueOid is needed")
        gateway, source = (str(values[url]["valueOid"]) for url in _SYSTEMS)
        return gateway, source


def _digest(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def _unprocessable(message: str) -> Invalid:
    return Invalid(message, code="unprocessable")


def _outcome(status: int, code: str, message: str) -> Response:
    issue = {"severity": "error", "code": code, "diagnostics": message}
    body = {"resourceType": "OperationOutcome", "issue": [issue]}
    return JSONResponse(body, status, media_type="application/fhir+json")


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST:
            raise soap.Fault("the body is too large")
    return body
