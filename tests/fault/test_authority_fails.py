"""An authority of certificates that is away, slow, broken or lies: nobody is let in on a guess, or kept out."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.certificates import Files
from tests.middleman import (
    Behaviour,
    Passing,
    Said,
    fails,
    half_as_whole,
    halves,
    hangs_up,
    passes,
    repeats,
    says,
    slow,
)
from tests.nation import SECONDS, Nation
from tests.nodes import MakeDatabase, RunningNode, running_node

from schakel_national.uzi_ca.authority import authorities
from schakel_national.uzi_ca.register import Register

IN_TIME = SECONDS + 4
"""Seconds in which an answer comes when the first thing that is asked gets none."""
SHORT = timedelta(seconds=2)


class Door:
    """The back door of a, for those who show a certificate."""

    def __init__(self, node: RunningNode, country: Nation) -> None:
        self._root = node["a"].back_root
        self._anchors = str(country.anchors)

    @asynccontextmanager
    async def client(self, own: Files) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody with this certificate, on one connection."""
        context = ssl.create_default_context(cafile=self._anchors)
        context.load_cert_chain(*own.pair)
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=30) as client:
            yield client

    async def ask(self, client: httpx.AsyncClient) -> tuple[int, str]:
        """The status of a request, and the code of its refusal."""
        answer = await client.get(f"{self._root}/a/fhir/stu3/metadata")
        body = answer.json()
        if body["resourceType"] == "CapabilityStatement":
            return answer.status_code, ""
        return answer.status_code, body["issue"][0]["details"]["coding"][0]["code"]


@asynccontextmanager
async def opened(make: MakeDatabase, country: Nation, mode: str) -> AsyncIterator[Door]:
    """A new node, which knows of no list yet."""
    settings = country.settings(certificates={"revocation": mode})
    async with running_node(make, ("a",), **settings) as node:
        yield Door(node, country)


async def of_another(passing: Passing) -> Any:
    """What is true of another certificate or authority."""
    if passing.request.path.startswith("/crl"):
        async with passing.between.session.get(f"{passing.between.target}/crl/server.crl") as answer:
            return Said(200, "application/pkix-crl", await answer.read()).response()
    return Said(200, "application/ocsp-response", bytes.fromhex("30030a0106")).response()


USELESS: dict[str, Behaviour] = {
    "slow": slow(),
    "fails": fails(503),
    "is not there": fails(404),
    "hangs up": hangs_up,
    "stops halfway": halves,
    "gives half as if it were all": half_as_whole,
    "gives nothing": says(b""),
    "gives what is no list": says(b"<html>" * 100, "text/html"),
    "gives that of another": of_another,
}


async def shown(country: Nation, door: Door) -> tuple[int, str, float]:
    """The answer to the requester, on a connection of its own, and its seconds."""
    async with door.client(country.requester.certificate) as client:
        start = time.monotonic()
        return *await door.ask(client), time.monotonic() - start


@pytest.mark.parametrize("mode", ["crl", "ocsp"])
async def test_who_cannot_be_looked_up_is_told_so_and_is_let_in_as_soon_as_it_can(
    country: Nation, make_database: MakeDatabase, mode: str
) -> None:
    await country.authority.down()
    async with opened(make_database, country, mode) as door:
        status, code, took = await shown(country, door)
        assert (status, code) == (503, "revocation-unknown") and took < IN_TIME
        await country.authority.up()
        for case, country.authority.behave in USELESS.items():
            status, code, took = await shown(country, door)
            assert (status, code) == (503, "revocation-unknown"), case
            assert took < IN_TIME, case
        country.authority.behave = passes
        assert (await shown(country, door))[:2] == (200, "")


async def test_a_list_counts_until_it_ends_though_its_authority_is_away(
    country: Nation, make_database: MakeDatabase
) -> None:
    above = authorities(country.folder, country.at(country.authority))["uzi-server"]
    known = Register(country.folder / "uzi-ca" / "register.json")

    async def soon_over(passing: Passing) -> Any:
        if passing.request.path == "/crl/uzi-server.crl":
            return Said(200, "application/pkix-crl", known.crl(above, SHORT)).response()
        return await passes(passing)

    country.authority.behave = soon_over
    async with opened(make_database, country, "crl") as door:
        assert (await shown(country, door))[:2] == (200, "")
        await country.authority.down()
        try:
            status, code, took = await shown(country, door)
            assert (status, code) == (200, "") and took < IN_TIME
            await asyncio.sleep(SHORT.total_seconds())
            assert (await shown(country, door))[:2] == (503, "revocation-unknown")
        finally:
            await country.authority.up()
        country.authority.behave = passes
        assert (await shown(country, door))[:2] == (200, "")


@pytest.mark.parametrize("mode", ["crl", "ocsp"])
async def test_a_certificate_that_is_withdrawn_ends_on_the_connection_it_is_used_on(
    country: Nation, make_database: MakeDatabase, mode: str
) -> None:
    own, serial = await country.certificate(
        f"withdrawn-{mode}", kind="uzi-server", organisation="Gone", ura="90000066", uzi="990100066"
    )
    before: dict[str, Said] = {}

    async def kept(passing: Passing) -> Any:
        said = before[passing.request.path] = await passing.passed()
        return said.response()

    async def as_before(passing: Passing) -> Any:
        return await repeats(before[passing.request.path])(passing)

    async with opened(make_database, country, mode) as door, door.client(own) as client:
        country.authority.behave = kept
        assert await door.ask(client) == (200, "")
        await country.told("uzi-ca", "revocations", {"serial": serial, "reason": "keyCompromise"})
        country.authority.behave = passes
        assert await door.ask(client) == (403, "certificate-revoked")
        # A list that is older than one we saw is not taken; an answer to another question is none.
        country.authority.behave = as_before
        left = (403, "certificate-revoked") if mode == "crl" else (503, "revocation-unknown")
        assert await door.ask(client) == left
        await country.authority.down()
        assert await door.ask(client) == left
        await country.authority.up()
        country.authority.behave = passes
        assert (await shown(country, door))[:2] == (200, ""), "another certificate suffers with it"


async def test_with_two_ways_to_know_one_is_enough(country: Nation, make_database: MakeDatabase) -> None:
    silent = "/crl"

    async def one_way(passing: Passing) -> Any:
        return await (fails(503) if passing.request.path.startswith(silent) else passes)(passing)

    country.authority.behave = one_way
    async with opened(make_database, country, "either") as door:
        assert (await shown(country, door))[:2] == (200, "")
    silent = "/ocsp"
    async with opened(make_database, country, "either") as door:
        assert (await shown(country, door))[:2] == (200, "")
        silent = "/"
    async with opened(make_database, country, "either") as door:
        assert (await shown(country, door))[:2] == (503, "revocation-unknown")


async def test_no_token_is_given_for_a_certificate_that_cannot_be_looked_up(
    country: Nation, make_database: MakeDatabase
) -> None:
    async with running_node(make_database, ("a",), **country.settings()) as node:
        issuer = f"{node['a'].front_root}/a"
        for country.authority.behave in (slow(), fails(500), says(b"")):
            start = time.monotonic()
            answer = await country.requester.asks(issuer)
            assert answer.status_code == 503 and "access_token" not in answer.text, answer.text
            assert "X509Credential" in answer.text and "cannot be found out now" in answer.text
            assert time.monotonic() - start < IN_TIME
        country.authority.behave = passes
        assert (await country.requester.asks(issuer)).status_code == 200
        assert await node.node.pool.fetchval("SELECT count(*) FROM access_token") == 1
