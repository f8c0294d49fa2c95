"""`core-data`: what professionals record can be retrieved within a day (KPI-3).

Of the entries that were recorded in the last days, the moment of recording is laid beside the moment at which the first
version could be read here. An entry that names only a day is in time, or too late, when it is so whatever the hour was;
otherwise it does not count. What was recorded and is not here yet cannot be seen.

Source: IZA agreement A07 (core data within 24 hours after registration, all of it); the elements are those of FHIR STU3
and R4 that say when something was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from schakel.fhir.moments import interval
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.checks.internal import refused
from schakel.roadmap.checks.model import Check, Target, Unclear, found
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "core-data"

_TERM = timedelta(hours=24)
_PAGE = "200"
_SHARED = {
    "Observation": "issued",
    "DiagnosticReport": "issued",
    "MedicationRequest": "authoredOn",
    "MedicationStatement": "dateAsserted",
    "Consent": "dateTime",
    "NutritionOrder": "dateTime",
    "DeviceUseStatement": "recordedOn",
}
RECORDED: Mapping[Literal["stu3", "r4"], Mapping[str, str]] = {
    "stu3": {
        **_SHARED,
        "AllergyIntolerance": "assertedDate",
        "Condition": "assertedDate",
        "ProcedureRequest": "authoredOn",
    },
    "r4": {
        **_SHARED,
        "AllergyIntolerance": "recordedDate",
        "Condition": "recordedDate",
        "Immunization": "recorded",
        "ServiceRequest": "authoredOn",
    },
}
"""The core data by version and resource type, with the element that says when an entry was recorded."""


@dataclass(slots=True)
class _Count:
    """Entries in time, too late, and of which it cannot be said."""

    timely: int = 0
    late: int = 0
    undecided: int = 0

    @property
    def judged(self) -> int:
        return self.timely + self.late

    def add(self, recorded: str, available: datetime, since: datetime) -> None:
        """One entry; those that were recorded before `since` are not looked at."""
        try:
            first, last = interval(recorded)
        except Invalid:
            self.undecided += 1
            return
        if last <= since:
            return
        if available - first <= _TERM:
            self.timely += 1
        elif available - last >= _TERM:
            self.late += 1
        else:
            self.undecided += 1


async def _measure(target: Target, tools: Tools) -> Finding:
    days, most = target.defaults.core_data_days, target.defaults.core_data_most
    since = tools.began - timedelta(days=days)
    count, looked, versions = _Count(), 0, 0
    for version, types in RECORDED.items():
        metadata = await tools.internal(target.organisation, f"fhir/{version}/metadata")
        if metadata.status == 404:
            continue
        versions += 1
        for kind, element in types.items():
            looked += await _type(
                target, tools, f"fhir/{version}/{kind}", element, since, count, most - looked
            )
    if not versions:
        raise Unclear(
            Text(
                "De interne deur heeft geen FHIR-versie die wij lezen.",
                "The internal door has no FHIR version that we read.",
            )
        )
    if not count.judged:
        raise Unclear(
            Text(
                f"In de laatste {days} dagen is niets vastgelegd met een tijd van vastleggen.",
                f"In the last {days} days nothing was recorded with a time of recording.",
            ),
            f"{looked} entries looked at",
        )
    share = count.timely / count.judged
    facts: dict[str, str | int | float] = {
        "numerator": count.timely,
        "denominator": count.judged,
        "share": round(share, 4),
        "undecided": count.undecided,
        "days": days,
    }
    percent = f"{100 * share:.1f}"
    reason = Text(
        f"Van {count.judged} gegevens uit {days} dagen was {percent.replace('.', ',')} % binnen 24 uur beschikbaar.",
        f"Of {count.judged} entries in {days} days {percent} % could be retrieved within 24 hours.",
    )
    return found(ID, "fails" if count.late else "holds", reason, facts=facts)


async def _type(
    target: Target, tools: Tools, path: str, element: str, since: datetime, count: _Count, most: int
) -> int:
    """Adds the entries of one type that came since then to `count`, the newest first; how many were looked at."""
    looked = 0
    page = f"{path}/_history"
    params: tuple[tuple[str, str], ...] = (("_since", instant(since)), ("_count", _PAGE))
    while page and looked < most:
        answer = await tools.internal(target.organisation, page, params=params)
        table = answer.table()
        if answer.status != 200 or table is None:
            raise refused(answer)
        for entry in table.get("entry") or ():
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict) and (moment := _first_version(resource)) is not None:
                looked += 1
                count.add(str(resource.get(element, "")), moment, since)
        page, params = _next(table), ()
    return looked


def _first_version(resource: Mapping[str, Any]) -> datetime | None:
    """When the first version could be read; None for a later one."""
    meta = resource.get("meta")
    if not isinstance(meta, dict) or meta.get("versionId") != "1":
        return None
    try:
        return interval(str(meta.get("lastUpdated", "")))[0]
    except Invalid:
        return None


def _next(bundle: Mapping[str, Any]) -> str:
    """The address of the page that follows; '' when none does."""
    links = [one for one in bundle.get("link") or () if isinstance(one, dict)]
    return next((str(one.get("url")) for one in links if one.get("relation") == "next"), "")


CHECK = Check(
    ID,
    Text("Kerngegevens binnen een dag", "Core data within a day"),
    Text(
        "Vergelijkt van wat de laatste dagen is vastgelegd het moment van vastleggen met het moment waarop het op te "
        "vragen was: binnen 24 uur.",
        "Compares, of what was recorded in the last days, the moment of recording with the moment at which it could be "
        "retrieved: within 24 hours.",
    ),
    timedelta(days=30),
    wants=lambda one: bool(one.internal),
    measure=_measure,
    seconds=300.0,
)
