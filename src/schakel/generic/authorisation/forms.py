"""Is a parsed request one of the accepted forms, and which patient does it name?

Everything in the request must be accounted for by one row: one parameter, value, include or modifier more is a
refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from schakel.fhir.definitions import Version
from schakel.fhir.search import Condition, Query, encode, pairs_of
from schakel.generic.authorisation.model import Form, Judgement, PatientNamed, Row, Value
from schakel.kernel.outcomes import Forbidden, Invalid
from schakel.kernel.values import BSN_SYSTEM, Bsn

PROVENANCE = "Provenance:target"
_PATH = re.compile(r"[A-Z][A-Za-z]+(/\$lastn)?")
_WITHOUT_EFFECT = frozenset({"_summary", "_contained"})
"""Parameters of which a value may leave the query as it is; no form has them."""
_BY_ID = re.compile(r"(Patient/)?([A-Za-z0-9\-.]{1,64})")


def judge(version: Version, query: Query, rows: Iterable[Row]) -> Judgement:
    """The judgement that allows the search `query` on data of this FHIR version.

    Raises `Forbidden` (`form-not-allowed`, `patient-not-named`) and `Invalid` for a BSN that is none.
    """
    known = [
        row for row in rows if (row.version, row.type, row.interaction) == (version, query.type, "search")
    ]
    form = _form(query)
    for row in known:
        naming = [c for c in query.conditions if c.parameter.code in row.patients]
        others = [c for c in query.conditions if c.parameter.code not in row.patients]
        if form in row.forms and accounted(others, row) and _includes(query, row):
            return Judgement(row, _patient(naming, row))
    raise _refusal(query, known)


def _refusal(query: Query, known: Sequence[Row]) -> Forbidden:
    """What is at fault in a search that is no form: a parameter that no form of its type has, else the whole."""
    for condition in query.conditions:
        if not any(_has(condition, row) for row in known) and known:
            return Forbidden(
                f"no form of the exchange for {query.type} has {condition.name}, or not with this value",
                code="form-not-allowed",
                expression=condition.name,
            )
    return Forbidden(
        f"this search on {query.type} is none of the forms that the exchange allows; "
        "parameters, values and includes must be exactly those of one form",
        code="form-not-allowed",
    )


def _has(condition: Condition, row: Row) -> bool:
    if condition.parameter.code in row.patients or plain_name(condition) in row.optional:
        return True
    return row.parameters.get(condition.name) == frozenset(condition.values)


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


def accounted(conditions: Sequence[Condition], row: Row) -> bool:
    """Whether these conditions are the parameters of the row, and at most its optional ones."""
    fixed: dict[str, frozenset[str]] = {}
    free: dict[str, list[Condition]] = {}
    for condition in conditions:
        name = plain_name(condition)
        if name in row.optional:
            free.setdefault(name, []).append(condition)
        elif not name or condition.inner is not None or name in fixed:
            return False
        else:
            fixed[name] = frozenset(condition.values)
    return fixed == dict(row.parameters) and all(_free(row.optional[name], free[name]) for name in free)


def plain_name(condition: Condition) -> str:
    """The parameter, or a chain of two, without the type of the chain; '' with a modifier, `_has` or longer chain."""
    inner = condition.inner
    if condition.modifier or condition.reverse:
        return ""
    if inner is None:
        return condition.parameter.code
    if inner.modifier or inner.reverse or inner.inner is not None:
        return ""
    return f"{condition.parameter.code}.{inner.parameter.code}"


def _free(kind: Value, given: Sequence[Condition]) -> bool:
    """Whether the values of an optional parameter are of its kind."""
    values = [(c if c.inner is None else c.inner).values for c in given]
    if any(len(one) != 1 for one in values):
        return False
    if kind == "one" or len(values) == 1:
        return len(values) == 1
    sides = [_side(value) for [value] in values]
    return sorted(sides) == ["from", "until"]


def _side(moment: str) -> str:
    """On which side a moment with a prefix bounds a period; '' when on neither."""
    return "from" if moment[:2] in ("ge", "gt", "sa") else "until" if moment[:2] in ("le", "lt", "eb") else ""


def _includes(query: Query, row: Row) -> bool:
    plain = {str(i) for i in query.includes if not i.iterate}
    repeated = {str(i) for i in query.includes if i.iterate}
    if not (row.includes <= plain <= row.includes | row.may_include and repeated <= row.may_iterate):
        return False
    if any(i.iterate for i in query.revincludes):
        return False
    reverse = {str(i) for i in query.revincludes}
    return not reverse or (row.provenance and reverse == {PROVENANCE} and query.last is None)


def _patient(named: Sequence[Condition], row: Row) -> PatientNamed:
    """The patient that a search of this row names. Raises `Forbidden` when it does not name one patient, once."""
    if not named and (row.tie == "task-input" or not row.patients):
        return PatientNamed()
    if len(named) != 1:
        raise _not_named(row)
    [condition] = named
    inner = condition if condition.inner is None else condition.inner
    if condition.modifier or condition.reverse or inner.modifier or inner.inner or len(inner.values) != 1:
        raise _not_named(row)
    [value] = inner.values
    if condition.inner is not None:
        if inner.parameter.code != "identifier" or condition.targets != ("Patient",):
            raise _not_named(row)
        return _by_bsn(value)
    if condition.parameter.code == "identifier":
        return _by_bsn(value)
    by_id = _BY_ID.fullmatch(value)
    sure = condition.parameter.type != "reference" or condition.parameter.code in ("patient", "beneficiary")
    if by_id is None or not (by_id[1] or sure):
        raise _not_named(row)
    return PatientNamed(id=by_id[2])


def _not_named(row: Row) -> Forbidden:
    return Forbidden(
        "the search must name one patient, once: by BSN (patient.identifier, or identifier on Patient) "
        "or by id (patient, or _id on Patient)",
        code="patient-not-named",
        expression=row.patient,
    )


def _by_bsn(value: str) -> PatientNamed:
    system, bar, number = value.partition("|")
    if not bar or system != BSN_SYSTEM:
        raise Invalid(
            f"the patient is named by BSN: {BSN_SYSTEM}|<BSN>",
            code="patient-not-named",
            expression="identifier",
        )
    return PatientNamed(bsn=Bsn(number))


_UNLISTED = frozenset({"patient", "subject", "beneficiary", "_count", "_format", "_page"})
_NAMES_PATIENT = frozenset({"identifier", "_id"})
"""Parameters that name the patient in a search on Patient; elsewhere they say which resource is asked."""


def listed_form(search: str) -> str:
    """The form of a relative search as a ground lists it: without patient, paging and format, in one order.

    Raises `Invalid` for text that is no search on a type.
    """
    path, _, text = search.partition("?")
    if not _PATH.fullmatch(path):
        raise Invalid("a search starts with a resource type, as in Condition?category=problem")
    unlisted = _UNLISTED | _NAMES_PATIENT if path == "Patient" else _UNLISTED
    pairs = [
        (name, ",".join(sorted(part.strip() for part in value.split(","))))
        for name, value in pairs_of(text)
        if name.partition(".")[0].partition(":")[0] not in unlisted
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
