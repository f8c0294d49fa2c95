"""Localisation records as List resources, written and read.

Source: the ministry's guide on generic functions, profile nl-gf-localization-list; what its index of July 2026 does
with it: `code` is taken and not kept, the subject is never given back, the system of the source is replaced by one that
the index itself refuses, and errors have the member resource_type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from schakel.generic.localisation.categories import SYSTEM, category
from schakel.generic.localisation.model import Record
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import URA_SYSTEM, Ura

GUIDE = "http://minvws.github.io/generiekefuncties-docs"
SUBJECT_SYSTEM = f"{GUIDE}/NamingSystem/nvi-identifier"
CUSTODIAN = f"{GUIDE}/StructureDefinition/nl-gf-localization-custodian"
EMPTY_REASON = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_SHOWN = 200


class Source(Protocol):
    """How the registering software is named."""

    @property
    def source(self) -> str: ...
    @property
    def source_system(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an answer of so many entries; `next` is the address of the one that follows, '' on the last."""

    records: tuple[Record, ...]
    unreadable: tuple[str, ...]
    entries: int
    total: int | None
    next: str


def record(ura: str, token: str, source: Source, kind: str) -> dict[str, Any]:
    """The List that registers data of a patient, of category `kind`; the patient is known by `token`."""
    return {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "extension": [custodian(ura)],
        "code": coded(kind),
        "subject": {"identifier": {"system": SUBJECT_SYSTEM, "value": token}},
        "source": {
            "type": "Device",
            "identifier": {"system": source.source_system, "value": source.source},
        },
        "emptyReason": {"coding": [{"system": EMPTY_REASON, "code": "withheld"}]},
    }


def custodian(ura: str) -> dict[str, Any]:
    """The extension that names the provider."""
    return {"url": CUSTODIAN, "valueReference": {"identifier": {"system": URA_SYSTEM, "value": ura}}}


def coded(kind: str) -> dict[str, Any]:
    """A category as `List.code`."""
    return {"coding": [{"system": SYSTEM, "code": kind}]}


def read(resource: Mapping[str, Any]) -> Record | str:
    """A record as the index gave it, or what is missing in it. Members that are not known are left aside."""
    if resource.get("resourceType") != "List":
        return "there is no List"
    name = resource.get("id")
    if not isinstance(name, str) or not is_id(name):
        return "a record has no id, or one that is none"
    ura = custodian_of(resource)
    if not ura:
        return f"record {name[:64]} names no care provider"
    identifier = _table(_table(resource, "source"), "identifier")
    meta = _table(resource, "meta")
    registered = resource.get("date") or meta.get("lastUpdated") or ""
    return Record(
        name,
        ura,
        _text(identifier, "value"),
        category_of(resource),
        registered if isinstance(registered, str) and _INSTANT.fullmatch(registered) else "",
    )


def is_id(name: str) -> bool:
    """Whether it can be the id of a record: what cannot would name another address."""
    return _ID.fullmatch(name) is not None and name not in (".", "..")


def custodian_of(resource: Mapping[str, Any]) -> str:
    """The URA that a record names, '' when it names none."""
    for extension in _tables(resource.get("extension")):
        identifier = _table(_table(extension, "valueReference"), "identifier")
        if identifier.get("system") == URA_SYSTEM:
            try:
                return str(Ura(_text(identifier, "value")))
            except Invalid:
                continue
    return ""


def category_of(resource: Mapping[str, Any]) -> str:
    """The category that a record tells, '' when it tells none that we know."""
    codings = _tables(_table(resource, "code").get("coding"))
    return next(filter(None, (category(one.get("system"), one.get("code")) for one in codings)), "")


def page(bundle: Mapping[str, Any]) -> Page | str:
    """The records of a searchset, or why it is none. Entries that are outcomes say nothing of a record, and a record
    that was entered in error is none."""
    entries = bundle.get("entry", [])
    if bundle.get("resourceType") != "Bundle" or not isinstance(entries, list):
        return "that is no Bundle"
    records: list[Record] = []
    unreadable: list[str] = []
    for entry in entries:
        resource = _table(entry, "resource") if isinstance(entry, dict) else {}
        if resource.get("resourceType") == "OperationOutcome" or resource.get("status") == "entered-in-error":
            continue
        found = read(resource)
        if isinstance(found, str):
            unreadable.append(found)
        else:
            records.append(found)
    total = bundle.get("total")
    following = next(
        (_text(link, "url") for link in _tables(bundle.get("link")) if link.get("relation") == "next"), ""
    )
    counted = total if isinstance(total, int) and not isinstance(total, bool) else None
    return Page(tuple(records), tuple(unreadable), len(entries), counted, following)


def said(body: Mapping[str, Any]) -> str:
    """What an error says: the first issue of an OperationOutcome, under either name of its type, or `detail` or `error`
    of what is none."""
    if "OperationOutcome" in (body.get("resourceType"), body.get("resource_type")):
        for issue in _tables(body.get("issue")):
            text = _text(_table(issue, "details"), "text") or _text(issue, "diagnostics")
            if text:
                return _line(text)
        return ""
    return _line(_text(body, "detail") or _text(body, "error"))


def _line(text: str) -> str:
    """`text` for an error: one line, without anything long enough to be a pseudonym."""
    words = [word if len(word) <= 80 else "..." for word in text[: 20 * _SHOWN].split()]
    return "".join(c for c in " ".join(words) if c.isprintable())[:_SHOWN]


def _table(value: object, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, dict) else {}


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
