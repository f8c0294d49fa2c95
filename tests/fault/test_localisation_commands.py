"""`schakel localisation status` and `reconcile` on the database of a node that does not run, with the NVI beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from tests.fault.processes import KEY, URA, Site
from tests.nation import Nation, nation
from tests.referring import referring
from tests.registering import BSN, data, patient

from schakel.commands.localisation import reconcile, show
from schakel.kernel.outcomes import Invalid
from schakel.store.database import connect, disconnect
from schakel.store.resources import Store
from schakel.store.writing import RidBlocks

RULES = [{"ground": "law", "categories": ["Condition"], "start": "2026-01-01"}]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        await made.refer()
        yield made


async def test_what_vanished_at_the_index_is_shown_and_mended(
    country: Nation,
    make_database: Callable[[], Awaitable[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    organisation = {
        "slug": "noord",
        "ura": URA,
        "name": "Ziekenhuis Noord",
        "internal_key": KEY,
        "signing_key": "noord.jwk",
        "registrations": RULES,
    }
    site = Site(
        tmp_path, address := await make_database(), organisations=[organisation], **referring(country)
    )
    pool = await connect(address)
    tenant = await pool.fetchval(
        "INSERT INTO tenant (slug, ura, name) VALUES ('noord', $1, 'N') RETURNING id", URA
    )
    await Store(pool, tenant, RidBlocks()).write("r4", [patient("p", BSN), data("Condition", "c", "p")])

    async def said(work: Callable[[], int], code: int) -> str:
        assert await asyncio.to_thread(work) == code
        out = capsys.readouterr().out
        assert BSN not in out
        return out

    assert "no registrations" in await said(lambda: show(None, site.config, None), 0)
    assert "nothing differs" in await said(lambda: reconcile(None, site.config, None, mend=False), 0)
    # Registered by somebody who then lost the database: the index has a record that we do not know.
    await pool.execute(
        "INSERT INTO localisation_record (tenant, patient, category, state, record, recipient, scope, source) "
        "VALUES ($1, $2, 'Condition', 'active', '3f0642d2-4429-44b5-aed9-11310d96300a', 'x', 'y', 'z')",
        tenant,
        BSN,
    )
    shown = await said(lambda: reconcile(None, site.config, "noord", mend=False), 1)
    assert "only here: 1" in shown and "another name: 1" in shown
    mended = await said(lambda: reconcile(None, site.config, URA, mend=True), 0)
    assert "nothing differs" in mended.partition("after mending")[2]
    status = await said(lambda: show(None, site.config, "noord"), 0)
    assert "1 registration active" in status and "Condition (law)" in status
    await pool.execute("DELETE FROM localisation_record WHERE tenant = $1", tenant)
    assert "only there: 1" in await said(lambda: reconcile(None, site.config, None, mend=False), 1)
    await said(lambda: reconcile(None, site.config, None, mend=True), 0)
    await disconnect(pool)


async def test_a_node_without_an_index_has_nothing_to_compare(
    make_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    site = Site(tmp_path, address := await make_database())
    pool = await connect(address)
    await pool.execute("INSERT INTO tenant (slug, ura, name) VALUES ('noord', $1, 'N')", URA)
    await disconnect(pool)
    with pytest.raises(Invalid, match=r"nvi\.base"):
        await asyncio.to_thread(lambda: reconcile(None, site.config, None, mend=True))
