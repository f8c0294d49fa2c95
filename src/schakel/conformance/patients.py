"""The patients of a suite as the holder must know them: each with a BSN, and with a token that opens its data.

A suite for a door that masks BSNs publishes its Patients as they come out of that door: masked. The holder's own
record has the number, or nobody who logs in would be found; it is put in while the Patient is loaded. A `Giver` gets
the tokens, for the patients that the scripts of a folder name.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from schakel.conformance.results import LoadFailure
from schakel.conformance.script import Script, Variable
from schakel.conformance.tokens import PREFIX, Owner, Tokens
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Outcome
from schakel.kernel.values import BSN_OID, BSN_SYSTEM, Bsn

_FRESH_SECONDS = 600.0
"""A token that is valid for less than this is got anew before a folder is run."""


@dataclass(frozen=True, slots=True)
class Granted:
    """An access token, and for how many seconds it is valid."""

    token: str
    seconds: float


Giver = Callable[[str], Awaitable[Granted]]
"""Gets a token of the person with this BSN. Raises an `Outcome` when it is refused."""


class Patients:
    """The patients of a run. `bsns` are the tester's own, by logical id; they win over all others."""

    def __init__(self, tokens: Tokens, bsns: Mapping[str, str], giver: Giver | None = None) -> None:
        self.tokens = tokens.numbered(bsns)
        self._bsns = bsns
        self._giver = giver
        self._until: dict[str, float] = {}

    def loaded(self, patient: Resource) -> Resource:
        """The Patient as it is loaded: the same, or with its BSN where that was masked. One without any gets it when
        the tester named it, or when tokens are got."""
        id = str(patient.get("id", ""))
        owner = self.tokens.by_id(id) or Owner(id)
        own = next((one for one in _identifiers(patient) if _says_bsn(one)), None)
        value = str(own.get("value", "")) if own else ""
        number = self._bsns.get(id) or value or owner.bsn or (invented(id) if self._giver else "")
        known = replace(owner, bsn=number, family=owner.family or _family(patient))
        self.tokens = self.tokens.holding([known])
        if not number or number == value or (own is None and not (self._giver or id in self._bsns)):
            return patient
        identifier = {"system": BSN_SYSTEM, **_unmasked(own or {}), "value": number}
        others = [one for one in _identifiers(patient) if one is not own]
        return {**patient, "identifier": [identifier, *others]}

    async def opened(self, scripts: Iterable[Script], chosen: str = "") -> tuple[int, list[LoadFailure]]:
        """Gets a token for each patient that the scripts name and that has none that will do; `chosen` is the BSN of
        the patient of the tester's own. Returns how many were got, and what went wrong."""
        if self._giver is None:
            return 0, []
        variables = {v.name: v for script in scripts for v in script.variables}
        got, failures = 0, []
        for variable in variables.values():
            try:
                got += await self._open(variable, chosen, self._giver)
            except Outcome as error:
                failures.append(LoadFailure(f"a token for {variable.name}", error.message))
        return got, failures

    async def _open(self, variable: Variable, chosen: str, giver: Giver) -> int:
        owner = self.tokens.owner(variable.name, chosen, variable.default or "")
        if owner is None and variable.name == "auth-token" and chosen:
            owner = Owner(chosen, bsn=chosen)
        if owner is None and variable.name.startswith(PREFIX):
            owner = Owner(variable.name.removeprefix(PREFIX))
        if owner is None or self._until.get(owner.id, 0) > time.monotonic() + _FRESH_SECONDS:
            return 0
        number = owner.bsn or invented(owner.id)
        granted = await giver(number)
        self._until[owner.id] = time.monotonic() + granted.seconds
        self.tokens = self.tokens.holding([replace(owner, bsn=number, token=f"Bearer {granted.token}")])
        return 1


def invented(id: str) -> str:
    """The BSN of a patient for whom none was published: always the same for one id, and of nobody (999...)."""
    digest = int.from_bytes(hashlib.sha256(id.encode()).digest()[:8])
    numbers = (f"999{(digest + step) % 900_000:06d}" for step in range(900_000))
    return next(number for number in numbers if Bsn.passes(number))


def _identifiers(patient: Resource) -> list[dict[str, Any]]:
    found = patient.get("identifier")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _says_bsn(identifier: Mapping[str, Any]) -> bool:
    return identifier.get("system") in (BSN_SYSTEM, BSN_OID)


def _unmasked(identifier: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in identifier.items() if name != "_value"}


def _family(patient: Resource) -> str:
    names = patient.get("name")
    first = names[0] if isinstance(names, list) and names and isinstance(names[0], dict) else {}
    return str(first.get("family", ""))
