"""What a check saw on the wire (addresses, errors) is told to who works on it: a declarer or reader of that
organisation, and the programme. Every page and file of a public portal is asked for it by everybody."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pypdf
import pytest
import pytest_asyncio
from starlette.routing import Route
from tests.boards import MEMBERS, filled
from tests.measuring import region as measured_region
from tests.measuring import roadmap
from tests.nodes import databases
from tests.staff import Member, Region, portal_node

from schakel.http import routes
from schakel.kernel.clock import now
from schakel.roadmap.report import MEDIA
from schakel.roadmap.run import measure
from schakel.store.embedded import EmbeddedServer

OURS, THEIRS = MEMBERS[0].ura, MEMBERS[1].ura
NOBODY = "nobody is logged in"
PEOPLE = {
    "viewer": {"roles": ["viewer"]},
    "declarer": {"roles": ["declarer"], "organisations": [OURS]},
    "reader": {"roles": ["reader"], "organisations": [OURS]},
    "programme": {"roles": ["programme"]},
}
TOLD: dict[str, set[str]] = {
    NOBODY: set(),
    "viewer": set(),
    "declarer": {OURS},
    "reader": {OURS},
    "programme": {OURS, THEIRS},
}
"""Of which of the two organisations each is told."""
SILENCE = "http://127.0.0.1:9/ehr-internal/noord"
"""An internal door that nobody opens: nothing listens there."""
UNHEARD = {
    "ura": OURS,
    "name": MEMBERS[0].name,
    "internal": SILENCE,
    "internal_key": "k",
    "directory": f"{SILENCE}/directory/fhir/r4",
    "exchange": {
        "patient": "999990019",
        "user": {"id": "1", "name": "N", "role": "01.015"},
        "purpose": "TREAT",
    },
}
"""An organisation of which everything that is measured is asked at that door."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def region(cluster: EmbeddedServer) -> AsyncIterator[Region]:
    """A portal that everybody may read, of a region that was measured."""
    settings = {"roadmap": {"region": "Regio Test", "keepers": ["a"]}}
    async with (
        databases(cluster, "portal_details") as make,
        portal_node(make, people=PEOPLE, node_settings=settings, public=True) as found,
    ):
        assert found.node.node.board is not None
        await filled(found.node.node.board)
        run = await measure(measured_region(UNHEARD), roadmap())
        assert len(run.measured) > 5 and {one.finding.verdict for one in run.measured} == {"unknown"}
        await found.node.node.board.add(run, whole=False)
        yield found


async def addresses(region: Region) -> list[str]:
    """Every address of the portal that can be read, with all organisations and items in its places."""
    board = region.node.node.board
    assert board is not None
    overview = await board.overview()
    [run, *_] = await board.runs(1)
    [action, *_] = await board.actions()
    paths = {
        one.path.removeprefix("/portal")
        for one in routes.front(region.node.node)
        if isinstance(one, Route) and one.path.startswith("/portal/") and "GET" in (one.methods or ())
    } - {"/{path:path}", "/logout", "/login", "/callback"}
    found: list[str] = []
    for path in sorted(paths):
        ids = {"/runs/{id}": [run.id], "/agenda/actions/{id}": [action.id]}.get(path, ["x"])
        items = [one.id for one in overview.roadmap.items] if "{item}" in path else ["x"]
        forms = list(MEDIA) if "{form}" in path else ["x"]
        uras = (OURS, THEIRS) if "{ura}" in path else ("x",)
        found += [
            path.replace(":int}", "}").format_map(
                {
                    "id": id,
                    "item": item,
                    "form": form,
                    "ura": ura,
                    "year": now().year,
                    "pathway": "x",
                    "number": 1,
                }
            )
            for id in ids
            for item in items
            for form in forms
            for ura in uras
        ]
    assert len(found) > 80
    return found


def text(body: bytes) -> str:
    """What is in a page or file, unpacked."""
    if body.startswith(b"%PDF"):
        # On paper an address may be broken anywhere.
        return "".join("".join(one.extract_text() for one in pypdf.PdfReader(io.BytesIO(body)).pages).split())
    if not body.startswith(b"PK"):
        return body.decode(errors="replace")
    with zipfile.ZipFile(io.BytesIO(body)) as book:
        return "".join(book.read(name).decode() for name in book.namelist())


@pytest.mark.parametrize("who", TOLD)
async def test_what_was_seen_on_the_wire_is_told_to_who_works_on_it_alone(region: Region, who: str) -> None:
    told: dict[str, set[str]] = {OURS: set(), THEIRS: set()}
    async with AsyncExitStack() as stack:
        member = await stack.enter_async_context(Member(region, who))
        if who != NOBODY:
            await member.log_in("/portal/about")
        # The order of the requests must not matter: what was made for one person is not given to another.
        for path in await addresses(region):
            answer = await member.http.get(f"{region.portal}{path}")
            said = text(answer.content)
            for ura, places in told.items():
                if f"https://{ura}.example" in said or (ura == OURS and SILENCE in said):
                    places.add(path)
    assert {ura for ura, places in told.items() if places} == TOLD[who]
    for ura in TOLD[who]:
        assert "/export.xlsx" in told[ura] and any(path.startswith("/items/") for path in told[ura])
        assert all(path == "/export.xlsx" or path.endswith(ura) for path in told[ura])
