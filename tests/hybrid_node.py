"""A node with an inventory of hybrid care, for tests: what is sent to its internal door, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.nodes import RunningOrganisation, databases
from tests.staff import OWN, Region, portal_node

from schakel.kernel.clock import AMSTERDAM, new_id, now
from schakel.roadmap import wire
from schakel.roadmap.evidence import Member as Organisation
from schakel.roadmap.evidence import Run
from schakel.store.embedded import EmbeddedServer

TODAY = now().astimezone(AMSTERDAM).date()
BSN = "999911120"
ROADMAP = {"region": "Regio Test", "keepers": ["a"]}
PAGE = f"/hybrid/{OWN}/hartfalen"


def day(ago: int) -> str:
    return (TODAY - timedelta(days=ago)).isoformat()


def pathway(name: str = "hartfalen", **changes: object) -> dict[str, object]:
    return {
        "id": name,
        "name": f"Zorgpad {name}",
        "sector": "MSZ",
        "suitability": "yes",
        "decided_by": "vakgroep cardiologie",
        "decided_on": day(300),
        "reason": "past goed",
        "b1": "ja",
        "c6": day(200),
        "intramural": "ja",
        "excludes": "frailty",
        **changes,
    }


def person(number: int, **changes: object) -> dict[str, object]:
    return {
        "pathway": "hartfalen",
        "pseudonym": f"person-of-region-{number}",
        "eligible_from": day(100),
        **changes,
    }


def taking_part(number: int, **changes: object) -> dict[str, object]:
    return person(number, **{"enrolled_from": day(90), "last_event": day(3), **changes})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Region]:
    key = tmp_path_factory.mktemp("hybrid") / "pseudonyms.key"
    key.write_text("k" * 40)
    settings = {"roadmap": {**ROADMAP, "pseudonym_key": key}}
    async with (
        databases(cluster, "hybrid_doors") as make,
        portal_node(make, node_settings=settings, public=True) as made,
    ):
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def region(running: Region) -> Region:
    """The node with an empty inventory."""
    await running.node.node.pool.execute(
        "TRUNCATE hybrid_person, hybrid_pathway, hybrid_decision, hybrid_organisation, hybrid_blocks, "
        "hybrid_version, hybrid_count"
    )
    await running.node.node.pool.execute("UPDATE hybrid_revision SET number = number + 1")
    return running


async def ask(
    organisation: RunningOrganisation, method: str, path: str = "", body: object = None, **query: str
) -> httpx.Response:
    sent = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
    url = f"{organisation.internal_root}/{organisation.slug}/roadmap/hybrid{path}"
    return await organisation.internal.request(method, url, content=sent, params=query)


async def sent(organisation: RunningOrganisation, path: str, body: object, **query: str) -> Mapping[str, Any]:
    answer = await ask(organisation, "POST", path, body, **query)
    assert answer.status_code == 200, answer.text
    found: Mapping[str, Any] = answer.json()
    return found


async def inventory(organisation: RunningOrganisation) -> Mapping[str, Any]:
    answer = await ask(organisation, "GET")
    assert answer.status_code == 200, answer.text
    found: Mapping[str, Any] = answer.json()
    return found


async def join(region: Region, *uras: str) -> None:
    """Puts these organisations on the board."""
    members = tuple(Organisation(ura, f"Organisation {ura}", "MSZ") for ura in uras)
    moment = now() - timedelta(minutes=1)
    run = Run(new_id(), "Regio Test", "iza-2025-06", "test", moment, moment, members, ())
    keeper = region.node["a"]
    url = f"{keeper.internal_root}/a/roadmap/runs"
    answer = await keeper.internal.post(url, content=wire.dump(run))
    assert answer.status_code == 201, answer.text


def figure(part: Mapping[str, Any], kpi: str, number: int = 0) -> tuple[int, int | None]:
    found = [one for one in part["figures"] if one["kpi"] == kpi][number]
    return found["numerator"], found["denominator"]


async def fill(region: Region) -> None:
    a = region.node["a"]
    await sent(
        a, "/pathways", [pathway(), pathway("copd", suitability="undecided", decided_by="bestuur", c6="")]
    )
    rows = [taking_part(n) for n in range(23)] + [person(n, exclusion="frailty") for n in range(30, 33)]
    await sent(a, "/people", rows)
