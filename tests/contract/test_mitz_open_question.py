"""The open question over TLS: our client and the stand-in, made from the same facts by different hands; and each thing
that the stand-in wants of a question."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from tests.certificates import new_key
from tests.mitz import BSN, HOLDER, OPEN_QUESTION, OTHER_BSN, Trusting, facility

from schakel.facilities import Facility, FacilityAway
from schakel.generic.consent.mitz import AnswerUnusable, Mitz, PermittedHolder, Signing
from schakel.generic.consent.mitz.client import HANDBOOK_TYPE, OPEN
from schakel.generic.consent.mitz.open_question import written
from schakel.generic.identity import User
from schakel.kernel.clock import new_id
from schakel.kernel.values import Bsn
from schakel.network import Locator, PermissionFinder, Wanted
from schakel_national.mitz import application
from schakel_national.mitz.register import Register, Subscription
from schakel_national.mitz.systems import Told, register
from schakel_national.serving import Facility as StandIn
from schakel_national.serving import Tls, serving
from tests.nodes import free_ports

PHARMACY, SILENT_HOLDER = "33333333", "44444444"
GATEWAY, SOURCE = "urn:oid:2.16.840.1.113883.2.4.6.6.1", "urn:oid:2.16.840.1.113883.2.4.6.6.90000017"
NOBODY: tuple[PermittedHolder, ...] = ()

TOLD = f"""
endpoints = ["https://127.0.0.1:"]
[[choices]]
patient = "{BSN}"
holder = "GGC002"
requester = "RPZAC001"
allowed = true
"""
"""GPs may have all data of the patient; a second patient chose nothing."""


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return Trusting.made(tmp_path_factory.mktemp("mitz"))


def subscribed(patient: str = BSN, ura: str = HOLDER, kind: str = "V6", endpoint: str = "") -> Subscription:
    return Subscription("", patient, ura, kind, f"https://127.0.0.1:1/{endpoint}", "x", GATEWAY, SOURCE)


@asynccontextmanager
async def mitz(trusting: Trusting, folder: Path, more: str = "") -> AsyncIterator[tuple[Facility, Register]]:
    """Our connection to a stand-in, and the register of that."""
    (folder / "mitz.toml").write_text(more + TOLD)
    [port] = free_ports(1)
    tls = Tls(trusting.server.certificate, trusting.server.key, trusting.root)
    async with (
        serving("127.0.0.1", [StandIn("mitz", application(folder, ""), port, tls)]),
        facility(trusting, port) as connection,
    ):
        connection.base = connection.base.removesuffix("/mitz")
        kept = register(folder, Told({}))
        kept.subscribe(subscribed())
        yield connection, kept


async def test_a_holder_with_a_subscription_whose_data_may_be_had_is_named(
    trusting: Trusting, tmp_path: Path
) -> None:
    async with mitz(trusting, tmp_path) as (connection, kept):
        client = Mitz(connection)
        assert await client.holders(OPEN_QUESTION) == (PermittedHolder(HOLDER, ("GGC002",)),)
        kept.subscribe(subscribed(ura=PHARMACY, kind="J8"))
        kept.subscribe(subscribed(endpoint="another-address"))
        assert await client.holders(replace(OPEN_QUESTION, mandated="900000009")) == (
            PermittedHolder(HOLDER, ("GGC002",)),
            PermittedHolder(PHARMACY, ("GGC013",)),
        )


async def test_nobody_is_named_without_a_subscription_or_without_a_permission(
    trusting: Trusting, tmp_path: Path
) -> None:
    async with mitz(trusting, tmp_path) as (connection, kept):
        client = Mitz(connection)
        assert await client.holders(replace(OPEN_QUESTION, requester_type="V6")) == NOBODY
        assert await client.holders(replace(OPEN_QUESTION, patient=OTHER_BSN)) == NOBODY
        kept.subscribe(subscribed(OTHER_BSN))
        assert await client.holders(replace(OPEN_QUESTION, patient=OTHER_BSN)) == NOBODY
        kept.choose(OTHER_BSN, "GGC002", {"RPZAC001": True})
        assert await client.holders(replace(OPEN_QUESTION, patient=OTHER_BSN)) != NOBODY
        assert await client.holders(replace(OPEN_QUESTION, purpose="HMARKT")) == NOBODY


async def test_a_choice_that_was_withdrawn_or_turned_names_the_holder_no_more(
    trusting: Trusting, tmp_path: Path
) -> None:
    async with mitz(trusting, tmp_path) as (connection, kept):
        client = Mitz(connection)
        kept.choose(BSN, HOLDER, {"RPZAC001": False})
        assert await client.holders(OPEN_QUESTION) == NOBODY
        kept.choose(BSN, HOLDER, {"RPZAC001": None})
        assert await client.holders(OPEN_QUESTION) != NOBODY
        kept.choose(BSN, "GGC002", {"RPZAC001": None})
        assert await client.holders(OPEN_QUESTION) == NOBODY


async def test_a_client_that_is_not_on_the_list_is_told_nothing(trusting: Trusting, tmp_path: Path) -> None:
    other = f'clients = ["{"0" * 64}"]\n'
    async with mitz(trusting, tmp_path, other) as (connection, _):
        with pytest.raises(AnswerUnusable, match="403"):
            await Mitz(connection).holders(OPEN_QUESTION)
        port = int(connection.base.rpartition(":")[2])
        async with facility(trusting, port, certificate=False) as bare:
            with pytest.raises(FacilityAway):
                await Mitz(bare).holders(OPEN_QUESTION)


async def test_a_signature_is_checked_and_can_be_required(trusting: Trusting, tmp_path: Path) -> None:
    signing = Signing.read(trusting.client.key, trusting.client.certificate)
    async with mitz(trusting, tmp_path, "signed = true\n") as (connection, _):
        assert await Mitz(connection, signing).holders(OPEN_QUESTION) != NOBODY
        with pytest.raises(AnswerUnusable, match="400"):
            await Mitz(connection).holders(OPEN_QUESTION)
        message, sent = new_message(signing)
        for forged in (
            sent.replace(b'code="Z3"', b'code="V6"'),
            re.sub(rb' ID="_', b' ID="_x', sent),
            re.sub(rb"<ds:SignatureValue>....", b"<ds:SignatureValue>AAAA", sent),
            unsigned_beside(sent),
        ):
            assert forged != sent
            status, said = await post(connection, message, forged)
            assert status == 400, said
            assert "signature" in said or "Assertion must be there once" in said
        assert (await post(connection, message, sent))[0] == 200


async def test_a_signature_of_a_stranger_is_none(trusting: Trusting, tmp_path: Path) -> None:
    stranger = trusting.authority.issue("stranger", key=new_key(2048)).write(tmp_path, "stranger")
    signing = Signing.read(stranger.key, stranger.certificate)
    ours = trusting.client.thumbprint if hasattr(trusting.client, "thumbprint") else digest(trusting)
    async with mitz(trusting, tmp_path, f'clients = ["{ours}"]\n') as (connection, _):
        assert await Mitz(connection).holders(OPEN_QUESTION) != NOBODY
        message, sent = new_message(signing)
        status, said = await post(connection, message, sent)
        assert (status, "certificate of the signature" in said) == (400, True)
