"""What may not be brought at the guarded door: each fault alone refuses the whole Bundle, and nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from tests.deliveries import (
    BY,
    FOR,
    SUBJECT,
    TAG,
    Bundle,
    asking,
    code,
    entry,
    ids,
    prescription,
    receiving,
    rows,
    send,
)
from tests.guarded import coded, patient
from tests.nation import ALLOWS, REFUSES, Nation, nation
from tests.nodes import RunningNode
from tests.proofs import proof
from tests.whole import (
    Asker,
)

from schakel.kernel.values import BSN_OID, BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, country: Nation) -> AsyncIterator[RunningNode]:
    async with receiving(cluster, "deliveries_refused", country) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asker(country: Nation, node: RunningNode) -> Asker:
    return await asking(country, node, ALLOWS)


# -- what may not be brought ---------------------------------------------------------------------------------


def changed(place: int, **members: Any) -> Callable[[Bundle], object]:
    return lambda bundle: bundle["entry"][place]["resource"].update(members)


def asked(place: int, **members: Any) -> Callable[[Bundle], object]:
    return lambda bundle: bundle["entry"][place]["request"].update(members)


def also(full_url: str, resource: dict[str, Any]) -> Callable[[Bundle], object]:
    return lambda bundle: bundle["entry"].append(entry(full_url, resource))


MORE = "urn:uuid:00000000-0000-4000-8000-000000000009"
THEIRS = {k: v for k, v in patient("x", REFUSES).items() if k != "id"}
OBSERVED: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": coded("http://loinc.org", "29463-7"),
}
INVALID: dict[str, Callable[[Bundle], object]] = {
    "an update": asked(0, method="PUT", url="MedicationRequest/mine"),
    "a delete": asked(2, method="DELETE", url="Medication/m"),
    "a read": asked(2, method="GET", url="Patient/refuses"),
    "a search": asked(2, method="GET", url="Patient"),
    "an operation": asked(2, url="Medication/$validate"),
    "a create on a condition": asked(1, ifNoneExist=f"identifier={BSN_SYSTEM}|{REFUSES}"),
    "a create with a query": asked(1, url="Patient?identifier=1"),
    "no fullUrl": lambda bundle: bundle["entry"][2].pop("fullUrl"),
    "a fullUrl that is an address": lambda bundle: bundle["entry"][2].update(
        fullUrl="https://x.example/fhir/Medication/1"
    ),
    "one fullUrl twice": lambda bundle: bundle["entry"][2].update(fullUrl=BY),
    "a reference to a resource of ours": changed(0, reasonReference=[{"reference": "Condition/refuses"}]),
    "a reference to a patient of ours": changed(0, subject={"reference": "Patient/refuses"}),
    "a reference that is a search": changed(0, reasonReference=[{"reference": "Condition?code=1"}]),
    "a reference to what is not there": changed(0, reasonReference=[{"reference": MORE}]),
    "something contained": changed(0, contained=[{"resourceType": "Medication", "id": "c"}]),
    "no patient": lambda bundle: bundle["entry"].pop(1),
    "two patients": also(MORE, THEIRS),
    "a patient without a BSN": changed(1, identifier=[{"system": "urn:x", "value": "1"}]),
    "a patient whose BSN has the system of version 2": changed(
        1, identifier=[{"system": BSN_OID, "value": ALLOWS}]
    ),
    "a patient with two BSNs": changed(
        1, identifier=[{"system": BSN_SYSTEM, "value": one} for one in (ALLOWS, REFUSES)]
    ),
    "a patient who is linked to another": changed(
        1,
        link=[
            {"type": "seealso", "other": {"identifier": {"system": BSN_SYSTEM, "value": REFUSES}}},
        ],
    ),
    "a block about nobody": changed(0, subject={"display": "somebody"}),
    "a block about another as well": changed(
        0, subject={**SUBJECT, "identifier": {"system": BSN_SYSTEM, "value": REFUSES}}
    ),
    "an observation about nobody": also(MORE, OBSERVED),
    "a practitioner to whom nothing leads": also(MORE, {"resourceType": "Practitioner"}),
    "what FHIR does not know": changed(2, colour="red"),
    "a resource that is no list of entries": lambda bundle: bundle.update(entry={}),
}
NO_FORM: dict[str, Callable[[Bundle], object]] = {
    "a type that no form has": also(
        MORE, {"resourceType": "Flag", "status": "active", "code": coded("urn:x", "1"), "subject": SUBJECT}
    ),
    "a Task": also(MORE, {"resourceType": "Task", "status": "requested", "intent": "order", "for": SUBJECT}),
    "another category": changed(0, category=[coded("http://snomed.info/sct", "16076005")]),
    "another intent": changed(0, intent="reflex-order"),
    "another tag": changed(0, meta={"tag": [TAG, {"system": "urn:x", "code": "other"}]}),
    "no block": changed(0, resourceType="Observation", status="final", code=coded("urn:x", "1")),
}


@pytest.mark.parametrize("case", INVALID)
async def test_what_may_not_be_brought_is_named_and_nothing_is_written(
    node: RunningNode, asker: Asker, case: str
) -> None:
    bundle, before = prescription(ALLOWS, number="wrong"), await rows(node)
    INVALID[case](bundle)
    answer = await send(asker, bundle)
    assert answer.status_code in (400, 422), answer.text
    [issue] = answer.json()["issue"]
    assert "Bundle" in issue["diagnostics"] and "refuses" not in issue["diagnostics"]
    assert await rows(node) == before


@pytest.mark.parametrize("case", NO_FORM)
async def test_a_bundle_that_is_no_form_is_refused(node: RunningNode, asker: Asker, case: str) -> None:
    bundle, before = prescription(ALLOWS, number="wrong"), await rows(node)
    NO_FORM[case](bundle)
    if case == "no block":
        resource = bundle["entry"][0]["resource"]
        bundle["entry"][0]["resource"] = {
            **OBSERVED,
            "subject": SUBJECT,
            "performer": [resource["requester"]],
        }
        bundle["entry"][0]["request"]["url"] = "Observation"
        del bundle["entry"][2]
    answer = await send(asker, bundle)
    assert code(answer) == (403, "form-not-allowed"), answer.text
    assert await rows(node) == before


async def test_what_is_at_an_own_address_is_not_referred_to(node: RunningNode, asker: Asker) -> None:
    before = await rows(node)
    for base in (f"{asker.door}/fhir/r4", node["a"].internal_base("r4")):
        bundle = prescription(ALLOWS, number="own")
        bundle["entry"][0]["resource"]["reasonReference"] = [{"reference": f"{base}/Condition/refuses"}]
        assert (await send(asker, bundle)).status_code == 422
    elsewhere = prescription(ALLOWS, number="elsewhere")
    elsewhere["entry"][0]["resource"]["reasonReference"] = [
        {"reference": "https://gp.example/fhir/Condition/1"}
    ]
    assert await rows(node) == before
    ids(await send(asker, elsewhere))


async def test_an_attachment_leads_to_nothing_of_ours(node: RunningNode, asker: Asker) -> None:
    answer = await node["a"].internal_r4.put(
        "Binary/ours",
        json={"resourceType": "Binary", "id": "ours", "contentType": "text/plain", "data": "aGk="},
    )
    assert answer.status_code == 201, answer.text
    before = await rows(node)
    reply = {
        "resourceType": "Communication",
        "meta": {"tag": [TAG]},
        "status": "completed",
        "subject": SUBJECT,
        "payload": [{"contentAttachment": {"url": "Binary/ours"}}],
    }
    bundle = prescription(ALLOWS)
    bundle["entry"] = [entry(FOR, reply), bundle["entry"][1]]
    assert code(await send(asker, bundle)) == (422, "delivery-invalid")
    assert await rows(node) == before
    del reply["payload"]
    assert len(ids(await send(asker, bundle))) == 2


async def test_more_entries_than_the_setting_are_refused_by_its_name(node: RunningNode, asker: Asker) -> None:
    bundle = prescription(ALLOWS)
    most = node.settings.limits.guarded_entries
    bundle["entry"] += [
        entry(f"urn:uuid:00000000-0000-4000-9000-{n:012}", {"resourceType": "Practitioner"})
        for n in range(most)
    ]
    answer = await send(asker, bundle)
    assert code(answer) == (400, "too-costly") and "limits.guarded_entries" in answer.text


async def test_a_delivery_inside_a_batch_is_refused(node: RunningNode, asker: Asker) -> None:
    before = await rows(node)
    inner = {"resource": prescription(ALLOWS), "request": {"method": "POST", "url": ""}}
    answer = await send(asker, {"resourceType": "Bundle", "type": "batch", "entry": [inner]})
    [one] = answer.json()["entry"]
    assert one["response"]["status"] == "400" and "Bundle inside a batch" in str(one)
    assert await rows(node) == before


# -- $latest-stops -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["$latest-stops", "MedicationRequest/$latest-stops"])
async def test_latest_stops_is_not_asked_at_this_door(asker: Asker, path: str) -> None:
    url = f"{asker.door}/fhir/r4/{path}"
    assert asker.key is not None
    headers = {
        "Authorization": f"DPoP {asker.token}",
        "DPoP": proof("POST", url, asker.token, key=asker.key),
    }
    identifier = {"system": BSN_SYSTEM, "value": ALLOWS}
    parameters = {
        "resourceType": "Parameters",
        "parameter": [{"name": "patient", "valueIdentifier": identifier}],
    }
    async with asker.client() as client:
        answer = await client.post(url, json=parameters, headers=headers)
    assert code(answer) == (405, "interaction-not-allowed")
