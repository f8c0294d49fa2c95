"""What the Dutch API requirements are, and what is found about one of them at an endpoint.

Source: Nictiz API-eisen, version 1.2.0. A key is a code (`DR003`) or that of a part of it (`DR003.001`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from schakel.kernel.texts import Text

Role = Literal["spec", "sdev", "sdep", "cdev", "cdep"]
"""Who writes the specification; who makes and who runs the server; who makes and who runs a client."""

How = Literal["machine", "both", "person"]
"""Who can say whether it is met. `both`: a machine sees a part, or sees it broken; a person declares the rest."""


class Level(StrEnum):
    """How binding a requirement is (RFC 2119)."""

    MUST = "must"
    SHOULD = "should"
    MAY = "may"


class Standard(StrEnum):
    """The levels of standardisation; each includes the ones before it."""

    OPEN = "open"
    TECHNICAL = "technical"
    FULL = "full"

    @property
    def included(self) -> frozenset[Standard]:
        """This level and the ones below it."""
        order = list(Standard)
        return frozenset(order[: order.index(self) + 1])


class Verdict(StrEnum):
    """What is known about a requirement. `UNKNOWN` says nothing about the endpoint."""

    PASSED = "pass"
    FAILED = "fail"
    UNKNOWN = "could-not-check"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True)
class Sub:
    """A part of a requirement, by its three digits; `client` when it binds who uses the API."""

    number: str
    level: Level
    short: Text
    client: bool


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement. `since` is the lowest level of standardisation that it counts for; `why` is why a machine cannot
    see it, where one would think so."""

    code: str
    level: Level
    roles: frozenset[Role]
    since: Standard
    how: How
    short: Text
    subs: tuple[Sub, ...]
    why: Text | None = None

    @property
    def style(self) -> Literal["rest", "soap", "any"]:
        """For which kind of API it is, as its code says."""
        return "rest" if "-R" in self.code else "soap" if "-S" in self.code else "any"

    @property
    def only_clients(self) -> bool:
        """Whether nobody on the side of the server has to do it."""
        return self.roles <= {"cdev", "cdep"}

    @property
    def keys(self) -> tuple[str, ...]:
        """The key of the requirement, and of each part."""
        return self.code, *(f"{self.code}.{sub.number}" for sub in self.subs)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw about a key. `evidence` is an address, or what was done where there is none."""

    key: str
    verdict: Verdict
    reason: Text
    evidence: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """What is known about a requirement, or about one part of it (`sub`, '' for the whole).

    `by` says who says so: a machine, a person, or the requirement itself, for whom it binds. `at` is when. `broken`
    says that a machine saw it broken, and a person gave the reason why it does not apply.
    """

    code: str
    sub: str
    level: Level
    verdict: Verdict
    reason: Text
    evidence: str
    by: Literal["machine", "person", "requirement"]
    at: datetime
    broken: bool = False

    @property
    def key(self) -> str:
        """`DR003`, or `DR003.001`."""
        return f"{self.code}.{self.sub}" if self.sub else self.code


@dataclass(frozen=True, slots=True)
class ApiResult:
    """A whole run at `url`, at one level of standardisation, in the order of the requirements."""

    url: str
    standard: Standard
    started: datetime
    seconds: float
    results: tuple[Result, ...]

    @property
    def whole(self) -> tuple[Result, ...]:
        """The results of requirements, without those of their parts."""
        return tuple(result for result in self.results if not result.sub)

    def parts(self, code: str) -> tuple[Result, ...]:
        """The results of the parts of one requirement."""
        return tuple(result for result in self.results if result.code == code and result.sub)

    def with_verdict(self, verdict: Verdict) -> tuple[Result, ...]:
        """The requirements with that verdict."""
        return tuple(result for result in self.whole if result.verdict is verdict)

    @property
    def failed(self) -> tuple[Result, ...]:
        """The requirements that must be met and are not."""
        return tuple(r for r in self.with_verdict(Verdict.FAILED) if r.level is Level.MUST)

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many requirements have each verdict."""
        return {verdict: len(self.with_verdict(verdict)) for verdict in Verdict}


def exit_code(result: ApiResult) -> int:
    """0: something holds and nothing fails that must hold; 1: that fails; 2: nothing is known to hold."""
    if result.failed:
        return 1
    return 0 if result.with_verdict(Verdict.PASSED) else 2
