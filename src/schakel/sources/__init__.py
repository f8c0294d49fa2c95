"""What a FHIR API can stand on.

`Source` is the one interface through which every door, exchange and screen reads and writes. The own store is
one; a provider's existing FHIR server or a converter can be another. Nothing above knows which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from schakel.fhir.definitions import Definitions, Version
from schakel.fhir.json import Resource
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


Method = Literal["POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class Write:
    """One change. A PUT to an id that is not there creates it; a PATCH needs a resource that is there, and
    `patch` turns it into the next one (it may be called again, and raises an `Outcome` to refuse).

    `if_match` is the version that must be current; `if_absent` lets only a resource be written that is not there.
    With `criteria` the change is conditional: which resource it is about is searched in the same transaction, and
    `id` is then the one that a new resource gets. `own_id` says that the caller chose that id. `multiple` lets a
    conditional DELETE take all matches, at most that many; 0 for one alone.
    """

    method: Method
    type: str
    id: str
    resource: Resource | None = None
    if_match: int | None = None
    if_absent: bool = False
    patch: Callable[[Resource], Resource] | None = None
    criteria: Query | None = None
    own_id: bool = False
    multiple: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a change. `created` is True when a resource is there that was not; `changed` is False when
    there was nothing to delete, or a conditional create found its resource. `job` is the address of the work that
    goes on after it."""

    stored: Stored
    created: bool
    changed: bool = True
    job: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A conditional reference: `query` must find exactly one resource. `place` is that of the write it is in."""

    query: Query
    place: int


Linker = Callable[[int, Resource], Resource]
"""The resource of the write at a place, with its references to the other writes and to what was looked up."""

Settle = Callable[[Sequence[str], Sequence[int], Sequence[str]], Linker]
"""From the ids of the writes and the versions they will have, and the ids of what was looked up, to the function that
puts them into the resources. Pure: a transaction that is tried again calls it again."""


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which versions are asked: of one resource (`type`, `id`), of a type, or of all.

    `since` and `at` (first moment, first moment after) are those of the specification; `cursor` is the
    `next_page` of an earlier answer. `count` 0 asks the number of versions alone.
    """

    type: str = ""
    id: str = ""
    since: datetime | None = None
    at: tuple[datetime, datetime] | None = None
    count: int | None = None
    oldest_first: bool = False
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A version in a history: how it came about, and whether the resource was not there before."""

    stored: Stored
    method: Method
    created: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """One page of a history. `settled` is a moment before which no change can appear any more that is not in the
    history yet; `total` is None when it was not counted."""

    changes: tuple[Change, ...]
    settled: datetime
    total: int | None = None
    next_page: str = ""


class Source(Protocol):
    """Resources of one organisation."""

    def definitions(self, version: Version) -> Definitions:
        """The definitions by which its own EHR searches: those of the version, and search parameters of its own."""
        ...

    async def read(self, version: Version, kind: str, logical_id: str) -> Stored:
        """The current version. Raises `NotFound` and `Gone`."""
        ...

    async def read_many(
        self, version: Version, keys: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Stored]:
        """The current versions of those (type, id) that are here and were not deleted."""
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

    async def write(
        self,
        version: Version,
        writes: Sequence[Write],
        lookups: Sequence[Lookup] = (),
        settle: Settle | None = None,
    ) -> list[Written]:
        """All changes or none, in one transaction; `settle` gets the ids of the writes and of the lookups before
        anything is written.

        Raises `PreconditionFailed`, `Invalid`, `NotFound`, `Gone`, what a `patch` raises, with `place` set to that
        of the write it is about; `Conflict` and `Busy`.
        """
        ...

    async def history(self, version: Version, query: HistoryQuery) -> Changes:
        """A page of versions, newest first unless the query says else, in the order in which they were committed.

        A page of a type or of all holds only what no change can still come before. Raises `NotFound` when the
        resource never was, and `Invalid` for a cursor that is none.
        """
        ...

    async def refers(
        self,
        version: Version,
        patients: frozenset[str],
        types: frozenset[str],
        target: tuple[str, str],
    ) -> bool:
        """Whether the record of these patients (logical ids) leads to `target` (type, id): a reference from one of
        these types, or one more or two by way of resources that belong to no patient."""
        ...

    async def labels(self, version: Version, kind: str = "") -> Resource:
        """A `Meta` with the profiles, tags and security labels in use, on one type or on all."""
        ...

    async def purge(self, version: Version, patient: str, requester: str, reason: str) -> int:
        """Erases a patient and everything that belongs to this patient alone; the number of resources."""
        ...
