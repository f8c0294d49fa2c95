"""String functions (FHIRPath N1 2.0, section 5.6). Regular expressions run in linear time (RE2)."""

from __future__ import annotations

import base64
import binascii
import html
import json
from collections.abc import Callable
from typing import Any

import re2

from schakel.fhir.fhirpath.nodes import EMPTY, Evaluation, Nodes, boolean, bounded, integer, string
from schakel.fhir.fhirpath.registry import function, text, whole
from schakel.fhir.regex import compiled
from schakel.kernel.outcomes import Invalid

_STRING = "System.String"
_BOOLEAN = "System.Boolean"


@function("indexOf", 1, result="System.Integer")
def _index_of(evaluation: Evaluation, nodes: Nodes, part: Nodes) -> Nodes:
    value, wanted = text(nodes, "indexOf()"), text(part, "indexOf()")
    return EMPTY if value is None or wanted is None else integer(value.find(wanted))


@function("lastIndexOf", 1, result="System.Integer")
def _last_index_of(evaluation: Evaluation, nodes: Nodes, part: Nodes) -> Nodes:
    value, wanted = text(nodes, "lastIndexOf()"), text(part, "lastIndexOf()")
    return EMPTY if value is None or wanted is None else integer(value.rfind(wanted))


@function("substring", 1, 2, result=_STRING)
def _substring(evaluation: Evaluation, nodes: Nodes, start: Nodes, length: Nodes | None = None) -> Nodes:
    value, begin = text(nodes, "substring()"), whole(start, "substring()")
    if value is None or begin is None or not 0 <= begin < len(value):
        return EMPTY
    count = None if length is None else whole(length, "substring()")
    return string(value[begin:] if count is None else value[begin : begin + max(count, 0)])


@function("startsWith", 1, result=_BOOLEAN)
def _starts_with(evaluation: Evaluation, nodes: Nodes, part: Nodes) -> Nodes:
    value, wanted = text(nodes, "startsWith()"), text(part, "startsWith()")
    return EMPTY if value is None or wanted is None else boolean(value.startswith(wanted))


@function("endsWith", 1, result=_BOOLEAN)
def _ends_with(evaluation: Evaluation, nodes: Nodes, part: Nodes) -> Nodes:
    value, wanted = text(nodes, "endsWith()"), text(part, "endsWith()")
    return EMPTY if value is None or wanted is None else boolean(value.endswith(wanted))


@function("contains", 1, result=_BOOLEAN)
def _contains(evaluation: Evaluation, nodes: Nodes, part: Nodes) -> Nodes:
    value, wanted = text(nodes, "contains()"), text(part, "contains()")
    return EMPTY if value is None or wanted is None else boolean(wanted in value)


@function("upper", result=_STRING)
def _upper(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = text(nodes, "upper()")
    return EMPTY if value is None else string(value.upper())


@function("lower", result=_STRING)
def _lower(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = text(nodes, "lower()")
    return EMPTY if value is None else string(value.lower())


@function("replace", 2, result=_STRING)
def _replace(evaluation: Evaluation, nodes: Nodes, part: Nodes, by: Nodes) -> Nodes:
    value, old, new = text(nodes, "replace()"), text(part, "replace()"), text(by, "replace()")
    if value is None or old is None or new is None:
        return EMPTY
    bounded(len(value) + value.count(old) * len(new))
    return string(value.replace(old, new))


@function("matches", 1, result=_BOOLEAN)
def _matches(evaluation: Evaluation, nodes: Nodes, regex: Nodes) -> Nodes:
    value, wanted = text(nodes, "matches()"), text(regex, "matches()")
    if value is None or wanted is None:
        return EMPTY
    return boolean(compiled(wanted).search(value) is not None)


@function("matchesFull", 1, result=_BOOLEAN)
def _matches_full(evaluation: Evaluation, nodes: Nodes, regex: Nodes) -> Nodes:
    value, wanted = text(nodes, "matchesFull()"), text(regex, "matchesFull()")
    if value is None or wanted is None:
        return EMPTY
    return boolean(compiled(wanted).fullmatch(value) is not None)


@function("replaceMatches", 2, result=_STRING)
def _replace_matches(evaluation: Evaluation, nodes: Nodes, regex: Nodes, by: Nodes) -> Nodes:
    """The substitution names groups as `$1` or `${name}`."""
    value, wanted, new = (text(n, "replaceMatches()") for n in (nodes, regex, by))
    if value is None or wanted is None or new is None:
        return EMPTY
    if not wanted:
        return string(value)
    bounded(len(value) * max(len(new), 1))
    return string(str(compiled(wanted).sub(lambda match: _substituted(match, new), value)))


def _substituted(match: Any, template: str) -> str:
    out, at = [], 0
    for reference in _REFERENCE.finditer(template):
        out.append(template[at : reference.start()])
        name = reference.group(1) or reference.group(2)
        try:
            out.append(match.group(int(name) if name.isdigit() else name) or "")
        except (IndexError, KeyError) as error:
            raise Invalid(
                f"FHIRPath: the regular expression has no group {name!r}", code="fhirpath-invalid-regex"
            ) from error
        at = reference.end()
    return "".join(out) + template[at:]


_REFERENCE = re2.compile(r"\$(?:(\d+)|\{(\w+)\})")


@function("length", result="System.Integer")
def _length(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = text(nodes, "length()")
    return EMPTY if value is None else integer(len(value))


@function("toChars", result=_STRING)
def _to_chars(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = text(nodes, "toChars()")
    evaluation.spend(len(value or ""))
    return [node for character in value or "" for node in string(character)]


@function("trim", result=_STRING)
def _trim(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = text(nodes, "trim()")
    return EMPTY if value is None else string(value.strip())


@function("split", 1, result=_STRING)
def _split(evaluation: Evaluation, nodes: Nodes, separator: Nodes) -> Nodes:
    value, by = text(nodes, "split()"), text(separator, "split()")
    if value is None or by is None:
        return EMPTY
    parts = value.split(by) if by else list(value)
    evaluation.spend(len(parts))
    return [node for part in parts for node in string(part)]


@function("join", 0, 1, result=_STRING)
def _join(evaluation: Evaluation, nodes: Nodes, separator: Nodes | None = None) -> Nodes:
    by = text(separator, "join()") if separator else ""
    parts = [text([node], "join()") for node in nodes]
    bounded(len(by or "") * len(parts) + sum(len(part or "") for part in parts))
    return string((by or "").join(part for part in parts if part is not None)) if nodes else EMPTY


_ENCODERS: dict[str, Callable[[bytes], str]] = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "urlbase64": lambda data: base64.urlsafe_b64encode(data).decode(),
    "hex": lambda data: data.hex(),
}
_DECODERS: dict[str, Callable[[str], bytes]] = {
    "base64": lambda value: base64.b64decode(value, validate=True),
    "urlbase64": lambda value: base64.b64decode(value, altchars=b"-_", validate=True),
    "hex": bytes.fromhex,
}


@function("encode", 1, result=_STRING)
def _encode(evaluation: Evaluation, nodes: Nodes, form: Nodes) -> Nodes:
    value, name = text(nodes, "encode()"), text(form, "encode()")
    if value is None or name not in _ENCODERS:
        return EMPTY
    return string(_ENCODERS[name](value.encode()))


@function("decode", 1, result=_STRING)
def _decode(evaluation: Evaluation, nodes: Nodes, form: Nodes) -> Nodes:
    value, name = text(nodes, "decode()"), text(form, "decode()")
    if value is None or name not in _DECODERS:
        return EMPTY
    try:
        return string(_DECODERS[name](value).decode())
    except (ValueError, binascii.Error):
        return EMPTY


@function("escape", 1, result=_STRING)
def _escape(evaluation: Evaluation, nodes: Nodes, form: Nodes) -> Nodes:
    value, name = text(nodes, "escape()"), text(form, "escape()")
    if value is None or name not in ("html", "json"):
        return EMPTY
    return string(html.escape(value) if name == "html" else json.dumps(value, ensure_ascii=False)[1:-1])


@function("unescape", 1, result=_STRING)
def _unescape(evaluation: Evaluation, nodes: Nodes, form: Nodes) -> Nodes:
    value, name = text(nodes, "unescape()"), text(form, "unescape()")
    if value is None or name not in ("html", "json"):
        return EMPTY
    if name == "html":
        return string(html.unescape(value))
    try:
        return string(str(json.loads(f'"{value}"')))
    except ValueError:
        return EMPTY
