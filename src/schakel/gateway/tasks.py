"""Tasks as grounds: who may work on one, what it opens, and what its receiver may change.

A sender puts a Task in its own store: `owner` is the organisation that may come, `for` the patient, `input` what it
may come for: references (a Composition, with all it refers to) or searches. A notification is a Task that another
organisation puts in ours (`notifications`).

Source: Twiin notified pull (TA NP), Nictiz eOverdracht 4.x (Task, state machine), FHIR task.html (STU3, R4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.moments import interval
from schakel.fhir.search import QueryParser
from schakel.generic.authorisation import Row, listed_form
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Gone, Invalid, NotFound, TooCostly, Unprocessable
from schakel.kernel.values import URA_SYSTEM
from schakel.server import FhirService
from schakel.server.reach import reach
from schakel.sources import Stored
from schakel.store.index_values import parse_literal

OPEN = frozenset({"requested", "received", "accepted", "ready", "in-progress", "on-hold"})
"""States in which a Task opens what it names."""

_MOST = 500
"""The newest open Tasks for one organisation about one patient that are looked at."""

_BASE = "http://fhir.nl/fhir/NamingSystem/TaskParameter", "authorization-base"

_SERVERS = frozenset({"meta", "id", "resourceType"})


@dataclass(frozen=True, slots=True)
class Asker:
    """The organisation (URA) that asks, and the authorization base that it gave back, '' when none."""

    ura: str
    base: str = ""

    def may_use(self, task: Task) -> bool:
        """Whether a Task is for who asks: its owner is, and its base is no other than was given back."""
        return task.owner == self.ura and (not self.base or task.base in ("", self.base))

    def usable(self, tasks: Sequence[Task]) -> list[Task]:
        """Those of the Tasks that are for who asks: those of the base that was given back alone, when there are any."""
        mine = [task for task in tasks if self.may_use(task)]
        return [task for task in mine if self.base and task.base == self.base] or mine


@dataclass(frozen=True, slots=True)
class Task:
    """What a Task says of access: `owner` and `requester` are URAs ('' when not told), `opens` the resources
    (`Type/id`) and `searches` the relative searches in its input, `base` its authorization base or '', `until` when it
    ends."""

    stored: Stored
    resource: Resource
    status: str
    owner: str
    requester: str
    opens: tuple[str, ...]
    searches: tuple[str, ...]
    base: str
    until: datetime | None

    @property
    def key(self) -> str:
        """`Task/id`."""
        return f"Task/{self.stored.id}"

    @property
    def open(self) -> bool:
        """Whether it opens what it names, now."""
        return self.status in OPEN and not self.over

    @property
    def over(self) -> bool:
        """Whether the time in which it may be worked on is over."""
        return self.until is not None and now() >= self.until


Through = Callable[[Version, Task], Awaitable[Callable[[Stored], bool]]]
"""Which resources the references of a Task may lead through."""


class Tasks:
    """The Tasks in an organisation's own store."""

    def __init__(self, service: FhirService) -> None:
        self._service = service

    async def read(self, version: Version, logical_id: str) -> Task:
        """The Task with this id. Raises `NotFound` and `Gone`."""
        return await self.task(version, await self._service.source.read(version, "Task", logical_id))

    async def task(self, version: Version, stored: Stored) -> Task:
        """What a stored Task says."""
        resource = orjson.loads(stored.body)
        inputs = [i for i in resource.get("input", []) if isinstance(i, dict)]
        return Task(
            stored,
            resource,
            str(resource.get("status", "")),
            await self._ura(version, resource.get("owner")),
            await self._ura(version, sender_of(resource)),
            tuple(key for i in inputs if (key := self._key(i.get("valueReference")))),
            tuple(
                i["valueString"] for i in inputs if isinstance(i.get("valueString"), str) and not _is_base(i)
            ),
            # Of a Task with two of them nobody knows which was meant: together they are what nobody can give back.
            "\n".join(dict.fromkeys(i["valueString"] for i in inputs if _is_base(i))),
            _end(resource),
        )

    async def opening(
        self, version: Version, asker: Asker, patient: str, key: str, through: Through | None
    ) -> list[Task]:
        """The open Tasks for this organisation that name the resource `key` (`Type/id`) in their input, or, with
        `through`, the first that leads to it; about this patient (logical id) when there is one. A Task that leads to
        more than a document may hold leads nowhere."""
        tasks = await self.open(version, asker, patient)
        named = [task for task in tasks if key in task.opens]
        if named or through is None:
            return named
        for task in tasks:
            with suppress(TooCostly):
                if key in await self._reach(version, task, await through(version, task)):
                    return [task]
        return []

    async def listing(self, version: Version, asker: Asker, patient: str, form: str) -> list[Task]:
        """The open Tasks for this organisation that list the search `form`; about this patient when there is one."""
        tasks = await self.open(version, asker, patient)
        return [task for task in tasks if form in {_listed(search) for search in task.searches}]

    async def open(self, version: Version, asker: Asker, patient: str) -> list[Task]:
        """The open Tasks whose owner asks, newest first; of this patient (logical id) when given. With an authorization
        base those of another are left out, and those of none when there is one of it."""
        parser, number = QueryParser(definitions(version)), f"{URA_SYSTEM}|{asker.ura}"
        also = (("patient", patient),) if patient else ()
        open_ = ("status", ",".join(sorted(OPEN)))
        found: dict[str, Stored] = {}
        for whose in ("owner:identifier", "owner:Organization.identifier"):
            query = parser.parse(
                "Task", ((whose, number), open_, *also, ("_sort", "-_lastUpdated"), ("_count", str(_MOST)))
            )
            page = await self._service.source.search(version, query, None)
            found |= {stored.id: stored for stored in page.matches}
        tasks = [await self.task(version, stored) for stored in found.values()]
        return asker.usable([task for task in tasks if task.open])

    async def _reach(self, version: Version, task: Task, wanted: Callable[[Stored], bool]) -> frozenset[str]:
        """Everything that the references in a Task lead to through what is wanted: what a document of them holds."""
        keys = [tuple(key.split("/", 1)) for key in task.opens]
        roots = await self._service.source.read_many(version, [(kind, name) for kind, name in keys])
        most = self._service.reach.document
        reached = await reach(
            self._service.source,
            version,
            [root for root in roots.values() if wanted(root)],
            self._service.own_bases,
            most,
            f"the Task leads to more than {most} resources (setting limits.document)",
            wanted=lambda stored, _: wanted(stored),
            extensions=False,
            near=True,
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


def _is_base(given: Mapping[str, Any]) -> bool:
    """Whether an input of a Task is its authorization base."""
    kind = given.get("type")
    coding = kind.get("coding") if isinstance(kind, dict) else None
    return isinstance(given.get("valueString"), str) and any(
        isinstance(one, dict) and (one.get("system"), one.get("code")) == _BASE
        for one in (coding if isinstance(coding, list) else ())
    )


def ura_in(identifiers: Sequence[object]) -> str:
    """The one URA among these identifiers; '' when there is none, or more than one."""
    found = {
        str(i.get("value", "")) for i in identifiers if isinstance(i, dict) and i.get("system") == URA_SYSTEM
    }
    return found.pop() if len(found) == 1 else ""


def _listed(search: str) -> str:
    """A relative search in the form in which searches are compared; '' for what is none."""
    try:
        return listed_form(search.strip().lstrip("/"))
    except Invalid:
        return ""


def sender_of(resource: Resource) -> object:
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


def updated(row: Row, current: Resource, sent: Resource) -> Resource:
    """A Task as its receiver changed it: `current` with what `row` lets a receiver change taken from `sent`. The
    narrative is that of `sent`, or falls away with the state it told of.

    Raises `Unprocessable` naming the member that may not be changed, or the state that it cannot get, and for any
    change of a Task that is no longer open.
    """
    free = row.changes
    for name in sorted(current.keys() | sent.keys()):
        if name not in free | _SERVERS and current.get(name) != sent.get(name):
            raise Unprocessable(
                f"Task.{name} is not for the receiver to change; it may change {', '.join(sorted(row.changes))}",
                code="task-change-not-allowed",
                expression=f"Task.{name}",
            )
    before, after = str(current.get("status")), str(sent.get("status"))
    possible = row.statuses.get(before, frozenset())
    if after != before and after not in possible:
        raise Unprocessable(
            f"a Task that is {before} becomes {', '.join(sorted(possible)) or 'nothing else'}, not {after[:40]!r}",
            code="task-status-not-allowed",
            expression="Task.status",
        )
    kept: dict[str, Any] = {name: value for name, value in current.items() if name not in free}
    after_all = {**kept, **{name: value for name, value in sent.items() if name in free}}
    if before not in OPEN and after_all != current:
        raise Unprocessable(
            f"a Task that is {before} is over, and its receiver changes nothing of it any more",
            code="task-status-not-allowed",
            expression="Task.status",
        )
    return after_all
