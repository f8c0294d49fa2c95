"""The patients of the demo region: synthetic Dutch people with resources in the shape of the zibs.

`region(patients, seed, today=...)` decides who lives there and who knows them; `Region.resources(slug, version)`
then gives the resources that one organisation holds in STU3 (zib 2017) or R4 (zib 2020). Both come from one
history of each person. The same seed, number and day always give the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from schakel.demo import cast
from schakel.demo.patients.chart import Chart
from schakel.demo.patients.history import History, history
from schakel.demo.patients.sectors import WRITERS, shared
from schakel.demo.people import LEADS, Person, persons
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource

__all__ = ["NamedPatient", "Region", "named_patients", "region", "versions_at"]


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

    def shared(self, slug: str, version: Version = "stu3") -> Iterator[Resource]:
        """What all charts of that organisation in that version refer to; nothing when it has none."""
        holder = cast.organisation(slug)
        if version in WRITERS[holder.sector] and self.known_at(holder.slug):
            yield from shared(holder, version)

    def chart(self, slug: str, person: Person, version: Version = "stu3") -> list[Resource]:
        """The resources about one person at that organisation in that version, the Patient first.

        None when the person is unknown there, or the organisation keeps nothing in that version.
        """
        holder = cast.organisation(slug)
        told = self.histories[person.number - 1]
        write = WRITERS[holder.sector].get(version)
        if write is None or holder.slug not in told.known_at:
            return []
        stream = f"{self.seed}/chart/{person.number}/{holder.slug}"
        written = Chart(
            person=person,
            holder=holder,
            gp=told.gp,
            today=self.today,
            rng=random.Random(stream if version == "stu3" else f"{stream}/{version}"),
            complete=told.complete,
        )
        write(written, told)
        return written.resources

    def resources(self, slug: str, version: Version = "stu3") -> Iterator[Resource]:
        """Everything that organisation holds in that version: what is shared, then chart after chart.

        Every resource has an id of its own and refers only to resources of the same organisation and version,
        or to another organisation's by identifier. Raises `KeyError` for an organisation that is not in the
        cast.
        """
        yield from self.shared(slug, version)
        for person in self.known_at(slug):
            yield from self.chart(slug, person, version)


def versions_at(slug: str) -> tuple[Version, ...]:
    """The FHIR versions in which that organisation keeps what it has."""
    return tuple(WRITERS[cast.organisation(slug).sector])


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
