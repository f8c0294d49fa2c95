"""Registering at the national index: only what a rule says, driven by what is written, and withdrawn when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.nvi import away, said
from tests.registering import (
    BSN,
    OTHER_BSN,
    URA,
    World,
    data,
    gone,
    in_error,
    observation,
    patient,
    rule,
    tomorrow,
    yesterday,
)

from schakel.facilities import Answer, FacilityAway
from schakel.fhir.definitions import VERSIONS, definitions
from schakel.generic.localisation import CATEGORIES, RegistrationWork, status
from schakel.generic.localisation.categories import STATUS_NOT_INDEXED, STATUSES
from schakel.generic.localisation.register import Rule
from schakel.kernel.outcomes import Conflict, Forbidden, Invalid
from schakel.kernel.values import Bsn
from schakel.localising import Index, registering
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("registering", "registering", "secret"))
    yield opened
    await disconnect(opened)
    await cluster.drop_database("registering", "registering")


@pytest.fixture
def world(pool: asyncpg.Pool) -> World:
    return World(pool)


async def test_what_is_written_under_a_rule_is_registered(world: World) -> None:
    world.restart(rule("Condition"))
    await world.settle()
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    row = (await world.rows())["Condition"]
    assert world.index.patients(URA) == {(BSN, "")}
    assert row.state == "active" and row.record in world.index.records and row.shared
    assert (row.recipient, row.scope) == (world.pseudonyms.recipient, world.pseudonyms.scope)
    assert row.written is not None and row.registered is not None and row.registered > row.written
    assert row.ground == "law" and world.told == [("C", BSN, "Condition")]


async def test_who_was_here_before_the_rule_is_registered_too(world: World) -> None:
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.write(patient("q", OTHER_BSN), observation("o", "q"))
    world.restart(rule("Condition"))
    await world.settle()
    assert world.index.patients(URA) == {(BSN, "")}
    assert (await world.rows())["Condition"].written is None


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param((), id="no rule"),
        pytest.param((rule("Condition", start=tomorrow()),), id="before the start"),
        pytest.param((rule("Condition", end=yesterday()),), id="after the end"),
        pytest.param((rule("Alert", "Procedure"),), id="another category"),
    ],
)
async def test_without_a_rule_in_force_for_it_nothing_is_registered(
    world: World, rules: tuple[Rule, ...]
) -> None:
    world.restart(*rules)
    await world.settle()
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    assert world.index.asked == [] and await world.rows() == {}


async def test_nobody_follows_what_is_written_without_a_rule(world: World) -> None:
    await world.settle()
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    assert await world.pool.fetchval("SELECT count(*) FROM outbox WHERE tenant = $1", world.tenant) == 0


async def test_a_node_that_no_longer_asks_the_index_keeps_nothing_for_it(world: World) -> None:
    world.restart(rule("Condition"))
    await world.settle()
    kept = "SELECT count(*) FROM outbox WHERE tenant = $1"
    async with registering(Index(world.pool, {}, RegistrationWork(world.pool, {})), [world.tenant]):
        await world.write(patient("p", BSN), data("Condition", "c", "p"))
        assert await world.pool.fetchval(kept, world.tenant) == 0
    world.restart(rule("Condition"))
    await world.settle()
    assert await world.states() == {"Condition": "active"}, "what was missed is looked at again"


@pytest.mark.parametrize(
    "numbers", [(), ("123456789",), (BSN, OTHER_BSN)], ids=["none", "not a BSN", "two of them"]
)
async def test_a_patient_without_a_bsn_is_skipped_and_counted(world: World, numbers: tuple[str, ...]) -> None:
    world.restart(rule("Condition"))
    await world.settle()
    await world.write(patient("p", *numbers), data("Condition", "c", "p"))
    await world.settle()
    assert world.index.asked == []
    assert (await status(world.pool, world.tenant)).without_bsn == 1


@pytest.mark.parametrize("exchanges", [(), ("localisation",), ("bgz", "localisation")], ids=str)
async def test_who_objects_is_not_registered(world: World, exchanges: tuple[str, ...]) -> None:
    await world.objects(exchanges)
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    assert world.index.asked == []


@pytest.mark.parametrize(
    "members",
    [{"exchanges": ("bgz",)}, {"requesters": ("90000002",)}, {"provider_categories": ("RPZAC001",)}],
    ids=["another exchange", "one requester", "one category of providers"],
)
async def test_an_objection_to_something_else_stops_nothing(world: World, members: dict[str, Any]) -> None:
    await world.objects(**members)
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    assert world.index.patients(URA) == {(BSN, "")}


async def test_an_objection_withdraws_and_its_end_registers_again(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    objection = await world.objects()
    await world.settle()
    assert world.index.records == {} and await world.states() == {"Condition": "withdrawn"}
    await world.objections.end(objection, by="test")
    await world.settle()
    assert world.index.patients(URA) == {(BSN, "")}
    assert [action for action, _, _ in world.told] == ["C", "D", "C"]


async def test_the_last_data_of_the_last_category_withdraws(world: World) -> None:
    world.restart(rule("Condition", "ObservationLaboratory"))
    await world.write(
        patient("p", BSN), data("Condition", "c", "p"), data("Condition", "d", "p"), observation("o", "p")
    )
    await world.settle()
    assert len(world.index.records) == 1 and set((await world.states()).values()) == {"active"}
    [record] = world.index.records
    await world.write(gone("Condition", "c"))
    await world.settle()
    assert await world.states() == {"Condition": "active", "ObservationLaboratory": "active"}
    await world.write(gone("Condition", "d"))
    await world.settle()
    assert await world.states() == {"Condition": "withdrawn", "ObservationLaboratory": "active"}
    assert set(world.index.records) == {record}, "the record stands for the other category"
    await world.write(gone("Observation", "o"))
    await world.settle()
    assert world.index.records == {}


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("Condition", "Condition"),
        ("AllergyIntolerance", "AllergyIntolerance"),
        ("Observation", "ObservationLaboratory"),
        ("Flag", "Alert"),
        ("DeviceUseStatement", "Device"),
        ("VisionPrescription", "Request"),
    ],
)
async def test_what_was_entered_in_error_is_no_data(world: World, kind: str, category: str) -> None:
    world.restart(rule(category))
    await world.settle()
    await world.write(patient("p", BSN), in_error(kind, "1", "p"))
    await world.settle()
    assert world.index.asked == [] and await world.rows() == {}
    right = observation("2", "p") if kind == "Observation" else data(kind, "2", "p")
    await world.write(right)
    await world.settle()
    assert await world.states() == {category: "active"}
    await world.write(in_error(kind, "2", "p"))
    await world.settle()
    assert await world.states() == {category: "withdrawn"} and world.index.records == {}


async def test_what_stu3_says_was_entered_in_error_is_no_data(world: World) -> None:
    world.restart(rule("Condition", "Request", "Alert"))
    wrong = {"code": "entered-in-error"}
    await world.write(
        patient("p", BSN),
        data("Condition", "c", "p", verificationStatus=wrong["code"]),
        data("ProcedureRequest", "r", "p", status=wrong["code"], intent="order", code={"text": "x"}),
        data("Flag", "f", "p", status=wrong["code"], code={"text": "x"}),
        version="stu3",
    )
    await world.settle()
    assert world.index.asked == [] and await world.rows() == {}


def test_of_every_type_that_can_be_entered_in_error_it_is_known() -> None:
    for version in VERSIONS:
        known = definitions(version)
        for kind in {kind.type for kinds in CATEGORIES.values() for kind in kinds} & known.resource_types:
            told = [name for name in STATUSES if name in known.types[kind].elements]
            indexed = [STATUSES[name] in known.search_parameters(kind) for name in told]
            assert all(indexed) or (kind in STATUS_NOT_INDEXED and told == ["status"]), kind


async def test_an_index_that_keeps_categories_gets_a_record_for_each(world: World) -> None:
    world.index.keeps_category = True
    world.restart(rule("Condition", "ObservationLaboratory"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"), observation("o", "p"))
    await world.settle()
    assert world.index.patients(URA) == {(BSN, "Condition"), (BSN, "ObservationLaboratory")}
    await world.write(gone("Condition", "c"))
    await world.settle()
    assert world.index.patients(URA) == {(BSN, "ObservationLaboratory")}


async def test_a_rule_that_is_taken_away_withdraws(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    world.restart()
    await world.settle()
    assert world.index.records == {}
    await world.write(data("Condition", "d", "p"))
    assert await world.pool.fetchval("SELECT count(*) FROM outbox WHERE tenant = $1", world.tenant) == 0


async def test_a_rule_that_changes_registers_and_withdraws_what_differs(world: World) -> None:
    world.index.keeps_category = True
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"), observation("o", "p"))
    await world.settle()
    world.restart(rule("ObservationLaboratory"))
    await world.settle()
    assert world.index.patients(URA) == {(BSN, "ObservationLaboratory")}


async def test_an_erased_patient_is_withdrawn_and_forgotten(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    await world.store.purge("r4", "p", "test", "test")
    await world.settle()
    assert world.index.records == {}
    for table in ("localisation_record", "localisation_patient", "localisation_subject"):
        assert await world.pool.fetchval(f"SELECT count(*) FROM {table} WHERE tenant = $1", world.tenant) == 0


async def test_a_patient_who_gets_another_bsn_moves(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    await world.write(patient("p", OTHER_BSN))
    await world.settle()
    assert world.index.patients(URA) == {(OTHER_BSN, "")}


async def test_data_that_move_to_another_patient_are_told_of_both(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), patient("q", OTHER_BSN), data("Condition", "c", "p"))
    await world.settle()
    await world.write(data("Condition", "c", "q"))
    await world.settle()
    assert world.index.patients(URA) == {(OTHER_BSN, "")}


async def test_one_person_in_two_versions_is_one_registration(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"), version="stu3")
    await world.write(patient("q", BSN), data("Condition", "d", "q"), version="r4")
    await world.settle()
    assert len(world.index.records) == 1
    await world.write(gone("Condition", "c"), version="stu3")
    await world.settle()
    assert len(world.index.records) == 1
    await world.write(gone("Condition", "d"))
    await world.settle()
    assert world.index.records == {}


# -- when it goes wrong --------------------------------------------------------------------------------------


async def test_an_index_that_is_away_is_asked_again_later(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    world.index.before = lambda _m, _p: (_ for _ in ()).throw(away())
    await world.work.settle()
    row = await world.pool.fetchrow(
        "SELECT attempts, error, run_after > now() AS later FROM localisation_patient WHERE tenant = $1",
        world.tenant,
    )
    assert row is not None and (row["attempts"], row["later"]) == (1, True) and "NVI" in row["error"]
    assert await world.states() == {"Condition": "waiting"}
    world.index.before = lambda _m, _p: None
    await world.due()
    await world.settle()
    assert await world.states() == {"Condition": "active"}


async def test_a_registration_whose_answer_was_lost_is_found(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))

    def lost(method: str, _path: str) -> Answer | None:
        if method == "POST":
            raise away()
        return None

    world.index.after = lost
    await world.work.settle()
    assert len(world.index.records) == 1 and await world.states() == {"Condition": "waiting"}
    world.index.after = lambda _m, _p: None
    await world.due()
    await world.settle()
    assert (await world.rows())["Condition"].record in world.index.records and len(world.index.records) == 1


async def test_a_lost_registration_is_withdrawn_too(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    world.index.after = lambda method, _path: (_ for _ in ()).throw(away()) if method == "POST" else None
    await world.work.settle()
    assert len(world.index.records) == 1 and (await world.rows())["Condition"].record == ""
    await world.write(gone("Condition", "c"))
    await world.due()
    await world.settle()
    assert world.index.records == {}


async def test_doubles_that_lost_answers_made_are_folded(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    for _ in range(2):
        world.index.add(BSN, URA)
    world.index.add(BSN, URA, "another-system")
    await world.settle()
    ours = [held for held in world.index.records.values() if held.source != "another-system"]
    assert [held.id for held in ours] == [(await world.rows())["Condition"].record]
    assert len(world.index.records) == 2, "what names other software is not ours to delete"


async def test_what_the_index_refuses_is_shown_and_tried_tomorrow(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    world.index.before = lambda method, _p: said(403, "security", "no scope") if method == "POST" else None
    await world.work.settle()
    row = (await world.rows())["Condition"]
    assert row.state == "refused" and "403" in row.error and "no scope" in row.error
    world.index.before = lambda _m, _p: None
    await world.due()
    await world.settle()
    assert await world.states() == {"Condition": "active"}


async def test_without_pseudonyms_a_known_record_is_deleted_all_the_same(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    world.pseudonyms.away = True
    await world.objects()
    await world.work.settle()
    assert world.index.records == {}
    assert await world.states() == {"Condition": "withdrawing"}, "whether more is left could not be asked"
    world.pseudonyms.away = False
    await world.due()
    await world.settle()
    assert await world.states() == {"Condition": "withdrawn"}


async def test_what_is_not_written_down_is_told_again(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    made = world.index.add(BSN, URA)  # A worker asked the index, and died.
    await world.settle()
    assert set(world.index.records) == {made} and await world.states() == {"Condition": "active"}


# -- what the EHR asks itself --------------------------------------------------------------------------------


async def test_the_ehr_registers_what_is_not_stored_here(world: World) -> None:
    world.restart(rule("Imaging"))
    made, fresh = await world.registrations.register(Bsn(BSN), "Imaging")
    assert fresh and made.state == "active" and made.asked and world.index.patients(URA) == {(BSN, "")}
    _, again = await world.registrations.register(Bsn(BSN), "Imaging")
    assert not again and len(world.index.records) == 1
    await world.settle()
    assert await world.states() == {"Imaging": "active"}
    await world.registrations.withdraw(made)
    assert world.index.records == {}


async def test_the_ehr_registers_under_a_rule_only(world: World) -> None:
    world.restart(rule("Condition"))
    with pytest.raises(Forbidden) as refused:
        await world.registrations.register(Bsn(BSN), "Imaging")
    assert refused.value.kind == "no-registration-rule"
    with pytest.raises(Invalid) as unknown:
        await world.registrations.register(Bsn(BSN), "Practitioner")
    assert unknown.value.kind == "category-unknown"
    await world.objects()
    with pytest.raises(Forbidden) as objected:
        await world.registrations.register(Bsn(BSN), "Condition")
    assert objected.value.kind == "registration-refused" and world.index.asked == []


async def test_what_the_ehr_could_not_register_is_not_registered_later(world: World) -> None:
    world.restart(rule("Imaging"))
    world.index.after = lambda method, _path: (_ for _ in ()).throw(away()) if method == "POST" else None
    with pytest.raises(FacilityAway):
        await world.registrations.register(Bsn(BSN), "Imaging")
    assert len(world.index.records) == 1
    world.index.after = lambda _m, _p: None
    await world.due()
    await world.settle()
    assert world.index.records == {}


async def test_the_ehr_does_not_withdraw_what_a_rule_registers(world: World) -> None:
    world.restart(rule("Condition"))
    await world.write(patient("p", BSN), data("Condition", "c", "p"))
    await world.settle()
    with pytest.raises(Conflict) as refused:
        await world.registrations.withdraw((await world.rows())["Condition"])
    assert refused.value.kind == "registered-by-rule" and len(world.index.records) == 1
