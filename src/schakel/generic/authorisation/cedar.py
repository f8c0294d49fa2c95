"""The matrix in the language of Cedar: one policy per permit, one entity per row.

A policy carries the id of its permit; the entities say to which exchange and category a row belongs. Whatever no policy
permits is denied. Texts are quoted as Cedar quotes them (its escapes are those of JSON, but for `\\u`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import cedarpy
import orjson

from schakel.generic.authorisation.conditions import claim_of, level_of
from schakel.generic.authorisation.model import ANY, InteractionKind, Matrix, Permit, Row
from schakel.kernel.outcomes import Invalid

ACTIONS: tuple[InteractionKind, ...] = (
    "search",
    "read",
    "operation",
    "create",
    "update",
    "notification",
    "transaction",
)
PRINCIPAL = {"type": "Requester", "id": "requester"}

_PLAIN = re.compile(r"[^\x00-\x1f\x7f]*")

SCHEMA = """
entity Requester;
entity Exchange;
entity Category;
entity Row in [Exchange, Category];
action {actions} appliesTo {{
  principal: Requester,
  resource: Row,
  context: {{
    purpose: String, ground: String, role: String, role_group: String, facility: String, facility_group: String,
    assurance: Long, bound: Bool, claims: Set<String>,
  }},
}};
"""


def schema() -> str:
    """The schema that every policy must meet."""
    return SCHEMA.format(actions=", ".join(_text(action) for action in ACTIONS))


def policies(permits: Iterable[Permit], matrix: Matrix) -> str:
    """One policy for each of these permits, in their order."""
    return "\n".join(_policy(permit, matrix) for permit in permits)


def entities(matrix: Matrix) -> str:
    """Every row of which data goes out, with its exchange and category, as Cedar's JSON."""
    made = [
        {
            "uid": {"type": "Row", "id": row.id},
            "attrs": {},
            "parents": [
                {"type": "Exchange", "id": row.exchange},
                {"type": "Category", "id": category(row.exchange, row.category)},
            ],
        }
        for row in matrix.rows
        if decidable(row)
    ]
    return orjson.dumps(made).decode()


def decidable(row: Row) -> bool:
    """Whether data may go out under the row itself; a read that is tied as "released" goes out under another."""
    return row.tie != "released"


def category(exchange: str, name: str) -> str:
    """The id of a category: the same words may stand for other data in another exchange."""
    return f"{exchange}: {name}"


def check(text: str) -> None:
    """Raises `Invalid` when the policies do not meet the schema."""
    found = cedarpy.validate_policies(text, schema())
    if not found.validation_passed:
        raise Invalid(f"the policies do not meet their schema: {found.errors[0]}", code="matrix-invalid")


def _policy(permit: Permit, matrix: Matrix) -> str:
    conditions = [
        "" if ANY in permit.categories else f"resource in {_categories(permit)}",
        "" if ANY in permit.purposes else f"{_set(permit.purposes)}.contains(context.purpose)",
        {"needed": 'context.role != ""', "none": 'context.role == ""', "any": ""}[permit.user],
        "" if permit.user == "none" else _roles(permit),
        _facilities(permit),
        f"context.assurance >= {level_of(permit.assurance, matrix)}" if permit.assurance else "",
        "context.bound" if permit.bound else "",
        *(
            f"context.claims.contains({_text(claim_of(name, rule, permit))})"
            for name, rule in permit.claims.items()
        ),
        f"{_set(sorted(permit.grounds))}.contains(context.ground)",
    ]
    when = " &&\n  ".join(condition for condition in conditions if condition)
    head = f"principal, action, resource in Exchange::{_text(permit.exchange)}"
    return f"@id({_text(permit.id)})\npermit ({head})\nwhen {{\n  {when}\n}};\n"


def _roles(permit: Permit) -> str:
    if ANY in permit.roles:
        return ""
    met = _among(
        {
            "role_group": [r for r in permit.roles if len(r) == 2],
            "role": [r for r in permit.roles if len(r) > 2],
        }
    )
    return met if permit.user == "needed" else f'(context.role == "" || {met})'


def _facilities(permit: Permit) -> str:
    if not permit.facility_types or ANY in permit.facility_types:
        return 'context.facility != ""' if permit.facility_types else ""
    groups = [one for one in permit.facility_types if one.islower()]
    return _among(
        {"facility_group": groups, "facility": [o for o in permit.facility_types if o not in groups]}
    )


def _among(values: Mapping[str, Sequence[str]]) -> str:
    """That a member of the context is one of its values, for one of these members."""
    met = [f"{_set(some)}.contains(context.{member})" for member, some in values.items() if some]
    return met[0] if len(met) == 1 else f"({' || '.join(met)})"


def _categories(permit: Permit) -> str:
    return f"[{', '.join(f'Category::{_text(category(permit.exchange, c))}' for c in permit.categories)}]"


def _set(values: Iterable[str]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    if not _PLAIN.fullmatch(value):
        raise Invalid(f"a name in the matrix has a control character: {value!r}", code="matrix-invalid")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
