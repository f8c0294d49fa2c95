"""`Patient/$purge`: erases a patient, where a demonstration allows that bare. Source: OperationDefinition/Patient-purge
(R5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schakel.kernel.outcomes import Forbidden
from schakel.server.answer import Answer
from schakel.server.operations.registry import Call

if TYPE_CHECKING:
    from schakel.server.service import FhirService, WriteRules


def offered(rules: WriteRules) -> bool:
    """Whether an organisation with these rules has it."""
    return rules.erasure == "test"


async def run(service: FhirService, call: Call) -> Answer:
    """Raises `Forbidden` unless erasure is set to `test`."""
    if not offered(service.rules):
        raise Forbidden(
            "$purge is off: erasing a record needs the right to erase, with requester, reason and term",
            code="erasure-off",
        )
    asked = call.interaction
    await service.source.purge(asked.version, asked.id, call.caller, "test ($purge)")
    return Answer(204)
