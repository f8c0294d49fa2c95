"""Where a region stands, for other programs: as JSON, and as a table in CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from schakel.kernel.clock import instant
from schakel.roadmap.evidence import Evidence
from schakel.roadmap.model import Text
from schakel.roadmap.overview import Overview, RunInfo
from schakel.roadmap.standing import Cell, StepStanding

COLUMNS = (
    "ura",
    "organisation",
    "sector",
    "kind",
    "item",
    "title_nl",
    "title_en",
    "state",
    "reason_nl",
    "reason_en",
    "last_true",
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a text begins that a spreadsheet takes for a formula, in any width."""


def as_json(overview: Overview) -> dict[str, Any]:
    """The overview: members, and every item at each of them with its steps."""
    return {
        "roadmap": overview.roadmap.version,
        "revision": overview.revision,
        "moment": instant(overview.moment),
        "last_run": None if overview.last_run is None else run_json(overview.last_run),
        "members": [
            {"ura": one.ura, "name": one.name, "sector": one.sector, "kind": one.kind}
            for one in overview.members
        ],
        "cells": [_cell(cell) for member in overview.members for cell in overview.of_member(member.ura)],
    }


def run_json(run: RunInfo) -> dict[str, Any]:
    """A run without what was found."""
    return {
        "id": run.id,
        "region": run.region,
        "roadmap": run.roadmap,
        "by": run.by,
        "sender": run.sender or None,
        "whole": run.whole,
        "started": instant(run.started),
        "finished": instant(run.finished),
        "members": run.members,
        "findings": run.findings,
    }


def as_csv(overview: Overview, delimiter: str = ",") -> str:
    """A line for every item at every member. What a spreadsheet would take for a formula has a ' before it."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(COLUMNS)
    for member in overview.members:
        for cell in overview.of_member(member.ura):
            row = (
                member.ura,
                member.name,
                member.sector,
                member.kind,
                cell.item.id,
                cell.item.title.nl,
                cell.item.title.en,
                cell.state,
                cell.reason.nl,
                cell.reason.en,
                "" if cell.last_true is None else instant(cell.last_true),
            )
            writer.writerow([f"'{text}" if text.startswith(_FORMULA) else text for text in row])
    return out.getvalue()


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "ura": cell.ura,
        "item": cell.item.id,
        "state": cell.state,
        "reason": _text(cell.reason),
        "last_true": None if cell.last_true is None else instant(cell.last_true),
        "steps": [_step(one) for one in cell.steps],
    }


def _step(one: StepStanding) -> dict[str, Any]:
    return {
        "id": one.step.id,
        "state": one.state,
        "reason": _text(one.reason),
        "last_true": None if one.last_true is None else instant(one.last_true),
        "checks": [
            {**_found(found), "beside": None if found.beside is None else _found(found.beside)}
            for found in one.evidence
        ],
        "declaration": None if one.declaration is None else one.declaration.id,
    }


def _found(found: Evidence) -> dict[str, Any]:
    return {
        "check": found.finding.check,
        "verdict": found.finding.verdict,
        "at": instant(found.at),
        "run": found.run,
        "own": found.own,
    }


def _text(text: Text) -> dict[str, str]:
    return {"nl": text.nl, "en": text.en}
