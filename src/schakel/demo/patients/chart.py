"""One patient's record at one organisation, to which the zib builders add resources."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from schakel.demo.cast import GENERAL_PRACTICE, Organisation, Professional
from schakel.demo.patients.elements import NICTIZ, Json, Link, day, extension, moment, period, reference
from schakel.demo.patients.entries import MedicineEntry
from schakel.demo.people import Person
from schakel.fhir.json import Resource


def organisation_link(place: Organisation) -> Link:
    return Link(f"Organization/organization-{place.ura}", place.name)


def practitioner_link(who: Professional) -> Link:
    return Link(f"Practitioner/practitioner-{who.number}", who.name)


def role_link(who: Professional) -> Link:
    return Link(f"PractitionerRole/practitionerrole-{who.number}", f"{who.name}, {who.function}")


def professional(who: Professional) -> Json:
    """A reference to a practitioner with the extension that names the role, as nl-core asks."""
    role = extension(NICTIZ + "practitionerrole-reference", valueReference=reference(role_link(who)))
    return {"extension": [role], **reference(practitioner_link(who))}


@dataclass
class Chart:
    """The resources of one person at one organisation, in the order in which they were added.

    `rng` is this chart's own source of chance. `complete` asks for every kind of information that the
    organisation can hold; otherwise kinds are left out by chance. All of a chart is of one FHIR version; what
    an organisation keeps in another version stands in a chart of its own.
    """

    person: Person
    holder: Organisation
    gp: Professional
    today: date
    rng: random.Random
    complete: bool
    resources: list[Resource] = field(default_factory=list)
    _numbers: Counter[str] = field(default_factory=Counter)

    @property
    def patient(self) -> Link:
        return Link(f"Patient/{self.key('patient')}", self.person.name.display)

    @property
    def subject(self) -> Json:
        """A new reference to the patient."""
        return reference(self.patient)

    def key(self, kind: str) -> str:
        """The id of this person's one resource of a kind."""
        return f"{kind}-{self.holder.short}-{self.person.number:05d}"

    def add(
        self, kind: str, resource_type: str, profiles: Sequence[str], members: Json, display: str
    ) -> Link:
        """Add a resource of `profiles` with the next free id of `kind`; the link to it is returned.

        Members that are None or an empty list are left out.
        """
        self._numbers[kind] += 1
        identity = self.key(kind) if kind == "patient" else f"{self.key(kind)}-{self._numbers[kind]}"
        resource: Resource = {
            "resourceType": resource_type,
            "id": identity,
            "meta": {"profile": list(profiles)},
        }
        for name, value in members.items():
            if value is not None and value != []:
                resource[name] = value
        self.resources.append(resource)
        return Link(f"{resource_type}/{identity}", display)

    def chance(self, share: float) -> bool:
        """True in this share of the charts, and always in a complete one."""
        return self.complete or self.rng.random() < share

    def staff(self, function: str) -> Professional:
        """The professional of this organisation with that title, else its first one."""
        staff = self.holder.professionals
        return next((who for who in staff if who.function == function), staff[0])

    def day(self, days_ago: int) -> str:
        return day(self.today, days_ago)

    def moment(self, days_ago: int, hour: int | None = None) -> str:
        """A clock time on that day: in this hour, or in a chance hour of the working day."""
        at = self.rng.randint(8, 16) if hour is None else hour
        return moment(self.today, days_ago, at, self.rng.choice((0, 5, 10, 15, 20, 30, 40, 45)))

    @property
    def age(self) -> int:
        return self.person.age(self.today)

    def since_birth(self, days_ago: int) -> int:
        """`days_ago`, but not before the person was born."""
        return max(0, min(days_ago, (self.today - self.person.birth_date).days - 1))


def in_use(chart: Chart, entry: MedicineEntry) -> Json:
    """The period in which a medicine is used: without the last day when it still is."""
    since = chart.since_birth(entry.since)
    return period(chart.day(since), chart.day(max(0, since - entry.days)) if entry.days else None)


def treatment(chart: Chart, entry: MedicineEntry) -> Json:
    """The identifier of a pharmaceutical treatment, which is the same wherever it is written about."""
    value = f"{chart.person.number:05d}-{entry.product}"
    return {"system": f"{GENERAL_PRACTICE.site}/id/medication-treatment", "value": value}


def referred(chart: Chart, kind: str, code: str) -> Json:
    """The identifier that the GP gave a problem or an allergy; it goes along with every referral, so that it is the
    same wherever this is written about."""
    return {"system": f"{GENERAL_PRACTICE.site}/id/{kind}", "value": f"{chart.person.number:05d}-{code}"}


GP_OFFICE = organisation_link(GENERAL_PRACTICE)
