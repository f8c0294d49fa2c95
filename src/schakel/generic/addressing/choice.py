"""Which of the endpoints that a provider uses is for an exchange, or for which part of it, now.

An endpoint counts when its status is active, its connection type, payload type and FHIR version are those of the
exchange and its period includes this moment. Its payload types name the exchange, and then it is for the whole, or
categories of data, and then it is for these. Source: generic functions IG, care services, routing; R4 Endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.moments import FIRST, LAST, interval
from schakel.generic.addressing.exchanges import CATEGORY_SYSTEMS, Code, Exchange
from schakel.kernel.outcomes import Invalid

_RELEASES: dict[Version, str] = {"stu3": "3.0", "r4": "4.0"}
_SAYS_VERSION = re.compile(r';\s*fhirVersion\s*=\s*"?([0-9.]+)"?', re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")


@dataclass(frozen=True, slots=True)
class Terms:
    """What an endpoint says of itself. `releases` are the FHIR releases it names, `begin` and `end` the first moment of
    its period and the first moment after it; one whose period cannot be read includes nothing."""

    active: bool
    connection: Code
    payloads: frozenset[Code]
    releases: tuple[str, ...]
    begin: datetime
    end: datetime

    @classmethod
    def of(cls, endpoint: Resource) -> Self:
        """The terms of an Endpoint. One without an address that can be called is not active."""
        payloads = (code for one in _dicts(endpoint.get("payloadType")) for code in _codes(one.get("coding")))
        begin, end = _period(endpoint.get("period"))
        return cls(
            endpoint.get("status") == "active" and bool(_ADDRESS.fullmatch(str(endpoint.get("address", "")))),
            next(_codes([endpoint.get("connectionType")]), ("", "")),
            frozenset(payloads),
            tuple(_releases(endpoint.get("payloadMimeType"))),
            begin,
            end,
        )

    def fit(self, wanted: Exchange, moment: datetime) -> bool:
        """Whether the endpoint may be asked for an exchange at `moment`, whatever data it has. One that names no FHIR
        release may speak any."""
        return (
            self.active
            and (not wanted.connections or self.connection in wanted.connections)
            and (not self.releases or wanted.version is None or self._speaks(_RELEASES[wanted.version]))
            and self.begin <= moment < self.end
        )

    def names(self, wanted: Exchange) -> bool:
        """Whether it is for the whole of an exchange: it names that, or the exchange is known by no payload type."""
        if wanted.payloads or wanted.categories:
            return not wanted.payloads.isdisjoint(self.payloads)
        return True

    def categories(self, wanted: Exchange) -> frozenset[str]:
        """The categories of an exchange that it has."""
        return wanted.categories & {code for system, code in self.payloads if system in CATEGORY_SYSTEMS}

    def closeness(self, wanted: Exchange) -> tuple[int, datetime]:
        """How many of the payload types of an exchange it has, and since when it is there."""
        return len(self.payloads & wanted.payloads) + len(self.categories(wanted)), self.begin

    def _speaks(self, release: str) -> bool:
        return any(one == release or one.startswith(f"{release}.") for one in self.releases)


def choose(
    endpoints: Sequence[Terms], wanted: Exchange, moment: datetime, categories: frozenset[str]
) -> list[tuple[int, frozenset[str]]]:
    """The places of the endpoints for an exchange at `moment`, each with those of `categories` that it is for; empty
    when there is none.

    One that names the exchange itself is for all of them, and then it is the only one. Else each category goes to the
    endpoint that has it; of several to the one that has most of those which have none yet, then to the one whose period
    began last (so that a new endpoint takes over), then to the first as they are listed.
    """
    fitting = [place for place, one in enumerate(endpoints) if one.fit(wanted, moment)]
    if naming := [place for place in fitting if endpoints[place].names(wanted)]:
        return [(max(naming, key=lambda place: endpoints[place].closeness(wanted)), categories)]
    chosen: list[tuple[int, frozenset[str]]] = []
    while fitting:
        has = {place: endpoints[place].categories(wanted) & categories for place in fitting}
        best = max(fitting, key=lambda place: (len(has[place]), endpoints[place].begin))
        if not has[best]:
            break
        chosen.append((best, has[best]))
        categories -= has[best]
    return chosen


def _releases(media: object) -> Iterator[str]:
    for one in media if isinstance(media, list) else ():
        if isinstance(one, str) and (found := _SAYS_VERSION.search(one)):
            yield found[1]


def _period(period: object) -> tuple[datetime, datetime]:
    if not isinstance(period, dict):
        return FIRST, LAST
    try:
        begin = interval(str(period["start"]))[0] if "start" in period else FIRST
        end = interval(str(period["end"]))[1] if "end" in period else LAST
    except Invalid:
        return LAST, FIRST
    return begin, end


def _codes(codings: object) -> Iterator[Code]:
    for one in _dicts(codings):
        yield str(one.get("system", "")), str(one.get("code", ""))


def _dicts(values: object) -> Iterable[dict[str, Any]]:
    return (one for one in values if isinstance(one, dict)) if isinstance(values, list) else ()
