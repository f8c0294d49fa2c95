"""Access without the patient's permission, through all generic functions: emergencies, and acute care. Off unless the
holder decided otherwise, and never unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.guarded import keys
from tests.middleman import passes, rewrites
from tests.nation import ALLOWS, ALSO_ALLOWS, REFUSES, REQUESTER, Nation, nation
from tests.nodes import RunningNode
from tests.patients import person
from tests.whole import (
    SILENT,
    SUBSTANTIAL,
    Asker,
    events,
    explained,
    hospital,
    kinds,
    known_as,
    reason,
    stored,
)

from schakel import consenting
from schakel.store.embedded import EmbeddedServer

WHY = {"X-Emergency-Reason": "bewusteloos binnengebracht"}
GLASS = {"document": "Noodprocedure", "dated": "2026-01-01", "review_hours": 24}
ACUTE = {"requester_types": ["N6"], "purposes": ["TREAT"]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plain(cluster: EmbeddedServer, country: Nation) -> AsyncIterator[RunningNode]:
    """A hospital that decided nothing."""
    async with hospital(cluster, "emergency_off", country) as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, country: Nation) -> AsyncIterator[RunningNode]:
    """A hospital with a written policy, which does not ask Mitz."""
    async with hospital(cluster, "emergency_on", country, {"break_glass": GLASS}, mitz=False) as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asking(cluster: EmbeddedServer, country: Nation) -> AsyncIterator[RunningNode]:
    """A hospital with both policies, which asks Mitz."""
    both = {"break_glass": GLASS, "acute_opt_out": ACUTE}
    async with hospital(cluster, "emergency_mitz", country, both) as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def overriding(cluster: EmbeddedServer, country: Nation) -> AsyncIterator[RunningNode]:
    """A hospital whose policy names the case of a patient who objected."""
    own = {"break_glass": {**GLASS, "overrides_objection": True}}
    async with hospital(cluster, "emergency_over", country, own) as node:
        yield node


async def own(node: RunningNode, method: str, path: str, body: object = None) -> Any:
    """What the officer of the hospital is told at the consent door."""
    a = node["a"]
    answer = await a.internal.request(method, f"{a.internal_root}/a/consent/{path}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def cases(node: RunningNode, judged: bool = False) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await own(node, "GET", f"emergencies?judged={str(judged).lower()}"))[
        "emergencies"
    ]
    return found


async def page(node: RunningNode, bsn: str) -> str:
    """What the patient reads in the log of the hospital."""
    async with person(node, "a", bsn) as patient:
        url = f"{node['a'].front_root}/a/log"
        answer: httpx.Response = await patient.client.get(
            url, headers={"Authorization": f"Bearer {patient.token}"}
        )
    assert answer.status_code == 200, answer.text
    return answer.text


# -- emergencies ---------------------------------------------------------------------------------------------


async def test_without_a_policy_nobody_gets_anything_in_an_emergency(
    country: Nation, plain: RunningNode
) -> None:
    asker = await Asker.presenting(country, plain)
    assert await reason(plain, await asker.search(REFUSES, **WHY)) == "mitz-deny"
    assert await cases(plain) == []
    assert "break-glass" not in kinds(await events(plain))


async def test_an_emergency_is_a_case_that_an_officer_judges_and_the_patient_reads(
    country: Nation, node: RunningNode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = await Asker.presenting(country, node)
    assert await reason(node, await asker.search(ALLOWS)) == "no-ground"
    answer = await asker.search(ALLOWS, **WHY)
    assert keys(answer) == {"Condition/allows"}
    told = await stored(node, answer)
    assert (told["ground"]["kind"], told["verdict"]["rule"]) == ("break-glass", "bgz-break-glass")
    assert told["emergency"] == WHY["X-Emergency-Reason"]
    assert kinds(await events(node, entity__identifier=told["id"])) == ["search-type", "break-glass"]
    assert await explained(node, answer) == 0
    assert "an emergency" in capsys.readouterr().out

    [case] = await cases(node)
    assert case["id"] == told["ground"]["id"] and not case["overdue"]
    assert (case["patient"], case["requester"], case["user"]["id"]) == (ALLOWS, REQUESTER, "900000008")
    assert (case["reason"], case["policy"]) == (WHY["X-Emergency-Reason"], "Noodprocedure, 2026-01-01")
    assert "gaat nog controleren" in await page(node, ALLOWS)
    await node.node.pool.execute("UPDATE emergency_access SET due = now() - interval '1 minute'")
    [late] = await cases(node)
    assert late["overdue"]
    monkeypatch.setattr("schakel.consenting._LOOK_SECONDS", 0.01)
    organisation = node.node.organisations["a"]
    offices, logs = {"a": organisation.consent}, {"a": organisation.log}
    async with consenting.reviewed(node.settings.organisations, offices, logs):
        async with asyncio.timeout(30):
            while "niet op tijd gebeurd" not in await page(node, ALLOWS):  # noqa: ASYNC110 # no door tells when
                await asyncio.sleep(0.05)
    assert kinds(await events(node, patient__identifier=ALLOWS)).count("break-glass-review") == 1
    async with person(node, "a", ALLOWS) as patient:
        read = await patient.client.get(
            f"{node['a'].front_root}/a/log/fhir/r4/AuditEvent",
            headers={"Authorization": f"Bearer {patient.token}"},
        )
    assert "was nog niet gecontroleerd" in read.text and "las gegevens 90000" not in read.text

    judgement = {"accepted": False, "by": "A. Bakker", "note": "not an emergency"}
    assert (await own(node, "POST", f"emergencies/{case['id']}", judgement))["accepted"] is False
    assert (await cases(node), [one["id"] for one in await cases(node, judged=True)]) == ([], [case["id"]])
    assert await reason(node, await asker.search(ALLOWS, **WHY)) == "break-glass-rejected"
    again = await Asker.presenting(country, node)
    assert await reason(node, await again.search(ALLOWS, **WHY)) == "break-glass-rejected"
    assert keys(await again.search(ALSO_ALLOWS, **WHY)) == {"Condition/also"}
    await node.node.pool.execute(
        "UPDATE emergency_access SET judged = now() - interval '31 days' WHERE NOT accepted"
    )
    later = await Asker.presenting(country, node)
    assert keys(await later.search(ALLOWS, **WHY)) == {"Condition/allows"}
    assert "break-glass-review" in kinds(await events(node, patient__identifier=ALLOWS))
    text = await page(node, ALLOWS)
    assert "Het was niet terecht." in text and WHY["X-Emergency-Reason"] in text


async def test_an_emergency_needs_a_reason_that_says_something(country: Nation, node: RunningNode) -> None:
    asker = await Asker.presenting(country, node)
    answer = await asker.search(SILENT, **{"X-Emergency-Reason": "%20"})
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "emergency-reason"
    assert await reason(node, await asker.search(SILENT)) == "no-ground"


async def test_an_emergency_needs_a_bound_token(country: Nation, node: RunningNode) -> None:
    bearer = await country.requester.bearer(f"{node['a'].front_root}/a")
    named = f"patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|{SILENT}"
    answer = await node["a"].front.get(f"Condition?{named}", headers={**bearer, **WHY})
    assert await reason(node, answer) == "no-ground"
    assert all(case["patient"] != SILENT for case in await cases(node))


@pytest.mark.parametrize("changed", [{"loa": SUBSTANTIAL}, {"role": "30.000"}, {"type_code": "A1"}])
async def test_an_emergency_needs_a_doctor_who_proved_it_at_the_high_level_and_an_organisation_that_treats(
    country: Nation, node: RunningNode, changed: dict[str, str]
) -> None:
    asker = await Asker.presenting(country, node, await known_as(country, **changed))
    assert await reason(node, await asker.search(SILENT, **WHY)) == "no-ground"
    assert all(case["patient"] != SILENT for case in await cases(node))


async def objected(node: RunningNode, bsn: str) -> None:
    await own(node, "POST", "objections", {"patient": bsn, "by": "A. Bakker", "reason": "told at the desk"})


async def test_no_emergency_goes_over_an_objection(country: Nation, asking: RunningNode) -> None:
    asker = await Asker.presenting(country, asking)
    assert await reason(asking, await asker.search(REFUSES, **WHY)) == "mitz-deny"
    assert keys(await asker.search(ALSO_ALLOWS)) == {"Condition/also"}
    await objected(asking, ALSO_ALLOWS)
    for headers in ({}, WHY):
        assert await reason(asking, await asker.search(ALSO_ALLOWS, **headers)) == "objection"
    assert await cases(asking) == []


async def test_a_policy_that_names_the_case_goes_over_an_objection_and_says_so(
    country: Nation, overriding: RunningNode
) -> None:
    asker = await Asker.presenting(country, overriding)
    assert await reason(overriding, await asker.search(REFUSES)) == "mitz-deny"
    assert keys(await asker.search(REFUSES, **WHY)) == {"Condition/refuses"}
    await objected(overriding, SILENT)
    assert keys(await asker.search(SILENT, **WHY)) == {"Condition/silent"}
    over = {case["patient"]: case["objection"] for case in await cases(overriding)}
    assert over[REFUSES] == "no in Mitz" and over[SILENT].startswith("objection ")


# -- acute care ----------------------------------------------------------------------------------------------


async def test_acute_care_without_a_choice_is_given_only_where_that_is_switched_on(
    country: Nation, plain: RunningNode, asking: RunningNode
) -> None:
    """Mitz says here that it has no choice of the patient; its stand-in takes that for a no."""
    out_of_hours = await known_as(country, type_code="N6")
    country.mitz.behave = rewrites(lambda body: body.replace(b">Deny<", b">NotApplicable<"))
    try:
        asker = await Asker.presenting(country, plain, out_of_hours)
        assert await reason(plain, await asker.search(SILENT)) == "mitz-no-choice"
        asker = await Asker.presenting(country, asking, out_of_hours)
        answer = await asker.search(SILENT)
        assert keys(answer) == {"Condition/silent"}
        told = await stored(asking, answer)
        assert (told["ground"]["kind"], told["verdict"]["rule"]) == ("acute", "bgz-acute")
        gp = await Asker.presenting(country, asking)
        assert await reason(asking, await gp.search(SILENT)) == "mitz-no-choice"
        await objected(asking, SILENT)
        assert await reason(asking, await asker.search(SILENT)) == "objection"
    finally:
        country.mitz.behave = passes


async def test_acute_care_does_not_go_over_a_no_in_mitz(country: Nation, asking: RunningNode) -> None:
    asker = await Asker.presenting(country, asking, await known_as(country, type_code="N6"))
    assert await reason(asking, await asker.search(REFUSES)) == "mitz-deny"
