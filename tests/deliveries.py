"""What others bring: a prescription as a Bundle, and the way in at the *back* of a hospital."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from tests.guarded import coded, patient
from tests.nation import ALLOWS, REFUSES, TYPE, Nation
from tests.nodes import RunningNode
from tests.proofs import proof
from tests.whole import (
    DELEGATION,
    ENROLMENT,
    Asker,
    enrolled,
    hospital,
)

from schakel.store.embedded import EmbeddedServer

SCOPE = "medicatieoverdracht-gf"
NEW, NEWER = "999900006", "999900018"
"""Patients whom the hospital does not know."""

TAG = {"system": "http://terminology.hl7.org/CodeSystem/common-tags", "code": "actionable"}
WHO, WHAT, BY, FOR = (f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in range(1, 5))
SUBJECT = {"reference": WHO}
TABLES = ("resource", "history", "index_token", "index_reference", "outbox")
Bundle = dict[str, Any]


def entry(full_url: str, resource: dict[str, Any]) -> dict[str, Any]:
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": full_url, "resource": resource, "request": request}


def prescription(bsn: str, *, number: str = "1", actionable: bool = True) -> Bundle:
    """A prescription: a medication agreement with the medication and who prescribed it."""
    who = {k: v for k, v in patient("x", bsn, name=[{"family": "Zender"}]).items() if k != "id"}
    agreement = {
        "resourceType": "MedicationRequest",
        "identifier": [{"system": "urn:oid:1.2.3", "value": number}],
        "status": "active",
        "intent": "order",
        "category": [coded("http://snomed.info/sct", "33633005")],
        "medicationReference": {"reference": WHAT},
        "subject": {"reference": WHO},
        "requester": {"reference": BY},
    }
    if actionable:
        agreement["meta"] = {"tag": [TAG]}
    medication = {"resourceType": "Medication", "code": coded("http://snomed.info/sct", "387517004")}
    by = {"resourceType": "Practitioner", "name": [{"family": "Arts"}]}
    entries = [entry(FOR, agreement), entry(WHO, who), entry(WHAT, medication), entry(BY, by)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


@asynccontextmanager
async def receiving(cluster: EmbeddedServer, name: str, country: Nation) -> AsyncIterator[RunningNode]:
    """A hospital that takes medication in and knows two patients; `name` is as in `hospital`."""
    issuers = {kind: [country.issuer_did] for kind in (ENROLMENT, DELEGATION, TYPE)}
    async with hospital(cluster, name, country, trust={"issuers": issuers}) as running:
        for known, bsn in (("allows", ALLOWS), ("refuses", REFUSES)):
            answer = await running["a"].internal_r4.put(f"Patient/{known}", json=patient(known, bsn))
            assert answer.status_code == 201, answer.text
        yield running


async def asking(country: Nation, node: RunningNode, bsn: str) -> Asker:
    """The GP with a token for medication of the patient who is enrolled there."""
    return await Asker.presenting(country, node, await enrolled(country, bsn), SCOPE)


async def send(asker: Asker, bundle: Bundle, **headers: str) -> httpx.Response:
    """A POST on the base of the guarded door on back."""
    url = f"{asker.door}/fhir/r4"
    shown = {"Authorization": f"Bearer {asker.token}"}
    if asker.key is not None:
        proved = proof("POST", url, asker.token, key=asker.key)
        shown = {"Authorization": f"DPoP {asker.token}", "DPoP": proved}
    async with asker.client() as client:
        return await client.post(url, json=bundle, headers={**shown, **headers})


async def rows(node: RunningNode) -> dict[str, int]:
    """The number of rows per table that a delivery could change."""
    return {one: await node.node.pool.fetchval(f"SELECT count(*) FROM {one}") for one in TABLES}


async def found(node: RunningNode, search: str) -> list[dict[str, Any]]:
    """What the EHR finds."""
    answer = await node["a"].internal_r4.get(search)
    assert answer.status_code == 200, answer.text
    return [one["resource"] for one in answer.json().get("entry", [])]


def ids(answer: httpx.Response) -> list[str]:
    """The addresses of what an answer gives, in the order of the Bundle."""
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["type"] == "transaction-response"
    return [one["fullUrl"].rpartition("/fhir/r4/")[2] for one in told["entry"]]


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal that says why."""
    [issue] = answer.json()["issue"]
    return answer.status_code, issue["details"]["coding"][0]["code"]
