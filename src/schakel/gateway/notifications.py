"""Notifications that come in: another organisation tells that something waits for us at its side.

It becomes a Task in our own store, where the EHR sees it (in the history of Task, `_since` a moment). It must come
from the organisation that its token names, and be for us. Whatever it refers to is at the sender: a relative
reference is written out below the sender's FHIR base, so that it never leads to a resource of ours.

Source: Twiin notified pull (TA NP), Send Notification Task; eOverdracht 4.x, notification.
"""

from __future__ import annotations

import uuid
from itertools import product
from typing import Any

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.search import Query, QueryParser
from schakel.gateway.parts import Addresses
from schakel.gateway.tasks import Task, Tasks, sender_of, ura_in
from schakel.kernel.clock import instant, new_id, now
from schakel.kernel.outcomes import Forbidden, Gone, NotFound, PreconditionFailed, Unprocessable
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM, Bsn
from schakel.server import FhirService
from schakel.sources import Write
from schakel.store.index_values import parse_literal

PULL = ("http://fhir.nl/fhir/NamingSystem/TaskCode", "pull-notification")
_STATUSES = frozenset({"requested", "cancelled"})
_ATTEMPTS = 50


class Notifications:
    """Takes notifications in for the organisation `ura`."""

    def __init__(self, ura: str, service: FhirService, addresses: Addresses) -> None:
        self._ura = ura
        self._service = service
        self._tasks = Tasks(service)
        self._addresses = addresses

    async def write(
        self,
        version: Version,
        sent: Resource,
        sender: str,
        criteria: Query | None = None,
        if_match: int | None = None,
    ) -> tuple[Write, int]:
        """The write that takes in a Task that `sender` (URA) sent, and the version it will have.

        One with an identifier that the sender used before is the next version of that Task, and one that comes in at
        the same moment is refused as `PreconditionFailed`; `criteria`, on which the
        sender made it conditional, can only name that identifier. Raises `PreconditionFailed` when the one here is not
        at version `if_match`, or there is none, `Unprocessable` naming the element, and
        `Forbidden` for a Task of another sender or for another receiver.
        """
        self._check(sent, sender)
        if criteria is not None and not {v for c in criteria.conditions for v in c.values} <= _tokens(sent):
            raise _wrong("Task.identifier", "the condition must be an identifier of the Task itself")
        base = await self._addresses.fhir_base(sender, version)
        resource = {name: value for name, value in sent.items() if name not in ("id", "meta")}
        resource = _Outward(base, self._service.own_bases, version).of(resource, "Task")
        earlier = await self._earlier(version, resource, sender)
        if earlier is None:
            name, earlier = await self._place(version, resource, sender)
        if if_match is not None and (earlier is None or earlier.stored.version != if_match):
            raise PreconditionFailed(
                "the notification is not at the version that If-Match names", expression="If-Match"
            )
        if earlier is None:
            return Write("PUT", "Task", name, resource, if_absent=True), 1
        number = earlier.stored.version
        return Write("PUT", "Task", earlier.stored.id, resource, if_match=number), number + 1

    async def _place(self, version: Version, resource: Resource, sender: str) -> tuple[str, Task | None]:
        """The id of a new Task, and that Task when it came in since it was looked for.

        The id follows from the identifier and its sender, so that what is sent many times at once is one Task. Where
        one with that id was here before (deleted since, or not about this identifier any more) the next id follows as
        surely.
        """
        tokens = sorted(_tokens(resource))
        for attempt in range(_ATTEMPTS if tokens else 0):
            again = f" {attempt}" if attempt else ""
            name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{URA_SYSTEM}|{sender} {tokens[0]}{again}"))
            try:
                task = await self._tasks.read(version, name)
            except NotFound:
                return name, None
            except Gone:
                continue
            if task.requester == sender and task.owner == self._ura and tokens[0] in _tokens(task.resource):
                return name, task
        return new_id(), None

    def bare(self, version: Version, sender: str, task: str = "") -> Resource:
        """The Task that stands for a notification without a body; `task` is the id of the sender's Task, if told."""
        told: dict[str, Any] = {
            "resourceType": "Task",
            "status": "requested",
            "intent": "proposal",
            "code": {"coding": [{"system": PULL[0], "code": PULL[1]}]},
            "authoredOn": instant(now()),
            "requester": _requester(version, sender),
            "owner": _organisation(self._ura),
        }
        if task:
            told["basedOn"] = [{"reference": f"Task/{task}"}]
        return told

    def _check(self, sent: Resource, sender: str) -> None:
        if sent.get("status") not in _STATUSES:
            raise _wrong("Task.status", f"a notification is {' or '.join(sorted(_STATUSES))}")
        if sent.get("intent") != "proposal":
            raise _wrong("Task.intent", "a notification is proposal")
        codings = sent.get("code", {}).get("coding", [])
        if PULL not in [(coding.get("system"), coding.get("code")) for coding in codings]:
            raise _wrong("Task.code", f"a notification is {'|'.join(PULL)}")
        if "contained" in sent:
            raise _wrong("Task.contained", "a notification contains no other resources")
        if ura_in([_identifier(sent.get("owner"))]) != self._ura:
            raise Forbidden(
                f"Task.owner.identifier must be the receiver: URA {self._ura}",
                code="task-owner-other",
                expression="Task.owner",
            )
        if ura_in([_identifier(sender_of(sent))]) != sender:
            raise Forbidden(
                "Task.requester (in STU3 requester.onBehalfOf) must name, by URA, the organisation whose token this is",
                code="task-sender-other",
                expression="Task.requester",
            )
        patient = _identifier(sent.get("for"))
        if isinstance(patient, dict) and patient.get("system") == BSN_SYSTEM:
            Bsn(str(patient.get("value", "")))

    async def _earlier(self, version: Version, sent: Resource, sender: str) -> Task | None:
        """The Task that this sender sent with the same identifier."""
        parser = QueryParser(definitions(version))
        whose = ("requester", "organization") if version == "stu3" else ("requester",)
        for token, name in product(sorted(_tokens(sent)), whose):
            from_ = (f"{name}:identifier", f"{URA_SYSTEM}|{sender}")
            query = parser.parse("Task", (("identifier", token), from_, ("_count", "10")))
            for stored in (await self._service.source.search(version, query, None)).matches:
                task = await self._tasks.task(version, stored)
                if task.requester == sender and task.owner == self._ura:
                    return task
        return None


def _tokens(task: Resource) -> set[str]:
    """The identifiers of a Task as `system|value`; those that cannot be searched for as they stand are left out."""
    pairs = [(str(i.get("system", "")), str(i.get("value", ""))) for i in task.get("identifier", [])]
    return {f"{s}|{v}" for s, v in pairs if s and v and not any(sign in s + v for sign in ",|\\$")}


def _identifier(reference: object) -> object:
    return reference.get("identifier") if isinstance(reference, dict) else None


def _organisation(ura: str) -> dict[str, Any]:
    return {"identifier": {"system": URA_SYSTEM, "value": ura}}


def _requester(version: Version, ura: str) -> dict[str, Any]:
    """Who asks, in the shape of the FHIR version."""
    if version == "stu3":
        return {"agent": _organisation(ura), "onBehalfOf": _organisation(ura)}
    return _organisation(ura)


def _wrong(where: str, text: str) -> Unprocessable:
    return Unprocessable(f"{where}: {text}", code="notification-invalid", expression=where)


class _Outward:
    """Writes out relative references below the sender's base; `own` are our bases, to which none may lead."""

    def __init__(self, base: str, own: tuple[str, ...], version: Version) -> None:
        self._base = base
        self._own = own
        self._kinds = definitions(version).resource_types

    def of(self, value: Any, where: str) -> Any:
        """`value` with its references written out. Raises `Unprocessable` naming the element."""
        if isinstance(value, list):
            return [self.of(one, f"{where}[{place}]") for place, one in enumerate(value)]
        if not isinstance(value, dict):
            return value
        out = {}
        for name, member in value.items():
            if name == "reference" and isinstance(member, str):
                out[name] = self._reference(member, where)
            else:
                out[name] = self.of(member, f"{where}.{name}")
        return out

    def _reference(self, text: str, where: str) -> str:
        if parse_literal(text)[0] in self._kinds and "://" not in text:
            if not self._base:
                raise _wrong(
                    where,
                    "the reference is relative, and the directory does not say where your FHIR base is; "
                    "write the whole address",
                )
            return f"{self._base}/{text}"
        if parse_literal(text, self._own)[0]:
            raise _wrong(where, "the reference leads to a resource of the receiver")
        return text
