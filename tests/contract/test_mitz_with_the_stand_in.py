"""Our side of Mitz and the stand-in, two programs made from the same facts by different hands, over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.mitz import BSN, HOLDER, OTHER_BSN, QUESTION, Trusting, facility, stand_in
from tests.nodes import RunningOrganisation, databases, free_ports, running_node

from schakel.facilities import Facility
from schakel.generic.consent import ConsentQuestion, ConsentRefused
from schakel.generic.consent.mitz import AnswerUnusable, Mitz, Signing
from schakel.store.embedded import EmbeddedServer
from schakel_national.mitz.systems import Told, register


def told(holder: str = HOLDER, notify: str = "", signed: bool = False) -> str:
    """What the stand-in knows: GPs may have treatment data of the patient, and a second patient chose nothing."""
    return f"""
endpoints = ["https://127.0.0.1:"]
signed = {str(signed).lower()}
{notify}
[[providers]]
ura = "{holder}"
name = "Ziekenhuis"
type = "V6"
[[choices]]
patient = "{BSN}"
holder = "GGC002"
requester = "RPZAC001"
allowed = true
"""


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return Trusting.made(tmp_path_factory.mktemp("mitz"))


@asynccontextmanager
async def connected(trusting: Trusting, port: int) -> AsyncIterator[Facility]:
    async with facility(trusting, port) as opened:
        opened.base = opened.base.removesuffix("/mitz")
        yield opened


async def test_what_the_patient_chose_is_what_we_are_told(trusting: Trusting, tmp_path: Path) -> None:
    async with stand_in(trusting, tmp_path, told()) as port, connected(trusting, port) as connection:
        client = Mitz(connection)
        assert (await client.ask(QUESTION)).decision == "Permit"
        assert (await client.ask(replace(QUESTION, mandated="900000009"))).decision == "Permit"
        assert (await client.ask(replace(QUESTION, requester_type="V6"))).decision == "Deny"
        assert (await client.ask(replace(QUESTION, patient=OTHER_BSN))).decision == "Deny"
        assert (
            await client.ask(replace(QUESTION, categories=("GGC002", "GGC013")))
        ).decision == "NotApplicable"


async def test_our_signature_is_one(trusting: Trusting, tmp_path: Path) -> None:
    signing = Signing.read(trusting.client.key, trusting.client.certificate)
    async with (
        stand_in(trusting, tmp_path, told(signed=True)) as port,
        connected(trusting, port) as connection,
    ):
        assert (await Mitz(connection, signing).ask(QUESTION)).decision == "Permit"
        with pytest.raises(AnswerUnusable):
            await Mitz(connection).ask(QUESTION)


def asked(door: RunningOrganisation, patient: str, requester_type: str = "Z3") -> ConsentQuestion:
    return ConsentQuestion(
        patient=patient,
        requester="90000002",
        accepted=frozenset({"mitz"}),
        token=f"token-{patient}",
        exchange="bgz",
        requester_type=requester_type,
        user_id="900000008",
        user_name="Jan Jansen",
        user_role="01.015",
        purpose="TREAT",
    )


async def test_a_node_subscribes_is_told_and_asks(
    cluster: EmbeddedServer, trusting: Trusting, tmp_path: Path
) -> None:
    [port] = free_ports(1)
    mitz = {
        "base": f"https://127.0.0.1:{port}",
        "certificate": trusting.client.certificate,
        "key": trusting.client.key,
        "ca": [trusting.root],
        "sign": True,
        "gateway_system": "2.16.840.1.113883.2.4.6.6.1",
        "source_system": "2.16.840.1.113883.2.4.6.6.90000017",
        "notify_hosts": ["mitz.example"],
    }
    async with (
        databases(cluster, "mitz_stand_in") as make,
        running_node(make, ("a",), back=True, mitz=mitz, by_slug={"a": {"type_code": "V6"}}) as running,
    ):
        door = running["a"]
        assert door.authority is not None
        door.authority.issue("mitz.example", hosts=("mitz.example",)).write(tmp_path, "notify")
        (tmp_path / "trusted.pem").write_text(door.authority.pem)
        notify = '[notify]\ncertificate = "notify.pem"\nkey = "notify.key"\ntrusted = "trusted.pem"'
        base = f"{door.internal_root}/a/consent"
        # Mitz is not there yet: the subscription waits for it.
        wanted = await door.internal.post(
            f"{base}/subscriptions", json={"patient": BSN, "birth_date": "1970-01-01"}
        )
        assert wanted.status_code == 202, wanted.text
        async with stand_in(trusting, tmp_path, told(door.ura, notify, signed=True), port):
            await until(door, "subscriptions?state=active")
            desk = running.node.organisations["a"].consent.desk
            assert (await desk.permit(asked(door, BSN))).kind == "mitz"
            for question in (asked(door, BSN, "V6"), asked(door, OTHER_BSN)):
                with pytest.raises(ConsentRefused) as refused:
                    await desk.permit(question)
                assert refused.value.reason == "mitz-deny"
            # The patient thinks better of it: what was remembered no longer counts from the notification on.
            kept = register(tmp_path, Told({}))
            kept.choose(BSN, "GGC002", {"RPZAC001": False})
            found = await until(door, "choices")
            with pytest.raises(ConsentRefused):
                await desk.permit(asked(door, BSN))
            assert {one["patient"] for one in found} == {BSN}
            chosen = {one["provider_category"]: one["permitted"] for one in found}
            assert chosen["RPZAC001"] is False


async def until(door: RunningOrganisation, path: str) -> list[dict[str, Any]]:
    """What a list at the door has, once there is something in it."""
    async with asyncio.timeout(20):
        while True:
            answer = await door.internal.get(f"{door.internal_root}/a/consent/{path}")
            assert answer.status_code == 200, answer.text
            [found] = answer.json().values()
            if found:
                assert isinstance(found, list)
                return found
            await asyncio.sleep(0.05)
