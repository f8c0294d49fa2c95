"""A central directory of any size in a process of its own, for the benchmark: `python -m bench.directory_peer N`.

It prints its port, and has Organization and Endpoint 1 to N, `PAGE` on a page; `POST /change?number=M` gives
the first M of both another version, which the history then has.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timedelta
from typing import Any

import orjson
from aiohttp import web

from schakel.generic.addressing.exchanges import CAPABILITIES
from schakel.kernel.clock import instant, now
from schakel.kernel.values import URA_SYSTEM

PAGE = 500
PAYLOAD = "http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities"
_CUSTODIAN = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_ASSIGNER = {
    "identifier": {
        "system": "http://fhir.nl/fhir/NamingSystem/kvk",
        "value": "50000535",
        "type": {"coding": [{"system": _CUSTODIAN, "code": "custodian"}]},
    }
}


def ura(number: int) -> str:
    """The URA of an organisation."""
    return f"{number:08}"


def _identifier(kind: str, number: int) -> dict[str, Any]:
    system = f"https://lrza.example/ids/{kind}"
    return {"use": "official", "system": system, "value": f"{kind}-{number}", "assigner": _ASSIGNER}


def organisation(number: int, version: int, updated: str) -> dict[str, Any]:
    """An organisation with all that the profile asks for."""
    code = {
        "system": "http://nictiz.nl/fhir/NamingSystem/organization-type",
        "code": "V6",
        "display": "Ziekenhuis",
    }
    return {
        "resourceType": "Organization",
        "id": f"o{number}",
        "meta": {"versionId": str(version), "lastUpdated": updated},
        "identifier": [_identifier("organization", number), {"system": URA_SYSTEM, "value": ura(number)}],
        "active": True,
        "type": [{"coding": [code]}],
        "name": f"Zorginstelling {number}, versie {version}",
        "endpoint": [{"reference": f"Endpoint/e{number}"}],
    }


def endpoint(number: int, version: int, updated: str) -> dict[str, Any]:
    """The endpoint of an organisation for the BgZ."""
    system = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
    return {
        "resourceType": "Endpoint",
        "id": f"e{number}",
        "meta": {"versionId": str(version), "lastUpdated": updated},
        "identifier": [_identifier("endpoint", number)],
        "status": "active",
        "connectionType": {"system": system, "code": "hl7-fhir-rest"},
        "managingOrganization": {"reference": f"Organization/o{number}"},
        "payloadType": [{"coding": [{"system": CAPABILITIES, "code": PAYLOAD}]}],
        "payloadMimeType": ["application/fhir+json; fhirVersion=3.0"],
        "address": f"https://fhir.example/{number}/v{version}",
    }


_MADE = {"Organization": organisation, "Endpoint": endpoint}


class Peer:
    """What it has, made when it is asked for."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._began = now() - timedelta(days=1)
        self._changed: dict[int, datetime] = {}

    async def search(self, request: web.Request) -> web.Response:
        kind, start = request.match_info["kind"], int(request.query.get("start", "1"))
        last = min(start + PAGE - 1, self._number) if kind in _MADE else 0
        return self._page(
            request, "searchset", kind, range(start, last + 1), last < self._number and kind in _MADE
        )

    async def history(self, request: web.Request) -> web.Response:
        kind, since = request.match_info["kind"], request.query.get("_since", "")
        after = datetime.fromisoformat(since) if since else self._began
        changed = sorted((one for one, moment in self._changed.items() if moment >= after), reverse=True)
        return self._page(request, "history", kind, changed if kind in _MADE else [], False)

    async def change(self, request: web.Request) -> web.Response:
        self._changed = dict.fromkeys(range(1, int(request.query["number"]) + 1), now())
        return web.Response()

    def _page(self, request: web.Request, form: str, kind: str, numbers: Any, more: bool) -> web.Response:
        entries = []
        for number in numbers:
            changed = self._changed.get(number)
            resource = _MADE[kind](number, 2 if changed else 1, instant(changed or self._began))
            entries.append({"resource": resource})
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": form,
            "meta": {"lastUpdated": instant(now())},
        }
        if entries:
            bundle["entry"] = entries
        if more:
            following = request.url.with_query(start=str(numbers[-1] + 1))
            bundle["link"] = [{"relation": "next", "url": str(following)}]
        return web.Response(body=orjson.dumps(bundle), content_type="application/fhir+json")


async def _main(number: int) -> None:
    peer, app = Peer(number), web.Application()
    app.router.add_post("/change", peer.change)
    app.router.add_get("/fhir/{kind}", peer.search)
    app.router.add_get("/fhir/{kind}/_history", peer.history)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
