"""LM005, LM006: what an endpoint says about its end, by the headers Deprecation (RFC 9745) and Sunset (RFC 8594)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import JSON, Check, Probe, Unseen, broken, holds, unknown
from schakel.kernel.clock import now

_YEAR = timedelta(days=365)


async def ending(probe: Probe) -> Sequence[Finding]:
    """LM005.002 and LM006.001: at least a year between the two, and no answer any more after the end."""
    answer = await probe.get(probe.metadata, JSON)
    url = probe.metadata
    since, until = answer.header("Deprecation"), answer.header("Sunset")
    if not since and not until:
        raise Unseen(
            "geen kopregel zegt iets over het einde; of dat klopt, zegt een mens",
            "no header says anything about the end; whether that is right, a person says",
            url,
        )
    first, last = _moment(since or ""), _moment(until or "")
    found = []
    if until and last is None:
        found.append(broken("LM006.001", "Sunset is geen datum", "Sunset is no date", url))
    elif last is not None and last < now() and answer.status < 400:
        day = last.date().isoformat()
        found.append(
            broken(
                "LM006.001",
                f"het einde was {day}, en er komt nog een antwoord",
                f"the end was {day}, and it still answers",
                url,
            )
        )
    if last is None or first is None:
        found.append(
            unknown(
                "LM005.002",
                "zonder begin en einde is het jaar niet te tellen",
                "without both a beginning and an end the year cannot be counted",
                url,
            )
        )
    elif last - first < _YEAR:
        days = (last - first).days
        found.append(
            broken(
                "LM005.002", f"{days} dagen is korter dan een jaar", f"{days} days is less than a year", url
            )
        )
    else:
        days = (last - first).days
        found.append(holds("LM005.002", f"{days} dagen tot het einde", f"{days} days until the end", url))
    return found


def _moment(value: str) -> datetime | None:
    """A moment as RFC 9745 (`@` and seconds) or as HTTP (a date) says it."""
    try:
        if value.startswith("@"):
            return datetime.fromtimestamp(int(value[1:]), UTC)
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, OSError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


CHECKS = (Check(("LM005.002", "LM006.001"), ending),)
