"""A holder with two patients' data and one requester's way through its guarded door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from tests.nodes import RunningNode, RunningOrganisation, databases, running_node

from schakel.kernel.values import BSN_OID, BSN_SYSTEM
from schakel.server.answer import CODES
from schakel.store.embedded import EmbeddedServer

BSN, OTHER, NOBODY = "999911120", "999990019", "999229588"
MINE, THEIRS = {"reference": "Patient/p1"}, {"reference": "Patient/p2"}
NAMED = f"patient.identifier={BSN_SYSTEM}|{BSN}"
SEARCH = f"Condition?{NAMED}"
LOINC = "http://loinc.org"
LAB = ("http://snomed.info/sct", "49581000146104")


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": code}]}


def patient(logical_id: str, bsn: str, **members: Any) -> dict[str, Any]:
    identifier = [{"system": BSN_SYSTEM, "value": bsn}]
    return {"resourceType": "Patient", "id": logical_id, "identifier": identifier, **members}


def condition(logical_id: str, subject: dict[str, Any], **members: Any) -> dict[str, Any]:
    code = coded("http://snomed.info/sct", "73211009")
    return {
        "resourceType": "Condition",
        "id": logical_id,
        "clinicalStatus": "active",
        "subject": subject,
        "code": code,
        **members,
    }


def observation(
    logical_id: str, subject: dict[str, Any], code: str = "85354-9", **members: Any
) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": logical_id,
        "status": "final",
        "code": coded(LOINC, code),
        "subject": subject,
        "effectiveDateTime": "2024-02-28",
        **members,
    }


def plain(kind: str, logical_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": logical_id, **members}


def provenance(logical_id: str, *targets: str) -> dict[str, Any]:
    return plain(
        "Provenance",
        logical_id,
        target=[{"reference": t} for t in targets],
        recorded="2024-02-28T12:00:00Z",
        agent=[{"whoUri": "urn:oid:1.2.3"}],
    )


RESOURCES = [
    patient("p1", BSN, generalPractitioner=[{"reference": "Practitioner/gp"}]),
    patient("p2", OTHER, generalPractitioner=[{"reference": "Practitioner/theirs"}]),
    plain("Practitioner", "gp"),
    plain("Practitioner", "theirs"),
    plain("Practitioner", "unlinked"),
    plain("Organization", "insurer", name="Insurer"),
    plain("Organization", "unlinked", name="Other"),
    plain("Medication", "m1", code=coded("http://snomed.info/sct", "387517004")),
    plain("Medication", "m2", code=coded("http://snomed.info/sct", "387517004")),
    condition("c1", MINE),
    condition("c2", THEIRS),
    condition("both", MINE, asserter=THEIRS),
    condition("contradiction", {**MINE, "identifier": {"system": BSN_SYSTEM, "value": OTHER}}),
    condition("oid", {**MINE, "identifier": {"system": BSN_OID, "value": OTHER}}),
    condition("elsewhere", {"reference": "https://elsewhere.example/fhir/Patient/p1"}),
    observation("blood-pressure", MINE),
    observation("no-row", MINE, code="1234-5"),
    observation(
        "lab",
        MINE,
        category=[coded(*LAB)],
        related=[
            {"type": "has-member", "target": {"reference": "Observation/member"}},
            {"type": "has-member", "target": {"reference": "Observation/strangers"}},
        ],
    ),
    observation("member", MINE, code="2345-7"),
    observation("strangers", THEIRS, code="2345-7"),
    plain("Coverage", "cov", beneficiary=MINE, payor=[{"reference": "Organization/insurer"}]),
    plain("Coverage", "paid-by-other", beneficiary=MINE, payor=[THEIRS]),
    plain(
        "MedicationRequest",
        "agreed",
        intent="order",
        subject=MINE,
        category=coded("http://snomed.info/sct", "16076005"),
        medicationReference={"reference": "Medication/m1"},
    ),
    plain(
        "MedicationRequest",
        "other-kind",
        intent="order",
        subject=MINE,
        category=coded("http://snomed.info/sct", "1"),
        medicationReference={"reference": "Medication/m2"},
    ),
    plain("Medication", "m3", code=coded("http://snomed.info/sct", "387517004")),
    plain(
        "MedicationRequest",
        "contradiction",
        intent="order",
        subject={**MINE, "identifier": {"system": BSN_SYSTEM, "value": OTHER}},
        category=coded("http://snomed.info/sct", "16076005"),
        medicationReference={"reference": "Medication/m3"},
    ),
    provenance("of-c1", "Condition/c1"),
    provenance("of-p1", "Patient/p1"),
    {**provenance("with-another-inside", "Patient/p1"), "contained": [patient("x", OTHER)]},
    provenance("of-medication", "MedicationRequest/agreed", "Medication/m1"),
    provenance("of-two", "Condition/c1", "Condition/c2"),
    provenance("of-no-row", "Condition/c1", "Observation/no-row"),
    *(plain("Flag", f"f{n}", status="active", code=coded("urn:x", str(n)), subject=MINE) for n in range(5)),
]


@asynccontextmanager
async def guarded_node(cluster: EmbeddedServer, name: str, **settings: Any) -> AsyncIterator[RunningNode]:
    """A node of a (the holder, with `RESOURCES`), b and c; `name` is unique in the test process, `settings` are as in
    `running_node`."""
    async with (
        databases(cluster, name) as make,
        running_node(
            make, ("a", "b", "c"), **{"write_check": "lenient", "token_lifetime": 30, **settings}
        ) as running,
    ):
        entries = [
            {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
            for r in RESOURCES
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        headers = {"Content-Type": "application/fhir+json"}
        answer = await running["a"].internal.post("", json=bundle, headers=headers)
        assert answer.status_code == 200, answer.text
        yield running


class Door:
    """One requester's way through the guarded door of one holder."""

    @classmethod
    async def opened(cls, node: RunningNode) -> Door:
        """The door of a for b, with a ground for the BgZ of the patient and no other."""
        await node.node.pool.execute("TRUNCATE disclosure_ground")
        await node["a"].ground(BSN, node["b"].ura)
        return cls(node["a"], node["b"], await node["b"].token(node["a"]))

    def __init__(self, holder: RunningOrganisation, requester: RunningOrganisation, token: str) -> None:
        self.holder = holder
        self.requester = requester
        self.token = token

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.holder.front.request(method, path, headers=headers, **options)

    async def get(self, path: str) -> httpx.Response:
        return await self.send("GET", path)

    async def logged(self, decision: str) -> list[dict[str, Any]]:
        """The events in the holder's log under a decision."""
        root = f"{self.holder.internal_root}/{self.holder.slug}/log/fhir/r4/AuditEvent"
        answer = await self.holder.internal.get(root, params={"entity:identifier": decision})
        assert answer.status_code == 200, answer.text
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    async def reason(self, answer: httpx.Response) -> str:
        """The reason in the log of a refusal that tells its caller nothing but the decision's id."""
        assert answer.status_code == 403, answer.text
        decision = answer.headers["X-Decision-ID"]
        assert answer.json() == {
            "resourceType": "OperationOutcome",
            "issue": [
                {
                    "severity": "error",
                    "code": "forbidden",
                    "diagnostics": f"this request was refused; decision {decision}",
                    "details": {
                        "coding": [{"system": CODES, "code": "refused", "display": "refused"}],
                    },
                }
            ],
        }
        [event] = await self.logged(decision)
        assert event["outcome"] == "4"
        return str(event["outcomeDesc"])


def keys(answer: httpx.Response) -> set[str]:
    """`Type/id` of what stands in a searchset."""
    assert answer.status_code == 200, answer.text
    resources = [entry["resource"] for entry in answer.json().get("entry", [])]
    return {f"{r['resourceType']}/{r['id']}" for r in resources}
