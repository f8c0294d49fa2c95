"""MP9 3.0 at the guarded door: every building block is served to a requester that enrolled the patient.

The scripts of a receiving system send transactions, which no exchange of the matrix has: they run on the internal door
(`test_medication`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from tests.conformance.suites import SUITES, assertions, run
from tests.nodes import RunningNode, databases, running_node
from tests.shared import shared

from schakel.conformance import Verdict, exit_code
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.shared

SUITE = "R4/MP9-3-0-0-beta/MO"
SCOPE = "medicatieoverdracht-gf"
BSN = re.compile(r"patient\.identifier=[^|\"]*\|([0-9]{9})")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """A holder a with the published data, loaded by a run of one script, and a requester b."""
    async with (
        databases(cluster, "mp9_guarded") as make,
        running_node(make, ("a", "b"), write_check="lenient", erasure="test") as node,
    ):
        loading = await run(node["a"], f"{SUITE}/Test/_LoadResources", "r4")
        assert [load.done for load in loading.loads] == [697] and not loading.load_failures
        yield node


async def enrolled(node: RunningNode, bsn: str) -> str:
    """A token of b that says, as a credential would, that b enrolled the patient; with the ground that a wrote."""
    await node["a"].ground(bsn, node["b"].ura, exchange="medicatieoverdracht")
    token = await node["b"].token(node["a"], SCOPE)
    claims = {"patient_enrollment_identifier": f"{BSN_SYSTEM}|{bsn}"}
    await node.node.pool.execute(
        "UPDATE access_token SET claims = $1 WHERE claims = '{}'", orjson.dumps(claims).decode()
    )
    return token


def scripts() -> list[Path]:
    """The scripts in which a system serves medication."""
    return sorted(shared(SUITES, SUITE).rglob("Serving-*/*.xml"))


async def test_every_building_block_is_served_at_the_guarded_door(node: RunningNode) -> None:
    tokens, failed, held = dict[str, str](), dict[str, str](), 0
    for script in scripts():
        [bsn] = set(BSN.findall(script.read_text("utf-8")))
        if bsn not in tokens:
            tokens[bsn] = await enrolled(node, bsn)
        result = await run(
            node["a"],
            str(script.relative_to(shared(SUITES))),
            "r4",
            url=f"{node['a'].front_root}/a/fhir/r4",
            headers=(("Authorization", f"Bearer {tokens[bsn]}"),),
            load=False,
        )
        held += result.counts[Verdict.PASSED]
        if exit_code(result):
            failed[script.name] = str(assertions(result, Verdict.FAILED)[:2])
    assert not failed, failed
    assert (len(scripts()), held) == (109, 2398)
