"""What cannot be written down does not leave; when only seals cannot be exported, requests go on and these follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from tests.fault.processes import URA, Site, check_log, ehr, running_site, verified
from tests.guarded import SEARCH, Door, guarded_node, keys
from tests.nodes import RunningNode
from tests.proofs import proof

from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "log_unwritable") as running:
        yield running


@asynccontextmanager
async def nothing_can_be_added(node: RunningNode, table: str) -> AsyncIterator[None]:
    """The database refuses every new row of a table."""
    pool: asyncpg.Pool = node.node.pool
    await pool.execute(f"ALTER TABLE {table} ADD CONSTRAINT nothing CHECK (false) NOT VALID")
    try:
        yield
    finally:
        await pool.execute(f"ALTER TABLE {table} DROP CONSTRAINT nothing")


@pytest.mark.parametrize("table", ["audit_event", "decision", "audit_unsealed"])
async def test_what_cannot_be_written_down_whole_is_not_given_and_leaves_no_part(
    node: RunningNode, table: str
) -> None:
    door = await Door.opened(node)
    pool = node.node.pool
    counted = "SELECT (SELECT count(*) FROM audit_event), (SELECT count(*) FROM decision)"
    before = await pool.fetchrow(counted)
    async with nothing_can_be_added(node, table):
        for path in (SEARCH, "Condition/c1", "Condition/c2"):
            answer = await door.get(path)
            assert answer.status_code == 503 and "log-unavailable" in answer.text, answer.text
            assert "entry" not in answer.json() and "73211009" not in answer.text
    assert await pool.fetchrow(counted) == before
    assert keys(await door.get(SEARCH)) == {"Condition/c1"}


async def test_a_proof_that_cannot_be_used_up_opens_nothing(node: RunningNode) -> None:
    door = await Door.opened(node)
    a, b = node["a"], node["b"]
    endpoint, data = f"{a.front_root}/a/oauth2/token", f"{a.front_fhir}/Condition/c1"
    form = {
        "grant_type": "client_credentials",
        "scope": "bgz",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": b.assertion(a),
    }
    bound = await a.front.post(endpoint, data=form, headers={"DPoP": proof("POST", endpoint)})
    token = bound.json()["access_token"]
    async with nothing_can_be_added(node, "used_id"):
        shown = {"Authorization": f"DPoP {token}", "DPoP": proof("GET", data, token)}
        answer = await a.front.get(data, headers=shown)
        assert answer.status_code >= 500 and "73211009" not in answer.text, answer.text
        again = {**form, "client_assertion": b.assertion(a)}
        answer = await a.front.post(endpoint, data=again)
        assert answer.status_code >= 500 and "access_token" not in answer.text, answer.text
    shown = {"Authorization": f"DPoP {token}", "DPoP": proof("GET", data, token)}
    assert (await a.front.get(data, headers=shown)).status_code == 200
    assert (await door.get("Condition/c1")).status_code == 200


@pytest.mark.slow
async def test_seals_that_cannot_be_exported_keep_nobody_waiting_and_follow_later(tmp_path: Path) -> None:
    async with running_site(tmp_path) as (site, _), ehr() as client:
        bearer = await site.let_in(client)
        folder = site.config.parent / "seals"
        await _sealed(folder / f"{URA}.seals")
        aside = folder.rename(folder.with_name("aside"))
        folder.write_text("this is no folder")
        assert await _asked(site, client, bearer) == 200
        async with asyncio.timeout(5):
            while "log not sealed" not in site.log:  # noqa: ASYNC110 # no door tells when
                await asyncio.sleep(0.1)
        assert "Not a directory" in site.log
        assert await _asked(site, client, bearer) == 200
        async with client.get(f"{site.front}/health/ready") as answer:
            assert answer.status == 200
        folder.unlink()
        aside.rename(folder)
        await asyncio.sleep(1.5)
        code, said = await verified(site)
        assert code == 0 and "nothing is wrong" in said and "not sealed yet" not in said, said
        check_log(site, bearer)


async def _asked(site: Site, client: aiohttp.ClientSession, bearer: dict[str, str]) -> int:
    async with client.get(site.guarded_patient, headers=bearer) as answer:
        await answer.read()
        return answer.status


async def _sealed(file: Path) -> None:
    """Returns when the file has a seal."""
    async with asyncio.timeout(10):
        while not file.exists() or not file.read_text():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.1)
