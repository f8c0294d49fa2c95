"""Which of the endpoints that a provider uses is for an exchange, now.

An endpoint counts when its status is active, its connection type, payload type and FHIR version are those of the
exchange and its period includes this moment. Source: generic functions IG, care services, routing; R4 Endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.moments import FIRST, LAST, interval
from schakel.generic.addressing.exchanges import CAPABILITIES, Code, Exchange
from schakel.kernel.outcomes import Invalid

_RELEASES: dict[Version, str] = {"stu3": "3.0", "r4": "4.0"}
_SAYS_VERSION = re.compile(r';\s*fhirVersion\s*=\s*"?([0-9.]+)"?', re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")


def choose(endpoints: Sequence[Resource], wanted: Exchange, moment: datetime) -> Resource | None:
    """The endpoint for an exchange at `moment`, None when there is none.

    Of several the one that names the exchange itself, then the one with most of its categories, then the one whose
    period began last (so that a new endpoint takes over), then the first as they are listed.
    """
    fitting = [one for one in endpoints if fits(one, wanted, moment)]
    return max(fitting, key=lambda one: (*_closeness(one, wanted), _period(one)[0]), default=None)


def fits(endpoint: Resource, wanted: Exchange, moment: datetime) -> bool:
    """Whether an endpoint is for an exchange at `moment`."""
    return (
        endpoint.get("status") == "active"
        and (
            not wanted.connections
            or not wanted.connections.isdisjoint(_codes([endpoint.get("connectionType")]))
        )
        and (not wanted.payloads or not wanted.payloads.isdisjoint(payloads(endpoint)))
        and _of_version(endpoint, wanted.version)
        and _includes(endpoint, moment)
        and bool(_ADDRESS.fullmatch(str(endpoint.get("address", ""))))
    )


def payloads(endpoint: Resource) -> frozenset[Code]:
    """The payload types of an endpoint."""
    return frozenset(
        code for one in _dicts(endpoint.get("payloadType")) for code in _codes(one.get("coding"))
    )


def _closeness(endpoint: Resource, wanted: Exchange) -> tuple[bool, int]:
    """Whether an endpoint names the exchange itself, and how many of its payload types it has."""
    shared = payloads(endpoint) & wanted.payloads
    return any(system == CAPABILITIES for system, _ in shared), len(shared)


def _of_version(endpoint: Resource, version: Version | None) -> bool:
    """Whether an endpoint speaks a FHIR version; one that says none may speak it."""
    kinds = endpoint.get("payloadMimeType")
    texts = [one for one in kinds if isinstance(one, str)] if isinstance(kinds, list) else []
    said = [found[1] for text in texts if (found := _SAYS_VERSION.search(text))]
    if version is None or not said:
        return True
    release = _RELEASES[version]
    return any(one == release or one.startswith(f"{release}.") for one in said)


def _includes(endpoint: Resource, moment: datetime) -> bool:
    begin, end = _period(endpoint)
    return begin <= moment < end


def _period(endpoint: Resource) -> tuple[datetime, datetime]:
    """First moment of an endpoint's period, and the first moment after it. One that cannot be read includes nothing."""
    period = endpoint.get("period")
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
