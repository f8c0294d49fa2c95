"""Presentation definitions: which credentials, with which values, a scope asks for (DIF Presentation Exchange 2.0).

Definitions are data, as published by `presentation_definition_endpoint`. What is read of them is all that is promised:
a definition with a feature that is not supported (submission_requirements, limit_disclosure, ...) is refused when it
is read, so that no condition is ever silently left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from schakel.fhir import regex
from schakel.generic.identity.credentials import jsonpath
from schakel.generic.identity.credentials.model import Credential
from schakel.generic.identity.credentials.reading import items
from schakel.generic.identity.credentials.refusals import shown
from schakel.kernel.outcomes import Invalid

_DEFINITION = frozenset({"id", "name", "purpose", "format", "input_descriptors"})
_DESCRIPTOR = frozenset({"id", "name", "purpose", "format", "constraints"})
_FIELD = frozenset({"id", "name", "purpose", "path", "filter", "optional"})
_FILTER = frozenset({"type", "const", "enum", "pattern", "contains"})
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "number": (int, Decimal),
    "integer": int,
    "array": list,
    "object": Mapping,
}
RESERVED = frozenset({"iss", "sub", "exp", "iat", "active", "client_id", "scope", "cnf", "jti", "aud", "nbf"})
"""Names of claims of an introspection answer, which a field may not take (Nuts RFC021)."""

MAX_VALUE = 1_000
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_OF_CREDENTIALS = frozenset({"jwt_vc", "ldp_vc"})

Formats = Mapping[str, tuple[str, ...]]
"""Algorithms or types of proof by format; none means all of them."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on one value, in the part of JSON Schema that definitions use."""

    members: Mapping[str, Any]

    @classmethod
    def read(cls, members: Mapping[str, Any], where: str) -> Filter:
        """Raises `Invalid` for a keyword or a pattern that is not supported."""
        _only(members, _FILTER, where)
        if (kind := members.get("type")) is not None and (not isinstance(kind, str) or kind not in _TYPES):
            raise _wrong(f"{where}.type", f"{kind!r} is not a type that is known")
        pattern = members.get("pattern", "")
        if not isinstance(pattern, str) or regex.compiled(pattern).groups > 1:
            raise _wrong(f"{where}.pattern", "a regular expression with at most one group is needed")
        if not isinstance(members.get("enum", []), list):
            raise _wrong(f"{where}.enum", "a list is needed")
        if (contains := members.get("contains")) is not None:
            if not isinstance(contains, Mapping):
                raise _wrong(f"{where}.contains", "an object is needed")
            cls.read(contains, f"{where}.contains")
        return cls(members)

    def value(self, value: object) -> str | None:
        """What `value` is worth as text when it meets the condition (the group of the pattern, if it has one), else
        None. A text with control characters, which no log and no database takes, meets none. A list meets it when an
        element does, unless the condition is on the list itself."""
        kind = self.members.get("type")
        if isinstance(value, list) and kind != "array":
            return next((met for one in value if (met := self.value(one)) is not None), None)
        if kind is not None and not _is(value, kind):
            return None
        if "const" in self.members and not _equal(value, self.members["const"]):
            return None
        if "enum" in self.members and not any(_equal(value, one) for one in self.members["enum"]):
            return None
        if (contains := self.members.get("contains")) is not None:
            elements = value if isinstance(value, list) else []
            return next((met for one in elements if (met := Filter(contains).value(one)) is not None), None)
        text = value if isinstance(value, str) else _text(value)
        if _NO_TEXT.search(text):
            return None
        if (pattern := self.members.get("pattern")) is not None:
            if not isinstance(value, str) or len(value) > MAX_VALUE:
                return None
            match = regex.compiled(pattern).search(value)
            if match is None:
                return None
            return str(match.group(1) or "") if match.re.groups else value
        return text

    def told(self) -> str:
        """The condition in words."""
        parts = [f"{name} {self.members[name]!r}" for name in sorted(self.members)]
        return ", ".join(parts) or "anything"


@dataclass(frozen=True, slots=True)
class Field:
    """A value that a credential must have at one of `paths`; `id` is the name of the claim it becomes, or ''."""

    id: str
    paths: tuple[str, ...]
    filter: Filter
    optional: bool

    def value(self, credential: Credential) -> str | None:
        """The first value that meets the condition, None when there is none."""
        for path in self.paths:
            for document in _views(credential):
                for found in jsonpath.values(document, path):
                    if (value := self.filter.value(found)) is not None:
                        return value
        return None

    def told(self) -> str:
        """The field in words, for a refusal."""
        name = f"{self.id} at " if self.id else ""
        return f"{name}{' or '.join(self.paths)} ({self.filter.told()})"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One credential that is asked for. `formats` are those that both it and its definition name, None when neither
    names any."""

    id: str
    fields: tuple[Field, ...]
    formats: Formats | None
    type: str

    def values(self, credential: Credential) -> tuple[dict[str, str], list[str]]:
        """The values by field id, and what is missing or wrong in words; `credential` fits when nothing is."""
        values: dict[str, str] = {}
        missing = []
        if (reason := self._format(credential)) is not None:
            missing.append(reason)
        for field in self.fields:
            value = field.value(credential)
            if value is not None and field.id:
                values[field.id] = value
            elif value is None and not field.optional:
                missing.append(f"it has no {field.told()}")
        return values, missing

    def told(self) -> str:
        """The descriptor in words."""
        return f"{self.id} ({self.type})" if self.type else self.id

    def _format(self, credential: Credential) -> str | None:
        """Why the format does not fit. Objects that the presentation itself vouches for have no proof to ask of."""
        made_with = _proofs(credential)
        if self.formats is None or not made_with:
            return None
        asked = self.formats.get(credential.format)
        if asked is None:
            return f"its format is {credential.format}, and {' or '.join(sorted(self.formats))} is asked"
        if asked and not set(asked) & set(made_with):
            return f"it is signed with {shown(' and '.join(made_with))}, and {' or '.join(asked)} is asked"
        return None


@dataclass(frozen=True, slots=True)
class Definition:
    """A presentation definition."""

    id: str
    descriptors: tuple[Descriptor, ...]
    members: Mapping[str, Any]

    def json(self) -> Mapping[str, Any]:
        """As it is published."""
        return self.members

    @classmethod
    def read(cls, members: object) -> Definition:
        """The definition in a JSON object. Raises `Invalid` that names the member at fault."""
        if not isinstance(members, Mapping):
            raise _wrong("presentation_definition", "an object is needed")
        _only(members, _DEFINITION, "presentation_definition")
        name, listed = members.get("id"), members.get("input_descriptors")
        if not isinstance(name, str) or not name:
            raise _wrong("id", "text is needed")
        if not isinstance(listed, list) or not listed:
            raise _wrong("input_descriptors", "one or more are needed")
        formats = _formats(members.get("format"), "format")
        descriptors = tuple(
            _descriptor(one, f"input_descriptors[{place}]", formats) for place, one in enumerate(listed)
        )
        ids = [one.id for one in descriptors]
        fields = [field.id for one in descriptors for field in one.fields if field.id]
        for what in (ids, fields):
            if len(set(what)) < len(what):
                raise _wrong("input_descriptors", "an id stands twice")
        return cls(name, descriptors, members)


def _descriptor(value: object, where: str, formats: Formats | None) -> Descriptor:
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object is needed")
    _only(value, _DESCRIPTOR, where)
    name, constraints = value.get("id"), value.get("constraints")
    if not isinstance(name, str) or not name:
        raise _wrong(f"{where}.id", "text is needed")
    if not isinstance(constraints, Mapping):
        raise _wrong(f"{where}.constraints", "an object is needed")
    _only(constraints, frozenset({"fields"}), f"{where}.constraints")
    listed = constraints.get("fields")
    if not isinstance(listed, list) or not listed:
        raise _wrong(f"{where}.constraints.fields", "one or more are needed")
    fields = tuple(_field(one, f"{where}.constraints.fields[{place}]") for place, one in enumerate(listed))
    kinds = [
        str(field.filter.members["const"])
        for field in fields
        if "$.type" in field.paths and "const" in field.filter.members
    ]
    both = _common(formats, _formats(value.get("format"), f"{where}.format"))
    if both is not None and not _OF_CREDENTIALS & both.keys():
        raise _wrong(
            f"{where}.format",
            "no credential can have it: what a descriptor asks must stand in the format of its definition too",
        )
    return Descriptor(name, fields, both, kinds[0] if kinds else "")


def _field(value: object, where: str) -> Field:
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object is needed")
    _only(value, _FIELD, where)
    name, paths, condition = value.get("id", ""), value.get("path"), value.get("filter", {})
    if not isinstance(name, str) or name in RESERVED:
        raise _wrong(f"{where}.id", f"text that is not one of {', '.join(sorted(RESERVED))} is needed")
    if not isinstance(paths, list) or not paths or not all(isinstance(one, str) for one in paths):
        raise _wrong(f"{where}.path", "a list of paths is needed")
    for path in paths:
        jsonpath.steps(path)
    if not isinstance(condition, Mapping):
        raise _wrong(f"{where}.filter", "an object is needed")
    optional = value.get("optional", False)
    if not isinstance(optional, bool):
        raise _wrong(f"{where}.optional", "true or false is needed")
    return Field(name, tuple(paths), Filter.read(condition, f"{where}.filter"), optional)


def _formats(value: object, where: str) -> Formats | None:
    """Algorithms or proof types by format; None when every format will do."""
    if value is None or value == {}:
        return None
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object is needed")
    found = {}
    for name, rules in value.items():
        listed = rules.get("alg", rules.get("proof_type", [])) if isinstance(rules, Mapping) else None
        if not isinstance(listed, list):
            raise _wrong(f"{where}.{name}", "an object with a list alg or proof_type is needed")
        found[str(name)] = tuple(map(str, listed))
    return found


def _common(one: Formats | None, other: Formats | None) -> Formats | None:
    """What both allow: a credential must have the format of its descriptor and that of the definition."""
    if one is None or other is None:
        return other if one is None else one
    both: dict[str, tuple[str, ...]] = {}
    for name in one.keys() & other.keys():
        if not (one[name] and other[name]):  # an empty list leaves it open
            both[name] = one[name] or other[name]
        elif made := tuple(each for each in one[name] if each in other[name]):
            both[name] = made
    return both


def _proofs(credential: Credential) -> tuple[str, ...]:
    """With what a credential was signed: the algorithm of a JWT, the types of the proofs in an object."""
    if credential.jwt is not None:
        return (credential.jwt.algorithm,)
    proofs = items(credential.document.get("proof"))
    return tuple(str(one.get("type")) for one in proofs if isinstance(one, Mapping))


def _views(credential: Credential) -> tuple[Mapping[str, Any], ...]:
    """The credential as paths may see it: credentialSubject a list, and as its only element."""
    listed = credential.document
    single = {**listed, "credentialSubject": credential.subject}
    return {**listed, "vc": listed}, {**single, "vc": single}


def _only(members: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    if unknown := set(members) - known:
        raise _wrong(f"{where}.{min(unknown)}", "is not supported here")


def _is(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _equal(one: object, other: object) -> bool:
    """Whether two JSON values are equal; true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _text(value: object) -> str:
    """A value that is not text, as the value of a claim."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | Decimal) else ""


def _wrong(where: str, what: str) -> Invalid:
    return Invalid(f"{where}: {what}", code="definition-invalid", expression=where)
