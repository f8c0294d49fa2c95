"""What each sector holds, and in which FHIR version.

GP practice and pharmacy keep medication and vaccinations as R4 (zib 2020, MP9 3.0), the pharmacy all it has;
everything else is STU3 (zib 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from schakel.demo.cast import Organisation, Sector
from schakel.demo.patients import codes as c
from schakel.demo.patients import hospital, zibs2020
from schakel.demo.patients.chart import Chart
from schakel.demo.patients.elements import Link, sct
from schakel.demo.patients.entries import ProblemEntry
from schakel.demo.patients.history import History
from schakel.demo.patients.zibs import (
    administration,
    laboratory,
    lifestyle,
    measurements,
    medication,
    problems,
    procedures,
)
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource

_MINOR = (
    ProblemEntry(c.COMMON_COLD, 320, kind=c.COMPLAINT, ended=310),
    ProblemEntry(c.URINARY_TRACT_INFECTION, 210, ended=200),
    ProblemEntry(c.BACK_PAIN, 160, kind=c.COMPLAINT, ended=120),
    ProblemEntry(c.COUGH, 75, kind=c.COMPLAINT, ended=60),
)
_WOUND_CARE = sct("225358003", "wondzorg")
_GIVE_MEDICINES = sct("18629005", "toedienen van medicatie")

URGENT = {
    "copd": (c.DYSPNOEA, "Toenemend benauwd sinds de avond."),
    "asthma": (c.DYSPNOEA, "Piepende ademhaling na het sporten."),
    "heart-failure": (c.DYSPNOEA, "Benauwd bij platliggen, dikke enkels."),
    "coronary": (c.CHEST_PAIN, "Drukkende pijn, uitstralend naar de linkerarm."),
    "hip-fracture": (c.FALL, "Gevallen in de keuken, kan niet staan."),
    "appendicitis": (c.ABDOMINAL_PAIN, "Buikpijn die naar rechtsonder is getrokken."),
    "pneumonia": (c.FEVER, "Koorts en hoesten, suf."),
    "migraine": (c.HEADACHE, "Aanval die niet op de eigen medicatie reageert."),
}
"""The complaint with which someone with that story calls for help at night."""


def general_practice(chart: Chart, told: History) -> None:
    """The GP's record but for medication and vaccinations: problems, allergies, contacts, measurements."""
    administration.patient(chart)
    known: dict[tuple[str, int], Link] = {}
    for story in told.stories:
        for place, entry in enumerate(story.problems):
            known[story.key, place] = problems.problem(chart, entry)
    minor = [problems.problem(chart, entry) for entry in chart.rng.sample(_MINOR, chart.rng.randint(1, 2))]
    for allergy in told.allergies:
        problems.allergy(chart, allergy)
    for about in (*minor, known[told.stories[0].key, 0]):
        kind, on = chart.rng.choice(("AMB", "VR", "HH")), chart.rng.randint(10, 320)
        administration.encounter(chart, kind, on, chart.gp, diagnosis=about)
    systolic, diastolic = told.stories[0].pressure
    for days_ago in (260, 80):
        when = chart.moment(chart.since_birth(days_ago + chart.rng.randint(0, 20)))
        measurements.blood_pressure(chart, systolic + chart.rng.randint(-10, 10), diastolic, when)
    measurements.body_weight(chart, told.weight, chart.moment(chart.since_birth(80)))
    measurements.body_height(chart, told.height, chart.moment(chart.since_birth(900)))
    lifestyle.tobacco_use(chart, told.tobacco)
    if chart.chance(0.5):
        laboratory.panel(chart, told.stories[0].panels[0], 120, told.stories[0].results)


def general_practice_medication(chart: Chart, told: History) -> None:
    """What the GP agreed on about medicines, and the vaccinations the practice gave."""
    zibs2020.administration.patient(chart)
    for story, entry in hospital.medicines(told):
        reason = None if entry.reason is None else story.problems[entry.reason].code
        agreed = zibs2020.medication.agreement(chart, entry, reason=reason)
        if entry.schedule:
            zibs2020.medication.regimen(chart, entry, agreed)
        if not entry.days and chart.chance(0.5):
            zibs2020.medication.use(chart, entry, agreed)
    for vaccine in told.vaccines:
        zibs2020.vaccination.vaccination(chart, vaccine)


def out_of_hours(chart: Chart, told: History) -> None:
    """One contact at the post, with complaint and first measurements."""
    administration.patient(chart)
    complaint, note = URGENT.get(told.stories[0].key, (c.FEVER, "Koorts sinds gisteren."))
    on = chart.rng.randint(15, 200)
    about = problems.problem(chart, ProblemEntry(complaint, on, kind=c.COMPLAINT, ended=on, note=note))
    who = chart.rng.choice(chart.holder.professionals)
    administration.encounter(chart, chart.rng.choice(("AMB", "HH", "VR")), on, who, diagnosis=about)
    when = chart.moment(chart.since_birth(on), 20)
    measurements.temperature(chart, chart.rng.uniform(36.6, 39.2), when)
    measurements.heart_rate(chart, chart.rng.randint(72, 118), when)
    measurements.blood_pressure(chart, chart.rng.randint(110, 150), chart.rng.randint(66, 90), when)


def home_care(chart: Chart, told: History) -> None:
    """Nursing at home: what the patient can do, weight, pain, interventions and the team."""
    administration.patient(chart)
    main = told.stories[0]
    about = problems.problem(chart, main.problems[0])
    help_needed = any(story.key in ("hip-fracture", "heart-failure") for story in told.stories)
    for days_ago in (90, 45, 9):
        when = chart.moment(days_ago + chart.rng.randint(0, 5))
        measurements.mobility(chart, when, help_needed=help_needed)
        measurements.washing(chart, when, help_needed=help_needed)
        measurements.body_weight(chart, told.weight + chart.rng.uniform(-1.5, 1.5), when)
        measurements.blood_pressure(
            chart, main.pressure[0] + chart.rng.randint(-12, 12), main.pressure[1], when
        )
        measurements.pain(chart, chart.rng.randint(0, 6), when)
    nurse = chart.rng.choice([who for who in chart.holder.professionals if who.role_code == "30.000"])
    intervention = _WOUND_CARE if main.key == "hip-fracture" else _GIVE_MEDICINES
    procedures.nursing_intervention(chart, intervention, nurse, reason=about)
    lifestyle.living_situation(chart, told.living)
    for what, degree, comment in main.functioning:
        lifestyle.status(chart, what, degree, comment)
    administration.encounter(chart, "HH", 7, nurse, diagnosis=about)
    administration.care_team(chart, [nurse, chart.staff("Specialist ouderengeneeskunde")], "Wijkteam")


def mental_health(chart: Chart, told: History) -> None:
    """A treatment at the GGZ: problem, mental status, agreements, contacts and the team."""
    administration.patient(chart)
    depressed = next((story for story in told.stories if story.key == "depression"), None)
    entries = depressed.problems[:2] if depressed else (ProblemEntry(c.ANXIETY, 300),)
    known = [problems.problem(chart, entry) for entry in entries]
    psychiatrist, psychologist = chart.staff("Psychiater"), chart.staff("Gezondheidszorgpsycholoog")
    found = depressed.mental if depressed else ((c.MOOD, c.MILD, "Gespannen, piekert veel."),)
    for what, degree, comment in found:
        lifestyle.status(chart, what, degree, comment, mental=True)
    for entry in depressed.medicines if depressed else ():
        if entry.reason in (0, 1):
            medication.agreement(chart, entry, psychiatrist, reason=known[entry.reason])
    for days_ago in (140, 90, 50, 12):
        who = chart.rng.choice((psychiatrist, psychologist))
        administration.encounter(
            chart, chart.rng.choice(("AMB", "AMB", "VR")), days_ago, who, diagnosis=known[0]
        )
    lifestyle.alcohol_use(chart, told.alcohol)
    lifestyle.drug_use(chart, told.drugs)
    administration.care_team(chart, [psychologist, psychiatrist], "Behandelteam stemming en angst")


def pharmacy(chart: Chart, told: History) -> None:
    """What the pharmacy agreed on and handed over, and the allergies it guards."""
    zibs2020.administration.patient(chart)
    zibs2020.administration.payer(chart, told)
    for _, entry in hospital.medicines(told):
        zibs2020.medication.administration_agreement(chart, entry)
        last_day = entry.since - entry.days if entry.days else 0
        for days_ago in (min(entry.since, 275), 185, 95, 6):
            if last_day <= days_ago <= entry.since:
                zibs2020.medication.dispense(chart, entry, days_ago - chart.rng.randint(0, 3))
    for allergy in told.allergies:
        if allergy.category == "medication":
            zibs2020.problems.allergy(chart, allergy)


def ambulance(chart: Chart, told: History) -> None:
    """One ride: complaint, vital signs on the spot, handed over to a hospital."""
    administration.patient(chart)
    main = told.stories[0]
    complaint, note = URGENT.get(main.key, (c.CHEST_PAIN, "Collaps op straat, bijgekomen."))
    on = max(
        (visit.days_ago for visit in main.visits if visit.kind == "EMER"), default=chart.rng.randint(20, 300)
    )
    about = problems.problem(chart, ProblemEntry(complaint, on, kind=c.COMPLAINT, ended=on, note=note))
    nurse = chart.rng.choice(chart.holder.professionals)
    administration.encounter(chart, "FLD", on, nurse, diagnosis=about, reason="Spoedrit A1")
    short_of_breath = complaint == c.DYSPNOEA
    for hour in (7, 8):
        when = chart.moment(chart.since_birth(on), hour)
        pressure = main.pressure[0] + chart.rng.randint(-20, 25)
        measurements.blood_pressure(chart, pressure, main.pressure[1], when, lying=True)
        measurements.heart_rate(chart, chart.rng.randint(84, 130), when)
        measurements.saturation(chart, chart.rng.randint(*((86, 93) if short_of_breath else (94, 99))), when)
        measurements.respiration(chart, chart.rng.randint(*((22, 32) if short_of_breath else (14, 20))), when)
    measurements.pain(chart, chart.rng.randint(2, 9), chart.moment(chart.since_birth(on), 8))


Writer = Callable[[Chart, History], None]

WRITERS: dict[Sector, dict[Version, Writer]] = {
    "hospital": {"stu3": hospital.write},
    "general-practice": {"stu3": general_practice, "r4": general_practice_medication},
    "out-of-hours": {"stu3": out_of_hours},
    "nursing-and-home-care": {"stu3": home_care},
    "mental-health": {"stu3": mental_health},
    "pharmacy": {"r4": pharmacy},
    "ambulance": {"stu3": ambulance},
}
"""How a chart is written, per sector and FHIR version; a sector holds nothing in a version that is absent."""


def shared(holder: Organisation, version: Version) -> Iterator[Resource]:
    """What the charts of `holder` in that version refer to."""
    if version == "stu3":
        yield from administration.shared(holder)
        if holder.sector in ("hospital", "mental-health"):
            yield from medication.products()
        return
    yield from zibs2020.administration.shared(holder)
    yield from zibs2020.medication.products()
    if holder.sector == "general-practice":
        yield from zibs2020.vaccination.vaccines()
