"""Who did what on the board and who logged in, as the programme reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schakel.roadmap.board import Action, Trace
from schakel.roadmap.board.trail import What
from schakel.roadmap.evidence import Member
from schakel.roadmap.model import Text
from schakel.roadmap.overview import Overview

DEEDS: Final[Mapping[What, Text]] = {
    "login": Text("Ingelogd", "Logged in"),
    "declaration": Text("Verklaard", "Declared"),
    "import": Text("Zelfscan ingelezen", "Imported a self-scan"),
    "confirmation": Text("Als tweede lezer bevestigd", "Confirmed as second reader"),
    "withdrawal": Text("Verklaring ingetrokken", "Withdrew a declaration"),
    "action": Text("Actie geschreven of gewijzigd", "Wrote or changed an action"),
    "run": Text("Meting gebracht", "Brought a measurement"),
    "roadmap": Text("Routekaart in gebruik genomen", "Brought a roadmap in force"),
}
"""What was done, in words."""

_LAST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A trace; `path` below the portal leads to what it was about ('' when that has no page now), `name` says what that
    is. `member` is None for no organisation, and for one that is not in the region now."""

    trace: Trace
    what: Text
    member: Member | None
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class TrailRows:
    """What the page shows; `before` is the number before which there is more, None when this is all."""

    rows: tuple[TraceRow, ...]
    before: int | None


def trail_page(
    overview: Overview, actions: Iterable[Action], traces: Sequence[Trace], most: int
) -> TrailRows:
    """The first `most` of these traces."""
    members = {one.ura: one for one in overview.members}
    steps = {step.id: item.id for item in overview.roadmap.items for step in item.steps}
    titles = {one.id: one.title for one in actions}
    rows = []
    for trace in traces[:most]:
        deed = trace.deed
        member, name, path = members.get(deed.ura), deed.about, ""
        match deed.what:
            case "declaration" | "confirmation" | "withdrawal":
                if member is not None and deed.about in steps:
                    path = f"/items/{steps[deed.about]}/{member.ura}#{deed.about}"
            case "action":
                name = titles.get(deed.about, deed.about)
                path = f"/agenda/actions/{deed.about}"
            case "run":
                path = f"/runs/{deed.about}"
            case "roadmap":
                path = "/versions"
            case "login" | "import":
                pass
        rows.append(TraceRow(trace, DEEDS[deed.what], member, name, path))
    return TrailRows(tuple(rows), traces[most - 1].number if len(traces) > most else None)


def read_before(value: str) -> int | None:
    """The number in an address, None for what is none."""
    known = value.isascii() and value.isdigit() and len(value) < 20
    return int(value) if known and int(value) <= _LAST else None
