"""Every route of the portal, asked by everybody: who may is what the table of rights says, and no form of another site
does anything. The routes are those that a node serves; one that is added without a row in the table fails here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.routing import Route
from tests.nodes import databases
from tests.staff import OWN, PEOPLE, Member, Region, portal_node

from schakel.http import routes
from schakel.http.portal.rights import RIGHTS, Right
from schakel.store.embedded import EmbeddedServer

NOBODY = "nobody is logged in"
ROADMAP = {"roadmap": {"region": "Regio Test", "keepers": ["a"]}}

MAY = {
    "viewer": {"viewer", "declarer elsewhere", "declarer", "reader", "programme"},
    "declarer": {"declarer"},
    "reader": {"reader", "programme"},
    "programme": {"programme"},
}
"""Who has a role for the organisation `a`."""
MAY_ANYWHERE = {**MAY, "declarer": {"declarer", "declarer elsewhere"}}
"""Who has it for any organisation: at an address that names none."""


@dataclass
class Everybody:
    """A browser for each of the people, logged in, and one in which nobody is."""

    region: Region
    members: dict[str, Member]

    async def ask(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to one request, with the right token in its form."""
        member = self.members[who]
        if method == "POST" and "data" not in options:
            options["data"] = {"csrf": "" if who == NOBODY else await member.token()}
        return await member.http.request(method, f"{self.region.portal}{path}", **options)


def served(region: Region) -> list[tuple[str, str]]:
    """Method and path of every route of the portal that a node serves."""
    found = [one for one in routes.front(region.node.node) if isinstance(one, Route)]
    return sorted(
        (method, one.path)
        for one in found
        if one.path.startswith("/portal/") and one.path != "/portal/{path:path}"
        for method in (one.methods or set()) - {"HEAD"}
    )


def address(path: str) -> str:
    """`path` below /portal, with something in each of its places."""
    names = {"ura": OWN, "item": "x", "year": "2026", "pathway": "x", "id": "x", "form": "csv", "number": "1"}
    return path.removeprefix("/portal").replace(":int}", "}").format_map(names)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def everybody(cluster: EmbeddedServer) -> AsyncIterator[Everybody]:
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(databases(cluster, "portal_roles"))
        region = await stack.enter_async_context(portal_node(make, node_settings=ROADMAP))
        members = {}
        for subject in (*PEOPLE, NOBODY):
            members[subject] = await stack.enter_async_context(Member(region, subject))
            if subject != NOBODY:
                await members[subject].log_in("/portal/about")
        yield Everybody(region, members)


async def test_every_route_has_a_row_and_every_row_a_route(everybody: Everybody) -> None:
    assert {f"{method} {path}" for method, path in served(everybody.region)} == set(RIGHTS)


async def test_a_route_is_for_those_who_have_its_role_and_for_nobody_else(everybody: Everybody) -> None:
    wrong = []
    for method, path in served(everybody.region):
        right = RIGHTS.get(f"{method} {path}", Right())
        may = MAY if "{ura}" in path else MAY_ANYWHERE
        for who in (*PEOPLE, NOBODY):
            if path == "/portal/logout" and method == "POST":
                continue  # It would end the session of the test; who may is everybody, as its own test says.
            allowed = not right.roles or any(who in may[role] for role in right.roles)
            answer = await everybody.ask(who, method, address(path))
            led = answer.status_code == 303 and "/portal/login?to=" in answer.headers["location"]
            refused = answer.status_code in (401, 403) or led
            if method == "POST" and who == NOBODY and led:
                wrong.append((method, path, who, "led on by a form"))
            if refused == allowed or answer.status_code >= 500:
                wrong.append((method, path, who, str(answer.status_code)))
    assert wrong == []


async def test_a_refusal_names_the_role(everybody: Everybody) -> None:
    needing = [
        (method, path, right)
        for method, path in served(everybody.region)
        if (right := RIGHTS[f"{method} {path}"]).roles and not right.public
    ]
    assert needing
    for method, path, right in needing:
        answer = await everybody.ask("viewer", method, address(path), headers={"Accept": "application/json"})
        assert answer.status_code == 403 and answer.json()["code"] == "role-missing"
        assert " or ".join(right.roles) in answer.json()["detail"]


@pytest.mark.parametrize(
    "spoilt", ["no token", "an empty token", "the token of another", "another origin", "another site"]
)
async def test_a_form_that_no_page_of_this_session_sent_does_nothing(
    everybody: Everybody, spoilt: str
) -> None:
    own = await everybody.members["programme"].token()
    other = await everybody.members["viewer"].token()
    data = {
        "no token": {"note": "x"},
        "an empty token": {"csrf": ""},
        "the token of another": {"csrf": other},
    }
    headers = {
        "another origin": {"Origin": "https://evil.example"},
        "another site": {"Sec-Fetch-Site": "cross-site"},
    }
    for method, path in served(everybody.region):
        right = RIGHTS[f"{method} {path}"]
        if method != "POST" or (path == "/portal/login" and "token" in spoilt):
            continue  # Before a login there is no session to have a token of.
        who = "programme" if not right.roles or "programme" in right.roles else right.roles[0]
        answer = await everybody.ask(
            who,
            "POST",
            address(path),
            data=data.get(
                spoilt, {"csrf": own if who == "programme" else await everybody.members[who].token()}
            ),
            headers={"Accept": "application/json", **headers.get(spoilt, {})},
        )
        wanted = "form-foreign" if spoilt in data else "form-elsewhere"
        assert answer.status_code == 403 and answer.json()["code"] == wanted, (path, answer.text)
    assert await everybody.members["programme"].token() == own


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": ""},
    ],
)
async def test_a_form_of_this_session_is_taken_whatever_a_browser_tells_of_itself(
    everybody: Everybody, headers: dict[str, str]
) -> None:
    async with Member(everybody.region, "viewer") as member:
        page = await member.log_in("/portal/about")
        if headers.get("Origin") == "":
            headers = {"Origin": everybody.region.portal.removesuffix("/portal")}
        member.http.headers.update(headers)
        answer = await member.send_form(page, "/logout")
        assert answer.status_code == 303 and member.kept() == []


async def test_a_public_board_is_read_by_everybody_and_changed_by_nobody_more(
    cluster: EmbeddedServer,
) -> None:
    async with (
        databases(cluster, "portal_roles_public") as make,
        portal_node(make, node_settings=ROADMAP, public=True) as region,
        Member(region, NOBODY) as member,
    ):
        for method, path in served(region):
            right = RIGHTS[f"{method} {path}"]
            answer = await member.http.request(method, f"{region.portal}{address(path)}", data=None)
            led = answer.status_code == 303 and "/portal/login?to=" in answer.headers["location"]
            refused = answer.status_code in (401, 403) or led
            assert refused == bool(right.roles and not right.public), (method, path, answer.status_code)
