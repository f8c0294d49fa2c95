"""The words of a report, in Dutch and English, and texts of others made fit to stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from babel.dates import format_datetime

from schakel.kernel.clock import AMSTERDAM
from schakel.roadmap.evidence import Evidence, Verdict
from schakel.roadmap.model import Language, Text

TEXTS: Final[Mapping[str, Text]] = {
    "title": Text("Waar de regio staat met de routekaart", "Where the region stands with the roadmap"),
    "claim": Text(
        "Dit rapport laat bewijs zien: wat er is gemeten of verklaard, wanneer, en waarom het zo staat. Het zegt niet "
        "dat een organisatie aan een wet of norm voldoet.",
        "This report shows evidence: what was measured or declared, when, and why it stands so. It does not say that "
        "an organisation conforms to a law or a standard.",
    ),
    "to_content": Text("Direct naar de inhoud", "To the content"),
    "contents": Text("Wat hierin staat", "What is in here"),
    "about": Text("Over deze meting", "About this measurement"),
    "region": Text("Regio", "Region"),
    "narrowed": Text("Alleen een deel", "A part only"),
    "measured": Text("Gemeten", "Measured"),
    "never": Text("nog niet", "not yet"),
    "by": Text("Door", "By"),
    "itself": Text("de organisatie zelf", "the organisation itself"),
    "until": Text("tot", "until"),
    "stands": Text("De stand van", "As it was on"),
    "roadmap": Text("Routekaart", "Roadmap"),
    "version": Text("versie", "version"),
    "size": Text("Omvang", "Size"),
    "organisations": Text("organisaties", "organisations"),
    "items": Text("items", "items"),
    "findings": Text("bevindingen", "findings"),
    "glance": Text("De regio in één oogopslag", "The region at a glance"),
    "counted": Text("Items per organisatie, geteld per stand", "Items per organisation, counted by state"),
    "matrix": Text("Items (rijen) bij organisaties (kolommen)", "Items (rows) at organisations (columns)"),
    "organisation": Text("Organisatie", "Organisation"),
    "together": Text("Samen", "Together"),
    "sector": Text("Sector", "Sector"),
    "kind": Text("Soort", "Kind"),
    "signs": Text("Wat de tekens betekenen", "What the signs mean"),
    "each": Text("Per organisatie", "Organisation by organisation"),
    "none": Text("Er zijn geen organisaties.", "There are no organisations."),
    "ura": Text("URA", "URA"),
    "last_true": Text("Voor het laatst zo:", "Last so:"),
    "found": Text("Wat de controles vonden", "What the checks found"),
    "nothing_found": Text(
        "Hier is niets gemeten. Dat zegt niets over de organisatie.",
        "Nothing was measured here. That says nothing about the organisation.",
    ),
    "measured_on": Text("Gemeten op", "Measured on"),
    "good_until": Text("Geldt tot", "Good until"),
    "how": Text("Hoe elke controle meet", "How each check measures"),
    "fresh": Text("Wat hij vindt, telt zo veel dagen:", "What it finds counts for so many days:"),
    "no_check": Text(
        "Deze versie van het programma kent deze controle niet.",
        "This version of the program does not know this check.",
    ),
    "open": Text("Wat de bronnen open laten", "What the sources leave open"),
    "whole": Text("De routekaart als geheel", "The roadmap as a whole"),
    "nothing_open": Text("De routekaart noemt niets.", "The roadmap names nothing."),
    "sources": Text("Bronnen", "Sources"),
}
"""What is said in pages, by name."""

HEADINGS: Final[Mapping[str, Text]] = {
    "overview": Text("Overzicht", "Overview"),
    "items": Text("Items", "Items"),
    "steps": Text("Stappen", "Steps"),
    "evidence": Text("Bewijs", "Evidence"),
    "checks": Text("Controles", "Checks"),
    "sources": Text("Bronnen", "Sources"),
    "ura": Text("URA", "URA"),
    "organisation": Text("Organisatie", "Organisation"),
    "sector": Text("Sector", "Sector"),
    "kind": Text("Soort", "Kind"),
    "item": Text("Item", "Item"),
    "title": Text("Titel", "Title"),
    "theme": Text("Thema", "Theme"),
    "state": Text("Stand", "State"),
    "reason": Text("Waarom", "Why"),
    "last_true": Text("Voor het laatst zo (Nederlandse tijd)", "Last so (Dutch time)"),
    "step": Text("Stap", "Step"),
    "text": Text("Wat", "What"),
    "by_checks": Text("Controles", "Checks"),
    "document": Text("Bewijsstuk van de verklaring", "Document of the declaration"),
    "good_to": Text("Verklaring geldig tot en met", "Declaration good up to and including"),
    "check": Text("Controle", "Check"),
    "verdict": Text("Uitkomst", "Outcome"),
    "at": Text("Gemeten (Nederlandse tijd)", "Measured (Dutch time)"),
    "until": Text("Geldt tot (Nederlandse tijd)", "Good until (Dutch time)"),
    "by": Text("Door", "By"),
    "run": Text("Meting", "Run"),
    "detail": Text("Voor de beheerder", "For the engineer"),
    "facts": Text("Cijfers", "Figures"),
    "how": Text("Hoe hij meet", "How it measures"),
    "days": Text("Telt (dagen)", "Counts for (days)"),
    "about": Text("Waarover", "About"),
    "what": Text("Wat er staat", "What is said"),
}
"""The names of the sheets and columns of a workbook."""


@dataclass(frozen=True, slots=True)
class VerdictLook:
    """A verdict in words and as a sign; `like` is the state that looks so."""

    word: Text
    sign: str
    like: str


VERDICTS: Final[Mapping[Verdict, VerdictLook]] = {
    "fails": VerdictLook(Text("het is niet zo", "it is not so"), "✕", "fails"),
    "unknown": VerdictLook(Text("niet te controleren", "could not be checked"), "?", "unknown"),
    "holds": VerdictLook(Text("het is zo", "it is so"), "✓", "proved"),
    "not-applicable": VerdictLook(
        Text("niet voor deze organisatie", "not for this organisation"), "–", "not-applicable"
    ),
}
"""In the order in which they are told: what needs attention first."""


def spoken(language: Language) -> dict[str, str]:
    """`TEXTS` in a language."""
    return {name: text.of(language) for name, text in TEXTS.items()}


def line(text: str) -> str:
    """`text` on one line, without signs that cannot be printed: it may hold what a peer said."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def said(text: Text, language: Language) -> str:
    """A text in a language, on one line."""
    return line(text.of(language))


def whose(one: Evidence, language: Language) -> str:
    """Who found something, and that it was the organisation itself when that is so."""
    return line(f"{one.by}, {TEXTS['itself'].of(language)}" if one.own else one.by)


def moment(of: datetime, language: Language) -> str:
    """A moment as the clock in the Netherlands has it: 5 maart 2026, 13:05."""
    local = of.astimezone(AMSTERDAM)
    return format_datetime(local, "d MMMM y, HH:mm", locale="nl" if language == "nl" else "en_GB")
