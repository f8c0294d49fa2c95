"""Executes interactions on a source.

What is written is checked against the base definitions first (`fhir.structure`). With `write_check = "lenient"`
more elements than the maximum are kept whole and named in a warning, with `"incomplete"` elements may be missing too;
everything else is refused either way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from schakel.fhir import definitions, json, structure
from schakel.fhir.definitions import Definitions, Version
from schakel.fhir.json import Resource
from schakel.fhir.patch import PatchLimits
from schakel.fhir.search import QueryParser, SearchLimits, pairs_of
from schakel.fhir.subsets import Subset, is_subset, subset
from schakel.kernel.outcomes import Issue, Unprocessable
from schakel.server import answer, capabilities
from schakel.server.answer import Answer
from schakel.server.bundles import Bundles
from schakel.server.headers import handling, wanted_return
from schakel.server.history import history_bundle
from schakel.server.interaction import parse
from schakel.server.model import Interaction, Request
from schakel.server.offer import Offer
from schakel.server.operations import Call, operation_of
from schakel.server.reach import ReachLimits
from schakel.server.writing import Planned, answered, planned
from schakel.sources import Found, HistoryQuery, Source, Stored


@dataclass(frozen=True, slots=True)
class WriteRules:
    """How an organisation wants writes to be checked, and erasure and conditional deletes to be asked. `incomplete`
    takes, beside what `lenient` takes, resources in which a required element is missing."""

    write_check: Literal["strict", "lenient", "incomplete"] = "strict"
    erasure: Literal["off", "test"] = "off"
    max_entries: int = 5000
    max_depth: int = 64
    conditional_delete: Literal["single", "multiple"] = "single"
    patch: PatchLimits = field(default_factory=PatchLimits)


class FhirService:
    """The FHIR API of one organisation over its source; the same object serves every door.

    `limits` bound what a search may ask, `reach` what an operation gathers. `own_bases` are FHIR bases whose
    references are our own. With an `offer` it does that and no more.
    """

    def __init__(
        self,
        source: Source,
        rules: WriteRules,
        versions: tuple[Version, ...] = ("stu3",),
        limits: SearchLimits | None = None,
        own_bases: tuple[str, ...] = (),
        reach: ReachLimits | None = None,
        offer: Offer | None = None,
    ) -> None:
        self.source = source
        self.offer = offer
        self.own_bases = own_bases
        self.reach = reach or ReachLimits()
        self.rules = rules
        self.versions = versions
        self._limits = limits
        self._parsers = {v: QueryParser(definitions(v), limits) for v in versions}
        self._own_parsers: dict[Version, tuple[Definitions, QueryParser]] = {}

    def parser(self, version: Version) -> QueryParser:
        """The parser of a trusted caller's searches in a FHIR version: it knows the parameters that the organisation
        has of its own."""
        table = self.source.definitions(version)
        known = self._own_parsers.get(version)
        if known is None or known[0] is not table:
            known = self._own_parsers[version] = (table, QueryParser(table, self._limits))
        return known[1]

    def types(self, version: Version) -> frozenset[str]:
        """The resource types of a FHIR version."""
        return definitions(version).resource_types

    def parse(self, request: Request) -> Interaction:
        """The interaction that a request asks. What the standard does not know in a search is refused, whatever is
        preferred."""
        return self._offered(request, lambda asked: parse(asked, self._parsers[request.version]))

    def parse_trusted(self, request: Request) -> Interaction:
        """As `parse`, for a caller who may leave out what is not known in a search (`Prefer: handling=lenient`)."""
        parser, asked = self.parser(request.version), handling(request.headers)
        return self._offered(request, lambda given: parse(given, parser, handling=asked, trusted=True))

    def _offered(self, request: Request, parsed: Callable[[Request], Interaction]) -> Interaction:
        """The interaction that a request asks, held against the offer."""
        if self.offer is None:
            return parsed(request)
        interaction = parsed(self.offer.read(request))
        self.offer.check(interaction)
        return interaction

    async def answer(self, request: Request, base: str, caller: str) -> Answer:
        """Parses, executes and renders a request of a trusted caller (the internal door)."""
        return await self.execute(self.parse_trusted(request), request, base, caller)

    async def execute(
        self, interaction: Interaction, request: Request, base: str, caller: str, *, bare_id: bool = False
    ) -> Answer:
        """Executes and renders an interaction that was parsed from `request`; `bare_id` as in `planned`."""
        match interaction.kind:
            case "capabilities":
                offered, known = self.offer or self.rules, self.source.definitions(interaction.version)
                told = capabilities.statement(interaction.version, base, offered, known)
                return answer.capabilities(_part(told, interaction.version, interaction.subset))
            case "read" | "vread":
                stored = await self.read(interaction)
                return unchanged(interaction, stored) or answer.resource(
                    _shown(stored, interaction.version, interaction.subset)
                )
            case "history":
                return await self._history(interaction, request, base)
            case "search" | "search-compartment" | "search-system":
                followed = await self._followed_from(interaction)
                found = await self.search(interaction, caller)
                return self.render(base, interaction, found, followed)
            case "create" | "update" | "patch" | "delete":
                plan = self.planned(interaction, request, bare_id=bare_id)
                [written] = await self.source.write(interaction.version, [plan.write])
                return answered(interaction.version, base, plan, written, wanted_return(request.headers))
            case "transaction":
                return await Bundles(self, request, base, caller).answer(request)
            case "operation":
                asked = interaction
                operation = operation_of(asked.operation, asked.version, asked.type, asked.id)
                assert operation.run is not None, "one without is parsed as a search"
                return await operation.run(self, Call(request, interaction, base, caller))

    async def read(self, interaction: Interaction) -> Stored:
        """Executes a read or vread."""
        if interaction.kind == "vread":
            return await self.source.read_version(
                interaction.version, interaction.type, interaction.id, interaction.version_id
            )
        return await self.source.read(interaction.version, interaction.type, interaction.id)

    async def search(self, interaction: Interaction, caller: str) -> Found:
        """Executes a search or `$lastn`."""
        assert interaction.query is not None
        return await self.source.search(interaction.version, interaction.query, caller)

    async def _followed_from(self, interaction: Interaction) -> datetime | None:
        """For the first page of a search at a door that offers histories: the moment from which a history has all that
        is not in the answer. Whoever copies a directory goes on from it (ITI-90-NL, initial load)."""
        query = interaction.query
        if self.offer is None or "history-type" not in self.offer.interactions:
            return None
        if query is None or query.page is not None or not query.type:
            return None
        changes = await self.source.history(interaction.version, HistoryQuery(query.type, count=1))
        return changes.settled

    def render(
        self, base: str, interaction: Interaction, found: Found, followed: datetime | None = None
    ) -> Answer:
        """A search answer as a searchset Bundle; `followed` is its moment (see `answer.searchset`). `_elements` is not
        about what was included."""
        assert interaction.query is not None
        version, query = interaction.version, found.query
        asked, included = Subset(query.summary, query.elements), Subset(query.summary)
        if asked:
            found = replace(
                found,
                matches=tuple(_shown(stored, version, asked) for stored in found.matches),
                included=tuple(
                    replace(item, stored=_shown(item.stored, version, included)) for item in found.included
                ),
            )
        return Answer(200, answer.searchset(version, base, found, interaction.query, moment=followed))

    async def _history(self, interaction: Interaction, request: Request, base: str) -> Answer:
        assert interaction.history is not None
        changes = await self.source.history(interaction.version, interaction.history)
        if interaction.subset:
            shown = (
                replace(c, stored=_shown(c.stored, interaction.version, interaction.subset))
                for c in changes.changes
            )
            changes = replace(changes, changes=tuple(shown))
        pairs = pairs_of(request.query)
        return history_bundle(interaction.version, base, interaction.history, changes, pairs)

    # -- writing -------------------------------------------------------------------------------------------

    def checked(self, version: Version, resource: Resource) -> list[Issue]:
        """The warnings on a resource that may be written. Raises `Unprocessable` with every error found."""
        issues = structure.check(resource, definitions(version), lenient=self.rules.write_check != "strict")
        if self.rules.write_check == "incomplete":
            issues = [replace(one, severity="warning") if one.issue == "required" else one for one in issues]
        if isinstance(resource.get("meta"), list):
            where = f"{resource.get('resourceType')}.meta"
            issues.append(Issue("error", "structure", f"{where}: one meta is needed", where))
        if is_subset(resource):
            where = f"{resource.get('resourceType')}.meta.tag"
            issues.append(Issue("error", "business-rule", _PART_ONLY, where))
        if any(i.severity in ("error", "fatal") for i in issues):
            raise Unprocessable("the resource does not follow the base definitions of FHIR", issues=issues)
        return issues

    def planned(self, interaction: Interaction, request: Request, *, bare_id: bool = False) -> Planned:
        """The write that an interaction asks, checked; see `writing.planned`."""
        rules = self.rules
        return planned(
            interaction,
            request,
            self.checked,
            max_depth=rules.max_depth,
            patch_limits=rules.patch,
            most_deleted=rules.max_entries if rules.conditional_delete == "multiple" else 0,
            bare_id=bare_id,
        )


_PART_ONLY = (
    "the resource says that it is a part of one (tag SUBSETTED): written, it would take the place of the whole. Read "
    "it without _summary or _elements and change that; or leave the tag out when this is all there is"
)


def _part(body: bytes, version: Version, asked: Subset) -> bytes:
    """The part of a resource that is asked."""
    if not asked:
        return body
    return json.dump(subset(json.parse(body, max_depth=json.STORED_DEPTH), version, asked))


def _shown(stored: Stored, version: Version, asked: Subset) -> Stored:
    """A version as it is shown; of one that was deleted there is nothing."""
    return replace(stored, body=_part(stored.body, version, asked)) if asked and stored.body else stored


def unchanged(interaction: Interaction, stored: Stored) -> Answer | None:
    """304 when the reader has this version already, or it did not change since then."""
    since = interaction.if_modified_since
    same = bool({"*", str(stored.version)} & interaction.if_none_match)
    if same or (since is not None and stored.updated.replace(microsecond=0) <= since):
        return Answer(304, b"", answer.validators(stored), stored)
    return None
