"""A practice that names nobody asks who may release to it: a hospital with a subscription and a permission is found,
asked and told with the reason; a Mitz that cannot be asked is told too, and is never "nobody"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from tests.mitz import BSN, Trusting, stand_in
from tests.nodes import DOCTOR, RunningNode, databases, free_ports, running_node

from schakel.store.embedded import EmbeddedServer
from schakel_national.mitz.systems import Told, register

TOLD = f"""
endpoints = ["https://127.0.0.1:"]
[[choices]]
patient = "{BSN}"
holder = "GGC002"
requester = "RPZAC001"
allowed = true
"""


class Region:
    """A node with a hospital (a) and a practice (b), and the place of Mitz; whoever wants it there starts it."""

    def __init__(self, node: RunningNode, trusting: Trusting, folder: Path, port: int) -> None:
        self.node = node
        self.trusting = trusting
        self.folder = folder
        self.port = port

    async def asked(self, **changes: Any) -> dict[str, Any]:
        """What the practice gets when it asks for the BgZ of the patient and names nobody."""
        b = self.node["b"]
        ask = {"patient": BSN, "user": DOCTOR.json(), "purpose": "TREAT", "treatment_relation": "current"}
        answer = await b.internal.post(f"{b.internal_root}/b/exchanges/bgz", json={**ask, **changes})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def region(cluster: EmbeddedServer, tmp_path_factory: Any) -> AsyncIterator[Region]:
    trusting = Trusting.made(tmp_path_factory.mktemp("trusting"))
    [port] = free_ports(1)
    mitz = {
        "base": f"https://127.0.0.1:{port}",
        "certificate": trusting.client.certificate,
        "key": trusting.client.key,
        "ca": [trusting.root],
        "sign": True,
        "locate": True,
        "gateway_system": "2.16.840.1.113883.2.4.6.6.1",
        "source_system": "2.16.840.1.113883.2.4.6.6.90000017",
        "notify_hosts": ["mitz.example"],
    }
    types = {"a": {"type_code": "V6"}, "b": {"type_code": "Z3"}}
    async with (
        databases(cluster, "found_through_mitz") as make,
        running_node(make, back=True, mitz=mitz, by_slug=types) as node,
    ):
        patient = {
            "resourceType": "Patient",
            "id": "p1",
            "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": BSN}],
        }
        assert (await node["a"].internal.put("Patient/p1", json=patient)).status_code == 201
        await node["a"].ground(BSN, node["b"].ura)
        folder = tmp_path_factory.mktemp("mitz")
        there = Region(node, trusting, folder, port)
        async with stand_in(trusting, folder, f"signed = true\n{TOLD}", port):
            assert (await there.asked())["holders"] == []  # Nobody has a subscription yet.
            await subscribed(node)
        yield there


async def subscribed(node: RunningNode) -> None:
    """The hospital has a subscription on the patient."""
    a = node["a"]
    wanted = {"patient": BSN, "birth_date": "1970-01-01"}
    base = f"{a.internal_root}/a/consent/subscriptions"
    answer: httpx.Response = await a.internal.post(base, json=wanted)
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(20):
        while True:
            taken = await a.internal.get(base, params={"state": "active"})
            if taken.json()["subscriptions"]:
                return
            await asyncio.sleep(0.05)


def signed(region: Region) -> Any:
    return stand_in(region.trusting, region.folder, f"signed = true\n{TOLD}", region.port)


async def test_who_may_release_is_asked_and_told_with_the_reason(region: Region) -> None:
    async with signed(region):
        told = await region.asked()
    assert told["localised"] == [{"by": "mitz", "status": "answered", "reason": ""}]
    [holder] = told["holders"]
    assert (holder["ura"], holder["status"]) == (region.node["a"].ura, "complete"), holder
    assert holder["found"] == [{"by": "mitz", "categories": ["GGC002"]}]
    assert told["status"] == "complete"


async def test_who_was_named_and_found_is_asked_once_for_both_reasons(region: Region) -> None:
    async with signed(region):
        told = await region.asked(holders=[region.node["a"].ura], localise=True)
    [holder] = told["holders"]
    assert [reason["by"] for reason in holder["found"]] == ["ehr", "mitz"]


async def test_a_patient_who_takes_the_consent_back_is_not_found(region: Region) -> None:
    kept = register(region.folder, Told({}))
    async with signed(region):
        kept.choose(BSN, "GGC002", {"RPZAC001": None})
        try:
            told = await region.asked()
        finally:
            kept.choose(BSN, "GGC002", {"RPZAC001": True})
    assert (told["holders"], told["localised"][0]["status"]) == ([], "answered")


async def test_for_whom_it_cannot_be_asked_is_told_as_that(region: Region) -> None:
    async with signed(region):
        told = await region.asked(user={**DOCTOR.json(), "id": "j.jansen"})
    assert (told["status"], told["holders"]) == ("incomplete", [])
    [asked] = told["localised"]
    assert (asked["status"], "Dezi or UZI number" in asked["reason"]) == ("failed", True)


async def test_a_mitz_that_is_away_is_told_and_is_not_nobody(region: Region) -> None:
    told = await region.asked()
    assert (told["status"], told["holders"]) == ("incomplete", [])
    [asked] = told["localised"]
    assert (asked["by"], asked["status"], "Mitz" in asked["reason"]) == ("mitz", "failed", True), asked
    assert BSN not in asked["reason"]
    a = region.node["a"]
    named = await region.asked(holders=[a.ura], localise=True)
    assert (named["status"], named["holders"][0]["status"]) == ("incomplete", "complete")
