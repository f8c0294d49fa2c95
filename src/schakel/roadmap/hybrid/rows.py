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
    """The pathway in a row, with the decision that counts."""
    blocks: Sequence[Mapping[str, str | None]] = orjson.loads(row["blocks"])
    return Pathway(
        id=row["id"],
        ura=row["ura"],
        name=row["name"],
        sector=row["sector"],
        specialism=row["specialism"],
        condition=row["condition"],
        decision=decision_of(row),
        digitised=tuple(
            Digitised(one["code"] or "", _since(one["since"]), one["source"] or "") for one in blocks
        ),
        layers=orjson.loads(row["layers"]),
        digizo=Digizo(row["digizo_reference"], row["digizo_choice"], row["digizo_reason"]),
        intramural=row["intramural"],
        zmsc=row["zmsc"],
        excludes=frozenset(row["excludes"]),
        indication=tuple(row["indication"]),
        plan=tuple(row["plan"]),
    )


def _since(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def decision_of(row: asyncpg.Record) -> Decision:
    """The decision in a row of the columns `DECISION`."""
    return Decision(row["suitability"], row["decided_by"], row["decided_on"], row["reason"])


def of_pathway(one: Pathway) -> tuple[object, ...]:
    """A pathway as its row, but for the tenant."""
    blocks = [{"code": d.code, "since": d.since, "source": d.source} for d in one.digitised]
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
        orjson.dumps(blocks).decode(),
        orjson.dumps(dict(one.layers)).decode(),
        list(one.indication),
        list(one.plan),
    )
