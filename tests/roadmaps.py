"""Roadmaps for tests: a small one as a file has it, and any one at all."""

from __future__ import annotations

from datetime import date
from typing import Any, get_args

from hypothesis import strategies as st

from schakel.roadmap.model import (
    Agreement,
    Ambition,
    Category,
    Certainty,
    Dated,
    Item,
    Kpi,
    Legal,
    Link,
    Objective,
    Roadmap,
    Step,
    Target,
    Text,
    Unit,
)


def small() -> dict[str, Any]:
    """A roadmap of two items that uses every part of the form."""
    return {
        "version": "2026-01",
        "title": {"nl": "Routekaart", "en": "Roadmap"},
        "sources": [{"nl": "Een bron", "en": "A source"}],
        "sectors": {"HA": {"nl": "Huisartsen", "en": "GPs"}},
        "categories": [{"id": "LDN", "title": {"nl": "Netwerk", "en": "Network"}}],
        "agreements": [
            {
                "id": "A01",
                "text": {"nl": "Wij doen het", "en": "We do it"},
                "deadline": {"nl": "in 2025", "en": "by 2025"},
            }
        ],
        "items": [
            {
                "id": "LDN-1",
                "layer": "national",
                "category": "LDN",
                "title": {"nl": "Een", "en": "One"},
                "plain": {"nl": "Dit is een.", "en": "This is one."},
                "sectors": ["HA"],
                "agreements": ["A01"],
                "inferred": False,
                "applications": ["Twiin"],
                "standards": ["FHIR"],
                "dates": [
                    {
                        "when": {"nl": "2025", "en": "2025"},
                        "first": "2025-01-01",
                        "last": "2025-12-31",
                        "what": {"nl": "Het begint", "en": "It begins"},
                        "legal": "law",
                        "certainty": "in-force",
                    }
                ],
                "steps": [{"id": "LDN-1.S1", "text": {"nl": "Doe iets", "en": "Do it"}, "checks": ["tls"]}],
                "links": [{"title": "Meer", "url": "https://example.org/meer"}],
                "depends_on": [],
                "open": [{"nl": "Wat nog niet vaststaat", "en": "What is not settled"}],
            },
            {
                "id": "LDN-2",
                "layer": "regional",
                "category": "LDN",
                "title": {"nl": "Twee", "en": "Two"},
                "plain": {"nl": "Dit is twee.", "en": "This is two."},
                "sectors": [],
                "agreements": [],
                "inferred": False,
                "applications": [],
                "standards": [],
                "dates": [],
                "steps": [{"id": "LDN-2.S1", "text": {"nl": "Kijk", "en": "Look"}}],
                "links": [],
                "depends_on": ["LDN-1"],
                "open": [],
            },
        ],
        "objectives": [
            {
                "id": "ZN-1",
                "title": {"nl": "Doel", "en": "Goal"},
                "ambitions": [{"id": "1a", "text": {"nl": "Meer", "en": "More"}, "items": ["LDN-1"]}],
            }
        ],
        "kpis": [
            {
                "id": "KPI-1",
                "title": {"nl": "Deel", "en": "Share"},
                "formula": {"nl": "deel / geheel", "en": "part / whole"},
                "unit": "share",
                "targets": [
                    {
                        "value": 0.4,
                        "at_most": False,
                        "by": {"nl": "eind 2025", "en": "end of 2025"},
                        "legal": "agreement",
                        "whose": {"nl": "partijen", "en": "parties"},
                    }
                ],
                "items": ["LDN-2"],
            }
        ],
        "open": [{"nl": "Een vraag", "en": "A question"}],
    }


_WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=12)
_TEXTS = st.builds(Text, _WORDS, _WORDS)
_NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,8}[A-Za-z0-9])?", fullmatch=True)
_LEGALS = st.sampled_from(get_args(Legal))
_DAYS = st.none() | st.dates(date(1990, 1, 1), date(2099, 12, 31))


def _some(names: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """Some of these names, each once."""
    if not names:
        return st.just(())
    return st.lists(st.sampled_from(names), unique=True, max_size=3).map(tuple)


@st.composite
def dates(draw: st.DrawFn) -> Dated:
    """Any date whose days are in order."""
    first, last = draw(_DAYS), draw(_DAYS)
    if first and last and first > last:
        first, last = last, first
    certainty = draw(st.sampled_from(get_args(Certainty)))
    return Dated(draw(_TEXTS), first, last, draw(_TEXTS), draw(_LEGALS), certainty)


@st.composite
def roadmaps(draw: st.DrawFn) -> Roadmap:
    """Any roadmap that may be read."""

    def several(most: int, least: int = 0) -> list[str]:
        return draw(st.lists(_NAMES, unique=True, min_size=least, max_size=most))

    def many(one: st.SearchStrategy[Any]) -> tuple[Any, ...]:
        return tuple(draw(st.lists(one, max_size=2)))

    sectors, categories, agreements, ids = several(2), several(2, 1), several(2), several(3, 1)
    links = st.builds(Link, _WORDS, st.just("https://example.org/"))
    items = tuple(
        Item(
            id=name,
            layer=draw(st.sampled_from(("national", "regional"))),
            category=draw(st.sampled_from(categories)),
            title=draw(_TEXTS),
            plain=draw(_TEXTS),
            sectors=draw(_some(sectors)),
            agreements=draw(_some(agreements)),
            inferred=draw(st.booleans()),
            applications=many(_WORDS),
            standards=many(_WORDS),
            dates=many(dates()),
            steps=tuple(
                Step(
                    f"{name}.S{number}",
                    draw(_TEXTS),
                    checks := draw(_some(["tls", "log-seals"])),
                    draw(st.none() | _TEXTS) if checks else None,
                )
                for number in range(1, draw(st.integers(1, 3)))
            ),
            links=many(links),
            depends_on=draw(_some([other for other in ids if other != name])),
            open=many(_TEXTS),
        )
        for name in ids
    )
    ambitions = tuple(Ambition(name, draw(_TEXTS), draw(_some(ids))) for name in several(2))
    targets = st.builds(
        Target,
        st.floats(0, 1),
        st.booleans(),
        _TEXTS,
        _LEGALS,
        _TEXTS,
        st.sampled_from(get_args(Certainty)),
        st.none() | st.sampled_from(get_args(Unit)),
        _some(sectors),
    )
    return Roadmap(
        version=draw(_NAMES),
        title=draw(_TEXTS),
        sources=many(_TEXTS),
        sectors={code: draw(_TEXTS) for code in sectors},
        categories=tuple(Category(name, draw(_TEXTS)) for name in categories),
        agreements=tuple(Agreement(name, draw(_TEXTS), draw(_TEXTS)) for name in agreements),
        items=items,
        objectives=(Objective("goal", draw(_TEXTS), ambitions),),
        kpis=tuple(
            Kpi(
                name,
                draw(_TEXTS),
                draw(_TEXTS),
                draw(st.sampled_from(("share", "count", "hours", "days"))),
                many(targets),
                draw(_some(ids)),
            )
            for name in several(2)
        ),
        open=many(_TEXTS),
    )
