"""Whose data a judged request is about, and what it takes. Nobody has seen any of it yet.

A search names the patient, or, when it is tied to the input of a Task, the Task does. A read names a resource: it is
looked up here, and one that is not here is refused like one that may not be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from schakel.fhir.definitions import Version
from schakel.gateway.disclosure import Disclosure
from schakel.gateway.minimise import Item, Subject, about, foreign
from schakel.gateway.parts import Authorisation, Candidates
from schakel.gateway.tasks import Asker, Task, Tasks
from schakel.generic.authorisation import (
    ANY,
    Facts,
    GroundKind,
    Judgement,
    PatientNamed,
    Row,
    listed_form,
)
from schakel.generic.authorisation.model import Tie
from schakel.generic.identity import Grant
from schakel.kernel.outcomes import Gone, NotFound, Outcome
from schakel.server import FhirService, Interaction, Request
from schakel.server.answer import search_path
from schakel.sources import Stored


class Refused(Exception):
    """A refusal whose reason goes to the log only."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Target:
    """What a request takes: `interaction` is what will be executed, `row` what it is decided under. `subject` is the
    patient, None where no patient's data is taken; `form` the search in the form in which grounds list it. Of `tasks`
    one must be its ground, when there are any. `item` is the resource that is asked, as `stored`."""

    interaction: Interaction
    row: Row
    subject: Subject | None = None
    form: str = ""
    tasks: tuple[Task, ...] = ()
    stored: Stored | None = None
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a resource may be released: by this disclosure, for one of these patients (BSNs), on one of these
    Tasks when there are any."""

    disclosure: Disclosure
    patients: list[str]
    tasks: tuple[Task, ...]


class Targets:
    """Finds the target of each request at one organisation's door."""

    def __init__(
        self,
        service: FhirService,
        policy: Authorisation,
        candidates: Candidates,
    ) -> None:
        self._service = service
        self._policy = policy
        self._candidates = candidates
        self._facts = Disclosure(service, ())
        self._disclosures: dict[str, Disclosure] = {}
        self._tasks = Tasks(service)

    async def target(self, grant: Grant, asked: Interaction, judgement: Judgement) -> Target:
        """The target of a judged request. `asked` has the query that was judged: of a page the one that made it.

        Raises `Refused`.
        """
        row = judgement.row
        match row.interaction:
            case "search":
                return await self._search(grant, asked, row, judgement.patient)
            case "create" | "notification":
                return Target(asked, row)
            case "transaction":
                bsn = judgement.patient.bsn
                return Target(asked, row, Subject(bsn, await self._facts.patient_ids(asked.version, bsn)))
            case "update" if not row.tie:
                return Target(asked, row)
            case _ if row.tie == "released":
                return await self._released(grant, asked, row)
            case _:
                return await self._of_task(grant, asked, row)

    # -- searches ------------------------------------------------------------------------------------------

    async def _search(self, grant: Grant, asked: Interaction, row: Row, named: PatientNamed) -> Target:
        assert asked.query is not None
        version, query = asked.version, asked.query
        form = listed_form(f"{search_path(query)}?{query.self_link()}")
        bsn = named.bsn or (await self._bsn(version, named.id) if named.id else "")
        if row.tie != "task-input":
            return Target(asked, row, Subject(bsn, frozenset()), form)
        ids = await self._facts.patient_ids(version, bsn) if bsn else frozenset[str]()
        if bsn and not ids:
            raise Refused("task-missing")
        tasks = await self._tasks.listing(version, _asker(grant), ",".join(sorted(ids)), form)
        if not bsn:
            bsn, ids = await self._only_patient(version, tasks)
            asked = replace(asked, query=replace(query, limited_to=ids))
        if not tasks:
            raise Refused("task-missing")
        return Target(asked, row, Subject(bsn, ids), form, tuple(tasks))

    async def _only_patient(self, version: Version, tasks: Iterable[Task]) -> tuple[str, frozenset[str]]:
        """The one patient of these Tasks: a search that names nobody is narrowed to that one."""
        ids = {self._patient_of(version, task.stored) for task in tasks}
        if len(ids) != 1:
            raise Refused("task-missing" if not ids else "task-several-patients")
        [logical_id] = ids
        return await self._bsn(version, logical_id), frozenset({logical_id})

    # -- one resource --------------------------------------------------------------------------------------

    async def _released(self, grant: Grant, asked: Interaction, row: Row) -> Target:
        """A resource that some search of the exchange would release to this requester for this patient."""
        version = asked.version
        stored, whose, item = await self._resource(asked)
        named = self._facts.patient_of(item)
        patients = [] if named is None else [await self._bsn(version, named, whose)]
        if any(one.tie for one in self._policy.searches(row.exchange)):
            places = await self._of_tasks(grant, version, named or "", patients)
        else:
            if named is None:
                patients = await self._candidates.of(grant.requester, row.exchange, grant.jti)
            places = [_Place(self.disclosure(row.exchange), patients, ())]
        for place in places:
            found = await place.disclosure.release(version, item, place.patients, whose)
            if found is not None:
                subject, rows = found
                releasing = self._deciding(grant, rows, subject.bsn)
                tasks = tuple(t for t in place.tasks if self._patient_of(version, t.stored) in subject.ids)
                return Target(asked, releasing, subject, tasks=tasks, stored=stored, item=item)
        raise Refused("not-referred-to" if named is None else "form-not-allowed")

    async def _of_tasks(
        self, grant: Grant, version: Version, patient: str, patients: list[str]
    ) -> list[_Place]:
        """What the open Tasks of this requester release, those that list the same searches together: the searches of
        one Task give nothing of the patient of another. `patient` is a logical id with its BSN, or '' for all."""
        together: dict[tuple[str, ...], tuple[list[Row], list[Task]]] = {}
        for task in await self._tasks.open(version, _asker(grant), patient):
            rows = self._listed(grant, version, task)
            together.setdefault(tuple(sorted(row.id for row in rows)), (rows, []))[1].append(task)
        return [
            _Place(
                Disclosure(self._service, rows),
                patients
                or [await self._bsn(version, self._patient_of(version, task.stored)) for task in tasks],
                tuple(tasks),
            )
            for rows, tasks in together.values()
        ]

    def _listed(self, grant: Grant, version: Version, task: Task) -> list[Row]:
        """The rows of the searches that stand in the input of a Task."""
        rows: dict[str, Row] = {}
        for search in dict.fromkeys(task.searches):
            path, _, query = search.strip().lstrip("/").partition("?")
            with suppress(Outcome):
                interaction = self._service.parse(Request(version, "GET", path, query, {}))
                row = self._policy.judge(grant.scopes, interaction).row
                rows[row.id] = row
        return list(rows.values())

    async def _of_task(self, grant: Grant, asked: Interaction, row: Row) -> Target:
        """A Task for this requester, or a resource to which an open one leads."""
        version = asked.version
        stored, whose, item = await self._resource(asked)
        if row.tie == "task":
            task = await self._tasks.task(version, stored)
            if task.owner != grant.requester:
                raise Refused("task-owner-other")
            if task.over or not _asker(grant).may_use(task):
                raise Refused("task-missing")
            patient, tasks = self._patient_of(version, stored), [task]
        else:
            named = self._facts.patient_of(item)
            if named == "":
                raise Refused("patient-unknown")
            through = self._own_data if row.tie == "task-document" else None
            tasks = await self._tasks.opening(version, _asker(grant), named or "", item.key, through)
            if not tasks:
                also = self._tied(row, "released")
                if also is None:
                    raise Refused("task-missing")
                return await self._released(grant, asked, also)
            patient = named or self._patient_of(version, tasks[0].stored)
            tasks = [task for task in tasks if self._patient_of(version, task.stored) == patient]
            if not tasks:
                raise Refused("task-missing")
        subject = Subject(await self._bsn(version, patient, whose), frozenset({patient}))
        if about(item, subject) is False:
            raise Refused("other-patient")
        return Target(asked, row, subject, tasks=tuple(tasks), stored=stored, item=item)

    async def _own_data(self, version: Version, task: Task) -> Callable[[Stored], bool]:
        """Whether a resource is not about another patient than the Task is."""
        patient = self._patient_of(version, task.stored)
        subject = Subject(await self._bsn(version, patient), frozenset({patient}))
        return lambda stored: not foreign(self._facts.item(version, stored, False), subject)

    def _tied(self, row: Row, tie: Tie) -> Row | None:
        """The row for any resource of the same exchange, version and interaction with another tie, if there is one."""
        same = (row.exchange, row.version, row.interaction, ANY, tie)
        for other in self._policy.matrix.rows:
            if (other.exchange, other.version, other.interaction, other.type, other.tie) == same:
                return other
        return None

    def read_types(self, row: Row) -> frozenset[str]:
        """The types that reads of the exchange of `row` give; `ANY` stands among them when they give all."""
        return frozenset(
            one.type
            for one in self._policy.matrix.rows
            if (one.exchange, one.version, one.interaction) == (row.exchange, row.version, "read")
        )

    async def _resource(self, asked: Interaction) -> tuple[Stored, Stored | None, Item]:
        """The resource that is asked, with the patient it belongs to, in one question to the source."""
        try:
            stored, whose = await self._service.source.read_with_patient(asked.version, asked.type, asked.id)
        except (NotFound, Gone) as absent:
            raise Refused("not-here") from absent
        return stored, whose, self._facts.item(asked.version, stored, True)

    # -- the patient ---------------------------------------------------------------------------------------

    def disclosure(self, exchange: str) -> Disclosure:
        """What the searches of an exchange release."""
        if exchange not in self._disclosures:
            self._disclosures[exchange] = Disclosure(self._service, self._policy.searches(exchange))
        return self._disclosures[exchange]

    def given_beside(self, target: Target, grant: Grant) -> Callable[[Row], bool]:
        """Whether a row of the exchange may be had beside a search: its Tasks list it, when there are any, and each
        ground that suffices for the search suffices for the row."""
        assert target.subject is not None
        version, bsn = target.interaction.version, target.subject.bsn
        listed: set[str] = set()

        def given(row: Row) -> bool:
            if target.tasks and not listed:
                listed.update(one.id for task in target.tasks for one in self._listed(grant, version, task))
            if target.tasks and row.id not in listed:
                return False
            return self._grounds(grant, target.row, bsn) <= self._grounds(grant, row, bsn)

        return given

    def _deciding(self, grant: Grant, rows: Sequence[Row], bsn: str) -> Row:
        """Of the rows that together release a resource: the one for which no ground suffices that does not suffice for
        all of them, so that what is decided on it holds for each. Raises `Refused` when there is none."""
        if len(rows) == 1:
            return rows[0]
        kinds = [self._grounds(grant, row, bsn) for row in rows]
        for row, those in zip(rows, kinds, strict=True):
            if all(those <= others for others in kinds):
                return row
        raise Refused("ground-not-sufficient")

    def _grounds(self, grant: Grant, row: Row, bsn: str) -> frozenset[GroundKind]:
        """The kinds of ground that could suffice to give this requester what a row gives of a patient."""
        return self._policy.grounds(self.facts(grant, row, bsn))

    def facts(self, grant: Grant, row: Row, bsn: str) -> Facts:
        """What is known when a row is decided on. A token that states no purpose is for that of the exchange."""
        return Facts(
            row=row.id,
            requester=grant.requester,
            purpose=grant.purpose or self._policy.exchange(row.exchange).purpose,
            role=grant.user.role if grant.user else "",
            assurance=grant.assurance,
            facility_type=grant.facility_type,
            bound=bool(grant.jkt or grant.x5t),
            claims=grant.claims,
            patient=bsn,
        )

    def _patient_of(self, version: Version, stored: Stored) -> str:
        """The logical id of the patient a Task is for. Raises `Refused` when it names none of ours."""
        patient = self._facts.patient_of(self._facts.item(version, stored, True))
        if not patient:
            raise Refused("patient-unknown")
        return patient

    async def _bsn(self, version: Version, logical_id: str, known: Stored | None = None) -> str:
        """The BSN of a patient; `known` is a Patient that was just read, perhaps this one."""
        bsn = await self._facts.bsn_of(version, logical_id, known)
        if not bsn:
            raise Refused("patient-unknown")
        return bsn


def _asker(grant: Grant) -> Asker:
    return Asker(grant.requester, grant.authorization_base)
