"""Reading the directory: ITI-90-NL (search, read), ITI-91-NL (history), and the question of generation A to a root.

Answers are joined from the JSON of each version as it is stored. A next page is told from an opaque `_page`, which
stands for the whole question; pages of a history do not shift when something is written between them.

Source: the guide of the generic functions, Care Services; FHIR R4 search and history; the facts sheet on the ministry's
update client (its question to a root directory).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from schakel.fhir import json
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Invalid, NotFound, NotSupported
from schakel_national.lrza import queries
from schakel_national.lrza.parties import URA, parties_of
from schakel_national.lrza.queries import Pairs, Search
from schakel_national.lrza.register import Register, Stored, View, instant_of
from schakel_national.lrza.resources import INCLUDES, OTHERS, values

DIRECTORY = "http://nuts-foundation.github.io/nl-generic-functions-ig/CapabilityStatement/nl-gf-admin-directory-update-client"
"""The payload type of an endpoint that is a provider's own directory (generation A)."""

_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


class Asking:
    """Answers from `register` with pages of at most `page_size`; `base` is the address of the directory."""

    def __init__(self, register: Register, base: str, page_size: int) -> None:
        self._register = register
        self._base = base
        self._page_size = page_size

    # -- one resource ----------------------------------------------------------------------------------------

    def read(self, kind: str, logical_id: str, version: str = "") -> Stored:
        """The newest version of a resource, or the one named. Raises `NotFound`."""
        with self._register.reading() as view:
            if not version:
                found = view.newest(kind, logical_id)
            else:
                number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
                versions = view.stored(
                    "version v WHERE v.type = ? AND v.id = ? AND v.version = ?", (kind, logical_id, number)
                )
                found = versions[0] if versions else None
        if found is None:
            what = f"{kind}/{logical_id}" + (f" version {version[:20]}" if version else "")
            raise NotFound(f"{what} is not known")
        return found

    # -- history ---------------------------------------------------------------------------------------------

    def history(self, kind: str, pairs: Pairs, logical_id: str = "") -> bytes:
        """A page of the versions of a type, or of one resource, newest first. Raises `Invalid`, `NotFound` and
        `NotSupported`."""
        path = f"{kind}/{logical_id}/_history" if logical_id else f"{kind}/_history"
        after, pairs = _resumed(path, pairs, ("moment", "place"))
        low, count = 0.0, self._page_size
        for name, value in pairs:
            if name == "_since":
                low = queries.since(value)
            elif name == "_count":
                count = min(queries.count(value), self._page_size)
            elif name == "_format":
                queries.check_format(value)
            elif (name, value) != ("_sort", "-_lastUpdated"):
                raise NotSupported(
                    f"{name[:60]} is no parameter of a history here: there are _since and _count",
                    code="search-parameter-unknown",
                    expression=name[:60],
                )
        condition, given = "v.type = ? AND v.moment >= ?", [kind, low]
        if logical_id:
            condition, given = f"{condition} AND v.id = ?", [*given, logical_id]
        with self._register.reading() as view:
            if logical_id and kind not in OTHERS and view.newest(kind, logical_id) is None:
                raise NotFound(f"{kind}/{logical_id} is not known")
            total = after["total"] if after else _count(view, f"version v WHERE {condition}", given)
            if after:
                condition, given = (
                    f"{condition} AND v.moment <= ? AND v.place < ?",
                    [*given, after["moment"], after["place"]],
                )
            found = view.stored(
                f"version v WHERE {condition} ORDER BY v.moment DESC, v.place DESC LIMIT ?",
                [*given, count + 1 if count else 0],
            )
        last = found[count - 1] if len(found) > count else None
        page = {"total": total, "moment": last.moment, "place": last.place} if last else None
        entries = (self._version(one) for one in found[:count])
        return self._bundle("history", path, pairs, view.moment, total, entries, page)

    def _version(self, one: Stored) -> bytes:
        created = one.method == "POST"
        request = {"method": one.method, "url": one.type if created else one.name}
        status = "201 Created" if one.version == 1 else "200 OK"
        response = {"status": status, "etag": one.etag, "lastModified": one.instant}
        told = json.dump({"request": request, "response": response})
        return self._entry(one, told[1:-1])

    # -- search ----------------------------------------------------------------------------------------------

    def search(self, kind: str, pairs: Pairs) -> bytes:
        """A page of a search. Raises `Invalid` and `NotSupported`."""
        after, pairs = _resumed(kind, pairs, ("key",))
        asked = queries.parse(kind, pairs)
        count = self._page_size if asked.count is None else min(asked.count, self._page_size)
        of_type = (
            "+c.type = ?" if asked.conditions else "c.type = ?"
        )  # with +, the index on types is not used
        matching = " AND ".join((of_type, *asked.conditions))
        given = [kind, *asked.values]
        source = f"current c JOIN version v ON v.place = c.place WHERE {matching}"
        key, order = {
            "": ("c.number > ?", "c.number"),
            "_lastUpdated": ("c.place > ?", "c.place"),
            "-_lastUpdated": ("c.place < ?", "c.place DESC"),
        }[asked.sort]
        with self._register.reading() as view:
            counted = source if asked.conditions else "current c WHERE c.type = ?"
            total = after["total"] if after else _count(view, counted, given)
            if after:
                source, given = f"{source} AND {key}", [*given, after["key"]]
            limit = count + 1 if count else 0
            found = view.stored(f"{source} ORDER BY {order} LIMIT ?", [*given, limit])
            page = None
            if len(found) > count:
                last = found[count - 1]
                place = view.rows(
                    "SELECT number FROM current WHERE place = ? AND type = ?", (last.place, kind)
                )
                page = {"total": total, "key": last.place if asked.sort else place[0][0]}
            found = found[:count]
            along = self._along(view, found, asked)
        entries = [self._entry(one, b'"search":{"mode":"match"}') for one in found]
        entries += [self._entry(one, b'"search":{"mode":"include"}') for one in along]
        return self._bundle("searchset", kind, pairs, view.moment, total, entries, page)

    def _along(self, view: View, found: Sequence[Stored], asked: Search) -> list[Stored]:
        """What is included, each once, and nothing that was found anyway."""
        seen = {one.name for one in found}
        along: list[Stored] = []
        for one in found if asked.include else ():
            resource = one.resource()
            for value in asked.include:
                for name in values(resource, f"{INCLUDES[one.type][value]}.reference"):
                    target = view.newest(*str(name).partition("/")[::2])
                    if target is not None and target.name not in seen:
                        seen.add(target.name)
                        along.append(target)
        for value in asked.revinclude:
            parameter = value.replace(":", ".")
            for one in found:
                for source in view.with_entry(parameter, one.name):
                    if source.name not in seen:
                        seen.add(source.name)
                        along.append(source)
        return along

    # -- the root of generation A ----------------------------------------------------------------------------

    def directories(self, pairs: Pairs) -> bytes:
        """All active organisations with a URA that have a directory of their own, and its endpoint, in one page.

        An organisation is shown with that endpoint alone, as the ministry's client takes no organisation with more.
        Raises `NotSupported`.
        """
        wanted, along = "", False
        for name, value in pairs:
            if name == "_id":
                wanted = value
            elif (name, value) == ("_include", "Organization:endpoint"):
                along = True
            elif name == "_format":
                queries.check_format(value)
            elif name != "_count":
                raise NotSupported(
                    f"GET Organization/_search takes _include=Organization:endpoint and _id, not {name[:60]}",
                    expression=name[:60],
                )
        with self._register.reading() as view:
            endpoints = {
                one.name: one
                for one in view.stored(
                    "entry e JOIN current c ON c.number = e.number JOIN version v ON v.place = c.place "
                    "WHERE e.parameter = 'Endpoint.status' AND e.value = 'active' AND instr(v.body, ?) > 0 "
                    "ORDER BY c.number",
                    (DIRECTORY.encode(),),
                )
            }
            organisations = view.stored(
                "current c JOIN version v ON v.place = c.place WHERE c.type = 'Organization' "
                "AND instr(v.body, ?) > 0 ORDER BY c.number",
                (b'"endpoint"',),
            )
        shown: list[bytes] = []
        used: dict[str, Stored] = {}
        for one in organisations if endpoints else ():
            resource = one.resource()
            own = next(
                (name for name in values(resource, "endpoint.reference") if _directory(endpoints.get(name))),
                "",
            )
            parties = parties_of(resource)
            if wanted not in ("", one.id) or not own or resource.get("active") is False:
                continue
            if not parties or parties[0].kind != URA:
                continue
            used[own] = endpoints[own]
            if len(resource["endpoint"]) > 1:
                resource["endpoint"] = [{"reference": own}]
                resource["meta"]["tag"] = [*resource["meta"].get("tag", ()), _SUBSETTED]
            body = json.dump(resource)
            shown.append(self._entry(one, b'"search":{"mode":"match"}', body))
        total = len(shown)
        shown += [self._entry(one, b'"search":{"mode":"include"}') for one in used.values() if along]
        return self._bundle("searchset", "Organization/_search", pairs, view.moment, total, shown, None)

    # -- Bundles ---------------------------------------------------------------------------------------------

    def _entry(self, one: Stored, rest: bytes, body: bytes = b"") -> bytes:
        address = f'{{"fullUrl":"{self._base}/{one.name}","resource":'.encode()
        return b"".join((address, body or one.body, b",", rest, b"}"))

    def _bundle(
        self,
        kind: str,
        path: str,
        pairs: Pairs,
        moment: int,
        total: int,
        entries: Iterable[bytes],
        page: dict[str, Any] | None,
    ) -> bytes:
        asked = "&".join(f"{name}={_quoted(value)}" for name, value in pairs)
        links = [{"relation": "self", "url": f"{self._base}/{path}{'?' if asked else ''}{asked}"}]
        if page is not None:
            told = json.dump({**page, "pairs": [list(pair) for pair in pairs], "path": path})
            token = urlsafe_b64encode(told).rstrip(b"=").decode()
            links.append({"relation": "next", "url": f"{self._base}/{path}?_page={token}"})
        head: dict[str, Any] = {"resourceType": "Bundle", "id": new_id()}
        head |= {"meta": {"lastUpdated": instant_of(moment)}, "type": kind, "total": total, "link": links}
        joined = b",".join(entries)
        end = b',"entry":[' + joined + b"]}" if joined else b"}"
        return json.dump(head)[:-1] + end


def _directory(endpoint: Stored | None) -> bool:
    return endpoint is not None and DIRECTORY in values(endpoint.resource(), "payloadType.coding.code")


def _count(view: View, source: str, given: Sequence[object]) -> int:
    [(number,)] = view.rows(f"SELECT count(*) FROM {source}", given)
    return number


def _quoted(value: str) -> str:
    return quote(value, safe="/:|,$-._~")


def _resumed(path: str, pairs: Pairs, numbers: tuple[str, ...]) -> tuple[dict[str, Any] | None, Pairs]:
    """Where a page link goes on (these `numbers` and `total`), and the question it stands for; None and the pairs
    themselves without one. Raises `Invalid`."""
    given = dict(pairs)
    if "_page" not in given:
        return None, pairs
    if set(given) - {"_page", "_format"}:
        raise Invalid("a page link is used as it was given, without other parameters", expression="_page")
    token = given["_page"]
    try:
        page = json.parse(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if page["path"] != path or not all(type(page[name]) is int for name in (*numbers, "total")):
            raise ValueError("of another path")
        return page, [(str(name), str(value)) for name, value in page["pairs"]]
    except (Invalid, ValueError, KeyError, TypeError) as error:
        raise Invalid("_page is no page link of this address", expression="_page") from error
