"""One question through all generic functions: certificate, credentials, Dezi, DPoP, matrix, Mitz, decision and log."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.guarded import keys
from tests.nation import ALLOWS, HOLDER, REFUSES, REQUESTER, TYPE, Nation, nation
from tests.nodes import RunningNode
from tests.whole import (
    SILENT,
    Asker,
    by_provider,
    events,
    explained,
    hospital,
    kinds,
    provider,
    reason,
    signed_only,
    stored,
    until,
)

from schakel.generic.identity.tokens.grants import JWT_BEARER, VP_BEARER
from schakel.store.embedded import EmbeddedServer

STEPS = ["identified", "form accepted", "patient known", "ground found", "decided", "minimised"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        await signed_only(made)
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, country: Nation) -> AsyncIterator[RunningNode]:
    issuers = {"issuers": {TYPE: [country.issuer_did], "ServiceProviderCredential": [country.issuer_did]}}
    async with hospital(cluster, "whole_question", country, trust=issuers) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def asker(country: Nation, node: RunningNode) -> Asker:
    country.heal()
    return await Asker.presenting(country, node)


async def test_what_the_patient_allowed_in_mitz_is_given_and_every_step_is_kept(
    asker: Asker, node: RunningNode, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await asker.search(ALLOWS)
    assert keys(answer) == {"Condition/allows"}
    told = await stored(node, answer)
    assert [check["name"] for check in told["checks"]] == STEPS
    who = told["requester"]
    assert (who["ura"], who["name"], who["facility_type"]) == (REQUESTER, "Huisartsen Oost", "Z3")
    assert (who["user"]["id"], who["user"]["role"]) == ("900000008", "01.015")
    assert (who["grant_type"], who["bound"], who["assurance"]) == (
        VP_BEARER,
        True,
        "http://eidas.europa.eu/LoA/high",
    )
    assert (told["patient"], told["facts"]["purpose"], told["row"]["id"]) == (
        ALLOWS,
        "TREAT",
        "bgz-7-Problem",
    )
    assert (told["ground"]["kind"], told["ground"]["source"], told["verdict"]["rule"]) == (
        "mitz",
        "mitz",
        "bgz-mitz",
    )
    assert told["shown"] == ["Condition/allows/_history/1"]
    assert await explained(node, answer) == 0
    said = capsys.readouterr().out
    for words in ("the patient's choice in Mitz", "bgz-mitz", "bgz-7-Problem", "the decision is the same"):
        assert words in said
    assert all(step in said for step in STEPS)


async def test_the_question_to_mitz_is_in_the_log_once_for_a_token(asker: Asker, node: RunningNode) -> None:
    first = await asker.search(ALLOWS)
    assert keys(first) == keys(await asker.search(ALLOWS)) == {"Condition/allows"}
    [token] = {(await stored(node, first))["requester"]["token"]}
    about = [event for event in await events(node, patient__identifier=ALLOWS) if token in str(event)]
    assert kinds(about) == ["search-type", "search-type", "consent-asked"]
    asked = about[-1]
    [query] = [entity["query"] for entity in asked["entity"] if "query" in entity]
    assert asked["outcome"] == "0"
    assert b64decode(query).decode() == "closed question, GGC002 for type Z3: Permit"


@pytest.mark.parametrize("bsn", [REFUSES, SILENT])
async def test_without_a_yes_in_mitz_nothing_is_given(
    asker: Asker, node: RunningNode, bsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await asker.search(bsn)
    assert await reason(node, answer) == "mitz-deny"
    told = await stored(node, answer)
    assert (told["shown"], told["ground"]) == ([], None)
    assert [check["name"] for check in told["checks"]] == STEPS[:3]
    assert await explained(node, answer) == 0
    assert "the patient gave no permission in Mitz (mitz-deny)" in capsys.readouterr().out


async def test_a_choice_that_is_changed_on_the_page_of_mitz_counts_at_once(
    asker: Asker, node: RunningNode, country: Nation
) -> None:
    a = node["a"]
    wanted = {"patient": ALLOWS, "birth_date": "1970-01-01"}
    answer = await a.internal.post(f"{a.internal_root}/a/consent/subscriptions", json=wanted)
    assert answer.status_code == 202, answer.text
    await until(node, "subscriptions?state=active")
    try:
        assert keys(await asker.search(ALLOWS)) == {"Condition/allows"}
        await country.choose(ALLOWS, False)
        told = await until(node, "choices")
        last = told[-1]["number"]
        assert {one["patient"] for one in told} == {ALLOWS}
        assert {one["provider_category"]: one["permitted"] for one in told}["RPZAC001"] is False
        assert await reason(node, await asker.search(ALLOWS)) == "mitz-deny"
        logged = kinds(await events(node, patient__identifier=ALLOWS))
        assert {"consent-notified", "subscription"} <= set(logged)
    finally:
        await country.choose(ALLOWS, True)
    await until(node, f"choices?after={last}")
    assert keys(await asker.search(ALLOWS)) == {"Condition/allows"}


# -- a service provider asks ---------------------------------------------------------------------------------


async def test_a_service_provider_asks_for_the_gp_that_lets_it(country: Nation, node: RunningNode) -> None:
    asker = await by_provider(country, node, await provider(country, REQUESTER))
    assert isinstance(asker, Asker), asker.text
    answer = await asker.search(ALLOWS)
    assert keys(answer) == {"Condition/allows"}
    who = (await stored(node, answer))["requester"]
    assert (who["ura"], who["grant_type"], who["bound"]) == (REQUESTER, JWT_BEARER, True)
    assert who["client_id"].endswith(":provider")
    assert await reason(node, await asker.search(REFUSES)) == "mitz-deny"


async def test_a_service_provider_that_another_lets_ask_gets_no_token(
    country: Nation, node: RunningNode
) -> None:
    refused = await by_provider(country, node, await provider(country, HOLDER))
    assert not isinstance(refused, Asker)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert "delegatedBy" in refused.json()["error_description"]
