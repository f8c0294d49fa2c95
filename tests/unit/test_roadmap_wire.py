"""A run as JSON: what is written is read back, and what is wrong is named by its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.standings import HOSPITAL, MOMENT, PRACTICE, finding, run

from schakel.kernel.outcomes import Invalid, TooLarge
from schakel.roadmap import wire
from schakel.roadmap.evidence import Finding, Measured, Member, Run
from schakel.roadmap.model import Text

_line = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)
_name = st.from_regex(r"[A-Za-z0-9._:-]{1,20}", fullmatch=True)
_text = st.builds(Text, _line, _line)
_moment = st.datetimes(datetime(2000, 1, 2), datetime(2199, 1, 1), timezones=st.just(UTC))
_number = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_finding = st.builds(
    Finding,
    _name,
    st.sampled_from(("holds", "fails", "unknown", "not-applicable")),
    _text,
    st.just("") | _line,
    st.dictionaries(_name, _line | _number, max_size=4),
    st.none() | _moment,
)


@st.composite
def _runs(draw: st.DrawFn) -> Run:
    uras = draw(st.lists(st.from_regex(r"[0-9]{8}", fullmatch=True), min_size=1, max_size=4, unique=True))
    started = draw(_moment)
    length = draw(st.timedeltas(timedelta(0), timedelta(hours=2)))
    measured = [
        Measured(ura, one, started + length * draw(st.floats(0, 1)))
        for ura in uras
        for one in draw(st.lists(_finding, max_size=3, unique_by=lambda one: one.check))
    ]
    members = tuple(Member(ura, draw(_line), draw(_name), draw(st.just("") | _line)) for ura in uras)
    return Run(
        draw(_name),
        draw(_line),
        draw(_line),
        draw(_line),
        started,
        started + length,
        members,
        tuple(measured),
    )


@given(_runs())
def test_what_is_written_is_read_back(one: Run) -> None:
    assert wire.read(wire.dump(one)) == one


WHOLE = run(
    (HOSPITAL.ura, finding("tls", until=MOMENT, facts={"days": 3, "version": "1.3", "share": 0.5})),
    (PRACTICE.ura, finding("tls", "fails", detail="connection refused")),
)


def changed(*path: str | int, to: Any = None, drop: bool = False) -> bytes:
    """The run with the value at `path` changed, or gone."""
    body = orjson.loads(wire.dump(WHOLE))
    at = body
    for part in path[:-1]:
        at = at[part]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return orjson.dumps(body)


def test_a_run_as_it_is_written_is_read() -> None:
    assert wire.read(wire.dump(WHOLE)) == WHOLE


MEASURED: tuple[str | int, ...] = ("measured", 1)
WRONG: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "the body"),
    "no object": (b"[]", "the body"),
    "bytes that are no text": (b'{"id": "\xff"}', "the body"),
    "another format": (changed("format", to="schakel-roadmap-run/2"), "format"),
    "a member too many": (changed("extra", to=1), "extra"),
    "no id": (changed("id", drop=True), "id"),
    "an id with a blank": (changed("id", to="a b"), "id"),
    "no members": (changed("members", to=None), "members"),
    "a moment without a zone": (changed("started", to="2026-03-05T08:00:00"), "started"),
    "a moment as a number": (changed("started", to=1772000000), "started"),
    "a moment of long ago": (changed("started", to="0001-01-01T00:00:00Z"), "started"),
    "an end before the beginning": (changed("finished", to="2026-03-01T00:00:00Z"), "finished"),
    "a URA of seven digits": (changed("members", 0, "ura", to="9000001"), "members[0].ura"),
    "an organisation twice": (changed("members", 1, "ura", to=HOSPITAL.ura), "members[1].ura"),
    "an organisation that is no member": (changed(*MEASURED, "ura", to="90000003"), "measured[1].ura"),
    "a check twice": (changed(*MEASURED, "ura", to=HOSPITAL.ura), "measured[1].finding.check"),
    "a moment outside the run": (changed(*MEASURED, "at", to="2026-03-05T12:00:01Z"), "measured[1].at"),
    "a moment before the run": (changed(*MEASURED, "at", to="2026-03-05T11:00:00Z"), "measured[1].at"),
    "a verdict that is none": (
        changed(*MEASURED, "finding", "verdict", to="passes"),
        "measured[1].finding.verdict",
    ),
    "a reason in one language": (
        changed(*MEASURED, "finding", "reason", "en", drop=True),
        "measured[1].finding.reason.en",
    ),
    "an empty reason": (
        changed(*MEASURED, "finding", "reason", "nl", to=""),
        "measured[1].finding.reason.nl",
    ),
    "a control character": (
        changed(*MEASURED, "finding", "detail", to="a\0b"),
        "measured[1].finding.detail",
    ),
    "a detail that is too long": (
        changed(*MEASURED, "finding", "detail", to="x" * 4001),
        "measured[1].finding.detail",
    ),
    "a fact that is a list": (
        changed(*MEASURED, "finding", "facts", to={"a": []}),
        "measured[1].finding.facts.a",
    ),
    "a fact that is true": (
        changed(*MEASURED, "finding", "facts", to={"a": True}),
        "measured[1].finding.facts.a",
    ),
    "too many facts": (
        changed(*MEASURED, "finding", "facts", to={f"a{n}": n for n in range(51)}),
        "measured[1].finding.facts",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_run_with_one_thing_wrong_is_refused_by_its_place(case: str) -> None:
    body, place = WRONG[case]
    with pytest.raises(Invalid) as caught:
        wire.read(body)
    assert caught.value.kind == "run-invalid"
    assert caught.value.expression.startswith(place)
    assert caught.value.message.startswith(place)


@pytest.mark.parametrize(
    ("limits", "setting"),
    [(wire.RunLimits(1, 2), "roadmap.members"), (wire.RunLimits(2, 1), "roadmap.findings")],
)
def test_a_run_that_is_too_large_is_refused_and_names_the_setting(
    limits: wire.RunLimits, setting: str
) -> None:
    assert wire.read(wire.dump(WHOLE), wire.RunLimits(2, 2)) == WHOLE
    with pytest.raises(TooLarge, match=setting):
        wire.read(wire.dump(WHOLE), limits)
