"""What a FHIR API can stand on.

`Source` is the one interface through which every door, exchange and screen reads and writes. The own store is
one; a provider's existing FHIR server or a converter can be another. Nothing above knows which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from schakel.fhir.definitions import Version
from schakel.fhir.search import Query


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a resource. `body` is its canonical JSON, id and meta included; empty when `deleted`."""

    type: str
    id: str
    version: int
    updated: datetime
    body: bytes
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Included:
    """A resource that an include brought, and the keys (type/id) of the matches that refer to it or that it
    refers to."""

    stored: Stored
    via: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a search.

    `total` is None when it was not counted; `next_page` is the key and offset of what follows; `patients` are the
    ids of the patients that the search was limited to, None when the source does not say. `query` is the query
    that ran: for a later page the one the page was made by.
    """

    query: Query
    matches: tuple[Stored, ...]
    included: tuple[Included, ...] = ()
    total: int | None = None
    patients: frozenset[str] | None = None
    next_page: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """One change. A PUT to an id that is not there creates it. `if_match` is the version that must be current."""

    method: Literal["POST", "PUT", "DELETE"]
    type: str
    id: str
    resource: dict[str, Any] | None = None
    if_match: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a change; `created` is False when nothing was there to delete."""

    stored: Stored
    created: bool


class Source(Protocol):
    """Resources of one organisation."""

    async def read(self, version: Version, kind: str, logical_id: str) -> Stored:
        """The current version. Raises `NotFound` and `Gone`."""
        ...

    async def read_with_patient(
        self, version: Version, kind: str, logical_id: str
    ) -> tuple[Stored, Stored | None]:
        """The current version, and the one Patient it belongs to, itself when it is one; None when there is no
        such Patient here. Both are of one moment. Raises `NotFound` and `Gone`."""
        ...

    async def read_version(self, version: Version, kind: str, logical_id: str, number: int) -> Stored:
        """A given version. Raises `NotFound` and `Gone`."""
        ...

    async def search(self, version: Version, query: Query, caller: str | None) -> Found:
        """A page of matches with what they include; `caller` binds the pages that follow, None wants none."""
        ...

    async def page_query(self, version: Version, key: str, kind: str, caller: str) -> Query:
        """The query that made a remembered page. Raises `Gone`."""
        ...

    async def write(self, version: Version, writes: Sequence[Write]) -> list[Written]:
        """All changes or none, in one transaction."""
        ...

    async def purge(self, version: Version, patient: str, requester: str, reason: str) -> int:
        """Erases a patient and everything that belongs to this patient alone; the number of resources."""
        ...
