"""How many were found, on which page they stand while data change, and the last ones of each code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests.searching import (
    BSN,
    OBSERVATIONS,
    PARSER,
    PEOPLE,
    SNOMED,
    concept,
    filled,
    found,
    resource,
    to,
)

from schakel.fhir.search import pairs_of
from schakel.kernel.outcomes import Gone, TooCostly
from schakel.sources import Write
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    """The people and observations above. No test adds to these types."""
    async with filled(cluster, "pages", [*PEOPLE, *OBSERVATIONS]) as store:
        yield store


async def test_the_total_is_there_when_it_is_known(store: Store) -> None:
    assert (await found(store, "Observation", "patient=eve")).total == 5
    assert (await found(store, "Observation", "patient=eve&_count=5")).total == 5
    first = await found(store, "Observation", "patient=eve&_count=4")
    assert first.total == 5 and first.next_page is not None
    assert (await found(store, "Observation", "_page={}.{}".format(*first.next_page))).total == 5
    assert (await found(store, "Observation", "patient=eve&_count=4&_total=none")).total is None
    assert (await found(store, "Observation", "patient=eve&_count=4&_total=accurate")).total == 5


async def test_a_count_of_zero_asks_for_the_total_alone(store: Store) -> None:
    answer = await found(store, "Observation", "patient=eve&_count=0&_include=Observation:subject")
    assert (answer.total, answer.matches, answer.included, answer.next_page) == (5, (), (), None)


async def numbered(store: Store, kind: str, number: int) -> None:
    new = [
        resource(kind, f"n{n:02}", code={"text": "x"}, created=f"2024-01-{n + 1:02}") for n in range(number)
    ]
    await store.write("stu3", [Write("PUT", kind, r["id"], r) for r in new])


async def test_pages_hold_what_was_found_while_data_change(store: Store) -> None:
    await numbered(store, "Basic", 10)
    query = "_id=" + ",".join(f"n{n:02}" for n in range(20)) + "&_sort=-created&_count=3"
    answer = await found(store, "Basic", query)
    seen = [(s.id, s.version) for s in answer.matches]
    change = resource("Basic", "n05", code={"text": "changed"}, created="2025-01-01")
    new = resource("Basic", "n15", code={"text": "x"}, created="2024-01-01")
    await store.write(
        "stu3",
        [
            Write("PUT", "Basic", "n05", change),
            Write("PUT", "Basic", "n15", new),
            Write("DELETE", "Basic", "n00"),
        ],
    )
    while answer.next_page:
        assert answer.total == 10
        key, offset = answer.next_page
        answer = await found(store, "Basic", f"_page={key}.{offset}")
        seen += [(s.id, s.version) for s in answer.matches]
        assert all(orjson.loads(s.body)["meta"]["versionId"] == str(s.version) for s in answer.matches)
    assert seen == [(f"n{n:02}", 1) for n in reversed(range(10))]


async def test_a_page_includes_what_its_matches_refer_to(store: Store) -> None:
    authors = [resource("Basic", f"a{n}", code={"text": "x"}, author=to("Practitioner/gp")) for n in range(3)]
    await store.write("stu3", [Write("PUT", "Basic", r["id"], r) for r in authors])
    answer = await found(store, "Basic", "author=Practitioner/gp&_sort=_id&_count=1&_include=Basic:author")
    await store.write("stu3", [Write("PUT", "Basic", "a1", authors[1])])
    for name in ("a0", "a1", "a2"):
        assert [s.id for s in answer.matches] == [name]
        assert [(i.stored.id, i.via) for i in answer.included] == [("gp", (f"Basic/{name}",))]
        if answer.next_page:
            answer = await found(store, "Basic", "_page={}.{}".format(*answer.next_page))


async def test_a_page_belongs_to_the_caller_and_the_type_that_searched(store: Store) -> None:
    answer = await found(store, "Observation", "patient=eve&_count=1")
    assert answer.next_page is not None
    page = pairs_of("_page={}.{}".format(*answer.next_page))
    with pytest.raises(Gone):
        await store.search("stu3", PARSER.parse("Observation", page), "someone else")
    with pytest.raises(Gone):
        await store.search("stu3", PARSER.parse("Patient", page), "me")
    assert (await store.page_query("stu3", answer.next_page[0], "Observation", "me")).conditions


async def test_a_page_is_gone_after_ten_minutes(store: Store) -> None:
    answer = await found(store, "Observation", "patient=eve&_count=1")
    assert answer.next_page is not None
    async with store._pool.acquire() as connection:
        await connection.execute(
            "UPDATE search_page SET made = made - interval '11 minutes' WHERE key = $1", answer.next_page[0]
        )
    with pytest.raises(Gone, match="search again"):
        await found(store, "Observation", "_page={}.{}".format(*answer.next_page))
    await found(store, "Observation", "patient=eve&_count=1")
    async with store._pool.acquire() as connection:
        left = await connection.fetchval(
            "SELECT count(*) FROM search_page WHERE key = $1", answer.next_page[0]
        )
    assert left == 0


async def test_who_wants_no_pages_gets_the_first_alone(store: Store) -> None:
    query = PARSER.parse("Observation", pairs_of("patient=eve&_count=1"))
    answer = await store.search("stu3", query, None)
    assert len(answer.matches) == 1 and answer.next_page is None and answer.total is None


async def test_pages_end_with_a_clear_word_when_there_are_more_matches_than_they_hold(store: Store) -> None:
    new = [resource("Flag", f"f{n:03}", code={"text": "x"}, subject=to("Patient/eve")) for n in range(101)]
    await store.write("stu3", [Write("PUT", "Flag", r["id"], r) for r in new])
    first = await found(store, "Flag", "_count=1")
    assert len(first.matches) == 1 and first.total is None, (
        "more than are remembered: not counted unless asked"
    )
    answer = await found(store, "Flag", "_count=30&_sort=_id&_total=accurate")
    seen = [s.id for s in answer.matches]
    while answer.next_page is not None and answer.next_page[1] < 100:
        assert answer.total == 101
        answer = await found(store, "Flag", "_page={}.{}".format(*answer.next_page))
        seen += [s.id for s in answer.matches]
    assert seen == [f"f{n:03}" for n in range(100)]
    assert answer.next_page is not None
    with pytest.raises(TooCostly, match=r"100 matches \(setting limits\.remembered\).*narrower"):
        await found(store, "Flag", "_page={}.{}".format(*answer.next_page))
    await store.write("stu3", [Write("DELETE", "Flag", "f100")])
    answer = await found(store, "Flag", "_count=60")
    assert answer.next_page is not None
    answer = await found(store, "Flag", "_page={}.{}".format(*answer.next_page))
    assert len(answer.matches) == 40 and answer.next_page is None


async def test_a_summary_that_counts_is_a_total_alone(store: Store) -> None:
    answer = await found(store, "Observation", "patient=eve&_summary=count&_include=Observation:subject")
    assert (answer.total, answer.matches, answer.included, answer.next_page) == (5, (), (), None)


async def test_a_search_says_to_which_patients_it_was_limited(store: Store) -> None:
    assert (await found(store, "Observation", f"patient.identifier={BSN}|999901370")).patients == frozenset(
        {"eve"}
    )
    assert (await found(store, "Observation", "patient=eve")).patients == frozenset({"eve"})
    assert (await found(store, "Observation", "status=final")).patients is None


# -- $lastn ------------------------------------------------------------------------------------------------------


def measured(
    logical_id: str, day: str, code: dict[str, Any], patient: str = "last", **members: Any
) -> dict[str, Any]:
    subject = to(f"Patient/{patient}")
    status = members.pop("status", "final")
    return resource(
        "Observation", logical_id, status=status, code=code, subject=subject, effectiveDateTime=day, **members
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def measurements(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    weight, length = concept((SNOMED, "w")), concept((SNOMED, "l"))
    both = concept((SNOMED, "w"), ("http://loinc.org", "W"))
    new = [
        measured("l-w1", "2024-01-01", weight),
        measured("l-w2", "2024-01-02", weight),
        measured("l-w3", "2024-01-03", weight),
        measured("l-w3b", "2024-01-03", weight),
        measured("l-w4", "2024-01-04", weight, status="entered-in-error"),
        measured("l-l1", "2023-01-01", length),
        measured("l-b1", "2022-01-01", both),
        measured("l-t1", "2021-01-01", {"text": "one"}),
        measured("l-t2", "2020-01-01", {"text": "two"}),
        measured("l-x1", "2025-01-01", weight, patient="last-other"),
    ]
    async with filled(cluster, "lastn", new) as store:
        yield store


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("patient=last", "l-b1 l-l1 l-t1 l-t2 l-w3 l-w3b", id="ties, and each code"),
        pytest.param("patient=last&max=2", "l-b1 l-l1 l-t1 l-t2 l-w3 l-w3b", id="a tie takes two places"),
        pytest.param("patient=last&max=3", "l-b1 l-l1 l-t1 l-t2 l-w2 l-w3 l-w3b", id="more of each"),
        pytest.param(f"patient=last&code={SNOMED}|w", "l-b1 l-w3 l-w3b", id="one code"),
        pytest.param("patient=last&code=w,l", "l-b1 l-l1 l-w3 l-w3b", id="several codes"),
        pytest.param("patient=last,last-other&code=l,w", "l-b1 l-l1 l-w3 l-w3b l-x1", id="each patient"),
        pytest.param("patient=last&date=lt2024-01-03&code=w", "l-b1 l-w2", id="the last that fit"),
        pytest.param("patient=last&status=entered-in-error", "", id="entered in error"),
        pytest.param("patient=nobody", "", id="nothing"),
    ],
)
async def test_the_last_of_each_code_are_found(measurements: Store, text: str, expected: str) -> None:
    answer = await found(measurements, "Observation", text, last=True)
    assert " ".join(sorted(s.id for s in answer.matches)) == expected


async def test_the_last_ones_have_includes_and_pages_too(measurements: Store) -> None:
    text = "patient=last&code=w,l&_count=2&_sort=-date"
    answer = await found(measurements, "Observation", text, last=True)
    seen = [s.id for s in answer.matches]
    while answer.next_page:
        page = "_page={}.{}".format(*answer.next_page)
        answer = await found(measurements, "Observation", page, last=True)
        seen += [s.id for s in answer.matches]
    assert seen == ["l-w3", "l-w3b", "l-l1", "l-b1"]
