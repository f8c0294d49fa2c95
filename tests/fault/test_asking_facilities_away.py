"""The facilities of the asking side fail at a node that runs: down, slow, refusing, lying, answering half, started again.

The EHR is told which of them gave no answer and why, never that nobody has anything; whom another facility names is
asked all the same. What cannot be told a facility now is told it later. Nothing of it reaches the technical log.

Organisation a asks. The index names b, Mitz names c, and the central directory says where both are.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Iterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
import structlog
from tests.guarded import condition, patient
from tests.middleman import (
    Behaviour,
    Middleman,
    Passing,
    fails,
    half_as_whole,
    halves,
    hangs_up,
    passes,
    rewrites,
    says,
    slow,
)
from tests.nation import ALLOWS, ALSO_ALLOWS, HOLDER, OPERATOR, Nation, nation
from tests.nodes import DOCTOR, RunningNode, databases, running_node
from tests.operators import DIRECTORY, Way, central, ways

from schakel import technical_log
from schakel.generic.addressing.ledger import Ledger
from schakel.store.embedded import EmbeddedServer
from schakel.store.tenants import tenant_of
from schakel_national.mitz.register import Subscription
from schakel_national.mitz.systems import Told, register

A, B, C = HOLDER, "90000002", "90000003"
RULES = [{"ground": "law", "categories": ["Condition"], "start": "2026-01-01"}]
STALE_SECONDS = 4
TOKEN_SECONDS = 2
"""So short that every question asks its tokens anew."""


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

    async def ask(self, bsn: str = ALLOWS) -> dict[str, Any]:
        """What the EHR of a is told, with tokens that are new."""
        a = self.node["a"]
        await asyncio.sleep(TOKEN_SECONDS / 2)
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
        assert {one["by"]: one["status"] for one in told["localised"]} == {
            "nvi": "answered",
            "mitz": "answered",
        }

    async def eventually_whole(self, seconds: float = 30) -> None:
        """The same within so many seconds: a breaker that is open stays so for ten."""
        end = time.monotonic() + seconds
        while (await self.ask())["status"] != "complete":
            assert time.monotonic() < end

    def nothing_personal(self, *, since: int = 0) -> None:
        """The technical log has no patient and no token in it."""
        told = self.log.getvalue()[since:]
        assert ALLOWS not in told and ALSO_ALLOWS not in told and "eyJ" not in told and "Traceback" not in told
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
            named = Subscription("", ALLOWS, C, "V6", "https://127.0.0.1:1/", "x", "urn:oid:1.2", "urn:oid:1.3")
            register(folder, Told({})).subscribe(named)
            async with node_of(cluster, country, way, regional) as node:
                made = Place(country, way, node, log, regional)
                await made.eventually_whole()
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


@pytest_asyncio.fixture(loop_scope="session")
async def here(place: Place) -> AsyncIterator[Place]:
    """The place as it is when all is well, before and after a test; a test leaves nothing personal in the log."""
    began = len(place.log.getvalue())
    yield place
    place.way.heal()
    place.country.heal()
    await place.eventually_whole()
    place.nothing_personal(since=began)


async def test_without_faults_both_are_found_and_asked(here: Place) -> None:
    await here.whole()
