"""Requests that look for the data of somebody else, made from the definitions and from what that somebody has.

Nothing is listed by hand: every search parameter with its modifiers and a value that the other has, every include,
chains and reverse chains of depth one to three along references that exist, compartments, lists, histories, operations
and conditions. What is added to the definitions or to the operations is tried without a change here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any
from urllib.parse import quote

import orjson

from schakel.fhir.definitions import SearchParameter, Version, definitions
from schakel.fhir.search import component_parameters, supported
from schakel.fhir.search.conditions import MODIFIERS
from schakel.server import Request
from schakel.server.operations import OPERATIONS, Operation
from schakel.store.indexing import TypeIndexer

GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
_PLAIN = frozenset({"", "exact", "contains", "not"})
JSON = {"content-type": "application/fhir+json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def get(version: Version, path: str, query: str = "", **headers: str) -> Request:
    return Request(version, "GET", path, query, {k.replace("_", "-"): v for k, v in headers.items()})


def send(
    version: Version, method: str, path: str, body: Any = None, query: str = "", **headers: str
) -> Request:
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return Request(
        version, method, path, query, {**JSON, **named}, b"" if body is None else orjson.dumps(body)
    )


class Asking:
    """Requests in one FHIR version about what `resources` hold; `ids` are what their owner calls things."""

    def __init__(
        self, version: Version, resources: Iterable[Mapping[str, Any]], ids: tuple[str, ...]
    ) -> None:
        self.version: Version = version
        self.table = definitions(version)
        self.ids = ids
        self.kinds = sorted(self.table.resource_types)
        self._values: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._leads_to: dict[tuple[str, str], list[str]] = defaultdict(list)
        indexers = {kind: TypeIndexer(kind, self.table) for kind in self.kinds}
        self.resources: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for resource in resources:
            kind = str(resource["resourceType"])
            self.resources[kind].append(dict(resource))
            rows = indexers[kind].rows(dict(resource))
            for code, value, system in sorted(rows.token):
                self._add(kind, code, f"{_escaped(system)}|{_escaped(value)}" if system else _escaped(value))
            for code, target, name in sorted(rows.reference):
                self._add(kind, code, f"{target}/{name}" if target else _escaped(name))
                if target in self.table.resource_types and target not in self._leads_to[kind, code]:
                    self._leads_to[kind, code].append(target)
            for code, _, text in sorted(rows.string):
                self._add(kind, code, _escaped(text))
            for code, low, _ in sorted(rows.date):
                self._add(kind, code, low.date().isoformat())
            for code, least, *_ in sorted(rows.quantity):
                self._add(kind, code, f"{least:g}")
        self._turns: dict[str, Iterator[int]] = defaultdict(count)

    def _add(self, kind: str, code: str, value: str) -> None:
        if len(self._values[kind, code]) < 3 and value not in self._values[kind, code]:
            self._values[kind, code].append(value)

    def parameters(self, kind: str) -> list[SearchParameter]:
        """What can be asked of a type."""
        return [p for p in self.table.search_parameters(kind).values() if supported(p)]

    def unfilled(self) -> list[tuple[str, str]]:
        """Parameters for which nobody has a value."""
        return [
            (kind, parameter.code)
            for kind in self.kinds
            for parameter in self.parameters(kind)
            if not self.values(kind, parameter)
        ]

    def values(self, kind: str, parameter: SearchParameter) -> list[str]:
        """Values of a parameter that are there."""
        if parameter.code == "_id":
            return list(self.ids)
        if parameter.code == "_lastUpdated":
            return ["gt2020", "lt2020"]
        if parameter.code in ("_profile", "_source"):
            return self._values[kind, parameter.code] or []
        if parameter.type == "composite":
            parts = component_parameters(self.table, kind, parameter) or ()
            held = [self.values(kind, part) for part in parts]
            return ["$".join(values) for values in zip(*held, strict=False)]
        if found := self._values[kind, parameter.code]:
            return found
        return ["true"] if parameter.type == "special" else []

    # -- searches ------------------------------------------------------------------------------------------

    def searches(self, kind: str) -> Iterator[str]:
        """Searches on a type by each of its parameters, and by what references lead to."""
        for parameter in self.parameters(kind):
            yield from self.by_parameter(kind, parameter)
            if parameter.type == "reference":
                yield from self.by_reference(kind, parameter)
        ids = "_id=" + ",".join(self.ids)
        yield from ("", ids, f"_list={self.ids[0]}", f"{ids}&_include={kind}:*&_revinclude=*")
        yield from (f"{ids}&_summary={word}" for word in ("true", "count", "data", "text"))
        yield from (f"{ids}&_count=0", "_count=1", "_total=accurate&_count=1", f"{ids}&_elements=id")

    def by_parameter(self, kind: str, parameter: SearchParameter) -> Iterator[str]:
        """Searches by one parameter: plain, with every modifier, and as the order of all."""
        code, values = parameter.code, self.values(kind, parameter)
        for value in values:
            yield f"{code}={quote(value)}"
        one = values[0] if values else "x"
        for modifier in sorted(MODIFIERS[parameter.type] - {""}):
            for value in self._modified(kind, code, modifier, one):
                yield f"{code}:{modifier}={quote(value)}"
        if parameter.type in ("date", "number", "quantity"):
            yield from (f"{code}={prefix}{quote(one)}" for prefix in ("ne", "gt", "le", "sa", "eb", "ap"))
        if parameter.type == "token" and "|" in one:
            yield from (f"{code}={quote(one.partition('|')[2])}", f"{code}={quote(one.partition('|')[0])}|")
        if parameter.type not in ("composite", "special"):
            yield from (f"_sort={code}&_count=2", f"_sort=-{code}")

    def _modified(self, kind: str, code: str, modifier: str, plain: str) -> list[str]:
        match modifier:
            case "missing":
                return ["true", "false"]
            case "in" | "not-in":
                return [GENDERS]
            case "identifier":
                return self._values[kind, f"{code}:identifier"][:1]
            case "of-type":
                return self._values[kind, f"{code}:of-type"][:1]
            case "text":
                return [self._word(kind, code)]
            case "above" | "below":
                return ["http://example.org/x"]
            case _ if modifier in _PLAIN:
                return [plain]
            case _:
                return [plain, "true"]

    def _word(self, kind: str, code: str) -> str:
        """The start of what is said beside the codes of anyone."""
        found = self._values[kind, code]
        return found[0].rpartition("|")[2].partition("-")[0] if found else "x"

    def by_reference(self, kind: str, reference: SearchParameter) -> Iterator[str]:
        """Includes of one reference parameter, chains along it and reverse chains against it."""
        code, ids = reference.code, "_id=" + ",".join(self.ids)
        yield f"{ids}&_include={kind}:{code}"
        yield f"{ids}&_include={kind}:{code}&_include:iterate={kind}:{code}"
        yield f"{ids}&_revinclude={kind}:{code}"
        for target in self._leads_to[kind, code][:4]:
            value = next(v for v in self._values[kind, code] + [f"{target}/{self.ids[0]}"] if "/" in v)
            yield f"{code}:{target}={value.partition('/')[2]}"
            yield f"{ids}&_include={kind}:{code}:{target}&_include:iterate={target}:*"
            for depth in (1, 2, 3):
                if rest := self._chain(target, depth - 1):
                    yield f"{code}:{target}.{rest}"
        for owner in [
            s for s in self.kinds if (s, code) in self._leads_to and kind in self._leads_to[s, code]
        ][:3]:
            yield f"_has:{owner}:{code}:{self._step(owner)}"

    def reversed_searches(self, kind: str) -> Iterator[str]:
        """What refers to a type, as `_revinclude` and as `_has` of depth one to three."""
        ids = "_id=" + ",".join(self.ids)
        for (source, code), targets in sorted(self._leads_to.items()):
            if kind not in targets or code.partition(":")[2]:
                continue
            yield f"{ids}&_revinclude={source}:{code}"
            yield f"{ids}&_revinclude:iterate={source}:{code}:{kind}"
            yield f"_has:{source}:{code}:{self._step(source)}"
            inner = [(s, c) for (s, c), leads in sorted(self._leads_to.items()) if source in leads]
            if inner:
                further, again = inner[next(self._turns[f"has {source}"]) % len(inner)]
                yield f"_has:{source}:{code}:_has:{further}:{again}:{self._step(further)}"
            yield f"_has:{source}:{code}:{code}:{kind}.{self._step(kind)}"

    def _step(self, kind: str) -> str:
        """A parameter of a type with a value, another one every time."""
        known = [p for p in self.parameters(kind) if p.type != "special" and self.values(kind, p)]
        parameter = known[next(self._turns[f"step {kind}"]) % len(known)]
        values = self.values(kind, parameter)
        return f"{parameter.code}={quote(values[next(self._turns[kind]) % len(values)])}"

    def _chain(self, kind: str, depth: int) -> str:
        """What follows the dot of a chain to a type: a parameter, or `depth` references more."""
        if depth == 0:
            return self._step(kind)
        onward = [
            (p.code, target)
            for p in self.parameters(kind)
            if p.type == "reference"
            for target in self._leads_to.get((kind, p.code), ())
        ]
        if not onward:
            return ""
        code, target = onward[next(self._turns[f"chain {kind}"]) % len(onward)]
        rest = self._chain(target, depth - 1)
        return f"{code}:{target}.{rest}" if rest else ""

    # -- everything else that reads ------------------------------------------------------------------------

    def searching(self, kind: str) -> Iterator[Request]:
        """Everything that searches a type; a few of them by POST."""
        texts = (*self.searches(kind), *self.reversed_searches(kind))
        for number, text in enumerate(dict.fromkeys(texts)):
            if number % 29 == 7:
                yield Request(self.version, "POST", f"{kind}/_search", "", FORM, text.encode())
            else:
                yield get(self.version, kind, text)

    def reading(self, kind: str) -> Iterator[Request]:
        """Reads, versions and histories of what the other has."""
        for name in self.ids:
            path = f"{kind}/{name}"
            yield get(self.version, path)
            yield from (get(self.version, path, if_none_match=tag) for tag in ('W/"1"', 'W/"2"', "*"))
            yield get(self.version, path, if_modified_since="Tue, 01 Jan 2030 00:00:00 GMT")
            yield from (get(self.version, f"{path}/_history/{number}") for number in (1, 2, 3))
            yield get(self.version, f"{path}/_history")
        yield get(self.version, f"{kind}/_history", "_count=2")
        yield get(self.version, f"{kind}/_history", "_since=2020-01-01&_sort=_lastUpdated")
        yield get(self.version, f"{kind}/_history", "_at=2020")
        yield get(self.version, f"{kind}/_history", "_count=0")

    def compartments(self) -> Iterator[Request]:
        """Every type in every compartment of everyone."""
        for owner, members in sorted(self.table.compartments.items()):
            for name in self.ids:
                yield get(self.version, f"{owner}/{name}/*", "_count=5")
                for kind in sorted(members):
                    yield get(self.version, f"{owner}/{name}/{kind}")

    def whole(self) -> Iterator[Request]:
        """Searches and histories over all types."""
        ids = "_id=" + ",".join(self.ids)
        yield from (get(self.version, "_history", q) for q in ("", "_count=0", "_since=2020", "_at=2020"))
        for pair in zip(self.kinds, self.kinds[1:], strict=False):
            yield get(self.version, "", f"_type={','.join(pair)}&{ids}")
        common = [p for p in self.parameters(self.kinds[0]) if p.code.startswith("_")]
        for parameter in common:
            for text in self.by_parameter(self.kinds[0], parameter):
                yield get(self.version, "", f"{text}&_count=5" if "_count" not in text else text)
        yield Request(self.version, "POST", "_search", "", FORM, ids.encode())

    # -- operations ----------------------------------------------------------------------------------------

    def operations(self) -> Iterator[Request]:
        """Every operation of the registry, on every level and type that has it, about what the other has."""
        for operation in OPERATIONS:
            for kind in ("", *self.kinds):
                for level in ("type", "instance") if kind else ("system",):
                    if operation.on(level, self.version, kind):
                        yield from self._calls(operation, kind, level == "instance")

    def _calls(self, operation: Operation, kind: str, instance: bool) -> Iterator[Request]:
        places = [f"{kind}/{name}" for name in self.ids] if instance else [kind]
        for place in places:
            path = f"{place}/${operation.name}".lstrip("/")
            for method in sorted(operation.methods):
                if method == "GET":
                    yield get(self.version, path)
                    for parameter in operation.takes:
                        yield from (get(self.version, path, f"{parameter.name}={i}") for i in self.ids)
                    if operation.run is None:
                        yield get(self.version, path, f"patient={','.join(self.ids)}")
                else:
                    yield from (
                        send(self.version, "POST", path, body) for body in self._bodies(operation, kind)
                    )

    def _bodies(self, operation: Operation, kind: str) -> Iterator[Any]:
        yield None
        label = {"system": "urn:own", "code": "own"}
        yield _parameters({"name": "meta", "valueMeta": {"tag": [label]}})
        for parameter in operation.takes:
            if parameter.type == "Resource":
                yield from ([*self.resources[kind], *self.resources["Basic"]][:2])
            else:
                word = f"value{parameter.type[0].upper()}{parameter.type[1:]}"
                yield from (_parameters({"name": parameter.name, word: i}) for i in self.ids)

    # -- conditions ----------------------------------------------------------------------------------------

    def conditional(self, kind: str) -> Iterator[Request]:
        """Conditional reads, creates, updates, patches and deletes by what the other has, and their Bundles."""
        version, basic = self.version, {"resourceType": kind}
        patch: dict[str, Any] = _parameters()
        criteria = [
            f"{p.code}={quote(self.values(kind, p)[-1])}"
            for p in self.parameters(kind)
            if p.type in ("token", "string", "uri", "reference") and self.values(kind, p) and p.code != "_id"
        ]
        for number, text in enumerate(criteria[:8]):
            yield send(version, "DELETE", kind, query=text)
            yield send(version, "PATCH", kind, patch, text)
            yield send(version, "PUT", kind, basic, f"{text}&_id={self.ids[-1]}", if_match='W/"2"')
            if number % 4 == 0:
                yield send(version, "POST", kind, basic, if_none_exist=text)
                pointing = {"url": "urn:own", "valueReference": {"reference": f"{kind}?{text}"}}
                linked = {"resourceType": "Patient", "extension": [pointing]}
                for word in ("transaction", "batch"):
                    yield send(version, "POST", "", bundle(word, entry("POST", "Patient", linked)))
                yield send(version, "POST", "", bundle("batch", *self._entries(kind, text)))
        for name in self.ids:
            yield send(version, "PUT", f"{kind}/{name}", {**basic, "id": name}, if_match='W/"3"')
            yield send(version, "PATCH", f"{kind}/{name}", patch, if_match='W/"3"')
        yield send(version, "PUT", f"{kind}/{self.ids[-1]}", {**basic, "id": self.ids[-1]}, if_none_match="*")

    def _entries(self, kind: str, text: str) -> Iterator[dict[str, Any]]:
        yield entry("GET", f"{kind}?{text}")
        yield from (entry("GET", f"{kind}/{name}") for name in self.ids)
        yield entry("GET", f"{kind}/{self.ids[-1]}/_history")
        yield entry("DELETE", f"{kind}?{text}")
        yield entry("POST", kind, {"resourceType": kind}, ifNoneExist=text)


def entry(method: str, url: str, resource: Any = None, **request: str) -> dict[str, Any]:
    body = {} if resource is None else {"resource": resource}
    return {**body, "request": {"method": method, "url": url, **request}}


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def _parameters(*given: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(given)}


def _escaped(text: str) -> str:
    for character in "\\,|$":
        text = text.replace(character, f"\\{character}")
    return text
