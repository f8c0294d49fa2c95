"""What is true of a person wherever they are seen: illness, habits, allergies, insurer, GP, places."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date

from schakel.demo import cast
from schakel.demo.cast import GENERAL_PRACTICE, Professional
from schakel.demo.patients import codes as c
from schakel.demo.patients.elements import ATC, Code, sct
from schakel.demo.patients.entries import Story
from schakel.demo.patients.stories import BY_KEY, LEAD_STORIES, STORIES
from schakel.demo.people import LEADS, Person


@dataclass(frozen=True, slots=True)
class Payer:
    """A fictional health insurer; `uzovi` is a number that is not issued."""

    uzovi: str
    name: str
    city: str


PAYERS: tuple[Payer, ...] = (
    Payer("9901", "Zorgverzekeraar De Schelf", "Meerdonk"),
    Payer("9902", "Onderlinge Waarborg Het Baken", "Hoogveenmond"),
    Payer("9903", "Ravelde Zorgverzekeringen N.V.", "Klein Ravelde"),
)


@dataclass(frozen=True, slots=True)
class AllergyEntry:
    """An allergy: the FHIR category and criticality with the zib's own code for each, and how it shows."""

    substance: Code
    category: str
    category_code: Code
    criticality: str
    criticality_code: Code
    reaction: Code
    note: str = ""


@dataclass(frozen=True, slots=True)
class Vaccine:
    """A vaccine: its ATC code, and the SNOMED CT concept of the antigen in it."""

    key: str
    code: Code
    antigen: Code


@dataclass(frozen=True, slots=True)
class VaccineEntry:
    """A vaccination that was given; `dose` in millilitres."""

    vaccine: Vaccine
    days_ago: int
    dose: str = "0.5"
    note: str = ""


_FOOD = sct("418471000", "Voeding")
_MEDICINE = sct("419511003", "Medicijn")
_ENVIRONMENT = sct("426232007", "Omgeving")
_SUBSTANCE = sct("419199007", "Stof of product")

ALLERGIES: tuple[AllergyEntry, ...] = (
    AllergyEntry(
        c.PENICILLIN, "medication", _MEDICINE, "high", c.SEVERE, c.RASH, "Huiduitslag na een kuur als kind."
    ),
    AllergyEntry(c.AMOXICILLIN, "medication", _MEDICINE, "high", c.MODERATE, c.URTICARIA),
    AllergyEntry(c.ASPIRIN, "medication", _MEDICINE, "high", c.MODERATE, c.DYSPNOEA),
    AllergyEntry(c.IBUPROFEN, "medication", _MEDICINE, "low", c.MILD, c.ITCH),
    AllergyEntry(
        c.PEANUT, "food", _FOOD, "high", c.SEVERE, c.ANAPHYLAXIS, "Heeft een adrenaline-auto-injector."
    ),
    AllergyEntry(c.COW_MILK, "food", _FOOD, "low", c.MILD, c.DIARRHOEA),
    AllergyEntry(c.CAT_PROTEIN, "environment", _ENVIRONMENT, "low", c.MILD, c.ITCH),
    AllergyEntry(c.GRASS_POLLEN, "environment", _ENVIRONMENT, "low", c.MILD, c.ITCH, "In mei en juni."),
    AllergyEntry(
        c.LATEX, "biologic", _SUBSTANCE, "high", c.MODERATE, c.URTICARIA, "Latexvrije handschoenen gebruiken."
    ),
)

_INFLUENZA = Vaccine(
    "influenza",
    Code(ATC, "J07BB02", "Influenzavaccin"),
    sct("1181000221105", "vaccin met antigeen van influenzavirus"),
)
_COVID = Vaccine(
    "covid-19", Code(ATC, "J07BX03", "COVID-19-vaccin"), sct("28531000087107", "vaccin tegen COVID-19")
)
_PNEUMOCOCCUS = Vaccine(
    "pneumococcus",
    Code(ATC, "J07AL01", "Pneumokokkenvaccin"),
    sct("836398006", "vaccin met antigeen van Streptococcus pneumoniae"),
)
_TETANUS = Vaccine(
    "tetanus",
    Code(ATC, "J07AM01", "Tetanusvaccin"),
    sct("863911006", "vaccin met antigeen van Clostridium tetani"),
)
_MEASLES = Vaccine(
    "mmr",
    Code(ATC, "J07BD52", "Bof-mazelen-rubellavaccin"),
    sct("871831003", "vaccin met antigenen van mazelen-, bof- en rubellavirus"),
)
VACCINES = (_INFLUENZA, _COVID, _PNEUMOCOCCUS, _TETANUS, _MEASLES)

TOBACCO = (
    sct("449868002", "Rookt dagelijks"),
    sct("8517006", "Ex-roker"),
    sct("266919005", "Nooit gerookt"),
)
ALCOHOL = (
    sct("219006", "Drinkt alcohol"),
    sct("105542008", "Niet-drinker"),
    sct("228274009", "Levenslang niet drinker"),
)
DRUGS = (
    sct("361055000", "gebruikt drugs"),
    sct("44870007", "heeft in het verleden drugs gebruikt"),
    sct("228368007", "heeft nooit drugs gebruikt"),
)
_HOUSING = "urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.13.1"
LIVING = (
    Code(_HOUSING, "EENGEZW", "Eengezinswoning"),
    Code(_HOUSING, "FLATW", "Appartement of flatwoning"),
    Code(_HOUSING, "BENEDENW", "Benedenwoning"),
    Code(_HOUSING, "AANLW", "Aanleunwoning"),
    Code(_HOUSING, "WOONB", "Woonboot"),
)


@dataclass(frozen=True, slots=True)
class History:
    """A person with everything that all organisations agree on. `height` in cm, `weight` in kg."""

    person: Person
    stories: tuple[Story, ...]
    known_at: frozenset[str]
    complete: bool
    gp: Professional
    payer: Payer
    insured_number: str
    allergies: tuple[AllergyEntry, ...]
    vaccines: tuple[VaccineEntry, ...]
    tobacco: Code
    alcohol: Code
    drugs: Code
    living: Code
    height: int
    weight: float


def _stories(rng: random.Random, person: Person, age: int) -> tuple[Story, ...]:
    if person.number <= len(LEADS):
        return tuple(BY_KEY[key] for key in LEAD_STORIES[person.number - 1])
    fitting = [
        story for story in STORIES if story.ages[0] <= age <= story.ages[1] and story.sex in ("", person.sex)
    ]
    first = rng.choices(fitting, [story.weight for story in fitting])[0]
    if age < 45 or rng.random() < 0.7:
        return (first,)
    second = rng.choices(fitting, [story.weight for story in fitting])[0]
    return (first,) if first is second else (first, second)


def _known_at(rng: random.Random, person: Person, stories: tuple[Story, ...], age: int) -> frozenset[str]:
    lead = person.number <= len(LEADS)
    sectors = {sector for story in stories for sector in story.sectors}
    known = {cast.GENERAL_PRACTICE.slug, cast.PHARMACY.slug}
    for place, share in (
        (cast.HOSPITAL_NORTH, 0.5),
        (cast.HOSPITAL_SOUTH, 1 / 3),
        (cast.OUT_OF_HOURS, 0.6 if "out-of-hours" in sectors else 0.2),
        (cast.HOME_CARE, 0.7 if "nursing-and-home-care" in sectors else 0.35 if age >= 78 else 0.0),
        (cast.MENTAL_HEALTH, 0.9 if "mental-health" in sectors else 0.02 if age >= 12 else 0.0),
        (cast.AMBULANCE, 0.5 if "ambulance" in sectors else 0.03),
    ):
        always = lead and (place.sector == "hospital" or place.sector in sectors)
        if rng.random() < share or always:
            known.add(place.slug)
    return frozenset(known)


def _vaccines(rng: random.Random, age: int) -> tuple[VaccineEntry, ...]:
    autumn = rng.randint(20, 60)
    if age < 12:
        given = [
            VaccineEntry(_MEASLES, max(30, (age - 1) * 365), "0.5", "Rijksvaccinatieprogramma, 14 maanden.")
        ]
    else:
        given = [VaccineEntry(_TETANUS, rng.randint(200, 3000)), VaccineEntry(_COVID, autumn + 5, "0.3")]
    if age >= 60:
        given += [VaccineEntry(_INFLUENZA, autumn), VaccineEntry(_INFLUENZA, autumn + 364)]
        given.append(VaccineEntry(_PNEUMOCOCCUS, rng.randint(100, 1500)))
    return tuple(given)


def _habits(
    rng: random.Random, person: Person, age: int, stories: tuple[Story, ...]
) -> tuple[Code, Code, Code]:
    """Tobacco, alcohol and drugs, such as go with the age and the illness."""
    keys = {story.key for story in stories}
    if age < 16 or "pregnancy" in keys:
        return TOBACCO[2 if age < 16 else rng.choice((1, 2))], ALCOHOL[2 if age < 16 else 1], DRUGS[2]
    smokes = rng.choice((0, 1, 1)) if "copd" in keys else rng.choice((0, 1, 1, 2, 2, 2))
    return TOBACCO[smokes], ALCOHOL[rng.choice((0, 0, 0, 1))], DRUGS[rng.choice((2, 2, 2, 2, 2, 2, 1, 0))]


def _build(rng: random.Random, person: Person, age: int) -> tuple[int, float]:
    """Height in cm and weight in kg."""
    if age < 18:
        height = round(74 + age * 5.6 + rng.uniform(-4, 4))
        return height, round(16.5 * (height / 100) ** 2 + rng.uniform(-2, 3), 1)
    height = rng.randint(156, 176) if person.sex == "female" else rng.randint(168, 194)
    return height, round(rng.uniform(20.5, 31.0) * (height / 100) ** 2, 1)


def history(person: Person, seed: int, today: date) -> History:
    """The history of one person; the same for the same seed and day."""
    rng = random.Random(f"{seed}/history/{person.number}")
    age = person.age(today)
    lead = person.number <= len(LEADS)
    stories = _stories(rng, person, age)
    tobacco, alcohol, drugs = _habits(rng, person, age, stories)
    height, weight = _build(rng, person, age)
    return History(
        person=person,
        stories=stories,
        known_at=_known_at(rng, person, stories, age),
        complete=lead,
        gp=rng.choice([who for who in GENERAL_PRACTICE.professionals if who.role_code == "01.015"]),
        payer=rng.choice(PAYERS),
        insured_number=f"99{rng.randrange(10**8):08d}",
        allergies=tuple(rng.sample(ALLERGIES, rng.choice((1, 2)) if lead else rng.choice((0, 0, 1, 1, 2)))),
        vaccines=_vaccines(rng, age),
        tobacco=tobacco,
        alcohol=alcohol,
        drugs=drugs,
        living=LIVING[3] if age > 85 else rng.choice(LIVING),
        height=height,
        weight=weight,
    )
