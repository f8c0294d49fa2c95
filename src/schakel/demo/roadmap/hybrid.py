"""Hybrid care in the demo's region: pathways of its organisations and people who take part, all made up.

The people are pseudonyms that belong to nobody. What is made follows from the day and the seed alone.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import orjson

from schakel.demo import cast
from schakel.demo.doors import Client
from schakel.demo.patients import codes as c
from schakel.demo.patients.elements import Code
from schakel.demo.roadmap.region import SECTORS
from schakel.kernel.outcomes import Fault
from schakel.roadmap.hybrid.counting import Period

_LONGEST = 800
"""Days ago that the first people came to a pathway."""

_POOL = 4000
"""People of the region from whom the pathways draw, so that some are in several."""

_CENTRE = "Zorgcentrale Aa en Meer (bedacht)"


@dataclass(frozen=True, slots=True)
class _Plan:
    """A pathway to make. `blocks` and `layers` as codes in a row (of layers: how many are done, the next is started),
    `people` how many are eligible, `joins` which share of them takes part. With an `indication` the record of the
    organisation can be counted too."""

    id: str
    name: str
    specialism: str
    condition: str
    suitability: str
    by: str
    reason: str
    blocks: str
    layers: int
    people: int
    joins: float
    intramural: bool = False
    zmsc: str = ""
    excludes: str = ""
    digizo: tuple[str, str, str] = ("", "", "")
    indication: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """By what a pathway is counted from the record of its organisation: the codes of a Condition (`system|code`), and
    the canonical that a CarePlan follows."""

    pathway: str
    name: str
    indication: tuple[str, ...]
    plan: str


_YES, _NO, _UNDECIDED = "yes", "no", "undecided"
_PLANS: Mapping[str, tuple[_Plan, ...]] = {
    cast.HOSPITAL_NORTH.slug: (
        _Plan("hartfalen", "Hartfalen thuis gevolgd", "Cardiologie", "Hartfalen", _YES, "Vakgroep cardiologie",
              "Metingen thuis maken het verloop zichtbaar.", "B1 B2 B4 C3 C5 C6", 6, 310, 0.46, True, _CENTRE,
              "frailty", ("Telemonitoring hartfalen", "apply", ""), (c.HEART_FAILURE,)),
        _Plan("copd", "COPD met thuismeting", "Longziekten", "COPD", _YES, "Vakgroep longziekten",
              "Een longaanval is thuis vroeg te zien.", "B1 B2 C5", 4, 220, 0.31, True, _CENTRE, "",
              ("Telemonitoring COPD", "apply", ""), (c.COPD,)),
        _Plan("heup-knie", "Nieuwe heup of knie", "Orthopedie", "Artrose", _YES, "Vakgroep orthopedie",
              "Voorbereiding en herstel lukken grotendeels thuis.", "B1 B2 B3 B9", 3, 180, 0.5, True),
        _Plan("zwangerschap", "Controle in de zwangerschap", "Gynaecologie", "Zwangerschap met hoge bloeddruk",
              _UNDECIDED, "Moeder-kindcentrum", "Wacht op afspraken met de verloskundigen.", "B1 C5", 2, 60, 0.2,
              True),
        _Plan("beroerte-acuut", "Acute beroerte", "Neurologie", "Beroerte", _NO, "Vakgroep neurologie",
              "Elke minuut telt: deze zorg kan alleen in het ziekenhuis.", "B7 C4", 1, 90, 0.0, True),
    ),
    cast.HOSPITAL_SOUTH.slug: (
        _Plan("hartfalen", "Hartfalen op afstand", "Cardiologie", "Hartfalen", _YES, "Hartcentrum",
              "Sluit aan op de huisartsen.", "B1 B4 C6", 5, 260, 0.27, True, _CENTRE, "frailty no-device",
              ("Telemonitoring hartfalen", "apply", "")),
        _Plan("darmziekte", "Chronische darmontsteking", "Maag-darm-lever", "Ziekte van Crohn, colitis ulcerosa", _YES,
              "Vakgroep MDL", "Vragenlijsten thuis sparen een controle.", "B2 B4 C3 C5", 4, 140, 0.55, True),
        _Plan("diabetes", "Diabetes type 1", "Interne geneeskunde", "Diabetes mellitus type 1", _YES,
              "Diabetesteam", "Sensorwaarden komen al digitaal binnen.", "C5", 2, 150, 0.3, True, "", "",
              ("Digitale diabeteszorg", "explain", "Het portaal kan nog geen vragenlijsten tonen.")),
        _Plan("oncologie-nazorg", "Nazorg na borstkanker", "Chirurgie", "Borstkanker", _UNDECIDED,
              "Raad van bestuur", "Het oncologienetwerk beslist samen.", "B1 B2", 1, 80, 0.1, True),
    ),
    cast.GENERAL_PRACTICE.slug: (
        _Plan("hoge-bloeddruk", "Hoge bloeddruk thuis meten", "", "Hypertensie", _YES, "Praktijkteam",
              "Thuismeting is betrouwbaarder dan meten in de praktijk.", "B1 B2 B3 B8 C3 C5 C6", 6, 420, 0.37, False,
              "", "language", ("Thuismeten bloeddruk", "apply", "")),
        _Plan("diabetes-2", "Diabetes type 2", "", "Diabetes mellitus type 2", _YES, "Praktijkteam",
              "De jaarcontrole kan deels digitaal.", "B1 B3", 3, 240, 0.15),
        _Plan("kleine-vragen", "Vragen zonder haast", "", "Niet-spoedeisende vragen", _YES, "Praktijkteam",
              "Eerst zelf de weg vinden, daarna een e-consult.", "B1 B8 C3", 5, 600, 0.41),
    ),
    cast.OUT_OF_HOURS.slug: (
        _Plan("triage", "Zelftriage buiten kantooruren", "", "Spoedvragen", _UNDECIDED, "Medisch manager",
              "De veiligheid wordt nog bekeken.", "B8", 1, 120, 0.0),
    ),
    cast.HOME_CARE.slug: (
        _Plan("wondzorg", "Wondzorg met beeld", "Wijkverpleging", "Chronische wond", _YES, "Manager wijkzorg",
              "De wondverpleegkundige kijkt mee op afstand.", "B4 B7 C4", 4, 95, 0.34, False, "", "frailty"),
        _Plan("medicijnen", "Medicijnen met een dispenser", "Wijkverpleging", "Hulp bij medicijnen", _YES,
              "Manager wijkzorg", "Scheelt bezoeken en geeft vrijheid.", "B4 B10 C6", 5, 160, 0.48, False, _CENTRE,
              "frailty language"),
        _Plan("dwaaldetectie", "Veilig wonen met dementie", "Verpleeghuiszorg", "Dementie", _UNDECIDED,
              "Cliëntenraad en bestuur", "De cliëntenraad brengt advies uit.", "B10 C6", 2, 45, 0.1, True),
    ),
    cast.MENTAL_HEALTH.slug: (
        _Plan("angst-stemming", "Angst en somberheid, blended", "Psychiatrie", "Angst- of stemmingsstoornis", _YES,
              "Behandelraad", "Gesprekken en modules wisselen elkaar af.", "B1 B2 B4 B9 C3 C7", 6, 210, 0.62, False,
              "", "", ("Blended ggz", "apply", ""), (c.ANXIETY, c.DEPRESSION)),
        _Plan("crisis", "Crisisdienst", "Psychiatrie", "Acute crisis", _NO, "Geneesheer-directeur",
              "In een crisis is iemand nabij nodig.", "B7", 1, 35, 0.0),
    ),
    cast.PHARMACY.slug: (
        _Plan("eerste-uitgifte", "Uitleg bij een nieuw medicijn", "", "Nieuw medicijn", _YES, "Apothekers",
              "Een filmpje en een videogesprek kunnen de uitleg dragen.", "B1 B3", 3, 300, 0.22),
    ),
    cast.AMBULANCE.slug: (
        _Plan("mobiele-zorg", "Zorg ter plaatse zonder vervoer", "", "Niet-levensbedreigende klachten", _UNDECIDED,
              "Medisch manager ambulancezorg", "Wacht op het zorgcoördinatiecentrum.", "B7 C4", 1, 50, 0.0),
    ),
}  # fmt: skip

_POPULATION = {cast.GENERAL_PRACTICE.slug: 3900, cast.HOME_CARE.slug: 900}
_LAYERS = ("policy", "process", "information", "application", "infrastructure", "security", "law")
_EXCLUSIONS = ("frailty", "no-device", "language", "own-choice", "own-choice", "other")
_ENDINGS = ("completed", "completed", "completed", "dropped-out", "to-physical")


@dataclass(frozen=True, slots=True)
class Sent:
    """What an organisation sends: its pathways and its people as rows of the files of the inventory."""

    organisation: cast.Organisation
    population: int | None
    pathways: tuple[Mapping[str, Any], ...]
    people: tuple[Mapping[str, Any], ...]


def demo_inventory(today: date, seed: int) -> Iterator[Sent]:
    """The inventory of each organisation of the cast."""
    for organisation in cast.ORGANISATIONS:
        plans = _PLANS[organisation.slug]
        yield Sent(
            organisation,
            _POPULATION.get(organisation.slug),
            tuple(_pathway(plan, organisation, number, today) for number, plan in enumerate(plans)),
            tuple(
                row
                for plan in plans
                for row in _people(plan, random.Random(f"{seed}/{organisation.ura}/{plan.id}"), today, seed)
            ),
        )


async def send(client: Client, address: str, key: str, today: date, seed: int) -> None:
    """Brings the inventory of the whole region to the board's keeper at its internal `address`, when the board has the
    organisations as members. Raises `Fault` when it is refused."""
    for sent in demo_inventory(today, seed):
        about = f"?ura={sent.organisation.ura}"
        population = f"&population={sent.population}" if sent.population else ""
        for path, rows in (("pathways", sent.pathways), ("people", sent.people)):
            reply = await client.send(
                "POST",
                f"{address}/roadmap/hybrid/{path}{about}{population if path == 'pathways' else ''}",
                headers={"X-API-Key": key, "Content-Type": "application/json"},
                data=orjson.dumps(rows),
            )
            if reply.status != 200:
                raise Fault(f"the inventory of hybrid care was refused: {reply.said()}")


def rules(organisation: cast.Organisation) -> tuple[Rule, ...]:
    """The rules of the pathways of an organisation that have any."""
    return tuple(
        Rule(
            plan.id,
            plan.name,
            tuple(f"{code.system}|{code.code}" for code in plan.indication),
            f"{organisation.site}/fhir/PlanDefinition/{plan.id}",
        )
        for plan in _PLANS[organisation.slug]
        if plan.indication
    )


def _pathway(plan: _Plan, organisation: cast.Organisation, number: int, today: date) -> dict[str, Any]:
    since = today - timedelta(days=760 - 110 * number - 45 * cast.ORGANISATIONS.index(organisation))
    codes = plan.blocks.split()
    rule = next((one for one in rules(organisation) if one.pathway == plan.id), None)
    return {
        "id": plan.id,
        "name": plan.name,
        "sector": SECTORS[organisation.sector],
        "specialism": plan.specialism,
        "condition": plan.condition,
        "suitability": plan.suitability,
        "decided_by": plan.by,
        "decided_on": (today - timedelta(days=880 - 60 * number)).isoformat(),
        "reason": plan.reason,
        "intramural": plan.intramural,
        "zmsc": plan.zmsc,
        "excludes": plan.excludes,
        "digizo_reference": plan.digizo[0],
        "digizo_choice": plan.digizo[1],
        "digizo_reason": plan.digizo[2],
        "indication": " ".join(rule.indication) if rule else "",
        "plan": rule.plan if rule else "",
        **{
            code: min(since + timedelta(days=45 * place), today - timedelta(days=7)).isoformat()
            for place, code in enumerate(codes)
        },
        f"{codes[0]}_source": "Protocol in het kwaliteitshandboek (bedacht)",
        **{
            f"layer_{name}": "done" if place < plan.layers else "started" if place == plan.layers else ""
            for place, name in enumerate(_LAYERS)
        },
    }


def _people(plan: _Plan, chance: random.Random, today: date, seed: int) -> Iterator[dict[str, Any]]:
    for who in chance.sample(range(_POOL), plan.people):
        ago = chance.randint(60, _LONGEST)
        begun = today - timedelta(days=ago)
        row: dict[str, Any] = {
            "pathway": plan.id,
            "pseudonym": hashlib.sha256(f"demo/{seed}/{who}".encode()).hexdigest(),
            "eligible_from": begun.isoformat(),
        }
        # Who comes later joins more often: the digital part is known by then.
        if chance.random() < plan.joins * (1.35 - 0.7 * ago / _LONGEST):
            joined = begun + timedelta(days=chance.randint(0, 50))
            row["enrolled_from"] = joined.isoformat()
            last = today
            if chance.random() < 0.15:
                last = joined + timedelta(days=chance.randint(1, (today - joined).days))
                row |= {"enrolled_until": last.isoformat(), "ended_reason": chance.choice(_ENDINGS)}
            row |= _events(chance, joined, last)
        elif chance.random() < 0.3:
            row["exclusion"] = chance.choice(_EXCLUSIONS)
        yield row


def _events(chance: random.Random, joined: date, last: date) -> dict[str, str]:
    """The last day with a digital event of the quarters in which someone took part; of some quarters there is none."""
    days = []
    for quarter in Period.quarters(last, 1 + (last - joined).days // 90):
        first, until = max(quarter.start, joined), min(quarter.end, last)
        if first <= until and chance.random() < 0.85:
            days.append(until - timedelta(days=min(chance.randint(0, 40), (until - first).days)))
    if not days:
        return {}
    return {
        "last_event": days[-1].isoformat(),
        "earlier_events": " ".join(day.isoformat() for day in days[:-1]),
    }
