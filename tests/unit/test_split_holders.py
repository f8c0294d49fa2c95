"""What the bases of one holder give together: of the patient's own records those that lead somewhere, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from tests.guarded import BSN, OTHER, condition, patient

from schakel.gateway.minimise import item
from schakel.network import HolderResult, RequestResult, assemble
from schakel.network.fetch import BaseResult, release

TITLES = {1: "Patient", 7: "Problem"}
SUBJECT = {"reference": "Patient/55"}
A, B, C = (f"https://{name}.example/fhir" for name in "abc")


def request(base: str, number: int, *resources: dict[str, Any]) -> RequestResult:
    """A search for the patient, or for conditions, that brought these as matches."""
    found = RequestResult(number, "Condition" if number == 7 else f"Patient?identifier={BSN}", "complete")
    found.take([item("stu3", one, True, (base,)) for one in resources], base)
    return found


def problem(logical_id: str, subject: str) -> dict[str, Any]:
    numbers = [{"system": "https://one.example/ids", "value": "17"}]
    return {**condition(logical_id, {"reference": subject}), "identifier": numbers}


async def holder(ura: str, *bases: BaseResult) -> HolderResult:
    """A holder with these bases, checked."""
    released = await release(bases, "stu3", BSN)
    return HolderResult(ura, "complete", [one for base in bases for one in base.requests], released)


def at_b(subject: str, *own: dict[str, Any]) -> BaseResult:
    """A base with a problem of this subject, where the patient was asked for as well."""
    return BaseResult(B, [request(B, 7, problem("c", subject))], request(B, 0, *own))


async def split(base: BaseResult) -> HolderResult:
    return await holder("90000001", BaseResult(A, [request(A, 1, patient("1", BSN))]), base)


async def test_a_holder_in_parts_and_one_that_is_whole_say_the_same_of_the_patient() -> None:
    parts = await split(at_b("Patient/55", patient("55", BSN)))
    whole = await holder(
        "90000002",
        BaseResult(C, [request(C, 1, patient("2", BSN)), request(C, 7, problem("d", "Patient/2"))]),
    )
    assert set(parts.resources) == {f"{A}/Patient/1", f"{B}/Patient/55", f"{B}/Condition/c"}
    told, problems = assemble([parts, whole], TITLES)
    assert "55" not in str(told)
    [thing] = problems["things"]
    assert ([len(sources) for sources in thing["versions"]], thing["differs"]) == ([2], [])


@pytest.mark.parametrize(
    ("subject", "own", "passed"),
    [
        ("Patient/55", patient("55", BSN), {"Condition/c", "Patient/55"}),
        (f"{B}/Patient/55", patient("55", BSN), {"Condition/c", "Patient/55"}),
        (f"{A}/Patient/1", patient("55", BSN), {"Condition/c"}),
        ("Patient/56", patient("55", BSN), set()),
        ("Patient/55", patient("55", OTHER), set()),
    ],
    ids=["its-own", "its-own-in-full", "of-another-base", "of-another-patient", "another-patient-alone"],
)
async def test_the_record_of_a_base_is_passed_on_when_what_is_passed_on_refers_to_it(
    subject: str, own: dict[str, Any], passed: set[str]
) -> None:
    found = await split(at_b(subject, own))
    assert set(found.resources) == {f"{A}/Patient/1"} | {f"{B}/{one}" for one in passed}


async def test_what_comes_beside_the_record_of_a_base_is_not_passed_on() -> None:
    second, other = patient("56", BSN), patient("57", OTHER)
    found = await split(at_b("Patient/55", patient("55", BSN), second, other, condition("z", SUBJECT)))
    assert set(found.resources) == {f"{A}/Patient/1", f"{B}/Patient/55", f"{B}/Condition/c"}


async def test_a_record_that_holds_something_about_another_is_not_passed_on() -> None:
    inside = condition("x", {"reference": "Patient/another"})
    found = await split(at_b("Patient/55", patient("55", BSN, contained=[inside])))
    assert set(found.resources) == {f"{A}/Patient/1", f"{B}/Condition/c"}


async def test_a_record_to_which_another_base_refers_is_passed_on() -> None:
    far = BaseResult(C, [request(C, 7, problem("far", f"{B}/Patient/55"))], request(C, 0, patient("3", BSN)))
    near = BaseResult(B, [request(B, 7)], request(B, 0, patient("55", BSN)))
    found = await holder("90000001", near, far)
    assert set(found.resources) == {f"{B}/Patient/55", f"{C}/Condition/far"}
