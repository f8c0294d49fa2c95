"""Through references: chains, reverse chains, lists, compartments, several types, and what a door limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from tests.searching import PARSER, SNOMED, concept, filled, listed, resource, to

from schakel.fhir.search import pairs_of
from schakel.kernel.outcomes import Gone
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store


def observed(logical_id: str, patient: str, code: str, **members: object) -> dict[str, object]:
    return resource(
        "Observation",
        logical_id,
        status="final",
        code=concept((SNOMED, code)),
        subject=to(f"Patient/{patient}"),
        **members,
    )


CONTENT = [
    resource("Organization", "holding", name="Holding"),
    resource("Organization", "clinic", name="Kliniek", partOf=to("Organization/holding")),
    resource("Organization", "practice", name="Praktijk"),
    resource("Practitioner", "gp", name=[{"family": "Huisarts"}]),
    resource("Practitioner", "surgeon", name=[{"family": "Chirurg"}]),
    resource(
        "Patient",
        "ann",
        name=[{"family": "Ank"}],
        managingOrganization=to("Organization/clinic"),
        generalPractitioner=[to("Practitioner/gp")],
    ),
    resource("Patient", "bob", name=[{"family": "Bol"}], managingOrganization=to("Organization/practice")),
    resource(
        "Patient", "cas", name=[{"family": "Cas"}], link=[{"other": to("Patient/ann"), "type": "seealso"}]
    ),
    resource("EpisodeOfCare", "episode", status="active", patient=to("Patient/ann")),
    resource(
        "Encounter",
        "visit",
        status="finished",
        subject=to("Patient/ann"),
        episodeOfCare=[to("EpisodeOfCare/episode")],
    ),
    observed("a1", "ann", "1", context=to("Encounter/visit"), performer=[to("Practitioner/gp")]),
    observed("a2", "ann", "2", context=to("EpisodeOfCare/episode")),
    observed("b1", "bob", "1", performer=[to("Practitioner/surgeon")]),
    observed("b2", "bob", "2", performer=[to("Patient/ann")]),
    resource("Condition", "ca", code=concept((SNOMED, "1")), subject=to("Patient/ann")),
    resource("Condition", "cb", code=concept((SNOMED, "1")), subject=to("Patient/bob")),
    resource(
        "Provenance", "pa", target=[to("Observation/a1")], agent=[{"whoReference": to("Practitioner/gp")}]
    ),
    resource("Provenance", "pb", target=[to("Observation/b1")]),
    resource(
        "List",
        "some",
        status="current",
        mode="working",
        entry=[{"item": to("Observation/a1")}, {"item": to("Patient/bob")}],
    ),
    resource("Group", "both", type="person", actual=True, member=[{"entity": to("Patient/ann")}]),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    async with filled(cluster, "references", CONTENT) as store:
        yield store


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        # chains
        ("Observation", "patient.organization.name=kliniek", "a1 a2"),
        ("Observation", "patient.organization.partof.name=holding", "a1 a2"),
        ("Observation", "patient.organization.partof.name=kliniek", ""),
        ("Observation", "subject:Patient.general-practitioner:Practitioner.name=huis", "a1 a2"),
        ("Observation", "subject.general-practitioner.name=huis", "a1 a2"),
        ("Observation", "context:Encounter.episodeofcare=EpisodeOfCare/episode", "a1"),
        ("Observation", "context:Encounter.episodeofcare.status=active", "a1"),
        ("Observation", "context:EpisodeOfCare.status=active", "a2"),
        ("Observation", "patient.family=ank&patient.organization.name=kliniek", "a1 a2"),
        ("Observation", "patient.family=bol&patient.organization.name=kliniek", ""),
        ("Observation", "patient=ann&performer.name=huis", "a1"),
        # reverse chains
        ("Patient", f"_has:Observation:patient:code={SNOMED}|1", "ann bob"),
        ("Patient", "_has:Observation:patient:code=1&_has:Condition:patient:code=1", "ann bob"),
        ("Patient", "_has:Observation:performer:code=2", "ann"),
        ("Patient", "_id=ann&_has:Observation:patient:code=2", "ann"),
        ("Patient", "_id=cas&_has:Observation:patient:code=2", ""),
        ("Patient", "_has:Observation:patient:_id=b1", "bob"),
        ("Patient", "_has:Observation:patient:_has:Provenance:target:_id=pa", "ann"),
        ("Patient", "_has:Observation:patient:_has:Provenance:target:agent.name=huis", "ann"),
        ("Patient", "_has:Observation:patient:performer.name=chirurg", "bob"),
        ("Patient", "_has:Observation:patient:code:not=1", "ann bob"),
        ("Patient", "_has:Observation:patient:code=3", ""),
        ("Observation", "subject._has:Group:member:_id=both", "a1 a2"),
        ("Observation", "patient=ann&_has:Provenance:target:agent=Practitioner/gp", "a1"),
        ("Practitioner", "_has:Observation:performer:patient.family=bol", "surgeon"),
        # lists
        ("Observation", "_list=some", "a1"),
        ("Patient", "_list=some,none", "bob"),
        ("Observation", "_list=none", ""),
        ("Observation", "patient=bob&_list=some", ""),
        # several types
        ("", "_type=Observation,Condition&patient=ann", "a1 a2 ca"),
        ("", "_type=Observation,Condition&code=1", "a1 b1 ca cb"),
        ("", "_type=Observation,Condition&patient.family=bol&code=1", "b1 cb"),
        ("", "_id=ann,a1,nobody", "a1 ann"),
        ("", "_list=some", "a1 bob"),
        (
            "",
            "_type=Patient,Organization&_id:missing=false&_sort=-_id&_count=100",
            "ann bob cas clinic holding practice",
        ),
    ],
)
async def test_what_references_lead_to_decides(store: Store, kind: str, text: str, expected: str) -> None:
    assert await listed(store, kind, text) == expected


@pytest.mark.parametrize(
    ("owner", "logical_id", "kind", "text", "expected"),
    [
        ("Patient", "ann", "Observation", "", "a1 a2 b2"),
        ("Patient", "ann", "Observation", "code=1", "a1"),
        ("Patient", "ann", "Observation", "_sort=-_id&status=final", "a1 a2 b2"),
        ("Patient", "bob", "Condition", "", "cb"),
        ("Patient", "bob", "Patient", "", "bob"),
        ("Patient", "ann", "*", "", "a1 a2 ann b2 both ca cas episode visit"),
        ("Patient", "ann", "*", "_type=Condition,Encounter", "ca visit"),
        ("Patient", "nobody", "*", "", ""),
        ("Practitioner", "gp", "Observation", "", "a1"),
        ("Encounter", "visit", "*", "", "a1 visit"),
    ],
)
async def test_a_compartment_holds_what_refers_to_its_owner(
    store: Store, owner: str, logical_id: str, kind: str, text: str, expected: str
) -> None:
    query = PARSER.parse_compartment(owner, logical_id, kind, pairs_of(text))
    found = await store.search("stu3", query, "me")
    assert " ".join(sorted(s.id for s in found.matches)) == expected


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Observation", "", "a1 a2"),
        ("Observation", "code=1", "a1"),
        ("Observation", "patient=bob", ""),
        ("Observation", "patient=ann,bob", "a1 a2"),
        ("Observation", "patient.family=bol", ""),
        ("Observation", "code:not=1", "a2"),
        ("Observation", "performer.name=huis", "a1"),
        ("Observation", "_id=a1,b1", "a1"),
        ("Observation", "_list=some", ""),  # A List without a subject is nobody's record.
        ("Patient", "", "ann"),
        ("Patient", "_id=bob", ""),
        ("Patient", "link:Patient.family=ank", ""),
        ("Patient", "_has:Observation:patient:code=1", "ann"),
        ("Patient", "_has:Observation:performer:code=2", ""),
        ("Practitioner", "", ""),
        ("Group", "", "both"),
        ("", "_type=Observation,Condition,Patient,Practitioner", "a1 a2 ann ca"),
    ],
)
async def test_what_is_limited_to_a_patient_finds_that_patients_own_alone(
    store: Store, kind: str, text: str, expected: str
) -> None:
    query = replace(PARSER.parse(kind, pairs_of(text)), limited_to=frozenset({"ann"}))
    found = await store.search("stu3", query, "me")
    assert " ".join(sorted(s.id for s in found.matches)) == expected
    assert found.total == len(found.matches)


async def test_what_is_limited_to_nobody_finds_nothing(store: Store) -> None:
    for kind in ("Observation", "Patient", ""):
        query = replace(PARSER.parse(kind, ()), limited_to=frozenset())
        assert (await store.search("stu3", query, "me")).matches == ()


@pytest.mark.parametrize(
    ("kind", "text", "patient", "expected"),
    [
        ("Patient", "_id=cas&_include=Patient:link", None, {"ann"}),
        ("Patient", "_id=cas&_include=Patient:link", "cas", set()),
        ("Observation", "_id=b1&_include=Observation:*", "bob", {"bob", "surgeon"}),
        (
            "Patient",
            "_id=ann&_revinclude=*",
            None,
            {"a1", "a2", "b2", "both", "ca", "cas", "episode", "visit"},
        ),
        ("Patient", "_id=ann&_revinclude=*", "ann", {"a1", "a2", "both", "ca", "episode", "visit"}),
    ],
)
async def test_what_is_limited_to_a_patient_includes_no_other(
    store: Store, kind: str, text: str, patient: str | None, expected: set[str]
) -> None:
    limited = None if patient is None else frozenset({patient})
    query = replace(PARSER.parse(kind, pairs_of(text)), limited_to=limited)
    found = await store.search("stu3", query, "me")
    assert {i.stored.id for i in found.included} == expected


async def test_pages_of_a_limited_search_are_for_the_same_patients(store: Store) -> None:
    limited = frozenset({"ann"})
    query = replace(PARSER.parse("Observation", pairs_of("_count=1")), limited_to=limited)
    found = await store.search("stu3", query, "me")
    assert found.next_page is not None
    page = PARSER.parse("Observation", pairs_of("_page={}.{}".format(*found.next_page)))
    second = await store.search("stu3", replace(page, limited_to=limited), "me")
    assert [s.id for s in (*found.matches, *second.matches)] == ["a1", "a2"]
    for other in (None, frozenset({"bob"}), frozenset({"ann", "bob"})):
        with pytest.raises(Gone):
            await store.search("stu3", replace(page, limited_to=other), "me")


async def test_pages_of_a_search_over_types_and_in_a_compartment_go_on(store: Store) -> None:
    query = PARSER.parse_compartment("Patient", "ann", "*", pairs_of("_count=4&_sort=_id"))
    found = await store.search("stu3", query, "me")
    seen = [f"{s.type}/{s.id}" for s in found.matches]
    while found.next_page:
        page = PARSER.parse("", pairs_of("_page={}.{}".format(*found.next_page)))
        found = await store.search("stu3", page, "me")
        seen += [f"{s.type}/{s.id}" for s in found.matches]
    assert [key.partition("/")[2] for key in seen] == [
        "a1",
        "a2",
        "ann",
        "b2",
        "both",
        "ca",
        "cas",
        "episode",
        "visit",
    ]
    again = await store.search("stu3", query, "me")
    assert again.next_page is not None
    assert await store.page_query("stu3", again.next_page[0], "", "me") == query
