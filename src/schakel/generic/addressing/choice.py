"""Which of the endpoints that a provider uses is for an exchange, now.

An endpoint counts when its status is active, its connection type, payload type and FHIR version are those of the
exchange and its period includes this moment. Source: generic functions IG, care services, routing; R4 Endpoint.
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
from schakel.generic.addressing.exchanges import CAPABILITIES, Code, Exchange
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
        """Whether the endpoint is for an exchange at `moment`. One that names no FHIR release may speak any."""
        return (
            self.active
            and (not wanted.connections or self.connection in wanted.connections)
            and (not wanted.payloads or not wanted.payloads.isdisjoint(self.payloads))
            and (not self.releases or wanted.version is None or self._speaks(_RELEASES[wanted.version]))
            and self.begin <= moment < self.end
        )

    def _speaks(self, release: str) -> bool:
        return any(one == release or one.startswith(f"{release}.") for one in self.releases)

    def closeness(self, wanted: Exchange) -> tuple[bool, int, datetime]:
        """Whether it names the exchange itself, how many of its payload types it has, and since when it is there."""
        shared = self.payloads & wanted.payloads
        return any(system == CAPABILITIES for system, _ in shared), len(shared), self.begin


def choose(endpoints: Sequence[Terms], wanted: Exchange, moment: datetime) -> int | None:
    """The place of the endpoint for an exchange at `moment`, None when there is none.

    Of several the one that names the exchange itself, then the one with most of its categories, then the one whose
    period began last (so that a new endpoint takes over), then the first as they are listed.
    """
    fitting = [place for place, one in enumerate(endpoints) if one.fit(wanted, moment)]
    return max(fitting, key=lambda place: endpoints[place].closeness(wanted), default=None)


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
