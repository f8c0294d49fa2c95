"""An inventory of hybrid care with everything in it that a page can show: hybrid and not, decided and not, people in
large and in small numbers, exceptions and endings; and one pathway with next to nothing. And pathways and people to
count with, as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import orjson
from tests.boards import MEMBERS

from schakel.kernel.clock import AMSTERDAM, now
from schakel.roadmap.hybrid import blocks
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.model import (
    LAYERS,
    Decision,
    Digitised,
    Digizo,
    Pathway,
    Person,
    Suitability,
)
from schakel.roadmap.hybrid.store import Inventory

TODAY = date(2026, 11, 22)
YEAR = Period.year_to(TODAY)
URA = "90000001"


def pathway(
    *codes: str, suitability: Suitability = "yes", name: str = "heart-failure", **changes: object
) -> Pathway:
    made = Pathway(
        id=name,
        ura=URA,
        name="Heart failure",
        sector="MSZ",
        specialism="cardiology",
        condition="heart failure",
        decision=Decision(suitability, "the board", date(2025, 1, 1), "it fits"),
        digitised=tuple(Digitised(code, None, "") for code in codes),
        layers={},
        digizo=Digizo(),
        intramural=True,
        zmsc="",
        excludes=frozenset(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def person(who: str = "p1", **changes: object) -> Person:
    made = Person(URA, "heart-failure", who, date(2026, 1, 1))
    return replace(made, **changes)  # type: ignore[arg-type]


def taking_part(who: str = "p1", **changes: object) -> Person:
    return person(who, **{"enrolled_from": date(2026, 2, 1), "last_event": date(2026, 10, 1), **changes})


async def inventoried(inventory: Inventory) -> None:
    """Sends the pathways and people of two of the `MEMBERS`."""
    today = now().astimezone(AMSTERDAM).date()

    def day(ago: int) -> str:
        return (today - timedelta(days=ago)).isoformat()

    decided = {"decided_by": "Vakgroep cardiologie", "decided_on": day(200), "reason": "Meten lukt thuis."}
    heart = {
        "id": "hartfalen",
        "name": "Hartfalen thuis gevolgd",
        "sector": "MSZ",
        "specialism": "Cardiologie",
        "condition": "Hartfalen",
        "suitability": "yes",
        **decided,
        "B1": day(400),
        "B1_source": "Protocol 12",
        "C6": "yes",
        "intramural": True,
        "zmsc": "Zorgcentrale",
        "excludes": "frailty",
        "digizo_reference": "Telemonitoring hartfalen",
        "digizo_choice": "explain",
        "digizo_reason": "De apparaten zijn besteld.",
        **dict(zip((f"layer_{name}" for name in LAYERS), ("done", "started", "not-started"), strict=False)),
    }
    half = {**heart, "id": "copd", "name": "COPD", "C6": "", "excludes": "", "suitability": "undecided"}
    bare = {
        "id": "nieuw",
        "name": "Elektronischegezondheidsbegeleidingsprogramma voor huisartspatiënten",
        "sector": "HA",
        "suitability": "no",
        **decided,
    }
    own, other = MEMBERS[0], MEMBERS[1]
    before = {**orjson.loads(blocks.shipped_body()), "version": "regio-1"}
    await inventory.import_blocks(orjson.dumps(before), "Programmabureau")
    await inventory.add_pathways(orjson.dumps([heart, half]), own.ura, own.name, "test", 12_000)
    await inventory.add_pathways(orjson.dumps([bare]), other.ura, other.name, "test")
    people = [
        {
            "pathway": "hartfalen",
            "pseudonym": f"person-of-the-region-{number}",
            "eligible_from": day(300),
            **(
                {"enrolled_from": day(250), "last_event": day(10)}
                if number < 18
                else {"exclusion": ("frailty", "language", "own-choice")[number % 3]}
                if number < 28
                else {"enrolled_from": day(250), "enrolled_until": day(60), "ended_reason": "dropped-out"}
                if number < 36
                else {}
            ),
        }
        for number in range(60)
    ]
    await inventory.replace_people(orjson.dumps(people), own.ura)
