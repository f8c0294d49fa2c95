"""The guarded door over HTTP: a request that works, and the same request with one condition taken away."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.guarded import BSN, LAB, LOINC, NAMED, NOBODY, OTHER, SEARCH, Door, guarded_node, keys
from tests.nodes import RunningNode

from schakel.generic.identity import AuthorisationServer, Caller
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.kernel.clock import now
from schakel.kernel.outcomes import TooCostly
from schakel.kernel.values import BSN_SYSTEM
from schakel.server import FhirService
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "guarded") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def door(node: RunningNode) -> Door:
    return await Door.opened(node)


async def test_with_every_condition_met_the_patients_own_data_come_and_nothing_else(door: Door) -> None:
    answer = await door.get(SEARCH)
    assert keys(answer) == {"Condition/c1"}
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert event["outcome"] == "0"
    shown = [e["what"]["reference"] for e in event["entity"] if "reference" in e.get("what", {})]
    assert shown == ["Condition/c1/_history/1"]
    assert "Condition/both: other-patient" in str(event)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "a token is needed"),
        ("Bearer " + "x" * 43, "not known here"),
        ("Bearer x", "not known here"),
        ("Basic abc", "scheme"),
    ],
)
async def test_without_a_token_of_this_server_nobody_is_let_in(
    door: Door, authorization: str | None, code: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = await door.holder.front.get(SEARCH, headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"].split()[0]) == (401, "Bearer")
    assert code in answer.text


async def test_a_token_that_has_expired_lets_nobody_in(door: Door, node: RunningNode) -> None:
    await node.node.pool.execute("UPDATE access_token SET expires = now() - interval '1 second'")
    assert (await door.get(SEARCH)).status_code == 401


async def test_a_token_of_another_holders_server_lets_nobody_in(door: Door, node: RunningNode) -> None:
    door.token = await door.requester.token(node["c"])
    assert (await door.get(SEARCH)).status_code == 401


async def test_a_token_without_the_scope_is_refused_by_name(door: Door, node: RunningNode) -> None:
    services = node.node.organisations["a"]
    server = AuthorisationServer(
        node.node.pool,
        services.log.tenant,
        services.server.issuer,
        services.server._keys,
        60,
        frozenset({"other"}),
    )
    form = {
        "grant_type": "client_credentials",
        "scope": "other",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": door.requester.assertion(door.holder),
    }
    door.token = (await server.token(form, Caller("POST", f"{server.issuer}/oauth2/token"))).token
    answer = await door.get(SEARCH)
    assert (answer.status_code, "scope" in answer.text) == (403, True)
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert event["outcomeDesc"] == "scope-missing"


async def test_a_token_for_one_patient_opens_no_other_record(door: Door, node: RunningNode) -> None:
    await node.node.pool.execute("UPDATE access_token SET patient = $1", OTHER)
    assert await door.reason(await door.get(SEARCH)) == "token-other-patient"
    assert await door.reason(await door.get("Condition/c1")) == "token-other-patient"
    assert await door.reason(await door.get("Practitioner/gp")) == "token-other-patient"


async def only(node: RunningNode, **changes: Any) -> None:
    """Puts one other ground in the place of the one that permits."""
    await node.node.pool.execute("TRUNCATE disclosure_ground")
    members = {"patient": BSN, "requester": node["b"].ura, **changes}
    await node["a"].ground(members.pop("patient"), members.pop("requester"), **members)


WITHOUT_THE_GROUND: dict[str, tuple[dict[str, Any], str]] = {
    "for another requester": ({"requester": "90000003"}, "no-ground"),
    "for another patient": ({"patient": OTHER}, "no-ground"),
    "for another exchange": ({"exchange": "referral"}, "no-ground"),
    "for other queries": ({"queries": ["Flag", "Condition?category=problem"]}, "no-ground"),
}


@pytest.mark.parametrize("case", WITHOUT_THE_GROUND)
@pytest.mark.parametrize("path", [SEARCH, f"{SEARCH}&_revinclude=Provenance:target", "Condition/c1"])
async def test_a_ground_that_differs_in_one_thing_permits_nothing(
    door: Door, node: RunningNode, case: str, path: str
) -> None:
    changes, reason = WITHOUT_THE_GROUND[case]
    await only(node, **changes)
    assert await door.reason(await door.get(path)) == reason


async def test_without_any_ground_nothing_goes_out(door: Door, node: RunningNode) -> None:
    await node.node.pool.execute("TRUNCATE disclosure_ground")
    assert await door.reason(await door.get(SEARCH)) == "no-ground"
    assert await door.reason(await door.get("Practitioner/gp")) == "not-referred-to"


async def test_an_ended_ground_permits_nothing(door: Door, node: RunningNode) -> None:
    await node.node.pool.execute("UPDATE disclosure_ground SET ended = now()")
    assert await door.reason(await door.get(SEARCH)) == "ground-ended"


async def test_an_expired_ground_permits_nothing(door: Door, node: RunningNode) -> None:
    await only(node, until=(now() + timedelta(seconds=60)).isoformat())
    assert keys(await door.get(SEARCH)) == {"Condition/c1"}
    await node.node.pool.execute("UPDATE disclosure_ground SET until = now() - interval '1 second'")
    assert await door.reason(await door.get(SEARCH)) == "ground-expired"


@pytest.mark.parametrize(
    "listed",
    ["Condition", "Condition?", f"Condition?{NAMED}", "Condition?_count=5", "Condition?_format=json"],
)
async def test_a_ground_that_lists_a_query_permits_that_query_alone(
    door: Door, node: RunningNode, listed: str
) -> None:
    await only(node, queries=[listed])
    assert keys(await door.get(SEARCH)) == {"Condition/c1"}
    assert await door.reason(await door.get(f"Flag?{NAMED}")) == "no-ground"
    assert await door.reason(await door.get(f"{SEARCH}&_revinclude=Provenance:target")) == "no-ground"
    assert await door.reason(await door.get("Condition/c1")) == "no-ground"


async def test_a_listed_query_permits_the_same_query_in_another_order(door: Door, node: RunningNode) -> None:
    codes = [f"{LOINC}|{code}" for code in ("8302-2", "8306-3", "8308-9")]
    listed = f"Observation/$lastn?code={','.join(codes)}"
    await only(node, queries=[listed])
    asked = f"Observation/$lastn?code={', '.join(reversed(codes))}&{NAMED}&_format=json"
    assert keys(await door.get(asked)) == set()
    assert await door.reason(await door.get(asked.replace("/$lastn", ""))) == "no-ground"


@pytest.mark.parametrize("number", ["123456789", "999911121", "99991112", "x"])
async def test_what_is_no_bsn_is_named_to_the_caller(door: Door, number: str) -> None:
    answer = await door.get(SEARCH.replace(BSN, number))
    assert (answer.status_code, "11-proef" in answer.text) == (400, True)
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert (event["outcome"], event["outcomeDesc"]) == ("4", "bsn-invalid")


async def test_what_goes_wrong_once_the_patient_is_known_looks_like_any_refusal(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_much(*_: object) -> None:
        raise TooCostly("the query took longer than the limit")

    monkeypatch.setattr(FhirService, "search", too_much)
    assert await door.reason(await door.get(SEARCH)) == "too-costly"


async def test_no_cache_keeps_what_the_door_gives(door: Door) -> None:
    for path in (SEARCH, "Condition/c1", "Condition/c2", f"{SEARCH}&x=y"):
        assert (await door.get(path)).headers["Cache-Control"] == "no-store"


async def test_a_form_that_is_not_in_the_list_is_named_to_the_caller_and_logged(door: Door) -> None:
    answer = await door.get(f"{SEARCH}&category=problem")
    assert (answer.status_code, "has category" in answer.text) == (403, True)
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert event["outcomeDesc"] == "form-not-allowed"


async def test_no_answer_tells_whether_a_patient_is_known_here(door: Door) -> None:
    answers = [
        await door.get(SEARCH.replace(BSN, OTHER)),  # a patient here, without a ground
        await door.get(SEARCH.replace(BSN, NOBODY)),  # no patient here
        await door.get("Condition?patient=p2"),
        await door.get("Condition?patient=nobody"),
        await door.get("Patient/p2"),
        await door.get("Patient/nobody"),
        await door.get("Condition/c2"),
        await door.get("Condition/nothing"),
        await door.get("Practitioner/unlinked"),
        await door.get("Observation/no-row"),
    ]
    reasons = [await door.reason(answer) for answer in answers]
    assert reasons == [
        *["no-ground", "no-ground", "no-ground", "patient-unknown", "no-ground", "not-here"],
        *["no-ground", "not-here", "not-referred-to", "form-not-allowed"],
    ]
    shapes = {
        (re.sub(r"[0-9a-f-]{36}", "ID", a.text), frozenset(a.headers) - {"date", "content-length"})
        for a in answers
    }
    assert len(shapes) == 1


@pytest.mark.parametrize(
    "path",
    [
        "Patient/p1",
        "Condition/c1",
        "Observation/blood-pressure",
        "Observation/lab",
        "Coverage/cov",
        "MedicationRequest/agreed",
        "Observation/member",  # fits no row, but the laboratory result includes it
        "Practitioner/gp",
        "Organization/insurer",
        "Medication/m1",
        "Provenance/of-c1",
        "Provenance/of-p1",
        "Provenance/of-medication",
    ],
)
async def test_a_read_gives_what_a_search_of_the_exchange_would_give(door: Door, path: str) -> None:
    answer = await door.get(path)
    assert answer.status_code == 200, answer.text
    assert f"{answer.json()['resourceType']}/{answer.json()['id']}" == path
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert event["outcome"] == "0"
    assert f"{path}/_history/1" in str(event["entity"]) and BSN in str(event["entity"])


@pytest.mark.parametrize(
    "path",
    [
        "Patient/p2",
        "Condition/c2",
        "Condition/both",
        "Condition/contradiction",
        "Condition/oid",
        "Condition/elsewhere",
        "Observation/no-row",
        "Observation/strangers",
        "Coverage/paid-by-other",
        "MedicationRequest/other-kind",
        "Practitioner/theirs",
        "Practitioner/unlinked",
        "Organization/unlinked",
        "Medication/m2",
        "Medication/m3",  # only a request that contradicts itself refers to it
        "Provenance/of-two",
        "Provenance/of-no-row",
        "Provenance/with-another-inside",
        "Binary/nothing",
    ],
)
async def test_a_read_of_anything_else_is_refused(door: Door, path: str) -> None:
    await door.reason(await door.get(path))


async def test_an_included_resource_of_another_patient_is_held_back(door: Door) -> None:
    asked = f"Observation?{NAMED}&category={'|'.join(LAB)}&_include=Observation:related-target"
    answer = await door.get(asked)
    assert keys(answer) == {"Observation/lab", "Observation/member"}
    assert answer.json()["total"] == 1
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert "Observation/strangers: other-patient" in str(event)
    whose = ("beneficiary.identifier", "patient.identifier")
    for named in ("patient=Patient/p1", *(f"{name}={BSN_SYSTEM}|{BSN}" for name in whose)):
        for payor in ("Coverage:payor", "Coverage:payor:Patient&_include=Coverage:payor:Organization"):
            asked = f"Coverage?{named}&_include={payor}"
            assert keys(await door.get(asked)) == {"Coverage/cov", "Organization/insurer"}, asked


async def test_a_number_of_matches_is_that_of_those_that_are_shown_and_tells_of_no_other(door: Door) -> None:
    assert (await door.get(f"Flag?{NAMED}")).json()["total"] == 5
    assert (await door.get(SEARCH)).json()["total"] == 1, "others contradict themselves, and are held back"
    none, held_back = f"AllergyIntolerance?{NAMED}", f"{SEARCH}&_count=0"
    assert (await door.get(none)).json()["total"] == 0
    for search in (f"Flag?{NAMED}&_count=2", f"Flag?{NAMED}&_count=0", f"{none}&_count=0", held_back):
        assert "total" not in (await door.get(search)).json(), search


async def test_a_provenance_comes_along_when_all_its_targets_may(door: Door) -> None:
    answer = await door.get(f"{SEARCH}&_revinclude=Provenance:target")
    assert keys(answer) == {"Condition/c1", "Provenance/of-c1"}


async def test_pages_are_for_the_token_that_searched_and_judged_again(door: Door, node: RunningNode) -> None:
    first = await door.get(f"Flag?{NAMED}&_count=2")
    assert len(keys(first)) == 2
    [link] = [one["url"] for one in first.json()["link"] if one["relation"] == "next"]
    assert BSN not in link
    second = await door.get(link)
    assert len(keys(second) | keys(first)) == 4
    other_type = await door.get(link.replace("/Flag?", "/Condition?"))
    assert other_type.status_code == 410
    with_more = await door.get(f"{link}&{NAMED}")
    assert with_more.status_code == 400
    again = Door(door.holder, door.requester, await door.requester.token(door.holder))
    assert (await again.get(link)).status_code == 410
    own = await door.holder.internal.get(link.replace(door.holder.front_root, door.holder.internal_root))
    assert own.status_code == 410
    await node.node.pool.execute("UPDATE disclosure_ground SET ended = now()")
    assert await door.reason(await door.get(link)) == "ground-ended"
