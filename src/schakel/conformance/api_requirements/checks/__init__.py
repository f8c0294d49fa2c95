"""The checks by a machine, each subject in a file of its own; `CHECKS` is the one list."""

from __future__ import annotations

from schakel.conformance.api_requirements.checks import (
    documentation,
    formats,
    hiding,
    lifecycle,
    naming,
    packing,
    semantics,
    specification,
    tokens,
    transport,
    writing,
)
from schakel.conformance.api_requirements.probe import Check

CHECKS: tuple[Check, ...] = (
    *specification.CHECKS,
    *documentation.CHECKS,
    *naming.CHECKS,
    *semantics.CHECKS,
    *writing.CHECKS,
    *packing.CHECKS,
    *formats.CHECKS,
    *hiding.CHECKS,
    *lifecycle.CHECKS,
    *transport.CHECKS,
    *tokens.CHECKS,
)
