"""One hospital fetches a patient's BgZ from others, over real HTTP between nodes of different operators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.fixtures import filled
from tests.nodes import DOCTOR, RunningNode, RunningOrganisation, databases, running_region
from tests.shared import shared

from schakel.exchanges.bgz import requests_for
from schakel.fhir import definitions, structure, xml
from schakel.fhir.json import Resource
from schakel.generic.authorisation import ROWS
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

BSN = "999911120"
NOBODY = "999229588"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def region(cluster: EmbeddedServer) -> AsyncIterator[list[RunningNode]]:
    async with (
        databases(cluster, "bgz_exchange") as make,
        running_region(
            make, (("a", "c"), ("b",)), write_check="lenient", erasure="test", source_timeout=30
        ) as nodes,
    ):
        yield nodes


@pytest.fixture
def holder(region: list[RunningNode]) -> RunningOrganisation:
    return region[0]["a"]


@pytest.fixture
def requester(region: list[RunningNode]) -> RunningOrganisation:
    return region[1]["b"]


def ask(*holders: str, **changes: Any) -> dict[str, Any]:
    """A good ask with changes; a change to None takes the member away."""
    base = {
        "patient": BSN,
        "holders": list(holders) or ["90000001"],
        "user": DOCTOR.json(),
        "purpose": "TREAT",
        "treatment_relation": "current",
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


async def fetch(requester: RunningOrganisation, body: Any) -> httpx.Response:
    return await requester.internal.post(
        f"{requester.internal_root}/{requester.slug}/exchanges/bgz", content=orjson.dumps(body)
    )


USER = DOCTOR.json()
WRONG_ASKS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown member": ({"reason": "x"}, "reason"),
    "no patient": ({"patient": None}, "patient"),
    "a patient that is none": ({"patient": "999911121"}, "patient"),
    "a patient that is no text": ({"patient": 999911120}, "patient"),
    "no holders": ({"holders": None}, "holders"),
    "an empty list of holders": ({"holders": []}, "holders"),
    "holders that are no list": ({"holders": "90000001"}, "holders"),
    "a holder that is none": ({"holders": ["90000001", "haven"]}, "holders"),
    "a holder that is no text": ({"holders": [90000001]}, "holders"),
    "nobody to ask at all": ({"holders": None, "localise": False}, "holders"),
    "holders to be looked for, and no facility": ({"localise": True}, "holders"),
    "looking for them that is no yes or no": ({"localise": "yes"}, "localise"),
    "too many holders": ({"holders": [str(n) for n in range(51)]}, "holders"),
    "no user": ({"user": None}, "user"),
    "a user that is none": ({"user": "x"}, "user"),
    "a user with an unknown member": ({"user": {**USER, "age": 1}}, "user"),
    "a user without id": ({"user": {"name": "x", "role": "01.015"}}, "user.id"),
    "a user without name": ({"user": {"id": "1", "role": "01.015"}}, "user.name"),
    "a user without role": ({"user": {"id": "1", "name": "x"}}, "user.role"),
    "a role that is none": ({"user": {**USER, "role": "doctor"}}, "user.role"),
    "a name of two lines": ({"user": {**USER, "name": "a\nb"}}, "user.name"),
    "a name that is too long": ({"user": {**USER, "name": "x" * 201}}, "user.name"),
    "no purpose": ({"purpose": None}, "purpose"),
    "a purpose that is no code": ({"purpose": "a  b"}, "purpose"),
    "a purpose that is too long": ({"purpose": "x" * 65}, "purpose"),
    "no treatment relation": ({"treatment_relation": None}, "treatment_relation"),
    "a treatment relation that is no text": ({"treatment_relation": True}, "treatment_relation"),
    "an emergency without a reason": ({"emergency": "  "}, "emergency"),
    "an emergency of two lines": ({"emergency": "a\nb"}, "emergency"),
    "an emergency that is told too long": ({"emergency": "x" * 501}, "emergency"),
    "an emergency that is no text": ({"emergency": True}, "emergency"),
}


@pytest.mark.parametrize("case", WRONG_ASKS)
async def test_an_ask_with_one_thing_wrong_is_refused_by_the_name_of_that_thing(
    requester: RunningOrganisation, case: str
) -> None:
    changes, named = WRONG_ASKS[case]
    answer = await fetch(requester, ask(**changes))
    assert (answer.status_code, answer.json().get("expression")) == (400, named), answer.text
    assert BSN not in answer.text


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"patient":"1","patient":"2"}', b"\xff", b"[" * 100])
async def test_an_ask_that_is_no_json_object_is_refused(requester: RunningOrganisation, body: bytes) -> None:
    url = f"{requester.internal_root}/{requester.slug}/exchanges/bgz"
    assert (await requester.internal.post(url, content=body)).status_code == 400
    assert (await requester.internal.post(url, content=b" " * 200_000)).status_code == 413


async def test_the_exchange_is_for_the_organisations_own_key_alone(
    requester: RunningOrganisation, holder: RunningOrganisation
) -> None:
    url = f"{requester.internal_root}/{requester.slug}/exchanges/bgz"
    assert (await requester.front.post(url, json=ask())).status_code == 401
    assert (await holder.internal.post(url, json=ask())).status_code == 401
    at_front = url.replace(requester.internal_root, requester.front_root)
    assert (await requester.internal.post(at_front, json=ask())).status_code == 404


async def test_a_holder_that_is_not_in_the_directory_and_one_without_a_ground(
    requester: RunningOrganisation, holder: RunningOrganisation
) -> None:
    answer = (await fetch(requester, ask("00000099", holder.ura, patient=NOBODY))).json()
    assert answer["status"] == "incomplete"
    unknown, refusing = answer["holders"]
    assert (unknown["ura"], unknown["status"], len(unknown["requests"])) == ("00000099", "failed", 27)
    assert (refusing["ura"], refusing["status"]) == (holder.ura, "refused")
    for request in refusing["requests"]:
        assert (request["status"], request["entries"], request["dropped"]) == ("refused", 0, 0)
        assert request["decision"] and request["decision"] in request["reason"]
    assert "entry" not in answer["bundle"]
    assert structure.check(answer["bundle"], definitions("stu3")) == []


async def test_one_holder_named_twice_is_asked_once(
    requester: RunningOrganisation, holder: RunningOrganisation
) -> None:
    answer = (await fetch(requester, ask(holder.ura, holder.ura, patient=NOBODY))).json()
    assert (answer["status"], len(answer["holders"])) == ("refused", 1)


async def events(organisation: RunningOrganisation, decision: str) -> list[dict[str, Any]]:
    root = f"{organisation.internal_root}/{organisation.slug}/log/fhir/r4/AuditEvent"
    answer = await organisation.internal.get(root, params={"entity:identifier": decision})
    return [entry["resource"] for entry in answer.json().get("entry", [])]


async def test_no_answer_leaves_before_the_requesters_own_log_has_it(
    region: list[RunningNode], requester: RunningOrganisation, holder: RunningOrganisation
) -> None:
    pool = region[1].node.pool
    await pool.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
    try:
        answer = await fetch(requester, ask(holder.ura, patient=NOBODY))
    finally:
        await pool.execute("ALTER TABLE audit_event_away RENAME TO audit_event")
    assert (answer.status_code, answer.json()["code"]) == (503, "log-unavailable")
    assert (await fetch(requester, ask(holder.ura, patient=NOBODY))).status_code == 200


# -- the published data --------------------------------------------------------------------------------------


def published() -> list[Resource]:
    """The resources of the BgZ-MSZ test data, patients first."""
    folder: Path = shared("testscripts", "STU3", "BgZ-MSZ-2-0")
    found: dict[str, Resource] = {}
    for path in sorted(folder.rglob("*.xml")):
        if "resources" not in path.parts or not any(p.startswith("_reference") for p in path.parts):
            continue
        resource = xml.parse(filled(path.read_bytes()), definitions("stu3"))
        if "id" in resource and resource["resourceType"] != "Bundle":
            found[f"{resource['resourceType']}/{resource['id']}"] = resource
    return sorted(found.values(), key=lambda r: (r["resourceType"] != "Patient", r["resourceType"], r["id"]))


def bsn_of(patient: Resource) -> str:
    return next(str(i["value"]) for i in patient["identifier"] if i.get("system") == BSN_SYSTEM)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def loaded(region: list[RunningNode]) -> list[str]:
    """The BSNs of the published patients; their data stand at the holder, written over its internal door."""
    holder, patients = region[0]["a"], []
    for resource in published():
        kind, logical_id = resource["resourceType"], resource["id"]
        body = xml.dump(resource, definitions("stu3"))
        answer = await holder.internal.put(
            f"{kind}/{logical_id}", content=body, headers={"Content-Type": "application/fhir+xml"}
        )
        assert answer.status_code in (200, 201), (kind, logical_id, answer.text)
        if kind == "Patient":
            patients.append(bsn_of(resource))
    assert len(patients) >= 2
    for bsn in patients:
        await holder.ground(bsn, region[1]["b"].ura)
    return patients


async def own_resources(holder: RunningOrganisation, bsn: str) -> dict[str, Resource]:
    """What the 27 searches give on the holder's own door, by `Type/id`."""
    found: dict[str, Resource] = {}
    for request in requests_for(bsn):
        url: str | None = request
        while url:
            answer = await holder.internal.get(url)
            assert answer.status_code == 200, answer.text
            bundle = answer.json()
            for entry in bundle.get("entry", ()):
                resource = entry["resource"]
                found[f"{resource['resourceType']}/{resource['id']}"] = resource
            url = next((one["url"] for one in bundle["link"] if one["relation"] == "next"), None)
    return found


@pytest.mark.shared
async def test_the_published_patients_come_complete_equal_and_with_nothing_else(
    region: list[RunningNode], loaded: list[str]
) -> None:
    holder, requester = region[0]["a"], region[1]["b"]
    sizes = []
    for bsn in loaded:
        response = await fetch(requester, ask(holder.ura, patient=bsn))
        assert response.status_code == 200, response.text
        answer = response.json()
        [result] = answer["holders"]
        assert (answer["status"], result["status"]) == ("complete", "complete"), result
        assert [r["number"] for r in result["requests"]] == list(range(1, 28))
        assert not any(r["dropped"] for r in result["requests"]), result["requests"]
        assert all(r["decision"] for r in result["requests"])
        entries = answer["bundle"]["entry"]
        *fetched, provenance = [entry["resource"] for entry in entries]
        expected = await own_resources(holder, bsn)
        assert {f"{r['resourceType']}/{r['id']}": r for r in fetched} == expected
        assert len(fetched) == len(expected)
        assert [t["reference"] for t in provenance["target"]] == [e["fullUrl"] for e in entries[:-1]]
        assert all(e["fullUrl"].startswith(f"{holder.front_fhir}/") for e in entries[:-1])
        sizes.append(len(fetched))
    assert max(sizes) > 30


@pytest.mark.shared
async def test_the_published_numbers_stay_exact_to_the_last_digit(
    region: list[RunningNode], loaded: list[str]
) -> None:
    holder, requester = region[0]["a"], region[1]["b"]
    decimals = 0
    for bsn in loaded:
        text = (await fetch(requester, ask(holder.ura, patient=bsn))).content
        for key in await own_resources(holder, bsn):
            own = (await holder.internal.get(key)).content
            assert own in text, key
            decimals += own.count(b'"valueQuantity"')
    assert decimals > 0


@pytest.mark.shared
async def test_both_sides_wrote_it_down_and_the_requester_kept_nothing_else(
    region: list[RunningNode], loaded: list[str]
) -> None:
    holder, requester = region[0]["a"], region[1]["b"]
    pool = region[1].node.pool
    tables = ("resource", "history", "index_token", "index_reference", "search_page", "disclosure_ground")
    before = [await pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
    answer = (await fetch(requester, ask(holder.ura, patient=loaded[0]))).json()
    assert [await pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables] == before
    [own] = await events(requester, answer["id"])
    assert own["outcome"] == "0" and loaded[0] in str(own["entity"])
    taken = {
        e["what"]["reference"].split("/_history")[0]
        for e in own["entity"]
        if "reference" in e.get("what", {})
    }
    released = {
        f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in answer["bundle"]["entry"][:-1]
    }
    assert taken == released
    given = set()
    for request in answer["holders"][0]["requests"]:
        [event] = await events(holder, request["decision"])
        assert event["outcome"] == "0"
        given |= {
            e["what"]["reference"].split("/_history")[0]
            for e in event["entity"]
            if "reference" in e.get("what", {})
        }
    assert given == released


@pytest.mark.shared
async def test_another_organisation_at_the_holders_operator_gets_nothing(
    region: list[RunningNode], loaded: list[str]
) -> None:
    neighbour, holder = region[0]["c"], region[0]["a"]
    answer = (await fetch(neighbour, ask(holder.ura, patient=loaded[0]))).json()
    assert (answer["status"], "entry" in answer["bundle"]) == ("refused", False)


def test_the_rows_that_are_asked_are_rows_that_are_answered() -> None:
    assert {row.number for row in ROWS if row.number <= 27} == set(range(1, len(requests_for(BSN)) + 1))
