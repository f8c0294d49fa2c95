"""MP9 3.0 at the guarded door: every building block is served to a requester that enrolled the patient, and taken in
from it. What is brought comes in at *back*, with a token that is bound to the client certificate."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.conformance.suites import SUITES, assertions, run
from tests.conformance.test_medication import EXPECTED
from tests.nation import REQUESTER, Nation, nation
from tests.nodes import RunningNode, databases, running_node
from tests.shared import shared
from tests.whole import DELEGATION, ENROLMENT, Asker, enrolled, presented

from schakel.conformance import Verdict, exit_code
from schakel.generic.identity.tokens.grants import VP_BEARER
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.shared

SUITE = "R4/MP9-3-0-0-beta/MO"
SCOPE = "medicatieoverdracht-gf"
SERVED = 2398
"""Assertions of the scripts in which a system serves; the others are of those in which it receives."""
BSN = re.compile(r"patient\.identifier=[^|\"]*\|([0-9]{9})")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, country: Nation) -> AsyncIterator[RunningNode]:
    """A holder a with the published data, loaded by a run of one script."""
    issuers = {kind: [country.issuer_did] for kind in (ENROLMENT, DELEGATION)}
    settings = country.settings(trust={"issuers": issuers})
    async with (
        databases(cluster, "mp9_guarded") as make,
        running_node(make, ("a",), write_check="lenient", erasure="test", **settings) as node,
    ):
        loading = await run(node["a"], f"{SUITE}/Test/_LoadResources", "r4")
        assert [load.done for load in loading.loads] == [697] and not loading.load_failures
        yield node


async def bearer(country: Nation, node: RunningNode, bsn: str) -> str:
    """A token of a requester with a credential that it enrolled the patient, and with a ground that a wrote."""
    await node["a"].ground(bsn, REQUESTER, exchange="medicatieoverdracht")
    presenter = await enrolled(country, bsn)
    asker = Asker(country, node, None, None, front=True)
    made = presented(presenter, asker.issuer, SCOPE)
    return (await asker.granted(SCOPE, VP_BEARER, made)).token


def scripts() -> list[Path]:
    """The scripts in which a system serves medication."""
    return sorted(shared(SUITES, SUITE).rglob("Serving-*/*.xml"))


async def test_every_building_block_is_served_at_the_guarded_door(country: Nation, node: RunningNode) -> None:
    tokens, failed, held = dict[str, str](), dict[str, str](), 0
    for script in scripts():
        [bsn] = set(BSN.findall(script.read_text("utf-8")))
        if bsn not in tokens:
            tokens[bsn] = await bearer(country, node, bsn)
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
    assert (len(scripts()), held) == (109, SERVED)


BROUGHT = re.compile(r"_reference/fixtures/([^\"]+)\"")
WHOSE = re.compile(r"NamingSystem/bsn\"\s*(?:/>|,)\s*(?:\"value\": \"|<value value=\")([0-9]{9})")


def deliveries() -> list[Path]:
    """The scripts in which a system receives medication."""
    return sorted(shared(SUITES, SUITE).rglob("Receiving-*/*.xml"))


async def test_every_building_block_that_is_brought_is_taken_in_at_back(
    country: Nation, node: RunningNode
) -> None:
    tokens, failed, held = dict[str, str](), dict[str, str](), 0
    shows = country.requester.certificate
    for script in deliveries():
        [name] = BROUGHT.findall(script.read_text("utf-8"))
        [bsn] = WHOSE.findall((shared(SUITES, SUITE, "Test/_reference/fixtures") / name).read_text("utf-8"))
        if bsn not in tokens:
            asker = Asker(country, node, shows, None)
            made = presented(await enrolled(country, bsn), asker.issuer, SCOPE)
            tokens[bsn] = (await asker.granted(SCOPE, VP_BEARER, made)).token
        result = await run(
            node["a"],
            path := str(script.relative_to(shared(SUITES))),
            "r4",
            url=f"{node['a'].back_root}/a/fhir/r4",
            headers=(("Authorization", f"Bearer {tokens[bsn]}"),),
            load=False,
            shows=shows,
            trusts=(country.anchors,),
        )
        held += result.counts[Verdict.PASSED]
        if exit_code(result):
            failed[path.removeprefix(f"{SUITE}/")] = str(assertions(result, Verdict.FAILED)[:2])
    assert set(failed) == set(EXPECTED.defects), failed
    assert (len(deliveries()), held) == (239, EXPECTED.passed - SERVED)
