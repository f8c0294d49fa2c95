"""The months before today, made up: a run a month in which a region gets further, with what goes wrong on the way.

Nothing of it was measured, and each reason says so. It follows from the day and the cast alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

from schakel.demo import cast
from schakel.demo.roadmap.region import NAME, SECTORS
from schakel.roadmap.evidence import Finding, Measured, Member, Run, Verdict
from schakel.roadmap.model import Text

MONTHS = 12
BY = "Programmabureau Aa en Meer (bedacht verloop)"

_MADE_UP = Text("Bedacht voor de demo: ", "Made up for the demo: ")
_MINUTES = 4

_WORDS: Mapping[str, tuple[Text, Text]] = {
    "fhir-metadata": (
        Text("de FHIR-server antwoordde en noemde zijn versie.", "the FHIR server answered with its version."),
        Text("de FHIR-server antwoordde niet.", "the FHIR server did not answer."),
    ),
    "token-metadata": (
        Text(
            "de metadata van de autorisatieserver klopten.",
            "the metadata of the authorisation server were right.",
        ),
        Text(
            "de metadata van de autorisatieserver noemden een ander adres.",
            "the metadata of the authorisation server named another address.",
        ),
    ),
    "tls": (
        Text("alleen TLS 1.2 en 1.3 werden aangenomen.", "only TLS 1.2 and 1.3 were taken."),
        Text("TLS 1.1 werd nog aangenomen.", "TLS 1.1 was still taken."),
    ),
    "certificate": (
        Text("het servercertificaat was geldig.", "the server certificate was valid."),
        Text("het servercertificaat was verlopen.", "the server certificate had expired."),
    ),
    "directory-entry": (
        Text(
            "de organisatie stond met adressen in het adresboek.",
            "the organisation stood in the directory with its addresses.",
        ),
        Text(
            "de organisatie stond zonder endpoint in het adresboek.",
            "the organisation stood in the directory without an endpoint.",
        ),
    ),
    "nvi-registration": (
        Text("de verwijsindex kende haar patiënten.", "the localisation index knew its patients."),
        Text("er was nog niets aangemeld bij de verwijsindex.", "nothing was registered at the index yet."),
    ),
    "mitz-subscription": (
        Text("de abonnementen bij Mitz liepen.", "the subscriptions at Mitz were active."),
        Text("Mitz had een abonnement geweigerd.", "Mitz had refused a subscription."),
    ),
    "log-seals": (
        Text("de zegels van de logging klopten.", "the seals of the log were right."),
        Text("de logging was niet verzegeld.", "the log was not sealed."),
    ),
    "core-data": (
        Text(
            "alle kerngegevens waren binnen 24 uur op te vragen.",
            "all core data could be had within 24 hours.",
        ),
        Text(
            "een deel van de kerngegevens kwam na 24 uur.", "part of the core data came after 24 hours."
        ),
    ),
    "medmij-list": (
        Text("de zorgaanbieder stond op de MedMij-lijst.", "the provider stood on the list of MedMij."),
        Text("de zorgaanbieder stond nog niet op de MedMij-lijst.", "the provider was not on the list of MedMij."),
    ),
    "exchange-bgz": (
        Text("de BgZ van een testpatiënt kwam volledig binnen.", "the BgZ of a test patient came in whole."),
        Text("de BgZ van een testpatiënt kwam niet volledig.", "the BgZ of a test patient did not come whole."),
    ),
    "professional-login": (
        Text("inloggen met Dezi was mogelijk.", "logging in with Dezi was possible."),
        Text("inloggen met Dezi was niet ingericht.", "logging in with Dezi was not set up."),
    ),
}  # fmt: skip
"""What is said of each check that held, and of one that did not."""

_AWAY = Text(
    "de voorziening gaf geen antwoord; hoe het was, is niet bekend.",
    "the facility did not answer; how it was is not known.",
)
_ASKING = frozenset({cast.HOSPITAL_NORTH.slug, cast.HOSPITAL_SOUTH.slug})

_INCIDENTS: Mapping[tuple[int, str, str], Verdict] = {
    (3, "ggz-ankergaarde", "certificate"): "fails",
    (2, "apotheek-vijzelbrink", "directory-entry"): "fails",
    (1, "thuiszorg-lindehof", "core-data"): "fails",
}
"""What went wrong so many months ago, after it had been right."""

_JOINED = {"ambulancedienst": 8, "apotheek-vijzelbrink": 10}
"""Months ago that an organisation joined; the others were there from the start."""

_MITZ_AWAY = 5


def runs(today: date) -> Iterator[Run]:
    """The runs, the oldest first; the last is a month before `today`, so that what is measured comes after it."""
    for ago in range(MONTHS, 0, -1):
        day = today - timedelta(days=round(ago * 30.4))
        started = datetime(day.year, day.month, day.day, 6, 0, tzinfo=UTC)
        here = [one for one in cast.ORGANISATIONS if _JOINED.get(one.slug, MONTHS) >= ago]
        yield Run(
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"demo/roadmap/{day.isoformat()}")),
            region=NAME,
            roadmap="iza-2025-06",
            by=BY,
            started=started,
            finished=started + timedelta(minutes=_MINUTES),
            members=tuple(Member(one.ura, one.name, SECTORS[one.sector], one.type_name) for one in here),
            measured=tuple(
                Measured(one.ura, finding, started + timedelta(seconds=20 * number))
                for number, one in enumerate(here)
                for check in _WORDS
                if (finding := _finding(one, check, ago)) is not None
            ),
        )


def _finding(one: cast.Organisation, check: str, ago: int) -> Finding | None:
    """What a check found so many months ago; None when it was not done."""
    if check == "exchange-bgz" and one.slug not in _ASKING:
        return None
    held, failed = _WORDS[check]
    if check == "mitz-subscription" and ago == _MITZ_AWAY:
        return _said(check, "unknown", _AWAY)
    if verdict := _INCIDENTS.get((ago, one.slug, check)):
        return _said(check, verdict, failed)
    since = _since(one, check)
    if ago > since + 2:
        return None
    return _said(check, "holds", held) if ago <= since else _said(check, "fails", failed)


def _since(one: cast.Organisation, check: str) -> int:
    """Months ago from which a check held at an organisation: early for what comes first, later for what follows."""
    place, turn = cast.ORGANISATIONS.index(one), tuple(_WORDS).index(check)
    return max(1, min(MONTHS - 1, MONTHS - 1 - turn // 2 - (place * 5 + turn * 3) % 6))


def _said(check: str, verdict: Verdict, words: Text) -> Finding:
    return Finding(check, verdict, Text(_MADE_UP.nl + words.nl, _MADE_UP.en + words.en))
