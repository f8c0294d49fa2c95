"""What the records of the demo's organisations have of those who take part in hybrid care: a care plan that follows the
pathway, and questionnaires that were filled in at home.

It goes with the rules of `hybrid`, so that a count of the record finds whom the record knows. It is made from the
charts of the region and follows from its day and seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from schakel.demo import cast
from schakel.demo.doors import FHIR_JSON, Client
from schakel.demo.loading import MOST_RESOURCES, transaction
from schakel.demo.patients import Region
from schakel.demo.people import Person
from schakel.demo.roadmap.hybrid import Rule, rules
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Fault

_JOINS = 0.7
"""Which share of those with the indication has a care plan."""

_ACTIVE = 0.8
"""In which share of the months someone with a care plan fills in the questionnaire."""

_QUESTION = "Gaat het vandaag slechter dan gisteren?"


def programme(where: Region, organisation: cast.Organisation) -> Iterator[Resource]:
    """What an organisation has in its STU3 record of the people in its pathways with rules."""
    if not (counted := rules(organisation)):
        return
    for person in where.known_at(organisation.slug):
        has = _indications(where.chart(organisation.slug, person))
        for rule in counted:
            stream = f"{where.seed}/hybrid/{rule.pathway}/{organisation.slug}/{person.number}"
            chance = random.Random(stream)
            if not has.isdisjoint(rule.indication) and chance.random() < _JOINS:
                yield from _taking_part(organisation, person, rule, where.today, chance)


async def send(
    client: Client, address: str, key: str, where: Region, organisation: cast.Organisation
) -> None:
    """Writes that to the record of an organisation through its internal `address`. Raises `Fault` when it is
    refused."""
    resources = list(programme(where, organisation))
    for place in range(0, len(resources), MOST_RESOURCES):
        reply = await client.send(
            "POST",
            f"{address}/fhir/stu3",
            headers={"X-API-Key": key, "Content-Type": FHIR_JSON},
            data=transaction(resources[place : place + MOST_RESOURCES]),
        )
        if reply.status != 200:
            raise Fault(f"{organisation.slug} refused the care plans of hybrid care: {reply.said()}")


def _indications(chart: Iterable[Resource]) -> frozenset[str]:
    """The codes of the conditions that someone has now, as `system|code`."""
    return frozenset(
        f"{coding['system']}|{coding['code']}"
        for one in chart
        if one["resourceType"] == "Condition" and one["clinicalStatus"] == "active"
        for coding in one["code"]["coding"]
    )


def _taking_part(
    organisation: cast.Organisation, person: Person, rule: Rule, today: date, chance: random.Random
) -> Iterator[Resource]:
    begun = chance.randint(40, 500)
    patient = f"Patient/patient-{organisation.short}-{person.number:05d}"
    name = f"{organisation.short}-{person.number:05d}-{rule.pathway}"
    yield {
        "resourceType": "CarePlan",
        "id": f"careplan-{name}",
        "status": "active",
        "intent": "plan",
        "title": rule.name,
        "definition": [{"reference": rule.plan}],
        "subject": {"reference": patient},
        "period": {"start": (today - timedelta(days=begun)).isoformat()},
    }
    for number, ago in enumerate(range(begun - 7, 0, -30), 1):
        if chance.random() < _ACTIVE:
            yield {
                "resourceType": "QuestionnaireResponse",
                "id": f"questions-{name}-{number}",
                "status": "completed",
                "subject": {"reference": patient},
                "authored": (today - timedelta(days=ago)).isoformat(),
                "author": {"reference": patient},
                "item": [
                    {
                        "linkId": "1",
                        "text": _QUESTION,
                        "answer": [{"valueBoolean": chance.random() < 0.15}],
                    }
                ],
            }
