"""What goes wrong in other doors of this kind, each as a request over HTTP: what is judged is what runs, all of it.

Source: facts on the generic functions, section 6.7 (weak points seen by reading another implementation).
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Collection
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.guarded import BSN, NAMED, OTHER, SEARCH, Door, guarded_node, keys
from tests.nodes import RunningNode

from schakel.facilities import FacilityAway
from schakel.fhir.definitions import Version
from schakel.fhir.search import Query, encode
from schakel.gateway.acts import Acts
from schakel.generic.authorisation import ROWS, Judgement, Policy, Row
from schakel.generic.consent import ConsentDesk
from schakel.kernel.values import BSN_SYSTEM
from schakel.server import Interaction
from schakel.sources import Found
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LASTN = f"Observation/$lastn?code=http://loinc.org|85354-9&{NAMED}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "weakpoints") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def door(node: RunningNode) -> Door:
    return await Door.opened(node)


async def test_the_form_in_the_body_of_a_get_is_not_looked_at(door: Door) -> None:
    """Elsewhere the body was judged and the query ran."""
    harmless, wanted = NAMED.encode(), SEARCH.replace(BSN, OTHER)
    answer = await door.send("GET", wanted, content=harmless, headers=FORM)
    assert await door.reason(answer) == "no-ground"
    assert keys(await door.send("GET", SEARCH, content=b"x=y", headers=FORM)) == {"Condition/c1"}


async def test_a_search_by_post_with_a_query_in_its_address_is_refused(door: Door) -> None:
    """Elsewhere the address was not judged at all."""
    for query in (NAMED, f"{NAMED.replace(BSN, OTHER)}", "_revinclude=Observation:subject", "x=y"):
        answer = await door.send("POST", f"Condition/_search?{query}", content=NAMED.encode(), headers=FORM)
        assert (answer.status_code, "query must be empty" in answer.text) == (400, True)


@pytest.mark.parametrize(
    "more",
    [
        "_include=Observation:subject",
        "_include=Observation:performer",
        "_revinclude=Provenance:target",
        "_revinclude=Observation:related-target",
        "status=final",
        "date=ge2000",
        "max=5",
        "_sort=date",
        "code:text=x",
        "_has:Observation:related-target:code=x",
        "_id=blood-pressure",
        "_elements=id",
        "_summary=count",
    ],
)
async def test_lastn_is_judged_in_full(door: Door, more: str) -> None:
    """Elsewhere includes and parameters of an operation went unchecked."""
    assert "Observation/blood-pressure" in keys(await door.get(LASTN))
    answer = await door.get(f"{LASTN}&{more}")
    assert answer.status_code in (400, 403), answer.text
    assert "entry" not in answer.text


async def r4(door: Door, token: str, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await door.holder.front_r4.get(path, headers=headers)


async def test_a_patient_looked_up_by_bsn_brings_nothing_else_along(door: Door) -> None:
    """Elsewhere a scope ignored the capability check: any include of a patient's record came along."""
    patient = {"resourceType": "Patient", "id": "r4", "identifier": [{"system": BSN_SYSTEM, "value": BSN}]}
    await door.holder.internal_r4.put("Patient/r4", json=patient)
    await door.holder.ground(BSN, door.requester.ura, exchange="pzp")
    token = await door.requester.token(door.holder, "pzp-gf")
    asked = f"Patient?identifier={BSN_SYSTEM}|{BSN}"
    assert keys(await r4(door, token, asked)) == {"Patient/r4"}
    for more in ("_revinclude=Observation:subject", "_include=Patient:general-practitioner", "active=true"):
        answer = await r4(door, token, f"{asked}&{more}")
        assert (answer.status_code, "entry" in answer.text) == (403, False), answer.text


async def test_the_reason_of_a_refusal_reaches_the_log(door: Door) -> None:
    """Elsewhere the field that was logged did not exist."""
    assert await door.reason(await door.get(SEARCH.replace(BSN, OTHER))) == "no-ground"


@pytest.mark.parametrize(
    "path",
    [
        f"Condition?patient:Patient.identifier={BSN_SYSTEM}|{OTHER}&{NAMED}",
        f"Condition?patient.identifier={BSN_SYSTEM}|{BSN},{BSN_SYSTEM}|{OTHER}",
        f"Condition?patient.identifier={BSN_SYSTEM}|{BSN}&patient.identifier={BSN_SYSTEM}|{OTHER}",
        "Condition?patient=p1,p2",
        "Condition?patient=p1&patient=p2",
        f"Condition?patient.identifier:not={BSN_SYSTEM}|{BSN}",
        f"Condition?patient.general-practitioner=gp&{NAMED}",
        f"Condition?_has:Provenance:target:agent=x&{NAMED}",
        "Condition?patient.name=x",
        f"Condition?subject.identifier={BSN_SYSTEM}|{BSN}",
        "Condition?patient=https://elsewhere.example/fhir/Patient/p1",
        "Condition?patient=Group/p1",
    ],
)
async def test_a_search_that_might_reach_another_patient_does_not_run(door: Door, path: str) -> None:
    answer = await door.get(path)
    assert answer.status_code in (400, 403) and "entry" not in answer.text, answer.text


async def test_a_page_link_of_another_token_or_search_gives_nothing(door: Door) -> None:
    first = await door.get(f"Flag?{NAMED}&_count=2")
    [link] = [one["url"] for one in first.json()["link"] if one["relation"] == "next"]
    other = Door(door.holder, door.requester, await door.requester.token(door.holder))
    assert (await other.get(link)).status_code == 410
    for changed in (link.replace("/Flag?", "/Condition?"), link.replace("/Flag?", "/Observation/$lastn?")):
        answer = await door.get(changed)
        assert answer.status_code in (400, 410) and "entry" not in answer.text, answer.text
    for more in (NAMED, "_count=100", "_include=Flag:author", "_elements=id"):
        assert (await door.get(f"{link}&{more}")).status_code == 400
    assert len(keys(await door.get(link))) == 2


# -- what is judged is what runs -----------------------------------------------------------------------------


def searches(rows: Collection[Row], seed: int) -> list[str]:
    """Searches made of the rows: as they are, and with something more, less, twice or otherwise."""
    chance = random.Random(seed)
    made = []
    for row in sorted(rows, key=lambda row: row.id):
        if row.version != "stu3":
            continue
        who = row.patient if row.type == "Patient" else f"{row.patient}.identifier"
        pairs = [(who, f"{BSN_SYSTEM}|{BSN}")]
        pairs += [(name, ",".join(sorted(values))) for name, values in row.parameters.items()]
        pairs += [("_include", include) for include in sorted(row.includes)]
        noise = [
            ("_count", str(chance.randrange(1, 9))),
            ("_revinclude", "Provenance:target"),
            ("_format", "json"),
            ("_sort", "-date"),
            ("_id", "c1"),
            ("_include", "*"),
            (f"{who}:missing", "false"),
            ("_include:iterate", f"{row.type}:subject"),
            chance.choice(pairs),
            (who, f"{BSN_SYSTEM}|{OTHER}"),
        ]
        for _ in range(6):
            asked = [*pairs, *chance.sample(noise, chance.randrange(3))]
            chance.shuffle(asked)
            if chance.random() < 0.2:
                asked.pop()
            path = f"{row.type}/$lastn" if "lastn" in row.forms and chance.random() < 0.5 else row.type
            made.append(f"{path}?{encode(asked)}")
    return made


async def test_what_runs_is_exactly_what_was_judged(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    judged, ran = list[Query](), list[Query]()
    judge, search = Policy.judge, Store.search

    def judging(
        policy: Policy, scopes: Collection[str], interaction: Interaction, delivery: None = None
    ) -> Judgement:
        assert interaction.query is not None and delivery is None
        judgement = judge(policy, scopes, interaction)
        judged.append(interaction.query)
        return judgement

    async def searching(store: Store, version: Version, query: Query, caller: str | None) -> Found:
        if caller is not None:  # Without a caller it is a question of the door itself.
            ran.append(query)
        return await search(store, version, query, caller)

    monkeypatch.setattr(Policy, "judge", judging)
    monkeypatch.setattr(Store, "search", searching)
    statuses = set()
    for path in searches(ROWS, seed=20261122):
        judged.clear()
        ran.clear()
        answer = await door.get(path)
        statuses.add(answer.status_code)
        assert ran == (judged if answer.status_code == 200 else []), path
        assert all(a is b for a, b in zip(ran, judged, strict=True)), "another object ran than was judged"
    assert {200, 403} <= statuses <= {200, 400, 403}


# -- what could not be checked -------------------------------------------------------------------------------


async def test_a_facility_that_is_away_is_told_as_such_and_gives_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise FacilityAway("Mitz", "too slow")

    monkeypatch.setattr(ConsentDesk, "permit", away)
    shapes = set()
    for path in (SEARCH, SEARCH.replace(BSN, OTHER), SEARCH.replace(BSN, "999229588"), "Condition/c1"):
        answer = await door.get(path)
        decision = answer.headers["X-Decision-ID"]
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        assert "consent-unavailable" in answer.text and "Mitz" not in answer.text
        [event] = await door.logged(decision)
        assert (event["outcome"], event["outcomeDesc"]) == ("8", "consent-unavailable")
        shapes.add(answer.text.replace(decision, "ID"))
    assert len(shapes) == 1


async def test_consent_is_asked_before_it_is_looked_whether_the_patient_is_here(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    permit, search = ConsentDesk.permit, Store.search

    async def permitting(desk: ConsentDesk, question: Any) -> Any:
        asked.append("consent")
        return await permit(desk, question)

    async def searching(store: Store, *arguments: Any) -> Found:
        asked.append("search")
        return await search(store, *arguments)

    monkeypatch.setattr(ConsentDesk, "permit", permitting)
    monkeypatch.setattr(Store, "search", searching)
    assert keys(await door.get(SEARCH)) == {"Condition/c1"}
    assert asked[:2] == ["consent", "search"]
    asked.clear()
    await door.reason(await door.get(SEARCH.replace(BSN, "999229588")))
    assert asked == ["consent"]


async def test_nothing_is_executed_without_a_verdict(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("it was carried out")

    monkeypatch.setattr(Acts, "prepared", never)
    for path in (
        SEARCH.replace(BSN, OTHER),
        "Condition/c2",
        f"{SEARCH}&category=problem",
        "Condition/nothing",
    ):
        assert (await door.get(path)).status_code == 403
