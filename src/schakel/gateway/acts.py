"""Carrying out what was decided: exactly the interaction that was judged, minimised, ready to be logged.

A reading act has its whole answer before the log is written, and gives it after. A writing act is checked and planned
before, and written after: what could not be logged was not done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from schakel.fhir import json
from schakel.fhir.definitions import Version
from schakel.fhir.search import Query
from schakel.gateway.delivery import Delivery, planned, taken
from schakel.gateway.disclosure import Disclosure
from schakel.gateway.minimise import Dropped, Item, Minimised, Subject, foreign, minimise
from schakel.gateway.notifications import Notifications
from schakel.gateway.targets import Target, Targets
from schakel.gateway.tasks import updated
from schakel.generic.authorisation import ANY, Row
from schakel.generic.identity import Grant
from schakel.kernel.outcomes import Invalid, Issue, PreconditionFailed
from schakel.server import Answer, FhirService, Interaction, Request, answer
from schakel.server.bodies import read_body
from schakel.server.headers import wanted_return
from schakel.server.operations import document
from schakel.server.reach import Target as Reference
from schakel.server.service import unchanged
from schakel.server.writing import Planned, answered
from schakel.sources import Found, Stored, Write

_NOTHING = Minimised((), ())


@dataclass(frozen=True, slots=True)
class Act:
    """What will be given or done: `kept` is what is shown and held back, `written` the versions that will be written
    (Type/id/_history/n), `finish` does it and gives the answer."""

    kept: Minimised
    finish: Callable[[], Awaitable[Answer]]
    written: tuple[str, ...] = ()


class Acts:
    """Carries out what one organisation's door permits."""

    def __init__(self, service: FhirService, targets: Targets, notifications: Notifications) -> None:
        self._service = service
        self._targets = targets
        self._notifications = notifications

    async def prepared(
        self, target: Target, asked: Interaction, request: Request, grant: Grant, base: str
    ) -> Act:
        """The act that a permitted target asks. `asked` is the interaction as it came in: of a page the link itself,
        where `target.interaction` has the search that made it. Raises what the source and the checks do."""
        match target.row.interaction:
            case _ if asked.kind == "search":
                return await self._search(target, asked, grant, base)
            case _ if asked.kind == "read":
                return self._read(target, asked)
            case "operation":
                return await self._document(target, base)
            case "update" if target.row.tie == "task":
                return self._update(target, asked, request, base)
            case _:
                return await self._notification(asked, request, grant, base)

    # -- reading -------------------------------------------------------------------------------------------

    async def _search(self, target: Target, asked: Interaction, grant: Grant, base: str) -> Act:
        query, subject = target.interaction.query, target.subject
        assert query is not None and asked.query is not None and subject is not None
        executed = target.interaction
        if asked.query.page is not None:
            executed = replace(asked, query=replace(asked.query, limited_to=query.limited_to))
        found = await self._service.search(executed, grant.jti)
        disclosure = self._targets.disclosure(target.row.exchange)
        given = self._targets.given_beside(target, grant)
        kept = await _minimised(disclosure, asked.version, found, subject, query, given)

        async def finish() -> Answer:
            return self._service.render(base, asked, _only(found, kept))

        return Act(kept, finish)

    def _read(self, target: Target, asked: Interaction) -> Act:
        stored, item = target.stored, target.item
        assert stored is not None and item is not None
        known = unchanged(asked, stored)

        async def finish() -> Answer:
            return known or answer.resource(stored)

        return Act(_NOTHING if known else Minimised((item,), ()), finish)

    async def _document(self, target: Target, base: str) -> Act:
        """The document of a Composition without what is about another patient, what the exchange gives nobody to read,
        and what only those lead to."""
        composition, item, subject = target.stored, target.item, target.subject
        assert composition is not None and item is not None and subject is not None
        version, disclosure = (
            target.interaction.version,
            self._targets.disclosure(target.row.exchange),
        )
        types = self._targets.read_types(target.row)
        released, dropped = [item], list[Dropped]()

        def wanted(stored: Stored, _: frozenset[Reference]) -> bool:
            found = disclosure.item(version, stored, False)
            if foreign(found, subject):
                dropped.append(Dropped(found.key, "other-patient"))
                return False
            if types.isdisjoint((ANY, stored.type)):
                dropped.append(Dropped(found.key, "form-not-allowed"))
                return False
            released.append(found)
            return True

        reached = await document.gathered(self._service, version, composition, wanted, near=True)

        async def finish() -> Answer:
            return document.document(version, base, composition, reached)

        return Act(Minimised(tuple(released), tuple(dropped)), finish)

    async def delivered(
        self, target: Target, delivery: Delivery, request: Request, grant: Grant, base: str
    ) -> Act:
        """The taking in of a delivery that is permitted."""
        assert target.subject is not None
        plan = await planned(delivery, grant.requester, target.subject.ids)

        async def finish() -> Answer:
            return await taken(plan, base, wanted_return(request.headers))

        return Act(_NOTHING, finish, plan.written)

    # -- writing -------------------------------------------------------------------------------------------

    def _update(self, target: Target, asked: Interaction, request: Request, base: str) -> Act:
        """The change of a Task by its receiver. Raises `PreconditionFailed` for another version than If-Match names."""
        stored = target.stored
        assert stored is not None
        if asked.if_match not in (None, stored.version):
            raise PreconditionFailed(
                "the Task is not at the version that If-Match names", expression="If-Match"
            )
        sent = read_body(request, self._service.rules.max_depth)
        warnings = self._service.checked(asked.version, sent)
        if (sent["resourceType"], sent.get("id")) != ("Task", asked.id):
            raise Invalid(f"the body must be the Task with id {asked.id}", expression="Task.id")
        current = json.parse(stored.body, max_depth=json.STORED_DEPTH)
        resource = updated(target.row, current, sent)
        write = Write("PUT", "Task", asked.id, resource, if_match=stored.version)
        return self._writing(write, stored.version + 1, asked.version, request, base, warnings)

    async def _notification(self, asked: Interaction, request: Request, grant: Grant, base: str) -> Act:
        """A notification that is taken in: a Task, or the bare word that there is one."""
        version, sender = asked.version, grant.requester
        if asked.kind == "transaction":
            told = self._notifications.bare(version, sender, asked.id)
            write, number = await self._notifications.write(version, told, sender)

            async def finish() -> Answer:
                await self._service.source.write(version, [write])
                return Answer(202)

            return Act(_NOTHING, finish, (f"Task/{write.id}/_history/{number}",))
        sent = read_body(request, self._service.rules.max_depth)
        warnings = self._service.checked(version, sent)
        if sent["resourceType"] != "Task":
            raise Invalid(f"the body must be a Task, not {sent['resourceType']}", expression="Task")
        write, number = await self._notifications.write(version, sent, sender, asked.criteria, asked.if_match)
        return self._writing(write, number, version, request, base, warnings)

    def _writing(
        self,
        write: Write,
        number: int,
        version: Version,
        request: Request,
        base: str,
        warnings: list[Issue],
    ) -> Act:
        async def finish() -> Answer:
            [written] = await self._service.source.write(version, [write])
            return answered(version, base, Planned(write, warnings), written, wanted_return(request.headers))

        return Act(_NOTHING, finish, (f"Task/{write.id}/_history/{number}",))


async def _minimised(
    disclosure: Disclosure,
    version: Version,
    found: Found,
    subject: Subject,
    query: Query,
    given: Callable[[Row], bool],
) -> Minimised:
    """What of a search may go out, beside what the rows give that are `given`. The source tells to which patients it
    limited the search, or they are looked up."""
    items: list[Item] = [disclosure.item(version, s, True) for s in found.matches]
    items += [disclosure.item(version, i.stored, False) for i in found.included]
    ids = found.patients
    if ids is None:
        ids = subject.ids or await disclosure.patient_ids(version, subject.bsn)
    subject = Subject(subject.bsn, ids)
    elsewhere = await disclosure.releasable_targets(version, items, subject, given)
    plain = [str(i) for i in query.includes if not i.iterate]
    iterated = [str(i) for i in query.includes if i.iterate]
    return minimise(version, items, subject, plain, elsewhere.__contains__, iterated)


def _only(found: Found, kept: Minimised) -> Found:
    """`found` with only what is released. The total is the number of matches that are, when this page has all of them:
    another number, or none where something was held back, would tell that it was."""
    keys = {i.key for i in kept.released}
    matches = tuple(s for s in found.matches if _key(s) in keys)
    included = tuple(i for i in found.included if _key(i.stored) in keys)
    whole = found.total == len(found.matches) and found.query.count != 0
    total = len(matches) if whole else None
    return replace(found, matches=matches, included=included, total=total)


def _key(stored: Stored) -> str:
    return f"{stored.type}/{stored.id}"
