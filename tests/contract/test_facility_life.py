"""Whether facilities answer, as an organisation's own door tells it: asked at that moment, and of directories as the
last attempt to follow them went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.addressing import Directory, organisation
from tests.directories import telling_node
from tests.measuring import Peer, saying, silent
from tests.nodes import MakeDatabase, RunningNode, running_node

from schakel.facilities import Facility, FacilityAway, FacilityRules, life
from schakel.generic.addressing.receiving import UPDATE_CLIENT
from schakel.kernel.clock import instant, now

RULES = FacilityRules(timeout=20, failures=2, pause=3600)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A facility that answers 404 to everything that it is not told."""
    async with saying() as made:
        yield made


@pytest.mark.parametrize(
    ("status", "body", "away"),
    [
        (200, {}, ""),
        (401, {}, ""),
        (404, {}, ""),
        (500, {}, "status 500"),
        (503, {"detail": "Unauthorized request"}, "status 503"),
        (500, {"detail": "Unauthorized request"}, ""),
    ],
)
async def test_any_answer_below_500_is_a_sign_of_life_and_so_is_a_refusal_of_the_ministry(
    peer: Peer, status: int, body: object, away: str
) -> None:
    peer.says("/fhir", body, status)
    async with Facility.open("NVI", f"{peer.url}/fhir", None, RULES) as facility:
        began = now()
        [one] = await life({"nvi": facility})
    assert (one.id, one.away) == ("nvi", away)
    assert (one.answered is None) == bool(away)
    assert one.answered is None or one.answered >= began
    assert peer.asked == ["GET /fhir"]


async def test_one_that_is_away_says_when_it_last_answered_and_hides_no_other(peer: Peer) -> None:
    peer.says("/", {})
    async with (
        Facility.open("PRS", peer.url, None, RULES) as answering,
        Facility.open("NVI", silent(), None, RULES) as gone,
    ):
        first, second = await life({"nvi": gone, "prs": answering})
        assert (first.away, first.answered) == ("not reachable", None)
        assert (second.away, second.answered is None) == ("", False)
        peer.says("/", {}, 502)
        [again] = await life({"prs": answering})
        assert again.away == "status 502" and again.answered is not None and second.answered is not None
        assert again.answered <= second.answered


async def test_to_look_whether_one_is_there_neither_waits_for_its_rest_nor_brings_it_to_rest(
    peer: Peer,
) -> None:
    peer.says("/", {}, 503)
    async with Facility.open("NVI", peer.url, None, RULES) as facility:
        for _ in range(5):
            await life({"nvi": facility})
        assert not facility.resting
        for _ in range(2):
            await facility.send("GET")
        assert facility.resting
        peer.says("/", {})
        [one] = await life({"nvi": facility})
        assert one.away == ""
        with pytest.raises(FacilityAway):
            await facility.send("GET")


# -- what the internal door tells ------------------------------------------------------------------------------------


async def told(node: RunningNode) -> dict[str, Any]:
    """What the door of a tells."""
    a = node["a"]
    answer = await a.internal.get(f"{a.internal_root}/a/facilities")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_node_tells_of_the_directories_of_its_settings_and_of_those_that_have_the_organisation(
    make_database: MakeDatabase,
) -> None:
    async with running_node(make_database, ("a",)) as node:
        nothing: dict[str, Any] = {"localisation": [], "consent": [], "addressing": []}
        assert await told(node) == nothing
        directory = await Directory.new(node.node.pool)
        moment = now() - timedelta(hours=2)
        sources = {"lrza": moment, "new": None, "root 90000002": moment, "root 90000003": moment}
        await directory.in_step(sources)
        pool = node.node.pool
        await pool.execute("UPDATE directory_source SET parent = 'root' WHERE name LIKE 'root %'")
        await pool.execute(
            "UPDATE directory_source SET failures = 1, error = 'too slow' WHERE name = 'root 90000002'"
        )
        answering = {"answers": True, "away": None, "answered": instant(moment)}
        lrza = {"id": "lrza", **answering}
        new = {"id": "new", "answers": False, "away": "not read to its end yet", "answered": None}
        assert (await told(node))["addressing"] == [lrza, new]
        await directory.put(organisation("a", node["a"].ura), source="root 90000002")
        await pool.execute("UPDATE directory_resource SET ura = $1", node["a"].ura)
        failing = {"id": "root 90000002", "answers": False, "away": "too slow", "answered": instant(moment)}
        assert (await told(node))["addressing"] == [lrza, new, failing]


@pytest.mark.parametrize("writes", [True, False])
async def test_what_the_update_client_once_wrote_says_nothing_of_others_when_it_may_not_write_any_more(
    make_database: MakeDatabase, writes: bool
) -> None:
    async with telling_node(make_database, {}, {"access": "open", "writes": writes}) as node:
        directory, moment = await Directory.new(node.node.pool), now() - timedelta(days=2)
        await directory.in_step({"lrza": moment, UPDATE_CLIENT: moment})
        pool = node.node.pool
        await pool.execute("UPDATE directory_source SET kind = 'received' WHERE name = $1", UPDATE_CLIENT)
        names = {one["id"] for one in (await told(node))["addressing"]}
        assert names == ({"lrza", UPDATE_CLIENT} if writes else {"lrza"})
        # What it wrote of this organisation is used, so how old that is counts.
        await directory.put(organisation("a", node["a"].ura), source=UPDATE_CLIENT)
        await pool.execute("UPDATE directory_resource SET ura = $1", node["a"].ura)
        assert {one["id"] for one in (await told(node))["addressing"]} == {"lrza", UPDATE_CLIENT}


async def test_only_the_own_key_opens_it(make_database: MakeDatabase) -> None:
    async with running_node(make_database, ("a", "b")) as node:
        answer = await node["b"].internal.get(f"{node['a'].internal_root}/a/facilities")
        assert answer.status_code == 403
