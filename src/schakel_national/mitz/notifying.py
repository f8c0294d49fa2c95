"""What subscribers are told: the notification as FHIR R4, and its delivery until it has arrived.

Source: the facts sheet on Mitz, subscription and notification (profile Consent-Mitz-Notify 3.8.0).
"""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from schakel.fhir import definitions, json
from schakel.fhir.xml import dump as dump_xml
from schakel.kernel.background import beside
from schakel.kernel.clock import instant, now
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM
from schakel_national.mitz.register import (
    REQUESTER_CATEGORIES,
    Notice,
    Register,
    Subscription,
    data_category,
)

PROFILE = "http://vzvz.nl/fhir/StructureDefinition/Consent-Mitz-Notify|3.8.0"
_PROVIDER_CATEGORY = "http://fhir.nl/StructureDefinition/OTV-ProviderCategory"
_REQUESTERS = "http://fhir.nl/otv/CodeSystem/raadplegende-zorgaanbiedercategorie"
_CATEGORIES = "http://fhir.nl/otv/CodeSystem/gegevenscategorie"
_TYPES = "http://nictiz.nl/fhir/NamingSystem/organization-type"
_LOOK_SECONDS = 0.2
_LONGEST = 300.0


def notification(
    subscription: Subscription, permitted: Iterable[str], refused: Iterable[str]
) -> dict[str, Any]:
    """The transaction Bundle that says which categories of organisations may ask this holder, and which may not."""
    patient, organisation = f"urn:uuid:{uuid.uuid4()}", f"urn:uuid:{uuid.uuid4()}"
    entries = [
        _entry(
            f"urn:uuid:{uuid.uuid4()}", _consent(subscription, active, sorted(codes), patient, organisation)
        )
        for active, codes in ((True, list(permitted)), (False, list(refused)))
        if codes
    ]
    about = {"resourceType": "Patient", "identifier": [{"system": BSN_SYSTEM, "value": subscription.patient}]}
    holder = {
        "resourceType": "Organization",
        "identifier": [{"system": URA_SYSTEM, "value": subscription.provider}],
        "type": [{"coding": [{"system": _TYPES, "code": subscription.type}]}],
    }
    return {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "type": "transaction",
        "entry": [*entries, _entry(patient, about), _entry(organisation, holder)],
    }


def _entry(address: str, resource: dict[str, Any]) -> dict[str, Any]:
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": address, "resource": resource, "request": request}


def _consent(
    subscription: Subscription, active: bool, requesters: list[str], patient: str, organisation: str
) -> dict[str, Any]:
    def coded(system: str, code: str) -> dict[str, Any]:
        return {"coding": [{"system": system, "code": code}]}

    provision: dict[str, Any] = {
        "actor": [
            {
                "role": coded("http://terminology.hl7.org/CodeSystem/v3-RoleClass", "CST"),
                "reference": {"reference": organisation},
            }
        ],
        "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}],
    }
    if active:
        provision = {"type": "permit", **provision}
    return {
        "resourceType": "Consent",
        "meta": {"profile": [PROFILE]},
        "extension": [
            {"url": _PROVIDER_CATEGORY, "valueCodeableConcept": coded(_REQUESTERS, code)}
            for code in requesters
        ],
        "status": "active" if active else "inactive",
        "scope": coded("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [coded(_CATEGORIES, data_category(subscription.type))],
        "patient": {"reference": patient},
        "dateTime": instant(now()),
        "policyRule": coded("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTIN"),
        "provision": provision,
    }


def current(register: Register, subscription: Subscription) -> dict[str, Any]:
    """The notification of how the choices stand now."""
    category = data_category(subscription.type)
    answers = {
        code: register.permits(subscription.patient, subscription.provider, category, code)
        for code in REQUESTER_CATEGORIES
    }
    return notification(
        subscription,
        [code for code, allowed in answers.items() if allowed],
        [code for code, allowed in answers.items() if not allowed],
    )


@asynccontextmanager
async def delivering(register: Register, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
    """Delivers notifications while the block runs; `tls` has our client certificate and whom we trust."""
    connector = aiohttp.TCPConnector(ssl=tls if tls is not None else True)
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        beside(_deliver(register, session)),
    ):
        yield


async def _deliver(register: Register, session: aiohttp.ClientSession) -> None:
    while True:
        notices = register.due(time.time())
        await asyncio.gather(*(_attempt(register, session, one) for one in notices))
        if not notices:
            await asyncio.sleep(_LOOK_SECONDS)


async def _attempt(register: Register, session: aiohttp.ClientSession, notice: Notice) -> None:
    """One attempt; what is told is how the choices stand at that moment, so an older notice tells nothing stale."""
    one = notice.subscription
    bundle = current(register, one)
    body = dump_xml(bundle, definitions("r4")) if one.payload.endswith("xml") else json.dump(bundle)
    try:
        headers = {"Content-Type": one.payload}
        async with session.post(one.endpoint, data=body, headers=headers, allow_redirects=False) as response:
            arrived = response.status in (200, 201, 202, 204)
    except (aiohttp.ClientError, TimeoutError, OSError):
        arrived = False
    if arrived:
        register.delivered(notice)
    else:
        register.failed(notice, time.time() + min(2.0**notice.attempts, _LONGEST))
