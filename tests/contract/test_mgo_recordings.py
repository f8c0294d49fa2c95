"""What the proxy of the ministry's MGO sent to a DVA, sent to us: the same methods, headers and bodies.

The recordings are of a real client; their answers are of another server and are not compared. Host names, codes and
tokens are ours. What the client could work with is taken from its recorded behaviour: all five members in a token
answer (08), the same code once more after an answer was lost (09-11, 14), `grant_type=refresh_code` (13), numbers
as errors (05, 06).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
import pytest_asyncio
from tests.medmij import KNOWN, Browser, Network, came_back, medmij_node
from tests.nodes import databases
from tests.shared import shared

from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.shared

QUIRKS: dict[str, Any] = {"accept_refresh_code": True, "repeat_code_seconds": 30, "numeric_errors": True}
FERNET = "gAAAAABpIOd_" + "Zk-9_aB4" * 26 + "Tg=="
MEMBERS = {"access_token", "token_type", "expires_in", "refresh_token", "scope"}


def recording(name: str) -> list[dict[str, Any]]:
    """The steps of a recording."""
    path = shared("recordings", "mgo", f"{name}.json")
    steps: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["steps"]
    return steps


def asked_of_dva(name: str) -> list[dict[str, Any]]:
    return [step for step in recording(name) if step.get("to") == "dva"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict(cluster: EmbeddedServer) -> AsyncIterator[Network]:
    async with databases(cluster, "mgo_strict") as make, medmij_node(make) as network:
        yield network


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lenient(cluster: EmbeddedServer) -> AsyncIterator[Network]:
    async with databases(cluster, "mgo_lenient") as make, medmij_node(make, **QUIRKS) as network:
        yield network


async def sent(network: Network, step: Mapping[str, Any], **values: str) -> httpx.Response:
    """A recorded token request to us, with these fields of its form replaced."""
    fields = {**dict(parse_qsl(step["body"], keep_blank_values=True)), **values}
    left_out = {"host", "connection", "content-length"}
    headers = {name: value for name, value in step["headers"].items() if name.lower() not in left_out}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.request(
            step["method"], f"{network.base('a')}/token", content=urlencode(fields), headers=headers
        )


async def code_for(network: Network, step: Mapping[str, Any]) -> str:
    """A code of the session that the recorded request names."""
    pgo = network.pgo(correlation=step["headers"]["X-Correlation-ID"])
    return (await pgo.authorise("a"))["code"]


# -- the browser -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["01-getstate", "03-getstate-endpoint-with-query"])
async def test_the_address_that_the_proxy_makes_leads_to_a_code(strict: Network, name: str) -> None:
    [step] = recording(name)
    recorded = urlsplit(step["response_body"]["url_to_request"])
    query = recorded.query.replace("<fernet-state>", FERNET).replace("eenofanderezorgaanbieder", "providera")
    assert f"state={FERNET}&" in query and "redirect_uri=https%3A%2F%2Fpgo.example%2Fauth%2Fcallback" in query
    async with Browser() as browser:
        page = await browser.open(f"{strict.base('a')}/authorize?{query}")
        page = await browser.send(page, answer="yes")
        page = await browser.send(page, bsn=KNOWN, action="login")
        await browser.send(page, answer="yes")
    assert browser.gone_to.startswith("https://pgo.example/auth/callback?code=")
    assert browser.gone_to.endswith(f"&state={FERNET}")


async def test_a_scope_that_the_proxy_does_not_escape_names_no_provider(strict: Network) -> None:
    [step] = recording("02-getstate-scope-not-escaped")
    query = urlsplit(step["response_body"]["url_to_request"]).query.replace("<fernet-state>", FERNET)
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{strict.base('a')}/authorize?{query}")
    # The `#` in the scope cuts the address off before client_id, so that there is nowhere to go back to.
    assert answer.status_code == 400 and "location" not in answer.headers


async def _refused_by_the_person(network: Network) -> dict[str, str]:
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        await browser.send(page, answer="no")
    return came_back(browser.gone_to)


async def test_an_error_is_a_word_and_with_the_setting_a_number(strict: Network, lenient: Network) -> None:
    assert dict(parse_qsl(recording("05-callback-error-string")[0]["raw_query"]))["error"] == "access_denied"
    assert (await _refused_by_the_person(strict))["error"] == "access_denied"
    assert dict(parse_qsl(recording("06-callback-error-number")[0]["raw_query"]))["error"] == "401"
    assert (await _refused_by_the_person(lenient))["error"] == "401"


# -- the token endpoint ----------------------------------------------------------------------------------------


async def test_a_token_request_of_the_proxy_is_answered_with_all_it_needs(strict: Network) -> None:
    [step] = asked_of_dva("04-token")
    answer = await sent(strict, step, code=await code_for(strict, step))
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert set(told) == MEMBERS == set(step["response_body"])
    assert isinstance(told["expires_in"], int) and told["token_type"] == "Bearer"


async def test_a_code_that_is_not_known_is_400_which_the_proxy_does_not_send_again(strict: Network) -> None:
    [step] = asked_of_dva("07-token-400")
    answer = await sent(strict, step)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_no_answer_lacks_a_refresh_token(strict: Network) -> None:
    [step] = asked_of_dva("08-token-no-refresh-token")
    assert "refresh_token" not in step["response_body"]
    answer = await sent(strict, step, code=await code_for(strict, step))
    assert answer.json()["refresh_token"]


@pytest.mark.parametrize(
    "name", ["09-token-503-then-200", "10-token-dropped", "11-token-slow", "14-token-503-four-times"]
)
async def test_a_code_sent_again_is_refused_and_with_the_setting_answered_again(
    strict: Network, lenient: Network, name: str
) -> None:
    steps = asked_of_dva(name)
    assert len({step["headers"]["MedMij-Request-ID"] for step in steps}) == 1 and len(steps) > 1
    # All but the last answer were lost on their way: the proxy sees the last one.
    code = await code_for(strict, steps[0])
    answers = [await sent(strict, step, code=code) for step in steps]
    assert [one.status_code for one in answers] == [200] + [400] * (len(steps) - 1)
    code = await code_for(lenient, steps[0])
    answers = [await sent(lenient, step, code=code) for step in steps]
    assert [one.status_code for one in answers] == [200] * len(steps)
    told = [{**one.json(), "expires_in": 0} for one in answers]
    assert set(told[-1]) == MEMBERS and all(one == told[0] for one in told)


async def test_the_token_endpoint_redirects_nobody(strict: Network) -> None:
    first, *_ = asked_of_dva("12-token-redirect")
    answer = await sent(strict, first, code=await code_for(strict, first))
    assert answer.status_code == 200 and "location" not in answer.headers


async def test_a_refresh_of_the_proxy_is_refused_and_with_the_setting_answered(
    strict: Network, lenient: Network
) -> None:
    [step] = asked_of_dva("13-refresh")
    for network, status in ((strict, 400), (lenient, 200)):
        given = await network.pgo().tokens("a")
        answer = await sent(network, step, refresh_token=given["refresh_token"])
        assert answer.status_code == status
        if status == 200:
            assert set(answer.json()) == MEMBERS
