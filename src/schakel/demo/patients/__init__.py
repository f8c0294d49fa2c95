"""The patients of the demo region: synthetic Dutch people with zib-2017-shaped STU3 resources.

`region(patients, seed, today=...)` decides who lives there and who knows them; `Region.resources(slug)` then
gives the resources that one organisation holds. The same seed, number and day always give the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from schakel.demo import cast
from schakel.demo.patients.chart import Chart
from schakel.demo.patients.history import History, history
from schakel.demo.patients.sectors import WITH_MEDICINES, WRITERS
from schakel.demo.patients.zibs import administration, medication
from schakel.demo.people import LEADS, Person, persons
from schakel.fhir.json import Resource

__all__ = ["NamedPatient", "Region", "named_patients", "region"]


@dataclass(frozen=True, slots=True)
class NamedPatient:
    """A patient to begin with: where someone is known by slug, and what they have in one Dutch line."""

    bsn: str
    name: str
    birth_date: date
    known_at: tuple[str, ...]
    story: str


@dataclass(frozen=True, slots=True)
class Region:
    """Who lives in the region on one day, with their histories, ordered by number."""

    seed: int
    today: date
    histories: tuple[History, ...]

    @property
    def persons(self) -> tuple[Person, ...]:
        return tuple(told.person for told in self.histories)

    def known_at(self, slug: str) -> tuple[Person, ...]:
        """The persons of whom that organisation has a chart."""
        return tuple(told.person for told in self.histories if slug in told.known_at)

    def shared(self, slug: str) -> Iterator[Resource]:
        """What all charts of that organisation refer to; nothing when it knows nobody."""
        holder = cast.organisation(slug)
        if self.known_at(holder.slug):
            yield from administration.shared(holder)
            if holder.sector in WITH_MEDICINES:
                yield from medication.products()

    def chart(self, slug: str, person: Person) -> list[Resource]:
        """The resources about one person at that organisation, the Patient first; none when unknown there."""
        holder = cast.organisation(slug)
        told = self.histories[person.number - 1]
        if holder.slug not in told.known_at:
            return []
        written = Chart(
            person=person,
            holder=holder,
            gp=told.gp,
            today=self.today,
            rng=random.Random(f"{self.seed}/chart/{person.number}/{holder.slug}"),
            complete=told.complete,
        )
        WRITERS[holder.sector](written, told)
        return written.resources

    def resources(self, slug: str) -> Iterator[Resource]:
        """Everything that organisation holds: what is shared, then chart after chart.

        Every resource has an id of its own and refers only to resources of the same organisation. Raises
        `KeyError` for an organisation that is not in the cast.
        """
        yield from self.shared(slug)
        for person in self.known_at(slug):
            yield from self.chart(slug, person)


def region(patients: int, seed: int = 1, *, today: date) -> Region:
    """A region of that many patients, as it is on `today` (a day in the Netherlands).

    The first patients are the same whatever the number. Raises `ValueError` for a number that the range of
    test BSNs does not allow.
    """
    return Region(
        seed, today, tuple(history(person, seed, today) for person in persons(patients, seed, today))
    )


def named_patients(where: Region) -> tuple[NamedPatient, ...]:
    """The first patients, known at both hospitals with a complete BgZ; fewer when the region has fewer."""
    return tuple(
        NamedPatient(
            bsn=told.person.bsn,
            name=told.person.name.display,
            birth_date=told.person.birth_date,
            known_at=tuple(place.slug for place in cast.ORGANISATIONS if place.slug in told.known_at),
            story=", ".join(story.problems[0].code.display for story in told.stories),
        )
        for told in where.histories[: len(LEADS)]
    )
