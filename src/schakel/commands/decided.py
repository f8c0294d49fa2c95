"""A stored decision in plain words, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schakel.commands.reasons import explained

_KINDS = {
    "recorded": "a ground that the organisation wrote down",
    "referral": "a referral",
    "handover": "a handover",
    "patient": "the patient's own request",
    "mitz": "the patient's choice in Mitz",
    "acute": "acute care, under the opt-out regime",
    "break-glass": "an emergency",
}
_MOST = 40
"""Resources that are named; of more the number is told."""


def decided(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is stored of a decision: a word and what it says."""
    row, verdict = told["row"], told["verdict"]
    yield "asked", _asked(told["asked"])
    if row is not None:
        yield "row", _sentence(row["id"], row["title"] or row["category"], row["source"], row["link"])
    if verdict is not None:
        yield "verdict", _sentence(verdict["explanation"], verdict["link"])
        yield "rule", verdict["rule"]
    elif told["reason"]:
        yield "verdict", f"refused before the matrix was asked: {explained(told['reason'])}"
    yield "ground", _ground(told)
    yield "emergency", told["emergency"]
    yield "checks done", "\n".join(f"{c['name']} ({c['milliseconds']:.1f} ms)" for c in told["checks"])
    yield "disclosed", _listed(told["shown"])
    yield "held back", _listed([f"{h['resource']}: {explained(h['why'])}" for h in told["held_back"]])
    yield "policy", told["policy"]


def _asked(asked: dict[str, Any]) -> str:
    """The interaction as it was judged."""
    if asked.get("query") is not None:
        return f"{asked['interaction']} {asked['path']}?{asked['query']} ({asked['version']})"
    parts = [
        asked.get("interaction", ""),
        "/".join(p for p in (asked.get("type", ""), asked.get("id", "")) if p),
    ]
    operation = asked.get("operation")
    return " ".join(p for p in (*parts, f"${operation}" if operation else "", f"({asked['version']})") if p)


def _ground(told: dict[str, Any]) -> str:
    ground = told["ground"]
    if ground is None:
        return "none was needed" if told["outcome"] == "0" else "none"
    return _sentence(
        _KINDS.get(ground["kind"], ground["kind"]),
        f"{ground['id']} ({ground['source']}, {ground['recorded']})",
        ground["explanation"],
        ground["link"],
    )


def _sentence(*parts: str) -> str:
    return "; ".join(dict.fromkeys(part for part in parts if part))


def _listed(lines: list[str]) -> str:
    more = len(lines) - _MOST
    return "\n".join([*lines[:_MOST], *([f"and {more} more"] if more > 0 else [])])
