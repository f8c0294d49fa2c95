"""Many directories, found in a root directory (generation A of the generic functions).

    root: organisations and endpoints -> endpoints for directories -> one source for each, with the URA of who has it
    each of those: what changed -> may it say so -> the name that the root gives -> the replica

Of the root itself only the endpoints of directories are kept; the rest is noted, so that an endpoint finds its
organisation whichever of the two changed. Sources: Care Services of the generic functions (NutsIG), update client.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog

from schakel.facilities import origin
from schakel.generic.addressing.copying import TYPES, copy, local_id, shown
from schakel.generic.addressing.ledger import Cursor, Finding, Source
from schakel.generic.addressing.replica import Applied, Change, Entry, Replica
from schakel.generic.addressing.sync.authority import Known, refused
from schakel.generic.addressing.sync.central import CentralFeeder
from schakel.generic.addressing.sync.feeder import History, OpenRemote, history_since
from schakel.generic.addressing.sync.pages import Remote, SourceTrouble

DIRECTORY = "http://nuts-foundation.github.io/nl-generic-functions-ig/CapabilityStatement/nl-gf-admin-directory-update-client"
"""`payloadType` of an endpoint that is a provider's own directory."""

ADMINISTRATION = "administration"
_ROOT_TYPES = ("Organization", "Endpoint")
_OPTIONAL = frozenset(
    {"OrganizationAffiliation", "PractitionerRole", "Practitioner", "Location", "HealthcareService"}
)
_log = structlog.get_logger("schakel.addressing")


@dataclass(frozen=True, slots=True)
class Found:
    """A directory that a root names: of whom it is, what the root calls them, and where it is."""

    ura: str
    called: str
    base: str


class RootFeeder(CentralFeeder):
    """The root directory at `base`, and the directories it names. `ours` are our own addresses: a directory below one
    of them is not followed, as what it says is here already."""

    kind = "distributed"

    def __init__(
        self, name: str, base: str, open_remote: OpenRemote, interval: timedelta, ours: Sequence[str] = ()
    ) -> None:
        super().__init__(name, base, open_remote, interval, _ROOT_TYPES)
        self._ours = tuple(f"{one.rstrip('/')}/".lower() for one in ours)

    async def run(self, replica: Replica, source: Source) -> Applied:
        """As `Feeder.run`; then follows what the root names, and no longer what it does not name any more."""
        applied = await super().run(replica, source)
        named: dict[str, Source] = {}
        for one in _directories(await replica.entries(source.name)):
            if f"{one.base}/".lower().startswith(self._ours):
                _log.info("directory-is-ours", source=source.name, ura=one.ura)
            elif not self._fit(one.base):
                sentence = (
                    f"the directory of URA {one.ura} at {one.base[:200]} is not followed: https is needed"
                )
                await replica.ledger.note(source.name, [Finding("", one.ura, "directory-address", sentence)])
            else:
                name = f"{source.name} {one.ura} {one.base}"
                named[name] = Source(name, ADMINISTRATION, one.base, source.name, one.ura, one.called)
        for known in await replica.ledger.sources():
            if known.parent == source.name and known.name not in named:
                applied += await replica.leave(known.name)
        for one_source in named.values():
            await replica.ledger.follow(one_source)
        return applied

    def _fit(self, base: str) -> bool:
        """Plain http only where the root itself is asked so."""
        scheme, host, _ = origin(base)
        return bool(host) and scheme in {"https", origin(self.base)[0]}

    def taken(self, change: Change) -> Change:
        """Endpoints of directories are kept; of the rest no more than what leads to them."""
        resource = change.resource
        if resource is None:
            return change
        if change.type == "Endpoint" and _is_directory(resource):
            return replace(change, called=shown(resource.get("address", ""), 2000).rstrip("/"))
        return replace(change, noted=True, called=shown(resource.get("name", ""), 500))

    def child(self, source: Source) -> AdministrationFeeder:
        """What follows a directory that this root named."""
        return AdministrationFeeder(source, self._open, self.interval)


class AdministrationFeeder:
    """A provider's own directory, found in a root. Implements `Feeder`."""

    kind = ADMINISTRATION

    def __init__(self, source: Source, open_remote: OpenRemote, interval: timedelta) -> None:
        self.name = source.name
        self.base = source.base
        self.interval = interval
        self._open = open_remote

    async def run(self, replica: Replica, source: Source) -> Applied:
        """As `Feeder.run`. When an organisation has another URA than before, or something may be taken now that could
        not be before and did not change itself, all is read again at once."""
        cursors = await replica.ledger.cursors(source.name)
        changes: list[Change] = []
        moments: list[Cursor] = []
        async with self._open(self.base) as remote:
            for kind in TYPES:
                since = cursors.get(kind, Cursor(kind)).since
                if (found := await self._changed(replica, source, remote, kind, since)) is not None:
                    changes += found.changes
                    moments.append(Cursor(kind, "in-step", found.moment))
        judged = _judged(source, await replica.entries(source.name), changes)
        applied = await replica.apply(source, [*judged.changes, *judged.withdrawn], moments)
        if source.whole:
            for kind in TYPES:
                applied += await replica.sweep(source, kind)
        elif judged.again:
            await replica.ledger.whole(source.name)
        return applied

    async def _changed(
        self, replica: Replica, source: Source, remote: Remote, kind: str, since: str
    ) -> History | None:
        """What changed of a type; None when the directory does not have that type, which is written down."""
        try:
            return await history_since(replica, source, remote, kind, since)
        except SourceTrouble as trouble:
            if kind not in _OPTIONAL or not trouble.absent:
                raise
            finding = Finding("", kind, "type-absent", f"the directory has no history of {kind}")
            await replica.ledger.note(source.name, [finding])
            return None


@dataclass(frozen=True, slots=True)
class _Judged:
    """The changes with what is refused of them, what was taken and may not stay, and whether all is read again."""

    changes: list[Change]
    withdrawn: list[Change]
    again: bool


def _judged(source: Source, entries: Sequence[Entry], changes: Sequence[Change]) -> _Judged:
    stored = {(one.type, one.id): one for one in entries}
    known = {
        key: Known(one.type, one.id, one.ura, one.owner, tuple(one.links.split()))
        for key, one in stored.items()
        if one.state != "gone"
    }
    keys: list[tuple[str, str]] = []
    moved = False
    for change in changes:
        key = change.type, local_id(source.key, change.type, change.id)
        keys.append(key)
        if change.resource is None:
            known.pop(key, None)
            continue
        copied = copy(source.base, source.key, change.type, change.id, deepcopy(change.resource))
        if copied.problem is None:
            known[key] = Known(*key, copied.ura, copied.owner, copied.links)
            before = stored.get(key)
            moved = moved or (before is not None and before.state != "gone" and before.ura != copied.ura)
    problems = refused(list(known.values()), source.authority)
    changed = set(keys)
    out = [
        _named(source, replace(c, refused=problems.get(key))) for key, c in zip(keys, changes, strict=True)
    ]
    withdrawn = [
        Change(one.type, one.remote, None, refused=problems[key])
        for key, one in stored.items()
        if one.here and key in problems and key not in changed
    ]
    allowed = any(
        one.state == "refused" and key in known and key not in problems and key not in changed
        for key, one in stored.items()
    )
    return _Judged(out, withdrawn, moved or allowed)


def _named(source: Source, change: Change) -> Change:
    """The root says what the organisation itself is called."""
    resource = change.resource
    if resource is None or change.type != "Organization" or not source.called or change.refused is not None:
        return change
    numbers = [
        one.get("value")
        for one in _objects(resource.get("identifier"))
        if "ura" in str(one.get("system", ""))
    ]
    if any(str(number).zfill(8) == source.authority for number in numbers):
        return replace(change, resource={**resource, "name": source.called})
    return change


def _directories(entries: Sequence[Entry]) -> list[Found]:
    """The directories that active organisations of a root have, each once."""
    endpoints = {
        one.id: one.called for one in entries if one.type == "Endpoint" and one.state == "live" and one.called
    }
    found: dict[tuple[str, str], Found] = {}
    for one in entries:
        if one.type == "Organization" and one.state == "noted" and one.ura:
            for link in one.links.split():
                if base := endpoints.get(link):
                    found.setdefault((one.ura, base), Found(one.ura, one.called, base))
    return list(found.values())


def _is_directory(resource: dict[str, Any]) -> bool:
    return any(
        coding.get("code") == DIRECTORY
        for kind in _objects(resource.get("payloadType"))
        for coding in _objects(kind.get("coding"))
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
