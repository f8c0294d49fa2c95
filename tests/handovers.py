"""Handovers and referrals at the guarded door of a: the Tasks that open, the way in of a receiver, notifications."""

from __future__ import annotations

from json import dumps
from typing import Any

import httpx
from tests.guarded import BSN
from tests.nodes import RunningNode

from schakel.kernel.clock import new_id
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM

JSON = {"Content-Type": "application/fhir+json"}
P1, P2 = {"reference": "Patient/p1"}, {"reference": "Patient/p2"}
HANDOVER = {"coding": [{"system": "http://snomed.info/sct", "code": "308292007"}]}


def organisation(ura: str) -> dict[str, Any]:
    return {"identifier": {"system": URA_SYSTEM, "value": ura}}


def task(logical_id: str, owner: str, *inputs: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "id": logical_id,
        "status": "in-progress",
        "intent": "order",
        "code": HANDOVER,
        "for": P1,
        "requester": {"agent": organisation("90000001"), "onBehalfOf": organisation("90000001")},
        "owner": organisation(owner),
        "input": [{"type": {"text": "what"}, **one} for one in inputs],
        **members,
    }


def composition(logical_id: str, subject: dict[str, Any], *entries: str) -> dict[str, Any]:
    return {
        "resourceType": "Composition",
        "id": logical_id,
        "status": "final",
        "type": {"text": "handover"},
        "subject": subject,
        "date": "2026-01-01",
        "author": [{"reference": "Practitioner/nurse"}],
        "title": "Handover",
        "section": [{"title": "all", "entry": [{"reference": key} for key in entries]}],
    }


class Door:
    """The way of one requester through the guarded door of a."""

    def __init__(self, node: RunningNode, token: str) -> None:
        self._front = node["a"].front
        self._internal = node["a"]
        self._token = token

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}", **options.pop("headers", {})}
        return await self._front.request(method, path, headers=headers, **options)

    async def reason(self, method: str, path: str, **options: Any) -> str:
        """The reason in the log of a refusal that tells its caller nothing."""
        answer = await self.send(method, path, **options)
        assert answer.status_code == 403, answer.text
        decision = answer.headers["X-Decision-ID"]
        assert answer.json()["issue"][0]["diagnostics"] == f"this request was refused; decision {decision}"
        root = f"{self._internal.internal_root}/a/log/fhir/r4/AuditEvent"
        found = await self._internal.internal.get(root, params={"entity:identifier": decision})
        [event] = [entry["resource"] for entry in found.json()["entry"]]
        return str(event["outcomeDesc"])


async def door(node: RunningNode, scope: str = "eOverdracht-sender", slug: str = "b") -> Door:
    return Door(node, await node[slug].token(node["a"], scope))


async def put(node: RunningNode, resource: dict[str, Any]) -> dict[str, Any]:
    """Writes a Task as the sender's EHR does, in the place of what was there."""
    exact = dumps(resource).replace('"valueDecimal": 1.5', '"valueDecimal": 1.50')
    written = await node["a"].internal.put(f"Task/{resource['id']}", content=exact, headers=JSON)
    assert written.status_code in (200, 201), written.text
    result: dict[str, Any] = written.json()
    return result


def identified(value: str) -> list[dict[str, Any]]:
    return [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{value}"}]


def notification(node: RunningNode, **members: Any) -> dict[str, Any]:
    """What b sends to a, with an identifier of its own."""
    sender = organisation(node["b"].ura)
    return {
        "resourceType": "Task",
        "identifier": identified(new_id()),
        "basedOn": [{"reference": "Task/1234"}],
        "status": "requested",
        "intent": "proposal",
        "code": {
            "coding": [{"system": "http://fhir.nl/fhir/NamingSystem/TaskCode", "code": "pull-notification"}]
        },
        "for": {"identifier": {"system": BSN_SYSTEM, "value": BSN}},
        "requester": {"agent": sender, "onBehalfOf": sender},
        "owner": organisation(node["a"].ura),
        **members,
    }
