"""Who may have data of a patient: what several facilities say is merged, and one that fails is told as that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from schakel.generic.identity import User
from schakel.kernel.outcomes import Outcome, Upstream
from schakel.kernel.values import Bsn
from schakel.network import Finding, Findings, Located, Locator, Wanted

OWN, A, B = "90000001", "90000002", "90000003"
WANTED = Wanted(Bsn("999911120"), User("900000008", "A. Arts", "01.010"), "TREAT")


class Knows:
    """A facility that names these, or fails with this error."""

    def __init__(
        self,
        name: str,
        findings: Sequence[Finding] = (),
        error: Exception | None = None,
        beside: str = "",
    ) -> None:
        self.name = name
        self._findings = Findings(findings, beside)
        self._error = error

    async def find(self, wanted: Wanted) -> Findings:
        assert wanted == WANTED
        if self._error is not None:
            raise self._error
        return self._findings


class Sleeps(Knows):
    async def find(self, wanted: Wanted) -> Findings:
        await asyncio.sleep(60)
        raise AssertionError


async def locate(*finders: Knows, seconds: float = 5) -> Located:
    return await Locator(OWN, finders, seconds).locate(WANTED)


async def test_a_holder_that_two_name_is_asked_once_for_both_reasons() -> None:
    found = await locate(
        Knows("nvi", [Finding(A, {"registered": "2026-01-01"}), Finding(B, {})]),
        Knows("mitz", [Finding(A, {"categories": ["GGC002"]})]),
    )
    assert [reason.report() for reason in found.holders[A]] == [
        {"by": "nvi", "registered": "2026-01-01"},
        {"by": "mitz", "categories": ["GGC002"]},
    ]
    assert list(found.holders) == [A, B] and found.whole


async def test_the_same_said_twice_is_one_reason() -> None:
    found = await locate(Knows("nvi", [Finding(A, {}), Finding(A, {})]))
    assert len(found.holders[A]) == 1


async def test_who_asks_is_not_among_those_asked() -> None:
    assert not (await locate(Knows("nvi", [Finding(OWN, {})]))).holders


async def test_that_nobody_has_anything_is_an_answer() -> None:
    found = await locate(Knows("nvi"))
    assert not found.holders and found.whole


async def test_what_could_not_be_used_of_an_answer_is_told() -> None:
    found = await locate(Knows("nvi", [Finding(A, {})], beside="1 of its records names no provider"))
    assert list(found.holders) == [A] and not found.whole
    assert found.asked[0].report()["reason"] == "1 of its records names no provider"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Upstream("the index gave no usable answer"), "the index gave no usable answer"),
        (KeyError("x"), "its answer could not be processed"),
    ],
    ids=["typed", "unforeseen"],
)
async def test_one_that_fails_hides_no_other_and_is_not_taken_for_none(error: Exception, reason: str) -> None:
    found = await locate(Knows("nvi", error=error), Knows("mitz", [Finding(A, {})]))
    assert list(found.holders) == [A] and not found.whole
    assert [asked.report() for asked in found.asked] == [
        {"by": "nvi", "status": "failed", "reason": reason},
        {"by": "mitz", "status": "answered", "reason": ""},
    ]
    assert isinstance(error, Outcome) or "x" not in reason


async def test_one_that_is_slow_is_given_up_after_its_time() -> None:
    found = await locate(Sleeps("nvi"), Knows("mitz", [Finding(A, {})]), seconds=0.05)
    assert [asked.reason for asked in found.asked] == ["no answer in time", ""]
    assert list(found.holders) == [A]


def test_without_facilities_nothing_can_be_located() -> None:
    assert not Locator(OWN, (), 5).possible and Locator(OWN, [Knows("nvi")], 5).possible
