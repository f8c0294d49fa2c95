"""Declaring through the front door of a running node: who may, with a document and a second reader; what is wrong is
told at its field; and no right for one organisation is a right for another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
from tests.medmij import Page
from tests.nodes import databases
from tests.staff import OTHER, OWN, Member, Region, portal_node

from schakel.kernel.clock import AMSTERDAM, new_id, now
from schakel.roadmap.board import Board, Statement
from schakel.roadmap.evidence import Declaration, Run
from schakel.roadmap.evidence import Member as Organisation
from schakel.store.embedded import EmbeddedServer

ROADMAP = {"roadmap": {"region": "Regio Test", "keepers": ["a"]}}
TODAY = now().astimezone(AMSTERDAM).date()
DAY = timedelta(days=1)
MEMBERS = (Organisation(OWN, "Ziekenhuis A", "MSZ"), Organisation(OTHER, "Praktijk B", "HA"))
WHO = ("viewer", "declarer elsewhere", "declarer", "reader", "programme")
CELL = f"/items/LDN-1/{OWN}"
STEP = "LDN-1.S1"
TYPED = {
    "action": "declare",
    "step": STEP,
    "claim": "done",
    "document": "Besluit van de bestuurder, versie 2",
    "link": "https://a.example/besluit",
    "reason": "Zie hoofdstuk 3.",
    "owner": "Informatiemanager",
    "on": TODAY.isoformat(),
    "until": (TODAY + 300 * DAY).isoformat(),
}


@dataclass(frozen=True)
class Place:
    """A region with two organisations on its board, and everybody logged in."""

    region: Region
    members: dict[str, Member]

    @property
    def board(self) -> Board:
        board = self.region.node.node.board
        assert board is not None
        return board

    async def sent(self, who: str, path: str = CELL, **fields: str) -> httpx.Response:
        """The answer to a form that somebody sends, with the token of their session."""
        member = self.members[who]
        data = {"csrf": await member.token(), **fields}
        return await member.http.post(f"{self.region.portal}{path}", data=data)

    async def declared(self, by: str = "declarer", **changes: str) -> Declaration:
        """What somebody has declared in the form of the page."""
        answer = await self.sent(by, **{**TYPED, **changes})
        assert answer.status_code == 303, answer.text
        where, _, name = answer.headers["location"].partition("#declaration-")
        assert where.endswith(f"/portal{CELL}")
        return await self.board.declaration(name)

    async def state(self) -> str:
        """How the step stands now."""
        cell = (await self.board.overview()).cells[OWN, "LDN-1"]
        return next(one.state for one in cell.steps if one.step.id == STEP)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(cluster: EmbeddedServer) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(databases(cluster, "portal_declaring"))
        region = await stack.enter_async_context(portal_node(make, node_settings=ROADMAP))
        members = {}
        for who in WHO:
            members[who] = await stack.enter_async_context(Member(region, who))
            await members[who].log_in("/portal/about")
        found = Place(region, members)
        at = now() - DAY
        await found.board.add(Run(new_id(), "Regio Test", "iza-2025-06", "tester", at, at, MEMBERS, ()))
        yield found


def buttons(page: Page) -> set[str]:
    """What can be done on the page: the actions of its buttons."""
    return {str(one) for one in page.tree.xpath("//main//button[@name='action']/@value")}


@pytest.mark.parametrize("who", ["declarer", "programme"])
async def test_what_is_declared_counts_when_another_has_read_it(place: Place, who: str) -> None:
    said = await place.declared(who)
    assert await place.state() == "unconfirmed"
    assert (said.ura, said.step, said.claim, said.document) == (OWN, STEP, "done", TYPED["document"])
    assert (said.link, said.reason, said.owner) == (TYPED["link"], TYPED["reason"], TYPED["owner"])
    assert (said.on, said.until) == (TODAY, TODAY + 300 * DAY)
    assert (said.declared_by, said.account) == (f"Jo {who}", who)
    answer = await place.sent("reader", action="confirm", declaration=said.id)
    assert answer.status_code == 303 and await place.state() == "declared"
    page = await place.members["viewer"].page(CELL)
    assert f"Jo {who}" in page.text and "Jo reader" in page.text and TYPED["document"] in page.text


@pytest.mark.parametrize(
    ("who", "offered"),
    [
        ("viewer", set()),
        ("declarer elsewhere", set()),
        ("declarer", {"declare", "withdraw"}),
        ("reader", {"confirm"}),
        ("programme", {"declare", "confirm", "withdraw"}),
    ],
)
async def test_the_page_offers_what_somebody_may_do(place: Place, who: str, offered: set[str]) -> None:
    await place.declared()
    assert buttons(await place.members[who].page(CELL)) == offered


@pytest.mark.parametrize(
    ("action", "may"),
    [
        ("declare", {"declarer", "programme"}),
        ("confirm", {"reader", "programme"}),
        ("withdraw", {"declarer", "programme"}),
    ],
)
async def test_what_somebody_may_not_do_is_refused_and_changes_nothing(
    place: Place, action: str, may: set[str]
) -> None:
    said = await place.declared()
    for who in set(WHO) - may:
        answer = await place.sent(who, **{**TYPED, "action": action, "declaration": said.id})
        assert answer.status_code == 403, who
    assert await place.board.declarations(OWN, STEP) == (said,)


async def test_nobody_confirms_what_they_declared_themselves(place: Place) -> None:
    said = await place.declared("programme")
    page = await place.members["programme"].page(CELL)
    assert "confirm" not in buttons(page) and "You declared this." in page.text
    answer = await place.sent("programme", action="confirm", declaration=said.id)
    assert answer.status_code == 403 and "You declared this yourself." in answer.text
    assert await place.board.declaration(said.id) == said


async def test_what_is_withdrawn_stays_to_be_read_and_counts_no_more(place: Place) -> None:
    said = await place.declared()
    answer = await place.sent("declarer", action="withdraw", declaration=said.id)
    assert answer.status_code == 303 and await place.state() == "not-declared"
    assert "(withdrawn)" in (await place.members["viewer"].page(CELL)).text
    for action in ("withdraw", "confirm"):
        again = await place.sent("programme", action=action, declaration=said.id)
        assert again.status_code == 409 and "was withdrawn" in again.text


@pytest.mark.parametrize("action", ["confirm", "withdraw"])
@pytest.mark.parametrize("elsewhere", ["at another organisation", "about another item", "nowhere"])
async def test_a_right_to_one_page_is_no_right_to_what_stands_on_another(
    place: Place, action: str, elsewhere: str
) -> None:
    today = {"claim": "done", "document": "d", "owner": "o", "on": TODAY, "until": TODAY + 9 * DAY}
    there = Statement(ura=OTHER, step=STEP, **today)  # type: ignore[arg-type]
    if elsewhere == "about another item":
        there = Statement(ura=OWN, step="LDN-3.S1", **today)  # type: ignore[arg-type]
    said = await place.board.declare(there, "Piet")
    name = new_id() if elsewhere == "nowhere" else said.id
    who = "reader" if action == "confirm" else "declarer"
    answer = await place.sent(who, action=action, declaration=name)
    assert answer.status_code == 404
    assert await place.board.declaration(said.id) == said


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("claim", "", "Choose one of the three."),
        ("document", " ", "Fill this in."),
        ("document", "x" * 501, "This text is too long."),
        ("link", "javascript:alert(1)", "An address begins with https:// or http://."),
        ("owner", "", "Fill this in."),
        ("owner", "a\tb", "This has characters that cannot be shown."),
        ("on", (TODAY + 2 * DAY).isoformat(), "This day is still to come. Declare what is so now."),
        ("on", "", "Fill this in."),
        ("until", (TODAY - 2 * DAY).isoformat(), "This day is over. Choose one that is to come."),
        ("until", "2099-01-01", "That is too far away. A declaration counts for two years at most."),
        ("until", "ooit", "This is no day. Write it as 2026-01-31."),
    ],
)
async def test_one_thing_wrong_is_told_at_its_field_and_what_was_typed_stays(
    place: Place, field: str, value: str, said: str
) -> None:
    before = await place.board.declarations(OWN)
    answer = await place.sent("declarer", **{**TYPED, field: value})
    assert answer.status_code == 400
    page = Page(answer)
    [told] = page.tree.xpath("//p[@class='error']")
    assert told.text_content().strip() == said and told.get("id") == f"{STEP}-{field}-error"
    [at] = page.tree.xpath(f"//*[@id='{STEP}-{field}']")
    assert at.get("aria-invalid") == "true"
    assert told.get("id") in at.get("aria-describedby").split()
    [link] = page.tree.xpath("//*[@role='alert']//a/@href")
    assert link == f"#{STEP}-{field}"
    assert page.tree.xpath("//details[@open]//input[@name='owner']")
    for name in ("document", "link", "owner", "on", "until"):
        typed = {**TYPED, field: value}[name]
        assert typed in page.tree.xpath(f"//details[@open]//input[@name='{name}']/@value")
    if field != "claim":
        assert page.tree.xpath("//details[@open]//input[@name='claim'][@checked]/@value") == ["done"]
    assert await place.board.declarations(OWN) == before


async def test_what_is_not_done_needs_a_reason_and_no_document(place: Place) -> None:
    answer = await place.sent("declarer", **{**TYPED, "claim": "not-done", "reason": "", "document": ""})
    assert answer.status_code == 400 and f'id="{STEP}-reason-error"' in answer.text
    said = await place.declared(claim="not-done", document="")
    assert said.claim == "not-done" and await place.state() == "fails"


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"action": ""}, 400), ({"action": "delete"}, 400), ({"step": "GF-1.S1"}, 404), ({"step": ""}, 404)],
)
async def test_a_form_that_no_page_has_does_nothing(
    place: Place, changes: dict[str, str], status: int
) -> None:
    before = await place.board.declarations(ended=True)
    assert (await place.sent("programme", **{**TYPED, **changes})).status_code == status
    assert await place.board.declarations(ended=True) == before


@pytest.mark.parametrize("path", [f"/items/XX-1/{OWN}", "/items/LDN-1/90000009"])
async def test_nothing_is_declared_where_there_is_no_page(place: Place, path: str) -> None:
    answer = await place.sent("programme", path, **TYPED)
    assert answer.status_code == 404
