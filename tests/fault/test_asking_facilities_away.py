"""The facilities of the asking side fail at a running node: down, slow, refusing, lying, answering half, started again.

The EHR is told which of them gave no answer and why, never that nobody has anything; whom another facility names is
asked all the same. What cannot be told a facility now is told it later. Nothing of it reaches the technical log.

Organisation a asks. The index names b, Mitz names c, and the central directory says where both are.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
import structlog
from aiohttp import web
from tests.guarded import condition, patient
from tests.middleman import (
    Behaviour,
    Middleman,
    Passing,
    Said,
    fails,
    half_as_whole,
    halves,
    hangs_up,
    passes,
    repeats,
    rewrites,
    says,
    slow,
)
from tests.nation import ALLOWS, ALSO_ALLOWS, HOLDER, OPERATOR, Nation, nation
from tests.nodes import DOCTOR, RunningNode, databases, running_node
from tests.operators import DIRECTORY, Way, central, organisation, ways

from schakel import technical_log
from schakel.generic.addressing.ledger import Ledger
from schakel.store.embedded import EmbeddedServer
from schakel.store.tenants import tenant_of
from schakel_national.mitz.register import Subscription
from schakel_national.mitz.systems import Told, register

A, B, C = HOLDER, "90000002", "90000003"
RULES = [{"ground": "law", "categories": ["Condition"], "start": "2026-01-01"}]
STALE_SECONDS = 12
TOKEN_SECONDS = 2
"""Half of it a token is used."""


@dataclass
class Place:
    """The node, and what stands between it and the facilities."""

    country: Nation
    way: Way
    node: RunningNode
    log: io.StringIO
    regional: Path

    def between(self, facility: str) -> Middleman:
        return self.country.mitz if facility == "mitz" else self.way.between[facility]

    async def ask(self, bsn: str = ALLOWS, *, anew: bool = False) -> dict[str, Any]:
        """What the EHR of a is told; `anew` when no token for a facility is left from earlier."""
        a = self.node["a"]
        await asyncio.sleep(TOKEN_SECONDS / 2 if anew else 0)
        ask = {
            "patient": bsn,
            "user": DOCTOR.json(),
            "purpose": "TREAT",
            "treatment_relation": "current",
        }
        answer = await a.internal.post(f"{a.internal_root}/a/exchanges/bgz", json=ask)
        assert answer.status_code == 200, answer.text
        assert "Traceback" not in answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def whole(self) -> None:
        """Everything is well: both are found and give what they have."""
        told = await self.ask()
        assert told["status"] == "complete", told["localised"]
        assert {one["ura"]: one["status"] for one in told["holders"]} == {B: "complete", C: "complete"}
        assert reports(told) == {"nvi": ("answered", ""), "mitz": ("answered", "")}

    async def eventually(self, true: Callable[[dict[str, Any]], bool], seconds: float = 40) -> dict[str, Any]:
        """What is told as soon as it is so; a breaker that is open stays so for ten seconds."""
        end = time.monotonic() + seconds
        while not true(told := await self.ask()):
            assert time.monotonic() < end, {**told, "bundle": ""}
            await asyncio.sleep(0.2)
        return told

    async def healed(self) -> None:
        """Nobody does any harm any more, and everything is well again."""
        self.way.heal()
        self.country.heal()
        await self.eventually(lambda told: told["status"] == "complete" and len(told["holders"]) == 2)
        await self.eventually(lambda told: not any(one["directory"]["stale"] for one in told["holders"]))
        await self.whole()

    def nothing_personal(self, *, since: int = 0) -> None:
        """The technical log has no patient and no token in it."""
        told = self.log.getvalue()[since:]
        assert (
            ALLOWS not in told and ALSO_ALLOWS not in told and "eyJ" not in told and "Traceback" not in told
        )
        kinds = [orjson.loads(line) for line in told.splitlines()]
        assert [one for one in kinds if one["level"] == "error"] == []


@pytest.fixture(scope="module")
def log() -> Iterator[io.StringIO]:
    """The technical log, as an operator has it."""
    out = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    technical_log.configure("info", out)
    yield out
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(
    cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory, log: io.StringIO
) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("nation")
    regional = folder / "regional.json"
    regional.write_bytes(bundle())
    async with nation(folder) as country:
        await country.refer({B: OPERATOR}, seconds=TOKEN_SECONDS)
        async with ways(country, country.operator, OPERATOR) as way:
            known = {A: "Z3", B: "V6", C: "V6"}
            await central(country, way, known=known, parties={B: OPERATOR, C: OPERATOR})
            named = Subscription(
                "", ALLOWS, C, "V6", "https://127.0.0.1:1/", "x", "urn:oid:1.2", "urn:oid:1.3"
            )
            register(folder, Told({})).subscribe(named)
            async with node_of(cluster, country, way, regional) as node:
                made = Place(country, way, node, log, regional)
                await made.healed()
                yield made


@asynccontextmanager
async def node_of(
    cluster: EmbeddedServer, country: Nation, way: Way, regional: Path
) -> AsyncIterator[RunningNode]:
    shown, _ = await country.certificate(
        "asker", kind="uzi-server", organisation="Organisation a", locality="Zwolle", ura=A, uzi="990100011"
    )
    published = {"type_code": "V6", "entries": {"publish": True}}
    sections = way.sections(stale_hours=STALE_SECONDS / 3600)
    sections["addressing"]["sources"].append(
        {"name": "regional", "kind": "files", "file": str(regional), "interval_seconds": 1}
    )
    async with (
        databases(cluster, "asking_facilities") as make,
        running_node(
            make,
            ("a", "b", "c"),
            by_slug={
                "a": {"type_code": "Z3", "tls_certificate": shown.certificate, "tls_key": shown.key},
                "b": {**published, "registrations": RULES},
                "c": published,
            },
            keys_only=True,
            write_check="lenient",
            peer_ca=(country.anchors,),
            source_timeout=8,
            **country.settings(mitz={"locate": True}, **sections),
        ) as node,
    ):
        for slug in ("b", "c"):
            await node[slug].ground(ALLOWS, A)
            for one in (patient("p", ALLOWS), condition("c", {"reference": "Patient/p"})):
                answer = await node[slug].internal.put(f"{one['resourceType']}/{one['id']}", json=one)
                assert answer.status_code == 201, answer.text
        yield node


def bundle(*resources: dict[str, Any]) -> bytes:
    entry = [{"resource": one} for one in resources]
    made = {"resourceType": "Bundle", "type": "collection", **({"entry": entry} if entry else {})}
    return orjson.dumps(made)


def reports(told: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """How asking each facility who has data went, and why not better."""
    return {one["by"]: (one["status"], one["reason"]) for one in told["localised"]}


@pytest_asyncio.fixture(loop_scope="session")
async def here(place: Place) -> AsyncIterator[Place]:
    """The place, where all is well again after a test, and which has nothing personal in its technical log."""
    began = len(place.log.getvalue())
    yield place
    await place.healed()
    place.nothing_personal(since=began)


JSON, TEXT = "application/json", "text/html"
FAULTS: dict[str, Behaviour] = {
    "slow": slow(6),
    "hangs up": hangs_up,
    "half of an answer": halves,
    "half of an answer as the whole": half_as_whole,
    "fails": fails(503),
    "refuses": fails(403),
    "sends elsewhere": fails(302),
    "not JSON": says(b"<html>", TEXT),
    "null": says(b"null", JSON),
    "a list": says(b"[]", JSON),
    "an empty object": says(b"{}", JSON),
}
NAMES = {"minvws-oauth": "token server", "prs": "PRS", "nvi": "NVI", "mitz": "Mitz"}


def missing(told: dict[str, Any], facility: str) -> None:
    """The facility is named with a reason, whom the other one knows was asked, and nobody is said to have nothing."""
    failed, answered, found = ("mitz", "nvi", B) if facility == "mitz" else ("nvi", "mitz", C)
    status, reason = reports(told)[failed]
    assert status == "failed" and NAMES[facility].casefold() in reason.casefold(), reason
    assert ALLOWS not in reason and "eyJ" not in reason
    assert reports(told)[answered] == ("answered", "")
    assert told["status"] == "incomplete"
    assert {one["ura"]: one["status"] for one in told["holders"]} == {found: "complete"}


@pytest.mark.parametrize("facility", NAMES)
async def test_a_facility_without_a_usable_answer_is_named_and_the_other_is_asked(
    here: Place, facility: str
) -> None:
    between = here.between(facility)
    for fault, behave in FAULTS.items():
        between.behave = behave
        began = time.monotonic()
        told = await here.ask(anew=facility == "minvws-oauth")
        assert time.monotonic() - began < 20, fault
        missing(told, facility)
        between.behave = passes
        await here.whole()


@pytest.mark.parametrize("facility", NAMES)
async def test_a_facility_that_is_down_is_named_and_back_when_it_is_started_again(
    here: Place, facility: str
) -> None:
    between = here.between(facility)
    await between.down()
    try:
        missing(await here.ask(anew=True), facility)
    finally:
        await between.up()
    await here.whole()
    await here.country.stop(facility)
    try:
        missing(await here.ask(anew=True), facility)
    finally:
        await here.country.start(facility)
    await here.whole()


async def test_all_facilities_away_is_not_that_nobody_has_anything(here: Place) -> None:
    for facility in ("nvi", "mitz"):
        here.between(facility).behave = hangs_up
    told = await here.ask()
    assert {by: status for by, (status, _) in reports(told).items()} == {"nvi": "failed", "mitz": "failed"}
    assert (told["status"], told["holders"]) == ("incomplete", [])


# -- what is not true ----------------------------------------------------------------------------------------


async def test_an_index_that_names_who_is_nowhere_hides_nobody(here: Place) -> None:
    here.between("nvi").behave = rewrites(lambda body: body.replace(B.encode(), b"90000099"))
    told = await here.ask()
    by_ura = {one["ura"]: one for one in told["holders"]}
    assert {ura: one["status"] for ura, one in by_ura.items()} == {"90000099": "failed", C: "complete"}
    assert "90000099" in by_ura["90000099"]["reason"]
    assert told["status"] == "incomplete"


async def test_a_record_that_names_nobody_is_told_as_somebody_who_is_missing(here: Place) -> None:
    here.between("nvi").behave = rewrites(lambda body: body.replace(B.encode(), b"nobody"))
    told = await here.ask()
    status, reason = reports(told)["nvi"]
    assert status == "answered" and reason == "1 of its records without a provider"
    assert told["status"] == "incomplete" and [one["ura"] for one in told["holders"]] == [C]


async def test_a_token_that_is_made_up_is_refused_where_it_is_used(here: Place) -> None:
    made_up = orjson.dumps({"access_token": "made.up.token", "token_type": "Bearer", "expires_in": 60})
    here.between("minvws-oauth").behave = says(made_up, JSON)
    told = await here.ask(anew=True)
    status, reason = reports(told)["nvi"]
    assert status == "failed" and "does not take our token" in reason and "made.up" not in reason
    assert told["status"] == "incomplete" and [one["ura"] for one in told["holders"]] == [C]


@pytest.mark.parametrize("facility", ["prs", "mitz"])
async def test_an_answer_about_another_patient_shows_nothing_of_that_one(here: Place, facility: str) -> None:
    kept: list[Said] = []

    async def keeps(passing: Passing) -> web.StreamResponse:
        kept.append(await passing.passed())
        return kept[-1].response()

    between = here.between(facility)
    between.behave = keeps
    await here.ask(ALSO_ALLOWS)
    between.behave = repeats(kept[0])
    told = await here.ask()
    if facility == "prs":  # Nobody can see that a pseudonym is another's; here it is one that nobody has.
        assert [one["ura"] for one in told["holders"]] == [C]
    else:
        missing(told, facility)
    assert ALSO_ALLOWS not in orjson.dumps(told).decode()


# -- left alone for a while ----------------------------------------------------------------------------------


@pytest.mark.parametrize("facility", NAMES)
@pytest.mark.slow
async def test_a_facility_that_does_not_answer_is_left_alone_for_a_while(here: Place, facility: str) -> None:
    between = here.between(facility)
    between.behave = hangs_up

    def rests(told: dict[str, Any]) -> bool:
        missing(told, facility)
        return "resting after failures" in reports(told)["mitz" if facility == "mitz" else "nvi"][1]

    await asyncio.sleep(TOKEN_SECONDS / 2)  # What was asked earlier is used up.
    await here.eventually(rests)
    asked = between.asked
    assert rests(await here.ask()) and between.asked == asked
    assert '"event":"facility-resting"' in here.log.getvalue()
    await here.healed()
    assert '"event":"facility-back"' in here.log.getvalue()


# -- the directory -------------------------------------------------------------------------------------------


async def test_a_directory_that_is_not_in_step_for_long_is_told_as_stale_and_used(here: Place) -> None:
    faults = itertools.cycle(FAULTS.values())

    async def one_after_the_other(passing: Passing) -> web.StreamResponse:
        return await next(faults)(passing)

    between = here.between("lrza")
    between.behave = one_after_the_other
    asked = between.asked
    told = await here.eventually(lambda told: all(one["directory"]["stale"] for one in told["holders"]))
    assert between.asked - asked >= 2
    assert {one["ura"]: one["status"] for one in told["holders"]} == {B: "complete", C: "complete"}
    assert {one["directory"]["source"] for one in told["holders"]} == {f"configuration, {DIRECTORY}"}
    assert told["status"] == "complete"
    [source] = [one for one in await (await ledger(here)).sources() if one.name == DIRECTORY]
    assert source.failures > 0 and source.error


async def test_two_with_one_number_are_refused_by_name_and_the_other_is_asked(here: Place) -> None:
    double = organisation(B)
    here.regional.write_bytes(bundle({**double, "id": "double"}))
    try:
        told = await here.eventually(lambda told: told["status"] != "complete")
        by_ura = {one["ura"]: one for one in told["holders"]}
        assert {ura: one["status"] for ura, one in by_ura.items()} == {B: "failed", C: "complete"}
        reason = by_ura[B]["reason"]
        assert B in reason and "regional" in reason and DIRECTORY in reason
        assert told["status"] == "incomplete"
    finally:
        here.regional.write_bytes(bundle())


async def ledger(here: Place) -> Ledger:
    pool = here.node.node.pool
    return Ledger(pool, await tenant_of(pool, "", "", "Query directory", "/directory"))


# -- what is told later --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facility", "bsn"), [("minvws-oauth", "999900006"), ("prs", "999900018"), ("nvi", "999990019")]
)
async def test_what_cannot_be_registered_now_is_registered_later(
    here: Place, facility: str, bsn: str
) -> None:
    pool = here.node.node.pool
    between = here.between(facility)
    between.behave = hangs_up
    await asyncio.sleep(TOKEN_SECONDS / 2)
    for one in (patient(bsn, bsn), condition(bsn, {"reference": f"Patient/{bsn}"})):
        url = f"{one['resourceType']}/{bsn}"
        assert (await here.node["b"].internal.put(url, json=one)).status_code == 201
    waiting = "SELECT error FROM localisation_patient WHERE patient = $1 AND error <> ''"
    await until(pool, waiting, bsn)
    assert NAMES[facility] in await pool.fetchval(waiting, bsn)
    assert reports(await here.ask(bsn))["nvi"][0] == "failed"
    between.behave = passes
    await until(
        pool, "SELECT true FROM localisation_record WHERE patient = $1 AND state = 'active'", bsn, seconds=60
    )
    told = await here.ask(bsn)
    assert [one["ura"] for one in told["holders"]] == [B]  # It has no ground, and is asked.


async def until(pool: asyncpg.Pool, query: str, bsn: str, seconds: float = 20) -> None:
    """Returns when the query about the patient finds something."""
    end = time.monotonic() + seconds
    while await pool.fetchval(query, bsn) is None:
        assert time.monotonic() < end, query
        await asyncio.sleep(0.1)
