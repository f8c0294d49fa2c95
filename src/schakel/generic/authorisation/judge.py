"""The judgement of a parsed search: is it one of the accepted forms, and which patient does it name?

Source: facts on authorisation (capability check, exactly one row, patient id or BSN). Everything in the query
must be accounted for by the row; one parameter, value, include or modifier more is a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from schakel.fhir.definitions import Version
from schakel.fhir.search import Condition, Query, encode, pairs_of
from schakel.generic.authorisation.bgz import Form, Row
from schakel.kernel.outcomes import Forbidden, Invalid
from schakel.kernel.values import BSN_SYSTEM, Bsn

PROVENANCE = "Provenance:target"
_PATH = re.compile(r"[A-Z][A-Za-z]+(/\$lastn)?")
_WITHOUT_EFFECT = frozenset({"_summary", "_contained"})
"""Parameters of which a value may leave the query as it is; no form has them."""
_BY_ID = re.compile(r"(?:Patient/)?([A-Za-z0-9\-.]{1,64})")


@dataclass(frozen=True, slots=True)
class PatientNamed:
    """How a request names the patient: by BSN, or by the logical id at the holder."""

    bsn: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The row that allows a query, and the patient it names."""

    row: Row
    patient: PatientNamed


def judge(version: Version, query: Query, rows: Iterable[Row]) -> Judgement:
    """The judgement that allows `query` on data of this FHIR version.

    Raises `Forbidden` (`form-not-allowed`, `patient-not-named`) and `Invalid` for a BSN that is none.
    """
    patient, others = _patient(query)
    for row in rows:
        if (row.version, row.type) != (version, query.type):
            continue
        if _form(query) in row.forms and _same(query, others, row):
            return Judgement(row, patient)
    raise Forbidden(
        f"this search on {query.type} is none of the forms that the exchange allows; "
        "parameters, values and includes must be exactly those of one form",
        code="form-not-allowed",
    )


def _form(query: Query) -> Form | None:
    """The form of a query; None when it asks anything that no form has."""
    known = Query(
        query.type,
        conditions=query.conditions,
        includes=query.includes,
        revincludes=query.revincludes,
        sort=query.sort,
        count=query.count,
        last=query.last,
        format=query.format,
    )
    if query != known or not _WITHOUT_EFFECT.isdisjoint(name for name, _ in query.raw):
        return None
    if query.last is not None:
        return "lastn" if query.last == 1 and not query.sort else None
    if not query.sort:
        return "plain"
    [first, *rest] = query.sort
    latest = first.parameter.code == "date" and first.descending and not rest and query.count == 1
    return "latest" if latest else None


def _same(query: Query, others: list[Condition], row: Row) -> bool:
    if any(c.inner is not None or c.modifier for c in others):
        return False
    if any(i.iterate for i in (*query.includes, *query.revincludes)):
        return False
    asked = {c.parameter.code: frozenset(c.values) for c in others}
    if len(asked) < len(others) or asked != dict(row.parameters):
        return False
    if {str(i) for i in query.includes} != row.includes:
        return False
    reverse = {str(i) for i in query.revincludes}
    return not reverse or (reverse == {PROVENANCE} and query.last is None)


def _patient(query: Query) -> tuple[PatientNamed, list[Condition]]:
    """The patient that the query names, and the conditions that do not name it."""
    own = query.type == "Patient"
    named = [c for c in query.conditions if _names_patient(c, own)]
    if len(named) != 1 or len(_innermost(named[0]).values) != 1:
        raise _not_named()
    [condition] = named
    others = [c for c in query.conditions if c is not condition]
    if condition.inner is not None:
        return _by_bsn(condition.inner.values[0]), others
    if condition.parameter.code == "identifier":
        return _by_bsn(condition.values[0]), others
    by_id = _BY_ID.fullmatch(condition.values[0])
    if by_id is None:
        raise _not_named()
    return PatientNamed(id=by_id[1]), others


def _not_named() -> Forbidden:
    return Forbidden(
        "the search must name one patient, once: by BSN (patient.identifier, or identifier on Patient) "
        "or by id (patient, or _id on Patient)",
        code="patient-not-named",
    )


def _innermost(condition: Condition) -> Condition:
    return condition if condition.inner is None else condition.inner


def _names_patient(condition: Condition, own: bool) -> bool:
    code = condition.parameter.code
    if own:
        return code in ("identifier", "_id") and not condition.modifier and condition.inner is None
    if code not in ("patient", "beneficiary") or condition.modifier or condition.reverse:
        return False
    inner = condition.inner
    if inner is None:
        return True
    return inner.parameter.code == "identifier" and not inner.modifier and condition.targets == ("Patient",)


def _by_bsn(value: str) -> PatientNamed:
    system, bar, number = value.partition("|")
    if not bar or system != BSN_SYSTEM:
        raise Invalid(
            f"the patient is named by BSN: {BSN_SYSTEM}|<BSN>",
            code="patient-not-named",
            expression="identifier",
        )
    return PatientNamed(bsn=Bsn(number))


_UNLISTED = frozenset({"patient", "beneficiary", "identifier", "_id", "_count", "_format", "_page"})


def listed_form(search: str) -> str:
    """The form of a relative search as a ground lists it: without patient, paging and format, in one order.

    Raises `Invalid` for text that is no search on a type.
    """
    path, _, text = search.partition("?")
    if not _PATH.fullmatch(path):
        raise Invalid("a search starts with a resource type, as in Condition?category=problem")
    pairs = [
        (name, ",".join(sorted(part.strip() for part in value.split(","))))
        for name, value in pairs_of(text)
        if name.partition(".")[0].partition(":")[0] not in _UNLISTED
    ]
    return f"{path}?{encode(sorted(pairs))}" if pairs else path


def fits(row: Row, kind: str, tokens: Iterable[tuple[str, str, str]]) -> bool:
    """Whether a resource of type `kind` with these index tokens (parameter, code, system) is one that `row`
    would find."""
    if row.type != kind:
        return False
    held: dict[str, set[str]] = {}
    for parameter, code, system in tokens:
        held.setdefault(parameter, set()).update((code, f"{system}|{code}"))
    return all(held.get(p, set()) & wanted for p, wanted in row.parameters.items())
