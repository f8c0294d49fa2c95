"""A file with a FHIR Bundle as a source: what an operator got from a party whose own interface is not public.

The address book of VZVZ (ZORG-AB) comes in this way: its wire is not published, so that nothing here speaks it. The
file is what there is: what it no longer has is ended. It is read again when its content has changed.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

from schakel.fhir.json import Resource, dump, parse
from schakel.generic.addressing.copying import TYPES, Problem
from schakel.generic.addressing.ledger import Cursor, Source
from schakel.generic.addressing.replica import Applied, Change, Replica
from schakel.generic.addressing.sync.pages import SourceTrouble
from schakel.kernel.outcomes import Invalid
from schakel.server.references import linked

_FORMS = frozenset({"collection", "searchset", "transaction", "batch"})
_CURSOR = "Bundle"
_URN = "urn:uuid:"


class FileFeeder:
    """The Bundle in the file `path`. `base` is what its references are relative to. Implements `Feeder`."""

    kind = "files"

    def __init__(self, name: str, path: Path, base: str, interval: timedelta, most: int) -> None:
        self.name = name
        self.base = base or f"urn:schakel:directory:{name}"
        self.interval = interval
        self._path = path
        self._most = most

    async def run(self, replica: Replica, source: Source) -> Applied:
        """As `Feeder.run`."""
        content = await asyncio.to_thread(self._read)
        digest = hashlib.sha256(content).hexdigest()
        cursor = (await replica.ledger.cursors(source.name)).get(_CURSOR)
        if cursor is not None and cursor.since == digest and not source.whole:
            return Applied()
        if not source.whole:
            # All of the file is read: the next turn does that, with what was there before to be compared.
            await replica.ledger.whole(source.name)
            return Applied()
        applied = await replica.apply(source, changes(self._bundle(content)))
        for kind in TYPES:
            applied += await replica.sweep(source, kind)
        await replica.apply(source, (), [Cursor(_CURSOR, "in-step", digest)])
        return applied

    def _read(self) -> bytes:
        try:
            if self._path.stat().st_size > self._most:
                raise SourceTrouble(
                    f"the file {self._path} has more than {self._most} bytes (setting bytes of this source)",
                    code="file-too-large",
                )
            return self._path.read_bytes()
        except OSError as error:
            raise SourceTrouble(
                f"the file {self._path} cannot be read: {error.strerror}", code="file-away"
            ) from error

    def _bundle(self, content: bytes) -> Resource:
        try:
            bundle = parse(content)
        except Invalid as error:
            raise SourceTrouble(
                f"the file {self._path} is no FHIR JSON: {error.message}", code="source-unclear"
            ) from None
        if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in _FORMS:
            raise SourceTrouble(
                f"the file {self._path} is no Bundle of type {', '.join(sorted(_FORMS))}",
                code="source-unclear",
            )
        return bundle


def changes(bundle: Resource) -> list[Change]:
    """The resources of a Bundle. References to the `fullUrl` of an entry become relative ones. Two different ones with
    the same type and id are refused, both: nobody can tell which holds."""
    entries = bundle.get("entry")
    found: dict[tuple[str, str], Resource] = {}
    double: set[tuple[str, str]] = set()
    places: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            continue
        full = entry.get("fullUrl")
        key = str(resource.get("resourceType", "")), _id(resource, full)
        if key in found and dump(found[key]) != dump(resource):
            double.add(key)
        found.setdefault(key, resource)
        if isinstance(full, str):
            places[full] = f"{key[0]}/{key[1]}"
    problem = Problem("resource-double", "it stands in the file twice, with different contents")
    return [
        Change(kind, remote, linked(resource, places), refused=problem if (kind, remote) in double else None)
        for (kind, remote), resource in found.items()
    ]


def _id(resource: Resource, full: Any) -> str:
    """Its id; of one without the last part of its `fullUrl`."""
    if "id" in resource:
        return str(resource["id"])
    return full.removeprefix(_URN).rpartition("/")[2] if isinstance(full, str) else ""
