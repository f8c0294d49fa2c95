"""Hybrid care counted from the record of an organisation, at a running node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from tests.nodes import MakeDatabase, RunningNode, RunningOrganisation, running_node

from schakel.commands.doors import Door
from schakel.commands.hybrid_count import count_record
from schakel.fhir.definitions import Version
from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Invalid

TODAY = now().astimezone(AMSTERDAM).date()
YEAR = str(TODAY.year)
SNOMED = "http://snomed.info/sct"
HEART = f"{SNOMED}|84114007"
PROTOCOL = "http://north.example/PlanDefinition/hartfalen"
BSNS = ("999911120", "999900006", "999901230", "999991772")


@pytest_asyncio.fixture(loop_scope="session")
async def node(make_database: MakeDatabase, tmp_path: Path) -> AsyncIterator[RunningNode]:
    key = tmp_path / "pseudonyms.key"
    key.write_text("k" * 40)
    roadmap = {"region": "Regio Test", "keepers": ["a"], "pseudonym_key": key}
    async with running_node(make_database, roadmap=roadmap, limits={"page": 2}) as made:
        yield made


async def put(a: RunningOrganisation, version: Version, **resource: object) -> None:
    """Writes a resource; `kind` is its type."""
    body = {"resourceType": resource.pop("kind"), **resource}
    url = f"{a.internal_base(version)}/{body['resourceType']}/{body['id']}"
    answer = await a.internal.put(url, json=body)
    assert answer.status_code in (200, 201), answer.text


async def patient(a: RunningOrganisation, version: Version, number: int, bsn: str = "") -> None:
    identifier = [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": bsn}] if bsn else []
    await put(
        a, version, kind="Patient", id=f"p{number}", **({"identifier": identifier} if identifier else {})
    )


async def condition(a: RunningOrganisation, version: Version, number: int) -> None:
    active: object = "active"
    if version == "r4":
        system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
        active = {"coding": [{"system": system, "code": "active"}]}
    await put(
        a,
        version,
        kind="Condition",
        id=f"c{number}",
        subject={"reference": f"Patient/p{number}"},
        clinicalStatus=active,
        code={"coding": [{"system": SNOMED, "code": "84114007"}]},
        onsetDateTime=f"{TODAY.year - 1}-03-01",
    )


async def care_plan(a: RunningOrganisation, version: Version, number: int) -> None:
    follows = (
        {"definition": [{"reference": PROTOCOL}]}
        if version == "stu3"
        else {"instantiatesCanonical": [f"{PROTOCOL}|2.0"]}
    )
    await put(
        a,
        version,
        kind="CarePlan",
        id=f"cp{number}",
        status="active",
        intent="plan",
        subject={"reference": f"Patient/p{number}"},
        period={"start": f"{TODAY.year}-01-01"},
        **follows,
    )


async def measurement(a: RunningOrganisation, version: Version, number: int, performer: str) -> None:
    await put(
        a,
        version,
        kind="Observation",
        id=f"o{number}",
        status="final",
        code={"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        subject={"reference": f"Patient/p{number}"},
        performer=[{"reference": performer}],
        effectiveDateTime=TODAY.isoformat(),
    )


async def send(
    a: RunningOrganisation, kind: str, rows: list[dict[str, object]], **query: str
) -> dict[str, object]:
    url = f"{a.internal_root}/{a.slug}/roadmap/hybrid/{kind}"
    answer = await a.internal.post(url, content=orjson.dumps(rows), params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


async def people(a: RunningOrganisation, pathway: str = "hartfalen") -> dict[str, object]:
    answer = await a.internal.get(f"{a.internal_root}/{a.slug}/roadmap/hybrid")
    [own] = answer.json()["organisations"]
    return next(one["people"] for one in own["pathways"] if one["id"] == pathway)


def pathway(name: str = "hartfalen", **changes: object) -> dict[str, object]:
    return {
        "id": name,
        "name": name,
        "sector": "MSZ",
        "suitability": "yes",
        "decided_by": "vakgroep",
        "decided_on": "2024-01-01",
        "reason": "past",
        "B1": "yes",
        "C6": "yes",
        "excludes": "frailty",
        "indication": HEART,
        "plan": PROTOCOL,
        **changes,
    }


async def test_people_are_counted_from_the_record_of_both_versions_each_once(
    node: RunningNode, capsys: pytest.CaptureFixture[str]
) -> None:
    a = node["a"]
    door = Door("a", a.ura, "Organisation a", f"{a.internal_root}/a", f"{a.front_root}/a", a.key)

    async def counted(code: int, *arguments: str) -> str:
        call: Callable[..., int] = count_record
        assert await asyncio.to_thread(call, door, *arguments) == code
        return capsys.readouterr().out

    for number, bsn in enumerate(BSNS):
        await patient(a, "stu3", number, bsn)
        await condition(a, "stu3", number)
    await patient(a, "stu3", 8)
    await condition(a, "stu3", 8)
    # The plan of the first stands in R4, where they have the indication as well; the second has theirs in STU3.
    await patient(a, "r4", 0, BSNS[0])
    await condition(a, "r4", 0)
    await care_plan(a, "r4", 0)
    await measurement(a, "r4", 0, "Patient/p0")
    await care_plan(a, "stu3", 1)
    await measurement(a, "stu3", 1, "Practitioner/someone")
    await send(a, "pathways", [pathway(), pathway("copd", indication="", plan="")])

    told = await counted(1, "", "")
    assert f"hartfalen: 4 eligible in {YEAR}, 2 enrolled, 1 active" in told
    assert "copd: cannot be counted" in told and "left out: 1 patient without a BSN" in told
    assert "5 Condition" in told and "STU3:" in told and "R4:" in told
    shown = await people(a)
    assert [shown[name] for name in ("eligible", "enrolled", "active", "now")] == [4, 2, 1, 2]
    assert (await people(a, "copd"))["eligible"] == 0
    kept = await node.node.pool.fetch("SELECT t::text AS line FROM hybrid_person t")
    assert kept and not [row for row in kept for bsn in BSNS if bsn in row["line"]]

    # What somebody recorded stays, and is said of whom the record knows as eligible alone.
    by_hand = {"pathway": "hartfalen", "bsn": BSNS[2], "eligible_from": f"{TODAY.year}-01-01"}
    await send(a, "people", [{**by_hand, "exclusion": "frailty"}])
    assert "left out" in await counted(0, "hartfalen", YEAR)
    shown = await people(a)
    assert [shown[name] for name in ("eligible", "excluded", "enrolled")] == [4, 1, 2]

    # A later count replaces the earlier one of the year.
    answer = await a.internal.delete(f"{a.internal_base('stu3')}/Condition/c3")
    assert answer.status_code in (200, 204)
    assert "hartfalen: 3 eligible" in await counted(0, "hartfalen", YEAR)
    assert [(await people(a))[name] for name in ("eligible", "excluded")] == [3, 1]

    await send(a, "people", [{**by_hand, "bsn": BSNS[3]}])
    assert "1 row of a file about the same pathway and year stand" in await counted(0, "hartfalen", YEAR)
    for wrong, named in (("1", "period"), (str(TODAY.year + 1), "begun"), (f"{YEAR}-Q1", "begun")):
        with pytest.raises(Invalid, match=named):
            await asyncio.to_thread(count_record, door, "hartfalen", wrong)
    with pytest.raises(Invalid, match="no pathway 'astma'"):
        await asyncio.to_thread(count_record, door, "astma", YEAR)


async def test_a_count_speaks_about_its_own_year_and_a_pathway_with_rules(node: RunningNode) -> None:
    a = node["a"]
    await send(a, "pathways", [pathway(), pathway("copd", plan="")])
    url = f"{a.internal_root}/a/roadmap/hybrid/people"
    row = {
        "pathway": "hartfalen",
        "bsn": BSNS[0],
        "eligible_from": f"{YEAR}-01-01",
        "eligible_until": f"{YEAR}-12-31",
    }
    before = (TODAY.replace(month=1, day=1) - timedelta(days=1)).isoformat()
    for changes, query, status, named in (
        ({}, {"counted": YEAR, "pathway": "hartfalen"}, 200, ""),
        ({"eligible_until": ""}, {"counted": YEAR, "pathway": "hartfalen"}, 400, "eligible_from"),
        ({"eligible_from": before}, {"counted": YEAR, "pathway": "hartfalen"}, 400, "eligible_from"),
        ({}, {"counted": str(TODAY.year + 1), "pathway": "hartfalen"}, 400, "counted"),
        ({}, {"counted": f"{YEAR}-Q1", "pathway": "hartfalen"}, 400, "counted"),
        ({}, {"counted": YEAR}, 400, "counted"),
        ({}, {"pathway": "hartfalen"}, 400, "counted"),
        ({"pathway": "copd"}, {"counted": YEAR, "pathway": "copd"}, 400, "pathway"),
        ({}, {"counted": YEAR, "pathway": "astma"}, 404, ""),
    ):
        answer = await a.internal.post(url, content=orjson.dumps([{**row, **changes}]), params=query)
        assert (answer.status_code, answer.json().get("expression", "")) == (status, named), answer.text
    assert (await people(a))["eligible"] == 1
