"""A Nuts knooppunt as a client of directories: the requests of its update components, spelled as it spells them, and
what it does with the answers (facts of its `mcsd` component, generation A, and of its `lrza` component).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from tests.lrza import DIRECTORY, URA

Resource = dict[str, Any]

ROOT_TYPES = ("Organization", "Endpoint")
TYPES = ("Organization", "Endpoint", "Location", "HealthcareService", "PractitionerRole", "Practitioner")
CAPABILITIES = (
    "http://nuts-foundation.github.io/nl-generic-functions-ig/CodeSystem/nl-gf-data-exchange-capabilities"
)
MOST = 1000
"""Entries of a type, after which it stops with an error."""

HEADERS = {"Accept": "application/fhir+json", "Cache-Control": "no-cache", "User-Agent": "Go-http-client/1.1"}


@dataclass
class Knooppunt:
    """One directory as its update component reads it: what it holds of it, and `since`, sent back as it came."""

    client: httpx.AsyncClient
    base: str
    since: str = ""
    held: dict[str, Resource] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    async def update(self, types: Sequence[str] = TYPES, **more: str) -> set[str]:
        """One run of `mcsd`: what was written or deleted, as Type/id. Organizations are always read from the start."""
        changed: set[str] = set()
        first = ""
        for kind in types:
            asked = {
                "_count": "100",
                **({"_since": self.since} if self.since and kind != "Organization" else {}),
            }
            pages = [page async for page in self.pages(f"{kind}/_history", {**asked, **more})]
            first = first or pages[0]["meta"]["lastUpdated"]
            changed |= self._take(one for page in pages for one in page.get("entry", ()))
        self.since = first
        return changed

    async def pages(self, path: str, asked: dict[str, str]) -> AsyncIterator[Resource]:
        """The pages of a search or a history; the parameters in the order in which Go writes them."""
        url, entries = f"{self.base}/{path}?{urlencode(sorted(asked.items()))}", 0
        while url:
            answer = await self.client.get(url, headers=HEADERS)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            entries += len(page.get("entry", ()))
            assert entries < MOST
            yield page
            url = next((link["url"] for link in page.get("link", ()) if link["relation"] == "next"), "")
            assert not url or urlsplit(url).netloc == urlsplit(self.base).netloc

    async def parents(self) -> dict[str, Resource]:
        """The organisations as they are, by which it finds the URA that a department belongs to."""
        pages = [page async for page in self.pages("Organization", {"_count": "100"})]
        found = [entry["resource"] for page in pages for entry in page.get("entry", ())]
        return {f"Organization/{one['id']}": one for one in found}

    def _take(self, entries: Iterator[Resource]) -> set[str]:
        """Of each resource the first entry, which it takes to be the newest."""
        seen: set[str] = set()
        for entry in entries:
            method, url = entry["request"]["method"], entry["request"]["url"]
            key = "/".join(url.split("/")[:2]) if method == "DELETE" else self._key(entry["resource"])
            if key in seen:
                continue
            seen.add(key)
            self.urls[key] = entry["fullUrl"]
            if method == "DELETE":
                self.held.pop(key, None)
            else:
                self.held[key] = entry["resource"]
        return seen

    @staticmethod
    def _key(resource: Resource) -> str:
        return f"{resource['resourceType']}/{resource['id']}"

    def directories(self) -> dict[str, str]:
        """The directories that a root tells of, address by URA: endpoints of the right payload type, which an
        Organization with a URA refers to."""
        found = {}
        for one in self.held.values():
            for link in one.get("endpoint", ()) if one["resourceType"] == "Organization" else ():
                target = self.held.get(link["reference"], {})
                codings = [c for kind in target.get("payloadType", ()) for c in kind.get("coding", ())]
                if any((c.get("system"), c.get("code")) == (CAPABILITIES, DIRECTORY) for c in codings):
                    found.update(dict.fromkeys(uras(one), str(target["address"])))
        return found

    def refused(self, authority: str, parents: dict[str, Resource]) -> list[str]:
        """What does not lead to the URA of the directory."""

        def leads(reference: str) -> bool:
            for _ in range(10):
                held = parents.get(reference, {})
                if uras(held):
                    return uras(held) == [authority]
                reference = held.get("partOf", {}).get("reference", "")
            return False

        owner = {"HealthcareService": "providedBy", "Location": "managingOrganization"}
        kept = {
            key
            for key, one in self.held.items()
            if (one["resourceType"] == "Organization" and leads(key))
            or leads(one.get(owner.get(one["resourceType"], ""), {}).get("reference", ""))
        }
        linked = {link["reference"] for key in kept for link in self.held[key].get("endpoint", ())}
        return sorted(set(self.held) - kept - linked)


def transaction(base: str, resources: Iterable[Resource], deleted: Iterable[str] = ()) -> Resource:
    """What it writes into its query directory of resources of the directory at `base`: no ids, each resource named by
    its address there, references too; `deleted` are Type/id."""
    entries: list[Resource] = []
    for one in resources:
        kind, named = one["resourceType"], sourced(base, f"{one['resourceType']}/{one['id']}")
        kept = {name: value for name, value in one.items() if name not in ("id", "meta")}
        kept["meta"] = {"source": f"{base}/{kind}/{one['id']}"}
        entries.append({"resource": conditional(kept, base), "request": {"method": "PUT", "url": named}})
    entries += [{"request": {"method": "DELETE", "url": sourced(base, key)}} for key in deleted]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def sourced(base: str, key: str) -> str:
    """The conditional address of Type/id, as Go escapes it."""
    return f"{key.partition('/')[0]}?{urlencode({'_source': f'{base}/{key}'})}"


def conditional(value: Any, base: str) -> Any:
    """`value` with conditional references in place of relative ones."""
    if isinstance(value, list):
        return [conditional(one, base) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: sourced(base, member)
        if name == "reference" and isinstance(member, str) and ":" not in member and member[0] != "#"
        else conditional(member, base)
        for name, member in value.items()
    }


def uras(organization: Resource) -> list[str]:
    return [one["value"] for one in organization.get("identifier", ()) if one.get("system") == URA]
