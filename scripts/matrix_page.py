"""The matrix of authorisation as a page: per exchange its scopes, its permits and its forms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from schakel.generic.authorisation import ANY, Matrix, Permit, Row

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], Iterator[str]]

_TIES = {
    "released": "only what an accepted search of the exchange gives or includes",
    "task": "only the Task that was made for the requester",
    "task-input": "only what an input of such a Task names",
    "task-document": "only what a Composition in an input of such a Task refers to",
}
_USERS = {"needed": "with a user", "none": "without a user", "any": "with or without a user"}
_CLAIMS = {
    "present": "`{}` proved by a credential",
    "patient": "`{}` proved by a credential, and the BSN of the patient",
    "role": "`{}` proved by a credential, and one of the roles",
}


def page(matrix: Matrix, table: Table) -> Iterator[str]:
    """The lines of the page; `table` writes a table from its head and rows."""
    yield "What each exchange accepts, and who may have it. What is in no form, or in no permit, is refused. How to"
    yield "read this: [authorisation](../explanation/authorisation.md); how an organisation sets its own:"
    yield "[set your own authorisation](../how-to/set-your-own-authorisation.md)."
    yield ""
    for exchange in matrix.exchanges:
        yield f"## {exchange.title}"
        yield ""
        yield f"Exchange `{exchange.id}`; scope {' or '.join(f'`{s}`' for s in sorted(exchange.scopes))};"
        yield f"purpose when a token states none: `{exchange.purpose}`. Specification: {', '.join(exchange.links)}."
        yield ""
        permits = [permit for permit in matrix.permits if permit.exchange == exchange.id]
        yield from table(
            ("permit", "roles", "purposes", "data", "grounds", "conditions", "source"),
            (_permit(permit, matrix) for permit in permits),
        )
        rows = [row for row in matrix.rows if row.exchange == exchange.id]
        yield from table(
            ("form", "request", "parameters", "includes", "patient by", "tied to", "data", "source"),
            (_row(row) for row in rows),
        )
    yield from _groups(matrix, table)


def _permit(permit: Permit, matrix: Matrix) -> tuple[str, ...]:
    roles = ["any" if r == ANY else f"{r} {matrix.role_groups.get(r, '')}".strip() for r in permit.roles]
    conditions = [_USERS[permit.user]]
    if permit.facility_types:
        types = "proved" if ANY in permit.facility_types else " or ".join(permit.facility_types)
        conditions.append(f"type of the requester: {types}")
    if permit.assurance:
        conditions.append(f"level of the user: {permit.assurance} or higher")
    if permit.bound:
        conditions.append("token bound to a key or certificate")
    conditions += [_CLAIMS[rule].format(name) for name, rule in permit.claims.items()]
    data = "all" if ANY in permit.categories else ", ".join(permit.categories)
    return (
        f"`{permit.id}`",
        ", ".join(roles),
        ", ".join(permit.purposes),
        data,
        ", ".join(sorted(permit.grounds)),
        "; ".join(conditions),
        permit.source,
    )


def _row(row: Row) -> tuple[str, ...]:
    fixed = [f"`{name}={','.join(sorted(values))}`" for name, values in row.parameters.items()]
    free = [f"`{name}` ({'any one' if kind == 'one' else kind}, may)" for name, kind in row.optional.items()]
    changed = [f"changes {', '.join(f'`{m}`' for m in sorted(row.changes))}"] if row.changes else []
    states = [f"{before}: {', '.join(sorted(after))}" for before, after in row.statuses.items()]
    brought = [f"brings `{one}`" for one in sorted(row.brings)]
    brought += [f"beside them {', '.join(sorted(row.beside))}"] if row.beside else []
    includes = [f"`{one}`" for one in sorted(row.includes)]
    includes += [f"`{one}` (may)" for one in sorted(row.may_include)]
    includes += [f"`{one}` (may, iterate)" for one in sorted(row.may_iterate)]
    includes += ["`Provenance:target` (may, reverse)"] if row.provenance else []
    return (
        f"`{row.id}`",
        _request(row),
        "<br>".join([*fixed, *free, *brought, *changed, *states]),
        "<br>".join(includes),
        ", ".join(f"`{name}`" for name in row.patients),
        _TIES.get(row.tie, ""),
        "as the search" if row.category == ANY else row.category,
        row.source,
    )


def _request(row: Row) -> str:
    kind = "any type" if row.type == ANY else row.type
    if row.interaction == "operation":
        return f"{row.version.upper()} {kind}/[id]/${row.operation}"
    if row.interaction == "notification":
        return f"{row.version.upper()} POST on the base, without a body"
    if row.interaction == "transaction":
        return f"{row.version.upper()} POST on the base, a Bundle of type transaction"
    forms = [form for form in ("lastn", "latest") if form in row.forms]
    return f"{row.version.upper()} {row.interaction} {kind}" + "".join(f", {form}" for form in forms)


def _groups(matrix: Matrix, table: Table) -> Iterator[str]:
    yield "## Groups and levels"
    yield ""
    yield "A search also takes `_format`, `_count` and links to our own pages. `lastn` is `$lastn` with one of each;"
    yield "`latest` is `_sort=-date&_count=1`. A role of two digits stands for all roles that begin with them."
    yield ""
    yield from table(("role", "what"), ((f"`{code}`", name) for code, name in matrix.role_groups.items()))
    yield from table(
        ("type of organisation", "codes"),
        ((name, ", ".join(sorted(codes))) for name, codes in matrix.facility_groups.items()),
    )
    yield from table(
        ("level", "said as"),
        ((name, ", ".join(f"`{a}`" for a in sorted(said))) for name, said in matrix.assurances.items()),
    )
