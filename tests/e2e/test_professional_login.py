"""A professional logs in at Dezi for the EHR, in a real browser session over HTTP, and what the EHR can do with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from tests.dezi import ELSEWHERE, HIGH, NUMBER, OWN, Scene, dezi_node, page_of
from tests.medmij import Browser
from tests.nodes import MakeDatabase, databases, running_node

from schakel.store import expiring
from schakel.store.embedded import EmbeddedServer

BACK = "https://ehr.example/patients?tab=2"
BSN = "999911120"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(cluster: EmbeddedServer) -> AsyncIterator[Scene]:
    async with databases(cluster, "professionals") as make, dezi_node(make) as made:
        yield made


async def came_back(browser: Browser, address: str) -> str:
    """The address of the callback with which Dezi sends the browser back; it does not go there yet."""
    page = await browser.open(address)
    [form] = page.tree.forms
    fields = {**page.form(), "who": OWN, "action": "login"}
    action = page.response.url.join(form.action)
    answer = await browser.http.post(action, data=fields)
    return answer.headers["location"]


@pytest.mark.parametrize("form", ["jwe", "jws"])
async def test_a_professional_logs_in_and_the_ehr_knows_who_it_is(
    make_database: MakeDatabase, form: str
) -> None:
    async with dezi_node(make_database, form=form) as scene:
        begun = await scene.begin(return_to=BACK)
        assert (await scene.told(begun["id"])).json()["state"] == "pending"
        async with Browser("en") as browser:
            page = await page_of(browser, begun["address"])
        assert page.response.status_code == 200 and "You are logged in" in page.text
        [link] = page.tree.xpath("//main//a/@href")
        assert link == f"{BACK}&login={begun['id']}"
        told = (await scene.told(begun["id"])).json()
        assert told["state"] == "logged-in" and told["reason"] is None
        assert told["professional"] == {
            "number": NUMBER,
            "name": "J. van Dam",
            "initials": "J.",
            "prefix": "van",
            "surname": "Dam",
            "role": "01.015",
            "role_name": "Huisarts",
            "organisation": {"ura": "90000001", "name": "Organisation a"},
            "assurance": HIGH,
            "warnings": [],
        }


async def test_the_page_speaks_dutch_and_leads_nowhere_when_the_ehr_gave_no_address(scene: Scene) -> None:
    begun = await scene.begin()
    async with Browser("nl") as browser:
        page = await page_of(browser, begun["address"])
    assert "U bent ingelogd" in page.text and not page.tree.xpath("//main//a")


async def test_a_login_that_ended_is_gone_with_its_statement(scene: Scene) -> None:
    login = await scene.logged_in()
    address = f"{scene.a.internal_root}/a/professionals/logins/{login}"
    assert (await scene.a.internal.delete(address)).status_code == 204
    assert (await scene.told(login)).status_code == 404
    assert (await scene.a.internal.delete(address)).status_code == 404
    async with scene.node.node.pool.acquire() as connection:
        kept = await connection.fetchval("SELECT count(*) FROM dezi_login WHERE id = $1", login)
    assert kept == 0


async def test_a_statement_does_not_outlive_its_login(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiring, "_SECONDS", 0.1)
    async with dezi_node(make_database, lasting_hours=0.0001) as scene:
        begun = await scene.begin()
        async with Browser() as browser:
            await page_of(browser, begun["address"])
        await asyncio.sleep(1)
        assert (await scene.told(begun["id"])).status_code == 404
        assert await scene.node.node.pool.fetchval("SELECT count(*) FROM dezi_login") == 0


async def test_a_login_belongs_to_its_organisation(scene: Scene) -> None:
    login = await scene.logged_in()
    assert (await scene.told(login, "b")).status_code == 404


async def test_cancelling_at_dezi_is_told_to_both(scene: Scene) -> None:
    begun = await scene.begin(return_to=BACK)
    async with Browser("en") as browser:
        page = await page_of(browser, begun["address"], action="cancel")
    assert "You stopped before you were logged in" in page.text
    assert page.tree.xpath("//main//a/@href") == [f"{BACK}&login={begun['id']}"]
    told = (await scene.told(begun["id"])).json()
    assert (told["state"], told["reason"], told["professional"]) == ("failed", "login-cancelled", None)


async def test_a_login_for_another_organisation_is_none_here(scene: Scene) -> None:
    begun = await scene.begin()
    async with Browser("en") as browser:
        page = await page_of(browser, begun["address"], who=ELSEWHERE)
    assert page.response.status_code == 403 and "another organisation than Organisation a" in page.text
    told = (await scene.told(begun["id"])).json()
    assert (told["state"], told["reason"]) == ("failed", "login-other-organisation")


async def test_a_callback_works_once(scene: Scene) -> None:
    begun = await scene.begin()
    async with Browser("en") as browser:
        back = await came_back(browser, begun["address"])
        assert (await browser.http.get(back)).status_code == 200
        again = await browser.http.get(back)
    assert again.status_code == 400 and "login-gone" in again.text
    assert (await scene.told(begun["id"])).json()["state"] == "logged-in"


async def test_the_browser_that_began_is_the_one_that_ends(scene: Scene) -> None:
    begun = await scene.begin()
    async with Browser() as browser, Browser() as other:
        back = await came_back(browser, begun["address"])
        taken = await other.http.get(back)
        assert taken.status_code == 400 and "login-gone" in taken.text
        assert (await scene.told(begun["id"])).json()["state"] == "pending"
        assert (await browser.http.get(back)).status_code == 200


async def test_an_address_that_was_opened_is_of_that_browser_alone(scene: Scene) -> None:
    begun = await scene.begin()
    async with Browser() as browser, Browser() as other:
        await browser.open(begun["address"])
        taken = await other.http.get(begun["address"])
        assert taken.status_code == 400 and "location" not in taken.headers
        page = await page_of(browser, begun["address"])  # Opened again by the same: begins anew.
        assert page.response.status_code == 200


async def test_a_state_of_an_earlier_attempt_is_worth_nothing(scene: Scene) -> None:
    begun = await scene.begin()
    async with Browser() as browser:
        earlier = await came_back(browser, begun["address"])
        await browser.open(begun["address"])
        assert (await browser.http.get(earlier)).status_code == 400


@pytest.mark.parametrize("what", ["ticket", "login"])
async def test_an_address_that_was_changed_opens_nothing(scene: Scene, what: str) -> None:
    address = httpx.URL((await scene.begin())["address"])
    wrong = address.copy_set_param(what, "00000000-0000-4000-8000-000000000000")
    async with Browser() as browser:
        answer = await browser.http.get(wrong)
        bare = await browser.http.get(address.copy_remove_param(what))
    assert answer.status_code == bare.status_code == 400
    assert "set-cookie" not in answer.headers


async def test_dezi_is_asked_with_all_that_ties_its_answer_to_this_login(scene: Scene) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get((await scene.begin())["address"])
    query = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    assert query["code_challenge_method"] == "S256" and len(query["code_challenge"]) == 43
    assert (query["display"], query["prompt"], query["scope"]) == ("page", "login", "openid")
    assert query["state"] and query["nonce"]
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/a/professionals" in cookie


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "//ehr.example",
        "ehr.example",
        "https://",
        "https://u@ehr.example",
        "https://ehr.example/#x",
        "https://ehr.example/\n",
        "https://ehr.example:x/",
        "https://ehr.example/" + "x" * 2000,
    ],
)
async def test_an_address_to_return_to_is_an_address_of_the_web(scene: Scene, address: str) -> None:
    answer = await scene.a.internal.post(
        f"{scene.a.internal_root}/a/professionals/logins", json={"return_to": address}
    )
    assert (answer.status_code, answer.json()["expression"]) == (400, "return_to")


@pytest.mark.parametrize("body", ['{"to": "x"}', '{"return_to": 7}', "[]", "x"])
async def test_a_body_that_is_not_right_is_refused(scene: Scene, body: str) -> None:
    answer = await scene.a.internal.post(f"{scene.a.internal_root}/a/professionals/logins", content=body)
    assert answer.status_code == 400


async def test_without_the_key_of_the_organisation_there_is_no_login(scene: Scene) -> None:
    at = f"{scene.a.internal_root}/a/professionals/logins"
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.post(at)).status_code == 401
        assert (await http.get(f"{at}/x")).status_code == 401
    assert (await scene.a.front.get(f"{scene.a.front_root}/a/professionals/logins/x")).status_code == 404


async def test_a_node_without_dezi_says_so(make_database: MakeDatabase) -> None:
    async with running_node(make_database) as node:
        a = node["a"]
        answer = await a.internal.post(f"{a.internal_root}/a/professionals/logins")
        assert (answer.status_code, answer.json()["code"]) == (404, "dezi-off")
        page = await a.front.get(f"{a.front_root}/a/professionals/callback")
        assert page.status_code == 404 and "inloggen" in page.text


# -- what the EHR does with it ---------------------------------------------------------------------------------


def _ask(**members: Any) -> dict[str, Any]:
    return {
        "patient": BSN,
        "holders": ["90000002"],
        "purpose": "TREAT",
        "treatment_relation": "current",
        **members,
    }


async def _events(scene: Scene, slug: str, **search: str) -> list[dict[str, Any]]:
    one = scene.node[slug]
    answer = await one.internal.get(f"{one.internal_root}/{slug}/log/fhir/r4/AuditEvent", params=search)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


async def test_an_exchange_is_asked_for_the_professional_who_is_logged_in(scene: Scene) -> None:
    login = await scene.logged_in()
    at = f"{scene.a.internal_root}/a/exchanges/bgz"
    answer = await scene.a.internal.post(at, json=_ask(login=login))
    assert answer.status_code == 200, answer.text
    [event, *_] = await _events(scene, "a", subtype="exchange")
    assert NUMBER in str(event) and "J. van Dam" in str(event) and HIGH in str(event)
    [asked, *_] = await _events(scene, "b", subtype="token")
    assert NUMBER in str(asked)


async def test_a_login_is_written_in_the_log(scene: Scene) -> None:
    await scene.logged_in()
    [event, *_] = await _events(scene, "a", subtype="login")
    assert NUMBER in str(event) and event["outcome"] == "0"
    begun = await scene.begin()
    async with Browser() as browser:
        await page_of(browser, begun["address"], action="cancel")
    [event, *_] = await _events(scene, "a", subtype="login")
    assert event["outcome"] == "4" and "login-cancelled" in str(event)


@pytest.mark.parametrize(
    ("members", "expression"),
    [
        ({"login": "00000000-0000-4000-8000-000000000000"}, "login"),
        ({"login": "nobody"}, "login"),
        ({"login": 7}, "login"),
        ({"login": None}, "login"),
        ({"login": "x", "user": {"id": "1", "name": "x", "role": "01.015"}}, "login"),
        ({}, "user"),
    ],
)
async def test_an_exchange_needs_somebody_on_whose_behalf(
    scene: Scene, members: dict[str, Any], expression: str
) -> None:
    answer = await scene.a.internal.post(f"{scene.a.internal_root}/a/exchanges/bgz", json=_ask(**members))
    assert (answer.status_code, answer.json()["expression"]) == (400, expression)


async def test_nobody_asks_with_a_login_that_is_not_done_yet(scene: Scene) -> None:
    begun = await scene.begin()
    at = f"{scene.a.internal_root}/a/exchanges/bgz"
    answer = await scene.a.internal.post(at, json=_ask(login=begun["id"]))
    assert (answer.status_code, answer.json()["expression"]) == (400, "login")
