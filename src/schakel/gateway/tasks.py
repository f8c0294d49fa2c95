"""Tasks as grounds: who may work on one, what it opens, and what its receiver may change.

A sender puts a Task in its own store: `owner` is the organisation that may come, `for` the patient, `input` what it
may come for: references (a Composition, with all it refers to) or searches. A notification is a Task that another
organisation puts in ours.

Source: Twiin notified pull (TA NP), Nictiz eOverdracht 4.x (Task, state machine), FHIR task.html (STU3, R4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.moments import interval
from schakel.fhir.search import QueryParser, encode
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Gone, Invalid, NotFound, Unprocessable
from schakel.kernel.values import URA_SYSTEM
from schakel.server import FhirService
from schakel.server.reach import reach
from schakel.sources import Stored
from schakel.store.index_values import parse_literal

OPEN = frozenset({"requested", "received", "accepted", "ready", "in-progress", "on-hold"})
"""States in which a Task opens what it names."""

_MOST = 100
"""Open Tasks for one organisation about one patient that are looked at."""

_NEXT: Mapping[str, frozenset[str]] = {
    "requested": frozenset({"received", "accepted", "rejected", "on-hold", "cancelled"}),
    "received": frozenset({"accepted", "rejected", "on-hold", "cancelled"}),
    "on-hold": frozenset({"received", "accepted", "rejected", "cancelled"}),
    "accepted": frozenset({"in-progress", "completed", "cancelled"}),
    "ready": frozenset({"in-progress", "completed", "cancelled"}),
    "in-progress": frozenset({"completed", "failed", "cancelled"}),
}
"""The states that a receiver may put a Task in, by the state it is in."""

_RECEIVERS = frozenset(
    {"status", "statusReason", "businessStatus", "output", "note", "lastModified", "executionPeriod", "text"}
)
"""Members that a receiver may change; the narrative falls away when the state changes."""

_SERVERS = frozenset({"meta", "id", "resourceType"})


@dataclass(frozen=True, slots=True)
class Task:
    """What a Task says of access: `owner` and `requester` are URAs ('' when not told), `opens` the resources
    (`Type/id`) and `searches` the relative searches in its input, `until` when it ends."""

    stored: Stored
    resource: Resource
    status: str
    owner: str
    requester: str
    opens: tuple[str, ...]
    searches: tuple[str, ...]
    until: datetime | None

    @property
    def key(self) -> str:
        """`Task/id`."""
        return f"Task/{self.stored.id}"

    @property
    def open(self) -> bool:
        """Whether it opens what it names, now."""
        return self.status in OPEN and (self.until is None or now() < self.until)


class Tasks:
    """The Tasks in an organisation's own store."""

    def __init__(self, service: FhirService) -> None:
        self._service = service

    async def task(self, version: Version, stored: Stored) -> Task:
        """What a stored Task says."""
        resource = orjson.loads(stored.body)
        inputs = [i for i in resource.get("input", []) if isinstance(i, dict)]
        return Task(
            stored,
            resource,
            str(resource.get("status", "")),
            await self._ura(version, resource.get("owner")),
            await self._ura(version, _sender(resource)),
            tuple(key for i in inputs if (key := self._key(i.get("valueReference")))),
            tuple(i["valueString"] for i in inputs if isinstance(i.get("valueString"), str)),
            _end(resource),
        )

    async def covering(self, version: Version, owner: str, patient: str, key: str) -> list[Task]:
        """The open Tasks about this patient (logical id) that let this organisation read `key` (`Type/id`)."""
        return [
            task
            for task in await self._open(version, owner, patient)
            if key in task.opens or key in await self._reach(version, task)
        ]

    async def listing(self, version: Version, owner: str, patient: str, form: str) -> list[Task]:
        """The open Tasks about this patient that list the search `form` (see `form_of`)."""
        return [
            task
            for task in await self._open(version, owner, patient)
            if any(form_of(version, search) == form for search in task.searches)
        ]

    async def _open(self, version: Version, owner: str, patient: str) -> list[Task]:
        """The open Tasks of this patient whose owner is this organisation, newest first."""
        pairs = [("patient", patient), ("status", ",".join(sorted(OPEN))), ("_count", str(_MOST))]
        query = QueryParser(definitions(version)).parse("Task", tuple(pairs))
        found = await self._service.source.search(version, query, None)
        tasks = [await self.task(version, stored) for stored in found.matches]
        return [task for task in tasks if task.owner == owner and task.open]

    async def _reach(self, version: Version, task: Task) -> frozenset[str]:
        """Everything that the references in a Task lead to: what a document of them would hold."""
        keys = [tuple(key.split("/", 1)) for key in task.opens]
        roots = await self._service.source.read_many(version, [(kind, name) for kind, name in keys])
        most = self._service.reach.document
        reached = await reach(
            self._service.source,
            version,
            list(roots.values()),
            self._service.own_bases,
            most,
            f"the Task leads to more than {most} resources (setting limits.document)",
            extensions=False,
        )
        return frozenset(f"{s.type}/{s.id}" for s in reached.resources)

    def _key(self, reference: object) -> str:
        """`Type/id` of a reference to one of our resources, else ''."""
        text = reference.get("reference") if isinstance(reference, dict) else None
        if not isinstance(text, str):
            return ""
        kind, name = parse_literal(text, self._service.own_bases)
        return f"{kind}/{name}" if kind else ""

    async def _ura(self, version: Version, reference: object) -> str:
        """The URA of the organisation that a reference names, by identifier or as one of our resources."""
        if not isinstance(reference, dict):
            return ""
        if number := ura_in([reference.get("identifier")]):
            return number
        kind, _, name = self._key(reference).partition("/")
        if kind != "Organization":
            return ""
        try:
            stored = await self._service.source.read(version, kind, name)
        except (NotFound, Gone):
            return ""
        return ura_in(orjson.loads(stored.body).get("identifier", []))


def ura_in(identifiers: Sequence[object]) -> str:
    """The one URA among these identifiers; '' when there is none, or more than one."""
    found = {
        str(i.get("value", "")) for i in identifiers if isinstance(i, dict) and i.get("system") == URA_SYSTEM
    }
    return found.pop() if len(found) == 1 else ""


def form_of(version: Version, search: str) -> str:
    """A relative search in one form: parameters and the values of each sorted, without patient, paging and format.

    '' for what is no search of this FHIR version.
    """
    path, _, text = search.strip().lstrip("/").partition("?")
    kind, _, operation = path.partition("/")
    if kind not in definitions(version).resource_types or operation not in ("", "$lastn"):
        return ""
    return f"{path}?{encode(sorted(_plain(text)))}"


def _plain(text: str) -> Iterator[tuple[str, str]]:
    from schakel.fhir.search import pairs_of

    for name, value in pairs_of(text):
        if name.partition(".")[0].partition(":")[0] not in _UNLISTED:
            yield name, ",".join(sorted(part.strip() for part in value.split(",")))


_UNLISTED = frozenset({"patient", "beneficiary", "identifier", "_id", "_count", "_format", "_page"})


def _sender(resource: Resource) -> object:
    """The organisation that asks: in STU3 on whose behalf, in R4 the requester itself."""
    requester = resource.get("requester")
    if not isinstance(requester, dict):
        return None
    return requester.get("onBehalfOf") or requester.get("agent") or requester


def _end(resource: Resource) -> datetime | None:
    """The first moment after the period in which a Task may be worked on."""
    restriction = resource.get("restriction")
    period = restriction.get("period") if isinstance(restriction, dict) else None
    end = period.get("end") if isinstance(period, dict) else None
    if not isinstance(end, str):
        return None
    try:
        return interval(end)[1]
    except Invalid:
        return now()


def updated(current: Resource, sent: Resource) -> Resource:
    """A Task as its receiver changed it: `current` with what a receiver may change taken from `sent`.

    Raises `Unprocessable` naming the member that may not be changed, or the state it cannot get.
    """
    for name in sorted(current.keys() | sent.keys()):
        if name not in _RECEIVERS | _SERVERS and current.get(name) != sent.get(name):
            raise Unprocessable(
                f"Task.{name} is not for the receiver to change; it may change "
                f"{', '.join(sorted(_RECEIVERS - {'text'}))}",
                code="task-member",
                expression=f"Task.{name}",
            )
    before, after = str(current.get("status")), str(sent.get("status"))
    if after != before and after not in _NEXT.get(before, frozenset()):
        reachable = ", ".join(sorted(_NEXT.get(before, ()))) or "no other"
        raise Unprocessable(
            f"a Task that is {before} becomes {reachable}, not {after[:40]!r}",
            code="task-status",
            expression="Task.status",
        )
    kept: dict[str, Any] = {name: value for name, value in current.items() if name not in _RECEIVERS}
    return {**kept, **{name: value for name, value in sent.items() if name in _RECEIVERS}}
