"""A roadmap as JSON: read, written, and the one that comes with the program.

The form is that of `roadmap.model`: each value an object with a member for each of its fields, each day as YYYY-MM-DD.
Only `checks` and `unseen` of a step, and `certainty`, `unit` and `sectors` of a target may be left out. Reading is
strict, since a slip in a file may not quietly take an item off the board: each thing that is wrong is an error that
names its place in the file and what to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from math import isfinite
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from schakel.kernel.outcomes import Invalid
from schakel.roadmap.model import Item, Kpi, Link, Roadmap

SHIPPED: Final = "iza-2025-06.json"
"""The file of the roadmap that comes with the program."""

_FORM = TypeAdapter(with_config(ConfigDict(extra="forbid", strict=True))(Roadmap))
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,38}[A-Za-z0-9])?", re.ASCII)
_TO_DO: Final = {
    "missing": "is missing: add it",
    "unexpected_keyword_argument": "is not known: leave it out, or look for a slip in its name",
    "date_parsing": "is no day: write it as YYYY-MM-DD",
    "date_type": "is no day: write it as YYYY-MM-DD, or null when it is not known",
}


@dataclass(frozen=True, slots=True)
class RoadmapLimits:
    """How large a roadmap may be: bytes of the file, items, and characters of one text
    (settings `roadmap.file_bytes`, `items` and `characters`)."""

    size: int = 4_000_000
    items: int = 500
    characters: int = 2_000


DEFAULT: Final = RoadmapLimits()


@cache
def shipped() -> Roadmap:
    """The roadmap that comes with the program."""
    return read(shipped_body())


@cache
def shipped_body() -> bytes:
    """The file of `shipped`."""
    return files("schakel.roadmap").joinpath("data", SHIPPED).read_bytes()


def dump(roadmap: Roadmap) -> bytes:
    """The roadmap as JSON; `read` gives the same roadmap back."""
    return _FORM.dump_json(roadmap, indent=2) + b"\n"


def read(body: bytes, limits: RoadmapLimits = DEFAULT) -> Roadmap:
    """The roadmap in a file. Raises `Invalid` naming the place of the first thing that is wrong, as a JSON path."""
    if len(body) > limits.size:
        _refuse(
            "$",
            f"has {len(body)} bytes, and at most {limits.size} are read (roadmap.file_bytes): make it smaller",
        )
    written = _parsed(body)
    try:
        roadmap = _FORM.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        why = first["msg"].replace("Input should be", "must be")
        _refuse(_path(first["loc"]), _TO_DO.get(first["type"], why[:1].lower() + why[1:]))
    for check in (_texts, _names, _references, _numbers):
        check(roadmap, limits)
    for number, item in enumerate(roadmap.items):
        _days(item, f"$.items[{number}].dates", written["items"][number]["dates"])
    return roadmap


def _refuse(path: str, why: str) -> NoReturn:
    raise Invalid(f"the roadmap cannot be read: {path} {why}", code="roadmap-invalid", expression=path)


def _path(parts: tuple[str | int, ...]) -> str:
    """The place in the file, such as `$.items[3].steps[0].text.nl`."""
    path = "$"
    for part in parts:
        plain = isinstance(part, str) and re.fullmatch(r"\w{1,40}", part, re.ASCII)
        path += f".{part}" if plain else f"[{part}]" if isinstance(part, int) else f"[{str(part)[:40]!r}]"
    return path


# -- the text of the file ------------------------------------------------------------------------------------


def _parsed(body: bytes) -> Any:
    """The JSON as it is written. Raises `Invalid` for what is no JSON, and for a member that is there twice."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_constant)
    except UnicodeDecodeError as error:
        _refuse("$", f"is not UTF-8 from byte {error.start} on: save it as UTF-8")
    except RecursionError:
        _refuse("$", "is nested far deeper than a roadmap is: see the form in the documentation")
    except ValueError as error:
        _refuse("$", f"is no JSON: {str(error)[:200]}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            _refuse("$", f"has the member {name[:40]!r} twice in one object: leave one out")
        made[name] = value
    return made


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


# -- the rules -----------------------------------------------------------------------------------------------


def _texts(roadmap: Roadmap, limits: RoadmapLimits) -> None:
    """Every text is there, in each language, and can be shown."""
    for path, text in _strings(roadmap, "$"):
        if not text.strip():
            _refuse(path, "is empty: each text is needed, in Dutch (nl) and in English (en)")
        if len(text) > limits.characters:
            _refuse(
                path, f"has more than {limits.characters} characters (roadmap.characters): make it shorter"
            )
        if not text.isprintable():
            _refuse(path, "has a character that cannot be shown, such as the end of a line: leave it out")


def _strings(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every text at or below `value`, with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _strings(inner, path + _path((name,))[1:])
    elif isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from _strings(inner, f"{path}[{number}]")
    elif is_dataclass(value):
        for field in fields(value):
            yield from _strings(getattr(value, field.name), f"{path}.{field.name}")


def _names(roadmap: Roadmap, limits: RoadmapLimits) -> None:
    """Every id can be part of an address and is there once; a step is named after its item."""
    if not roadmap.items:
        _refuse("$.items", "is empty: a roadmap has at least one item")
    if len(roadmap.items) > limits.items:
        _refuse(
            "$.items", f"has {len(roadmap.items)} items, and at most {limits.items} are read (roadmap.items)"
        )
    _name("$.version", roadmap.version)
    for code in roadmap.sectors:
        _name(_path(("sectors", code)), code)
    for member in ("categories", "agreements", "items", "objectives", "kpis"):
        _ids(f"$.{member}", [one.id for one in getattr(roadmap, member)])
    ambitions: set[str] = set()
    for number, objective in enumerate(roadmap.objectives):
        path = f"$.objectives[{number}].ambitions"
        _ids(path, [one.id for one in objective.ambitions], seen=ambitions)
    for number, item in enumerate(roadmap.items):
        path = f"$.items[{number}].steps"
        _ids(path, [step.id for step in item.steps])
        for place, step in enumerate(item.steps):
            if not re.fullmatch(rf"{re.escape(item.id)}\.S[1-9][0-9]*", step.id, re.ASCII):
                _refuse(f"{path}[{place}].id", f"must be {item.id}.S and a number, such as {item.id}.S1")
            _ids(f"{path}[{place}].checks", step.checks, "")
            if step.unseen is not None and not step.checks:
                _refuse(f"{path}[{place}].unseen", "is about checks, and the step has none: leave it out")


def _name(path: str, name: str) -> None:
    if not _ID.fullmatch(name):
        _refuse(path, "must be a name of letters, digits, '-' and '.', at most 40 characters")


def _ids(path: str, ids: Collection[str], member: str = ".id", seen: set[str] | None = None) -> None:
    """Each of `ids` is a name that was not `seen` before."""
    seen = set() if seen is None else seen
    for number, name in enumerate(ids):
        place = f"{path}[{number}]{member}"
        _name(place, name)
        if name in seen:
            _refuse(place, f"is {name!r}, which is there already: give each a name of its own")
        seen.add(name)


def _references(roadmap: Roadmap, limits: RoadmapLimits) -> None:
    """What is named elsewhere exists."""
    items = {item.id for item in roadmap.items}
    categories = {category.id for category in roadmap.categories}
    agreements = {agreement.id for agreement in roadmap.agreements}
    for number, item in enumerate(roadmap.items):
        path = f"$.items[{number}]"
        if item.category not in categories:
            _unknown(f"{path}.category", item.category, "$.categories")
        _known(f"{path}.sectors", item.sectors, roadmap.sectors, "$.sectors")
        _known(f"{path}.agreements", item.agreements, agreements, "$.agreements")
        _known(f"{path}.depends_on", item.depends_on, items, "$.items")
        if item.id in item.depends_on:
            _refuse(f"{path}.depends_on", "names the item itself: leave it out")
    for number, objective in enumerate(roadmap.objectives):
        for place, ambition in enumerate(objective.ambitions):
            path = f"$.objectives[{number}].ambitions[{place}].items"
            _known(path, ambition.items, items, "$.items")
    for number, kpi in enumerate(roadmap.kpis):
        _known(f"$.kpis[{number}].items", kpi.items, items, "$.items")
        for place, target in enumerate(kpi.targets):
            path = f"$.kpis[{number}].targets[{place}].sectors"
            _known(path, target.sectors, roadmap.sectors, "$.sectors")


def _known(path: str, names: tuple[str, ...], known: Collection[str], where: str) -> None:
    _ids(path, names, "")
    for number, name in enumerate(names):
        if name not in known:
            _unknown(f"{path}[{number}]", name, where)


def _unknown(path: str, name: str, where: str) -> NoReturn:
    _refuse(path, f"is {name!r}, which is not in {where}: add it there, or look for a slip")


def _numbers(roadmap: Roadmap, limits: RoadmapLimits) -> None:
    """Every target can be reached, and every link is an address on the web."""
    for number, kpi in enumerate(roadmap.kpis):
        _targets(f"$.kpis[{number}].targets", kpi)
    for number, item in enumerate(roadmap.items):
        for place, link in enumerate(item.links):
            if not _is_web(link):
                path = f"$.items[{number}].links[{place}].url"
                _refuse(path, "must be an address that begins with https:// or http://, without blanks")


def _targets(path: str, kpi: Kpi) -> None:
    for number, target in enumerate(kpi.targets):
        if not isfinite(target.value) or target.value < 0:
            _refuse(f"{path}[{number}].value", "must be a number from 0 up")
        if kpi.unit_of(target) == "share" and target.value > 1:
            _refuse(f"{path}[{number}].value", "must be from 0 to 1: a share of 40% is 0.4")


def _is_web(link: Link) -> bool:
    try:
        parts = urlsplit(link.url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and not re.search(r"\s", link.url)
    except ValueError:
        return False


def _days(item: Item, path: str, written: list[dict[str, str | None]]) -> None:
    """Every day is written as a day, and `first` does not come after `last`."""
    for number, dated in enumerate(item.dates):
        for name in ("first", "last"):
            day: date | None = getattr(dated, name)
            if day is not None and written[number][name] != day.isoformat():
                _refuse(f"{path}[{number}].{name}", _TO_DO["date_type"])
        if dated.first and dated.last and dated.first > dated.last:
            _refuse(f"{path}[{number}].first", f"comes after last, {dated.last}: turn them round")
