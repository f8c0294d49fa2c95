"""What differs between two versions of the roadmap, told in both languages: for those who import one, and those who
must act on it.

Things are the same when they have the same id; a date is the same when it is about the same, and a text of a list when
it is word for word the same. The order in which things stand is no difference, and neither is the name of the version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from schakel.roadmap.model import Dated, Item, Language, Roadmap, Text
from schakel.roadmap.words import CERTAINTIES, LEGALS

_LANGUAGES: Final[tuple[Language, Language]] = ("nl", "en")

Kind = Literal["added", "gone", "changed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `item` is the id of the item that it is about, '' when it is about the roadmap as a whole."""

    kind: Kind
    item: str
    words: Text


@dataclass(frozen=True, slots=True)
class _Thing:
    """Something that is compared: its name for people, and its values by field."""

    name: Text
    values: Mapping[str, object]


_FIELDS: Final[Mapping[str, Text]] = {
    "agreements": Text("afspraken", "agreements"),
    "applications": Text("toepassingen", "applications"),
    "category": Text("groep", "category"),
    "checks": Text("metingen", "checks"),
    "deadline": Text("termijn", "deadline"),
    "depends_on": Text("wat eerst moet", "what must come first"),
    "en": Text("Engelse naam", "English name"),
    "formula": Text("formule", "formula"),
    "inferred": Text("of de afspraak onze lezing is", "whether the agreement is our reading"),
    "items": Text("punten", "items"),
    "layer": Text("landelijk of regionaal", "national or regional"),
    "links": Text("verwijzingen", "links"),
    "nl": Text("Nederlandse naam", "Dutch name"),
    "objective": Text("doel", "objective"),
    "plain": Text("uitleg", "explanation"),
    "sectors": Text("sectoren", "sectors"),
    "standards": Text("standaarden", "standards"),
    "targets": Text("streefwaarden", "targets"),
    "text": Text("tekst", "text"),
    "title": Text("titel", "title"),
    "unit": Text("eenheid", "unit"),
    "unseen": Text("wat de metingen niet zien", "what the checks do not see"),
}
"""What the fields are called."""

_VERBS: Final[Mapping[Kind, Text]] = {
    "added": Text("nieuw", "new"),
    "gone": Text("vervallen", "gone"),
    "changed": Text("gewijzigd", "changed"),
}


def differences(old: Roadmap, new: Roadmap) -> tuple[Change, ...]:
    """What is other in `new` than in `old`: first the roadmap as a whole, then its items in the order of `new`, those
    that are gone at the end."""
    return (*_whole(old, new), *_items(old, new))


def _whole(old: Roadmap, new: Roadmap) -> Iterator[Change]:
    if old.title != new.title:
        yield _change("changed", "", Text("titel", "title"), new.title)
    yield from _listed(Text("bron", "source"), "", old.sources, new.sources)
    yield from _compared(Text("sector", "sector"), "", _sectors(old), _sectors(new))
    for member, what, name, *apart in (
        ("categories", Text("groep", "category"), "title"),
        ("agreements", Text("afspraak", "agreement"), "text"),
        ("objectives", Text("doel", "objective"), "title", "ambitions"),
        ("kpis", Text("cijfer", "number"), "title"),
    ):
        before, after = (_things(getattr(one, member), name, *apart) for one in (old, new))
        yield from _compared(what, "", before, after)
    yield from _compared(Text("ambitie", "ambition"), "", _ambitions(old), _ambitions(new))
    yield from _listed(Text("open vraag", "open question"), "", old.open, new.open)


def _items(old: Roadmap, new: Roadmap) -> Iterator[Change]:
    what = Text("punt", "item")
    for item in new.items:
        before = old.by_id.get(item.id)
        was, now = (
            _things([one] if one else [], "title", "steps", "dates", "open") for one in (before, item)
        )
        yield from _compared(what, item.id, was, now)
        if before is not None:
            was, now = (_things(one.steps, "text") for one in (before, item))
            yield from _compared(Text("stap", "step"), item.id, was, now)
            yield from _dates(before, item)
            yield from _listed(Text("open vraag", "open question"), item.id, before.open, item.open)
    for item in old.items:
        if item.id not in new.by_id:
            yield _change("gone", item.id, what, item.title, item.id)


# -- what is compared ----------------------------------------------------------------------------------------


def _things(parts: Iterable[Any], name: str, *apart: str) -> dict[str, _Thing]:
    """Parts of a roadmap by id; the field `name` is their name, and the fields `apart` are not compared here."""
    return {
        part.id: _Thing(
            getattr(part, name),
            {field.name: getattr(part, field.name) for field in fields(part) if field.name not in apart},
        )
        for part in parts
    }


def _sectors(roadmap: Roadmap) -> dict[str, _Thing]:
    return {code: _Thing(name, {"nl": name.nl, "en": name.en}) for code, name in roadmap.sectors.items()}


def _ambitions(roadmap: Roadmap) -> dict[str, _Thing]:
    """The ambitions of all objectives; the objective is one of their values."""
    return {
        one.id: _Thing(one.text, {"objective": goal.id, "text": one.text, "items": one.items})
        for goal in roadmap.objectives
        for one in goal.ambitions
    }


def _compared(
    what: Text, item: str, old: Mapping[str, _Thing], new: Mapping[str, _Thing]
) -> Iterator[Change]:
    for name, thing in new.items():
        if name not in old:
            yield _change("added", item, what, thing.name, name)
            continue
        other = [field for field, value in thing.values.items() if old[name].values[field] != value]
        if other:
            yield _change("changed", item, what, _all([_FIELDS[field] for field in other]), name)
    for name, thing in old.items():
        if name not in new:
            yield _change("gone", item, what, thing.name, name)


def _listed(what: Text, item: str, old: tuple[Text, ...], new: tuple[Text, ...]) -> Iterator[Change]:
    for text in new:
        if text not in old:
            yield _change("added", item, what, text)
    for text in old:
        if text not in new:
            yield _change("gone", item, what, text)


def _dates(old: Item, new: Item) -> Iterator[Change]:
    """The dates of an item, paired when they are about the same; several about the same in the order they have."""
    waiting: dict[Text, list[Dated]] = {}
    for dated in old.dates:
        if dated not in new.dates:
            waiting.setdefault(dated.what, []).append(dated)
    what = Text("datum", "date")
    for dated in new.dates:
        if dated in old.dates:
            continue
        if before := waiting.get(dated.what):
            words = Text(*(_moved(before[0], dated, language) for language in _LANGUAGES))
            before.pop(0)
            yield _change("changed", new.id, what, words)
        else:
            yield _change("added", new.id, what, _told(dated))
    for dated in [left for about in waiting.values() for left in about]:
        yield _change("gone", new.id, what, _told(dated))


# -- words ---------------------------------------------------------------------------------------------------


def _change(kind: Kind, item: str, what: Text, words: Text, name: str = "") -> Change:
    """The change in words, such as "WEG-1: new step WEG-1.S6: Sign the contract."."""
    about = f"{item}: " if item and item != name else ""
    named = f" {name}" if name else ""
    verb = _VERBS[kind]
    return Change(
        kind,
        item,
        Text(
            f"{about}{what.nl}{named} {verb.nl}: {words.nl}", f"{about}{what.en}{named} {verb.en}: {words.en}"
        ),
    )


def _all(words: list[Text]) -> Text:
    return Text(", ".join(word.nl for word in words), ", ".join(word.en for word in words))


def _told(dated: Dated) -> Text:
    return Text(*(f"{dated.when.of(one)}: {dated.what.of(one)}" for one in _LANGUAGES))


def _moved(old: Dated, new: Dated, language: Language) -> str:
    """What became other of a date: when it is, on what ground, and how sure."""
    said = [
        (old.when.of(language), new.when.of(language)),
        (LEGALS[old.legal].of(language), LEGALS[new.legal].of(language)),
        (CERTAINTIES[old.certainty].of(language), CERTAINTIES[new.certainty].of(language)),
    ]
    if old.when == new.when:
        said.append((_days(old), _days(new)))
    words = "; ".join(f"{before} → {after}" for before, after in said if before != after)
    return f"{new.what.of(language)} ({words})" if words else new.what.of(language)


def _days(dated: Dated) -> str:
    if dated.first == dated.last:
        return str(dated.first or "?")
    return f"{dated.first or '?'} - {dated.last or '?'}"
