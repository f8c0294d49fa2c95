"""A person lets a client have data: from the client's address through login and consent to a code, over HTTP.

Every refusal takes one condition of the good case away.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.medmij import KNOWN, STRANGER, Browser, Network, came_back, medmij_node
from tests.nodes import databases

from schakel.generic.logging.stored import logged
from schakel.store.embedded import EmbeddedServer

LONG = "gAAAA-_" + "x" * 6000 + "=="


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def network(cluster: EmbeddedServer) -> AsyncIterator[Network]:
    async with databases(cluster, "medmij") as make, medmij_node(make) as network:
        yield network


async def chain(network: Network, session: str) -> list[dict[str, Any]]:
    """The chain log of one session, in order."""
    async with network.node.node.pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT body FROM chain_event WHERE session = $1 ORDER BY recorded", session
        )
    return [orjson.loads(row["body"]) for row in rows]


async def audit(network: Network, subtype: str) -> list[dict[str, Any]]:
    """The events of a subtype in the NEN 7513 log, the newest first."""
    async with network.node.node.pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT id, recorded, body FROM audit_event WHERE kind = $1 ORDER BY recorded DESC", subtype
        )
    return [logged(row).resource() for row in rows]


# -- the good case ---------------------------------------------------------------------------------------------


async def test_a_person_who_agrees_gives_the_client_a_code_and_its_own_state(network: Network) -> None:
    came = await network.pgo().authorise("a")
    assert set(came) == {"code", "state"} and came["state"] == "abc.DEF-1_2="


async def test_a_long_state_comes_back_to_the_letter(network: Network) -> None:
    pgo = network.pgo()
    # The state stands unescaped in the address, as some clients send it.
    address = pgo.address("a", state=None) + f"&state={LONG}"
    async with Browser() as browser:
        page = await browser.open(address)
        await browser.send(page, answer="no")
    assert browser.gone_to.endswith(f"&state={LONG}")


async def test_the_ids_may_come_as_headers_and_unknown_parameters_are_ignored(network: Network) -> None:
    address = network.pgo().address("a", request_id=None, correlation_id=None, colour="blue")
    ids = {"MedMij-Request-ID": str(uuid.uuid4()), "X-Correlation-ID": str(uuid.uuid4())}
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(address, headers=ids)
    assert answer.status_code == 303 and "/oauth2/start?flow=" in answer.headers["location"]


async def test_the_consent_page_names_the_client_and_what_it_gets(network: Network) -> None:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        assert "Mijn Dossier BV" in page.text and "Inloggen met DigiD" in page.text
        page = await browser.send(page, answer="yes")
        page = await browser.send(page, bsn=KNOWN, action="login")
        for text in ("Geeft u toestemming?", "Mijn Dossier BV", "Basisgegevens Zorg", "Vaccinaties"):
            assert text in page.text
        assert "Zelfmetingen" not in page.text and KNOWN not in page.response.text


async def test_sharing_asks_to_confirm_that_one_service(network: Network) -> None:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a", "providera~903"))
        assert "Zelfmetingen delen" in page.text
        page = await browser.send(page, answer="yes")
        page = await browser.send(page, bsn=KNOWN, action="login")
        assert "Bevestigt u" in page.text and "Zelfmetingen delen" in page.text
        assert "Basisgegevens" not in page.text


async def test_a_person_may_read_on_in_english_and_stays_there(network: Network) -> None:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        assert page.tree.get("lang") == "nl"
        [link] = page.tree.xpath("//nav/a/@href")
        page = await browser.open(str(link))
        assert page.tree.get("lang") == "en" and "Log in with DigiD" in page.text
        page = await browser.send(page, answer="yes")
        page = await browser.send(page, bsn=KNOWN, action="login")
        assert "Do you give permission?" in page.text


async def test_pages_allow_no_script_no_frame_and_no_cache(network: Network) -> None:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
    headers = page.response.headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
    assert "<script" not in page.response.text and " style=" not in page.response.text
    assert not re.search(r"https?://(?!127\.0\.0\.1)", page.response.text)


async def test_the_cookie_is_for_the_server_alone_and_for_this_path(network: Network) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(network.pgo().address("a"))
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/a/oauth2" in cookie


async def test_two_windows_of_one_browser_do_not_disturb_each_other(network: Network) -> None:
    one, other = network.pgo(), network.pgo()
    async with Browser() as browser:
        first = await browser.open(one.address("a"))
        second = await browser.open(other.address("a", state="second"))
        await browser.send(first, answer="no")
        assert came_back(browser.gone_to)["state"] == "abc.DEF-1_2="
        await browser.send(second, answer="no")
        assert came_back(browser.gone_to)["state"] == "second"


# -- what is written down --------------------------------------------------------------------------------------


async def test_the_chain_log_tells_the_session_without_a_person(network: Network) -> None:
    pgo = network.pgo()
    await pgo.tokens("a")
    events = await chain(network, pgo.correlation)
    assert [one["event"]["type"] for one in events] == [
        "receive_authorization_request",
        "show_landing_page",
        "send_authentication_request",
        "receive_authentication_response",
        "show_authorization_page",
        "send_authorization_response",
        "receive_token_request",
        "send_token_response",
    ]
    assert events[-1]["response"]["status"] == 200
    assert events[0]["request"]["client_id"] == "pgo.example"
    assert KNOWN not in str(events) and "code" not in str(events[0]["request"].keys())


async def test_consent_and_its_refusal_are_in_the_log_of_the_patient(network: Network) -> None:
    await network.pgo().tokens("a")
    [given, *_] = await audit(network, "consent")
    assert given["outcome"] == "0" and KNOWN in str(given["entity"])
    client = given["agent"][0]["who"]
    assert client == {
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "https://pgo.example"},
        "display": "Mijn Dossier BV",
    }
    [token, *_] = await audit(network, "token")
    assert KNOWN in str(token["entity"]) and token["agent"][0]["who"] == client
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        page = await browser.send(page, answer="yes")
        page = await browser.send(page, bsn=KNOWN, action="login")
        await browser.send(page, answer="no")
    [refused, *_] = await audit(network, "consent")
    assert refused["outcome"] == "4" and refused["outcomeDesc"] == "consent-refused"


# -- the client is not who it should be: a page of ours, and nothing goes back ---------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "unknown.example"},
        {"client_id": "PGO.example"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/auth/callback"},
        {"redirect_uri": "https://pgo.example.evil.example/"},
        {"redirect_uri": "https://pgo.example@evil.example/"},
        {"redirect_uri": "https://evil.example/pgo.example"},
        {"redirect_uri": "https://evil.example\\@pgo.example/"},
        {"redirect_uri": "https://pgo.example:8443/auth/callback"},
        {"redirect_uri": "https://pgo.example/auth/callback#part"},
        {"redirect_uri": "http://pgo.example/auth/callback"},
        {"redirect_uri": "http://127.0.0.1:1/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "https://[bad/"},
    ],
)
async def test_an_unverified_client_gets_nothing_back(
    network: Network, change: dict[str, str | None]
) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(network.pgo().address("a", **change))
    assert answer.status_code == 400 and "location" not in answer.headers
    assert "niet vertrouwen" in answer.text and "evil" not in answer.text


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_a_repeated_client_is_no_client(network: Network, name: str) -> None:
    pgo = network.pgo()
    value = {"client_id": "other.example", "redirect_uri": "https://other.example/"}[name]
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{pgo.address('a')}&{name}={value}")
    assert answer.status_code == 400 and "location" not in answer.headers


async def test_a_client_that_leaves_the_list_is_no_client_any_more(network: Network) -> None:
    clients, number = network.lists["clients"], network.lists["number"]
    network.write_lists(number=number + 1, clients=clients[1:])
    pgo = network.pgo()
    async with httpx.AsyncClient(trust_env=False) as http:
        for _ in range(100):
            if (answer := await http.get(pgo.address("a"))).status_code == 400:
                break
            await asyncio.sleep(0.1)
        assert answer.status_code == 400
        network.write_lists(number=number + 2, clients=clients)
        for _ in range(100):
            if (answer := await http.get(pgo.address("a"))).status_code == 303:
                break
            await asyncio.sleep(0.1)
        assert answer.status_code == 303


# -- the request is wrong: back to the client with an error ----------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"request_id": None}, "invalid_request"),
        ({"request_id": "1"}, "invalid_request"),
        ({"correlation_id": None}, "invalid_request"),
        ({"correlation_id": "not-a-uuid"}, "invalid_request"),
        ({"scope": "~"}, "invalid_scope"),
        ({"scope": "providerb"}, "invalid_scope"),
        ({"scope": "providera~999"}, "invalid_scope"),
        ({"scope": "providera~48"}, "invalid_scope"),
        ({"scope": "providera providerb"}, "invalid_scope"),
        ({"scope": "providera onbehalfof"}, "invalid_scope"),
    ],
)
async def test_a_wrong_request_goes_back_with_the_error_and_the_state(
    network: Network, change: dict[str, str | None], error: str
) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(network.pgo().address("a", **change))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("https://pgo.example/auth/callback?error=")
    came = came_back(answer.headers["location"])
    assert (came["error"], came["state"]) == (error, "abc.DEF-1_2=")
    assert came["error_description"]


@pytest.mark.parametrize("name", ["state", "scope", "response_type", "X-Correlation-ID"])
async def test_a_repeated_parameter_is_refused(network: Network, name: str) -> None:
    address = f"{network.pgo().address('a')}&{name}=providera"
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(address)
    assert came_back(answer.headers["location"])["error"] == "invalid_request"


async def test_a_request_without_state_goes_back_without_one(network: Network) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(network.pgo().address("a", state=None))
    came = came_back(answer.headers["location"])
    assert came["error"] == "invalid_request" and "state" not in came


async def test_an_organisation_that_is_not_here_has_no_page(network: Network) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        address = network.pgo().address("a").replace("/a/oauth2", "/nobody/oauth2")
        answer = await http.get(address)
    assert answer.status_code == 404 and "location" not in answer.headers


# -- the person does not go on, or is not known ----------------------------------------------------------------


async def _ended(network: Network, how: str) -> dict[str, str]:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        if how == "landing":
            await browser.send(page, answer="no")
            return came_back(browser.gone_to)
        page = await browser.send(page, answer="yes")
        if how == "login":
            await browser.send(page, action="cancel")
            return came_back(browser.gone_to)
        page = await browser.send(page, bsn=STRANGER if how == "stranger" else KNOWN, action="login")
        if how == "stranger":
            assert "We hebben geen gegevens van u" in page.text and page.response.status_code == 200
        await browser.send(page, answer="no")
        return came_back(browser.gone_to)


async def test_the_client_cannot_tell_a_refusal_from_a_person_who_is_not_known(network: Network) -> None:
    answers = [await _ended(network, how) for how in ("landing", "login", "consent", "stranger")]
    assert answers[0]["error"] == "access_denied"
    assert all(one == answers[0] for one in answers)


async def test_a_person_who_is_not_known_cannot_say_yes(network: Network) -> None:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        page = await browser.send(page, answer="yes")
        page = await browser.send(page, bsn=STRANGER, action="login")
        page = await browser.send(page, answer="yes")
    assert page.response.status_code == 400 and not browser.gone_to


@pytest.mark.parametrize("number", ["123456789", "12345678", "", "abc", "000000000"])
async def test_a_number_that_is_no_bsn_is_asked_again(network: Network, number: str) -> None:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        page = await browser.send(page, answer="yes")
        page = await browser.send(page, bsn=number, action="login")
        assert page.response.status_code == 400 and "geen geldig nummer" in page.text
        page = await browser.send(page, bsn=KNOWN, action="login")
        assert "Geeft u toestemming?" in page.text


# -- another browser, another site, another time ---------------------------------------------------------------


async def test_a_form_without_the_browsers_secret_does_nothing(network: Network) -> None:
    async with Browser() as browser, Browser() as other:
        page = await browser.open(network.pgo().address("a"))
        page = await browser.send(page, answer="yes")
        page = await browser.send(page, bsn=KNOWN, action="login")
        for changed in ({"csrf": ""}, {"csrf": "0" * 64}, {"flow": str(uuid.uuid4())}):
            refused = await browser.send(page, answer="yes", **changed)
            assert refused.response.status_code == 400 and not browser.gone_to
        refused = await other.send(page, answer="yes")
        assert refused.response.status_code == 400 and not other.gone_to
        await browser.send(page, answer="yes")
        assert "code" in came_back(browser.gone_to)


async def test_another_browser_cannot_take_the_flow_over(network: Network) -> None:
    async with Browser() as browser, Browser() as other:
        page = await browser.open(network.pgo().address("a"))
        flow = page.form()["flow"]
        for path in (f"start?flow={flow}", f"consent?flow={flow}", f"callback?state={flow}&code=x"):
            assert (await other.open(f"{network.base('a')}/{path}")).response.status_code == 400
        # The login that the attacker did is not the person's: its answer belongs to another browser.
        login = await browser.send(page, answer="yes")
        sent = await browser.http.post(
            f"{network.broker}/login", data={**login.form(), "bsn": KNOWN, "action": "login"}
        )
        stolen = await other.open(sent.headers["location"])
        assert stolen.response.status_code == 400 and KNOWN not in stolen.response.text


async def test_each_step_is_taken_once(network: Network) -> None:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        login = await browser.send(page, answer="yes")
        sent = await browser.http.post(
            f"{network.broker}/login", data={**login.form(), "bsn": KNOWN, "action": "login"}
        )
        consent = await browser.open(sent.headers["location"])
        assert "Geeft u toestemming?" in consent.text
        again = await browser.open(sent.headers["location"])
        assert again.response.status_code == 400
        await browser.send(consent, answer="yes")
        assert "code" in came_back(browser.gone_to)
        again = await browser.send(consent, answer="yes")
        assert again.response.status_code == 400


async def test_a_flow_ends_when_its_time_is_over(network: Network) -> None:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        async with network.node.node.pool.acquire() as connection:
            await connection.execute(
                "UPDATE medmij_flow SET expires = now() - interval '1 second' WHERE id = $1",
                page.form()["flow"],
            )
        page = await browser.send(page, answer="yes")
    assert page.response.status_code == 400 and "niet meer geldig" in page.text


async def test_a_login_service_that_is_away_is_said_to_the_client(network: Network) -> None:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        await browser.send(page, answer="yes")
        await browser.open(f"{network.base('a')}/callback?state={page.form()['flow']}&error=server_error")
    assert came_back(browser.gone_to)["error"] == "temporarily_unavailable"
