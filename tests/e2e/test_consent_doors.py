"""Consent at the doors: what the EHR and the officer ask, what Mitz is asked, and what Mitz tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from tests.certificates import Files
from tests.mitz import BSN, OTHER_BSN, Register, Trusting, notification, notification_xml, register
from tests.nodes import RunningNode, RunningOrganisation, databases, running_node

from schakel.generic.consent import ConsentQuestion, ConsentRefused
from schakel.store.embedded import EmbeddedServer

HIGH = "http://eidas.europa.eu/LoA/high"
FHIR_XML, FHIR_JSON = "application/fhir+xml", "application/fhir+json"


async def subscribes(_there: Register, _request: web.Request, _body: bytes) -> web.StreamResponse:
    return web.Response(status=201, headers={"Location": "Subscription/7"})


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return Trusting.made(tmp_path_factory.mktemp("mitz"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def there(trusting: Trusting) -> AsyncIterator[Register]:
    async with register(trusting, subscribes) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, trusting: Trusting, there: Register) -> AsyncIterator[RunningNode]:
    mitz = {
        "base": f"https://127.0.0.1:{there.port}/mitz",
        "certificate": trusting.client.certificate,
        "key": trusting.client.key,
        "ca": [trusting.root],
        "gateway_system": "2.16.840.1.113883.2.4.6.6.1",
        "source_system": "2.16.840.1.113883.2.4.6.6.90000017",
        "notify_hosts": ["mitz.example"],
    }
    glass = {"document": "Noodprocedure", "dated": "2026-01-01", "review_hours": 24}
    async with (
        databases(cluster, "consent_doors") as make,
        running_node(
            make,
            ("a", "b"),
            back=True,
            mitz=mitz,
            by_slug={"a": {"type_code": "V6", "break_glass": glass}},
        ) as running,
    ):
        yield running


@pytest.fixture
def door(node: RunningNode) -> RunningOrganisation:
    return node["a"]


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def nothing_known(node: RunningNode) -> None:
    await node.node.pool.execute(
        "TRUNCATE consent_objection, mitz_feed, mitz_notice, mitz_choice, mitz_subscription, emergency_access, "
        "disclosure_ground"
    )


async def post(door: RunningOrganisation, path: str, body: object) -> httpx.Response:
    return await door.internal.post(f"{door.internal_root}/{door.slug}/consent/{path}", json=body)


async def get(door: RunningOrganisation, path: str) -> httpx.Response:
    return await door.internal.get(f"{door.internal_root}/{door.slug}/consent/{path}")


async def logged(door: RunningOrganisation, word: str) -> list[dict[str, Any]]:
    """The events about the patient that have this word in them, newest first."""
    url = f"{door.internal_root}/{door.slug}/log/fhir/r4/AuditEvent"
    answer = await door.internal.get(url, params={"patient.identifier": BSN, "_count": "100"})
    assert answer.status_code == 200, answer.text
    events = [entry["resource"] for entry in answer.json().get("entry", [])]
    return [event for event in events if word in orjson.dumps(event).decode()]


# -- objections ----------------------------------------------------------------------------------------------


async def test_an_objection_is_recorded_found_and_taken_back(
    door: RunningOrganisation, node: RunningNode
) -> None:
    made = await post(
        door,
        "objections",
        {"patient": BSN, "exchanges": ["bgz"], "reason": "told at the desk", "by": "A. Bakker"},
    )
    assert made.status_code == 201, made.text
    objection = made.json()
    assert objection["ended"] is None and objection["exchanges"] == ["bgz"]
    found = await post(door, "objections/search", {"patient": BSN})
    assert found.json() == {"objections": [objection]}
    ended = await post(door, f"objections/{objection['id']}/end", {"by": "B. Smit"})
    assert ended.status_code == 200 and ended.json()["ended_by"] == "B. Smit"
    assert (await post(door, "objections/search", {})).json() == {"objections": []}
    assert (await post(door, "objections/search", {"ended": True})).json() == {"objections": [ended.json()]}
    told = await logged(door, objection["id"])
    assert [event["action"] for event in told] == ["U", "C"]


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"by": "A"}, "patient"),
        ({"patient": BSN}, "by"),
        ({"patient": "999911121", "by": "A"}, "patient"),
        ({"patient": BSN, "by": "A", "exchange": "bgz"}, "exchange"),
        ({"patient": BSN, "by": "A", "exchanges": "bgz"}, "exchanges"),
        ({"patient": BSN, "by": "A", "exchanges": []}, "exchanges"),
        ({"patient": BSN, "by": "A", "requesters": ["x"]}, "requesters"),
        ({"patient": BSN, "by": "A", "provider_categories": ["x"]}, "provider_categories"),
        ({"patient": BSN, "by": "A", "reason": 1}, "reason"),
    ],
)
async def test_an_objection_that_is_wrong_is_refused_by_name(
    door: RunningOrganisation, body: dict[str, Any], at: str
) -> None:
    answer = await post(door, "objections", body)
    assert (answer.status_code, answer.json()["expression"]) == (400, at)
    assert (await post(door, "objections/search", {})).json() == {"objections": []}


async def test_the_doors_of_an_organisation_open_with_its_key_only(
    door: RunningOrganisation, node: RunningNode
) -> None:
    paths = ("objections", "objections/search", "objections/x/end", "emergencies/x", "subscriptions/end")
    async with httpx.AsyncClient(trust_env=False) as nobody:
        for path in paths:
            url = f"{door.internal_root}/a/consent/{path}"
            assert (await nobody.post(url, json={})).status_code == 401
            assert (await node["b"].internal.post(url, json={})).status_code == 403
        for path in ("emergencies", "subscriptions", "choices"):
            url = f"{door.internal_root}/a/consent/{path}"
            assert (await nobody.get(url)).status_code == 401
            assert (await node["b"].internal.get(url)).status_code == 403


# -- emergencies ---------------------------------------------------------------------------------------------


def in_emergency(door: RunningOrganisation) -> ConsentQuestion:
    return ConsentQuestion(
        patient=BSN,
        requester="90000002",
        accepted=frozenset({"break-glass"}),
        token="token-1",
        exchange="bgz",
        requester_type="V6",
        user_id="900000008",
        user_name="Jan Jansen",
        user_role="01.015",
        purpose="TREAT",
        assurance=HIGH,
        emergency="unconscious",
    )


async def case_of(door: RunningOrganisation, node: RunningNode) -> dict[str, Any]:
    """A case at the door, made without asking Mitz: here it only takes subscriptions."""
    office = node.node.organisations[door.slug].consent
    policy = office.desk.emergency
    assert policy is not None
    await office.emergencies.open(in_emergency(door), "unconscious", policy)
    [case] = (await get(door, "emergencies")).json()["emergencies"]
    assert isinstance(case, dict)
    return case


async def test_the_officer_sees_a_case_and_gives_the_second_look(
    door: RunningOrganisation, node: RunningNode
) -> None:
    case = await case_of(door, node)
    assert (case["patient"], case["reason"], case["overdue"], case["judged"]) == (
        BSN,
        "unconscious",
        False,
        None,
    )
    assert case["policy"] == "Noodprocedure, 2026-01-01"
    url = f"emergencies/{case['id']}"
    judged = await post(door, url, {"accepted": False, "by": "F. Gaard", "note": "no emergency"})
    assert judged.status_code == 200 and judged.json()["accepted"] is False
    assert (await get(door, "emergencies")).json() == {"emergencies": []}
    assert (await get(door, "emergencies?judged=true")).json() == {"emergencies": [judged.json()]}
    again = await post(door, url, {"accepted": True, "by": "X"})
    assert (again.status_code, again.json()["code"]) == (409, "review-given")
    [event] = await logged(door, case["id"])
    assert b"break-glass-review" in orjson.dumps(event)
    with pytest.raises(ConsentRefused):
        await node.node.organisations["b"].consent.desk.permit(in_emergency(door))


async def test_a_case_past_its_term_is_marked(door: RunningOrganisation, node: RunningNode) -> None:
    await case_of(door, node)
    await node.node.pool.execute("UPDATE emergency_access SET due = now() - interval '1 s' WHERE tenant > 0")
    [case] = (await get(door, "emergencies")).json()["emergencies"]
    assert case["overdue"] is True


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"by": "F. Gaard"}, "accepted"),
        ({"accepted": "yes", "by": "F. Gaard"}, "accepted"),
        ({"accepted": True}, "by"),
        ({"accepted": True, "by": ""}, "by"),
        ({"accepted": False, "by": "F. Gaard"}, "note"),
    ],
)
async def test_half_a_judgement_is_refused(
    door: RunningOrganisation, node: RunningNode, body: dict[str, Any], at: str
) -> None:
    case = await case_of(door, node)
    answer = await post(door, f"emergencies/{case['id']}", body)
    assert (answer.status_code, answer.json()["expression"]) == (400, at)


async def test_a_case_that_is_not_there_is_not_found(door: RunningOrganisation) -> None:
    for name in ("x", "00000000-0000-4000-8000-000000000000"):
        answer = await post(door, f"emergencies/{name}", {"accepted": True, "by": "F. Gaard"})
        assert answer.status_code == 404


# -- subscriptions -------------------------------------------------------------------------------------------


async def test_a_subscription_that_the_ehr_wants_becomes_active(
    door: RunningOrganisation, node: RunningNode, there: Register
) -> None:
    there.asked.clear()
    wanted = await post(door, "subscriptions", {"patient": BSN, "birth_date": "1970-01-01"})
    assert (wanted.status_code, wanted.json()["state"]) == (202, "waiting")
    async with asyncio.timeout(10):
        while not (found := (await get(door, "subscriptions?state=active")).json()["subscriptions"]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert found[0]["id"] == wanted.json()["id"] and found[0]["location"] == "Subscription/7"
    [(_, body)] = there.asked
    asked = orjson.loads(body)
    assert asked["channel"]["endpoint"] == f"{door.back_root}/a/mitz/notify"
    assert f"providerid={door.ura}&providertype=V6" in asked["criteria"]
    ended = await post(door, "subscriptions/end", {"patient": BSN})
    assert ended.json()["state"] == "ended"
    again = await post(door, "subscriptions/end", {"patient": BSN})
    assert (again.status_code, again.json()) == (200, ended.json())
    assert (await post(door, "subscriptions/end", {"patient": "999990019"})).status_code == 404
    assert [event["action"] for event in await logged(door, wanted.json()["id"])] == ["D", "C"]


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"patient": BSN}, "birth_date"),
        ({"patient": BSN, "birth_date": "1970"}, "birth_date"),
        ({"patient": "1", "birth_date": "1970-01-01"}, "patient"),
    ],
)
async def test_half_a_subscription_is_refused(
    door: RunningOrganisation, body: dict[str, Any], at: str
) -> None:
    answer = await post(door, "subscriptions", body)
    assert (answer.status_code, answer.json()["expression"]) == (400, at)


async def test_an_organisation_without_a_type_has_no_subscriptions(node: RunningNode) -> None:
    answer = await post(node["b"], "subscriptions", {"patient": BSN, "birth_date": "1970-01-01"})
    assert (answer.status_code, answer.json()["code"]) == (400, "mitz-subscriptions-off")


@pytest.mark.parametrize(
    "query", ["subscriptions?state=x", "subscriptions?count=0", "choices?after=-1", "choices?x=1"]
)
async def test_a_list_asked_wrongly_is_refused(door: RunningOrganisation, query: str) -> None:
    assert (await get(door, query)).status_code == 400


# -- notifications -------------------------------------------------------------------------------------------


@asynccontextmanager
async def mitz(
    door: RunningOrganisation, folder: Path, host: str = "mitz.example"
) -> AsyncIterator[httpx.AsyncClient]:
    assert door.authority is not None
    own: Files = door.authority.issue(host, hosts=(host,)).write(folder, "mitz")
    async with door.back(own) as client:
        yield client


async def tell(
    client: httpx.AsyncClient, door: RunningOrganisation, body: bytes, media: str = FHIR_JSON
) -> httpx.Response:
    url = f"{door.back_root}/{door.slug}/mitz/notify"
    return await client.post(url, content=body, headers={"Content-Type": media})


async def test_what_mitz_tells_is_kept_logged_and_told_to_the_ehr(
    door: RunningOrganisation, node: RunningNode, tmp_path: Path
) -> None:
    before = len(await logged(door, "consent-notified"))
    async with mitz(door, tmp_path) as client:
        first = await tell(
            client,
            door,
            notification_xml(False, "RPZAC001", holder=door.ura),
            "application/fhir+xml; charset=utf-8",
        )
        assert (first.status_code, first.content) == (204, b"")
        body = orjson.dumps(
            notification(True, "RPZAC001", holder=door.ura, chosen="2026-03-02T10:00:00+01:00")
        )
        for _ in range(2):
            assert (await tell(client, door, body)).status_code == 204
    feed = (await get(door, "choices")).json()["choices"]
    assert [(c["number"], c["patient"], c["category"], c["permitted"]) for c in feed] == [
        (1, BSN, "GGC002", False),
        (2, BSN, "GGC002", True),
    ]
    assert (await get(door, "choices?after=1")).json()["choices"] == feed[1:]
    events = await logged(door, "consent-notified")
    assert len(events) == before + 3 and b"mitz.example" in orjson.dumps(events[0])


async def test_a_notification_about_another_holder_is_refused_and_logged(
    door: RunningOrganisation, tmp_path: Path
) -> None:
    async with mitz(door, tmp_path) as client:
        answer = await tell(client, door, orjson.dumps(notification(True, "RPZAC001", holder="33333333")))
    assert answer.status_code == 422 and answer.json()["resourceType"] == "OperationOutcome"
    assert (await get(door, "choices")).json() == {"choices": []}


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"{}", FHIR_JSON, 422),
        (b"{", FHIR_JSON, 400),
        (b"<x/>", FHIR_XML, 400),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', FHIR_XML, 400),
        (b"x", "text/plain", 415),
        (b" " * 1_000_001, FHIR_JSON, 413),
    ],
)
async def test_a_notification_that_cannot_be_read_is_refused(
    door: RunningOrganisation, tmp_path: Path, body: bytes, media: str, status: int
) -> None:
    async with mitz(door, tmp_path) as client:
        assert (await tell(client, door, body, media)).status_code == status


async def test_only_mitz_may_tell(door: RunningOrganisation, node: RunningNode, tmp_path: Path) -> None:
    body = orjson.dumps(notification(True, "RPZAC001", holder=door.ura))
    async with mitz(door, tmp_path, "elsewhere.example") as client:
        answer = await tell(client, door, body)
        assert (answer.status_code, answer.json()["resourceType"]) == (403, "OperationOutcome")
    async with door.back(node["b"]) as client:
        assert (await tell(client, door, body)).status_code == 403
    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"{door.front_root}/a/mitz/notify"
        assert (await client.post(url, content=body)).status_code == 404
    assert (await get(door, "choices")).json() == {"choices": []}


async def test_without_a_named_client_nobody_may_tell(cluster: EmbeddedServer, tmp_path: Path) -> None:
    async with (
        databases(cluster, "consent_doors_off") as make,
        running_node(make, ("a",), back=True) as running,
        mitz(running["a"], tmp_path) as client,
    ):
        door = running["a"]
        answer = await tell(client, door, orjson.dumps(notification(True, "RPZAC001", holder=door.ura)))
        assert answer.status_code == 403 and "mitz.notify_hosts" in answer.text


async def test_a_no_that_mitz_told_counts_from_then_on(
    door: RunningOrganisation, node: RunningNode, tmp_path: Path
) -> None:
    await door.ground(OTHER_BSN, "90000002")
    desk = node.node.organisations["a"].consent.desk
    question = ConsentQuestion(
        patient=OTHER_BSN,
        requester="90000002",
        accepted=frozenset({"recorded"}),
        token="token-1",
        exchange="bgz",
        requester_type="Z3",
    )
    assert (await desk.permit(question)).kind == "recorded"
    async with mitz(door, tmp_path) as client:
        told = notification(False, "RPZAC001", bsn=OTHER_BSN, holder=door.ura)
        assert (await tell(client, door, orjson.dumps(told))).status_code == 204
    with pytest.raises(ConsentRefused) as refused:
        await desk.permit(question)
    assert refused.value.reason == "mitz-deny"
