"""Search parameters that an organisation adds: what has effect, what is refused, and what the index then holds."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.nodes import databases
from tests.parameters import VERSIONS, Organisation, search_parameter, shoe

from schakel.fhir.definitions import Version, definitions
from schakel.fhir.search import QueryParser, pairs_of
from schakel.kernel.outcomes import Conflict, NotFound, NotSupported, Unprocessable
from schakel.sources import Write
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer
from schakel.store.jobs import MOST_ATTEMPTS
from schakel.store.parameters import ParameterRules, Reindexing, kept_fresh

_tenants = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    async with databases(cluster, "own_parameters") as make:
        pool = await connect(await make())
        yield pool
        await disconnect(pool)


@pytest.fixture
def own(pool: asyncpg.Pool) -> Organisation:
    return Organisation(pool, next(_tenants), ParameterRules(most=4, steps=500))


def patient(logical_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": logical_id, **members}


async def patients(own: Organisation, values: Sequence[Any], version: Version = "r4") -> None:
    for number, value in enumerate(values):
        await own.put(patient(f"p{number}", extension=shoe(value)), version)


# -- what has effect -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_was_there_and_what_is_written_later_is_found(own: Organisation, version: Version) -> None:
    await patients(own, ["big", "small"], version)
    written = await own.put(search_parameter(), version)
    assert written.job.startswith("jobs/")
    await own.put(patient("later", extension=shoe("big")), version)
    await own.work()
    assert await own.found("Patient", "shoe=big", version) == ["later", "p0"]
    assert await own.found("Patient", "shoe:not=big", version) == ["p1"]
    other: Version = "stu3" if version == "r4" else "r4"
    with pytest.raises(NotSupported, match="'shoe' is not known"):
        await own.found("Patient", "shoe=big", other)


@pytest.mark.parametrize(
    ("kind", "member", "value", "asked", "no"),
    [
        (
            "token",
            "valueCoding",
            {"system": "urn:s", "code": "big", "display": "Very big"},
            "urn:s|big",
            "urn:t|big",
        ),
        ("token", "valueIdentifier", {"system": "urn:s", "value": "1"}, "urn:s|1", "2"),
        ("string", "valueString", "Größe 42", "grosse", "klein"),
        ("date", "valueDate", "2024-05", "2024-05", "2024-06"),
        ("uri", "valueUri", "http://example.org/big", "http://example.org/big", "http://example.org/x"),
        ("number", "valueDecimal", 42, "gt41", "gt42"),
        ("quantity", "valueQuantity", {"value": 42, "unit": "cm"}, "42||cm", "41||cm"),
        ("reference", "valueReference", {"reference": "Organization/o"}, "Organization/o", "Organization/x"),
    ],
)
async def test_every_kind_can_be_added_and_goes_again(
    own: Organisation, kind: str, member: str, value: Any, asked: str, no: str
) -> None:
    await own.put(patient("p", extension=shoe(value, member)))
    await own.put(patient("bare"))
    await own.put(search_parameter(type=kind))
    await own.put(patient("q", extension=shoe(value, member)))
    await own.work()
    assert await own.found("Patient", f"shoe={asked}") == ["p", "q"]
    assert await own.found("Patient", f"shoe={no}") == []
    assert await own.found("Patient", "shoe:missing=true") == ["bare"]
    await own.delete("SearchParameter", "shoe")
    await own.work(removals=True)
    assert await own.own_rows() == {}
    with pytest.raises(NotSupported, match="'shoe' is not known"):
        await own.found("Patient", f"shoe={asked}")


async def test_words_beside_a_code_are_found_and_those_of_the_standard_stay(own: Organisation) -> None:
    status = {"coding": [{"code": "M"}], "text": "Getrouwd"}
    big = shoe({"coding": [{"code": "big"}], "text": "Heel groot"}, "valueCodeableConcept")
    await own.put(patient("p", maritalStatus=status, extension=big))
    await own.put(search_parameter())
    await own.work()
    assert await own.found("Patient", "shoe:text=heel") == ["p"]
    assert await own.found("Patient", "shoe:text=getrouwd") == []
    await own.delete("SearchParameter", "shoe")
    await own.work(removals=True)
    assert await own.own_rows() == {}
    words = await own.pool.fetch("SELECT words FROM index_text WHERE tenant = $1", own.tenant)
    assert [row["words"] for row in words if "groot" in row["words"]] == []
    await own.put(search_parameter("lace", expression="Patient.maritalStatus"))
    await own.work()
    assert await own.found("Patient", "lace:text=getr") == ["p"]


async def test_sort_include_chain_and_reverse_chain_go_by_it(own: Organisation) -> None:
    await own.put(search_parameter("maker", type="reference", target=["Organization"]))
    await own.put(
        search_parameter("shop", base=["Organization"], type="string", expression="Organization.name")
    )
    await own.put({"resourceType": "Organization", "id": "o", "name": "Bakker"})
    await own.put({"resourceType": "Organization", "id": "n", "name": "Aarts"})
    await own.put(patient("p", extension=shoe({"reference": "Organization/o"}, "valueReference")))
    await own.work()
    assert await own.found("Patient", "maker.shop=bakker") == ["p"]
    assert await own.found("Organization", "_has:Patient:maker:_id=p") == ["o"]
    parser = QueryParser(own.store.definitions("r4"))

    async def searched(kind: str, text: str) -> tuple[list[str], list[str]]:
        found = await own.store.search("r4", parser.parse(kind, pairs_of(text)), "me")
        return [m.id for m in found.matches], [i.stored.id for i in found.included]

    assert await searched("Organization", "_sort=-shop") == (["o", "n"], [])
    assert await searched("Patient", "_include=Patient:maker") == (["p"], ["o"])
    assert await searched("Organization", "_id=o&_revinclude=Patient:maker") == (["o"], ["p"])
    assert await searched("Patient", "_include=*") == (["p"], []), (
        "a wildcard means the standard's references"
    )
    assert not await own.store.refers("r4", frozenset({"p"}), frozenset({"Patient"}), ("Organization", "o"))


async def test_one_for_several_types_reads_each_by_its_own_branch(own: Organisation) -> None:
    await own.put(
        search_parameter(
            "label",
            base=["Patient", "Organization"],
            type="string",
            expression="Patient.name.family | Organization.name",
        )
    )
    await own.put(patient("p", name=[{"family": "Aarts"}]))
    await own.put({"resourceType": "Organization", "id": "o", "name": "Aarts"})
    await own.work()
    assert await own.found("Patient", "label=aarts") == ["p"]
    assert await own.found("Organization", "label=aarts") == ["o"]


async def test_one_on_resource_is_for_every_type(own: Organisation) -> None:
    await own.put(
        search_parameter("release", base=["Resource"], type="string", expression="Resource.meta.versionId")
    )
    await own.put(patient("p"))
    await own.work()
    assert await own.found("Patient", "release=1") == ["p"]
    assert await own.found("SearchParameter", "release=1") == ["release"]


async def test_a_condition_of_a_write_may_name_it(own: Organisation) -> None:
    await own.put(search_parameter())
    await own.work()
    for _ in range(2):
        query = QueryParser(own.store.definitions("r4")).parse("Patient", pairs_of("shoe=big"))
        await own.write(
            Write("POST", "Patient", "new", patient("new", extension=shoe("big")), criteria=query)
        )
    assert await own.found("Patient", "shoe=big") == ["new"]


# -- from draft to removal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["draft", "retired", "unknown"])
async def test_one_that_is_not_active_is_kept_without_effect(own: Organisation, status: str) -> None:
    written = await own.put(search_parameter(status=status, expression="no expression ("))
    assert written.job == ""
    with pytest.raises(NotSupported):
        await own.found("Patient", "shoe=big")


async def test_one_that_is_being_built_is_indexed_and_not_searched(own: Organisation) -> None:
    await patients(own, ["big"])
    written = await own.put(search_parameter())
    assert (await own.own_rows()) == {}
    await own.put(patient("later", extension=shoe("big")))
    assert (await own.own_rows()) == {"index_token": 1}
    for text, handling in (("shoe=big", "strict"), ("shoe=big", "lenient"), ("_sort=shoe", "strict")):
        with pytest.raises(NotSupported, match=written.job) as refused:
            await own.found("Patient", text, handling=handling)  # type: ignore[arg-type]
        assert refused.value.kind == "search-parameter-building"


async def test_another_meaning_is_built_anew_under_the_same_code(own: Organisation) -> None:
    await own.put(patient("p", gender="male", extension=shoe("big")))
    await own.put(search_parameter())
    await own.work()
    before = await own.put(search_parameter(name="Another name"))
    assert before.job == "", "what it means did not change"
    changed = await own.put(search_parameter(expression="Patient.gender"))
    assert changed.job
    with pytest.raises(NotSupported, match="still being built"):
        await own.found("Patient", "shoe=big")
    await own.work(removals=True)
    assert await own.found("Patient", "shoe=male") == ["p"]
    assert await own.found("Patient", "shoe=big") == []
    assert await own.own_rows() == {"index_token": 1}


async def test_retiring_takes_it_out_and_a_patch_is_a_write_like_any(own: Organisation) -> None:
    await own.put(search_parameter())
    await own.work()

    def retired(current: dict[str, Any]) -> dict[str, Any]:
        return {**current, "status": "retired"}

    await own.write(Write("PATCH", "SearchParameter", "shoe", patch=retired))
    with pytest.raises(NotSupported):
        await own.found("Patient", "shoe=big")


async def test_two_may_change_places_in_one_transaction(own: Organisation) -> None:
    await own.put(search_parameter("a", expression="Patient.gender"))
    await own.put(search_parameter("b", expression="Patient.language"))
    first, second = search_parameter("a", id="b"), search_parameter("b", id="a")
    written = await own.write(
        Write("PUT", "SearchParameter", "a", second), Write("PUT", "SearchParameter", "b", first)
    )
    assert all(one.job for one in written)
    await own.work(removals=True)
    await own.put(patient("p", extension=shoe("big")))
    assert await own.found("Patient", "a=big&b=big") == ["p"]


async def test_a_page_that_rests_on_one_that_is_gone_is_refused(own: Organisation) -> None:
    await patients(own, ["big"] * 3)
    await own.put(search_parameter())
    await own.work()
    query = QueryParser(own.store.definitions("r4")).parse("Patient", pairs_of("shoe=big&_count=1"))
    found = await own.store.search("r4", query, "me")
    assert found.next_page is not None
    await own.delete("SearchParameter", "shoe")
    with pytest.raises(Conflict, match="ask again"):
        await own.store.search("r4", query, "me")
    page = QueryParser(own.store.definitions("r4")).parse(
        "Patient", pairs_of(f"_page={found.next_page[0]}.1")
    )
    with pytest.raises(NotSupported, match="'shoe'"):
        await own.store.search("r4", page, "me")


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "element", "why"),
    [
        ({"code": "gender"}, "code", "standard parameter 'gender'"),
        ({"code": "_id"}, "code", "must be a letter"),
        ({"code": "a:b"}, "code", "must be a letter"),
        ({"code": None}, "code", "needs code"),
        ({"type": "composite"}, "type", "composite"),
        ({"type": "special"}, "type", "special"),
        ({"base": []}, "base", "needs base"),
        ({"base": ["Shoe"]}, "base", "'Shoe' is no resource type"),
        ({"base": ["Patient", "Element"]}, "base", "'Element' is no resource type"),
        ({"target": ["Shoe"], "type": "reference"}, "target", "'Shoe' is no resource type"),
        ({"expression": None}, "expression", "needs expression"),
        ({"expression": "Patient.shoe"}, "expression", "shoe"),
        ({"expression": "Patient.("}, "expression", "on Patient"),
        ({"expression": "Patient.birthDate.foo()"}, "expression", "foo"),
        ({"expression": "Observation.code"}, "expression", "never gives anything"),
        ({"expression": "Patient.name"}, "expression", "gives HumanName"),
        ({"expression": "Patient.contact", "type": "string"}, "expression", "gives Patient.contact"),
        ({"base": ["Patient", "Group"], "expression": "Patient.gender"}, "expression", "on Group"),
        ({"url": "http://hl7.org/fhir/SearchParameter/Patient-active"}, "url", "standard parameter"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    own: Organisation, members: dict[str, Any], element: str, why: str
) -> None:
    table = definitions("r4")
    if "url" in members:
        members = {"url": table.search_parameters("Patient")["active"].url}
    with pytest.raises(Unprocessable, match="cannot have effect") as refused:
        await own.put(search_parameter(id="shoe", **members))
    [issue] = refused.value.issues
    assert issue.expression == f"SearchParameter.{element}"
    assert why in issue.message
    with pytest.raises(NotFound):
        await own.store.read("r4", "SearchParameter", "shoe")
    assert await own.jobs.newest() == []


async def test_a_code_or_url_comes_once(own: Organisation) -> None:
    await own.put(search_parameter())
    with pytest.raises(Unprocessable, match="has the code 'shoe' on Patient already"):
        await own.put(search_parameter(id="other", url="http://example.org/other"))
    with pytest.raises(Unprocessable, match="has the url"):
        await own.put(search_parameter("other", url=search_parameter()["url"]))
    await own.put(
        search_parameter(
            id="third", url="http://example.org/third", base=["Person"], expression="Person.gender"
        )
    )
    await own.put(search_parameter(), "stu3")


async def test_an_organisation_has_so_many_and_no_more(own: Organisation) -> None:
    for number in range(4):
        await own.put(search_parameter(f"s{number}"), "r4" if number % 2 else "stu3")
    with pytest.raises(Unprocessable, match=r"may have 4 .*limits\.search_parameters"):
        await own.put(search_parameter("one-more"))
    await own.delete("SearchParameter", "s1")
    await own.put(search_parameter("one-more"))


async def test_a_refusal_in_a_transaction_names_the_write_and_leaves_nothing(own: Organisation) -> None:
    with pytest.raises(Unprocessable) as refused:
        await own.write(
            Write("PUT", "Patient", "p", patient("p")),
            Write("PUT", "SearchParameter", "good", search_parameter("good")),
            Write("PUT", "SearchParameter", "bad", search_parameter("bad", expression="(")),
        )
    assert refused.value.place == 2
    with pytest.raises(NotFound):
        await own.store.read("r4", "Patient", "p")
    assert own.store.parameters.current.parameters == ()


async def test_what_the_standard_has_already_is_kept_without_effect(own: Organisation) -> None:
    standard = definitions("r4").search_parameters("Patient")["gender"]
    written = await own.put(search_parameter("gender", url=standard.url))
    assert written.job == ""
    assert await own.found("Patient", "gender=male") == []


# -- expressions that go wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "Patient.name.given.single()",  # It fails: there are more.
        "Patient.name.given.select('\\u0000')",  # No database holds it.
        "Patient.name.given.select(%context.name.given)",  # It costs too much.
    ],
)
async def test_an_expression_that_fails_never_stops_a_write_and_is_counted(
    own: Organisation, expression: str
) -> None:
    many = [{"given": [f"g{number}" for number in range(40)]}]
    await own.put(patient("before", name=many))
    await own.put(patient("fine"))
    await own.put(search_parameter(type="string", expression=expression))
    await own.put(patient("after", name=many))
    await own.work()
    [status] = await own.jobs.newest()
    assert (status.state, status.parameter.failing) == ("done", 2)
    assert await own.found("Patient", "_id=before,after,fine") == ["after", "before", "fine"]
    await own.put(patient("before"))
    [status] = await own.jobs.newest()
    assert status.parameter.failing == 1
    await own.delete("Patient", "after")
    [status] = await own.jobs.newest()
    assert status.parameter.failing == 0


# -- jobs ------------------------------------------------------------------------------------------------------------


async def test_a_job_says_how_far_it_is(own: Organisation) -> None:
    await own.store.write("r4", [Write("PUT", "Patient", f"p{n}", patient(f"p{n}")) for n in range(450)])
    written = await own.put(search_parameter())
    name = written.job.rpartition("/")[2]
    seen = []
    for _ in range(4):
        status = await own.jobs.get(name)
        seen.append((status.state, status.done, status.total, status.parameter.state))
        await own.worker.turn()
    assert seen == [
        ("waiting", 0, None, "building"),
        ("running", 200, 450, "building"),
        ("running", 400, 450, "building"),
        ("running", 450, 450, "building"),
    ]
    done = await own.jobs.get(name)
    assert (done.state, done.parameter.state) == ("done", "ready")
    assert done.started is not None and done.ended is not None
    for unknown in ("x", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(NotFound):
            await own.jobs.get(unknown)


async def test_a_step_that_fails_is_tried_again_and_then_given_up(
    own: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = await own.put(search_parameter())
    name = written.job.rpartition("/")[2]

    async def broken(*_: object) -> None:
        raise RuntimeError("with something personal in it")

    with monkeypatch.context() as patched:
        patched.setattr(Reindexing, "step", broken)
        for attempt in range(1, MOST_ATTEMPTS + 1):
            await own.hurry()
            assert await own.worker.turn()
            assert (await own.jobs.get(name)).attempts == attempt
    status = await own.jobs.get(name)
    assert (status.state, status.error) == ("failed", "RuntimeError")
    assert status.parameter.state == "failed"
    with pytest.raises(NotSupported, match="could not be built"):
        await own.found("Patient", "shoe=big")
    await patients(own, ["big"])
    [again] = await own.jobs.restart(search_parameter()["url"])
    assert again.parameter.state == "building"
    await own.work()
    assert await own.found("Patient", "shoe=big") == ["p0"]


async def test_building_again_mends_the_index_and_leaves_searching_open(own: Organisation) -> None:
    await patients(own, ["big", "big"])
    await own.put(search_parameter())
    await own.work()
    await own.pool.execute(
        "DELETE FROM index_token WHERE tenant = $1 AND param LIKE '+%' "
        "AND rid = (SELECT min(rid) FROM index_token WHERE tenant = $1)",
        own.tenant,
    )
    assert await own.found("Patient", "shoe=big") == ["p1"]
    first, second = await own.jobs.restart(), await own.jobs.restart()
    assert [s.id for s in first] == [s.id for s in second], "it goes on already"
    assert await own.found("Patient", "shoe=big") == ["p1"]
    await own.work()
    assert await own.found("Patient", "shoe=big") == ["p0", "p1"]
    with pytest.raises(NotFound, match="no active search parameter"):
        await own.jobs.restart("http://example.org/unknown")


# -- other processes, other organisations ----------------------------------------------------------------------------


async def test_another_process_hears_of_it(pool: asyncpg.Pool, own: Organisation) -> None:
    other = Organisation(pool, own.tenant, ParameterRules())
    await patients(own, ["big"])
    async with kept_fresh(pool, [other.store.parameters], seconds=0.05):
        await own.put(search_parameter())
        await other.put(patient("later", extension=shoe("big")))
        await other.worker.turn()
        await other.worker.turn()
        for _ in range(250):
            if other.store.parameters.current.parameters[0].state == "ready":
                break
            await asyncio.sleep(0.02)
        assert await other.found("Patient", "shoe=big") == ["later", "p0"]


async def test_a_search_in_a_process_that_did_not_hear_of_a_change_yet_is_never_wrong(
    pool: asyncpg.Pool, own: Organisation
) -> None:
    other = Organisation(pool, own.tenant, ParameterRules())
    await own.put(search_parameter())
    await own.work()
    await patients(other, ["big"])
    assert await other.found("Patient", "shoe=big") == ["p0"]
    query = QueryParser(other.store.definitions("r4")).parse("Patient", pairs_of("shoe=big"))
    await own.put(search_parameter(expression="Patient.gender"))
    with pytest.raises(Conflict, match="ask again") as refused:
        await other.store.search("r4", query, "me")
    assert refused.value.kind == "search-parameter-changed"


async def test_a_neighbour_sees_nothing_of_it(pool: asyncpg.Pool, own: Organisation) -> None:
    neighbour = Organisation(pool, next(_tenants), ParameterRules())
    await own.put(search_parameter())
    await neighbour.put(patient("p", extension=shoe("big")))
    await own.work()
    await neighbour.work()
    assert await own.found("Patient", "shoe=big") == []
    assert await neighbour.own_rows() == {}
    assert await neighbour.jobs.newest() == []
    [job] = await own.jobs.newest()
    with pytest.raises(NotFound):
        await neighbour.jobs.get(job.id)
    with pytest.raises(NotSupported):
        await neighbour.found("Patient", "shoe=big")
    await neighbour.put(search_parameter())
    await neighbour.work()
    assert await neighbour.found("Patient", "shoe=big") == ["p"]
