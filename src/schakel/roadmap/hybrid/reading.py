"""Rows of a file as pathways and people. Strict: an unknown column, code or date is an error that names its row and
column, and then nothing of the file is taken. A cell with something of a person is never repeated in an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime
from typing import Literal, TypeVar

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel.roadmap.hybrid.model import (
    ENDINGS,
    EXCLUSIONS,
    LAYER_STATES,
    LAYERS,
    SUITABILITIES,
    Blocks,
    Choice,
    Decision,
    Digitised,
    Digizo,
    LayerState,
    Pathway,
    Person,
    Suitability,
)
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms, is_pseudonym
from schakel.roadmap.tables import Row, columns_of, member_of

PATHWAY_COLUMNS = (
    "id",
    "name",
    "sector",
    "specialism",
    "condition",
    "suitability",
    "decided_by",
    "decided_on",
    "reason",
    "intramural",
    "zmsc",
    "excludes",
    "digizo_reference",
    "digizo_choice",
    "digizo_reason",
    "indication",
    "plan",
)
"""Columns of a file of pathways, beside one for each block (its code), `<code>_source` and `layer_<name>`."""

PERSON_COLUMNS = (
    "pathway",
    "pseudonym",
    "bsn",
    "eligible_from",
    "eligible_until",
    "exclusion",
    "enrolled_from",
    "enrolled_until",
    "last_event",
    "ended_reason",
    "earlier_events",
)
"""Columns of a file of people; one of pseudonym and bsn."""

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^|,]+\|[^|,]+")
_PLAN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^|,]+(?:\|[^|,]+)?")
_YES, _NO = ("yes", "ja", "x", "true"), ("", "no", "nee", "false")
_EARLIEST = date(1990, 1, 1)

W = TypeVar("W", bound=str)

Kind = Literal["pathways", "people"]
KINDS: Mapping[str, Kind] = {"pathways": "pathways", "people": "people"}
"""What a file may be about, by the member of a JSON object that has its rows."""


def kind_of(body: bytes) -> Kind:
    """What a file is about: people when its rows have a pseudonym or a BSN. Raises `Invalid`."""
    if member := member_of(body, KINDS):
        return KINDS[member]
    return "people" if columns_of(body) & {"pseudonym", "bsn"} else "pathways"


def pathways(rows: Iterable[Row], ura: str, blocks: Blocks, today: date) -> list[Pathway]:
    """The pathways of the organisation `ura`. Raises `Invalid`."""
    codes = {block.code.lower(): block.code for block in blocks.blocks}
    found: dict[str, str] = {}
    made = []
    for row in rows:
        pathway = _pathway(row, ura, codes, today)
        if pathway.id in found:
            raise row.wrong("id", f"the pathway {pathway.id} is also in {found[pathway.id]}")
        found[pathway.id] = row.place
        made.append(pathway)
    return made


def _pathway(row: Row, ura: str, codes: Mapping[str, str], today: date) -> Pathway:
    sources = {f"{low}_source": code for low, code in codes.items()}
    layers = {f"layer_{name}": name for name in LAYERS}
    _known(row, {*PATHWAY_COLUMNS, *codes, *sources, *layers}, "blocks of the region")
    suitability: Suitability = _one_of(row, "suitability", SUITABILITIES)
    if suitability != "undecided":
        _needed(row, "reason")
    digitised = []
    for low, code in codes.items():
        is_digitised, since = _since(row, low, today)
        source = row.cells.get(f"{low}_source", "")
        if source and not is_digitised:
            raise row.wrong(f"{low}_source", f"there is a source, but {code} is not digitised")
        if is_digitised:
            digitised.append(Digitised(code, since, source))
    excludes = frozenset(re.split(r"[\s|]+", row.cells.get("excludes", "").strip())) - {""}
    if unknown := sorted(excludes - set(EXCLUSIONS)):
        raise row.wrong("excludes", f"{unknown[0][:40]!r} is not known; known are {', '.join(EXCLUSIONS)}")
    if not _ID.fullmatch(name := _needed(row, "id")):
        raise row.wrong("id", "an id has lower-case letters, digits and '-', at most 64")
    return Pathway(
        id=name,
        ura=ura,
        name=_needed(row, "name"),
        sector=_needed(row, "sector"),
        specialism=row.cells.get("specialism", ""),
        condition=row.cells.get("condition", ""),
        decision=Decision(
            suitability,
            _needed(row, "decided_by"),
            _day(row, "decided_on", today),
            row.cells.get("reason", ""),
        ),
        digitised=tuple(digitised),
        layers={name: _layer(row, column) for column, name in layers.items()},
        digizo=_digizo(row),
        intramural=_yes_no(row, "intramural"),
        zmsc=row.cells.get("zmsc", ""),
        excludes=excludes,
        indication=_rules(row, "indication", _CODE, "codes of a Condition as system|code"),
        plan=_rules(row, "plan", _PLAN, "canonicals of a PlanDefinition, or categories as system|code"),
    )


def _rules(row: Row, column: str, form: re.Pattern[str], words: str) -> tuple[str, ...]:
    """What a rule names, each once, in the order of the cell."""
    found = tuple(dict.fromkeys(row.cells.get(column, "").split()))
    if wrong := next((one for one in found if not form.fullmatch(one)), None):
        raise row.wrong(column, f"{wrong[:60]!r} is not known: it has {words}, with spaces between")
    return found


def _digizo(row: Row) -> Digizo:
    choice: Choice = _one_of(row, "digizo_choice", ("", "apply", "explain"))
    digizo = Digizo(row.cells.get("digizo_reference", ""), choice, row.cells.get("digizo_reason", ""))
    if choice == "explain" and not digizo.reason:
        raise row.wrong("digizo_reason", "explain needs a reason")
    if choice and not digizo.reference:
        raise row.wrong("digizo_reference", f"{choice} needs the entry that it is about")
    return digizo


def people(
    rows: Iterable[Row], ura: str, known: frozenset[str], pseudonyms: Pseudonyms, today: date
) -> list[Person]:
    """The people of the pathways `known` (ids) of the organisation `ura`, with BSNs turned into pseudonyms. Raises
    `Invalid`."""
    found: dict[tuple[str, str, date], str] = {}
    made = []
    for row in rows:
        person = _person(row, ura, known, pseudonyms, today)
        key = (person.pathway, person.pseudonym, person.eligible_from)
        if key in found:
            raise row.wrong("eligible_from", f"{found[key]} has the same person, pathway and date")
        found[key] = row.place
        made.append(person)
    return made


def _person(row: Row, ura: str, known: frozenset[str], pseudonyms: Pseudonyms, today: date) -> Person:
    _known(row, set(PERSON_COLUMNS))
    pathway = _needed(row, "pathway")
    if pathway not in known:
        raise row.wrong(
            "pathway", f"{pathway[:64]!r} is not a pathway of this organisation: send its pathways first"
        )
    person = Person(
        ura=ura,
        pathway=pathway,
        pseudonym=_pseudonym(row, pseudonyms),
        eligible_from=_day(row, "eligible_from", date.max),
        eligible_until=_maybe_day(row, "eligible_until"),
        exclusion=_one_of(row, "exclusion", ("", *EXCLUSIONS)),
        enrolled_from=_maybe_day(row, "enrolled_from", today),
        enrolled_until=_maybe_day(row, "enrolled_until"),
        last_event=_maybe_day(row, "last_event", today),
        ended_reason=_one_of(row, "ended_reason", ("", *ENDINGS)),
        earlier_events=_days(row, "earlier_events", today),
    )
    _in_order(row, person, today)
    return person


def _in_order(row: Row, person: Person, today: date) -> None:
    """Raises `Invalid` for dates and reasons that contradict each other."""
    if person.eligible_until is not None and person.eligible_until < person.eligible_from:
        raise row.wrong("eligible_until", "it is before eligible_from")
    begun = person.enrolled_from
    if begun is None:
        for column in ("enrolled_until", "last_event", "ended_reason", "earlier_events"):
            if row.cells.get(column):
                raise row.wrong(column, "it needs enrolled_from: someone who does not take part has none")
        return
    if begun < person.eligible_from or (person.eligible_until is not None and begun > person.eligible_until):
        raise row.wrong("enrolled_from", "it is not between eligible_from and eligible_until")
    if person.enrolled_until is not None and person.enrolled_until < begun:
        raise row.wrong("enrolled_until", "it is before enrolled_from")
    if person.last_event is not None and person.last_event < begun:
        raise row.wrong("last_event", "it is before enrolled_from")
    if person.earlier_events and (
        person.last_event is None or max(person.earlier_events) >= person.last_event
    ):
        raise row.wrong("earlier_events", "each is before last_event")
    if person.earlier_events and min(person.earlier_events) < begun:
        raise row.wrong("earlier_events", "one is before enrolled_from")
    if person.ended_reason and person.enrolled_until is None:
        raise row.wrong("ended_reason", "it needs enrolled_until")
    if person.exclusion and (person.enrolled_until is None or person.enrolled_until > today):
        raise row.wrong(
            "exclusion", "who takes part is not excluded: fill in enrolled_until, or take this away"
        )


def _pseudonym(row: Row, pseudonyms: Pseudonyms) -> str:
    given, bsn = row.cells.get("pseudonym", ""), row.cells.get("bsn", "")
    if bool(given) == bool(bsn):
        raise row.wrong("pseudonym", "exactly one of pseudonym and bsn is needed")
    if given:
        if not is_pseudonym(given):
            raise row.wrong(
                "pseudonym", "a pseudonym has 16 to 128 letters, digits, '-' and '_', and is no number alone"
            )
        return given
    try:
        number = Bsn(bsn)
    except Invalid:
        raise row.wrong("bsn", "it is not a BSN: nine digits that pass the 11-proef are needed") from None
    return pseudonyms.of(number)


def _known(row: Row, known: set[str], beside: str = "") -> None:
    if unknown := sorted(set(row.cells) - known):
        raise row.wrong(
            unknown[0][:40], f"this column is not known{f', nor among the {beside}' if beside else ''}"
        )


def _needed(row: Row, column: str) -> str:
    if not (value := row.cells.get(column, "")):
        raise row.wrong(column, "it is needed")
    return value


def _yes_no(row: Row, column: str) -> bool:
    value = row.cells.get(column, "").lower()
    if value not in (*_YES, *_NO):
        raise row.wrong(column, "it is yes or no")
    return value in _YES


def _since(row: Row, column: str, today: date) -> tuple[bool, date | None]:
    """Whether a block is digitised, and since when, when that is told."""
    value = row.cells.get(column, "").lower()
    if value in _NO:
        return False, None
    return True, None if value in _YES else _maybe_day(
        row, column, today, "it is yes, no, or the date since when"
    )


def _layer(row: Row, column: str) -> LayerState:
    return _one_of(row, column, LAYER_STATES) if row.cells.get(column) else "not-told"


def _one_of(row: Row, column: str, words: Collection[W]) -> W:
    value = row.cells.get(column, "").lower()
    for word in words:
        if word == value:
            return word
    raise row.wrong(column, f"it is one of {', '.join(filter(None, words))}")


def _day(row: Row, column: str, latest: date) -> date:
    """A date that must be there, not after `latest`."""
    _needed(row, column)
    found = _maybe_day(row, column, latest)
    assert found is not None
    return found


def _maybe_day(row: Row, column: str, latest: date = date.max, form: str = "") -> date | None:
    """A date, as 2026-01-31 or 31-01-2026; None for an empty cell. `form` says what the cell may be, when it is not a
    date alone."""
    value = row.cells.get(column, "")
    return _as_day(row, column, value, latest, form) if value else None


def _days(row: Row, column: str, latest: date) -> tuple[date, ...]:
    """Dates with spaces between, each once and in their order."""
    return tuple(sorted({_as_day(row, column, one, latest, "") for one in row.cells.get(column, "").split()}))


def _as_day(row: Row, column: str, value: str, latest: date, form: str) -> date:
    for shape in ("%Y-%m-%d", "%d-%m-%Y"):
        with suppress(ValueError):
            found = datetime.strptime(value, shape).date()
            if found < _EARLIEST:
                raise row.wrong(column, f"it is before {_EARLIEST}")
            if found > latest:
                raise row.wrong(column, "it is in the future")
            return found
    raise row.wrong(column, form or "it is not a date, such as 2026-01-31 or 31-01-2026")
