"""kill -9 of the node in the middle of one guarded request: before the log is written, and between log and answer.

Nobody got an answer in either case. What is in the log afterwards is nothing, or the whole decision.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import aiohttp
import orjson
import pytest
from tests.fault import processes
from tests.fault.processes import BSN, Site, ehr, running_site

from schakel.gateway.replay import replay
from schakel.generic.authorisation import Policy

DYING = """
import importlib, os, runpy, signal, sys

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(importlib.import_module({module!r}), {name!r}, die)
sys.argv[1:] = ["serve", "--config", {config!r}]
runpy.run_module("schakel", run_name="__main__", alter_sys=True)
"""
"""A node that dies when it enters one of its functions."""


async def restarted_to_die_at(site: Site, monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    """Starts the node again, so that it dies in this function."""

    def launch(config: Path, errors: Path) -> subprocess.Popen[str]:
        program = DYING.format(module=module, name=name, config=str(config))
        with errors.open("a") as stream:
            return subprocess.Popen(
                [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=stream, text=True
            )

    await site.kill()
    with monkeypatch.context() as patched:
        patched.setattr(processes, "launch", launch)
        await site.start()


async def asked_until_it_dies(site: Site, client: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    with pytest.raises(aiohttp.ClientError):
        async with client.get(site.guarded_patient, headers=bearer) as answer:
            await answer.read()
    await site.ended()
    await site.start()


async def disclosures(site: Site, client: aiohttp.ClientSession) -> list[str]:
    """The decisions in the log under which the patient was shown."""
    log = f"{site.internal}/noord/log/fhir/r4/AuditEvent"
    async with client.get(log, params={"patient.identifier": BSN, "_count": "100"}) as answer:
        events = [entry["resource"] for entry in (await answer.json(content_type=None)).get("entry", [])]
    shown = [e for e in events if "Patient/known/_history/" in str(e.get("entity"))]
    kinds = [entity for event in shown for entity in event["entity"]]
    decisions = [k for k in kinds if k.get("type", {}).get("code") == "decision"]
    return [k["what"]["identifier"]["value"].removeprefix("urn:uuid:") for k in decisions]


async def test_a_node_that_dies_between_log_and_answer_leaves_the_whole_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_site(tmp_path) as (site, _), ehr() as client:
        bearer = await site.let_in(client)
        await restarted_to_die_at(site, monkeypatch, "schakel.gateway.pipeline", "_with_decision")
        await asked_until_it_dies(site, client, bearer)
        [decision] = await disclosures(site, client)
        async with client.get(f"{site.internal}/noord/log/decisions/{decision}") as answer:
            stored = await answer.read()
        told = orjson.loads(stored)
        assert (told["outcome"], told["shown"], told["held_back"]) == ("0", ["Patient/known/_history/1"], [])
        async with client.get(f"{site.internal}/noord/log/policies/{told['policy']}") as answer:
            assert replay(stored, Policy.from_text(await answer.text())).same
        async with client.get(site.guarded_patient, headers=bearer) as answer:
            assert answer.status == 200
        assert len(await disclosures(site, client)) == 2


async def test_a_node_that_dies_before_the_log_is_written_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_site(tmp_path) as (site, _), ehr() as client:
        bearer = await site.let_in(client)
        await restarted_to_die_at(site, monkeypatch, "schakel.gateway.acts", "minimise")
        await asked_until_it_dies(site, client, bearer)
        assert await disclosures(site, client) == []
