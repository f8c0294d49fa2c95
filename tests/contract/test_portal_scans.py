"""Self-scans through the front door of a running node: shown before they are imported, with each wrong row and column,
all or nothing, and for one's own organisations alone."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO, StringIO
from typing import Any

import openpyxl
import orjson
import pytest
import pytest_asyncio
from tests.medmij import Page
from tests.nodes import databases
from tests.staff import OTHER, OWN, Member, Region, portal_node

from schakel.kernel.clock import AMSTERDAM, new_id, now
from schakel.roadmap.board import Board
from schakel.roadmap.evidence import Declaration, Run
from schakel.roadmap.evidence import Member as Organisation
from schakel.store.embedded import EmbeddedServer

TODAY = now().astimezone(AMSTERDAM).date()
DAY = timedelta(days=1)
MEMBERS = (Organisation(OWN, "Ziekenhuis A", "MSZ"), Organisation(OTHER, "Praktijk B", "HA"))
ROW = {
    "organisation": OWN,
    "step": "LDN-1.S1",
    "claim": "done",
    "owner": "José, informatiemanager",
    "date": TODAY.isoformat(),
    "until": (TODAY + 90 * DAY).isoformat(),
    "document": "Besluit; versie 2",
    "link": "",
    "reason": "",
}


def row(**changes: str) -> dict[str, str]:
    return {**ROW, **changes}


def written(rows: Sequence[dict[str, str]], separator: str = ";", encoding: str = "utf-8") -> bytes:
    """The rows as CSV."""
    out = StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


def workbook(rows: Sequence[dict[str, str]]) -> bytes:
    """The rows as a workbook of a spreadsheet."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for line in (list(rows[0]), *(list(one.values()) for one in rows)):
        sheet.append(line)
    out = BytesIO()
    book.save(out)
    return out.getvalue()


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

    async def sent(self, body: bytes, who: str = "declarer", action: str = "preview") -> Page:
        """The page that answers to a file."""
        member = self.members[who]
        data = {"csrf": await member.token(), "action": action}
        files = {"file": ("scan.csv", body, "text/csv")}
        return Page(await member.http.post(f"{self.region.portal}/scans", data=data, files=files))

    async def imported(self, page: Page, who: str = "declarer") -> Page:
        """The page after the button below what was shown."""
        [form] = [one for one in page.tree.forms if "scan" in one.fields]
        fields = {name: (None, str(form.fields[name])) for name in ("csrf", "scan")}
        member = self.members[who]
        answer = await member.http.post(
            f"{self.region.portal}/scans", files={**fields, "action": (None, "import")}
        )
        assert answer.status_code == 303
        return await member.page(answer.headers["location"].rpartition("/portal")[2])

    async def standing(self) -> set[Declaration]:
        return set(await self.board.declarations())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(cluster: EmbeddedServer) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(databases(cluster, "portal_scans"))
        settings: dict[str, Any] = {"roadmap": {"region": "Regio Test", "keepers": ["a"]}}
        region = await stack.enter_async_context(portal_node(make, node_settings=settings, scan_rows=3))
        members = {}
        for who in ("viewer", "declarer", "programme"):
            members[who] = await stack.enter_async_context(Member(region, who))
            await members[who].log_in("/portal/about")
        found = Place(region, members)
        at = now() - DAY
        await found.board.add(Run(new_id(), "Regio Test", "iza-2025-06", "tester", at, at, MEMBERS, ()))
        yield found


WAYS = {
    "semicolons": written([ROW, row(step="LDN-1.S2")]),
    "commas": written([ROW, row(step="LDN-1.S2")], ","),
    "a mark": written([ROW, row(step="LDN-1.S2")], encoding="utf-8-sig"),
    "windows": written([ROW, row(step="LDN-1.S2")], encoding="cp1252"),
    "a list": orjson.dumps([ROW, row(step="LDN-1.S2")]),
    "an object": orjson.dumps({"declarations": [ROW, row(step="LDN-1.S2")]}),
    "a workbook": workbook([ROW, row(step="LDN-1.S2")]),
    "dutch words": written([row(claim="Gedaan"), row(step="LDN-1.S2", claim="GEDAAN")]),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_file_is_shown_first_and_then_imported_as_declared_by_who_brought_it(
    place: Place, way: str
) -> None:
    before = await place.standing()
    shown = await place.sent(WAYS[way])
    assert shown.response.status_code == 200 and "2 declarations" in shown.text
    assert "José, informatiemanager" in shown.text and await place.standing() == before
    done = await place.imported(shown)
    assert "2 declarations were imported." in done.text
    new = await place.standing() - before
    assert {(one.ura, one.step, one.claim) for one in new} == {
        (OWN, "LDN-1.S1", "done"),
        (OWN, "LDN-1.S2", "done"),
    }
    for one in new:
        assert (one.declared_by, one.account, one.seen_by) == ("Jo declarer", "declarer", "")
        assert (one.owner, one.document) == (ROW["owner"], ROW["document"])
        assert (one.on, one.until) == (TODAY, TODAY + 90 * DAY)


WRONG: dict[str, tuple[dict[str, str], str, str]] = {
    "a step that is not there": ({"step": "XX-1.S1"}, "step", "The roadmap has no such step."),
    "no claim": ({"claim": ""}, "claim", "Choose one of the three."),
    "no owner": ({"owner": ""}, "owner", "Fill this in."),
    "a day that is none": ({"date": "31-01-2026"}, "date", "This is no day. Write it as 2026-01-31."),
    "a term that is over": (
        {"until": "2020-01-01"},
        "until",
        "This day is over. Choose one that is to come.",
    ),
    "no document": ({"document": ""}, "document", "Fill this in."),
    "no reason": ({"claim": "not-done"}, "reason", "Fill this in."),
    "a link that is none": ({"link": "file"}, "link", "An address begins with https:// or http://."),
    "nobody of the region": (
        {"organisation": "90000009"},
        "organisation",
        "This organisation is not on the board of the region.",
    ),
    "another organisation": (
        {"organisation": OTHER},
        "organisation",
        "You may not declare for this organisation.",
    ),
    "the same step again": ({}, "step", "This step of this organisation is there already, higher up."),
}


@pytest.mark.parametrize("action", ["preview", "import"])
@pytest.mark.parametrize("case", WRONG)
async def test_one_thing_wrong_is_named_by_row_and_column_and_nothing_is_imported(
    place: Place, case: str, action: str
) -> None:
    changes, column, said = WRONG[case]
    before = await place.standing()
    page = await place.sent(written([ROW, row(**changes)]), action=action)
    assert page.response.status_code == 400 and await place.standing() == before
    [told] = page.tree.xpath("//table[caption[@id='wrong-caption']]//tbody/tr")
    assert [one.text_content() for one in told.xpath("./*")] == ["row 3", column, said]
    assert not [one for one in page.tree.forms if "scan" in one.fields]


async def test_all_that_is_wrong_is_told_at_once(place: Place) -> None:
    page = await place.sent(written([row(owner="", until="ooit"), row(step="X")]))
    rows = page.tree.xpath("//table[caption[@id='wrong-caption']]//tbody/tr")
    told = {tuple(one.text_content() for one in line.xpath("./*")[:2]) for line in rows}
    assert told == {("row 2", "owner"), ("row 2", "until"), ("row 3", "step")}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the file has no rows"),
        (written([ROW]).split(b"\n")[0] + b"\n", 400, "the file has no rows"),
        (b"\0\1", 400, "the file is no text"),
        (b"[{", 400, "the file is not JSON"),
        (written([row(step=f"X{n}") for n in range(4)]), 413, "portal.scan_rows"),
        (
            written([{name: value for name, value in ROW.items() if name != "owner"}]),
            400,
            "This column is absent.",
        ),
        (written([row(bsn="999000001")]), 400, "This column does not belong here."),
    ],
)
async def test_what_is_no_self_scan_is_told_and_not_imported(
    place: Place, body: bytes, status: int, said: str
) -> None:
    before = await place.standing()
    page = await place.sent(body, action="import")
    assert page.response.status_code == status and said in page.text
    assert await place.standing() == before


async def test_the_programme_declares_for_all_and_a_viewer_for_none(place: Place) -> None:
    body = written([ROW, row(organisation=OTHER)])
    done = await place.imported(await place.sent(body, "programme"), "programme")
    assert "2 declarations were imported." in done.text
    refused = await place.sent(body, "viewer", action="import")
    assert refused.response.status_code == 403
    assert not (await place.members["viewer"].page("/scans")).tree.xpath("//main//form")


async def test_the_example_is_a_file_that_is_taken(place: Place) -> None:
    answer = await place.members["declarer"].http.get(f"{place.region.portal}/scans/example")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="self-scan.csv"'
    page = await place.sent(answer.content)
    assert page.response.status_code == 200 and "3 declarations" in page.text
