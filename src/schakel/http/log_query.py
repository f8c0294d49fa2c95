"""What may be asked of the log: the search parameters of its doors.

An officer searches by all of them. A patient, whose events are chosen by the token, may narrow by time and by question.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from schakel.fhir.moments import interval
from schakel.fhir.search import pairs_of, split_prefix
from schakel.generic.logging import Logged, Wanted, place
from schakel.kernel.outcomes import Invalid, NotSupported, naming
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM, UZI_SYSTEM, Bsn

_PAGE, _PAGE_MAX = 100, 1000
_OUTCOMES = frozenset({"0", "4", "8", "12"})
_BOTH = frozenset({"entity:identifier", "correlation", "date", "_count", "_page", "_format", "_pretty"})
_OFFICER = _BOTH | {
    "patient.identifier",
    "patient:identifier",
    "requester",
    "user",
    "subtype",
    "outcome",
    "_view",
}
_PATIENT = _BOTH | {"lang"}


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A search in the log: which events, and how many on a page."""

    wanted: Wanted
    count: int
    view: Literal["officer", "technical"] = "officer"

    def before(self, moment: datetime) -> LogQuery:
        """Without what is logged from `moment` on, so that a search that goes on for long comes to an end."""
        ends = moment if self.wanted.until is None else min(self.wanted.until, moment)
        return replace(self, wanted=replace(self.wanted, until=ends))

    def after(self, event: Logged) -> LogQuery:
        """What follows this event."""
        return replace(self, wanted=replace(self.wanted, after=place(event)))


def read(query: str, patient: str | None = None, count: int = _PAGE) -> LogQuery:
    """The search in a query string: an officer's, or that of `patient` (a BSN), who sees nothing else. A page has
    `count` events when it is not said.

    Raises `NotSupported` for a parameter that is not known here, and `Invalid` for a wrong value or one given twice;
    `date` may be given twice, as the two ends of a period.
    """
    known = _OFFICER if patient is None else _PATIENT
    asked = LogQuery(Wanted(patient=patient), count)
    before: set[str] = set()
    for name, value in pairs_of(query):
        if name not in known:
            raise NotSupported(
                f"parameter {name[:40]!r} is not supported on the log; known are {', '.join(sorted(known))}",
                expression=name[:40],
            )
        if name in before and name != "date":
            raise Invalid(f"parameter {name!r} is given twice", expression=name)
        if not value.isprintable():
            raise Invalid(f"the value of {name!r} has a control character", expression=name)
        before.add(name)
        with naming(name):
            asked = _with(asked, name, value)
    return asked


def _with(asked: LogQuery, name: str, value: str) -> LogQuery:
    wanted = asked.wanted
    match name:
        case "patient.identifier" | "patient:identifier":
            wanted = replace(wanted, patient=str(Bsn(value.removeprefix(f"{BSN_SYSTEM}|"))))
        case "requester":
            wanted = replace(wanted, requester=value.removeprefix(f"{URA_SYSTEM}|"))
        case "user":
            wanted = replace(wanted, person=value.removeprefix(f"{UZI_SYSTEM}|"))
        case "subtype":
            wanted = replace(wanted, kind=value.rpartition("|")[2])
        case "outcome":
            if value not in _OUTCOMES:
                raise Invalid("an outcome is 0, 4, 8 or 12")
            wanted = replace(wanted, outcome=int(value))
        case "entity:identifier":
            wanted = replace(
                wanted, decision=value.removeprefix("urn:ietf:rfc:3986|").removeprefix("urn:uuid:")
            )
        case "correlation":
            wanted = replace(wanted, correlation=value)
        case "date":
            wanted = _dated(wanted, value)
        case "_page":
            wanted = replace(wanted, after=value)
        case "_count":
            if not (value.isascii() and value.isdigit()):
                raise Invalid("a number of events is needed")
            return replace(asked, count=max(1, min(int(value[:6]), _PAGE_MAX)))
        case "_view":
            if value not in ("officer", "technical"):
                raise Invalid("a view is officer or technical")
            return replace(asked, view="technical" if value == "technical" else "officer")
        case _:
            return asked
    return replace(asked, wanted=wanted)


def _dated(wanted: Wanted, value: str) -> Wanted:
    prefix, text = split_prefix(value)
    if prefix not in ("ge", "le", "eq"):
        raise NotSupported("date takes ge, le or a day", expression="date")
    low, high = interval(text)
    since, until = wanted.since, wanted.until
    if prefix in ("ge", "eq"):
        since = low if since is None else max(since, low)
    if prefix in ("le", "eq"):
        until = high if until is None else min(until, high)
    return replace(wanted, since=since, until=until)
