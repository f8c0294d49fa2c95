"""A search finds exactly what its conditions say, in the order it asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from tests.nodes import databases
from tests.searching import (
    BASE,
    BSN,
    OBSERVATIONS,
    PARSER,
    PEOPLE,
    SNOMED,
    filled,
    found,
    ids,
    resource,
    to,
)

from schakel.fhir.search import pairs_of
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import TooCostly
from schakel.sources import Write
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Limits, Store
from schakel.store.writing import RidBlocks


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    """The people and observations above. No test adds to these types."""
    async with filled(cluster, "search", [*PEOPLE, *OBSERVATIONS]) as store:
        yield store


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # token
        (f"code={SNOMED}|1", "o1 o3 o4 o7 o8"),
        (f"code={SNOMED}|1,{SNOMED}|2", "o1 o2 o3 o4 o7 o8"),
        ("code=A", "o1 o2 o3 o4 o7 o8"),
        ("code=|A", "o2"),
        ("code=http://loinc.org|", "o1 o3 o4 o7 o8"),
        (f"code={SNOMED}|A", ""),
        ("code=a", ""),
        ("status=final", "o1 o2 o4 o5 o6 o8"),
        ("status=http://hl7.org/fhir/observation-status|final", "o1 o2 o4 o5 o6 o8"),
        ("status=http://hl7.org/fhir/observation-status|", "o1 o2 o3 o4 o5 o6 o7 o8"),
        ("status=http://hl7.org/fhir/other|final", ""),
        ("status:not=http://hl7.org/fhir/observation-status|final", "o3 o7"),
        ("code=http://hl7.org/fhir/observation-status|A", ""),
        ("status:not=final", "o3 o7"),
        ("status:not=final,preliminary", "o3"),
        (f"code:not={SNOMED}|1", "o2 o5 o6"),
        ("patient=eve&status:not=final", "o3"),
        (f"patient=eve&code:not={SNOMED}|1", "o2 o5 o6"),
        # AND
        (f"code={SNOMED}|1&status=final", "o1 o4 o8"),
        ("code=1&code=A", "o1 o3 o4 o7 o8"),
        ("code=1&code=2", ""),
        # reference
        ("patient=eve", "o1 o2 o3 o5 o6"),
        ("patient=Patient/eve", "o1 o2 o3 o5 o6"),
        (f"patient={BASE}/Patient/eve", "o1 o2 o3 o5 o6"),
        ("patient=Patient/eve/_history/1", "o1 o2 o3 o5 o6"),
        ("patient=eve,adam", "o1 o2 o3 o4 o5 o6"),
        ("subject=eve", "o1 o2 o3 o5 o6"),
        ("subject:Patient=eve", "o1 o2 o3 o5 o6"),
        ("subject:Group=eve", ""),
        ("subject=https://other.example/fhir/Patient/eve", "o7"),
        ("subject=Group/eve", ""),
        (f"subject:identifier={BSN}|999901370", "o8"),
        (f"patient:identifier={BSN}|999901370", "o8"),
        ("performer:identifier=http://ura|1", "o2"),
        ("performer=Practitioner/gp", "o1"),
        ("patient=nobody", ""),
        # chain
        (f"patient.identifier={BSN}|999901370", "o1 o2 o3 o5 o6"),
        (f"subject.identifier={BSN}|999901370", "o1 o2 o3 o5 o6"),
        (f"subject:Patient.identifier={BSN}|999901370", "o1 o2 o3 o5 o6"),
        (f"subject:Patient.identifier={BSN}|999901370,{BSN}|999901382", "o1 o2 o3 o4 o5 o6"),
        ("patient.name=de b", "o1 o2 o3 o5 o6"),
        ("patient.family:exact=Boer", ""),
        ("patient.birthdate=1980-05-17", "o1 o2 o3 o5 o6"),
        ("patient._id=adam", "o4"),
        ("patient.gender:not=female", "o4"),
        ("performer:Practitioner.name=huis", "o1"),
        ("performer.name=ziek", "o2"),
        (f"patient.identifier={BSN}|999901370&_id=o2,o4", "o2"),
        (f"patient.identifier={BSN}|999901370&status:not=final", "o3"),
        (f"patient.identifier={BSN}|999901370&patient.gender=male", ""),
        (f"patient.gender=female&patient.identifier={BSN}|999901370&code=A", "o1 o2 o3"),
        (f"patient.identifier={BSN}|111", ""),
        # date
        ("date=2024-03-31", "o1 o2"),
        ("date=eq2024-03-31", "o1 o2"),
        ("date=2024", "o1 o2 o3 o7"),
        ("date=2023", ""),
        ("date=2024-03-31T10:00:00", "o1"),
        ("date=2024-03-31T08:00:00Z", "o1"),
        ("date=ne2024-03-31", "o3 o4 o7 o8"),
        ("date=gt2024-03-31", "o3 o4"),
        ("date=lt2024-01-01", "o8"),
        ("date=ge2024-03-31", "o1 o2 o3 o4"),
        ("date=le2024-01-01", "o7 o8"),
        ("date=sa2024-03-31", "o3"),
        ("date=eb2024-03-31", "o7 o8"),
        ("date=ge2024-03-31&date=le2024-04-01", "o1 o2 o4"),
        ("date=2020,2024-04-02", "o3 o8"),
        ("patient=eve&date=ge2024-03-31T08:00:00Z", "o1 o2 o3"),
        # of every resource
        ("_id=o1,o4,nothing", "o1 o4"),
        ("_id:not=o1,o4", "o2 o3 o5 o6 o7 o8"),
        ("_lastUpdated=ge2020", "o1 o2 o3 o4 o5 o6 o7 o8"),
        ("_lastUpdated=lt2020", ""),
        ("", "o1 o2 o3 o4 o5 o6 o7 o8"),
    ],
)
async def test_observations_are_found(store: Store, text: str, expected: str) -> None:
    assert " ".join(sorted(await ids(store, "Observation", text))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name=eve", "eve"),
        ("name=Ève", "eve"),
        ("name=ann", "eve"),
        ("name=nna", ""),
        ("name:contains=nna", "eve"),
        ("name:exact=Ève", "eve"),
        ("name:exact=Eve", ""),
        ("name:exact=ève", ""),
        ("family=DE  boer", "eve"),
        ("family=boer", "adam"),
        ("family:contains=boer", "adam eve"),
        ("family:contains=_100%25", "adam"),
        ("family=boersma%25", ""),
        ("family=boersma_1", "adam"),
        ("family=boersmax1", ""),
        ("family=boer,de b", "adam eve"),
        ("family=%5C", ""),
        ("active=true", "eve"),
        ("active=false", "nameless"),
        ("active:not=true", "adam nameless"),
        ("gender=female", "eve"),
        ("gender=http://hl7.org/fhir/administrative-gender|female", "eve"),
        ("gender=http://hl7.org/fhir/gender|female", ""),
        ("identifier=loose", "eve"),
        ("identifier=|loose", "eve"),
        (f"identifier={BSN}|", "adam eve"),
        ("birthdate=1980-05-17", "eve"),
        ("birthdate=1980-05", "adam eve"),
        ("birthdate=1980", "adam eve"),
        ("birthdate=ge1980-05-17", "adam eve nameless"),
        ("birthdate=gt1980-05-31", "nameless"),
        ("birthdate=le1980-05-17", "adam eve"),
        ("_profile=http://p/patient", "eve"),
        ("_profile=http://p/pat", ""),
        ("_profile=http://p/none,http://p/other", "eve"),
        ("general-practitioner=Practitioner/gp", "eve"),
        ("general-practitioner.name=huisarts", "eve"),
        ("organization.name=zieken", "adam"),
        ("family=" + "x" * 500, ""),
    ],
)
async def test_patients_are_found(store: Store, text: str, expected: str) -> None:
    assert " ".join(sorted(await ids(store, "Patient", text))) == expected


async def test_what_names_two_patients_is_found_by_each(store: Store) -> None:
    """It belongs to neither, so the index has it in another place than what is one patient's."""
    shared = resource(
        "Communication",
        "shared",
        status="completed",
        subject=to("Patient/first"),
        recipient=[to("Patient/second")],
    )
    await store.write("stu3", [Write("PUT", "Communication", "shared", shared)])
    assert await ids(store, "Communication", "subject=Patient/first") == ["shared"]
    assert await ids(store, "Communication", "patient=first&status:not=in-progress") == ["shared"]
    assert await ids(store, "Communication", "recipient=Patient/second") == ["shared"]
    assert await ids(store, "Communication", "patient=second") == []


async def test_what_is_longer_than_a_key_is_found_by_its_whole_length(store: Store) -> None:
    long = "z" * 450
    changes = resource("Basic", "long", identifier=[{"system": long, "value": long}])
    await store.write("stu3", [Write("PUT", "Basic", "long", changes)])
    assert await ids(store, "Basic", f"identifier={long}") == ["long"]
    assert await ids(store, "Basic", f"identifier={long}|{long}") == ["long"]


async def test_the_time_of_change_is_found_to_the_millisecond(store: Store) -> None:
    stored = await store.read("stu3", "Observation", "o1")
    moment, after = instant(stored.updated), instant(stored.updated + timedelta(milliseconds=1))
    for text, there in (
        (f"_lastUpdated={moment}", True),
        (f"_lastUpdated={after}", False),
        (f"_lastUpdated=ge{moment}", True),
        (f"_lastUpdated=gt{moment}", False),
        (f"_lastUpdated=lt{moment}", False),
        (f"_lastUpdated=le{moment}", True),
        (f"_lastUpdated=ge{after}", False),
        (f"_lastUpdated=lt{after}", True),
        (f"_lastUpdated=eb{after}", True),
        (f"_lastUpdated=sa{moment}", False),
        (f"_lastUpdated=ne{moment}", False),
    ):
        assert (await ids(store, "Observation", f"_id=o1&{text}") == ["o1"]) is there, text


async def test_what_is_sorted_comes_in_that_order_and_what_has_no_value_last(store: Store) -> None:
    assert await ids(store, "Observation", "_id=o1,o3,o5,o8&_sort=date") == ["o8", "o1", "o3", "o5"]
    assert await ids(store, "Observation", "_id=o1,o3,o5,o8&_sort=-date") == ["o3", "o1", "o8", "o5"]
    assert await ids(store, "Observation", "_id=o1,o2,o3&_sort=-_id") == ["o3", "o2", "o1"]
    assert await ids(store, "Observation", "_id=o7,o8,o1&_sort=status,-date") == ["o1", "o8", "o7"]
    assert await ids(store, "Patient", "_sort=-family,_id") == ["eve", "adam", "nameless"]


async def test_what_a_match_refers_to_is_included_once(store: Store) -> None:
    answer = await found(
        store, "Observation", "_id=o1,o2&_include=Observation:subject&_include=Observation:performer"
    )
    included = {f"{i.stored.type}/{i.stored.id}": i.via for i in answer.included}
    assert included == {
        "Patient/eve": ("Observation/o1", "Observation/o2"),
        "Practitioner/gp": ("Observation/o1",),
        "Organization/org": ("Observation/o2",),
    }


async def test_an_include_with_a_type_brings_that_type_alone(store: Store) -> None:
    answer = await found(store, "Observation", "_id=o1,o2&_include=Observation:performer:Organization")
    assert [i.stored.id for i in answer.included] == ["org"]


async def test_what_refers_to_a_match_is_included(store: Store) -> None:
    answer = await found(store, "Observation", "_id=o1,o2,o3&_revinclude=Provenance:target")
    assert {i.stored.id: i.via for i in answer.included} == {
        "pr1": ("Observation/o1",),
        "pr2": ("Observation/o2",),
    }
    assert len(answer.matches) == answer.total == 3
    other = await found(store, "Observation", "_id=o1,o2&_revinclude=Provenance:target:Patient")
    assert not other.included


async def test_a_match_is_not_included_as_well(store: Store) -> None:
    answer = await found(
        store, "Provenance", "_include=Provenance:target:Observation&_revinclude=Provenance:target"
    )
    assert {i.stored.id for i in answer.included} == {"o1", "o2"}


PARTS = [
    resource("Organization", f"c{n}", name=f"c{n}", partOf=to(f"Organization/c{n + 1}")) for n in range(9)
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def linked(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    """Organizations c0 to c9, each a part of the next; two that are parts of one another; and who refers to them."""
    circle = [
        resource("Organization", "left", name="left", partOf=to("Organization/right")),
        resource("Organization", "right", name="right", partOf=to("Organization/left")),
    ]
    people = [
        resource("Patient", "p", managingOrganization=to("Organization/c0")),
        resource("Patient", "round", managingOrganization=to("Organization/left")),
        resource("Observation", "o", status="final", code={"text": "x"}, subject=to("Patient/p")),
        resource("Provenance", "about", target=[to("Observation/o")]),
    ]
    content = [*PARTS, resource("Organization", "c9", name="c9"), *circle, *people]
    async with filled(cluster, "linked", content) as store:
        yield store


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Patient", "_id=p&_include=Patient:organization&_include=Patient:*", "c0"),
        ("Patient", "_id=round&_include=*&_include:iterate=Organization:partof", "left right"),
        ("Patient", "_id=round&_include=Patient:organization&_include:recurse=Organization:*", "left right"),
        ("Patient", "_id=round&_include:iterate=Organization:partof", ""),
        ("Organization", "_id=left&_include:iterate=Organization:partof", "right"),
        ("Organization", "_id=c7&_include:iterate=Organization:partof:Organization", "c8 c9"),
        ("Observation", "_id=o&_include=Observation:subject&_include:iterate=Patient:organization", "c0 p"),
        ("Patient", "_id=p&_revinclude:iterate=*", "about o"),
        ("Patient", "_id=p&_revinclude=Observation:subject&_revinclude:iterate=Provenance:target", "about o"),
        ("Patient", "_id=p&_revinclude=Observation:*", "o"),
        ("Patient", "_id=p&_revinclude=Provenance:target", ""),
        (
            "Organization",
            "_id=c0&_revinclude:iterate=Patient:organization&_revinclude:iterate=Observation:subject",
            "o p",
        ),
    ],
)
async def test_includes_that_repeat_go_on_until_nothing_is_new(
    linked: Store, kind: str, text: str, expected: str
) -> None:
    answer = await found(linked, kind, text)
    assert " ".join(sorted(i.stored.id for i in answer.included)) == expected
    [match] = answer.matches
    assert {i.via for i in answer.included} <= {(f"{kind}/{match.id}",)}


async def test_includes_that_go_on_too_long_are_too_costly(linked: Store) -> None:
    text = "_id=p&_include=Patient:organization&_include:iterate=Organization:partof"
    with pytest.raises(TooCostly, match=r"after 4 rounds \(setting limits\.include_depth\)"):
        await found(linked, "Patient", text)


async def test_includes_that_bring_too_much_are_too_costly(linked: Store) -> None:
    query = PARSER.parse("Organization", pairs_of("_id=c5&_include:iterate=Organization:partof"))
    for most, few in ((4, False), (3, True), (1, True), (0, True)):
        store = Store(linked._pool, 1, RidBlocks(), (), Limits(includes=most))
        if few:
            with pytest.raises(TooCostly, match=rf"more than {most} .*setting limits\.includes"):
                await store.search("stu3", query, "me")
        else:
            assert len((await store.search("stu3", query, "me")).included) == 4


async def test_what_a_page_includes_repeats_as_well(linked: Store) -> None:
    text = "_id=c4,c6&_sort=_id&_count=1&_include:iterate=Organization:partof"
    answer = await found(linked, "Organization", text.replace("c4", "left"))
    seen = [[i.stored.id for i in answer.included]]
    assert answer.next_page is not None
    answer = await found(linked, "Organization", "_page={}.{}".format(*answer.next_page))
    seen.append([i.stored.id for i in answer.included])
    assert sorted(map(sorted, seen)) == [["c7", "c8", "c9"], ["right"]]


async def test_a_search_that_takes_too_long_is_too_costly(cluster: EmbeddedServer) -> None:
    async with databases(cluster, "slow") as make:
        pool = await connect(await make(), statement_seconds=0.2)
        store = Store(pool, 1, RidBlocks())
        async with pool.acquire() as connection:
            await connection.execute("BEGIN; LOCK TABLE resource")
            with pytest.raises(TooCostly, match=r"setting limits\.query_seconds"):
                await store.search("stu3", PARSER.parse("Patient", ()), "me")
            await connection.execute("ROLLBACK")
        await disconnect(pool)


async def test_what_was_deleted_is_neither_found_nor_included(store: Store) -> None:
    gone = resource("Practitioner", "gone", name=[{"family": "Weg"}])
    refers = resource("Basic", "refers", code={"text": "x"}, author=to("Practitioner/gone"))
    await store.write(
        "stu3", [Write("PUT", "Practitioner", "gone", gone), Write("PUT", "Basic", "refers", refers)]
    )
    assert (await found(store, "Basic", "_id=refers&_include=Basic:author")).included
    await store.write("stu3", [Write("DELETE", "Practitioner", "gone")])
    assert not (await found(store, "Basic", "_id=refers&_include=Basic:author")).included
    assert await ids(store, "Practitioner", "family=weg") == []
    assert await ids(store, "Practitioner", "_id=gone") == []
    assert await ids(store, "Basic", "author.name=weg") == []
