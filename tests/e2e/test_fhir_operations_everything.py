"""`$everything`: the compartment of a patient or an encounter, page by page, with what it refers to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import XML, entry, patient, refusal, transaction
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir import definitions, xml
from schakel.store.embedded import EmbeddedServer

CODE = {"text": "something"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "everything") as make, running_node(make, limits={"includes": 5}) as node:
        for own in node.organisations.values():
            await load(own.internal, "stu3")
            await load(own.internal_r4, "r4")
        yield node


@pytest.fixture(params=["stu3", "r4"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def door(node: RunningNode, version: str) -> httpx.AsyncClient:
    return node["a"].internal if version == "stu3" else node["a"].internal_r4


def to(reference: str) -> dict[str, str]:
    return {"reference": reference}


def of(kind: str, logical_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": logical_id, **members}


async def put(door: httpx.AsyncClient, *resources: dict[str, Any]) -> None:
    entries = [entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in resources]
    answer = await door.post("", json=transaction(*entries))
    assert answer.status_code == 200, answer.text


async def load(door: httpx.AsyncClient, version: str) -> None:
    """Two patients with a record each, and people and things that belong to nobody."""
    stu3 = version == "stu3"
    context = "context" if stu3 else "encounter"
    kind = {"code": "AMB", "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode"}
    ongoing = "active" if stu3 else {"coding": [{"code": "active", "system": "http://example.org"}]}
    shared = [
        of("Organization", "o", name="Zorg", partOf=to("Organization/o2")),
        of("Organization", "o2", name="Groep", partOf=to("Organization/o")),
        of("Practitioner", "pr"),
        of("Device", "stock"),
        of("Medication", "m", code=CODE),
    ]
    record: list[dict[str, Any]] = []
    for own, other in (("p", "q"), ("q", "p")):
        record += [
            patient(
                own, generalPractitioner=[to("Practitioner/pr")], managingOrganization=to("Organization/o")
            ),
            of("Encounter", f"{own}-e", status="finished", subject=to(f"Patient/{own}"))
            | {"class": kind, "period": {"start": "2020-01-10", "end": "2020-01-12"}},
            of("Observation", f"{own}-in", status="final", code=CODE, subject=to(f"Patient/{own}"))
            | {
                context: to(f"Encounter/{own}-e"),
                "effectiveDateTime": "2020-01-11",
                "device": to("Device/stock"),
            },
            of("Observation", f"{own}-late", status="final", code=CODE, subject=to(f"Patient/{own}"))
            | {
                "effectiveDateTime": "2025-05-05",
                ("related" if stu3 else "hasMember"): [
                    {"target": to(f"Observation/{other}-late")} if stu3 else to(f"Observation/{other}-late")
                ],
            },
            of("Condition", f"{own}-on", code=CODE, subject=to(f"Patient/{own}"), clinicalStatus=ongoing)
            | {"onsetDateTime": "2001"},
            of("Condition", f"{own}-over", code=CODE, subject=to(f"Patient/{own}"))
            | {"onsetDateTime": "2001", "abatementDateTime": "2002"},
        ]
    await put(door, *shared, *record)


def keys(bundle: dict[str, Any], mode: str = "") -> list[str]:
    return [
        f"{e['resource']['resourceType']}/{e['resource']['id']}"
        for e in bundle.get("entry", [])
        if mode in ("", e["search"]["mode"])
    ]


OF_P = {
    "Patient/p",
    "Encounter/p-e",
    "Observation/p-in",
    "Observation/p-late",
    "Condition/p-on",
    "Condition/p-over",
}
OF_NOBODY = {"Organization/o", "Organization/o2", "Practitioner/pr", "Device/stock"}


async def test_everything_of_a_patient_is_the_compartment_and_what_it_refers_to(
    door: httpx.AsyncClient,
) -> None:
    answer = await door.get("Patient/p/$everything")
    assert answer.status_code == 200
    bundle = answer.json()
    assert bundle["type"] == "searchset" and bundle["total"] == len(OF_P)
    assert set(keys(bundle, "match")) == OF_P and len(keys(bundle, "match")) == len(OF_P)
    assert set(keys(bundle, "include")) == OF_NOBODY and len(keys(bundle, "include")) == len(OF_NOBODY)
    base = str(door.base_url).rstrip("/")
    assert bundle["link"] == [{"relation": "self", "url": f"{base}/Patient/p/$everything"}]
    assert {e["fullUrl"] for e in bundle["entry"]} == {f"{base}/{key}" for key in keys(bundle)}
    again = await door.post("Patient/p/$everything", json={"resourceType": "Parameters"})
    assert again.json() == bundle


async def test_its_pages_hold_each_match_once_and_stay_what_they_were(door: httpx.AsyncClient) -> None:
    await put(door, patient("pages"))
    for number in range(7):
        await door.put(
            f"Observation/pages-{number}",
            json=of("Observation", f"pages-{number}", status="final", code=CODE, subject=to("Patient/pages")),
        )
    answer = await door.get("Patient/pages/$everything?_count=3")
    found: list[str] = []
    versions: set[str] = set()
    for turn in range(5):
        bundle = answer.json()
        assert bundle["total"] == 8
        found += keys(bundle, "match")
        versions |= {e["resource"]["meta"]["versionId"] for e in bundle["entry"]}
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            break
        assert "/Patient/pages/$everything?_page=" in following[0]
        if turn == 0:
            await door.delete("Observation/pages-5")
            changed = of("Observation", "pages-6", status="amended", code=CODE, subject=to("Patient/pages"))
            await door.put("Observation/pages-6", json=changed)
        answer = await door.get(following[0])
    assert sorted(found) == sorted(["Patient/pages", *(f"Observation/pages-{n}" for n in range(7))])
    assert versions == {"1"}
    page = following or [str(answer.url)]
    refusal(await door.get(page[0].replace("Patient/pages/", "Patient/p/")), 410)
    assert "page link" in refusal(await door.get(f"{page[0]}&_count=2"), 400)


async def test_types_are_chosen_also_on_later_pages(door: httpx.AsyncClient) -> None:
    answer = await door.get("Patient/p/$everything?_type=Patient,Observation&_type=Organization&_count=1")
    found: list[str] = []
    for _ in range(5):
        bundle = answer.json()
        found += keys(bundle)
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            break
        answer = await door.get(following[0])
    assert {key.partition("/")[0] for key in found} == {"Patient", "Observation", "Organization"}
    assert {"Patient/p", "Observation/p-in", "Observation/p-late"} <= set(found)
    assert "Nome" in refusal(await door.get("Patient/p/$everything?_type=Nome"), 400)
    assert "refers to them" in refusal(await door.get("Patient/p/$everything?_type=Organization"), 400)


@pytest.mark.parametrize(
    ("query", "left_out"),
    [
        ("start=2010", {"Condition/p-over"}),
        ("start=2021", {"Condition/p-over", "Encounter/p-e", "Observation/p-in"}),
        ("end=2020-01-11", {"Observation/p-late"}),
        ("end=2020-01-09", {"Observation/p-late", "Observation/p-in", "Encounter/p-e"}),
        ("end=2000", OF_P - {"Patient/p"}),
        ("start=2020-01-12&end=2024", {"Condition/p-over", "Observation/p-in", "Observation/p-late"}),
    ],
)
async def test_care_dates_leave_out_what_was_over_or_still_to_come(
    door: httpx.AsyncClient, query: str, left_out: set[str]
) -> None:
    bundle = (await door.get(f"Patient/p/$everything?{query}")).json()
    assert set(keys(bundle, "match")) == OF_P - left_out


async def test_what_did_not_change_since_is_left_out(door: httpx.AsyncClient) -> None:
    await put(door, patient("since"), of("Condition", "since-1", code=CODE, subject=to("Patient/since")))
    await put(door, of("Condition", "since-2", code=CODE, subject=to("Patient/since")))
    moment = (await door.get("Condition/since-2")).json()["meta"]["lastUpdated"]
    bundle = (await door.get("Patient/since/$everything", params={"_since": moment})).json()
    assert keys(bundle, "match") == ["Condition/since-2"]
    bundle = (await door.get("Patient/since/$everything", params={"_since": "2999-01-01T00:00:00Z"})).json()
    assert keys(bundle) == []


async def test_everything_of_all_patients(door: httpx.AsyncClient) -> None:
    bundle = (
        await door.get("Patient/$everything?_type=Patient,Condition,Encounter,Observation,Device")
    ).json()
    found = set(keys(bundle, "match"))
    assert found >= OF_P | {key.replace("/p", "/q") for key in OF_P}
    assert "Device/stock" in keys(bundle, "include")


async def test_everything_of_an_encounter_has_its_patient(door: httpx.AsyncClient) -> None:
    bundle = (await door.get("Encounter/p-e/$everything")).json()
    assert set(keys(bundle, "match")) == {"Encounter/p-e", "Observation/p-in"}
    assert set(keys(bundle, "include")) == {"Patient/p", *OF_NOBODY}
    first = (await door.get("Encounter/p-e/$everything?_count=1")).json()
    [following] = [link["url"] for link in first["link"] if link["relation"] == "next"]
    second = (await door.get(following)).json()
    for page in (first, second):
        assert len(keys(page, "match")) == 1 and "Patient/p" in keys(page, "include")
        assert not {"Encounter/p-e", "Observation/p-in"} & set(keys(page, "include"))
    assert "start" in refusal(await door.get("Encounter/p-e/$everything?start=2020"), 400)
    refusal(await door.get("Encounter/$everything"), 400)


async def test_a_page_refers_to_at_most_so_many(door: httpx.AsyncClient) -> None:
    people = [of("Practitioner", f"many-{n}") for n in range(6)]
    owner = patient("many", generalPractitioner=[to(f"Practitioner/many-{n}") for n in range(6)])
    await put(door, *people, owner)
    assert "limits.includes" in refusal(await door.get("Patient/many/$everything"), 400)
    owner["generalPractitioner"].pop()
    await put(door, owner)
    assert len(keys((await door.get("Patient/many/$everything")).json(), "include")) == 5


async def test_in_xml(door: httpx.AsyncClient, version: str) -> None:
    answer = await door.get("Patient/p/$everything?_format=xml&_count=2")
    assert answer.headers["content-type"].startswith(XML)
    bundle = xml.parse(answer.content, definitions("stu3" if version == "stu3" else "r4"))
    [following] = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
    assert (await door.get(following)).headers["content-type"].startswith(XML)


async def test_a_patient_must_be_here(door: httpx.AsyncClient) -> None:
    refusal(await door.get("Patient/unknown/$everything"), 404)
    await put(door, patient("short"))
    await door.delete("Patient/short")
    refusal(await door.get("Patient/short/$everything"), 410)
    for query in ("start=yesterday", "end=2020-13", "_count=many", "_since=soon", "other=1", "_page=none"):
        refusal(await door.get(f"Patient/p/$everything?{query}"), 400)
    refusal(await door.get("Observation/p-in/$everything"), 400)


async def test_a_neighbour_has_another_record_under_the_same_ids(node: RunningNode, version: str) -> None:
    def own(slug: str) -> httpx.AsyncClient:
        return node[slug].internal if version == "stu3" else node[slug].internal_r4

    await put(own("b"), patient("theirs"), of("Condition", "theirs-1", code=CODE, subject=to("Patient/p")))
    refusal(await own("a").get("Patient/theirs/$everything"), 404)
    assert "Condition/theirs-1" not in keys((await own("a").get("Patient/p/$everything")).json())
    assert "Condition/theirs-1" in keys((await own("b").get("Patient/p/$everything")).json())
    first = (await own("b").get("Patient/p/$everything?_count=1")).json()
    [following] = [link["url"] for link in first["link"] if link["relation"] == "next"]
    page = following.partition("?")[2]
    refusal(await own("a").get(f"Patient/p/$everything?{page}"), 410)
