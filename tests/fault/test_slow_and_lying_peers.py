"""Holders that are slow, broken or lie: each gets the result it deserves, and none hides or spoils another."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from tests.guarded import BSN, OTHER, guarded_node
from tests.liars import CASES, TIMEOUT, URAS, peer, served
from tests.nodes import DOCTOR, RunningNode

from schakel import compose
from schakel.config import Peer
from schakel.fhir import definitions, structure
from schakel.http.routes import application, internal
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

GOOD = "90000001"
DOWN, UNKNOWN = "80009998", "80009999"


@dataclass(frozen=True)
class Asked:
    """Two exchanges, each with the good holder: with all liars, and with all that are late or cannot be reached.

    `seconds` is what the second took; `before` and `after` are the rows at the requester.
    """

    exchanges: tuple[dict[str, Any], dict[str, Any]]
    seconds: float
    before: dict[str, int]
    after: dict[str, int]

    def of(self, ura: str) -> list[dict[str, Any]]:
        """The results of a holder, one for each exchange that it was in."""
        return [h for e in self.exchanges for h in e["holders"] if h["ura"] == ura]

    @property
    def bundles(self) -> list[dict[str, Any]]:
        return [e["bundle"] for e in self.exchanges]


async def rows(node: RunningNode) -> dict[str, int]:
    """The number of rows in every table but the log and what tokens leave."""
    names = await node.node.pool.fetch("SELECT relname FROM pg_stat_user_tables")
    counted = {}
    kept = {
        "audit_event",
        "audit_seal",
        "audit_unsealed",
        "decision",
        "access_token",
        "used_id",
        "token_patient",
    }
    for name in {str(row["relname"]) for row in names} - kept:
        counted[name] = await node.node.pool.fetchval(f"SELECT count(*) FROM {name}")
    return counted


async def exchange(
    node: RunningNode, directory: tuple[Peer, ...], timeout: float, holders: list[str]
) -> dict[str, Any]:
    """What b gets when it asks these holders at once."""
    settings = node.settings.model_copy(update={"directory": directory, "source_timeout": timeout})
    ask = {
        "patient": BSN,
        "holders": holders,
        "user": DOCTOR.json(),
        "purpose": "TREAT",
        "treatment_relation": "current",
    }
    async with (
        compose.node(settings) as requester,
        httpx.AsyncClient(transport=httpx.ASGITransport(application(internal(requester)))) as client,
    ):
        url = f"{node['b'].internal_root}/b/exchanges/bgz"
        answer = await client.post(url, json=ask, headers={"X-API-Key": node["b"].key})
    assert answer.status_code == 200, answer.text
    got: dict[str, Any] = answer.json()
    return got


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asked(cluster: EmbeddedServer) -> AsyncIterator[Asked]:
    app = web.Application()
    app.router.add_route("*", "/{ura}/{path:.*}", served)
    liars = TestServer(app, shutdown_timeout=0.1)
    await liars.start_server()
    root = str(liars.make_url("")).rstrip("/")
    async with guarded_node(cluster, "lying") as node:
        await node["a"].ground(BSN, node["b"].ura)
        directory = (
            *node.settings.directory,
            *(peer(ura, root) for ura in URAS.values()),
            peer(DOWN, f"http://127.0.0.1:{unused_port()}"),
        )
        late = [URAS[name] for name, case in CASES.items() if case.late]
        lying = [ura for ura in URAS.values() if ura not in late]
        before = await rows(node)
        first = await exchange(node, directory, 60, [*lying, GOOD])
        started = time.monotonic()
        second = await exchange(node, directory, TIMEOUT, [*late, DOWN, UNKNOWN, GOOD])
        seconds = time.monotonic() - started
        yield Asked((first, second), seconds, before, await rows(node))
    await liars.close()


@pytest.mark.parametrize("name", CASES)
def test_each_holder_gets_the_result_it_deserves(asked: Asked, name: str) -> None:
    case, [holder] = CASES[name], asked.of(URAS[name])
    assert holder["status"] == case.holder, holder["requests"][6]
    assert [r["number"] for r in holder["requests"]] == list(range(1, 28))
    for request in holder["requests"] if case.everywhere else [holder["requests"][6]]:
        assert request["status"] == case.status, request["reason"]
        assert any(words in request["reason"] for words in case.reason.split("|")), request["reason"]
        held_back = [f"{d['resource']} {d['reason']}" for d in request["held_back"]]
        assert (request["entries"], held_back) == (case.kept, list(case.dropped))
        assert request["dropped"] == len(case.dropped)


def test_the_good_holders_data_come_complete_and_in_time(asked: Asked) -> None:
    for good, bundle in zip(asked.of(GOOD), asked.bundles, strict=True):
        assert (good["status"], {r["status"] for r in good["requests"]}) == ("complete", {"complete"})
        urls = [e["fullUrl"] for e in bundle["entry"] if "/a/fhir/stu3/" in e["fullUrl"]]
        found = {"/".join(url.split("/")[-2:]) for url in urls}
        assert {"Patient/p1", "Condition/c1", "Observation/lab", "Observation/member"} <= found
        assert {"Coverage/cov", "Organization/insurer", "Medication/m1", "Practitioner/gp"} <= found
        assert len(found) == len(urls)
    assert TIMEOUT <= asked.seconds < TIMEOUT + 3


def test_holders_that_cannot_be_reached_failed(asked: Asked) -> None:
    [down], [unknown] = asked.of(DOWN), asked.of(UNKNOWN)
    assert (down["status"], "no answer" in down["reason"]) == ("failed", True)
    assert (unknown["status"], "directory" in unknown["reason"]) == ("failed", True)
    assert [e["status"] for e in asked.exchanges] == ["incomplete", "incomplete"]


def test_a_refusal_is_shown_with_the_holders_decision(asked: Asked) -> None:
    ura = URAS["refuses every request"]
    [refusing] = asked.of(ura)
    assert {r["decision"] for r in refusing["requests"]} == {f"decision-of-{ura}"}


def test_nothing_of_another_patient_passes(asked: Asked) -> None:
    text = orjson.dumps(asked.bundles).decode()
    assert OTHER not in text and "Patient/p2" not in text
    resources = [e["resource"] for bundle in asked.bundles for e in bundle["entry"]]
    patients = [r for r in resources if r["resourceType"] == "Patient"]
    assert patients and all(p["identifier"] == [{"system": BSN_SYSTEM, "value": BSN}] for p in patients)


def test_each_holder_that_delivered_has_one_provenance_and_its_own_addresses(asked: Asked) -> None:
    for bundle in asked.bundles:
        made = [e["resource"] for e in bundle["entry"] if e["fullUrl"].startswith("urn:uuid:")]
        by_ura = {p["agent"][0]["whoReference"]["identifier"]["value"]: p for p in made}
        assert len(by_ura) == len(made) and GOOD in by_ura
        targets = [t["reference"] for p in made for t in p["target"]]
        others = [e["fullUrl"] for e in bundle["entry"] if not e["fullUrl"].startswith("urn:uuid:")]
        assert sorted(targets) == sorted(others) and len(set(others)) == len(others)
        for ura, one in by_ura.items():
            part = "/a/fhir/stu3/" if ura == GOOD else f"/{ura}/fhir/"
            assert all(part in t["reference"] for t in one["target"])
        for name in ("refuses the token", "hangs at every request", "knows somebody else"):
            assert URAS[name] not in by_ura


def test_the_bundles_follow_the_base_definitions(asked: Asked) -> None:
    # What one liar sent as leniently as the published data is passed on as it came; all else is strict.
    lenient, passed_on = f"/{URAS['gives many where one may stand']}/", 0
    for bundle in asked.bundles:
        assert bundle["type"] == "collection"
        issues = structure.check(bundle, definitions("stu3"), lenient=True)
        assert not [issue for issue in issues if issue.severity == "error"]
        strict = [entry for entry in bundle["entry"] if lenient not in entry["fullUrl"]]
        assert structure.check({**bundle, "entry": strict}, definitions("stu3")) == []
        passed_on += len(bundle["entry"]) - len(strict)
    assert passed_on == 2


def test_nothing_is_stored_at_the_requester(asked: Asked) -> None:
    assert asked.after == asked.before
