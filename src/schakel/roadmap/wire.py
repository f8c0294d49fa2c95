"""A run as JSON: what `schakel roadmap run` writes, and what a board takes.

    {"format": "schakel-roadmap-run/1",
     "id": "0d6c...", "region": "Noord", "roadmap": "2025-06", "by": "schakel 0.6.0",
     "started": "2026-03-05T08:00:00+00:00", "finished": "2026-03-05T08:02:10+00:00",
     "members": [{"ura": "90000001", "name": "...", "sector": "MSZ", "kind": "hospital"}],
     "measured": [{"ura": "90000001", "at": "2026-03-05T08:00:07+00:00",
                   "finding": {"check": "certificate", "verdict": "holds",
                               "reason": {"nl": "...", "en": "..."}, "detail": "", "facts": {"days": 61},
                               "until": "2026-05-05T12:00:00+00:00"}}]}

`format` has the version of this form, which changes when a reader of it could misunderstand a newer file. `verdict` is
`holds`, `fails`, `unknown` (it could not be checked) or `not-applicable`; `until` is null when no end is known. Every
moment has its zone and lies between `started` and `finished`; an organisation is measured when it is among `members`,
each check of it once. `detail` and `facts` have nothing personal. A member that is not named here is an error: a
mistake in a name may not go unseen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from schakel.kernel.outcomes import Invalid, TooLarge
from schakel.roadmap.evidence import Finding, Measured, Member, Run, Verdict
from schakel.roadmap.model import Text

FORMAT = "schakel-roadmap-run/1"
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How large a run may be: organisations, and findings about them (settings of `[roadmap]` of the same name)."""

    members: int = 1000
    findings: int = 50_000


def dump(run: Run) -> bytes:
    """The run as JSON; `read` gives the same run back."""
    return orjson.dumps(
        {
            "format": FORMAT,
            "id": run.id,
            "region": run.region,
            "roadmap": run.roadmap,
            "by": run.by,
            "started": _moment(run.started),
            "finished": _moment(run.finished),
            "members": [
                {"ura": one.ura, "name": one.name, "sector": one.sector, "kind": one.kind}
                for one in run.members
            ],
            "measured": [
                {"ura": one.ura, "at": _moment(one.at), "finding": as_json(one.finding)}
                for one in run.measured
            ],
        },
        option=orjson.OPT_INDENT_2,
    )


def as_json(finding: Finding) -> dict[str, Any]:
    """A finding as the JSON of a run has it."""
    return {
        "check": finding.check,
        "verdict": finding.verdict,
        "reason": {"nl": finding.reason.nl, "en": finding.reason.en},
        "detail": finding.detail,
        "facts": dict(finding.facts),
        "until": None if finding.until is None else _moment(finding.until),
    }


def read(body: bytes, limits: RunLimits | None = None) -> Run:
    """The run in `body`. Raises `Invalid` naming the place of what is wrong, and `TooLarge` for more members or
    findings than `limits` allow."""
    try:
        found = _Run.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise _invalid(error) from None
    limits = limits or RunLimits()
    for name, many, most in (
        ("members", found.members, limits.members),
        ("measured", found.measured, limits.findings),
    ):
        if len(many) > most:
            setting = "findings" if name == "measured" else name
            raise TooLarge(
                f"{name} has {len(many)} entries, and {most} may be in one run (setting roadmap.{setting})",
                expression=name,
            )
    _agrees(found)
    return Run(
        id=found.id,
        region=found.region,
        roadmap=found.roadmap,
        by=found.by,
        started=found.started,
        finished=found.finished,
        members=tuple(Member(one.ura, one.name, one.sector, one.kind) for one in found.members),
        measured=tuple(Measured(one.ura, _finding(one.finding), one.at) for one in found.measured),
    )


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _shown(value: str) -> str:
    """A text that can be kept and shown: no control characters but tabs and ends of lines."""
    if _CONTROL.search(value):
        raise ValueError("a control character cannot be kept")
    return value


def _sane(value: datetime) -> datetime:
    if not _FIRST <= value < _LAST:
        raise ValueError("a moment lies between the years 2000 and 2200")
    return value


_Shown = AfterValidator(_shown)
_Name = Annotated[str, Field(min_length=1, max_length=200), _Shown]
_Said = Annotated[str, Field(min_length=1, max_length=2000), _Shown]
_Moment = Annotated[AwareDatetime, AfterValidator(_sane)]
_Ura = Annotated[str, Field(pattern=r"^[0-9]{8}$")]
_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]
_Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Text(_Form):
    nl: _Said
    en: _Said


class _Finding(_Form):
    check: _Id
    verdict: Verdict
    reason: _Text
    detail: Annotated[str, Field(max_length=4000), _Shown] = ""
    facts: Annotated[
        dict[_Id, _Whole | _Number | Annotated[str, Field(max_length=1000), _Shown]], Field(max_length=50)
    ] = {}
    until: _Moment | None = None


class _Measured(_Form):
    ura: _Ura
    at: _Moment
    finding: _Finding


class _Member(_Form):
    ura: _Ura
    name: _Name
    sector: _Id
    kind: Annotated[str, Field(max_length=200), _Shown] = ""


class _Run(_Form):
    format: Literal["schakel-roadmap-run/1"]
    id: _Id
    region: _Name
    roadmap: _Name
    by: _Name
    started: _Moment
    finished: _Moment
    members: tuple[_Member, ...]
    measured: tuple[_Measured, ...]


def schema() -> dict[str, Any]:
    """The JSON Schema of a run, for an OpenAPI document: its `$defs` refer to one another as schemas there."""
    form = _Run.model_json_schema(ref_template="#/components/schemas/RoadmapRun{model}")
    text = orjson.dumps(form).replace(b"schemas/RoadmapRun_", b"schemas/RoadmapRun")
    told: dict[str, Any] = orjson.loads(text)
    told["$defs"] = {f"RoadmapRun{name.lstrip('_')}": one for name, one in told["$defs"].items()}
    return told


def _finding(found: _Finding) -> Finding:
    return Finding(
        found.check,
        found.verdict,
        Text(found.reason.nl, found.reason.en),
        found.detail,
        found.facts,
        found.until,
    )


def _agrees(found: _Run) -> None:
    """Whether the parts of a run belong together. Raises `Invalid`."""
    if not found.members:
        # Of the whole region it would mean that nobody is in it any more.
        raise _wrong("members", "a run is about at least one organisation")
    if found.finished < found.started:
        raise Invalid("finished is before started", code="run-invalid", expression="finished")
    uras: set[str] = set()
    for place, member in enumerate(found.members):
        if member.ura in uras:
            raise _wrong(f"members[{place}].ura", f"organisation {member.ura} is there twice")
        uras.add(member.ura)
    done: set[tuple[str, str]] = set()
    for place, one in enumerate(found.measured):
        at, key = f"measured[{place}]", (one.ura, one.finding.check)
        if one.ura not in uras:
            raise _wrong(f"{at}.ura", f"organisation {one.ura} is not among the members")
        if key in done:
            raise _wrong(f"{at}.finding.check", f"check {key[1]} of organisation {one.ura} is there twice")
        if not found.started <= one.at <= found.finished:
            raise _wrong(f"{at}.at", "this moment is not between started and finished")
        done.add(key)


def _wrong(place: str, what: str) -> Invalid:
    return Invalid(f"{place}: {what}", code="run-invalid", expression=place)


def _invalid(error: ValidationError) -> Invalid:
    """What is wrong first, without what stood there."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ""
    for part in first["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f"{'.' if place else ''}{part}"
    place = place[:200] or "the body"
    return _wrong(place, first["msg"][:300])


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
