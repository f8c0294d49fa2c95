"""The checks: what is measured at an organisation, each a module of its own.

A check looks at what the region's file says of an organisation. Without that there is no finding, and nothing is said.
What could not be checked is `unknown`, never `fails`: only an endpoint that is said to be in service and does not
answer, fails the check that is about that.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from schakel.roadmap.checks import (
    api,
    certificates,
    core_data,
    directory,
    exchange,
    fhir,
    localisation,
    logs,
    mail,
    medmij,
    mitz,
    professionals,
    suites,
    tokens,
    transport,
)
from schakel.roadmap.checks.model import Check, Silent, Target, Unclear
from schakel.roadmap.checks.tools import Tools

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        check.id: check
        for check in (
            fhir.CHECK,
            tokens.CHECK,
            transport.CHECK,
            certificates.CHECK,
            directory.CHECK,
            localisation.CHECK,
            mitz.CHECK,
            professionals.CHECK,
            logs.CHECK,
            exchange.CHECK,
            core_data.CHECK,
            medmij.CHECK,
            mail.CHECK,
            api.CHECK,
            *suites.SUITES,
        )
    }
)
"""Every check by its id, in the order in which they are shown."""

__all__ = ["CHECKS", "Check", "Silent", "Target", "Tools", "Unclear"]
