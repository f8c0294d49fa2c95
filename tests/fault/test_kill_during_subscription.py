"""kill -9 of the node while it asks Mitz for a subscription: the next start asks again, and it becomes active."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.fault.processes import KEY, URA, Site, ehr, free_port, running_site
from tests.mitz import BSN, Register, Trusting, register


def settings(trusting: Trusting, there: Register) -> dict[str, Any]:
    """Those of a node that asks Mitz for subscriptions."""
    port = free_port()
    own = {"certificate": str(trusting.client.certificate), "key": str(trusting.client.key)}
    return {
        "organisations": [
            {
                "slug": "noord",
                "ura": URA,
                "name": "Ziekenhuis Noord",
                "type_code": "V6",
                "internal_key": KEY,
                "signing_key": "noord.jwk",
            }
        ],
        "back": {
            "port": port,
            "public_url": f"https://127.0.0.1:{port}",
            "client_ca": [str(trusting.root)],
            **own,
        },
        "certificates": {"revocation": "off"},
        "mitz": {
            "base": f"https://127.0.0.1:{there.port}/mitz",
            "ca": [str(trusting.root)],
            "gateway_system": "2.16.840.1.113883.2.4.6.6.1",
            "source_system": "2.16.840.1.113883.2.4.6.6.90000017",
            "seconds": 2.5,
            **own,
        },
    }


async def wanted(client: aiohttp.ClientSession, site: Site) -> str:
    """The id of a subscription that the EHR asked."""
    asked = {"patient": BSN, "birth_date": "1970-01-01"}
    async with client.post(f"{site.internal}/noord/consent/subscriptions", json=asked) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["id"])


async def active(client: aiohttp.ClientSession, site: Site) -> list[str]:
    async with client.get(f"{site.internal}/noord/consent/subscriptions?state=active") as answer:
        assert answer.status == 200, await answer.text()
        return [one["id"] for one in (await answer.json())["subscriptions"]]


@pytest.mark.slow
async def test_a_subscription_survives_kill_9_of_who_asks_for_it(open_folder: Path, tmp_path: Path) -> None:
    trusting = Trusting.made(tmp_path)
    hanging = asyncio.Event()

    async def handler(there: Register, _request: web.Request, _body: bytes) -> web.StreamResponse:
        if len(there.asked) == 1:
            hanging.set()
            await asyncio.sleep(20)
        return web.Response(status=201, headers={"Location": "Subscription/7"})

    async with (
        register(trusting, handler) as there,
        running_site(open_folder, **settings(trusting, there)) as (site, _),
        ehr() as client,
    ):
        subscription = await wanted(client, site)
        async with asyncio.timeout(15):
            await hanging.wait()
        await site.kill()
        await site.start()
        async with asyncio.timeout(30):
            while not (found := await active(client, site)):  # noqa: ASYNC110 # no door tells when
                await asyncio.sleep(0.2)
        assert found == [subscription]
        assert [request.headers["X-Request-Id"] for request, _ in there.asked] == [subscription] * 2
        assert BSN not in site.log
