"""All our own records in one answer: the NVI knows no pages, so that of a hospital is large and takes long."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import orjson
import pytest
from aiohttp import web
from tests.middleman import Passing, middleman

from schakel import localising
from schakel.config import Nvi, Organisation, Prs, Settings
from schakel.facilities import FacilityAway
from schakel.generic.localisation import NviClient
from schakel.kernel.values import Bsn

URA, SOURCE = "90000111", "urn:uuid:11111111-1111-4111-8111-111111111111"
HEADER = urlsafe_b64encode(b'{"alg":"RSA-OAEP","enc":"A256GCM"}').rstrip(b"=").decode()
JWE = f"{HEADER}.a2V5.bm9uY2U.dGV4dA.dGFn"
ORGANISATION: dict[str, Any] = {"slug": "a", "ura": URA, "name": "A", "registrations": ()}
RECORDS = 4_000
"""Some 2 MB of them."""


def record(number: int) -> dict[str, Any]:
    """A record as the NVI gives it: no subject, no category, a system of its own."""
    custodian = {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": URA}}
    vws = "http://minvws.github.io/generiekefuncties-docs"
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "resourceType": "List",
        "extension": [
            {"url": f"{vws}/StructureDefinition/nl-gf-localization-custodian", "valueReference": custodian}
        ],
        "status": "current",
        "mode": "working",
        "source": {
            "identifier": {"system": "https://cp1-test.example.org/device-identifiers", "value": SOURCE},
            "type": "Device",
        },
        "emptyReason": {"coding": [{"code": "withheld"}]},
    }


@asynccontextmanager
async def asked(wait: float = 0, **nvi: Any) -> AsyncIterator[NviClient]:
    """The client of a node with these settings, of an index that takes `wait` seconds for its answer."""
    entries = [{"resource": record(number)} for number in range(RECORDS)]
    body = orjson.dumps({"resourceType": "Bundle", "type": "searchset", "total": RECORDS, "entry": entries})

    async def behave(passing: Passing) -> web.StreamResponse:
        if passing.request.path == "/oprf/eval":
            return web.json_response({"jwe": JWE})
        await asyncio.sleep(wait)
        return web.Response(body=body, content_type="application/fhir+json")

    async with middleman() as between:
        between.behave = behave
        at = f"http://127.0.0.1:{between.port}"
        given = Settings.model_construct(
            prs=Prs(base=at, recipient="oin:00000099000000001000", scope="nvi"),
            nvi=Nvi(base=f"{at}/fhir", source=SOURCE, **nvi),
            organisations=(Organisation.model_construct(**ORGANISATION),),
        )
        async with localising.index(given, cast(asyncpg.Pool, None)) as index:
            yield index.clients["a"]


async def test_they_come_however_long_an_answer_about_one_patient_may_take() -> None:
    async with asked(wait=1, seconds=0.5) as client:
        found = await client.all_own()
    assert len({one.id for one in found.records}) == RECORDS and not found.unreadable


@pytest.mark.parametrize(
    ("nvi", "why"),
    [({"all_megabytes": 1}, r"too large: setting nvi\.all_megabytes"), ({"all_seconds": 0.2}, "too slow")],
    ids=["size", "time"],
)
async def test_what_is_too_much_is_told_with_its_setting_and_is_no_answer(
    nvi: dict[str, Any], why: str
) -> None:
    async with asked(wait=0.5, **nvi) as client:
        with pytest.raises(FacilityAway, match=why):
            await client.all_own()


async def test_a_question_about_one_patient_has_the_bounds_that_it_had() -> None:
    async with asked(wait=1, seconds=0.2) as client:
        with pytest.raises(FacilityAway, match=r"NVI gave no usable answer \(too slow"):
            await client.own(Bsn("999911120"))
