"""The conditions of a permit, one by one: what a request must meet, and the reason when it does not.

`Policy` asks Cedar whether a request is permitted. This table says why not, and a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from schakel.generic.authorisation.model import ANY, ClaimRule, Facts, Matrix, Permit, Row
from schakel.kernel.values import BSN_SYSTEM


def has_role(role: str, patterns: Collection[str]) -> bool:
    """Whether a role code is one of these patterns, in one of these groups, or any will do."""
    return bool(role) and (role in patterns or role[:2] in patterns or ANY in patterns)


def facility_group(code: str, matrix: Matrix) -> str:
    """The group of an organisation type; '' when it is in none."""
    return next((name for name, codes in matrix.facility_groups.items() if code in codes), "")


def has_facility(code: str, patterns: Collection[str], matrix: Matrix) -> bool:
    """Whether an organisation type is one of these, in one of these groups, or any that is proved will do."""
    return bool(code) and (code in patterns or ANY in patterns or facility_group(code, matrix) in patterns)


def level_of(assurance: str, matrix: Matrix) -> int:
    """The place of a level of assurance, by its URI or by its name; 0 for none and for one that is not known."""
    for place, (name, addresses) in enumerate(matrix.assurances.items(), 1):
        if assurance == name or assurance in addresses:
            return place
    return 0


def claim_of(name: str, rule: ClaimRule, permit: Permit) -> str:
    """A condition on a claim as one word, so that a set of these says which are met."""
    return f"{name} {rule} {' '.join(permit.roles)}" if rule == "role" else f"{name} {rule}"


def claim_fault(name: str, rule: ClaimRule, permit: Permit, facts: Facts) -> str:
    """Why the claim does not meet the rule; '' when it does."""
    value = facts.claims.get(name, "")
    if not value:
        return "credential-missing"
    if rule == "patient" and not (facts.patient and value == f"{BSN_SYSTEM}|{facts.patient}"):
        return "credential-other-patient"
    if rule == "role" and not has_role(value.rpartition("|")[2], permit.roles):
        return "credential-other-role"
    return ""


def faults(permit: Permit, row: Row, facts: Facts, ground: str, matrix: Matrix) -> Iterator[tuple[str, str]]:
    """The conditions of a permit of the row's exchange that a request does not meet: (member, reason)."""
    if not _holds(row.category, permit.categories):
        yield "categories", "category-not-permitted"
    if not _holds(facts.purpose, permit.purposes):
        yield "purposes", "purpose-not-permitted"
    if permit.user == "needed" and not facts.role:
        yield "user", "user-missing"
    elif permit.user == "none" and facts.role:
        yield "user", "user-not-permitted"
    elif facts.role and not has_role(facts.role, permit.roles):
        yield "roles", "role-not-permitted"
    if permit.facility_types and not has_facility(facts.facility_type, permit.facility_types, matrix):
        yield (
            "facility_types",
            "facility-type-not-permitted" if facts.facility_type else "facility-type-missing",
        )
    if level_of(facts.assurance, matrix) < level_of(permit.assurance, matrix):
        yield "assurance", "assurance-too-low"
    if permit.bound and not facts.bound:
        yield "bound", "token-not-bound"
    for name, rule in permit.claims.items():
        if fault := claim_fault(name, rule, permit, facts):
            yield f"claims.{name}", fault
    if ground not in permit.grounds:
        yield "grounds", "ground-not-sufficient" if ground else "ground-missing"


def _holds(value: str, allowed: Collection[str]) -> bool:
    return value in allowed or ANY in allowed
