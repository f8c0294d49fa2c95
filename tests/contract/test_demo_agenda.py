"""What the staff of the demo plans and declares goes in through the forms of a running portal, and says something on
every page that shows it."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

from tests.nodes import MakeDatabase
from tests.staff import portal_node

from schakel.demo import cast
from schakel.demo.roadmap import agenda, history
from schakel.kernel.clock import AMSTERDAM, now
from schakel.portal import agenda as pages

_PEOPLE = {
    one.subject: {
        "name": one.name,
        "roles": list(one.roles),
        "organisations": [cast.organisation(slug).ura for slug in one.organisations],
    }
    for one in cast.STAFF
}


async def test_the_staff_of_the_demo_fills_the_agenda_and_declares(make_database: MakeDatabase) -> None:
    settings = {"roadmap": {"region": "Regio Aa en Meer", "keepers": ["a"]}}
    today = now().astimezone(AMSTERDAM).date()
    async with portal_node(make_database, node_settings=settings, people=_PEOPLE) as region:
        board = region.node.node.board
        assert board is not None
        for run in history.runs(today):
            await board.add(run)
        begun = time.monotonic()
        await agenda.fill(region.node["a"].front_root, region.issuer, today)
        print(f"{time.monotonic() - begun:.2f} s")
        actions, said = await board.actions(), await board.declarations()
        overview = await board.overview()
    assert len(actions) == 12 and {one.progress for one in actions} == set(pages.PROGRESS)
    assert {one.changed_by for one in actions} == {"Wietske Hoogduin"}
    assert {one.change for one in actions} == {1, 2}
    shown = pages.agenda(overview, actions, [], today)
    assert shown.late == 2 and {row.late for row in shown.rows} == {"", "due", "start"}
    assert all(row.item and (row.step or not row.action.step) for row in shown.rows)
    assert len(said) == 21 and {one.declared_by for one in said} == {"Samir Terpstra"}
    assert Counter(one.seen_by for one in said) == {"Marleen Oldenkamp": 15, "": 6}
    assert {one.claim for one in said} == {"done", "not-done", "not-applicable"}
    assert sum(one.until < today + timedelta(days=30) for one in said) == 1
    states = {
        one.state for cell in overview.cells.values() for one in cell.steps if one.declaration is not None
    }
    # The part of a step that is measured was last measured a month ago.
    assert states == {"declared", "unconfirmed", "fails", "not-applicable", "stale"}
