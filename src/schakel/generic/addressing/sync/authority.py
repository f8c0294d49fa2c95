"""What a provider's own directory may say: only what belongs to the organisation with the URA that the root gave it.

Source: Care Services of the generic functions (generation A), the update client's check of authority. Judged is the
whole set that is known of a directory, with what was refused earlier, so that nothing depends on what changed together.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schakel.generic.addressing.copying import OWNERS, Problem

DEPTH = 10
"""How many times `partOf` is followed upward."""


@dataclass(frozen=True, slots=True)
class Known:
    """A resource of a directory: its ids are those here. See `copying.Copied`."""

    type: str
    id: str
    ura: str
    owner: str
    links: tuple[str, ...]


def refused(known: Sequence[Known], authority: str) -> dict[tuple[str, str], Problem]:
    """Those (type, id) that a directory of the organisation with this URA may not have, and why."""
    organisations = {one.id: one for one in known if one.type == "Organization"}
    problems = {
        ("Organization", one.id): problem
        for one in organisations.values()
        if (problem := _led(one, organisations, authority))
    }

    def accepted(kind: str, logical_id: str) -> bool:
        return (kind, logical_id) not in problems

    for one in known:
        if one.type == "Organization" or one.type not in OWNERS:
            continue
        if one.owner not in organisations or not accepted("Organization", one.owner):
            problems[one.type, one.id] = Problem(
                "not-its-own",
                f"{OWNERS[one.type]} leads to no organisation of URA {authority}, whose directory this is",
            )
    linked = {
        target
        for one in known
        if one.type in ("Organization", "HealthcareService") and accepted(one.type, one.id)
        for target in one.links
    }
    met = {
        target
        for one in known
        if one.type == "PractitionerRole" and accepted(one.type, one.id)
        for target in one.links
    }
    for one in known:
        if one.type == "Endpoint" and one.id not in linked:
            problems[one.type, one.id] = Problem(
                "not-its-own", f"no organisation or service of URA {authority} uses this endpoint"
            )
        elif one.type == "Practitioner" and one.id not in met:
            problems[one.type, one.id] = Problem(
                "not-its-own", f"no role at an organisation of URA {authority} is this practitioner's"
            )
    return problems


def _led(one: Known, organisations: Mapping[str, Known], authority: str) -> Problem | None:
    """Why an organisation does not lead to the URA; None when it does. The first URA on the way up decides."""
    seen = {one.id}
    for _ in range(DEPTH + 1):
        if one.ura:
            if one.ura == authority:
                return None
            return Problem(
                "not-its-own", f"it belongs to URA {one.ura}, and this is the directory of URA {authority}"
            )
        if one.owner in seen:
            return Problem("part-of-itself", "partOf goes round in a circle")
        above = organisations.get(one.owner)
        if above is None:
            return Problem(
                "not-its-own",
                f"it has no URA and partOf leads to no organisation of URA {authority}, whose directory "
                "this is",
            )
        seen.add(above.id)
        one = above
    return Problem("part-of-too-deep", f"partOf is followed {DEPTH} times, and this organisation lies deeper")
