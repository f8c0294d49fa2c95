"""What Mitz says on the wire, written by hand from the facts sheet (section 7), and small servers that say it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.certificates import Authority, Files, new_key, server_context
from tests.nodes import free_ports

from schakel.facilities import Facility, FacilityRules
from schakel.generic.consent.mitz import ClosedQuestion, OpenQuestion
from schakel.kernel import tls
from schakel_national.mitz import application
from schakel_national.serving import Facility as StandIn
from schakel_national.serving import Tls, serving

BSN, OTHER_BSN = "999911120", "999990019"
HOLDER, REQUESTER = "11111111", "22222222"
MESSAGE = "urn:uuid:0d1c0000-0000-4000-8000-000000000001"
SOAP_TYPE = "application/soap+xml; charset=UTF-8"

QUESTION = ClosedQuestion(
    patient=BSN,
    holder=HOLDER,
    holder_type="V6",
    categories=("GGC002",),
    requester=REQUESTER,
    requester_type="Z3",
    provider="900000008",
    role="01.015",
    purpose="TREAT",
)

OPEN_QUESTION = OpenQuestion(
    patient=BSN,
    requester=REQUESTER,
    requester_type="Z3",
    provider="900000008",
    role="01.015",
    purpose="TREAT",
)


def identifier(name: str, root: str, extension: str) -> str:
    return (
        f'<Attribute AttributeId="{name}" IncludeInResult="true"><AttributeValue DataType="urn:hl7-org:v3#II">'
        f'<InstanceIdentifier xmlns="urn:hl7-org:v3" root="{root}" extension="{extension}"/>'
        "</AttributeValue></Attribute>"
    )


def coded(name: str, code: str, system: str) -> str:
    return (
        f'<Attribute AttributeId="{name}" IncludeInResult="true"><AttributeValue DataType="urn:hl7-org:v3#CV">'
        f'<CodedValue xmlns="urn:hl7-org:v3" code="{code}" codeSystem="{system}"/></AttributeValue></Attribute>'
    )


def group(category: str, *attributes: str) -> str:
    return f'<Attributes Category="{category}">{"".join(attributes)}</Attributes>'


def resource(bsn: str = BSN, holder: str = HOLDER) -> str:
    return group(
        "urn:oasis:names:tc:xacml:3.0:attribute-category:resource",
        identifier("urn:oasis:names:tc:xacml:2.0:resource:resource-id", "2.16.840.1.113883.2.4.6.3", bsn),
        coded(
            "urn:ihe:iti:appc:2016:document-entry:healthcare-facility-type-code",
            "V6",
            "2.16.840.1.113883.2.4.15.1060",
        ),
        identifier("urn:ihe:iti:appc:2016:author-institution:id", "2.16.528.1.1007.3.3", holder),
    )


def action(category: str = "GGC002") -> str:
    return group(
        "urn:oasis:names:tc:xacml:3.0:attribute-category:action",
        coded(
            "urn:ihe:iti:appc:2016:document-entry:event-code",
            category,
            "2.16.840.1.113883.2.4.3.111.5.10.1",
        ),
    )


def result(decision: str = "Permit", bsn: str = BSN, holder: str = HOLDER, category: str = "GGC002") -> str:
    return f"<Result><Decision>{decision}</Decision>{resource(bsn, holder)}{action(category)}</Result>"


def answer(*results: str, relates: str = MESSAGE, body: str | None = None) -> bytes:
    """The whole document; `body` instead of a Response with the results."""
    inside = "".join(results)
    response = f'<Response xmlns="urn:oasis:names:tc:xacml:3.0:core:schema:wd-17">{inside}</Response>'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header>'
        '<a:Action xmlns:a="http://www.w3.org/2005/08/addressing">http://schemas.otv.nl/toestemmingsregister/'
        "XACMLAuthzDecisionQuery/IGeslotenAutorisatievraagService/XACMLAuthzDecisionQueryResponse</a:Action>"
        f'<a:RelatesTo xmlns:a="http://www.w3.org/2005/08/addressing">{relates}</a:RelatesTo></s:Header>'
        f"<s:Body>{response if body is None else body}</s:Body></s:Envelope>"
    ).encode()


XCPD = "urn:ihe:iti:xcpd:2009"


def location(ura: str = HOLDER, category: str = "GGC002", bsn: str = BSN) -> str:
    """A holder in the answer to an open question."""
    patient = f'root="2.16.840.1.113883.2.4.6.3" extension="{bsn}" assigningAuthorityName="NLMINBIZA"'
    return (
        "<PatientLocationResponse><HomeCommunityId>urn:oid:2.16.840.1.113883.2.4.6.6.1</HomeCommunityId>"
        f"<CorrespondingPatientId {patient}/><RequestedPatientId {patient}/>"
        "<SourceId>urn:oid:2.16.840.1.113883.2.4.6.6.90000017</SourceId>"
        f'<event-code code="{category}" codeSystem="2.16.840.1.113883.2.4.3.111.5.10.1"/>'
        f'<author-institution root="2.16.528.1.1007.3.3" extension="{ura}"/></PatientLocationResponse>'
    )


def locations(*holders: str, relates: str = MESSAGE) -> bytes:
    """The answer to an open question."""
    inside = "".join(holders)
    response = f'<PatientLocationQueryResponse xmlns="{XCPD}">{inside}</PatientLocationQueryResponse>'
    return answer(relates=relates, body=response)


FAULT = (
    "<s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason>"
    '<s:Text xml:lang="en">not allowed for 999911120</s:Text></s:Reason></s:Fault>'
)


# -- servers -------------------------------------------------------------------------------------------------

Handler = Callable[["Register", web.Request, bytes], Awaitable[web.StreamResponse]]


def message_of(body: bytes) -> str:
    """The MessageID in a question."""
    found = re.search(rb"MessageID>([^<]*)<", body)
    assert found is not None
    return found[1].decode()


@dataclass
class Register:
    """A server in the place of Mitz: what it was asked, and how it answers."""

    handler: Handler
    asked: list[tuple[web.Request, bytes]] = field(default_factory=list)
    port: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request, body))
        return await self.handler(self, request, body)


async def permits(_register: Register, _request: web.Request, body: bytes) -> web.StreamResponse:
    return said(answer(result(), relates=message_of(body)))


def decides(*results: str) -> Handler:
    """A server that always gives these results."""

    async def handler(_register: Register, _request: web.Request, body: bytes) -> web.StreamResponse:
        return said(answer(*results, relates=message_of(body)))

    return handler


def says(body: bytes, status: int = 200) -> Handler:
    async def handler(_register: Register, _request: web.Request, _body: bytes) -> web.StreamResponse:
        return said(body, status)

    return handler


def said(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={"Content-Type": SOAP_TYPE})


@dataclass(frozen=True)
class Trusting:
    """An authority with a server and a client of it, in files."""

    authority: Authority
    root: Path
    server: Files
    client: Files

    @classmethod
    def made(cls, folder: Path) -> Trusting:
        authority = Authority.new("Mitz Test Root")
        server = authority.issue("mitz.example", hosts=("127.0.0.1",))
        client = authority.issue("holder.example", hosts=("holder.example",), key=new_key(2048))
        root = authority.write(folder, "root").certificate
        return cls(authority, root, server.write(folder, "server"), client.write(folder, "us"))


@asynccontextmanager
async def register(trusting: Trusting, handler: Handler, port: int = 0) -> AsyncIterator[Register]:
    """A register on a port of this machine that takes clients of the authority only."""
    made = Register(handler)
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = server_context(trusting.server, trusting.authority)
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
    await site.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()


@asynccontextmanager
async def facility(
    trusting: Trusting, port: int, *, certificate: bool = True, rules: FacilityRules | None = None
) -> AsyncIterator[Facility]:
    """Our connection to the register at `port`."""
    files = trusting.client
    context = tls.client(
        (trusting.root,),
        files.certificate if certificate else None,
        files.key if certificate else None,
        setting="mitz.",
    )
    async with Facility.open("Mitz", f"https://127.0.0.1:{port}/mitz", context, rules) as opened:
        yield opened


def results(categories: Sequence[str], decision: str = "Permit") -> tuple[str, ...]:
    return tuple(result(decision, category=category) for category in categories)


@asynccontextmanager
async def stand_in(trusting: Trusting, folder: Path, configuration: str, port: int = 0) -> AsyncIterator[int]:
    """The stand-in of Mitz with its register in `folder`, and its port; it takes clients of the authority only."""
    (folder / "mitz.toml").write_text(configuration)
    port = port or free_ports(1)[0]
    tls = Tls(trusting.server.certificate, trusting.server.key, trusting.root)
    async with serving("127.0.0.1", [StandIn("mitz", application(folder, ""), port, tls)]):
        yield port


# -- notifications -------------------------------------------------------------------------------------------

_PATIENT = "urn:uuid:00000000-0000-4000-8000-000000000002"
_HOLDER = "urn:uuid:00000000-0000-4000-8000-000000000003"


def notification(
    permitted: bool,
    *providers: str,
    bsn: str = BSN,
    holder: str = HOLDER,
    chosen: str = "2026-03-01T10:00:00+01:00",
) -> dict[str, Any]:
    """What Mitz tells of a choice, as JSON."""
    consent = {
        "resourceType": "Consent",
        "meta": {"profile": ["http://vzvz.nl/fhir/StructureDefinition/Consent-Mitz-Notify|3.8.0"]},
        "extension": [
            {
                "url": "http://fhir.nl/StructureDefinition/OTV-ProviderCategory",
                "valueCodeableConcept": {
                    "coding": [
                        {
                            "system": "http://fhir.nl/otv/CodeSystem/raadplegende-zorgaanbiedercategorie",
                            "code": code,
                        }
                    ]
                },
            }
            for code in providers
        ],
        "status": "active" if permitted else "inactive",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [
            {"coding": [{"system": "http://fhir.nl/otv/CodeSystem/gegevenscategorie", "code": "GGC002"}]}
        ],
        "patient": {"reference": _PATIENT},
        "dateTime": chosen,
        "provision": {
            **({"type": "permit"} if permitted else {}),
            "actor": [
                {
                    "role": {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/v3-RoleClass",
                                "code": "CST",
                            }
                        ]
                    },
                    "reference": {"reference": _HOLDER},
                }
            ],
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}],
        },
    }
    if not providers:
        del consent["extension"]
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": bsn}],
    }
    organisation = {
        "resourceType": "Organization",
        "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": holder}],
        "type": [
            {"coding": [{"system": "http://nictiz.nl/fhir/NamingSystem/organization-type", "code": "V6"}]}
        ],
    }
    entries = (
        ("urn:uuid:00000000-0000-4000-8000-000000000001", consent),
        (_PATIENT, patient),
        (_HOLDER, organisation),
    )
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": url,
                "resource": resource,
                "request": {"method": "POST", "url": resource["resourceType"]},
            }
            for url, resource in entries
        ],
    }


def notification_xml(permitted: bool, provider: str, bsn: str = BSN, holder: str = HOLDER) -> bytes:
    """The same as XML, written by hand."""
    kind = '<type value="permit"/>' if permitted else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/>
 <entry><fullUrl value="urn:uuid:00000000-0000-4000-8000-000000000001"/><resource><Consent>
  <meta><profile value="http://vzvz.nl/fhir/StructureDefinition/Consent-Mitz-Notify|3.8.0"/></meta>
  <extension url="http://fhir.nl/StructureDefinition/OTV-ProviderCategory"><valueCodeableConcept><coding>
   <system value="http://fhir.nl/otv/CodeSystem/raadplegende-zorgaanbiedercategorie"/><code value="{provider}"/>
  </coding></valueCodeableConcept></extension>
  <status value="{"active" if permitted else "inactive"}"/>
  <scope><coding><system value="http://terminology.hl7.org/CodeSystem/consentscope"/>
   <code value="patient-privacy"/></coding></scope>
  <category><coding><system value="http://fhir.nl/otv/CodeSystem/gegevenscategorie"/>
   <code value="GGC002"/></coding></category>
  <patient><reference value="{_PATIENT}"/></patient>
  <dateTime value="2026-03-01T10:00:00+01:00"/>
  <provision>{kind}<actor><role><coding>
   <system value="http://terminology.hl7.org/CodeSystem/v3-RoleClass"/><code value="CST"/></coding></role>
   <reference><reference value="{_HOLDER}"/></reference></actor></provision>
 </Consent></resource><request><method value="POST"/><url value="Consent"/></request></entry>
 <entry><fullUrl value="{_PATIENT}"/><resource><Patient><identifier>
  <system value="http://fhir.nl/fhir/NamingSystem/bsn"/><value value="{bsn}"/></identifier></Patient></resource>
  <request><method value="POST"/><url value="Patient"/></request></entry>
 <entry><fullUrl value="{_HOLDER}"/><resource><Organization><identifier>
  <system value="http://fhir.nl/fhir/NamingSystem/ura"/><value value="{holder}"/></identifier></Organization></resource>
  <request><method value="POST"/><url value="Organization"/></request></entry>
</Bundle>""".encode()
