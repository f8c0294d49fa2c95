"""What becomes of a change that a source tells: which of two versions is the newer, what is fit to be kept, and the
transaction that keeps it. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from schakel.fhir.json import Resource, dump
from schakel.generic.addressing.copying import TYPES, Copied, Problem, copy, is_id, local_id, shown
from schakel.generic.addressing.ledger import Finding, Source
from schakel.sources import Write


@dataclass(frozen=True, slots=True)
class Change:
    """What a source says of a resource: what it is now, or that it is deleted (`resource` is None). `version` and
    `updated` are what the source says of that version, '' and None when it says nothing.

    With `noted` the resource is not to be kept here, only known; `called` is then what is remembered of it. With
    `refused` a rule forbids to take it from this source: what was taken before goes, also when `resource` is not given.
    """

    type: str
    id: str
    resource: Resource | None
    version: str = ""
    updated: datetime | None = None
    noted: bool = False
    called: str = ""
    refused: Problem | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """How many resources were made, changed, left as they were, ended (deleted or switched off) and not taken."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    ended: int = 0
    refused: int = 0

    def __add__(self, other: Applied) -> Applied:
        return Applied(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.ended + other.ended,
            self.refused + other.refused,
        )

    @property
    def changed(self) -> bool:
        """Whether the query directory is not what it was."""
        return bool(self.created or self.updated or self.ended)


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource of a source, as migration 0013 says."""

    type: str
    remote: str
    id: str
    state: str
    version: str
    updated: datetime | None
    hash: bytes
    ura: str
    owner: str
    links: str
    called: str
    seen: int

    @property
    def here(self) -> bool:
        """Whether it is in the query directory."""
        return self.state in ("live", "off")


@dataclass
class Batch:
    """A transaction in the making; writes by type and id here, rows by type and id there."""

    writes: dict[tuple[str, str], Write] = field(default_factory=dict)
    rows: dict[tuple[str, str], Entry] = field(default_factory=dict)
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)
    good: set[tuple[str, str]] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def found(self, kind: str, remote: str, problem: Problem) -> None:
        self.good.discard((kind, remote))
        self.findings[kind, remote, problem.code] = Finding(kind, remote, problem.code, problem.sentence)


def fit(change: Change) -> bool:
    """Whether it is about a resource of a type that is taken at all, with an id."""
    return change.type in TYPES and is_id(change.id)


def add(batch: Batch, source: Source, change: Change, known: dict[tuple[str, str], Entry]) -> None:
    """Puts one change into the transaction; `known` is kept up, as a later change may be of the same resource."""
    kind, remote = change.type, change.id
    if not fit(change):
        sentence = "no resource of a type that is taken from directories, or one without id"
        batch.found(shown(kind, 64), shown(remote, 256), Problem("resource-unknown", sentence))
        batch.count("refused")
        return
    entry = known.get((kind, remote))
    if entry is not None and _older(change, entry):
        batch.count("unchanged")
        _met(batch, source, entry, known)
        return
    logical_id = local_id(source.key, kind, remote)
    if change.resource is None and change.refused is not None:
        _withdrawn(batch, change.refused, entry, known)
        return
    if change.resource is None:
        _gone(batch, source, change, entry, logical_id, known)
        return
    copied = copy(source.base, source.key, kind, remote, change.resource)
    problem = change.refused or copied.problem
    batch.good.add((kind, remote))
    state = "refused" if problem else "noted" if change.noted else copied.state
    digest = b""
    if problem is not None:
        batch.found(kind, remote, problem)
        batch.count("refused")
        keep = problem is not change.refused and problem.code not in _FINAL and copied.state == "live"
        if keep and entry is not None:
            # The version before it stays, and it stays known that this one was not taken.
            _met(batch, source, entry, known)
            return
        if entry is None and problem is not change.refused:
            return
    if state in ("live", "off"):
        digest = hashlib.sha256(dump(copied.resource)).digest()
        same = entry is not None and entry.here and entry.hash == digest
        if not same:
            batch.writes[kind, logical_id] = Write("PUT", kind, logical_id, copied.resource)
        ended = entry is not None and entry.state == "live" and state == "off"
        new = entry is None or not entry.here
        batch.count("unchanged" if same else "ended" if ended else "created" if new else "updated")
    elif entry is not None and entry.here:
        batch.writes[kind, logical_id] = Write("DELETE", kind, logical_id)
        batch.count("ended")
    _put(batch, known, _row(source, change, entry, logical_id, state, digest, copied))


_FINAL = frozenset({"ura-many"})
"""What is wrong with an organisation itself: then the version before is no longer believed either."""


def _gone(
    batch: Batch,
    source: Source,
    change: Change,
    entry: Entry | None,
    logical_id: str,
    known: dict[tuple[str, str], Entry],
) -> None:
    """The source deleted it. One that was never seen is remembered as well: an older version may come late."""
    batch.good.add((change.type, change.id))
    if entry is not None and entry.here:
        batch.writes[change.type, logical_id] = Write("DELETE", change.type, logical_id)
        batch.count("ended")
    else:
        batch.count("unchanged")
    _put(batch, known, _row(source, change, entry, logical_id, "gone", b"", None))


def _withdrawn(
    batch: Batch, problem: Problem, entry: Entry | None, known: dict[tuple[str, str], Entry]
) -> None:
    """What was taken before may not be kept any more."""
    if entry is not None and entry.here:
        batch.found(entry.type, entry.remote, problem)
        batch.writes[entry.type, entry.id] = Write("DELETE", entry.type, entry.id)
        batch.count("ended")
        _put(batch, known, replace(entry, state="refused", hash=b""))


def _row(
    source: Source,
    change: Change,
    entry: Entry | None,
    logical_id: str,
    state: str,
    digest: bytes,
    copied: Copied | None,
) -> Entry:
    """Of a version of which the source does not say which it is, the one before it is remembered."""
    version, updated = change.version, change.updated
    if not version and updated is None and entry is not None:
        version, updated = entry.version, entry.updated
    if state == "noted" and copied is not None and copied.state == "off":
        state = "gone"
    return Entry(
        change.type,
        change.id,
        logical_id,
        state,
        version,
        updated,
        digest,
        copied.ura if copied else "",
        copied.owner if copied else "",
        " ".join(copied.links) if copied else "",
        change.called if copied else "",
        source.whole or (entry.seen if entry else 0),
    )


def _put(batch: Batch, known: dict[tuple[str, str], Entry], entry: Entry) -> None:
    batch.rows[entry.type, entry.remote] = known[entry.type, entry.remote] = entry


def _met(batch: Batch, source: Source, entry: Entry, known: dict[tuple[str, str], Entry]) -> None:
    """It stays as it is, and is still there."""
    if source.whole and entry.seen < source.whole:
        _put(batch, known, replace(entry, seen=source.whole))


def _older(change: Change, entry: Entry) -> bool:
    return age(change, entry.version, entry.updated, gone=entry.state == "gone") < 0


def age(change: Change, version: str, updated: datetime | None, *, gone: bool = False) -> int:
    """Whether a change is of a version before (-1) or after (1) this one, or nobody can tell (0). The numbers of the
    versions say so, the times where these are no numbers or the same. Where one of the two is a deletion (`gone`) the
    times come first: what is made again may count anew."""
    number = _sign(_number(change.version), _number(version))
    time = _sign(change.updated, updated)
    return (time or number) if gone or change.resource is None else (number or time)


def _number(version: str) -> int | None:
    return int(version) if version.isascii() and version.isdigit() and len(version) < 19 else None


def _sign(new: Any, old: Any) -> int:
    """-1, 0 or 1; 0 when one of the two is not known."""
    return 0 if new is None or old is None else (new > old) - (new < old)
