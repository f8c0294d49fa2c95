"""The doors beside FHIR: grounds for disclosure on the internal one, tokens on the front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.guarded import BSN, OTHER, guarded_node
from tests.nodes import RunningNode, RunningOrganisation

from schakel import compose
from schakel.generic.identity import DpopKey
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.http.routes import application, front
from schakel.kernel.clock import now
from schakel.store.embedded import EmbeddedServer

REQUESTER = "90000002"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "grounds_tokens") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def holder(node: RunningNode) -> RunningOrganisation:
    await node.node.pool.execute("TRUNCATE disclosure_ground")
    return node["a"]


def grounds_at(holder: RunningOrganisation) -> str:
    return f"{holder.internal_root}/{holder.slug}/grounds"


def ground(**changes: Any) -> dict[str, Any]:
    """A good ground with changes; a change to None takes the member away."""
    until = (now() + timedelta(days=1)).isoformat()
    base = {"requester": REQUESTER, "patient": BSN, "exchange": "bgz", "until": until, "reason": "referral"}
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


WRONG_GROUNDS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown member": ({"purpose": "x"}, "purpose"),
    "no requester": ({"requester": None}, "requester"),
    "a requester that is none": ({"requester": "haven"}, "requester"),
    "a requester that is no text": ({"requester": 90000002}, "requester"),
    "no patient": ({"patient": None}, "patient"),
    "a patient that is none": ({"patient": "999911121"}, "patient"),
    "both exchange and queries": ({"queries": ["Condition"]}, "exchange"),
    "neither exchange nor queries": ({"exchange": None}, "exchange"),
    "an exchange that is no text": ({"exchange": ["bgz"]}, "exchange"),
    "an exchange with capitals": ({"exchange": "BgZ"}, "exchange"),
    "queries that are no list": ({"exchange": None, "queries": "Condition"}, "queries"),
    "queries that are no texts": ({"exchange": None, "queries": [1]}, "queries"),
    "a query that is none": ({"exchange": None, "queries": ["Condition", "x y"]}, "queries[1]"),
    "a query with a bad escape": ({"exchange": None, "queries": ["Condition?code=%zz"]}, "queries[0]"),
    "a query that is too long": ({"exchange": None, "queries": ["Flag?x=" + "y" * 2001]}, "queries[0]"),
    "too many queries": ({"exchange": None, "queries": ["Flag"] * 201}, "queries"),
    "no until": ({"until": None}, "until"),
    "an until in the past": ({"until": "2024-02-28"}, "until"),
    "an until that is no date": ({"until": "tomorrow"}, "until"),
    "an until too far ahead": ({"until": "2199-01-01"}, "until"),
    "no reason": ({"reason": None}, "reason"),
    "an empty reason": ({"reason": "  "}, "reason"),
    "a reason that is too long": ({"reason": "x" * 501}, "reason"),
    "a reason of two lines": ({"reason": "a\nb"}, "reason"),
}


@pytest.mark.parametrize("case", WRONG_GROUNDS)
async def test_a_ground_with_one_thing_wrong_is_refused_by_the_name_of_that_thing(
    holder: RunningOrganisation, case: str
) -> None:
    changes, named = WRONG_GROUNDS[case]
    answer = await holder.internal.post(grounds_at(holder), json=ground(**changes))
    assert (answer.status_code, answer.json()["expression"]) == (400, named), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert BSN not in answer.text
    assert (await holder.internal.get(grounds_at(holder))).json() == {"grounds": []}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"null", b'{"patient":"1","patient":"2"}', b"\xff", b"[" * 100]
)
async def test_a_ground_that_is_no_json_object_is_refused(holder: RunningOrganisation, body: bytes) -> None:
    answer = await holder.internal.post(grounds_at(holder), content=body)
    assert answer.status_code == 400, answer.text


async def test_grounds_are_listed_by_patient_requester_and_what_is_active(
    holder: RunningOrganisation,
) -> None:
    first = await holder.ground(BSN, REQUESTER)
    second = await holder.ground(BSN, "90000003", queries=["Condition?"])
    third = await holder.ground(OTHER, REQUESTER)
    assert (first["exchange"], second["queries"], first["ended"]) == ("bgz", ["Condition"], None)
    ended = (await holder.internal.delete(f"{grounds_at(holder)}/{first['id']}")).json()
    assert ended["ended"] is not None

    async def listed(**asked: str) -> list[dict[str, Any]]:
        answer = await holder.internal.get(grounds_at(holder), params=asked)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["grounds"]
        return found

    assert await listed() == [third, second, ended]
    assert await listed(patient=BSN) == [second, ended]
    assert await listed(requester=REQUESTER) == [third, ended]
    assert await listed(patient=BSN, active="true") == [second]
    assert await listed(patient=OTHER, requester="90000003") == []


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("patient=1", "patient"),
        ("requester=x", "requester"),
        ("active=yes", "active"),
        ("until=2024", "until"),
        (f"patient={BSN}&patient={OTHER}", ""),
    ],
)
async def test_a_list_of_grounds_asked_wrongly_is_refused_by_name(
    holder: RunningOrganisation, query: str, named: str
) -> None:
    answer = await holder.internal.get(f"{grounds_at(holder)}?{query}")
    assert (answer.status_code, answer.json().get("expression", "")) == (400, named)


async def test_a_ground_ends_once_and_stays_ended_at_that_moment(holder: RunningOrganisation) -> None:
    made = await holder.ground(BSN, REQUESTER)
    once = await holder.internal.delete(f"{grounds_at(holder)}/{made['id']}")
    twice = await holder.internal.delete(f"{grounds_at(holder)}/{made['id']}")
    assert (once.status_code, once.json()) == (twice.status_code, twice.json())
    for unknown in ("x", "00000000-0000-0000-0000-000000000000"):
        assert (await holder.internal.delete(f"{grounds_at(holder)}/{unknown}")).status_code == 404


async def test_grounds_are_for_the_organisations_own_key_and_not_on_the_front(
    holder: RunningOrganisation, node: RunningNode
) -> None:
    made = await holder.ground(BSN, REQUESTER)
    one = f"{grounds_at(holder)}/{made['id']}"
    for client, status in ((node["b"].internal, 403), (node["a"].front, 401)):
        assert (await client.get(grounds_at(holder))).status_code == status
        assert (await client.post(grounds_at(holder), json=ground())).status_code == status
        assert (await client.delete(one)).status_code == status
    # Under the neighbour's own path the ground is not there.
    assert (await node["b"].internal.delete(one.replace("/a/", "/b/"))).status_code == 404
    at_front = one.replace(holder.internal_root, holder.front_root)
    assert (await holder.internal.delete(at_front)).status_code == 404
    assert (await holder.internal.get(at_front.rpartition("/")[0])).status_code == 404
    assert (await holder.internal.get(grounds_at(holder))).json() == {"grounds": [made]}


async def test_who_reads_the_grounds_is_logged(holder: RunningOrganisation) -> None:
    await holder.internal.get(grounds_at(holder), params={"patient": BSN})
    root = f"{holder.internal_root}/{holder.slug}/log/fhir/r4/AuditEvent"
    logged = (await holder.internal.get(root, params={"_count": "2"})).json()["entry"]
    read = [e["resource"] for e in logged if "Ground for disclosure" in str(e["resource"]["subtype"])]
    assert [(e["action"], BSN in str(e["entity"])) for e in read] == [("R", True)]


async def test_a_ground_that_cannot_be_logged_permits_nothing(
    holder: RunningOrganisation, node: RunningNode
) -> None:
    await node.node.pool.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
    try:
        answer = await holder.internal.post(grounds_at(holder), json=ground())
        token = await ask(holder, form_of(node))
    finally:
        await node.node.pool.execute("ALTER TABLE audit_event_away RENAME TO audit_event")
    assert (answer.status_code, answer.json()["code"]) == (503, "log-unavailable")
    assert (await holder.internal.get(grounds_at(holder), params={"active": "true"})).json() == {
        "grounds": []
    }
    assert token.status_code == 503 and "access_token" not in token.text


# -- tokens ------------------------------------------------------------------------------------------------


def form_of(node: RunningNode, **changes: str | None) -> dict[str, str]:
    """A good token request of b at a, with changes; a change to None takes the field away."""
    base = {
        "grant_type": "client_credentials",
        "scope": "bgz",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": node["b"].assertion(node["a"]),
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def token_at(holder: RunningOrganisation) -> str:
    return f"{holder.front_root}/{holder.slug}/oauth2/token"


async def ask(holder: RunningOrganisation, form: dict[str, str], **options: Any) -> httpx.Response:
    return await holder.front.post(token_at(holder), data=form, **options)


async def test_a_token_comes_as_rfc_6749_says_and_no_cache_keeps_it(
    node: RunningNode, holder: RunningOrganisation
) -> None:
    answer = await ask(holder, form_of(node))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    given = answer.json()
    assert given.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert (given["token_type"], given["scope"], given["expires_in"]) == ("Bearer", "bgz", 30)


WRONG_FORMS: dict[str, tuple[dict[str, str | None], int, str]] = {
    "no grant type": ({"grant_type": None}, 400, "invalid_request"),
    "another grant type": ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
    "no scope": ({"scope": None}, 400, "invalid_request"),
    "another scope": ({"scope": "bgz admin"}, 400, "invalid_scope"),
    "no assertion type": ({"client_assertion_type": None}, 400, "invalid_request"),
    "no assertion": ({"client_assertion": None}, 400, "invalid_request"),
    "an assertion that is none": ({"client_assertion": "a.b.c"}, 401, "invalid_client"),
    "somebody else": ({"client_id": "90000003"}, 401, "invalid_client"),
}


@pytest.mark.parametrize("case", WRONG_FORMS)
async def test_a_token_request_with_one_thing_wrong_gets_an_oauth_error(
    node: RunningNode, holder: RunningOrganisation, case: str
) -> None:
    changes, status, error = WRONG_FORMS[case]
    answer = await ask(holder, form_of(node, **changes))
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json().keys() == {"error", "error_description"}


async def test_an_assertion_for_another_holder_gets_no_token(
    node: RunningNode, holder: RunningOrganisation
) -> None:
    answer = await ask(holder, form_of(node, client_assertion=node["b"].assertion(node["c"])))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_what_is_not_one_form_with_each_field_once_is_refused(
    node: RunningNode, holder: RunningOrganisation
) -> None:
    form = form_of(node)
    encoded = httpx.QueryParams(form)
    media = {"Content-Type": "application/x-www-form-urlencoded"}
    url = token_at(holder)
    tries = [
        await holder.front.post(url, content=f"{encoded}&scope=bgz", headers=media),
        await holder.front.post(f"{url}?scope=bgz", content=str(encoded), headers=media),
        await holder.front.post(f"{url}?{encoded}"),
        await holder.front.post(url, json=form),
        await holder.front.post(url, content=b"\xff=1", headers=media),
        await holder.front.post(url, content=b"a=%zz", headers=media),
        await holder.front.post(url, content=b"&".join(b"a%d=1" % n for n in range(300)), headers=media),
    ]
    assert [(t.status_code, t.json()["error"]) for t in tries] == [(400, "invalid_request")] * len(tries)
    large = await holder.front.post(url, content=b"a=" + b"x" * 100_000, headers=media)
    assert (large.status_code, large.json()["error"]) == (413, "invalid_request")
    # None of them used the assertion up.
    assert (await ask(holder, form)).status_code == 200


async def test_a_token_is_not_to_be_had_by_get(node: RunningNode, holder: RunningOrganisation) -> None:
    answer = await holder.front.get(f"{token_at(holder)}?{httpx.QueryParams(form_of(node))}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


async def test_an_assertion_wins_once_also_at_two_processes_on_one_database(
    node: RunningNode, holder: RunningOrganisation
) -> None:
    async with (
        compose.node(node.settings) as twin,
        httpx.AsyncClient(transport=httpx.ASGITransport(application(front(twin)))) as other,
    ):
        for _ in range(5):
            form = form_of(node)
            answers = await asyncio.gather(
                *(client.post(token_at(holder), data=form) for client in (holder.front, other) * 4)
            )
            given = [a for a in answers if a.status_code == 200]
            lost = {(a.status_code, a.json()["error"]) for a in answers if a.status_code != 200}
            assert (len(given), lost) == (1, {(401, "invalid_client")})
            # The one token opens the door of both.
            bearer = {"Authorization": f"Bearer {given[0].json()['access_token']}"}
            url = f"{holder.front_fhir}/Patient/p1"
            assert (await other.get(url, headers=bearer)).status_code == 403


# -- tokens bound and withdrawn --------------------------------------------------------------------------------


async def test_a_token_that_is_bound_to_a_key_opens_the_door_with_a_proof_for_each_request(
    node: RunningNode, holder: RunningOrganisation
) -> None:
    key, url = DpopKey.new(), f"{holder.front_fhir}/Condition"
    given = await ask(holder, form_of(node), headers={"DPoP": key.proof("POST", token_at(holder))})
    assert (given.status_code, given.json()["token_type"]) == (200, "DPoP")
    token = given.json()["access_token"]
    shown = {"Authorization": f"DPoP {token}", "DPoP": key.proof("GET", url, token)}
    first = await holder.front.get(url, headers=shown)
    assert first.status_code not in (401, 500), first.text
    again = await holder.front.get(url, headers=shown)
    assert (again.status_code, 'error="invalid_dpop_proof"' in again.headers["WWW-Authenticate"]) == (
        401,
        True,
    )
    bearer = await holder.front.get(url, headers={"Authorization": f"Bearer {token}"})
    assert (bearer.status_code, 'error="invalid_token"' in bearer.headers["WWW-Authenticate"]) == (401, True)
    twice = [("Authorization", f"DPoP {token}"), *(("DPoP", key.proof("GET", url, token)) for _ in range(2))]
    assert (await holder.front.get(url, headers=twice)).status_code == 401


async def test_a_proof_that_is_wrong_gets_no_token(node: RunningNode, holder: RunningOrganisation) -> None:
    answer = await ask(holder, form_of(node), headers={"DPoP": "a.b.c"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


async def test_the_officer_withdraws_the_tokens_of_a_requester_and_that_is_logged(
    node: RunningNode, holder: RunningOrganisation
) -> None:
    token = (await ask(holder, form_of(node))).json()["access_token"]
    tokens = f"{holder.internal_root}/{holder.slug}/oauth2/tokens"
    for wrong in ("", "?requester=x", f"?requester={REQUESTER}&all=1"):
        answer = await holder.internal.delete(f"{tokens}{wrong}")
        assert (answer.status_code, answer.json()["expression"]) == (400, "requester")
    withdrawn = await holder.internal.delete(f"{tokens}?requester={REQUESTER}")
    assert (withdrawn.status_code, withdrawn.json()["requester"]) == (200, REQUESTER)
    assert withdrawn.json()["withdrawn"] >= 1
    answer = await holder.front.get(
        f"{holder.front_fhir}/Condition", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401
    assert (await node["b"].internal.delete(f"{tokens}?requester={REQUESTER}")).status_code == 403
    root = f"{holder.internal_root}/{holder.slug}/log/fhir/r4/AuditEvent"
    [event] = [
        one["resource"]
        for one in (await holder.internal.get(root, params={"_count": "3"})).json()["entry"]
        if one["resource"]["subtype"][0]["code"] == "token-withdrawn"
    ]
    assert REQUESTER in str(event["agent"])


async def test_metadata_say_what_can_be_asked(holder: RunningOrganisation) -> None:
    address = f"{holder.front_root}/.well-known/oauth-authorization-server/{holder.slug}"
    told = (await holder.front.get(address)).json()
    assert "ES256" in told["dpop_signing_alg_values_supported"]
    assert {"bgz", "eOverdracht-sender", "eOverdracht-receiver", "bgz-sender"} <= set(
        told["scopes_supported"]
    )
    assert told["tls_client_certificate_bound_access_tokens"] is True
