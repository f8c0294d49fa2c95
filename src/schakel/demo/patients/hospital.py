"""A hospital's record of a patient: the whole BgZ, all 27 rows of the BgZ-MSZ set."""

from __future__ import annotations

from dataclasses import dataclass, field

from schakel.demo.cast import Professional
from schakel.demo.patients import codes as c
from schakel.demo.patients.chart import Chart
from schakel.demo.patients.elements import Link
from schakel.demo.patients.entries import MedicineEntry, ProblemEntry, Story
from schakel.demo.patients.history import ALLERGIES, History
from schakel.demo.patients.zibs import (
    administration,
    directives,
    laboratory,
    lifestyle,
    measurements,
    medication,
    problems,
    procedures,
)

_IMPLANTS = {
    c.PACEMAKER_IMPLANT: c.PACEMAKER,
    c.CORONARY_ANGIOPLASTY: c.CORONARY_STENT,
    c.HIP_REPLACEMENT: c.HIP_PROSTHESIS,
}
"""Which device a procedure leaves behind."""


@dataclass
class _Stay:
    """What has been written so far and is referred to later on."""

    chart: Chart
    told: History
    problems: dict[tuple[str, int], Link] = field(default_factory=dict)
    devices: dict[str, Link] = field(default_factory=dict)

    def problem(self, story: Story, place: int | None) -> Link | None:
        """The link to the problem at that place of the story; None without a place."""
        return None if place is None else self.problems[story.key, place]

    def main_problem(self) -> Link:
        """The link to what the first story is about."""
        return self.problems[self.told.stories[0].key, 0]

    def doctor(self, story: Story) -> Professional:
        return self.chart.staff(story.function)

    def registered(self, target: Link, days_ago: int, *, changed: int | None = None) -> None:
        """Say when `target` was first registered, and when it was changed."""
        chart = self.chart
        administration.provenance(chart, [target], chart.moment(chart.since_birth(days_ago)))
        if changed is not None:
            administration.provenance(chart, [target], chart.moment(changed), "UPDATE")


def write(chart: Chart, told: History) -> None:
    """Fill the chart; a complete chart has every row of the BgZ."""
    stay = _Stay(chart, told)
    administration.patient(chart)
    administration.payer(chart, told)
    _directives(stay)
    _problems(stay)
    _allergies(stay)
    _devices(stay)
    _functioning(stay)
    _habits(stay)
    _medication(stay)
    _vaccinations(stay)
    _measurements(stay)
    _laboratory(stay)
    _procedures(stay)
    _encounters(stay)
    _care_team(stay)


def _directives(stay: _Stay) -> None:
    chart = stay.chart
    if not chart.chance(0.45):
        return
    old = chart.age >= 75
    on = chart.rng.randint(60, 900)
    kind, comment = (
        ("NR", "Verklaring bij de huisarts in bewaring.") if old else ("VOL", "Partner is gevolmachtigde.")
    )
    source = directives.advance_directive(chart, kind, on, comment)
    resuscitate = "NEE" if old else "JA"
    wish = directives.treatment_directive(
        chart, directives.RESUSCITATION, resuscitate, on - 20, source=source
    )
    directives.treatment_directive(
        chart, directives.INTENSIVE_CARE, "JA_MAAR" if old else "JA", on - 20,
        restriction="Ten hoogste een week beademing." if old else "",
    )  # fmt: skip
    if chart.rng.random() < 0.15:
        directives.treatment_directive(chart, directives.BLOOD_PRODUCTS, "NEE", on - 20)
    stay.registered(source, on)
    stay.registered(wish, on - 20)


def _problems(stay: _Stay) -> None:
    chart = stay.chart
    for story in stay.told.stories:
        for place, entry in enumerate(story.problems):
            written = problems.problem(chart, entry)
            stay.problems[story.key, place] = written
            if entry.kind == c.DIAGNOSIS:
                stay.registered(written, entry.since - 1, changed=entry.ended or None)
        if story.alert and chart.chance(0.6):
            problems.alert(chart, story.alert, story.problems[0].since - 5)
    main = stay.told.stories[0]
    if chart.chance(0.5):
        text = f"Let op: {main.problems[0].code.display}"
        problems.alert(chart, text, main.problems[0].since - 2, about=stay.main_problem())
    if chart.chance(0.05):
        wrong = next(code for code in (c.ASTHMA, c.MIGRAINE) if all(code != p.code for p in main.problems))
        problems.problem(
            chart, ProblemEntry(wrong, 333, note="Ingevoerd bij de verkeerde patiënt."), in_error=True
        )


def _allergies(stay: _Stay) -> None:
    chart = stay.chart
    for entry in stay.told.allergies:
        stay.registered(problems.allergy(chart, entry), 900)
    if chart.chance(0.04):
        wrong = next(entry for entry in ALLERGIES if entry not in stay.told.allergies)
        problems.allergy(chart, wrong, in_error=True)


def _devices(stay: _Stay) -> None:
    chart = stay.chart
    for story in stay.told.stories:
        for entry in story.devices:
            if entry.code.code not in stay.devices:
                reason = stay.problem(story, 0) if entry.code in _IMPLANTS.values() else None
                _, product = procedures.device(chart, entry, stay.doctor(story), indication=reason)
                stay.devices[entry.code.code] = product


def _functioning(stay: _Stay) -> None:
    chart = stay.chart
    for story in stay.told.stories:
        if chart.chance(0.7):
            for what, degree, comment in story.functioning:
                lifestyle.status(chart, what, degree, comment)
        for what, degree, comment in story.mental:
            lifestyle.status(chart, what, degree, comment, mental=True)
    if not any(story.mental for story in stay.told.stories) and chart.chance(0.3):
        lifestyle.status(
            chart, c.COGNITION, c.MILD, "Helder en adequaat; vergeet soms een naam.", mental=True
        )


def _habits(stay: _Stay) -> None:
    chart, told = stay.chart, stay.told
    if chart.chance(0.75):
        lifestyle.living_situation(chart, told.living)
    if chart.chance(0.6):
        lifestyle.drug_use(chart, told.drugs)
    if chart.chance(0.8):
        lifestyle.alcohol_use(chart, told.alcohol)
    if chart.chance(0.85):
        lifestyle.tobacco_use(chart, told.tobacco)
    for story in told.stories:
        if story.diet[0] and chart.chance(0.6):
            lifestyle.nutrition_advice(chart, *story.diet)


def medicines(told: History) -> list[tuple[Story, MedicineEntry]]:
    """Everything in use, each product once."""
    found: dict[str, tuple[Story, MedicineEntry]] = {}
    for story in told.stories:
        for entry in story.medicines:
            found.setdefault(entry.product, (story, entry))
    return list(found.values())


def _medication(stay: _Stay) -> None:
    chart = stay.chart
    in_use = medicines(stay.told)
    for story, entry in in_use:
        reason = stay.problem(story, entry.reason)
        agreed = medication.agreement(chart, entry, stay.doctor(story), reason=reason)
        medication.use(chart, entry, stay.doctor(story))
        if chart.chance(0.8):
            medication.administration_agreement(chart, entry, agreed=agreed)
        if chart.chance(0.5):
            stay.registered(agreed, entry.since)
    if chart.chance(0.04):
        story, entry = in_use[0]
        medication.use(chart, entry, stay.doctor(story), in_error=True)


def _vaccinations(stay: _Stay) -> None:
    for entry in stay.told.vaccines:
        if stay.chart.chance(0.6):
            procedures.vaccination(stay.chart, entry)


def _measurements(stay: _Stay) -> None:
    chart, told = stay.chart, stay.told
    systolic, diastolic = told.stories[0].pressure
    for days_ago in sorted(chart.rng.sample(range(4, 700), chart.rng.randint(4, 7)), reverse=True):
        high = systolic + chart.rng.randint(-14, 14)
        low = diastolic + chart.rng.randint(-9, 9)
        when = chart.moment(chart.since_birth(days_ago))
        measurements.blood_pressure(chart, high, low, when, lying=chart.rng.random() < 0.2)
    for days_ago in sorted(chart.rng.sample(range(6, 500), chart.rng.randint(3, 5)), reverse=True):
        weight = told.weight + chart.rng.uniform(-2.5, 2.5)
        measurements.body_weight(chart, weight, chart.moment(chart.since_birth(days_ago)))
    if chart.chance(0.08):
        measurements.body_weight(
            chart, float(told.height), chart.moment(chart.since_birth(510)), in_error=True
        )
    if chart.chance(0.9):
        measurements.body_height(chart, told.height, chart.moment(chart.since_birth(500)))


def _laboratory(stay: _Stay) -> None:
    chart = stay.chart
    for story in stay.told.stories:
        for place, key in enumerate(story.panels):
            for days_ago in (400, 34)[: 2 if place == 0 else 1]:
                on = days_ago + chart.rng.randint(0, 12)
                laboratory.panel(chart, key, on, story.results)


def _procedures(stay: _Stay) -> None:
    chart = stay.chart
    for story in stay.told.stories:
        doctor = stay.doctor(story)
        for entry in story.procedures:
            if not chart.chance(0.85):
                continue
            reason = stay.problem(story, entry.problem)
            order = procedures.request(
                chart, entry.code, doctor, status="completed", reason=reason,
                authored=chart.moment(chart.since_birth(entry.days_ago + 1)),
            )  # fmt: skip
            implant = _IMPLANTS.get(entry.code)
            left = stay.devices.get(implant.code) if implant else None
            done = procedures.procedure(chart, entry, doctor, ordered=order, reason=reason, device=left)
            stay.registered(done, entry.days_ago)
        if chart.chance(0.6):
            _plan(stay, story, doctor)


def _plan(stay: _Stay, story: Story, doctor: Professional) -> None:
    """A procedure in the coming weeks."""
    chart = stay.chart
    ahead = chart.rng.randint(7, 60)
    procedures.request(
        chart,
        story.planned,
        doctor,
        status="active",
        authored=chart.moment(chart.rng.randint(1, 20)),
        planned=(chart.day(-ahead), chart.day(-ahead)),
        reason=stay.problem(story, 0),
    )


def _encounters(stay: _Stay) -> None:
    chart = stay.chart
    for story in stay.told.stories:
        for visit in story.visits:
            who = chart.staff("SEH-arts") if visit.kind == "EMER" else stay.doctor(story)
            written = administration.encounter(
                chart,
                visit.kind,
                visit.days_ago + chart.rng.randint(0, 2),
                who,
                days=visit.days,
                diagnosis=stay.problem(story, visit.problem),
                reason=visit.reason,
                destination=visit.destination,
            )
            if visit.kind == "IMP":
                stay.registered(written, visit.days_ago)


def _care_team(stay: _Stay) -> None:
    chart = stay.chart
    if chart.chance(0.8):
        members = {stay.doctor(story).number: stay.doctor(story) for story in stay.told.stories}
        nurse = chart.staff("Verpleegkundige")
        team = [*members.values(), nurse]
        administration.care_team(chart, team, f"Behandelteam {team[0].function.lower()}")
