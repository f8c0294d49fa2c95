"""Who may have data of a patient: every facility that knows is asked at once, and what they say is merged.

A facility that cannot be asked is told as that: it is never taken to say that nobody has anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import structlog

from schakel.generic.identity import User
from schakel.kernel.outcomes import Outcome
from schakel.kernel.values import Bsn

_log = structlog.get_logger("schakel.network")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose data are looked for, on behalf of whom and why."""

    patient: Bsn
    user: User
    purpose: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an organisation is asked: the finder that named it (`by`) and what that said more, such as the categories of
    data or since when."""

    by: str
    more: Mapping[str, Any]

    def report(self) -> dict[str, Any]:
        """The reason as an answer shows it."""
        return {"by": self.by, **self.more}


@dataclass(frozen=True, slots=True)
class Finding:
    """An organisation that a finder names."""

    ura: str
    more: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a finder names; `beside` says what stood in its answer beside these and could not be used, '' when nothing
    did: then somebody may be missing."""

    holders: Sequence[Finding]
    beside: str = ""


class Finder(Protocol):
    """One facility that knows who has data of a patient."""

    @property
    def name(self) -> str:
        """What it is called in answers, such as nvi."""
        ...

    async def find(self, wanted: Wanted) -> Findings:
        """Those that it names. Raises `Outcome` when it could not be asked or did not answer."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A facility that was asked: it answered or it failed. `reason` says why it failed, or what of its answer could
    not be used."""

    by: str
    status: Literal["answered", "failed"]
    reason: str = ""

    def report(self) -> dict[str, Any]:
        """How it went, as an answer shows it."""
        return {"by": self.by, "status": self.status, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Located:
    """The organisations by URA, each with why it is asked, in the order in which they were named, and how asking the
    facilities went."""

    holders: Mapping[str, tuple[Reason, ...]]
    asked: tuple[Asked, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every facility gave an answer that could be used whole, so that nobody is missing that it knows."""
        return all(one.status == "answered" and not one.reason for one in self.asked)


class Locator:
    """Asks all finders; `own` is the organisation that asks, which is left out."""

    def __init__(self, own: str, finders: Sequence[Finder], seconds: float) -> None:
        self._own = own
        self._finders = finders
        self._seconds = seconds

    @property
    def possible(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._finders)

    async def locate(self, wanted: Wanted) -> Located:
        """Asks every finder at once, each for so many seconds at most; none that fails hides another."""
        answers = await asyncio.gather(*(self._answer(finder, wanted) for finder in self._finders))
        holders: dict[str, tuple[Reason, ...]] = {}
        for asked, findings in answers:
            for one in findings.holders:
                if one.ura != self._own:
                    reason = Reason(asked.by, one.more)
                    known = holders.get(one.ura, ())
                    holders[one.ura] = known if reason in known else (*known, reason)
        return Located(holders, tuple(asked for asked, _ in answers))

    async def _answer(self, finder: Finder, wanted: Wanted) -> tuple[Asked, Findings]:
        try:
            async with asyncio.timeout(self._seconds):
                found = await finder.find(wanted)
            return Asked(finder.name, "answered", found.beside), found
        except TimeoutError:
            reason = "no answer in time"
        except Outcome as outcome:
            reason = outcome.message
        except Exception as error:  # What one says that we cannot read hides nothing of the others.
            _log.error("finder", finder=finder.name, kind=type(error).__name__)
            reason = "its answer could not be processed"
        return Asked(finder.name, "failed", reason), Findings(())
