"""The inventory as JSON, for programs: numbers as they are, for those who may see them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from schakel.roadmap.hybrid import definition
from schakel.roadmap.hybrid.counting import Tally
from schakel.roadmap.hybrid.figures import Figure, targets
from schakel.roadmap.hybrid.model import BlockList, Blocks
from schakel.roadmap.hybrid.overview import Organisation, Overview, Part, PathwayView
from schakel.roadmap.model import Kpi, Target, Text


def as_json(overview: Overview, kpis: Sequence[Kpi], uras: Sequence[str] | None) -> dict[str, Any]:
    """The organisations `uras` with their figures; with None all of them, and the region."""
    chosen = [one for one in overview.organisations if uras is None or one.ura in uras]
    found: dict[str, Any] = {
        "period": {"start": overview.period.start.isoformat(), "end": overview.period.end.isoformat()},
        "definition": _text(definition.WORDS),
        "blocks": {"version": overview.judged_by.blocks.version},
        "organisations": [_organisation(one, overview.parts[one.ura], kpis) for one in chosen],
    }
    if uras is None:
        found["region"] = _part(overview.region, kpis, None)
    return found


def blocks_json(blocks: Blocks) -> dict[str, Any]:
    """A list of building blocks, in the form in which it is imported."""
    return {
        "version": blocks.version,
        "title": _text(blocks.title),
        "open": [_text(one) for one in blocks.open],
        "blocks": [
            {
                "code": one.code,
                "group": one.group,
                "monitoring": one.monitoring,
                "title": _text(one.title),
                "about": _text(one.about),
            }
            for one in blocks.blocks
        ],
    }


def block_list_json(one: BlockList) -> dict[str, Any]:
    """A list of building blocks with when it was in force, and who brought it."""
    return {
        "number": one.number,
        "since": one.since.isoformat() if one.since else None,
        "until": one.until.isoformat() if one.until else None,
        "by": one.account,
        "list": blocks_json(one.blocks),
    }


def _organisation(one: Organisation, part: Part, kpis: Sequence[Kpi]) -> dict[str, Any]:
    return {
        "ura": one.ura,
        "name": one.name,
        "population": one.population,
        **_part(part, kpis, part.sectors),
        "pathways": [_pathway(view) for view in part.pathways],
    }


def _part(part: Part, kpis: Sequence[Kpi], sectors: Collection[str] | None) -> dict[str, Any]:
    return {
        "people": _tally(part.tally),
        "figures": [_figure(one, targets(kpis, one, sectors)) for one in part.figures],
    }


def _figure(one: Figure, wanted: Sequence[Target]) -> dict[str, Any]:
    return {
        "kpi": one.kpi,
        "name": _text(one.name),
        "numerator": one.top,
        "numerator_is": _text(one.top_words),
        "denominator": one.under,
        "denominator_is": None if one.under is None else _text(one.under_words),
        "share": one.share,
        "targets": [
            {
                "value": target.value,
                "by": _text(target.by),
                "legal": target.legal,
                "certainty": target.certainty,
                "whose": _text(target.whose),
                "sectors": list(target.sectors),
            }
            for target in wanted
        ],
    }


def _pathway(view: PathwayView) -> dict[str, Any]:
    one, found = view.pathway, view.verdict
    return {
        "id": one.id,
        "name": one.name,
        "sector": one.sector,
        "specialism": one.specialism,
        "condition": one.condition,
        "intramural": one.intramural,
        "zmsc": one.zmsc,
        "suitability": one.decision.suitability,
        "decided_by": one.decision.by,
        "decided_on": one.decision.on.isoformat(),
        "reason": one.decision.reason,
        "hybrid": found.hybrid,
        "hybrid_reason": _text(found.reason),
        "basic": list(found.basic),
        "care": list(found.care),
        "unlisted": list(found.unlisted),
        "digitised": [
            {"code": d.code, "since": d.since.isoformat() if d.since else None, "source": d.source}
            for d in one.digitised
        ],
        "layers": dict(one.layers),
        "digizo": {
            "reference": one.digizo.reference,
            "choice": one.digizo.choice,
            "reason": one.digizo.reason,
        },
        "excludes": sorted(one.excludes),
        "indication": list(one.indication),
        "plan": list(one.plan),
        "people": _tally(view.tally),
        "counts": [
            {
                "year": made.year,
                "people": made.people,
                "at": made.at.isoformat(),
                "by": made.account,
                "rules_changed_since": made.older,
            }
            for made in view.counts
        ],
    }


def _tally(one: Tally) -> dict[str, Any]:
    return {
        "eligible": one.eligible,
        "excluded": one.excluded,
        "enrolled": one.enrolled,
        "active": one.active,
        "now": one.now,
        "not_taking_part": dict(one.reasons),
        "ended": dict(one.ended),
    }


def _text(text: Text) -> dict[str, str]:
    return {"nl": text.nl, "en": text.en}
