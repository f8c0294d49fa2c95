"""The stand-in of Mitz against the facts: the closed question, subscriptions, notifications and the patient's page."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from lxml import etree
from signxml.signer import XMLSigner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from tests.certificates import Authority, new_key
from tests.nodes import free_ports

from schakel.fhir import definitions
from schakel.fhir.xml import parse
from schakel_national.mitz import application, page_application
from schakel_national.serving import Facility, serving

XACML = "urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"
HL7 = "urn:hl7-org:v3"
BSN, NOBODY = "999911120", "999990019"
MESSAGE = "0d1c0000-0000-4000-8000-000000000001"
CLOSED = "/geslotenautorisatievraag/xacml3"
SUBSCRIBE = "/abonnementen/fhir/Subscription"

TOLD = f"""
endpoints = ["http://127.0.0.1:"]
[[providers]]
ura = "11111111"
name = "Ziekenhuis Noord"
type = "V6"
[[choices]]
patient = "{BSN}"
holder = "GGC002"
requester = "RPZAC001"
allowed = true
"""


def _ii(root: str, extension: str) -> str:
    return f'<InstanceIdentifier xmlns="{HL7}" root="{root}" extension="{extension}"/>'


def _cv(system: str, code: str) -> str:
    return f'<CodedValue xmlns="{HL7}" code="{code}" codeSystem="{system}"/>'


def _attribute(name: str, kind: str, value: str) -> str:
    return (
        f'<Attribute AttributeId="{name}" IncludeInResult="true"><AttributeValue DataType="{HL7}#{kind}">{value}'
        "</AttributeValue></Attribute>"
    )


def question(
    patient: str = BSN,
    categories: tuple[str, ...] = ("GGC002",),
    asking: str = "Z3",
    holder: tuple[str, str] = ("11111111", "V6"),
    purpose: str = "TREAT",
) -> str:
    """A closed question as section 7.2 of the facts has it."""
    category = "urn:oasis:names:tc:xacml:3.0:attribute-category"
    resource = (
        _attribute(
            "urn:oasis:names:tc:xacml:2.0:resource:resource-id",
            "II",
            _ii("2.16.840.1.113883.2.4.6.3", patient),
        )
        + _attribute(
            "urn:ihe:iti:appc:2016:document-entry:healthcare-facility-type-code",
            "CV",
            _cv("2.16.840.1.113883.2.4.15.1060", holder[1]),
        )
        + _attribute(
            "urn:ihe:iti:appc:2016:author-institution:id", "II", _ii("2.16.528.1.1007.3.3", holder[0])
        )
    )
    actions = "".join(
        f'<Attributes Category="{category}:action" xml:id="action{n}">'
        + _attribute(
            "urn:ihe:iti:appc:2016:document-entry:event-code",
            "CV",
            _cv("2.16.840.1.113883.2.4.3.111.5.10.1", code),
        )
        + "</Attributes>"
        for n, code in enumerate(categories)
    )
    subject = (
        _attribute(
            "urn:oasis:names:tc:xacml:2.0:subject:role",
            "CV",
            _cv("2.16.840.1.113883.2.4.15.111", "01.015"),
        )
        + _attribute(
            "urn:ihe:iti:xua:2017:subject:provider-identifier", "II", _ii("2.16.528.1.1007.3.1", "900000008")
        )
        + _attribute(
            "urn:nl:otv:names:tc:1.0:subject:provider-institution",
            "II",
            _ii("2.16.528.1.1007.3.3", "22222222"),
        )
        + _attribute(
            "urn:nl:otv:names:tc:1.0:subject:consulting-healthcare-facility-type-code",
            "CV",
            _cv("2.16.840.1.113883.2.4.15.1060", asking),
        )
    )
    environment = _attribute(
        "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse", "CV", _cv("2.16.840.1.113883.1.11.20448", purpose)
    )
    return (
        '<S:Envelope xmlns:S="http://www.w3.org/2003/05/soap-envelope"><S:Header '
        'xmlns:a="http://www.w3.org/2005/08/addressing"><a:Action S:mustUnderstand="1">'
        f"XACMLAuthorizationDecisionQueryRequest</a:Action><a:MessageID>urn:uuid:{MESSAGE}</a:MessageID>"
        "<a:ReplyTo><a:Address>http://www.w3.org/2005/08/addressing/anonymous</a:Address></a:ReplyTo>"
        "<a:To>https://mitz.example/geslotenautorisatievraag/xacml3</a:To></S:Header><S:Body>"
        '<q:XACMLAuthzDecisionQuery xmlns:q="urn:oasis:names:tc:xacml:3.0:profile:saml2.0:v2:schema:protocol:wd-14">'
        f'<Request xmlns="{XACML}" CombinedDecision="false" ReturnPolicyIdList="false" xml:id="request">'
        f'<Attributes Category="{category}:resource" xml:id="resource">{resource}</Attributes>{actions}'
        '<Attributes Category="urn:oasis:names:tc:xacml:1.0:subject-category:access-subject" xml:id="subject">'
        f'{subject}</Attributes><Attributes Category="{category}:environment" xml:id="environment">{environment}'
        "</Attributes></Request></q:XACMLAuthzDecisionQuery></S:Body></S:Envelope>"
    )


def subscription(endpoint: str, **members: Any) -> dict[str, Any]:
    base = "http://fhir.nl/StructureDefinition"
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "OTV",
        "extension": [
            {"url": f"{base}/Patient.birthDate", "valueDate": "1970-01-01"},
            {"url": f"{base}/GatewaySystem", "valueOid": "urn:oid:2.16.840.1.113883.2.4.6.6.1"},
            {"url": f"{base}/SourceSystem", "valueOid": "urn:oid:2.16.840.1.113883.2.4.6.6.90000017"},
        ],
        "criteria": f"Consent?_query=otv&patientid={BSN}&providerid=11111111&providertype=V6",
        "channel": {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+xml"},
        **members,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mitz.toml").write_text(TOLD)
    return tmp_path


def _client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://mitz.example", follow_redirects=True
    )


async def ask(folder: Path, body: str, **headers: str) -> httpx.Response:
    sent = {"content-type": "application/soap+xml; charset=UTF-8", "x-request-id": MESSAGE, **headers}
    async with _client(application(folder, "")) as client:
        return await client.post(CLOSED, content=body.encode(), headers=sent)


def decisions(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    root = etree.fromstring(answer.content)
    return [str(one.text) for one in root.iter(f"{{{XACML}}}Decision")]


async def test_a_choice_of_the_patient_permits_and_no_choice_denies(folder: Path) -> None:
    assert decisions(await ask(folder, question())) == ["Permit"]
    assert decisions(await ask(folder, question(asking="V6"))) == ["Deny"]
    assert decisions(await ask(folder, question(patient=NOBODY))) == ["Deny"]
    pharmacy = ("33333333", "J8")
    assert decisions(await ask(folder, question(holder=pharmacy, categories=("GGC013",)))) == ["Permit"]


async def test_a_category_that_the_holder_does_not_have_is_not_applicable(folder: Path) -> None:
    both = question(categories=("GGC002", "GGC013"))
    assert decisions(await ask(folder, both)) == ["Permit", "NotApplicable"]
    assert decisions(await ask(folder, question(purpose="HMARKT"))) == ["NotApplicable"]


async def test_the_answer_relates_to_the_question_and_echoes_it(folder: Path) -> None:
    answer = await ask(folder, question())
    root = etree.fromstring(answer.content)
    assert root.findtext(".//{http://www.w3.org/2005/08/addressing}RelatesTo") == f"urn:uuid:{MESSAGE}"
    numbers = {one.get("extension") for one in root.iter(f"{{{HL7}}}InstanceIdentifier")}
    assert {BSN, "11111111", "22222222"} <= numbers


BROKEN: dict[str, Callable[[str], str]] = {
    "not well-formed": lambda body: body[:-5],
    "a document type": lambda body: f"<!DOCTYPE x>{body}",
    "another action": lambda body: body.replace("DecisionQueryRequest", "Other"),
    "no message id": lambda body: body.replace("urn:uuid:", "uuid:"),
    "no holder": lambda body: body.replace("author-institution:id", "other"),
    "a category twice in one action": lambda body: re.sub(
        r'(<Attribute AttributeId="[^"]*event-code".*?</Attribute>)', r"\1\1", body
    ),
    "no action": lambda body: re.sub(r'<Attributes Category="[^"]*:action".*?</Attributes>', "", body),
    "no provider": lambda body: body.replace("xua:2017:subject:provider-identifier", "other"),
    "a role of another system": lambda body: body.replace("2.4.15.111", "2.4.15.112"),
    "another SOAP": lambda body: body.replace("2003/05/soap-envelope", "2001/12/soap-envelope"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_question_that_is_not_right_gets_a_fault_without_what_it_said(
    folder: Path, name: str
) -> None:
    answer = await ask(folder, BROKEN[name](question()))
    assert answer.status_code == 400 and "Fault" in answer.text and BSN not in answer.text


async def test_the_request_id_is_that_of_the_message(folder: Path) -> None:
    assert (await ask(folder, question(), **{"x-request-id": "another"})).status_code == 400


def _signed(body: str) -> str:
    signer_of = Authority.new("Signers").issue("mitz client", key=new_key(2048))
    root = etree.fromstring(body)
    request = root.find(f".//{{{XACML}}}Request")
    assert request is not None
    parent = request.getparent()
    assert parent is not None
    signer = XMLSigner(c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#")
    made = signer.sign(
        parent, key=signer_of.key_pem, cert=signer_of.pem, reference_uri="#request", id_attribute=None
    )
    signature = made.find("{http://www.w3.org/2000/09/xmldsig#}Signature")
    assert signature is not None
    made.insert(0, signature)
    envelope_body = root.find("{http://www.w3.org/2003/05/soap-envelope}Body")
    assert envelope_body is not None
    envelope_body[:] = [made]
    return etree.tostring(root).decode()


async def test_a_signature_is_checked_and_can_be_required(folder: Path) -> None:
    (folder / "mitz.toml").write_text(f"signed = true\n{TOLD}")
    assert (await ask(folder, question())).status_code == 400
    signed = _signed(question())
    assert decisions(await ask(folder, signed)) == ["Permit"]
    forged = signed.replace("22222222", "22222223")
    assert (await ask(folder, forged)).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "active"},
        {"reason": "other"},
        {"extension": []},
        {"criteria": "Consent?_query=otv&patientid=1&providerid=11111111&providertype=V6"},
        {"criteria": f"Consent?_query=otv&patientid={BSN}&providerid=11111111&providertype=G5"},
        {"channel": {"type": "rest-hook", "endpoint": "https://elsewhere.example/x", "payload": "x"}},
    ],
)
async def test_a_subscription_that_is_not_right_is_refused(folder: Path, wrong: dict[str, Any]) -> None:
    async with _client(application(folder, "")) as client:
        answer = await client.post(SUBSCRIBE, json=subscription("http://127.0.0.1:1/x", **wrong))
    assert answer.status_code == 422 and answer.json()["resourceType"] == "OperationOutcome"


async def _log_in(client: httpx.AsyncClient) -> str:
    page = await client.post("/login", data={"bsn": BSN})
    found = re.search('name="secret" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


async def test_a_patient_sets_choices_on_the_page_and_they_decide(folder: Path) -> None:
    async with _client(page_application(folder, "")) as client:
        secret = await _log_in(client)
        form = {"secret": secret, "GGC002-RPZAC104": "yes", "11111111-RPZAC001": "no"}
        saved = await client.post("/choices", data=form)
        assert "Uw keuzes zijn opgeslagen" in saved.text
        assert (await client.post("/choices", data={**form, "secret": "guessed"})).status_code == 403
        english = await client.get("/", headers={"accept-language": "en"})
        assert "Your choice" not in english.text and "Save" in english.text
    assert decisions(await ask(folder, question())) == ["Deny"]  # The one for this hospital goes first.
    assert decisions(await ask(folder, question(asking="V6"))) == ["Permit"]


@contextlib.asynccontextmanager
async def _node(received: list[bytes], answers: list[int], port: int) -> AsyncIterator[None]:
    async def notify(request: Request) -> Response:
        body = await request.body()
        status = answers.pop(0) if answers else 204
        if status == 204:
            received.append(body)
        return Response(status_code=status)

    app = Starlette(routes=[Route("/notify", notify, methods=["POST"])])
    async with serving("127.0.0.1", [Facility("node", app, port)]):
        yield


async def test_a_change_is_told_to_who_subscribed_until_it_has_arrived(folder: Path) -> None:
    received: list[bytes] = []
    mitz, page, node = free_ports(3)
    facilities = [
        Facility("mitz", application(folder, ""), mitz),
        Facility("mitz-page", page_application(folder, ""), page),
    ]
    async with (
        _node(received, [503], node),
        serving("127.0.0.1", facilities),
        httpx.AsyncClient(follow_redirects=True) as client,
    ):
        wanted = subscription(f"http://127.0.0.1:{node}/notify")
        first = await client.post(f"http://127.0.0.1:{mitz}{SUBSCRIBE}", json=wanted)
        again = await client.post(f"http://127.0.0.1:{mitz}{SUBSCRIBE}", json=wanted)
        assert first.status_code == 201 and first.headers["location"] == again.headers["location"]
        client.base_url = httpx.URL(f"http://127.0.0.1:{page}")
        secret = await _log_in(client)
        await client.post("/choices", data={"secret": secret, "GGC002-RPZAC104": "yes"})
        for _ in range(100):
            if received:
                break
            await asyncio.sleep(0.1)
    [body] = received
    bundle = parse(body, definitions("r4"))
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert sorted(kinds) == ["Consent", "Consent", "Organization", "Patient"]
    permitted = next(e["resource"] for e in bundle["entry"] if e["resource"].get("status") == "active")
    codes = [one["valueCodeableConcept"]["coding"][0]["code"] for one in permitted["extension"]]
    assert codes == ["RPZAC001", "RPZAC104"] and permitted["provision"]["type"] == "permit"
    refused = next(e["resource"] for e in bundle["entry"] if e["resource"].get("status") == "inactive")
    assert "type" not in refused["provision"]
