"""The matrix at work: which row accepts a request, which grounds could suffice, and may it be.

`Policy` is made once per organisation and does no input or output. Its text is the whole matrix: with the same text,
facts and ground it says the same, later and elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import cached_property, lru_cache

import cedarpy
import orjson

from schakel.fhir.definitions import Version
from schakel.fhir.search import Query
from schakel.fhir.subsets import WHOLE
from schakel.generic.authorisation import cedar
from schakel.generic.authorisation.conditions import (
    claim_fault,
    claim_of,
    facility_group,
    faults,
    level_of,
)
from schakel.generic.authorisation.deliveries import Delivery, accepting, parameters
from schakel.generic.authorisation.forms import accounted, judge
from schakel.generic.authorisation.loading import bundled, read, written
from schakel.generic.authorisation.model import (
    ANY,
    Exchange,
    Facts,
    GroundKind,
    InteractionKind,
    Judgement,
    Matrix,
    PatientNamed,
    Permit,
    Row,
    Verdict,
)
from schakel.generic.authorisation.possible import possible
from schakel.generic.authorisation.reasons import REASONS
from schakel.kernel.outcomes import Forbidden, NotAllowed
from schakel.server import Interaction, Possible

_METHODS: dict[InteractionKind, str] = {
    "search": "GET",
    "read": "GET",
    "operation": "GET",
    "create": "POST",
    "update": "PUT",
    "notification": "POST",
    "transaction": "POST",
}


_MOST_ANSWERS = 4096


class Policy:
    """A compiled matrix. Raises `Invalid` when it is made from one that cannot be."""

    def __init__(self, matrix: Matrix | None = None) -> None:
        self.matrix = bundled() if matrix is None else matrix
        self._rows = {row.id: row for row in self.matrix.rows}
        self._exchanges = {exchange.id: exchange for exchange in self.matrix.exchanges}
        self._permits = {
            exchange: tuple(p for p in self.matrix.permits if p.exchange == exchange)
            for exchange in self._exchanges
        }
        self._index: dict[tuple[str, Version, InteractionKind, str], list[Row]] = {}
        for row in self.matrix.rows:
            self._index.setdefault((row.exchange, row.version, row.interaction, row.type), []).append(row)
        self._searches: dict[tuple[str, Version | None], tuple[Row, ...]] = {}
        self._possible: dict[Version, tuple[Possible, ...]] = {}
        self._kinds = {
            e: {r.interaction for r in self.matrix.rows if r.exchange == e} for e in self._exchanges
        }
        self._cedar: dict[str, cedarpy.PolicySet] = {}
        for exchange, permits in self._permits.items():
            text = cedar.policies(permits, self.matrix)
            cedar.check(text)
            self._cedar[exchange] = cedarpy.PolicySet.from_str(text)
        self._entities = cedarpy.Entities.from_json_str(cedar.entities(self.matrix), cedar.schema())
        self._asked = lru_cache(_MOST_ANSWERS)(self._ask_cedar)

    def forget(self) -> None:
        """Forgets what Cedar answered, so that it is asked anew (for measuring)."""
        self._asked.cache_clear()

    @classmethod
    def from_text(cls, text: str) -> Policy:
        """The policy of which this is the text. Raises `Invalid`."""
        return cls(read(text))

    @cached_property
    def text(self) -> str:
        """The whole matrix, written in one way only."""
        return written(self.matrix)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    # -- what there is ---------------------------------------------------------------------------------------

    def row(self, row_id: str) -> Row | None:
        """The row with this id."""
        return self._rows.get(row_id)

    def exchange(self, exchange_id: str) -> Exchange:
        """The exchange with this id, which a row names."""
        return self._exchanges[exchange_id]

    def searches(self, exchange: str = "", version: Version | None = None) -> tuple[Row, ...]:
        """The rows of searches, of one exchange and one FHIR version or of all."""
        found = self._searches.get((exchange, version))
        if found is None:
            found = self._searches[exchange, version] = tuple(
                row
                for row in self.matrix.rows
                if row.interaction == "search"
                and exchange in ("", row.exchange)
                and version in (None, row.version)
            )
        return found

    def types(self, version: Version) -> frozenset[str]:
        """The resource types that some row of this FHIR version names."""
        return self.matrix.types(version)

    def possible(self, version: Version) -> tuple[Possible, ...]:
        """What may at most be done with each type of a FHIR version, whoever asks."""
        found = self._possible.get(version)
        if found is None:
            found = self._possible[version] = possible(self.matrix, version)
        return found

    @cached_property
    def scopes(self) -> frozenset[str]:
        """Every scope that opens an exchange."""
        return frozenset().union(*(exchange.scopes for exchange in self.matrix.exchanges))

    def opened(self, scopes: Collection[str]) -> tuple[Exchange, ...]:
        """The exchanges that a token with these scopes opens, in the order of the matrix."""
        return tuple(e for e in self.matrix.exchanges if not e.scopes.isdisjoint(scopes))

    # -- the request -----------------------------------------------------------------------------------------

    def judge(
        self, scopes: Collection[str], interaction: Interaction, delivery: Delivery | None = None
    ) -> Judgement:
        """The one row that accepts a parsed request under these scopes, and the patient it names. When several
        exchanges accept it, the first in the order of the matrix counts; a row for its type counts before those for any
        type, so that what one exchange gives in general never hides what another gives of this type. `delivery` is what
        a transaction brings; it is looked into when some row takes a transaction.

        Raises `Forbidden` (`scope-missing`, `form-not-allowed`, `patient-not-named`), `NotAllowed`
        (`interaction-not-allowed`) and `Invalid` for a BSN that is none.
        """
        opened = self.opened(scopes)
        if not opened:
            raise Forbidden(
                "the token's scope opens no exchange of this door; its exchanges are "
                + ", ".join(sorted(min(e.scopes, key=_first) for e in self.matrix.exchanges)),
                code="scope-missing",
            )
        kind = _kind(interaction)
        kinds = {kind for exchange in opened for kind in self._kinds[exchange.id]}
        if kind is None or kind not in kinds:
            raise NotAllowed(
                f"{interaction.kind} is not possible here: the exchange has {', '.join(sorted(kinds))}",
                code="interaction-not-allowed",
                headers={"Allow": ", ".join(sorted({_METHODS[k] for k in kinds}))},
            )
        refused: Forbidden | None = None
        types = (interaction.type, ANY) if interaction.type else (interaction.type,)
        for exchange, type_name in [(one, name) for name in types for one in opened]:
            try:
                return self._judged(exchange, kind, type_name, interaction, delivery)
            except Forbidden as outcome:
                refused = refused or outcome
        assert refused is not None
        raise refused

    def _judged(
        self,
        exchange: Exchange,
        kind: InteractionKind,
        type_name: str,
        asked: Interaction,
        delivery: Delivery | None,
    ) -> Judgement:
        rows = self._index.get((exchange.id, asked.version, kind, type_name), ())
        if kind == "search":
            assert asked.query is not None
            return judge(asked.version, asked.query, rows)
        if kind == "transaction" and rows:
            assert delivery is not None
            row = accepting(rows, delivery.brought(parameters(rows)))
            return Judgement(row, PatientNamed(bsn=delivery.bsn))
        for row in rows:
            if _accepts(row, asked):
                return Judgement(row, PatientNamed())
        raise Forbidden(
            f"this {kind} of {asked.type or 'the base'} is none of the forms that the exchange {exchange.id} allows",
            code="form-not-allowed",
        )

    # -- the decision ----------------------------------------------------------------------------------------

    def grounds(self, facts: Facts) -> frozenset[GroundKind]:
        """The kinds of ground that could suffice: those of permits of which every other condition is met."""
        row = self._decidable(facts)
        if row is None:
            return frozenset()
        said = self._with_purpose(facts, row)
        return frozenset(
            kind
            for permit in self._permits[row.exchange]
            if all(member == "grounds" for member, _ in faults(permit, row, said, "", self.matrix))
            for kind in permit.grounds
        )

    def decide(self, facts: Facts, ground: GroundKind | None) -> Verdict:
        """Whether these facts are permitted on this ground (None: there is none). Never raises for what is refused."""
        row = self._decidable(facts)
        if row is None:
            return Verdict(False, "", "form-not-allowed", REASONS["form-not-allowed"])
        said = self._with_purpose(facts, row)
        permitting = self._permitting(row, said, ground or "")
        for permit in self._permits[row.exchange]:
            if permit.id in permitting:
                return Verdict(True, permit.id, "", _why(permit, row, ground or ""), row.link)
        return self._refused(row, said, ground or "")

    def _decidable(self, facts: Facts) -> Row | None:
        row = self._rows.get(facts.row)
        return row if row is not None and cedar.decidable(row) else None

    def _with_purpose(self, facts: Facts, row: Row) -> Facts:
        """The facts with the purpose for which the exchange stands when the token states none."""
        if facts.purpose:
            return facts
        return Facts(
            facts.row,
            facts.requester,
            self._exchanges[row.exchange].purpose,
            facts.role,
            facts.assurance,
            facts.facility_type,
            facts.bound,
            facts.claims,
            facts.patient,
        )

    def _permitting(self, row: Row, facts: Facts, ground: str) -> Collection[str]:
        """The ids of the permits that Cedar says permit this."""
        context = {
            "purpose": facts.purpose,
            "ground": ground,
            "role": facts.role,
            "role_group": facts.role[:2],
            "facility": facts.facility_type,
            "facility_group": facility_group(facts.facility_type, self.matrix),
            "assurance": level_of(facts.assurance, self.matrix),
            "bound": facts.bound,
            "claims": [
                claim_of(name, rule, permit)
                for permit in self._permits[row.exchange]
                for name, rule in permit.claims.items()
                if not claim_fault(name, rule, permit, facts)
            ],
        }
        return self._asked(row.id, orjson.dumps(context).decode())

    def _ask_cedar(self, row_id: str, context: str) -> Collection[str]:
        """The answer of Cedar on a row with this context (JSON). It follows from these and the matrix alone, so that
        the same question need not be worked out twice."""
        row = self._rows[row_id]
        result = cedarpy.is_authorized(
            {
                "principal": cedar.PRINCIPAL,
                "action": {"type": "Action", "id": row.interaction},
                "resource": {"type": "Row", "id": row_id},
                "context": context,
            },
            self._cedar[row.exchange],
            self._entities,
        )
        if not result.allowed or result.diagnostics.errors:
            return ()
        return tuple(result.diagnostics.id_annotations_by_reason.values())

    def _refused(self, row: Row, facts: Facts, ground: str) -> Verdict:
        """The refusal, with the first condition that is not met of the permit that comes nearest: one for this data
        before others, then one for this ground, then one with fewer conditions unmet."""
        nearest: tuple[bool, bool, int] | None = None
        found: tuple[str, str, Permit] | None = None
        for permit in self._permits[row.exchange]:
            unmet = list(faults(permit, row, facts, ground, self.matrix))
            other_data = any(member == "categories" for member, _ in unmet)
            distance = (other_data, bool(ground) and ground not in permit.grounds, len(unmet))
            if nearest is None or distance < nearest:
                nearest, found = distance, (*unmet[0], permit)
        if found is None:
            return Verdict(
                False, "", "form-not-allowed", "nobody may have what this exchange gives", row.link
            )
        member, reason, permit = found
        text = f"{REASONS[reason]} (condition {member} of permit {permit.id}: {permit.source})"
        return Verdict(False, "", reason, text, row.link)


def _why(permit: Permit, row: Row, ground: str) -> str:
    what = row.category or row.type
    return f"permit {permit.id} allows {what} on ground {ground!r}: {permit.source}"


def _first(scope: str) -> tuple[bool, str]:
    """Sorts the usual spelling of a scope before the one with underscores."""
    return "_" in scope, scope


def _kind(interaction: Interaction) -> InteractionKind | None:
    """The kind of row that could accept an interaction; None when none could."""
    match interaction.kind:
        case "search" | "read" | "create" | "update" | "operation":
            return interaction.kind
        case "transaction":
            return "notification" if interaction.empty else "transaction"
    return None


def _accepts(row: Row, asked: Interaction) -> bool:
    """Whether the row accepts a request that is no search."""
    match row.interaction:
        case "read":
            return asked.subset == WHOLE
        case "operation":
            return asked.operation == row.operation and bool(asked.id) and not asked.given and asked.empty
        case "create":
            return _criteria(asked.criteria, row)
        case "update":
            return _criteria(asked.criteria, row) and not asked.if_absent
    return row.interaction == "notification"


def _criteria(criteria: Query | None, row: Row) -> bool:
    """Whether a write is conditional as its row says: on exactly these parameters, or on nothing."""
    if criteria is None:
        return not row.parameters and not row.optional
    bare = Query(criteria.type, conditions=criteria.conditions)
    return bool(criteria.conditions) and criteria == bare and accounted(criteria.conditions, row)
