"""Extensions: their form, and those of the specification in the place and with the content they are made for."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from schakel.fhir.definitions import ExtensionDefinition, extension_of
from schakel.fhir.definitions.extensions import extension_table
from schakel.fhir.fhirpath import compile_expression
from schakel.fhir.places import At, definition_path
from schakel.fhir.validation.run import Run, Scope, dicts, text
from schakel.fhir.validation.uris import SCHEME
from schakel.kernel.outcomes import Outcome

_PATTERNS = frozenset({"example", "fixed", "pattern", "defaultValue", "minValue", "maxValue"})


class Holder(NamedTuple):
    """What holds an extension: the object (for a primitive its `_name` part), its place, and its type and path.

    In an extension, `names` has `extension:` and the url of that one too.
    """

    value: dict[str, Any]
    names: tuple[str, ...]
    at: At


def check(run: Run, value: dict[str, Any], modifier: bool, place: Holder, scope: Scope, at: At) -> None:
    """Check an extension on what `place` says."""
    url = text(value.get("url"))
    if not url or place.names[0] == "Extension":  # a nested one has a name within its parent
        return
    if not SCHEME(url):
        run.error("value", "the url of an extension is absolute", (at, "url", None))
        return
    if "|" in url:
        run.error("value", "the url of an extension has no version", (at, "url", None))
    defined = _definition(run, url.partition("|")[0])
    if defined is None:
        if modifier:
            run.error("extension", f"the modifier extension {url} is not known: it may mean anything", at)
        else:
            run.could_not_check(f"the extension {url}", at)
        return
    if defined.modifier != modifier:
        needed = "modifierExtension" if defined.modifier else "extension"
        run.error("extension", f"the extension {url} belongs in {needed}", at)
    _placed(run, url, defined, place, scope, at)
    _content(run, value, defined, at)


def _definition(run: Run, url: str) -> ExtensionDefinition | None:
    """The definition of an extension: of the specification, else the one that can be found."""
    defined = run.known.extensions.get(url)
    if defined is not None or run.find is None:
        return defined
    key = f"extension {url}"
    if key not in run.cache:
        found, made = run.find(url), None
        if found is not None and found.get("type") == "Extension":
            with suppress(KeyError, TypeError, AttributeError, ValueError):
                made = extension_of(extension_table(found))
        run.cache[key] = made
    cached: ExtensionDefinition | None = run.cache[key]
    return cached


def _placed(run: Run, url: str, defined: ExtensionDefinition, place: Holder, scope: Scope, at: At) -> None:
    """Report an extension that stands where none of its contexts allows it."""
    if not defined.contexts:
        return
    kind = text(scope.resource.get("resourceType"))
    path = definition_path(place.at, scope.at, kind)
    if kind == "StructureDefinition" and not _PATTERNS.isdisjoint(path.split(".")):
        return  # part of a value that is described, in whatever place that comes to stand
    places = {"Element", *place.names, path}
    for name in place.names:
        while name and name in run.known.types:
            places.add(name)
            name = run.known.types[name].base
    for context in defined.contexts:
        form, colon, expression = context.partition(":")
        if context in place.names:
            return
        if not colon:
            element = context.replace("[x]", "")
            if element in places or element in ("*", "Any"):
                return
            if element.partition(".")[0] not in run.known.types:
                return  # a place of another FHIR version
        elif form == "fhirpath" and _found_by(run, expression, place, scope):
            return
    shown = ", ".join(defined.contexts[:5])
    run.error("extension", f"the extension {url} may not stand here, only on {shown}", at)


def _found_by(run: Run, expression: str, place: Holder, scope: Scope) -> bool:
    """Whether the expression of a context finds the element; one that cannot be run is not held against it."""
    kind = text(scope.resource.get("resourceType"))
    try:
        found = compile_expression(expression, run.known, context=kind).evaluate(
            scope.resource, variables=scope.variables, steps=run.options.expression_steps
        )
    except Outcome:
        return True
    return any(node.value is place.value or node.extra is place.value for node in found)


def _content(run: Run, value: dict[str, Any], defined: ExtensionDefinition, at: At) -> None:
    inner = dicts(value.get("extension"))
    if defined.nested:
        _nested(run, inner, defined, at)
        return
    given = next((name for name in value if name.startswith(("value", "_value"))), "")
    if not given or defined.types is None:
        return
    types = {kind[:1].upper() + kind[1:] for kind in defined.types}
    if given.lstrip("_").removeprefix("value") not in types:
        shown = " or ".join(sorted(defined.types))
        run.error("structure", f"the value of this extension is a {shown}", (at, "value", None))


def _nested(run: Run, inner: list[dict[str, Any]], defined: ExtensionDefinition, at: At) -> None:
    counts = dict.fromkeys(defined.nested, 0)
    for index, extension in enumerate(inner):
        url = text(extension.get("url"))
        where: At = (at, "extension", index)
        if url in counts:
            counts[url] += 1
            _content(run, extension, defined.nested[url], where)
        elif not SCHEME(url):
            run.error("extension", f"this extension has no part {url[:64]!r}", where)
    for url, nested in defined.nested.items():
        if counts[url] < nested.min:
            run.error("required", f"the part {url!r} of this extension is required", at)
        elif nested.max and counts[url] > nested.max:
            run.error("structure", f"the part {url!r} may stand {nested.max} times", at)
