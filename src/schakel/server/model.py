"""What passes between a door and the service: a request as it came in, and the interaction it asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.search import Pairs, Query
from schakel.fhir.subsets import WHOLE, Subset
from schakel.sources import HistoryQuery

Kind = Literal[
    "capabilities",
    "read",
    "vread",
    "history",
    "search",
    "search-compartment",
    "search-system",
    "create",
    "update",
    "patch",
    "delete",
    "transaction",
    "operation",
]
Return = Literal["", "minimal", "representation", "OperationOutcome"]
"""What a caller wants back of a write (`Prefer: return`); '' when it does not say."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a door received: `path` is relative to the FHIR base, without slashes at the ends; header names are
    in lower case; a HEAD comes as a GET. `resource` is there in place of `body` when it was parsed already."""

    version: Version
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""
    resource: Resource | None = None


@dataclass(frozen=True, slots=True)
class Interaction:
    """One FHIR interaction, parsed.

    `query` is there for searches, among them `$lastn`; `criteria` for a conditional create, update, patch or delete;
    `history` for a history; `version_id` for a vread; `operation` is its name, without the dollar. `if_match` is the
    version that must be current, `if_absent` says that nothing may be there. A read whose version is in
    `if_none_match` (`*` for any), or that did not change after `if_modified_since`, needs no answer. `mode` is that
    of the CapabilityStatement. `given` are the parameters of an operation in its address, and `empty` says of a POST on
    the base and of an operation that it came without a body. `subset` is how much is asked of what is read, or of each
    version in a history.
    """

    version: Version
    kind: Kind
    type: str = ""
    id: str = ""
    version_id: int = 0
    query: Query | None = None
    criteria: Query | None = None
    history: HistoryQuery | None = None
    operation: str = ""
    if_match: int | None = None
    if_absent: bool = False
    if_none_match: frozenset[str] = frozenset()
    if_modified_since: datetime | None = None
    mode: str = ""
    given: Pairs = ()
    empty: bool = False
    format: str = ""
    subset: Subset = WHOLE

    def __str__(self) -> str:
        """The interaction as one line, for the log of decisions."""
        text = f"{self.kind} {self.type}"
        if self.id:
            text += f"/{self.id}"
        return f"{text}?{self.query.self_link()}" if self.query else text
