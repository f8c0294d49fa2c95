"""What the EHR asks: whose BgZ, from whom, on behalf of which professional and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schakel.fhir import json
from schakel.gateway.emergency import checked as emergency_reason
from schakel.generic.identity import User
from schakel.generic.identity.model import check_code
from schakel.kernel.outcomes import Invalid, naming
from schakel.kernel.values import Bsn, Ura

MAX_HOLDERS = 50
_MEMBERS = {"patient", "holders", "localise", "user", "login", "purpose", "treatment_relation", "emergency"}


@dataclass(frozen=True, slots=True)
class Who:
    """The professional on whose behalf is asked. `assurance` is the level at which they proved who they are ('' when
    only the EHR says so), `credentials` are what proves it to others."""

    user: User
    assurance: str = ""
    credentials: tuple[Mapping[str, Any], ...] = ()


LoggedIn = Callable[[str], Awaitable[Who]]
"""Tells who is logged in under an id. Raises `Outcome`."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The question: `holders` are those that the EHR names; with `localise` those are asked too that the national
    facilities know. `emergency` is the reason that the professional gives for access in an emergency, '' when that is
    not asked."""

    patient: Bsn
    holders: tuple[Ura, ...]
    localise: bool
    who: Who
    purpose: str
    treatment_relation: str
    emergency: str = ""


async def parse_ask(body: bytes, logged_in: LoggedIn) -> Ask:
    """The ask in a JSON body `{patient, holders?: [ura], localise?, user: {id, name, role, responsible?,
    responsible_role?}, purpose, treatment_relation, emergency?}`, or with `login`, the id of a login, for `user`.
    Without `holders` they are looked for; with them only when `localise` is true. Raises `Invalid` naming the member,
    and what `logged_in` raises."""
    table = json.parse(body, max_depth=8)
    if unknown := sorted(set(table) - _MEMBERS):
        raise Invalid(f"unknown member {unknown[0][:60]!r}", expression=unknown[0][:60])
    holders = table.get("holders", [])
    least = 1 if "holders" in table else 0
    if not isinstance(holders, list) or not least <= len(holders) <= MAX_HOLDERS:
        raise Invalid(
            f"holders is a list of 1 to {MAX_HOLDERS} URA numbers; leave it out to have them looked for",
            expression="holders",
        )
    localise = table.get("localise", not holders)
    if not isinstance(localise, bool):
        raise Invalid("localise is true or false", expression="localise")
    if not localise and not holders:
        raise Invalid("give holders, or let them be looked for (localise)", expression="holders")
    with naming("patient"):
        patient = Bsn(_text(table.get("patient")))
    with naming("holders"):
        uras = tuple(dict.fromkeys(Ura(_text(holder)) for holder in holders))
    if "login" in table and "user" in table:
        raise Invalid("give either user or login", expression="login")
    user = None if "login" in table else User.parse(table.get("user"))
    purpose, relation = (check_code(table.get(name), name) for name in ("purpose", "treatment_relation"))
    emergency = ""
    if "emergency" in table:
        with naming("emergency"):
            emergency = emergency_reason(_text(table["emergency"]), "emergency")
    who = Who(user) if user is not None else await logged_in(check_code(table["login"], "login"))
    return Ask(patient, uras, localise, who, purpose, relation, emergency)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid("a text is needed")
    return value
