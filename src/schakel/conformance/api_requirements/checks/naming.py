"""DR001, DR002, DR005, DR006, DR-R001, DR-R002: how an API names its parts, and with which methods it is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from schakel.conformance.api_requirements.interface import Interface, Operation, interface
from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import Check, Probe, Unseen, broken, holds, outside

_is_dutch = re.compile(
    r"(?:aanmelding|aanvraag|aanvrag|afdeling|afspraak|afsprak|behandelaar|behandeling|bericht|bestand|beeld|diagnose"
    r"|gebruiker|geboortedatum|gegeven|geslacht|huisarts|instelling|lijst|medewerker|medicatie|meting|naam|ontslag"
    r"|opname|opvragen|ophalen|overzicht|patienten|recept|rekening|toestemming|uitslag|verwijzing|voornaam|achternaam"
    r"|wijzigen|verwijderen|zoeken|ziekenhuis|zorg(?:aanbieder|plan|verlener)?)(?:en|s)?"
).fullmatch
"""Whether a word is one of the Dutch words that names of health APIs are made of, and that are no English words."""

_is_verb = re.compile(
    r"add|approve|cancel|create|delete|do|download|execute|fetch|find|generate|get|insert|invoke|merge|modify|publish"
    r"|push|query|read|register|reject|remove|retrieve|save|search|select|send|submit|sync|update|upload|validate"
    r"|verify|write"
).fullmatch
"""Whether a word is a verb that names of operations begin with. Those that are nouns as often (list, order, process)
are left out."""

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SINGULAR_S = ("ss", "us", "is", "sis", "news", "series", "species")


def _words(name: str) -> list[str]:
    """The words in a name, whatever way they are put together: getPatient, get-patient, get_patient."""
    return [word.lower() for word in _PARTS.findall(name)]


def _names(found: Interface) -> list[str]:
    """The names in paths, and of parameters; resource types of FHIR among them."""
    inside = [name for operation in found.operations for name in operation.names]
    parameters = [
        str(one["name"])
        for operation in found.operations
        for one in operation.body.get("parameters") or ()
        if isinstance(one, dict) and "name" in one
    ]
    searched = [
        str(one.get("name", ""))
        for resource in found.resources
        for one in resource.get("searchParam") or ()
        if isinstance(one, dict)
    ]
    called = [name.lstrip("$") for name, _ in found.fhir_operations]
    return list(dict.fromkeys([*inside, *parameters, *found.types, *searched, *called]))


async def english(probe: Probe) -> Sequence[Finding]:
    """DR001: no name in the interface is made of a Dutch word. Judged by a list of words."""
    found = await interface(probe)
    names = _names(found)
    dutch = [name for name in names if any(map(_is_dutch, _words(name)))]
    if dutch:
        told = ", ".join(dutch[:5])
        return [broken("DR001", f"Nederlandse namen: {told}", f"Dutch names: {told}", found.evidence)]
    return [
        holds(
            "DR001",
            f"geen Nederlands woord in {len(names)} namen",
            f"no Dutch word in {len(names)} names",
            found.evidence,
        )
    ]


async def methods(probe: Probe) -> Sequence[Finding]:
    """DR002: what each method is offered for. FHIR asks searches and operations with POST as well."""
    found = await interface(probe)
    if not found.operations:
        return _fhir_methods(found, probe)
    return [
        _method(found, "001", "get", _sends_body, "GET met een inhoud", "GET with a body"),
        _posts(found),
        _method(found, "003", "put", _sends_none, "PUT zonder inhoud", "PUT without a body"),
        _method(found, "004", "patch", _sends_none, "PATCH zonder inhoud", "PATCH without a body"),
        _method(
            found, "005", "delete", _at_collection, "DELETE op een verzameling", "DELETE at a collection"
        ),
    ]


def _sends_body(operation: Operation) -> bool:
    return "requestBody" in operation.body


def _sends_none(operation: Operation) -> bool:
    return "requestBody" not in operation.body


def _at_collection(operation: Operation) -> bool:
    """Whether what is deleted is no single thing: its path has no parameter. FHIR deletes by criteria as well."""
    takes_criteria = any(
        isinstance(one, dict) and one.get("in") == "query" for one in operation.body.get("parameters") or ()
    )
    return not any(step.startswith("{") for step in operation.steps) and not takes_criteria


def _method(
    found: Interface, number: str, method: str, wrong: Callable[[Operation], bool], nl: str, en: str
) -> Finding:
    offered = [one for one in found.operations if one.method == method]
    key, told = f"DR002.{number}", method.upper()
    if not offered:
        return outside(key, f"{told} wordt niet aangeboden", f"{told} is not offered", found.evidence)
    if bad := [one.path for one in offered if wrong(one)]:
        return broken(key, f"{nl}: {bad[0]}", f"{en}: {bad[0]}", found.evidence)
    return holds(key, f"{told} op {len(offered)} paden", f"{told} at {len(offered)} paths", found.evidence)


def _posts(found: Interface) -> Finding:
    """DR002.002: POST makes something, which its answers say (201 or 202), or goes to a collection of FHIR."""
    posts = [one for one in found.operations if one.method == "post"]
    own = [one for one in posts if not one.fhir_call and not (found.statement and _fhir_post(one, found))]
    key = "DR002.002"
    if not posts:
        return outside(key, "POST wordt niet aangeboden", "POST is not offered", found.evidence)
    if bad := [one.path for one in own if not ({"201", "202"} & set(one.body.get("responses") or ()))]:
        return broken(
            key, f"POST die niets maakt: {bad[0]}", f"POST that makes nothing: {bad[0]}", found.evidence
        )
    if own or not any(one.fhir_call for one in posts):
        return holds(key, "POST maakt", "POST creates", found.evidence)
    return outside(
        key,
        "POST alleen waar FHIR dat voorschrijft: zoeken en operaties",
        "POST only where FHIR prescribes it: searches and operations",
        found.evidence,
    )


def _fhir_post(operation: Operation, found: Interface) -> bool:
    """Whether a POST is that of a FHIR type (create) or of the base (batch, transaction)."""
    return (
        not operation.steps
        or operation.steps in {(one,) for one in found.types}
        or operation.steps == ("{type}",)
    )


def _fhir_methods(found: Interface, probe: Probe) -> Sequence[Finding]:
    """What FHIR's own REST API, of which the statement names the interactions, makes of each method."""
    given = {
        str(one.get("code"))
        for resource in found.resources
        for one in resource.get("interaction") or ()
        if isinstance(one, dict)
    }
    made = []
    for number, method, codes in (
        ("001", "GET", {"read", "vread", "search-type", "history-instance", "history-type"}),
        ("002", "POST", {"create"}),
        ("003", "PUT", {"update"}),
        ("004", "PATCH", {"patch"}),
        ("005", "DELETE", {"delete"}),
    ):
        key = f"DR002.{number}"
        if named := sorted(codes & given):
            told = ", ".join(named)
            made.append(
                holds(key, f"{method} voor {told} van FHIR", f"{method} for {told} of FHIR", probe.metadata)
            )
        else:
            made.append(
                outside(key, f"{method} wordt niet aangeboden", f"{method} is not offered", probe.metadata)
            )
    return made


async def predictable_relations(probe: Probe) -> Sequence[Finding]:
    """DR005.001: things in things are reached in one way: below the thing itself, or by reference, as FHIR does."""
    found = await interface(probe)
    stacked = [one for one in found.operations if len(one.names) > 1 and not one.fhir_call]
    known = {one.steps for one in found.operations}
    for one in stacked:
        for place in range(1, len(one.steps)):
            inside = one.steps[place - 1].startswith("{") and not one.steps[place].startswith("{")
            if inside and one.steps[:place] not in known:
                return [
                    broken(
                        "DR005.001",
                        f"{one.path} ligt onder iets dat zelf niet te bereiken is",
                        f"{one.path} lies below something that cannot be reached itself",
                        found.evidence,
                    )
                ]
    if stacked and (both := _both_ways(found.operations)):
        return [
            broken(
                "DR005.001",
                f"{both} is op twee manieren te bereiken: onder iets anders en los met een parameter",
                f"{both} is reached in two ways: below something else, and apart with a parameter",
                found.evidence,
            )
        ]
    if not stacked and not found.types:
        return [outside("DR005.001", "er zijn geen relaties", "there are no relations", found.evidence)]
    return [
        holds(
            "DR005.001",
            "overal op dezelfde manier" if stacked else "overal door verwijzingen van FHIR",
            "the same way everywhere" if stacked else "by FHIR references everywhere",
            found.evidence,
        )
    ]


def _both_ways(operations: Iterable[Operation]) -> str:
    """A collection that is found below a parent and also apart, with the same parent as a parameter; '' for none."""
    below: set[tuple[str, str]] = set()
    apart: set[tuple[str, str]] = set()
    for one in operations:
        for place, step in enumerate(one.steps):
            if step.startswith("{") and 0 < place < len(one.steps) - 1:
                below.add((one.steps[place + 1], step.strip("{}")))
        if len(one.steps) == 1:
            apart |= {
                (one.steps[0], str(given.get("name")))
                for given in one.body.get("parameters") or ()
                if isinstance(given, dict) and given.get("in") == "query"
            }
    return next(iter(sorted(name for name, _ in below & apart)), "")


async def predictable_operations(probe: Probe) -> Sequence[Finding]:
    """DR006.001: operations have one form: `$` before all of them, or before none."""
    found = await interface(probe)
    dollar = {step for one in found.operations for step in one.steps if step.startswith("$")}
    dollar |= {f"${name.lstrip('$')}" for name, _ in found.fhir_operations}
    bare = {name for one in found.operations for name in one.names if _verb(name)}
    if dollar and bare:
        told = f"{min(dollar)}, {min(bare)}"
        return [
            broken(
                "DR006.001",
                f"twee vormen naast elkaar: {told}",
                f"two forms side by side: {told}",
                found.evidence,
            )
        ]
    if not dollar and not bare:
        return [outside("DR006.001", "er zijn geen operaties", "there are no operations", found.evidence)]
    number = len(dollar or bare)
    return [
        holds(
            "DR006.001",
            f"{number} operaties in één vorm",
            f"{number} operations in one form",
            found.evidence,
        )
    ]


def _verb(name: str) -> bool:
    words = _words(name)
    return bool(words and _is_verb(words[0])) and (len(words) > 1 or name.islower())


async def nouns(probe: Probe) -> Sequence[Finding]:
    """DR-R001: no name in a path begins with a verb. Resource types of FHIR are nouns."""
    found = await interface(probe)
    names = list(dict.fromkeys([*(n for one in found.operations for n in one.names), *found.types]))
    if not names:
        raise Unseen("er zijn geen namen om te lezen", "there are no names to read", found.evidence)
    if verbs := [name for name in names if name not in found.types and _verb(name)]:
        told = ", ".join(verbs[:5])
        return [broken("DR-R001", f"werkwoorden als naam: {told}", f"verbs as names: {told}", found.evidence)]
    return [
        holds(
            "DR-R001",
            f"geen werkwoord in {len(names)} namen",
            f"no verb in {len(names)} names",
            found.evidence,
        )
    ]


async def one_number(probe: Probe) -> Sequence[Finding]:
    """DR-R002: collections are named in the singular everywhere, or in the plural everywhere."""
    found = await interface(probe)
    collections = {
        one.steps[place - 1]
        for one in found.operations
        for place in range(1, len(one.steps))
        if one.steps[place].startswith("{") and not one.steps[place - 1].startswith(("{", "$", "_"))
    }
    singular: set[str] = set(found.types)
    plural: set[str] = set()
    for name in collections - singular:
        (plural if _is_plural(name) else singular).add(name)
    if not singular and not plural:
        raise Unseen(
            "er zijn geen verzamelingen om te lezen", "there are no collections to read", found.evidence
        )
    if singular and plural:
        told = f"{min(singular)}, {min(plural)}"
        return [
            broken(
                "DR-R002",
                f"enkelvoud en meervoud door elkaar: {told}",
                f"singular and plural mixed: {told}",
                found.evidence,
            )
        ]
    return [
        holds(
            "DR-R002",
            "overal enkelvoud" if singular else "overal meervoud",
            "singular everywhere" if singular else "plural everywhere",
            found.evidence,
        )
    ]


def _is_plural(name: str) -> bool:
    last = (_words(name) or [""])[-1]
    return last.endswith("s") and not last.endswith(_SINGULAR_S)


CHECKS = (
    Check(("DR001",), english),
    Check(tuple(f"DR002.00{number}" for number in range(1, 6)), methods),
    Check(("DR005.001",), predictable_relations),
    Check(("DR006.001",), predictable_operations),
    Check(("DR-R001",), nouns),
    Check(("DR-R002",), one_number),
)
