"""A small roadmap, a region of two and what was found there, for tests of standing, wire and board."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from schakel.roadmap.evidence import Declaration, Evidence, Finding, Measured, Member, Run
from schakel.roadmap.model import Category, Item, Roadmap, Step, Text

MOMENT = datetime(2026, 3, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TERMS = {"tls": 7 * DAY, "certificate": 7 * DAY, "log-seals": DAY}

HOSPITAL = Member("90000001", "Ziekenhuis Noord", "MSZ", "hospital")
PRACTICE = Member("90000002", "Huisartsen Noord", "HA", "practice")


def text(of: str) -> Text:
    """The same in both languages, told apart."""
    return Text(f"{of} (nl)", f"{of} (en)")


def item(id: str, *steps: Step, sectors: tuple[str, ...] = ()) -> Item:
    """An item with these steps."""
    return Item(
        id, "national", "GF", text(id), text(f"{id} plain"), sectors, (), False, (), (), (), steps, (), (), ()
    )


def step(id: str, *checks: str, unseen: str = "") -> Step:
    """A step that these checks measure; `unseen` is what of it they do not see."""
    return Step(id, text(id), checks, text(unseen) if unseen else None)


def roadmap(*items: Item, version: str = "1") -> Roadmap:
    """A roadmap of these items."""
    return Roadmap(
        version,
        text("roadmap"),
        (text("a test"),),
        {"MSZ": text("hospitals"), "HA": text("practices")},
        (Category("GF", text("functions")),),
        (),
        items,
        (),
        (),
        (),
    )


SMALL = roadmap(
    item("GF-1", step("GF-1.S1", "tls", "certificate"), step("GF-1.S2")),
    item("GF-2", step("GF-2.S1", "log-seals"), sectors=("MSZ",)),
)


def finding(check: str = "tls", verdict: Any = "holds", **members: Any) -> Finding:
    """A finding of this check."""
    return Finding(check, verdict, text(f"{check} {verdict}"), **members)


def evidence(
    check: str = "tls",
    verdict: Any = "holds",
    *,
    at: datetime = MOMENT - DAY / 2,
    ura: str = HOSPITAL.ura,
    **members: Any,
) -> Evidence:
    """Evidence of half a day old."""
    last = members.pop("last_true", at if verdict == "holds" else None)
    own = members.pop("own", False)
    return Evidence("1", ura, finding(check, verdict, **members), at, "run-1", "tester", last, own)


def declaration(step: str = "GF-1.S2", claim: Any = "done", **members: Any) -> Declaration:
    """A declaration that counts: seen by another, good for a year."""
    base: dict[str, Any] = {
        "id": "d1",
        "ura": HOSPITAL.ura,
        "step": step,
        "claim": claim,
        "reason": "because",
        "document": "plan.pdf",
        "link": "",
        "owner": "the board",
        "on": date(2026, 3, 1),
        "declared_by": "Anna",
        "declared_at": MOMENT - 4 * DAY,
        "until": date(2027, 3, 1),
        "seen_by": "Bert",
        "seen_at": MOMENT - 3 * DAY,
    }
    return Declaration(**{**base, **members})


def run(
    *found: tuple[str, Finding],
    id: str = "run-1",
    at: datetime = MOMENT,
    members: Iterable[Member] = (HOSPITAL, PRACTICE),
    **changes: Any,
) -> Run:
    """A run that took a minute and ended at `at`, which found these things (URA and finding)."""
    base: dict[str, Any] = {
        "id": id,
        "region": "Noord",
        "roadmap": "1",
        "by": "tester",
        "started": at - timedelta(minutes=1),
        "finished": at,
        "members": tuple(members),
        "measured": tuple(Measured(ura, one, at - timedelta(seconds=9)) for ura, one in found),
    }
    return Run(**{**base, **changes})
