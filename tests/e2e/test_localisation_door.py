"""Localisation through the doors of a node, with the token server, the PRS and the NVI as stand-ins over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.nation import HOLDER, Nation, nation
from tests.nodes import RunningNode, databases, running_node
from tests.referring import referring
from tests.registering import OBSERVATION_CATEGORY

from schakel.generic.localisation.categories import SYSTEM
from schakel.generic.localisation.lists import custodian
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM, Bsn
from schakel.store.embedded import EmbeddedServer

RULES = [
    {
        "ground": "art. 15a Wabvpz; policy 7 of this organisation",
        "categories": ["Condition", "ObservationLaboratory", "Imaging"],
        "start": "2026-01-01",
    }
]
NOBODY = "999900055"


@dataclass
class Place:
    """The node, the nation, and the door of organisation a."""

    country: Nation
    node: RunningNode

    @property
    def base(self) -> str:
        return f"{self.node['a'].internal_root}/a/localisation/fhir/r4/List"

    @property
    def client(self) -> httpx.AsyncClient:
        return self.node["a"].internal_r4

    async def search(self, bsn: str, **params: str) -> list[dict[str, Any]]:
        """The records of a patient."""
        asked = {"patient:identifier": f"{BSN_SYSTEM}|{bsn}", **params}
        answer = await self.client.get(self.base, params=asked)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        assert bundle["type"] == "searchset" and bundle["total"] == len(bundle.get("entry", []))
        return [entry["resource"] for entry in bundle.get("entry", [])]

    async def until(self, found: Callable[[], Awaitable[bool]]) -> None:
        """Waits until it is so, at most twenty seconds."""
        async with asyncio.timeout(20):
            while not await found():  # noqa: ASYNC110 # no door tells when
                await asyncio.sleep(0.1)

    async def write(self, resource: dict[str, Any]) -> None:
        answer = await self.client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code in (200, 201), answer.text


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with (
        nation(tmp_path_factory.mktemp("nation")) as country,
        databases(cluster, "localisation_door") as make_database,
    ):
        await country.refer()
        settings = country.settings(**referring(country))
        back = settings.pop("back")
        async with running_node(
            make_database, ("a", "b"), back=back, by_slug={"a": {"registrations": RULES}}, **settings
        ) as node:
            yield Place(country, node)


def codes(lists: list[dict[str, Any]]) -> set[str]:
    """The categories of Lists."""
    return {one["code"]["coding"][0]["code"] if "code" in one else "" for one in lists}


def to_register(bsn: str, category: str, **members: Any) -> dict[str, Any]:
    """What the EHR sends."""
    return {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": SYSTEM, "code": category}]},
        "subject": {"identifier": {"system": BSN_SYSTEM, "value": bsn}},
        **members,
    }


async def test_what_the_ehr_stores_is_found_at_the_index_and_withdrawn_with_it(place: Place) -> None:
    bsn = "999900018"
    coding = [{"system": OBSERVATION_CATEGORY, "code": "laboratory"}]
    await place.write(
        {"resourceType": "Patient", "id": "one", "identifier": [{"system": BSN_SYSTEM, "value": bsn}]}
    )
    about = {"subject": {"reference": "Patient/one"}}
    await place.write({"resourceType": "Condition", "id": "c", **about})
    await place.write(
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "code": {"text": "x"},
            "category": [{"coding": coding}],
            **about,
        }
    )

    async def both() -> bool:
        return codes(await place.search(bsn)) == {"Condition", "ObservationLaboratory"}

    await place.until(both)
    [found] = await place.search(bsn, code="Condition")
    assert found["subject"]["identifier"] == {"system": BSN_SYSTEM, "value": bsn}
    assert found["extension"] == [custodian(HOLDER)]
    assert found["source"]["identifier"] == {"system": "urn:ietf:rfc:3986", "value": "node"}
    [by_post] = (
        await place.client.post(
            f"{place.base}/_search", data={"subject:identifier": f"{BSN_SYSTEM}|{bsn}", "code": "Condition"}
        )
    ).json()["entry"]
    assert by_post["resource"] == found
    read = await place.client.get(f"{place.base}/{found['id']}")
    assert read.status_code == 200 and read.json() == found
    refused = await place.client.delete(f"{place.base}/{found['id']}")
    assert refused.status_code == 409 and "registered-by-rule" in refused.text
    for kind, name in (("Condition", "c"), ("Observation", "o")):
        assert (await place.client.delete(f"{kind}/{name}")).status_code in (200, 204)

    async def none() -> bool:
        return not await place.search(bsn)

    await place.until(none)


async def test_the_ehr_registers_and_withdraws_itself(place: Place) -> None:
    bsn = "999900031"
    made = await place.client.post(place.base, json=to_register(bsn, "Imaging"))
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"{place.base}/{made.json()['id']}"
    again = await place.client.post(
        place.base, json=to_register(bsn, "Imaging", extension=[custodian(HOLDER)])
    )
    assert again.status_code == 200 and again.json()["id"] == made.json()["id"]
    assert codes(await place.search(bsn)) == {"Imaging"}
    assert await place.search(bsn, code="Condition") == []
    assert (await place.client.delete(made.headers["location"])).status_code == 204
    assert await place.search(bsn) == []
    assert (await place.client.delete(made.headers["location"])).status_code == 404


@pytest.mark.parametrize(
    ("changed", "status", "code", "expression"),
    [
        ({"extension": [custodian("90000099")]}, 400, "custodian-differs", "List.extension"),
        (
            {"code": {"coding": [{"system": SYSTEM, "code": "Alert"}]}},
            403,
            "no-registration-rule",
            "List.code",
        ),
        (
            {"code": {"coding": [{"system": SYSTEM, "code": "Practitioner"}]}},
            400,
            "category-unknown",
            "List.code",
        ),
        ({"subject": {"reference": "Patient/one"}}, 400, "invalid", "List.subject.identifier"),
        (
            {"subject": {"identifier": {"system": BSN_SYSTEM, "value": "999900032"}}},
            400,
            "bsn-invalid",
            "List.subject.identifier",
        ),
        ({"status": "retired"}, 400, "invalid", "List.status"),
        ({"entry": [{"item": {"reference": "Condition/c"}}]}, 400, "invalid", "List.entry"),
        (
            {"source": {"identifier": {"system": "urn:ietf:rfc:3986", "value": "other"}}},
            400,
            "source-differs",
            "List.source",
        ),
        ({"resourceType": "Patient"}, 400, "invalid", "resourceType"),
    ],
)
async def test_what_may_not_be_registered_is_named(
    place: Place, changed: dict[str, Any], status: int, code: str, expression: str
) -> None:
    answer = await place.client.post(place.base, json={**to_register(NOBODY, "Imaging"), **changed})
    assert answer.status_code == status, answer.text
    [issue] = answer.json()["issue"]
    assert code in answer.text and issue["expression"] == [expression]
    assert await place.search(NOBODY) == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?code=Condition",
        f"?patient:identifier={URA_SYSTEM}|999900018",
        "?patient:identifier=999900032",
        "?patient:identifier=999900018&subject:identifier=999900018",
        "?patient:identifier=999900018&code=Secrets",
        "?patient:identifier=999900018&code=Condition&code=Imaging",
        "?patient:identifier=999900018&_count=1",
    ],
)
async def test_a_search_names_one_patient_and_nothing_unknown(place: Place, query: str) -> None:
    answer = await place.client.get(f"{place.base}{query}")
    assert answer.status_code == 400 and answer.json()["resourceType"] == "OperationOutcome"


async def test_a_search_is_the_same_in_every_form(place: Place) -> None:
    """R4, search: what stands in the address and in the form counts together; HEAD is GET without its content."""
    patient = {"patient:identifier": f"{BSN_SYSTEM}|999900018"}
    assert (await place.client.head(place.base, params=patient)).status_code == 200
    assert (await place.client.post(f"{place.base}/_search", data=patient)).status_code == 200
    both = await place.client.post(f"{place.base}/_search", params={"code": "Secrets"}, data=patient)
    assert both.status_code == 400 and both.json()["issue"][0]["expression"] == ["code"]


async def test_who_objects_is_not_registered_by_the_ehr_either(place: Place) -> None:
    bsn = "999900043"
    objection = await place.client.post(
        f"{place.node['a'].internal_root}/a/consent/objections",
        json={"patient": bsn, "exchanges": ["localisation"], "by": "desk"},
    )
    assert objection.status_code == 201, objection.text
    answer = await place.client.post(place.base, json=to_register(bsn, "Imaging"))
    assert answer.status_code == 403 and await place.search(bsn) == []


async def test_an_organisation_without_a_rule_asks_and_registers_nothing(place: Place) -> None:
    other = place.node["b"]
    at = f"{other.internal_root}/b/localisation/fhir/r4/List"
    answer = await other.internal_r4.post(at, json=to_register(NOBODY, "Imaging"))
    assert answer.status_code == 403 and "no-registration-rule" in answer.text
    unknown = await other.internal_r4.get(at, params={"patient:identifier": NOBODY})
    assert unknown.status_code == 502, "the token server does not know it: that is no answer"


async def test_asking_and_registering_are_logged_and_nothing_of_it_is_in_the_technical_log(
    place: Place,
) -> None:
    bsn = "999900067"
    with capture_logs() as technical:
        made = await place.client.post(place.base, json=to_register(bsn, "Imaging"))
        await place.search(bsn)
        await place.client.delete(made.headers["location"])
    log = await place.client.get(
        f"{place.node['a'].internal_root}/a/log/export",
        params={"patient:identifier": bsn, "_format": "ndjson"},
    )
    assert log.status_code == 200, log.text
    lines = log.text.splitlines()
    assert [sum(f'"{kind}"' in line for line in lines) for kind in ("registered", "localised")] == [2, 1]
    assert bsn not in str(technical) and "nvi-identifier" not in str(technical)


async def test_the_capability_statement_says_just_what_the_door_does(place: Place) -> None:
    base = place.base.removesuffix("/List")
    answer = await place.client.get(f"{base}/metadata")
    assert answer.status_code == 200
    [rest] = answer.json()["rest"]
    [told] = rest["resource"]
    assert answer.json()["implementation"]["url"] == base
    assert {one["code"] for one in rest["interaction"]} == {"transaction", "batch"}
    assert (told["type"], told["versioning"]) == ("List", "no-version")
    assert {one["code"] for one in told["interaction"]} == {"create", "read", "delete", "search-type"}
    assert {one["name"] for one in told["searchParam"]} == {"patient", "subject", "code", "source"}
    assert not {"searchInclude", "searchRevInclude", "operation"} & set(told)
    for method, path in (("PUT", "List/x"), ("GET", "Patient/x"), ("GET", "List/x/_history")):
        assert (await place.client.request(method, f"{base}/{path}")).status_code in (404, 405)


async def test_an_index_that_is_away_is_no_empty_answer(place: Place) -> None:
    await place.country.stop("nvi")
    try:
        answer = await place.client.get(place.base, params={"patient:identifier": NOBODY})
        assert answer.status_code == 502 and "facility-away" in answer.text
        made = await place.client.post(place.base, json=to_register(NOBODY, "Imaging"))
        assert made.status_code == 502
    finally:
        await place.country.start("nvi")

    async def back() -> bool:
        answer = await place.client.get(place.base, params={"patient:identifier": NOBODY})
        return bool(answer.status_code == 200 and answer.json()["total"] == 0)

    await place.until(back)


async def test_the_asking_side_sees_others_and_not_ourselves(place: Place) -> None:
    localiser = place.node.node.organisations["a"].localiser
    assert localiser is not None
    made = await place.client.post(place.base, json=to_register("999900079", "Imaging"))
    assert made.status_code == 201
    assert await localiser.localise(Bsn("999900079")) == ()
    assert [one.ura for one in (await localiser.search(Bsn("999900079"))).records] == [HOLDER]
