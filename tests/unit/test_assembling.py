"""What several holders gave, in order: doubles folded, differences side by side, nothing lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.gateway.minimise import item
from schakel.network import HolderResult, RequestResult, assemble

SYSTEM = "https://one.example/ids"
TITLES = {1: "Patient", 7: "Problem"}


def resource(kind: str, logical_id: str, number: str = "", **members: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": kind, "id": logical_id, **members}
    if number:
        made["identifier"] = [{"system": SYSTEM, "value": number}]
    return made


def holder(
    ura: str, *resources: dict[str, Any], number: int = 7, along: tuple[dict[str, Any], ...] = ()
) -> HolderResult:
    """A holder that gave these for request `number`, with those `along` (includes)."""
    request = RequestResult(number, "Condition", "complete")
    base = f"https://{ura}.example/fhir"
    request.take([item("stu3", r, True) for r in resources], base)
    # An include is taken by a page as it is; what is of the asked type would be a match.
    for one in along:
        found = item("stu3", one, False)
        request.items.append(found)
        request.urls[found.key] = f"{base}/{found.key}"
    result = HolderResult(ura, "complete", [request])
    result.resources = {request.urls[i.key]: i.resource for i in request.items}
    return result


def things(*results: HolderResult) -> list[dict[str, Any]]:
    [section] = assemble(results, TITLES)
    assert section["zib"] == "Problem"
    found: list[dict[str, Any]] = section["things"]
    return found


def uras(thing: dict[str, Any]) -> list[list[str]]:
    return [[source["ura"] for source in version] for version in thing["versions"]]


PROBLEM: dict[str, Any] = {"code": {"text": "asthma"}}


def test_two_holders_that_say_the_same_are_one_version_with_two_sources() -> None:
    [thing] = things(
        holder("1", resource("Condition", "a", "17", meta={"versionId": "3"}, **PROBLEM)),
        holder("2", resource("Condition", "b", "17", meta={"lastUpdated": "2026-01-01"}, **PROBLEM)),
    )
    assert uras(thing) == [["1", "2"]] and thing["differs"] == []
    assert thing["identifier"] == [{"system": SYSTEM, "value": "17"}]
    assert [source["version"] for source in thing["versions"][0]] == ["3", ""]


def test_what_differs_stands_side_by_side_and_is_named() -> None:
    [thing] = things(
        holder("1", resource("Condition", "a", "17", **PROBLEM)),
        holder("2", resource("Condition", "b", "17", code={"text": "astma"}, onsetString="young")),
        holder("3", resource("Condition", "c", "17", **PROBLEM)),
    )
    assert uras(thing) == [["1", "3"], ["2"]]
    assert sorted(thing["differs"]) == ["code", "onsetString"]


@pytest.mark.parametrize(
    "other",
    [
        resource("Condition", "b", "18", **PROBLEM),
        resource("Condition", "b", **PROBLEM),
        resource("Condition", "b", identifier=[{"value": "17"}], **PROBLEM),
        resource(
            "Condition", "b", identifier=[{"system": "https://two.example/ids", "value": "17"}], **PROBLEM
        ),
    ],
    ids=["another number", "no number", "no system", "another system"],
)
def test_without_a_shared_identifier_nothing_is_folded(other: dict[str, Any]) -> None:
    assert len(things(holder("1", resource("Condition", "a", "17", **PROBLEM)), holder("2", other))) == 2


def test_an_identifier_that_a_holder_uses_twice_folds_nothing() -> None:
    found = things(
        holder("1", resource("Condition", "a", "17", **PROBLEM), resource("Condition", "b", "17", **PROBLEM)),
        holder("2", resource("Condition", "c", "17", **PROBLEM)),
    )
    assert [uras(thing) for thing in found] == [[["1"]], [["1"]], [["2"]]]


def test_an_identifier_that_one_resource_repeats_still_folds() -> None:
    twice = resource("Condition", "a", "17", **PROBLEM)
    twice["identifier"] *= 2
    [thing] = things(holder("1", twice), holder("2", resource("Condition", "b", "17", **PROBLEM)))
    assert uras(thing) == [["1"], ["2"]] and len(thing["identifier"]) == 1


def test_no_holder_makes_one_thing_of_two_that_another_keeps_apart() -> None:
    both = resource("Condition", "x", "17", **PROBLEM)
    both["identifier"].append({"system": SYSTEM, "value": "18"})
    found = things(
        holder("1", resource("Condition", "a", "17", **PROBLEM), resource("Condition", "b", "18", **PROBLEM)),
        holder("2", both),
    )
    assert [uras(thing) for thing in found] == [[["1"]], [["1"]], [["2"]]]


def _soon(work: Callable[[], Any], most: float = 20.0) -> Any:
    """What `work` gives, which it must do within so many seconds of this thread's own time."""
    began = time.thread_time()
    given = work()
    assert time.thread_time() - began < most
    return given


def test_references_that_lead_everywhere_do_not_make_it_slow() -> None:
    # Followed one by one these are sixty to the sixth power.
    everything = [{"reference": f"Observation/o{n}"} for n in range(60)]
    seen = [
        resource("Observation", f"o{n}", related=[{"target": one} for one in everything]) for n in range(60)
    ]
    problem = resource("Condition", "c", evidence=[{"detail": everything}])
    [thing] = _soon(lambda: things(holder("1", problem, along=tuple(seen))))
    assert uras(thing) == [["1"]]


def test_a_long_chain_of_references_is_no_deep_recursion() -> None:
    chain = [
        resource("Observation", f"o{n}", related=[{"target": {"reference": f"Observation/o{n + 1}"}}])
        for n in range(5_000)
    ]
    problem = resource("Condition", "c", evidence=[{"detail": [{"reference": "Observation/o0"}]}])
    assert len(_soon(lambda: things(holder("1", problem, along=tuple(chain))))) == 1


def test_ten_thousand_with_one_identifier_fold_nothing_and_are_all_there() -> None:
    many = [resource("Condition", f"c{n}", "17", **PROBLEM) for n in range(10_000)]
    assert len(_soon(lambda: things(holder("1", *many)))) == 10_000


def test_identifiers_in_a_chain_do_not_make_it_slow() -> None:
    # Each link hangs all that was joined before below one more.
    singles = [resource("Condition", f"s{n}", f"single{n}", **PROBLEM) for n in range(4_000)]
    links = []
    for n in range(4_000):
        link = resource("Condition", f"l{n}", f"link{n - 1}" if n else "link", **PROBLEM)
        link["identifier"] += [
            {"system": SYSTEM, "value": f"single{n}"},
            {"system": SYSTEM, "value": f"link{n}"},
        ]
        links.append(link)
    found = _soon(lambda: things(holder("1", *singles), holder("2", *links[::2]), holder("3", *links[1::2])))
    assert len(found) == 8_000


def test_identifiers_join_by_way_of_a_third() -> None:
    both = resource("Condition", "c", "17", **PROBLEM)
    both["identifier"].append({"system": SYSTEM, "value": "18"})
    [thing] = things(
        holder("1", resource("Condition", "a", "17", **PROBLEM)),
        holder("2", resource("Condition", "b", "18", **PROBLEM)),
        holder("3", both),
    )
    assert len(thing["identifier"]) == 2


def test_a_reference_counts_as_what_it_leads_to() -> None:
    def side(ura: str, name: str) -> HolderResult:
        practitioner = resource("Practitioner", f"p{ura}", name=[{"family": name}])
        asserted = {"asserter": {"reference": f"Practitioner/p{ura}"}, **PROBLEM}
        return holder(ura, resource("Condition", f"c{ura}", "17", **asserted), along=(practitioner,))

    [same] = things(side("1", "Jansen"), side("2", "Jansen"))
    [other] = things(side("1", "Jansen"), side("2", "Pietersen"))
    assert uras(same) == [["1", "2"]] and uras(other) == [["1"], ["2"]]
    assert other["differs"] == ["asserter"]


def test_a_reference_that_leads_nowhere_is_not_taken_for_the_same() -> None:
    members = {"asserter": {"reference": "Practitioner/1"}, **PROBLEM}
    [thing] = things(
        holder("1", resource("Condition", "a", "17", **members)),
        holder("2", resource("Condition", "b", "17", **members)),
    )
    assert uras(thing) == [["1"], ["2"]]


def test_the_patient_of_the_question_is_the_same_everywhere() -> None:
    def side(ura: str, city: str) -> HolderResult:
        patient = resource("Patient", f"p{ura}", address=[{"city": city}])
        about = {"subject": {"reference": f"Patient/p{ura}"}, **PROBLEM}
        return holder(ura, resource("Condition", f"c{ura}", "17", **about), along=(patient,))

    [thing] = things(side("1", "Aalten"), side("2", "Zwolle"))
    assert uras(thing) == [["1", "2"]]


def test_what_refers_in_a_circle_ends() -> None:
    one = resource("Condition", "a", "17", evidence=[{"detail": [{"reference": "Condition/b"}]}])
    two = resource("Condition", "b", "18", evidence=[{"detail": [{"reference": "Condition/a"}]}])
    assert len(things(holder("1", one, two))) == 2


def test_what_only_came_along_has_no_section() -> None:
    result = holder("1", along=(resource("Practitioner", "p"),))
    assert assemble([result], TITLES) == []


@given(st.data())
def test_nothing_is_lost_and_nothing_is_told_twice(data: st.DataObject) -> None:
    numbers = st.sampled_from(["", "17", "18", "19"])
    results = [
        holder(
            str(n),
            *(
                resource(
                    "Condition", f"c{i}", data.draw(numbers), code={"text": data.draw(st.sampled_from("ab"))}
                )
                for i in range(data.draw(st.integers(0, 3)))
            ),
        )
        for n in range(3)
    ]
    before = deepcopy([result.resources for result in results])
    found = [thing for section in assemble(results, TITLES) for thing in section["things"]]
    told = [source["url"] for thing in found for version in thing["versions"] for source in version]
    assert sorted(told) == sorted(url for result in results for url in result.resources)
    assert [result.resources for result in results] == before
    for thing in found:
        assert (len(thing["versions"]) > 1) == bool(thing["differs"])
