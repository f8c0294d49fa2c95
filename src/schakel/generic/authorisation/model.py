"""The matrix as values: which requests an exchange accepts (`Row`), and who may have what and why (`Permit`).

They are read from TOML (`loading`), compiled (`policy.Policy`) and printed (docs/reference). Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schakel.fhir.definitions import Version

InteractionKind = Literal["search", "read", "operation", "create", "update", "notification", "transaction"]
"""What a row accepts. `notification` is a POST on the base without a body, `transaction` one with a Bundle that brings
what is new; a search is one by GET, POST or `$lastn`."""

Form = Literal["plain", "lastn", "latest"]
"""How a search is asked; `latest` is a plain search with `_sort=-date&_count=1`."""

Tie = Literal["", "released", "task", "task-input", "task-document"]
"""What a request is tied to beside its form.

"released": only a resource that a search row of the same exchange releases (or includes). A read may be tied so beside
another tie, which is looked at first.
"task": only the Task that our organisation made for the requester.
"task-input": only what an `input` of such a Task names (a query or a reference).
"task-document": only what a Composition that such an `input` names refers to.
"""

GroundKind = Literal["none", "recorded", "referral", "handover", "mitz", "acute", "break-glass", "patient"]
"""Why a patient's data may go out; `none` where no patient's data goes out (a notification that comes in)."""

UserRule = Literal["needed", "none", "any"]
"""Whether a professional must stand behind the request, must not (a system call), or may."""

ClaimRule = Literal["present", "patient", "role"]
"""What is asked of a claim: that it is there, that it names the patient by BSN (`system|BSN`), or that it is a role
code among the roles of the permit (`01.015` or `system|01.015`)."""

Value = Literal["one", "period"]
"""A parameter with a free value: `one` value, or a `period`: one moment, or two that bound it on both sides."""

ANY = "*"
"""Stands for every type in a tied read, and for every role, purpose or category in a permit."""


@dataclass(frozen=True, slots=True)
class Row:
    """One accepted request of one exchange in one FHIR version.

    `parameters` must be there with exactly these values (an OR set each), `includes` exactly too. `optional` parameters
    may be there, with any value of their kind; `may_include` and `may_iterate` are the other includes that may be
    asked, plain and with `:iterate`. `patients` are the parameters that may name the patient, of which a request has
    one, once (empty: it names none; one tied to the input of a Task may leave it out). `brings` are the resources of a
    transaction, as searches that find them (`deliveries`), `beside` the types that may come with these. `changes` are
    the members that an update may change, `statuses` which status may follow which. `category` says in plain words what
    data it gives, `source` and `link` where the row comes from. `number` is its place in the published list of
    requests, if any.
    """

    id: str
    exchange: str
    version: Version
    interaction: InteractionKind
    type: str
    category: str
    source: str
    title: str = ""
    number: int = 0
    link: str = ""
    operation: str = ""
    parameters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    optional: Mapping[str, Value] = field(default_factory=dict)
    includes: frozenset[str] = frozenset()
    may_include: frozenset[str] = frozenset()
    may_iterate: frozenset[str] = frozenset()
    provenance: bool = False
    forms: frozenset[Form] = frozenset({"plain"})
    patients: tuple[str, ...] = ()
    tie: Tie = ""
    brings: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    statuses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    responsible: str = ""
    reason: str = ""

    @property
    def patient(self) -> str:
        """The first parameter that may name the patient; '' when the request names none."""
        return self.patients[0] if self.patients else ""

    @property
    def types(self) -> frozenset[str]:
        """The resource types that it names: its own, or those that a transaction may bring."""
        brought = (text.partition("?")[0] for text in self.brings)
        return frozenset({self.type, *brought, *self.beside}) - {ANY, ""}

    @property
    def every_include(self) -> frozenset[str]:
        """All includes that a request of this row may ask from its matches."""
        return self.includes | self.may_include


@dataclass(frozen=True, slots=True)
class Permit:
    """Who may have which data of an exchange, why, and on which conditions. All of them must hold.

    `roles` are codes (`01.015`), groups (`01`) or `*`; they apply to the user, where there is one. `assurance` is the
    name of the least level of the user's authentication, '' for any. `facility_types` are codes or groups of the
    requester's type, empty for any, unproved too. `bound` asks for a token that is bound to a key or a certificate.
    `claims` are asked of the credentials.
    """

    id: str
    exchange: str
    roles: tuple[str, ...]
    purposes: tuple[str, ...]
    categories: tuple[str, ...]
    grounds: frozenset[GroundKind]
    source: str
    user: UserRule = "needed"
    assurance: str = ""
    facility_types: tuple[str, ...] = ()
    bound: bool = False
    claims: Mapping[str, ClaimRule] = field(default_factory=dict)
    link: str = ""
    responsible: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange: the scopes of a token that open it, and where it is specified. `purpose` is the purpose of use of a
    token that states none."""

    id: str
    title: str
    scopes: frozenset[str]
    purpose: str
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All that may be asked and had. `role_groups` and `facility_groups` are names of groups with what they hold;
    `assurances` are the URIs of each named level, from low to high."""

    exchanges: tuple[Exchange, ...]
    rows: tuple[Row, ...]
    permits: tuple[Permit, ...]
    role_groups: Mapping[str, str]
    facility_groups: Mapping[str, frozenset[str]]
    assurances: Mapping[str, frozenset[str]]

    def types(self, version: Version) -> frozenset[str]:
        """The resource types that some row of this FHIR version names."""
        return frozenset().union(*(row.types for row in self.rows if row.version == version))


@dataclass(frozen=True, slots=True)
class PatientNamed:
    """How a request names the patient: by BSN, or by the logical id at the holder; neither when it names none (then
    the row's tie says whose data it can be)."""

    bsn: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The one row that accepts a request, and the patient it names."""

    row: Row
    patient: PatientNamed


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a request when it is decided. `row` is the id of a row; of a read that is tied as "released",
    of the row that releases the resource.

    `requester` is a URA, `role` the user's role code, '' for a system call, `assurance` a URI or '', `facility_type` a
    code or '', `bound` whether the token is bound to a key or certificate, `claims` what credentials proved,
    `patient` a BSN, '' when no patient is at hand.
    """

    row: str
    requester: str
    purpose: str
    role: str = ""
    assurance: str = ""
    facility_type: str = ""
    bound: bool = False
    claims: Mapping[str, str] = field(default_factory=dict)
    patient: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is permitted. `rule` is the id of the permit that says so, '' when refused; `reason` a code of
    `reasons.REASONS`, '' when permitted; `explanation` one or two sentences for a person; `link` the specification."""

    permitted: bool
    rule: str
    reason: str
    explanation: str
    link: str = ""
