"""DR008, DR009: answers packed with gzip and DEFLATE, when and only when the caller takes that (RFC 9110, 12.5.3)."""

from __future__ import annotations

from collections.abc import Sequence

from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import (
    JSON,
    Check,
    Probe,
    broken,
    holds,
    unknown,
    unpacked,
)
from schakel.conformance.client import Response
from schakel.kernel.outcomes import Invalid

_WORTH_IT = 1500
"""Bytes below which a server may think that packing saves nothing."""


async def _plain(probe: Probe) -> Response:
    answer = await probe.get(probe.metadata, JSON)
    probe.refuse_closed(answer, probe.metadata)
    return answer


async def _packed(probe: Probe, coding: str) -> Response:
    return await probe.send("GET", probe.metadata, (("Accept", JSON), ("Accept-Encoding", coding)))


async def codings(probe: Probe) -> Sequence[Finding]:
    """DR008: a caller that takes only gzip gets gzip, one that takes only deflate gets that."""
    plain = await _plain(probe)
    if len(plain.body) < _WORTH_IT and not plain.header("Content-Encoding"):
        small = await _packed(probe, "gzip")
        if not small.header("Content-Encoding"):
            told = f"{len(plain.body)} bytes"
            return [
                unknown(
                    "DR008",
                    f"het antwoord is te klein om in te pakken ({told})",
                    f"the answer is too small to be packed ({told})",
                    probe.metadata,
                )
            ]
    missing = [coding for coding in ("gzip", "deflate") if _coding(await _packed(probe, coding)) != coding]
    if missing:
        told = ", ".join(missing)
        return [broken("DR008", f"niet ingepakt met {told}", f"not packed with {told}", probe.metadata)]
    return [
        holds(
            "DR008", "ingepakt met gzip en met deflate", "packed with gzip and with deflate", probe.metadata
        )
    ]


async def negotiated(probe: Probe) -> Sequence[Finding]:
    """DR009: what comes is what Accept-Encoding takes, Content-Encoding says which, and it opens as that."""
    plain = await _plain(probe)
    if (plain.header("Content-Encoding") or "identity") != "identity":
        told = plain.header("Content-Encoding")
        return [
            broken(
                "DR009",
                f"ingepakt met {told} voor wie dat niet aanneemt",
                f"packed with {told} for a caller that does not take it",
                probe.metadata,
            )
        ]
    opened = 0
    for coding in ("gzip", "deflate"):
        answer = await _packed(probe, coding)
        if _coding(answer) not in (coding, "identity"):
            told = _coding(answer)
            return [
                broken(
                    "DR009",
                    f"gevraagd om {coding}, gekregen {told}",
                    f"asked for {coding}, given {told}",
                    probe.metadata,
                )
            ]
        try:
            unpacked(answer)
        except Invalid as error:
            return [
                broken(
                    "DR009",
                    f"gaat niet open: {error.message}",
                    f"does not open: {error.message}",
                    probe.metadata,
                )
            ]
        opened += _coding(answer) == coding
    if not opened:
        return [
            unknown(
                "DR009",
                "geen antwoord werd ingepakt, dus er is niets te vergelijken",
                "no answer was packed, so there is nothing to compare",
                probe.metadata,
            )
        ]
    return [
        holds(
            "DR009",
            "ingepakt voor wie dat aanneemt, en anders niet",
            "packed for who takes it, and not for others",
            probe.metadata,
        )
    ]


def _coding(answer: Response) -> str:
    return (answer.header("Content-Encoding") or "identity").strip().lower().removeprefix("x-")


CHECKS = (Check(("DR008",), codings), Check(("DR009",), negotiated))
