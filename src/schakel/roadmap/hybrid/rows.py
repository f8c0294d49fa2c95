"""Rows of the inventory's tables as values, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import asyncpg
import orjson

from schakel.roadmap.hybrid.model import Decision, Digitised, Digizo, Pathway, Person

PERSON = (
    "ura",
    "pathway",
    "pseudonym",
    "eligible_from",
    "eligible_until",
    "exclusion",
    "enrolled_from",
    "enrolled_until",
    "last_event",
    "ended_reason",
    "earlier_events",
    "counted",
)
DECISION = "suitability, decided_by, decided_on, reason"


def person_of(row: asyncpg.Record) -> Person:
    """The person in a row of the columns `PERSON`."""
    values = dict(row)
    return Person(**{**values, "earlier_events": tuple(values["earlier_events"])})


def pathway_of(row: asyncpg.Record) -> Pathway:
    """The pathway in a row, with the decision that counts and the blocks that were `recorded`."""
    return Pathway(
        id=row["id"],
        ura=row["ura"],
        name=row["name"],
        sector=row["sector"],
        specialism=row["specialism"],
        condition=row["condition"],
        decision=decision_of(row),
        digitised=digitised_of(row["recorded"]),
        layers=orjson.loads(row["layers"]),
        digizo=Digizo(row["digizo_reference"], row["digizo_choice"], row["digizo_reason"]),
        intramural=row["intramural"],
        zmsc=row["zmsc"],
        excludes=frozenset(row["excludes"]),
        indication=tuple(row["indication"]),
        plan=tuple(row["plan"]),
    )


def digitised_of(blocks: str) -> tuple[Digitised, ...]:
    """The digitised blocks in a column that has them as JSON."""
    several: Sequence[Mapping[str, str | None]] = orjson.loads(blocks)
    return tuple(Digitised(one["code"] or "", _since(one["since"]), one["source"] or "") for one in several)


def blocks_of(one: Pathway) -> list[dict[str, str | None]]:
    """The digitised blocks of a pathway as they stand in such a column."""
    return [
        {"code": d.code, "since": d.since.isoformat() if d.since else None, "source": d.source}
        for d in one.digitised
    ]


def _since(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def decision_of(row: asyncpg.Record) -> Decision:
    """The decision in a row of the columns `DECISION`."""
    return Decision(row["suitability"], row["decided_by"], row["decided_on"], row["reason"])


def of_pathway(one: Pathway) -> tuple[object, ...]:
    """A pathway as its row, but for the tenant."""
    return (
        one.ura,
        one.id,
        one.name,
        one.sector,
        one.specialism,
        one.condition,
        one.intramural,
        one.zmsc,
        sorted(one.excludes),
        one.digizo.reference,
        one.digizo.choice,
        one.digizo.reason,
        orjson.dumps(blocks_of(one)).decode(),
        orjson.dumps(dict(one.layers)).decode(),
        list(one.indication),
        list(one.plan),
    )
