"""The law of registration: whatever is written, allowed, refused or interrupted, in the end the index holds exactly
what the data, the rules and the objections say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.nvi import away
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
    yesterday,
)

from schakel.facilities import Answer
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer

PEOPLE = {"p": BSN, "q": OTHER_BSN, "r": BSN}
"""Logical ids of Patients; two of them are the same person."""
KINDS = {"Condition": "Condition", "Observation": "ObservationLaboratory", "Flag": "Alert"}


Step: TypeAlias = tuple[object, ...]
Round: TypeAlias = tuple[list[Step], Step]


class _KilledError(BaseException):
    """The process ended here."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("registering_law", "registering_law", "secret"))
    yield opened
    await disconnect(opened)
    await cluster.drop_database("registering_law", "registering_law")


@dataclass
class Model:
    """What is true: who is here, whose data of which kind, what is in force, who objects."""

    here: set[str] = field(default_factory=set)
    data: dict[tuple[str, str], str] = field(default_factory=dict)
    rules: frozenset[str] = frozenset()
    objecting: list[str] = field(default_factory=list)

    def expected(self) -> set[tuple[str, str]]:
        """Person and category of everything that the index must hold."""
        found = set()
        for (kind, _), about in self.data.items():
            person = PEOPLE[about]
            if about in self.here and KINDS[kind] in self.rules and not (self.objecting and person == BSN):
                found.add((person, KINDS[kind]))
        return found


_people, _kinds = st.sampled_from(["p", "p", "p", "q", "r"]), st.sampled_from(sorted(KINDS))
_numbers = st.sampled_from(["1", "1", "1", "2"])
_write = st.tuples(st.just("write"), _kinds, _numbers, _people)
_delete = st.tuples(st.just("delete"), _kinds, _numbers)
_error = st.tuples(st.just("error"), _kinds, _numbers, _people)
_rarely: list[Step] = [
    ("rules", frozenset()),
    ("rules", frozenset(["Condition"])),
    ("rules", frozenset(["Alert", "ObservationLaboratory"])),
    ("rules", frozenset(KINDS.values())),
    *((what, who) for what in ("patient", "patient-gone", "purge") for who in ("p", "r")),
    ("object",),
    ("agree",),
]
_change = st.one_of(_write, _write, _delete, _error, st.sampled_from(_rarely))
_faults = st.sampled_from(["none", "none", "before", "after", "after", "killed"])
_work = st.tuples(st.just("work"), st.integers(1, 4), _faults, st.sampled_from([1, 1, 2, 3]))
_round = st.tuples(st.lists(_change, min_size=1, max_size=3), _work)
"""A few changes, and then some work in which the index fails at one of the first requests."""

_start = st.tuples(st.lists(_write, min_size=2, max_size=4), _work)
_histories = given(start=_start, rounds=st.lists(_round, min_size=1, max_size=4), keeps=st.booleans())


_CUT_OFF_WHILE_WITHDRAWING: list[Round] = [
    ([("write", "Flag", "1", "p")], ("work", 2, "before", 2)),
    ([("write", "Condition", "1", "q")], ("work", 1, "none", 1)),
]
"""The record of a patient is deleted there, the turn ends before that is written down, and the patient gets other data:
what was deleted must not be taken for a registration of these."""


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@_histories
@example(
    start=([("write", "Condition", "1", "p"), ("write", "Flag", "1", "q")], ("work", 2, "none", 1)),
    rounds=_CUT_OFF_WHILE_WITHDRAWING,
    keeps=False,
)
async def test_the_index_ends_equal_to_what_the_rules_say(
    pool: asyncpg.Pool, start: Round, rounds: list[Round], keeps: bool
) -> None:
    await _holds(pool, [start, *rounds], keeps)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@_histories
async def test_the_index_ends_equal_to_what_the_rules_say_in_many_histories(
    pool: asyncpg.Pool, start: Round, rounds: list[Round], keeps: bool
) -> None:
    await _holds(pool, [start, *rounds], keeps)


async def _holds(pool: asyncpg.Pool, rounds: list[Round], keeps: bool) -> None:
    world, model = World(pool), Model()
    world.index.keeps_category = keeps
    before: list[Step] = [("rules", frozenset(KINDS.values())), *(("patient", name) for name in PEOPLE)]
    for step in [*before, *(step for changes, work in rounds for step in (*changes, work))]:
        await _done(world, model, *step)
    world.restart(*world.rules)
    await world.due()
    await world.settle()
    expected = model.expected()
    held = world.index.patients(URA)
    assert held == (expected if keeps else {(person, "") for person, _ in expected})
    assert len(world.index.records) == len(held), "no doubles"
    for person in set(PEOPLE.values()):
        active = {category for category, state in (await world.states(person)).items() if state == "active"}
        assert active == {category for one, category in expected if one == person}
        records = {row.record for row in (await world.rows(person)).values() if row.state == "active"}
        assert records <= set(world.index.records)


async def _done(world: World, model: Model, what: object, *given: object) -> None:
    """Carries a step out in the world and in the model."""
    match what, given:
        case "patient", (str(name),):
            await world.write(patient(name, PEOPLE[name]))
            model.here.add(name)
        case "patient-gone", (str(name),):
            await world.write(gone("Patient", name))
            model.here.discard(name)
        case "write", (str(kind), str(number), str(about)):
            await world.write(
                observation(number, about) if kind == "Observation" else data(kind, number, about)
            )
            model.data[kind, number] = about
        case "error", (str(kind), str(number), str(about)):
            await world.write(in_error(kind, number, about))
            model.data.pop((kind, number), None)
        case "delete", (str(kind), str(number)):
            await world.write(gone(kind, number))
            model.data.pop((kind, number), None)
        case "rules", (frozenset() as categories,):
            model.rules = frozenset(str(one) for one in categories)
            ended = rule(*KINDS.values(), end=yesterday())
            world.restart(ended, *([rule(*model.rules)] if model.rules else []))
        case "object", ():
            model.objecting.append(await world.objects())
        case "agree", ():
            while model.objecting:
                await world.objections.end(model.objecting.pop(), by="test")
        case "purge", (str(name),):
            await world.store.purge("r4", name, "test", "test")
            model.here.discard(name)
            model.data = {key: about for key, about in model.data.items() if about != name}
        case "work", (int(turns), str(fault), int(place)):
            with _failing(world, fault, place):
                try:
                    for _ in range(turns):
                        await world.due()
                        await world.work.plan()
                        await world.work.turn()
                except _KilledError:
                    world.restart(*world.rules)
        case _:
            raise AssertionError(what)


@contextmanager
def _failing(world: World, fault: str, place: int) -> Iterator[None]:
    """The index fails at the request with this number from now on, in this way."""
    asked = 0

    def fail(_method: str, _path: str) -> Answer | None:
        nonlocal asked
        asked += 1
        if asked == place:
            raise _KilledError if fault == "killed" else away()
        return None

    if fault == "before":
        world.index.before = fail
    elif fault in ("after", "killed"):
        world.index.after = fail
    try:
        yield
    finally:
        world.index.before = world.index.after = lambda _m, _p: None
