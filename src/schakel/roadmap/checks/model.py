"""What a check is: what it looks at, how long what it finds counts, and how it says what it found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from schakel.roadmap.evidence import Finding, Verdict
from schakel.roadmap.model import Text
from schakel.roadmap.region import Defaults, Organisation

if TYPE_CHECKING:
    from schakel.roadmap.checks.tools import Tools

_REASON, _DETAIL, _FACT = 2000, 4000, 1000
"""Most characters of the texts of a finding (`roadmap.wire`)."""
_WHOLE = 2**53
"""The largest whole number of a fact, that every reader of JSON reads as it is (`roadmap.wire`)."""
_FOREVER = datetime(2200, 1, 1, tzinfo=UTC)
"""What ends later has no end that matters, such as a certificate without one."""


@dataclass(frozen=True, slots=True)
class Target:
    """The organisation that is looked at, and what holds for all."""

    organisation: Organisation
    defaults: Defaults


@dataclass(frozen=True, slots=True)
class Check:
    """A check.

    `how` says how it measures. What it finds counts for `fresh`. `wants` is whether the organisation has what it looks
    at: without it there is nothing to find, and no finding. It has `seconds` to end. With `in_service` it is about the
    endpoint being in service: one that does not answer fails; elsewhere silence says nothing.
    """

    id: str
    title: Text
    how: Text
    fresh: timedelta
    wants: Callable[[Organisation], bool]
    measure: Callable[[Target, Tools], Awaitable[Finding]]
    seconds: float = 60.0
    in_service: bool = False


class Unclear(Exception):
    """It could not be checked: `reason` is for people, `detail` for the engineer."""

    def __init__(self, reason: Text, detail: str = "") -> None:
        super().__init__(reason.en)
        self.reason = reason
        self.detail = detail


class Silent(Unclear):
    """An address gave no usable answer."""


def found(
    check: str,
    verdict: Verdict,
    reason: Text,
    detail: str = "",
    facts: Mapping[str, str | int | float] | None = None,
    until: datetime | None = None,
) -> Finding:
    """A finding of the check with this id, its texts within what a run may hold."""
    return Finding(
        check,
        verdict,
        Text(shortened(reason.nl, _REASON), shortened(reason.en, _REASON)),
        shortened(detail, _DETAIL),
        {name: _fact(one) for name, one in (facts or {}).items()},
        until if until is not None and until < _FOREVER else None,
    )


def _fact(value: str | int | float) -> str | int | float:
    """A fact within what a run may hold: it may be what a peer said."""
    if isinstance(value, str):
        return shortened(value, _FACT)
    return value if -_WHOLE <= value <= _WHOLE else f"{value:.3g}"


def shortened(text: str, most: int) -> str:
    """`text` on one line, of at most so many characters: it may hold what a peer said."""
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def judged(
    check: str,
    faults: Sequence[Text],
    otherwise: Text,
    detail: str = "",
    facts: Mapping[str, str | int | float] | None = None,
    until: datetime | None = None,
) -> Finding:
    """It fails by the `faults`, all of which are told, and holds as `otherwise` says when there are none."""
    if not faults:
        return found(check, "holds", otherwise, detail, facts, until)
    return found(check, "fails", together(faults), detail, facts)


def together(texts: Sequence[Text]) -> Text:
    """Several sentences as one text."""
    return Text(" ".join(one.nl for one in texts), " ".join(one.en for one in texts))
