"""A form as somebody filled it in: what was typed, and what is wrong with it in plain words at each field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from schakel.kernel.outcomes import Invalid
from schakel.roadmap.model import Text

FAULTS: Final[Mapping[str, Text]] = {
    "text-needed": Text("Vul dit in.", "Fill this in."),
    "text-long": Text("Deze tekst is te lang.", "This text is too long."),
    "text-odd": Text(
        "Hier staan tekens in die niet te tonen zijn.", "This has characters that cannot be shown."
    ),
    "day-form": Text(
        "Dit is geen dag. Schrijf die als 2026-01-31.", "This is no day. Write it as 2026-01-31."
    ),
    "claim-unknown": Text("Kies een van de drie.", "Choose one of the three."),
    "on-future": Text(
        "Deze dag is nog niet geweest. Verklaar wat nu zo is.",
        "This day is still to come. Declare what is so now.",
    ),
    "until-past": Text(
        "Deze dag is al geweest. Kies een dag die nog komt.", "This day is over. Choose one that is to come."
    ),
    "until-far": Text(
        "Dat is te ver weg. Een verklaring telt hoogstens twee jaar.",
        "That is too far away. A declaration counts for two years at most.",
    ),
    "suitability-unknown": Text("Kies een van de drie.", "Choose one of the three."),
    "decided-future": Text("Deze dag is nog niet geweest.", "This day is still to come."),
    "decided-early": Text("Deze dag ligt voor 1990.", "This day lies before 1990."),
    "link-form": Text(
        "Een adres begint met https:// of http://.", "An address begins with https:// or http://."
    ),
    "step-unknown": Text("De routekaart heeft deze stap niet.", "The roadmap has no such step."),
    "item-unknown": Text("De routekaart heeft dit punt niet.", "The roadmap has no such item."),
    "member-unknown": Text(
        "Deze organisatie staat niet op het bord van de regio.",
        "This organisation is not on the board of the region.",
    ),
    "ura-invalid": Text("Dit is geen URA-nummer.", "This is no URA number."),
    "progress-unknown": Text("Kies een van de vier.", "Choose one of the four."),
    "action-changed": Text(
        "Iemand anders heeft deze actie intussen gewijzigd. Hieronder staat wat u invulde, met daarboven hoe de actie "
        "nu is. Bewaar opnieuw als het zo moet worden.",
        "Someone else changed this action in the meantime. Below is what you filled in, above it how the action is "
        "now. Save again if it should become so.",
    ),
    "due-early": Text("Het einde ligt voor het begin.", "The end lies before the beginning."),
}
"""What a person reads of what is wrong, by its code."""

_OTHER: Final = Text("Dit klopt niet.", "This is not right.")


def said(fault: Invalid) -> Text:
    """What a person reads of it."""
    return FAULTS.get(fault.kind, _OTHER)


@dataclass(frozen=True, slots=True)
class Filled:
    """What was typed, and what is wrong, both by the name of the field; nothing yet when the form is new."""

    values: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, Text] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, str], faults: Iterable[Invalid]) -> Filled:
        """The form with the first fault of each field."""
        told: dict[str, Text] = {}
        for one in faults:
            told.setdefault(one.expression, said(one))
        return cls(values, told)


def day(name: str, value: str) -> date:
    """The day that was typed. Raises `Invalid` naming the field: empty, or no day."""
    if not value.strip():
        raise Invalid(f"{name} is needed", code="text-needed", expression=name)
    with suppress(ValueError):
        return date.fromisoformat(value.strip())
    raise Invalid(f"{name} is no date, such as 2026-01-31", code="day-form", expression=name)


def day_or_none(name: str, value: str) -> date | None:
    """As `day`; None for nothing."""
    return day(name, value) if value.strip() else None
