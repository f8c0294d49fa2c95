"""kill -9 of the node at each step of a request that rests on Mitz: nothing was shown that the log lacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from tests.fault.processes import KEY, Site, ehr, free_port, running_site, verified
from tests.fault.test_kill_at_the_guarded_door import restarted_to_die_at
from tests.middleman import Passing, passes
from tests.nation import ALLOWS, HOLDER, REFUSES, Nation

from schakel.gateway.replay import replay
from schakel.generic.authorisation import Policy
from schakel.kernel.values import BSN_SYSTEM

pytestmark = pytest.mark.slow


@dataclass
class Place:
    """The node, its EHR, and the facilities."""

    site: Site
    client: aiohttp.ClientSession
    country: Nation

    @property
    def issuer(self) -> str:
        return f"{self.site.front}/noord"

    def about(self, bsn: str) -> str:
        return f"{self.site.guarded}/Patient?identifier={BSN_SYSTEM}|{bsn}"

    async def status(self, bsn: str, bearer: dict[str, str]) -> int:
        async with self.client.get(self.about(bsn), headers=bearer) as answer:
            await answer.read()
            return answer.status

    async def disclosures(self) -> list[str]:
        """The decisions in the log under which the patient was shown."""
        log = f"{self.site.internal}/noord/log/fhir/r4/AuditEvent"
        async with self.client.get(log, params={"patient.identifier": ALLOWS, "_count": "500"}) as answer:
            events = [e["resource"] for e in (await answer.json(content_type=None)).get("entry", [])]
        found = [e for e in events if f"Patient/{ALLOWS}/_history/" in str(e.get("entity"))]
        kinds = [entity for event in found for entity in event["entity"]]
        decisions = [k for k in kinds if k.get("type", {}).get("code") == "decision"]
        return [k["what"]["identifier"]["value"].removeprefix("urn:uuid:") for k in decisions]

    async def made_again(self, decision: str) -> bool:
        """Whether a stored decision can be made again with the same result."""
        log = f"{self.site.internal}/noord/log"
        async with self.client.get(f"{log}/decisions/{decision}") as answer:
            stored = await answer.read()
        async with self.client.get(f"{log}/policies/{orjson.loads(stored)['policy']}") as answer:
            policy = Policy.from_text(await answer.text())
        told = orjson.loads(stored)
        assert (told["ground"]["kind"], told["shown"]) == ("mitz", [f"Patient/{ALLOWS}/_history/1"])
        return replay(stored, policy).same

    async def whole(self) -> None:
        """Log, decisions and seals verify, and what the last second brought is sealed."""
        await asyncio.sleep(1.5)
        code, said = await verified(self.site)
        assert code == 0 and "nothing is wrong" in said and "not sealed yet" not in said, said


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(nationwide: Nation, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    port = free_port()
    organisation = {
        "slug": "noord",
        "ura": HOLDER,
        "name": "Ziekenhuis Noord",
        "type_code": "V6",
        "internal_key": KEY,
        "signing_key": "noord.jwk",
    }
    settings = nationwide.settings(
        back={"port": port, "public_url": f"https://127.0.0.1:{port}"},
        organisations=[organisation],
        mitz={"seconds": 5},
    )
    async with running_site(tmp_path_factory.mktemp("killed"), **settings) as (site, _), ehr() as client:
        for bsn in (ALLOWS, REFUSES):
            patient = {"resourceType": "Patient", "identifier": [{"system": BSN_SYSTEM, "value": bsn}]}
            async with client.put(f"{site.fhir}/Patient/{bsn}", json={**patient, "id": bsn}) as answer:
                assert answer.status == 201, await answer.text()
        yield Place(site, client, nationwide)


@pytest.fixture
def here(place: Place, country: Nation) -> Place:
    assert place.country is country
    return place


STEPS = {
    "before Mitz is asked": ("schakel.generic.consent.mitz.client", "written", 0),
    "when Mitz has answered": ("schakel.generic.consent.desk", "_by_mitz", 0),
    "when it is decided and before it is logged": ("schakel.gateway.acts", "minimise", 0),
    "when it is logged and before it is answered": ("schakel.gateway.pipeline", "_with_decision", 1),
}
"""Where the node dies, and how many disclosures the log has of it."""


async def test_who_dies_at_a_step_has_shown_nothing_that_is_not_in_the_log(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(await here.disclosures())
    bearer = await here.country.requester.bearer(here.issuer)
    left = 0
    for step, (module, name, written) in STEPS.items():
        await restarted_to_die_at(here.site, monkeypatch, module, name)
        assert len(set(await here.disclosures()) - before) == left, step
        with pytest.raises(aiohttp.ClientError):
            await here.status(ALLOWS, bearer)
        await here.site.ended()
        left += written
    await here.site.start()
    assert len(set(await here.disclosures()) - before) == left
    assert await here.status(ALLOWS, bearer) == 200, "the token outlived the node"
    assert await here.status(REFUSES, bearer) == 403
    found = set(await here.disclosures()) - before
    assert len(found) == left + 1
    for decision in found:
        assert await here.made_again(decision)
    await here.whole()


async def test_who_dies_while_mitz_is_asked_has_shown_nothing_and_remembers_no_yes(here: Place) -> None:
    before = await here.disclosures()
    bearer = await here.country.requester.bearer(here.issuer)
    asked, gone = asyncio.Event(), asyncio.Event()

    async def answers_too_late(passing: Passing) -> Any:
        asked.set()
        await gone.wait()
        return await passes(passing)

    here.country.mitz.behave = answers_too_late
    asking = asyncio.create_task(here.status(ALLOWS, bearer))
    await asyncio.wait_for(asked.wait(), 5)
    await here.site.kill()
    gone.set()
    with pytest.raises(aiohttp.ClientError):
        await asking
    await here.country.choose(ALLOWS, False)
    try:
        here.country.mitz.behave = passes
        await here.site.start()
        assert await here.disclosures() == before
        assert await here.status(ALLOWS, bearer) == 403
        assert await here.disclosures() == before
    finally:
        await here.country.choose(ALLOWS, True)
    await here.whole()
