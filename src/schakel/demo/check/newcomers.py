"""An organisation that nobody knew: it has a certificate made, says in the national directory where it is (ITI-130),
and ends that afterwards."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from schakel.demo import cast, certificates
from schakel.demo.check.finding import looked_up
from schakel.demo.check.trial import Trial, prove, prove_equal
from schakel.demo.directories import ORGANISATION_TYPE
from schakel.demo.doors import FHIR_JSON, Client
from schakel.fhir.json import Resource, dump
from schakel.kernel import tls
from schakel.kernel.values import URA_SYSTEM

_SECONDS = 30.0
_FHIR_REST = ("http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "hl7-fhir-rest")
_SERVER = (
    "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-authorization-server-cs",
    "oauth-nuts",
)
_CAPABILITIES = (
    "http://nuts-foundation.github.io/nl-generic-functions-ig/CodeSystem/nl-gf-data-exchange-capabilities"
)
_BGZ = "http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities"
_PARTICIPANTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def newcomer(name: str) -> cast.Organisation:
    """An organisation that nobody knows yet: what was once in the directory stays there, and is never used again."""
    ura = f"992{secrets.randbelow(100_000):05d}"
    return replace(cast.GENERAL_PRACTICE, slug=f"ura-{ura}", name=name, ura=ura)


async def certificate(trial: Trial, organisation: cast.Organisation, folder: str) -> certificates.Pair:
    """A new UZI server certificate of the organisation, in files."""
    given = await certificates.asked(trial.client, trial.stand_ins["uzi-ca"], organisation)
    pair = certificates.Pair(Path(folder, "c.pem"), Path(folder, "c.key"))
    pair.certificate.write_text(given.certificate)
    pair.key.write_bytes(given.key)
    return pair


@asynccontextmanager
async def published(trial: Trial, organisation: cast.Organisation, address: str) -> AsyncIterator[None]:
    """The organisation says in the national directory where it is (ITI-130), and ends that afterwards; the node of the
    requester knows it in between."""
    with TemporaryDirectory() as folder:
        pair = await certificate(trial, organisation, folder)
        context = tls.client([trial.anchors], pair.certificate, pair.key, setting="")
    async with Client(tls=context) as client:
        made = await _transaction(
            trial, client, [({"method": "POST"}, one) for one in _entries(organisation, address)]
        )
        try:
            await _until(trial, organisation, f"{address}/fhir/stu3")
            yield
        finally:
            closed = [
                (
                    {
                        "method": "PUT",
                        "url": f"{one['resourceType']}/{one['id']}",
                        "ifMatch": f'W/"{one["meta"]["versionId"]}"',
                    },
                    _ended(one),
                )
                for one in made
            ]
            await _transaction(trial, client, closed)
            await _until(trial, organisation, None)


def _entries(organisation: cast.Organisation, address: str) -> list[Resource]:
    """An organisation with its authorisation server and its address for the BgZ, as the guide has them (profiles of the
    care services)."""
    places = (
        (_FHIR_REST, _BGZ, f"{address}/fhir/stu3"),
        (_SERVER, "Nuts-OAuth", address),
    )
    whole = str(uuid.uuid4())
    addresses: list[Resource] = [
        {
            **_started("Endpoint", str(uuid.uuid4()), organisation),
            "status": "active",
            "connectionType": _coding(*connection),
            "managingOrganization": {"reference": f"Organization/{whole}"},
            "payloadType": [{"coding": [_coding(_CAPABILITIES, payload)]}],
            "payloadMimeType": [f"{FHIR_JSON}; fhirVersion=3.0"],
            "address": where,
        }
        for connection, payload, where in places
    ]
    started = _started("Organization", whole, organisation)
    return [
        {
            **started,
            "identifier": [*started["identifier"], {"system": URA_SYSTEM, "value": organisation.ura}],
            "active": True,
            "type": [{"coding": [_coding(ORGANISATION_TYPE, organisation.type_code)]}],
            "name": organisation.name,
            "endpoint": [{"reference": f"Endpoint/{one['id']}"} for one in addresses],
        },
        *addresses,
    ]


def _started(kind: str, name: str, organisation: cast.Organisation) -> Resource:
    """A resource with the identifier that its custodian gave it."""
    custodian = {
        "type": {"coding": [_coding(_PARTICIPANTS, "custodian")]},
        "system": URA_SYSTEM,
        "value": organisation.ura,
    }
    assigned = {
        "use": "official",
        "system": "urn:ietf:rfc:3986",
        "value": f"urn:uuid:{name}",
        "assigner": {"identifier": custodian},
    }
    return {"resourceType": kind, "id": name, "identifier": [assigned]}


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}


def _ended(one: Resource) -> Resource:
    """A resource of something that is no more: nothing is deleted there."""
    if one["resourceType"] == "Endpoint":
        return {**one, "status": "off"}
    return {**one, "active": False}


async def _transaction(
    trial: Trial, client: Client, wanted: list[tuple[dict[str, str], Resource]]
) -> list[Resource]:
    """What the directory made of all of these."""
    names = {f"{one['resourceType']}/{one['id']}": f"urn:uuid:{one['id']}" for _, one in wanted}
    entry = [
        {
            "fullUrl": f"urn:uuid:{one['id']}",
            "resource": _referring(one, names) if request["method"] == "POST" else one,
            "request": {"url": one["resourceType"], **request},
        }
        for request, one in wanted
    ]
    body = dump({"resourceType": "Bundle", "type": "transaction", "entry": entry})
    reply = await client.send(
        "POST", f"{trial.stand_ins['lrza']}/fhir", headers={"Content-Type": FHIR_JSON}, data=body
    )
    prove_equal(reply.status, 200, f"publishing ({reply.said()})")
    return [one["resource"] for one in reply.json()["entry"]]


def _referring(value: Any, names: Mapping[str, str]) -> Any:
    """A copy of `value` whose references are to what is sent along."""
    if isinstance(value, dict):
        return {
            name: names.get(one, one) if name == "reference" else _referring(one, names)
            for name, one in value.items()
        }
    return [_referring(one, names) for one in value] if isinstance(value, list) else value


async def _until(trial: Trial, organisation: cast.Organisation, wanted: str | None) -> None:
    """Returns when the requester's node finds the organisation at that address, or nowhere any more."""
    end = time.monotonic() + _SECONDS
    while (found := (await looked_up(trial, trial.requester, organisation.ura)).get("endpoint")) != wanted:
        prove(time.monotonic() < end, f"{_SECONDS:.0f} s later {organisation.name} is at {found}")
        await asyncio.sleep(0.2)
