"""What several holders gave, put in order by subject: doubles folded, differences side by side.

Nothing is changed, chosen or left out. Resources of different holders that share a business identifier are one thing
(`Thing`); where they say the same they are one version with several sources, where they differ they are versions beside
each other. An identifier that one holder uses for several resources identifies none of them, so it folds nothing; nor
is anything folded where another's identifiers would make one thing of two resources that one holder keeps apart.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schakel.fhir.json import Resource, dump
from schakel.network.fetch import HolderResult

_OF_THE_COPY = frozenset({"id", "meta", "text", "implicitRules", "language"})
"""Members that say something of a holder's copy, not of what it says."""

_DEPTH = 6
"""References that are followed to see whether two resources say the same."""

_Key = tuple[str, str, str]
"""Type, system and value of a business identifier."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a version is from: the holder, the address there, and its version and date as the holder told them."""

    ura: str
    url: str
    version: str
    updated: str

    def report(self) -> dict[str, str]:
        """The source as an answer shows it."""
        return {"ura": self.ura, "url": self.url, "version": self.version, "last_updated": self.updated}


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing: its identifiers, its versions with the sources that say so, and the members in which these differ."""

    type: str
    identifiers: tuple[tuple[str, str], ...]
    versions: tuple[tuple[Source, ...], ...]
    differs: tuple[str, ...]

    def report(self) -> dict[str, Any]:
        """The thing as an answer shows it."""
        return {
            "type": self.type,
            "identifier": [{"system": system, "value": value} for system, value in self.identifiers],
            "versions": [[source.report() for source in sources] for sources in self.versions],
            "differs": list(self.differs),
        }


def assemble(results: Sequence[HolderResult], titles: Mapping[int, str]) -> list[dict[str, Any]]:
    """The sections, as `{"zib": title, "things": [...]}`, in the order of `titles` (request number -> title).

    A section has what its requests matched; what came along with it (includes, Provenance) is in the Bundle alone.
    """
    content = _Content(results)
    sections: dict[str, dict[str, tuple[HolderResult, Resource]]] = {title: {} for title in titles.values()}
    for result in results:
        for request in result.requests:
            for found in request.items:
                url = request.urls[found.key]
                if found.match and url in result.resources:
                    sections[titles[request.number]].setdefault(url, (result, result.resources[url]))
    return [
        {"zib": title, "things": [thing.report() for thing in _things(found, content)]}
        for title, found in sections.items()
        if found
    ]


def _things(found: Mapping[str, tuple[HolderResult, Resource]], content: _Content) -> list[Thing]:
    """What was found, by address, as things: of one thing all that shares an identifier, also by way of another."""
    keys = {url: _keys(resource) for url, (_, resource) in found.items()}
    used = Counter((found[url][0].ura, key) for url, each in keys.items() for key in each)
    ambiguous = {key for (_, key), times in used.items() if times > 1}
    heads: dict[str, str] = {url: url for url in found}

    def head(url: str) -> str:
        while heads[url] != url:
            heads[url] = url = heads[heads[url]]  # Halved on the way, so that no chain grows long.
        return url

    first: dict[_Key, str] = {}
    for url, each in keys.items():
        for key in each:
            if key not in ambiguous:
                heads[head(url)] = head(first.setdefault(key, url))
    groups: dict[str, list[str]] = defaultdict(list)
    for url in found:
        groups[head(url)].append(url)
    things = []
    for urls in groups.values():
        kept_apart = len({found[url][0].ura for url in urls}) < len(urls)
        for copies in [[url] for url in urls] if kept_apart else [urls]:
            things.append(_thing([(url, *found[url]) for url in copies], content))
    return things


def _thing(copies: Sequence[tuple[str, HolderResult, Resource]], content: _Content) -> Thing:
    alone = len(copies) == 1  # There is nothing that it could say the same as, or differ from.
    versions: dict[bytes, list[Source]] = {}
    said: list[Mapping[str, bytes]] = []
    for url, result, resource in copies:
        told = {} if alone else content.said(url)
        digest = _digest(told)
        if digest not in versions:
            said.append(told)
        versions.setdefault(digest, []).append(_source(result.ura, url, resource))
    identifiers = dict.fromkeys((s, v) for _, _, resource in copies for _, s, v in _keys(resource))
    return Thing(
        str(copies[0][2]["resourceType"]),
        tuple(identifiers),
        tuple(tuple(sources) for sources in versions.values()),
        tuple(name for name in _names(said) if len({one.get(name) for one in said}) > 1),
    )


def _names(said: Sequence[Mapping[str, bytes]]) -> list[str]:
    return list(dict.fromkeys(name for one in said for name in one))


def _digest(said: Mapping[str, bytes]) -> bytes:
    digest = hashlib.sha256()
    for name, value in sorted(said.items()):
        digest.update(b"%d:%s%d:%s" % (len(name), name.encode(), len(value), value))
    return digest.digest()


class _Content:
    """What resources say, in a form that does not depend on the holder that they are from. Each is worked out once for
    each depth at which something leads to it, whatever leads to it."""

    def __init__(self, results: Iterable[HolderResult]) -> None:
        self._resources = {url: one for result in results for url, one in result.resources.items()}
        self._digests: dict[tuple[str, int], str] = {}

    def said(self, url: str, depth: int = _DEPTH) -> dict[str, bytes]:
        """What the resource at this address says, per member. A reference counts as what it leads to, a patient always
        as the one patient that all was asked of."""
        base = url.rsplit("/", 2)[0]

        def meant(reference: str) -> str:
            if reference.startswith("#"):
                return reference
            address = reference if ":" in reference.partition("/")[0] else f"{base}/{reference}"
            whole = address.partition("/_history/")[0]
            target = self._resources.get(whole)
            if target is None or depth == 0:
                return address
            if target["resourceType"] == "Patient":
                return "the patient"
            return self._meaning(whole, depth - 1)

        resource = self._resources[url]
        return {
            name: dump(_plain(value, meant)) for name, value in resource.items() if name not in _OF_THE_COPY
        }

    def _meaning(self, url: str, depth: int) -> str:
        known = self._digests.get((url, depth))
        if known is None:
            known = self._digests[url, depth] = _digest(self.said(url, depth)).hex()
        return known


def _plain(value: Any, meant: Callable[[str], str]) -> Any:
    """`value` with its members in one order and each reference as `meant` has it."""
    if isinstance(value, dict):
        return {
            name: meant(one) if name == "reference" and isinstance(one, str) else _plain(one, meant)
            for name, one in sorted(value.items())
        }
    if isinstance(value, list):
        return [_plain(one, meant) for one in value]
    return value


def _keys(resource: Resource) -> list[_Key]:
    """The business identifiers of a resource that say in which system they are unique."""
    given = resource.get("identifier", [])
    kind = str(resource["resourceType"])
    found = (
        (kind, one["system"], one["value"])
        for one in (given if isinstance(given, list) else [given])
        if isinstance(one, dict) and isinstance(one.get("system"), str) and isinstance(one.get("value"), str)
    )
    return list(dict.fromkeys(found))


def _source(ura: str, url: str, resource: Resource) -> Source:
    meta = resource.get("meta")
    told = meta if isinstance(meta, dict) else {}
    return Source(ura, url, str(told.get("versionId", "")), str(told.get("lastUpdated", "")))
