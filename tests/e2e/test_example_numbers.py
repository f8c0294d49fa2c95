"""Test numbers: a node that names the numbers of published examples takes them at every door and in what is stored;
any other refuses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.guarded import MINE, condition, patient
from tests.nation import HOLDER, Nation, nation
from tests.nodes import DOCTOR, MakeDatabase, RunningNode, running_node
from tests.referring import referring

from schakel.generic.localisation.categories import SYSTEM
from schakel.kernel.clock import now
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM

EXAMPLE = "999940003"
"""The person of the worked example of the PRS."""

OTHER = "900022868"
"""A person in the test data of a knooppunt, whom the node here does not name."""

RULES = [{"ground": "a test", "categories": ["Condition", "Imaging"], "start": "2026-01-01"}]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        await made.refer()
        yield made


async def asked(node: RunningNode, number: str) -> dict[str, int]:
    """The status of the answer at each door that takes a BSN of a caller."""
    a, root = node["a"], node["a"].internal_root
    who = {"patient:identifier": f"{BSN_SYSTEM}|{number}"}
    tenant = {"X-Tenant-ID": f"{URA_SYSTEM}|{HOLDER}"}
    record = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": SYSTEM, "code": "Imaging"}]},
        "subject": {"identifier": {"system": BSN_SYSTEM, "value": number}},
    }
    ask = {
        "patient": number,
        "holders": [node["b"].ura],
        "user": DOCTOR.json(),
        "purpose": "TREAT",
        "treatment_relation": "current",
    }
    ground = {
        "requester": node["b"].ura,
        "patient": number,
        "until": (now() + timedelta(days=300)).date().isoformat(),
        "reason": "test",
        "exchange": "bgz",
    }
    objection = {"patient": number, "exchanges": ["pzp"], "by": "desk"}
    token = await node["b"].token(a)
    named = f"Condition?patient.identifier={BSN_SYSTEM}|{number}"
    client = a.internal
    answers = {
        "exchanges/bgz": await client.post(f"{root}/a/exchanges/bgz", content=orjson.dumps(ask)),
        "grounds": await client.post(f"{root}/a/grounds", json=ground),
        "objections": await client.post(f"{root}/a/consent/objections", json=objection),
        "localisation": await client.get(f"{root}/a/localisation/fhir/r4/List", params=who),
        "registration": await client.post(f"{root}/a/localisation/fhir/r4/List", json=record),
        "nvi": await client.get(f"{root}/nvi/List", params=who, headers=tenant),
        "log": await client.get(
            f"{root}/a/log/fhir/r4/AuditEvent", params={"patient.identifier": f"{BSN_SYSTEM}|{number}"}
        ),
        "guarded": await a.front.get(named, headers={"Authorization": f"Bearer {token}"}),
    }
    for name, answer in answers.items():
        assert answer.status_code != 400 or "11-proef" in answer.text, (name, answer.text)
    return {name: answer.status_code for name, answer in answers.items()}


async def test_a_node_takes_the_numbers_that_it_names_at_every_door_and_no_others(
    country: Nation, make_database: MakeDatabase
) -> None:
    settings = country.settings(**referring(country))
    back = settings.pop("back")
    also: dict[str, Any] = {"back": back, "by_slug": {"a": {"registrations": RULES}}, **settings}
    async with running_node(make_database, **also) as strict:
        refused = await asked(strict, EXAMPLE)
    assert set(refused.values()) == {400}
    async with running_node(make_database, test_bsns=(EXAMPLE,), **also) as node:
        taken = await asked(node, EXAMPLE)
        assert set(taken.values()) <= {200, 201}
        assert await asked(node, OTHER) == refused


async def test_a_stored_test_number_is_exchanged_and_registered_and_withdrawn_when_it_is_no_longer_taken(
    country: Nation, make_database: MakeDatabase
) -> None:
    database = await make_database()

    async def the_same() -> str:
        return database

    settings = country.settings(**referring(country))
    also = {"back": settings.pop("back"), **settings}
    rules = {"a": {"registrations": RULES}}
    async with running_node(the_same, by_slug=rules, test_bsns=(EXAMPLE,), **also) as node:
        a, b = node["a"], node["b"]
        for one in (patient("p1", EXAMPLE), condition("c1", MINE)):
            stored = await a.internal.put(f"{one['resourceType']}/{one['id']}", json=one)
            assert stored.status_code == 201, stored.text
        async with asyncio.timeout(60):
            while not (found := (await a.internal.get(lists(node), params=who())).json()).get("total"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await a.ground(EXAMPLE, b.ura)
        ask = {
            "patient": EXAMPLE,
            "holders": [a.ura],
            "user": DOCTOR.json(),
            "purpose": "TREAT",
            "treatment_relation": "current",
        }
        answer = await b.internal.post(f"{b.internal_root}/b/exchanges/bgz", content=orjson.dumps(ask))
        [holder] = answer.json()["holders"]
        assert sum(request["entries"] for request in holder["requests"]) >= 2, answer.text
    record = found["entry"][0]["resource"]["id"]
    async with running_node(the_same, **also) as strict:  # Without a rule too: what it told the index goes.
        a = strict["a"]
        assert (await a.internal.get(lists(strict), params=who())).status_code == 400
        async with asyncio.timeout(60):
            while (read := await a.internal.get(f"{lists(strict)}/{record}")).status_code != 404:
                assert read.status_code == 200, read.text
                await asyncio.sleep(0.1)


def lists(node: RunningNode) -> str:
    """The door of organisation a for records of the index."""
    return f"{node['a'].internal_root}/a/localisation/fhir/r4/List"


def who() -> dict[str, str]:
    """The search for the records of the patient."""
    return {"patient:identifier": f"{BSN_SYSTEM}|{EXAMPLE}"}


async def test_the_technical_log_warns_at_the_start_without_the_numbers(make_database: MakeDatabase) -> None:
    with capture_logs() as without:
        async with running_node(make_database, ("a",)):
            pass
    assert "test-numbers-are-taken" not in {one["event"] for one in without}
    with capture_logs() as technical:
        async with running_node(make_database, ("a",), test_bsns=(EXAMPLE, OTHER)):
            pass
    [warned] = [one for one in technical if one["event"] == "test-numbers-are-taken"]
    assert (warned["log_level"], warned["number"], warned["setting"]) == ("warning", 2, "test_bsns")
    assert EXAMPLE not in str(technical) and OTHER not in str(technical)
