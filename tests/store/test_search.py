"""A search finds exactly what its conditions say, in the order and on the pages it asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests.nodes import databases

from schakel.fhir import definitions
from schakel.fhir.search import QueryParser, pairs_of
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Gone, TooCostly
from schakel.sources import Found, Write
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Limits, RidBlocks, Store

BASE = "https://node.example/a/fhir/stu3"
BSN = "http://fhir.nl/fhir/NamingSystem/bsn"
PARSER = QueryParser(definitions("stu3"))
SNOMED = "http://snomed.info/sct"


def resource(kind: str, logical_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": logical_id, **members}


def concept(*codings: tuple[str, str]) -> dict[str, Any]:
    return {"coding": [{"system": s, "code": c} if s else {"code": c} for s, c in codings]}


def to(reference: str, **members: Any) -> dict[str, Any]:
    return {"reference": reference, **members}


PEOPLE = [
    resource(
        "Patient",
        "eve",
        meta={"profile": ["http://p/patient", "http://p/other"]},
        identifier=[{"system": BSN, "value": "999901370"}, {"value": "loose"}],
        name=[{"family": "de Böer", "given": ["Ève", "Anna"]}],
        birthDate="1980-05-17",
        gender="female",
        active=True,
        generalPractitioner=[to("Practitioner/gp")],
    ),
    resource(
        "Patient",
        "adam",
        identifier=[{"system": BSN, "value": "999901382"}],
        name=[{"family": "Boersma_100%", "given": ["Adam"]}],
        birthDate="1980-05",
        gender="male",
        managingOrganization=to("Organization/org"),
    ),
    resource("Patient", "nameless", birthDate="1981", active=False),
    resource("Practitioner", "gp", name=[{"family": "Huisarts"}]),
    resource("Organization", "org", name="Ziekenhuis"),
]
CODE = concept((SNOMED, "1"), ("http://loinc.org", "A"))
OBSERVATIONS = [
    resource(
        "Observation",
        "o1",
        status="final",
        code=CODE,
        subject=to("Patient/eve"),
        effectiveDateTime="2024-03-31T10:00:00+02:00",
        performer=[to("Practitioner/gp")],
    ),
    resource(
        "Observation",
        "o2",
        status="final",
        code=concept((SNOMED, "2"), ("", "A")),
        subject=to(f"{BASE}/Patient/eve/_history/1"),
        effectiveDateTime="2024-03-31",
        performer=[to("Organization/org", identifier={"system": "http://ura", "value": "1"})],
    ),
    resource(
        "Observation",
        "o3",
        status="entered-in-error",
        code=CODE,
        subject=to("Patient/eve"),
        effectiveDateTime="2024-04-02",
    ),
    resource(
        "Observation",
        "o4",
        status="final",
        code=CODE,
        subject=to("Patient/adam"),
        effectivePeriod={"start": "2024-01-01"},
    ),
    resource("Observation", "o5", status="final", code={"text": "only text"}, subject=to("Patient/eve")),
    resource("Observation", "o6", status="final", code={"text": "other text"}, subject=to("Patient/eve")),
    resource(
        "Observation",
        "o7",
        status="preliminary",
        code=CODE,
        subject=to("https://other.example/fhir/Patient/eve"),
        effectiveDateTime="2023-12-31T23:30:00Z",
    ),
    resource(
        "Observation",
        "o8",
        status="final",
        code=CODE,
        subject={"identifier": {"system": BSN, "value": "999901370"}},
        effectiveDateTime="2020",
    ),
    resource("Provenance", "pr1", target=[to("Observation/o1")]),
    resource("Provenance", "pr2", target=[to("Observation/o2"), to("Patient/eve")]),
]


@asynccontextmanager
async def filled(cluster: EmbeddedServer, name: str, content: list[dict[str, Any]]) -> AsyncIterator[Store]:
    """A store on a database of its own, with `content`."""
    async with databases(cluster, name) as make:
        pool = await connect(await make())
        store = Store(pool, 1, RidBlocks(), (BASE,), Limits(page=100, page_max=100, remembered=100))
        await store.write("stu3", [Write("PUT", r["resourceType"], r["id"], r) for r in content])
        yield store
        await pool.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    """The people and observations above. No test adds to these types."""
    async with filled(cluster, "search", [*PEOPLE, *OBSERVATIONS]) as store:
        yield store


async def found(store: Store, kind: str, text: str, *, last: bool = False) -> Found:
    return await store.search("stu3", PARSER.parse(kind, pairs_of(text), last=last), "me")


async def ids(store: Store, kind: str, text: str) -> list[str]:
    return [s.id for s in (await found(store, kind, text)).matches]


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


# -- how many, and on which page --------------------------------------------------------------------------------


async def test_the_total_is_there_when_all_matches_are(store: Store) -> None:
    assert (await found(store, "Observation", "patient=eve")).total == 5
    assert (await found(store, "Observation", "patient=eve&_count=5")).total == 5
    assert (await found(store, "Observation", "patient=eve&_count=4")).total is None
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
        assert answer.total is None
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


async def test_more_matches_than_are_remembered_are_refused(store: Store) -> None:
    new = [resource("Flag", f"f{n}", code={"text": "x"}, subject=to("Patient/eve")) for n in range(101)]
    await store.write("stu3", [Write("PUT", "Flag", r["id"], r) for r in new])
    with pytest.raises(TooCostly, match="narrower"):
        await found(store, "Flag", "_count=1")


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
