"""`$latest-stops` (MP9): what runs, and how each treatment was last stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest_asyncio
from tests.fhir_door import XML, patient, refusal
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir import definitions, xml
from schakel.kernel.clock import AMSTERDAM, now
from schakel.store.embedded import EmbeddedServer

EXT = "http://nictiz.nl/fhir/StructureDefinition/"
NUMBERS = "http://fhir.nl/fhir/NamingSystem/bsn"
MBH = "urn:oid:2.16.840.1.113883.2.4.3.11.999.77.1.1"
SCT = "http://snomed.info/sct"
MA, WDS, TA = "33633005", "395067002", "422037009"
BSN, OTHER = "999900018", "999900031"


def day(shift: int) -> str:
    return (now().astimezone(AMSTERDAM) + timedelta(days=shift)).date().isoformat()


def block(
    logical_id: str,
    category: str,
    treatment: str,
    period: tuple[int | None, int | None] | None,
    *,
    stop: int | None = None,
    owner: str = "p",
) -> dict[str, Any]:
    """A building block: days from now of its period of use, and of writing a stop."""
    kind = "MedicationDispense" if category == TA else "MedicationRequest"
    extensions: list[dict[str, Any]] = [
        {
            "url": f"{EXT}ext-PharmaceuticalTreatment.Identifier",
            "valueIdentifier": {"system": MBH, "value": treatment},
        }
    ]
    if period is not None:
        shown = {
            name: day(shift)
            for name, shift in zip(("start", "end"), period, strict=True)
            if shift is not None
        }
        extensions.append({"url": f"{EXT}ext-TimeInterval.Period", "valuePeriod": shown})
    concept = {"coding": [{"system": SCT, "code": category}]}
    found: dict[str, Any] = {
        "resourceType": kind,
        "id": logical_id,
        "extension": extensions,
        "status": "completed",
    }
    if stop is not None:
        found["modifierExtension"] = [{"url": f"{EXT}ext-StopType", "valueCodeableConcept": {"text": "stop"}}]
    found |= {
        "medicationCodeableConcept": {"text": "paracetamol"},
        "subject": {"reference": f"Patient/{owner}"},
    }
    moment = f"{day(stop if stop is not None else -400)}T12:00:00Z"
    if kind == "MedicationRequest":
        return found | {"intent": "order", "category": [concept], "authoredOn": moment}
    name = f"{EXT}ext-AdministrationAgreement.AdministrationAgreementDateTime"
    extensions.append({"url": name, "valueDateTime": moment})
    return found | {"category": concept}


BLOCKS = (
    block("runs", MA, "1", (-30, None)),
    block("to-come", MA, "2", (5, 20)),
    block("last-day", MA, "7", (-90, 0)),
    block("ended", MA, "3", (-90, -60)),
    block("ended-yesterday", MA, "3", (-90, -1)),
    block("stopped", MA, "4", (-90, -50)),
    block("first-stop", MA, "4", (-90, -70), stop=-70),
    block("latest-stop", MA, "4", (-90, -50), stop=-50),
    block("timeless", MA, "5", None),
    block("timeless-stop", MA, "6", None, stop=-40),
    block("timeless-older-stop", MA, "6", None, stop=-45),
    block("dosing-runs", WDS, "1", (-3, 3)),
    block("dosing-ended", WDS, "1", (-9, -4)),
    block("agreed-runs", TA, "1", (-30, None)),
    block("agreed-stop", TA, "4", (-90, -50), stop=-50),
    block("of-another", MA, "1", (-30, None), owner="q"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "stops") as make, running_node(make, limits={"page_max": 8}) as node:
        door = node["a"].internal_r4
        for owner, number in (("p", BSN), ("q", OTHER)):
            named = patient(owner, identifier=[{"system": NUMBERS, "value": number}])
            assert (await door.put(f"Patient/{owner}", json=named)).status_code == 201
        for one in BLOCKS:
            answer = await door.put(f"{one['resourceType']}/{one['id']}", json=one)
            assert answer.status_code == 201, answer.text
        yield node


@pytest_asyncio.fixture
async def door(node: RunningNode) -> httpx.AsyncClient:
    return node["a"].internal_r4


def asked(*treatments: str, category: str = "", details: bool = False, number: str = BSN) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"name": "patient", "valueIdentifier": {"system": NUMBERS, "value": number}},
        *({"name": "mbh", "valueIdentifier": {"system": MBH, "value": one}} for one in treatments),
    ]
    if category:
        concept = {"coding": [{"system": SCT, "code": category}]}
        parts.append({"name": "category", "valueCodeableConcept": concept})
    if details:
        parts.append({"name": "include-details", "valueBoolean": True})
    return {"resourceType": "Parameters", "parameter": parts}


def ids(bundle: dict[str, Any], mode: str = "match") -> set[str]:
    found = [e["resource"]["id"] for e in bundle.get("entry", []) if e["search"]["mode"] == mode]
    assert len(found) == len(set(found))
    return set(found)


AGREEMENTS = {"runs", "to-come", "last-day", "latest-stop", "timeless", "timeless-stop"}


async def test_what_runs_and_the_latest_stop_of_each_treatment(door: httpx.AsyncClient) -> None:
    answer = await door.post("$latest-stops", json=asked())
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert ids(bundle) == AGREEMENTS | {"dosing-runs", "agreed-runs", "agreed-stop"}
    assert bundle["total"] == 9 and not ids(bundle, "include")
    base = str(door.base_url).rstrip("/")
    assert bundle["link"] == [{"relation": "self", "url": f"{base}/$latest-stops"}]


async def test_the_type_and_the_category_say_which_kinds(door: httpx.AsyncClient) -> None:
    answer = await door.post("MedicationRequest/$latest-stops", json=asked())
    assert ids(answer.json()) == AGREEMENTS | {"dosing-runs"}
    answer = await door.post("MedicationDispense/$latest-stops", json=asked())
    assert ids(answer.json()) == {"agreed-runs", "agreed-stop"}
    for path in ("$latest-stops", "MedicationRequest/$latest-stops"):
        assert ids((await door.post(path, json=asked(category=WDS))).json()) == {"dosing-runs"}
    refused = await door.post("MedicationDispense/$latest-stops", json=asked(category=MA))
    assert "category" in refusal(refused, 400)


async def test_treatments_can_be_named(door: httpx.AsyncClient) -> None:
    assert ids((await door.post("$latest-stops", json=asked("4"))).json()) == {"latest-stop", "agreed-stop"}
    found = ids((await door.post("$latest-stops", json=asked("2", "3"))).json())
    assert found == {"to-come"}
    assert ids((await door.post("$latest-stops", json=asked("4,2"))).json()) == set()


async def test_the_blocks_behind_it_come_on_request(door: httpx.AsyncClient) -> None:
    bundle = (
        await door.post("MedicationRequest/$latest-stops", json=asked("4", category=MA, details=True))
    ).json()
    assert ids(bundle) == {"latest-stop"} and bundle["total"] == 1
    assert ids(bundle, "include") == {"stopped", "first-stop", "agreed-stop"}


async def test_another_patient_has_other_treatments(node: RunningNode, door: httpx.AsyncClient) -> None:
    assert ids((await door.post("$latest-stops", json=asked(number=OTHER))).json()) == {"of-another"}
    assert ids((await door.post("$latest-stops", json=asked(number="999900043"))).json()) == set()
    neighbour = await node["b"].internal_r4.post("$latest-stops", json=asked())
    assert neighbour.json()["total"] == 0 and not ids(neighbour.json())


async def test_in_xml(door: httpx.AsyncClient) -> None:
    body = xml.dump(asked("4"), definitions("r4"))
    answer = await door.post("$latest-stops", content=body, headers={"Content-Type": XML, "Accept": XML})
    assert ids(xml.parse(answer.content, definitions("r4"))) == {"latest-stop", "agreed-stop"}


async def test_what_cannot_be_asked(node: RunningNode, door: httpx.AsyncClient) -> None:
    assert "patient" in refusal(await door.post("$latest-stops", json={"resourceType": "Parameters"}), 400)
    refusal(await door.get("$latest-stops"), 405)
    assert "Parameters" in refusal(await door.post("$latest-stops?patient=1", json=asked()), 400)
    refusal(await door.post("MedicationStatement/$latest-stops", json=asked()), 400)
    refusal(await node["a"].internal.post("$latest-stops", json=asked()), 400)


async def test_a_kind_has_at_most_a_page(node: RunningNode, door: httpx.AsyncClient) -> None:
    for number in range(9):
        one = block(f"many-{number}", MA, "many", (-1, None), owner="q")
        assert (await door.put(f"MedicationRequest/{one['id']}", json=one)).status_code == 201
    assert "limits.page_max" in refusal(await door.post("$latest-stops", json=asked(number=OTHER)), 400)
    assert ids((await door.post("$latest-stops", json=asked("1", number=OTHER))).json()) == {"of-another"}
