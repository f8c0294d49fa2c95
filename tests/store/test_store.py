"""The store keeps what it is given: versions, histories, transactions, erasure, also with many writers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest
import pytest_asyncio
from hypothesis import given, settings
from tests.generated import resources
from tests.nodes import databases

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.json import dump, parse
from schakel.fhir.search import QueryParser, pairs_of
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Conflict, Gone, Invalid, NotFound, PreconditionFailed
from schakel.sources import Write
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store
from schakel.store.sql import INDEX_TABLES
from schakel.store.writing import RidBlocks

PARSER = QueryParser(definitions("stu3"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    async with databases(cluster, "store") as make:
        pool = await connect(await make())
        yield Store(pool, 1, RidBlocks())
        await disconnect(pool)


def put(kind: str, logical_id: str, if_match: int | None = None, **members: Any) -> Write:
    return Write("PUT", kind, logical_id, {"resourceType": kind, "id": logical_id, **members}, if_match)


def delete(kind: str, logical_id: str, if_match: int | None = None) -> Write:
    return Write("DELETE", kind, logical_id, None, if_match)


async def ids(store: Store, kind: str, text: str) -> list[str]:
    found = await store.search("stu3", PARSER.parse(kind, pairs_of(text)), "me")
    return [s.id for s in found.matches]


async def rows_left(store: Store, rid_of: str) -> dict[str, int]:
    """How many rows each table has about a logical id, or about its index."""
    async with store._pool.acquire() as connection:
        rid = await connection.fetchval("SELECT rid FROM resource WHERE id = $1", rid_of)
        left = {
            t: await connection.fetchval(f"SELECT count(*) FROM {t} WHERE rid = $1", rid)
            for t in INDEX_TABLES
        }
        for table in ("resource", "history"):
            left[table] = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE id = $1", rid_of)
    return left


async def test_what_is_written_is_read_with_its_version_and_time(store: Store) -> None:
    [written] = await store.write("stu3", [put("Patient", "w1", active=True)])
    stored = await store.read("stu3", "Patient", "w1")
    assert written.created and stored == written.stored
    assert orjson.loads(stored.body) == {
        "resourceType": "Patient",
        "id": "w1",
        "active": True,
        "meta": {"versionId": "1", "lastUpdated": instant(stored.updated)},
    }


async def test_each_change_is_a_version_and_all_are_kept(store: Store) -> None:
    for gender in ("male", "female", "other"):
        await store.write("stu3", [put("Patient", "v1", gender=gender)])
    found = [await store.read_version("stu3", "Patient", "v1", number) for number in (1, 2, 3)]
    assert [orjson.loads(s.body)["gender"] for s in found] == ["male", "female", "other"]
    assert (await store.read("stu3", "Patient", "v1")).version == 3
    with pytest.raises(NotFound):
        await store.read_version("stu3", "Patient", "v1", 4)


async def test_a_deleted_resource_is_gone_and_its_versions_stay(store: Store) -> None:
    await store.write("stu3", [put("Patient", "d1", name=[{"family": "Verdwenen"}])])
    [gone] = await store.write("stu3", [delete("Patient", "d1")])
    assert gone.stored.deleted and gone.stored.version == 2
    with pytest.raises(Gone):
        await store.read("stu3", "Patient", "d1")
    with pytest.raises(Gone):
        await store.read_version("stu3", "Patient", "d1", 2)
    assert (await store.read_version("stu3", "Patient", "d1", 1)).version == 1
    assert await ids(store, "Patient", "name=verdwenen") == []
    assert (await rows_left(store, "d1"))["index_string"] == 0


async def test_versions_go_on_after_a_deletion(store: Store) -> None:
    await store.write("stu3", [put("Patient", "d2")])
    await store.write("stu3", [delete("Patient", "d2")])
    [again] = await store.write("stu3", [put("Patient", "d2")])
    assert again.created and again.stored.version == 3
    with pytest.raises(Gone):
        await store.read_version("stu3", "Patient", "d2", 2)


async def test_deleting_what_is_not_there_changes_nothing(store: Store) -> None:
    [never] = await store.write("stu3", [delete("Patient", "never-there")])
    assert not never.created and never.stored.version == 0
    await store.write("stu3", [put("Patient", "d3")])
    await store.write("stu3", [delete("Patient", "d3")])
    [twice] = await store.write("stu3", [delete("Patient", "d3")])
    assert twice.stored.version == 2
    with pytest.raises(NotFound):
        await store.read("stu3", "Patient", "never-there")


async def test_a_new_version_takes_the_place_of_the_old_one_in_the_index(store: Store) -> None:
    await store.write("stu3", [put("Patient", "i1", name=[{"family": "Eerst"}])])
    before = await rows_left(store, "i1")
    await store.write("stu3", [put("Patient", "i1", name=[{"family": "Daarna"}])])
    assert await ids(store, "Patient", "family=eerst") == []
    assert await ids(store, "Patient", "family=daarna") == ["i1"]
    assert {**before, "history": 1} == await rows_left(store, "i1")


@pytest.mark.parametrize("expected", [1, 3])
async def test_a_change_to_another_version_than_expected_is_refused(store: Store, expected: int) -> None:
    name = f"m{expected}"
    await store.write("stu3", [put("Patient", name)])
    await store.write("stu3", [put("Patient", name)])
    with pytest.raises(PreconditionFailed, match="version 2 is current"):
        await store.write("stu3", [put("Patient", name, if_match=expected)])
    with pytest.raises(PreconditionFailed):
        await store.write("stu3", [delete("Patient", name, if_match=expected)])
    [right] = await store.write("stu3", [put("Patient", name, if_match=2)])
    assert right.stored.version == 3


async def test_a_version_is_expected_of_something_that_is_not_there(store: Store) -> None:
    with pytest.raises(PreconditionFailed, match="not there"):
        await store.write("stu3", [put("Patient", "m-never", if_match=1)])
    await store.write("stu3", [put("Patient", "m-gone")])
    await store.write("stu3", [delete("Patient", "m-gone")])
    with pytest.raises(PreconditionFailed, match="not there"):
        await store.write("stu3", [put("Patient", "m-gone", if_match=2)])


async def test_a_transaction_is_done_whole_or_not_at_all(store: Store) -> None:
    await store.write("stu3", [put("Patient", "t1")])
    with pytest.raises(PreconditionFailed):
        await store.write("stu3", [put("Patient", "t2"), put("Patient", "t1", if_match=9)])
    with pytest.raises(NotFound):
        await store.read("stu3", "Patient", "t2")
    assert (await store.read("stu3", "Patient", "t1")).version == 1


async def test_a_transaction_changes_a_resource_once(store: Store) -> None:
    with pytest.raises(Invalid, match="once"):
        await store.write("stu3", [put("Patient", "t3"), delete("Patient", "t3")])


async def test_versions_of_fhir_do_not_see_each_other(store: Store) -> None:
    await store.write("stu3", [put("Patient", "f1", name=[{"family": "Alleenstu"}])])
    with pytest.raises(NotFound):
        await store.read("r4", "Patient", "f1")
    [r4] = await store.write("r4", [put("Patient", "f1", name=[{"family": "Alleenvier"}])])
    assert r4.stored.version == 1
    assert await ids(store, "Patient", "family=alleenvier") == []


async def test_eight_writers_of_one_resource_make_eight_versions(store: Store) -> None:
    async def change(number: int) -> int:
        [written] = await store.write("stu3", [put("Patient", "c1", name=[{"family": f"Schrijver{number}"}])])
        return written.stored.version

    assert sorted(await asyncio.gather(*(change(n) for n in range(8)))) == list(range(1, 9))
    kept = [await store.read_version("stu3", "Patient", "c1", number) for number in range(1, 9)]
    assert len({orjson.loads(s.body)["name"][0]["family"] for s in kept}) == 8
    [last] = await ids(store, "Patient", "family=schrijver")
    assert last == "c1"


async def test_writers_that_expect_the_same_version_do_not_both_win(store: Store) -> None:
    await store.write("stu3", [put("Patient", "c2")])
    tries = [store.write("stu3", [put("Patient", "c2", if_match=1)]) for _ in range(6)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(r, list) for r in results) == 1
    assert sum(isinstance(r, PreconditionFailed) for r in results) == 5


async def test_many_new_resources_at_once_are_all_there(store: Store) -> None:
    new = [
        [put("Basic", f"n-{w}-{n}", code={"coding": [{"code": "nieuw"}]}) for n in range(30)]
        for w in range(8)
    ]
    await asyncio.gather(*(store.write("stu3", writes) for writes in new))
    assert len(await ids(store, "Basic", "code=nieuw&_count=1000")) == 240
    async with store._pool.acquire() as connection:
        numbers = await connection.fetchrow("SELECT count(*), count(DISTINCT rid) FROM resource")
    assert numbers is not None and numbers[0] == numbers[1]


@pytest.mark.parametrize("there", [True, False], ids=["changed", "new"])
async def test_transactions_in_opposite_order_both_come_through(store: Store, there: bool) -> None:
    names = [f"o-{there}-{n}" for n in range(12)]
    if there:
        await store.write("stu3", [put("Basic", n) for n in names])
    orders = [names, names[::-1], names, names[::-1]]
    tries = [store.write("stu3", [put("Basic", n) for n in order]) for order in orders]
    results = await asyncio.gather(*tries, return_exceptions=True)
    done = [r for r in results if isinstance(r, list)]
    assert all(isinstance(r, list | Conflict) for r in results) and done
    assert {(await store.read("stu3", "Basic", n)).version for n in names} == {len(done) + there}


@given(resource=resources(definitions("stu3")))
@settings(max_examples=80, deadline=None)
async def test_any_resource_comes_back_to_the_last_digit(store: Store, resource: dict[str, Any]) -> None:
    if resource["resourceType"] == "SearchParameter":
        resource["status"] = "draft"  # An active one must be one that can be searched with.
    sent = parse(dump(resource))
    [written] = await store.write(
        "stu3", [Write("PUT", resource["resourceType"], "law", parse(dump(resource)))]
    )
    read = parse((await store.read("stu3", resource["resourceType"], "law")).body)
    meta = read.pop("meta")
    assert meta.pop("versionId") == str(written.stored.version)
    assert meta.pop("lastUpdated")
    for one in (sent.get("meta", {}), meta):
        for name in ("versionId", "lastUpdated"):
            one.pop(name, None)
    assert meta == sent.pop("meta", {})
    assert read.pop("id") == "law"
    sent.pop("id", None)
    assert dump(read) == dump(sent)


# -- erasing ------------------------------------------------------------------------------------------------------


async def record(store: Store, patient: str) -> None:
    """A patient with an observation (two versions), a deleted one, and a provenance of the first."""
    subject = {"reference": f"Patient/{patient}"}
    await store.write(
        "stu3",
        [
            put("Patient", patient, name=[{"family": "Wissen"}]),
            put("Observation", f"{patient}-o", subject=subject, effectiveDateTime="2024"),
            put("Observation", f"{patient}-d", subject=subject),
            put("Provenance", f"{patient}-p", target=[{"reference": f"Observation/{patient}-o"}]),
        ],
    )
    await store.write(
        "stu3", [put("Observation", f"{patient}-o", subject=subject), delete("Observation", f"{patient}-d")]
    )


async def test_erasing_a_patient_leaves_nothing_but_the_proof(store: Store) -> None:
    await record(store, "e1")
    await record(store, "e2")
    found = await store.search("stu3", PARSER.parse("Observation", pairs_of("patient=e1&_count=1")), "me")
    assert found.next_page is None  # One is deleted: there is one page.
    query = PARSER.parse("Patient", pairs_of("family=wissen&_count=1"))
    page = (await store.search("stu3", query, "me")).next_page
    assert page is not None
    assert await store.purge("stu3", "e1", "the requester", "the reason") == 4
    for kind, name in (
        ("Patient", "e1"),
        ("Observation", "e1-o"),
        ("Observation", "e1-d"),
        ("Provenance", "e1-p"),
    ):
        with pytest.raises(NotFound):
            await store.read("stu3", kind, name)
        with pytest.raises(NotFound):
            await store.read_version("stu3", kind, name, 1)
        assert set((await rows_left(store, name)).values()) == {0}
    with pytest.raises(Gone):
        await store.page_query("stu3", page[0], "Patient", "me")
    async with store._pool.acquire() as connection:
        proof = await connection.fetchrow("SELECT * FROM erasure WHERE reason = 'the reason'")
    assert proof is not None
    assert (proof["requester"], proof["fhir"], proof["removed"]) == ("the requester", 3, 4)
    assert "e1" not in {str(value) for value in proof.values()}
    assert await ids(store, "Patient", "family=wissen") == ["e2"]


async def test_erasing_a_patient_that_is_not_there_is_recorded_as_well(store: Store) -> None:
    assert await store.purge("stu3", "nobody", "r", "not there") == 0
    async with store._pool.acquire() as connection:
        assert await connection.fetchval("SELECT removed FROM erasure WHERE reason = 'not there'") == 0


async def test_erasing_spares_what_names_another_patient_too(store: Store) -> None:
    await store.write("stu3", [put("Patient", "e3"), put("Patient", "e4")])
    both: dict[str, Any] = {
        "subject": {"reference": "Patient/e3"},
        "performer": [{"reference": "Patient/e4"}],
    }
    await store.write("stu3", [put("Observation", "shared-o", **both)])
    await store.purge("stu3", "e3", "r", "shared")
    assert (await store.read("stu3", "Observation", "shared-o")).version == 1


async def test_erasing_spares_what_was_put_right_and_takes_the_wrong_version(store: Store) -> None:
    await store.write("stu3", [put("Observation", "moved", subject={"reference": "Patient/e5"})])
    await store.write("stu3", [put("Observation", "moved", subject={"reference": "Patient/e6"})])
    await store.purge("stu3", "e5", "r", "moved")
    assert (await store.read("stu3", "Observation", "moved")).version == 2
    with pytest.raises(NotFound):
        await store.read_version("stu3", "Observation", "moved", 1)


@pytest.mark.parametrize("version", ["stu3", "r4"])
async def test_a_document_is_erased_with_the_patient_that_it_is_about(store: Store, version: Version) -> None:
    composition = {
        "resourceType": "Composition",
        "id": "c",
        "subject": {"reference": "Patient/e8"},
        "author": [{"reference": "Patient/e9"}],
    }
    entry = [{"fullUrl": "urn:uuid:8b6b1f0e-4c0f-4d0a-9d2b-1d1f4a0c1e11", "resource": composition}]
    collected = put("Bundle", "collected", type="collection", entry=entry)
    await store.write(version, [put("Bundle", "document", type="document", entry=entry), collected])
    assert await store.purge(version, "e8", "r", "document") == 1
    with pytest.raises(NotFound):
        await store.read(version, "Bundle", "document")
    assert (await store.read(version, "Bundle", "collected")).version == 1


async def test_a_provenance_stays_while_one_of_its_targets_does(store: Store) -> None:
    await record(store, "e7")
    targets = [{"reference": "Observation/e7-o"}, {"reference": "Observation/elsewhere"}]
    await store.write("stu3", [put("Provenance", "two-targets", target=targets)])
    await store.purge("stu3", "e7", "r", "provenance")
    assert (await store.read("stu3", "Provenance", "two-targets")).version == 1
    with pytest.raises(NotFound):
        await store.read("stu3", "Provenance", "e7-p")


async def test_a_read_can_bring_the_patient_it_is_about(store: Store) -> None:
    about = [{"reference": "Patient/wp1"}, {"reference": "Patient/wp2"}]
    await store.write(
        "stu3",
        [
            put("Patient", "wp1", active=True),
            put("Patient", "wp2", active=False),
            put("Condition", "wp1", subject=about[0]),
            put("Condition", "wp-elsewhere", subject={"reference": "Patient/wp-unknown"}),
            put("Provenance", "wp-both", target=about),
        ],
    )
    condition, patient = await store.read_with_patient("stu3", "Condition", "wp1")
    assert condition == await store.read("stu3", "Condition", "wp1")
    assert patient == await store.read("stu3", "Patient", "wp1")
    assert await store.read_with_patient("stu3", "Patient", "wp1") == (patient, patient)
    for key in (("Condition", "wp-elsewhere"), ("Provenance", "wp-both")):
        assert await store.read_with_patient("stu3", *key) == (await store.read("stu3", *key), None)
    await store.write("stu3", [delete("Patient", "wp1")])
    assert await store.read_with_patient("stu3", "Condition", "wp1") == (condition, None)
    with pytest.raises(Gone):
        await store.read_with_patient("stu3", "Patient", "wp1")
    neighbour = Store(store._pool, 2, RidBlocks())
    await neighbour.write("stu3", [put("Condition", "wp-theirs", subject=about[1])])
    theirs = await neighbour.read("stu3", "Condition", "wp-theirs")
    assert await neighbour.read_with_patient("stu3", "Condition", "wp-theirs") == (theirs, None)
    with pytest.raises(NotFound):
        await neighbour.read_with_patient("stu3", "Condition", "wp1")


async def test_a_young_store_has_statistics_before_the_database_thinks_of_them(
    make_database: Callable[[], Awaitable[str]],
) -> None:
    pool = await connect(await make_database())
    tenant = await pool.fetchval(
        "INSERT INTO tenant (slug, ura, name) VALUES ('a', '90000001', 'A') RETURNING id"
    )
    store, known = (
        Store(pool, tenant, RidBlocks()),
        "SELECT reltuples >= 0 FROM pg_class WHERE relname = 'resource'",
    )
    for number in range(100):
        assert await pool.fetchval(known) is False
        patient = {"resourceType": "Patient", "id": f"p{number}"}
        await store.write("r4", [Write("PUT", "Patient", f"p{number}", patient)])
    assert await pool.fetchval(known) is True
    await disconnect(pool)
