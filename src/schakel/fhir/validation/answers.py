"""The answers to one question: their type, whether they are among the options, and their limits."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from schakel.fhir.json import Resource
from schakel.fhir.places import At
from schakel.fhir.regex import compiled
from schakel.fhir.validation import terminology
from schakel.fhir.validation.enablement import compare, value_of
from schakel.fhir.validation.run import Run, dicts, text
from schakel.kernel.outcomes import Outcome

_TYPES: Mapping[str, frozenset[str]] = {
    "boolean": frozenset({"boolean"}),
    "decimal": frozenset({"decimal"}),
    "integer": frozenset({"integer"}),
    "date": frozenset({"date"}),
    "dateTime": frozenset({"dateTime"}),
    "time": frozenset({"time"}),
    "string": frozenset({"string"}),
    "text": frozenset({"string"}),
    "url": frozenset({"uri"}),
    "choice": frozenset({"Coding"}),
    "open-choice": frozenset({"Coding", "string"}),
    "attachment": frozenset({"Attachment"}),
    "reference": frozenset({"Reference"}),
    "quantity": frozenset({"Quantity"}),
}
_EXTENSION = "http://hl7.org/fhir/StructureDefinition/"
_SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-"


def extension_of(held: dict[str, Any], name: str) -> Any:
    """The value of an extension of the specification (or, where it went later, of SDC); None without it."""
    for extension in dicts(held.get("extension")):
        if extension.get("url") in (_EXTENSION + name, _SDC + name):
            found = value_of(extension, "value")
            return None if found is None else found[1]
    return None


def check_answers(
    run: Run,
    question: dict[str, Any],
    kind: str,
    answers: list[dict[str, Any]],
    questionnaire: Resource,
    at: At,
) -> None:
    """Check every answer in an item, against the question."""
    options = dicts(question.get("answerOption")) or dicts(question.get("option"))
    allowed = _TYPES.get(kind, frozenset())
    if kind in ("choice", "open-choice") and options:
        allowed |= {option[0] for held in options if (option := value_of(held, "value"))}
        if kind == "choice" and not any("valueCoding" in option for option in options):
            allowed -= {"Coding"}
    for index, answer in enumerate(answers):
        where: At = (at, "answer", index)
        value = value_of(answer, "value")
        if value is None:
            continue
        if allowed and value[0] not in allowed:
            shown = " or ".join(sorted(allowed))
            run.error("structure", f"the answer must be a {shown}, not a {value[0]}", (where, "value", None))
            continue
        if options:
            _among_options(run, kind, options, value, len(answers), where)
        elif value[0] == "Coding":
            _in_value_set(run, question, value[1], questionnaire, where)
        _limits(run, question, value, where)


def _among_options(
    run: Run, kind: str, options: list[dict[str, Any]], value: tuple[str, Any], count: int, at: At
) -> None:
    if kind == "open-choice" and value[0] == "string":
        return
    for option in options:
        offered = value_of(option, "value")
        if offered is not None and offered[0] == value[0] and _same(run, offered, value):
            if count > 1 and extension_of(option, "questionnaire-optionExclusive") is True:
                run.error("business-rule", "this option excludes every other answer", at)
            return
    run.error("code-invalid", "the answer is none of the options of the question", at)


def _same(run: Run, offered: tuple[str, Any], value: tuple[str, Any]) -> bool:
    if value[0] == "Reference":
        return bool(offered[1].get("reference") == value[1].get("reference"))
    return compare(run, "=", value, offered) is True


def _in_value_set(
    run: Run, question: dict[str, Any], coding: dict[str, Any], questionnaire: Resource, at: At
) -> None:
    named = question.get("answerValueSet", question.get("options"))
    url = text(named.get("reference")) if isinstance(named, dict) else text(named)
    if not url:
        return
    codes = terminology.codes_of(run, url, questionnaire)
    if codes is None:
        run.could_not_check(f"answers against the value set {url[:300]}", at, "warning")
    elif not terminology.has(codes, coding):
        run.error("code-invalid", f"the code is not in the value set {url[:300]}", at)


def _limits(run: Run, question: dict[str, Any], value: tuple[str, Any], at: At) -> None:
    kind, held = value
    where: At = (at, "value", None)
    if isinstance(held, str):
        _text_limits(run, question, held, where)
    if kind == "Attachment":
        _attachment_limits(run, question, held, at)
    if kind == "decimal" and isinstance(held, int | Decimal):
        places = extension_of(question, "maxDecimalPlaces")
        exponent = Decimal(held).as_tuple().exponent
        if isinstance(places, int) and isinstance(exponent, int) and -exponent > places:
            run.error("value", f"at most {places} decimals may be given", where)
    for names, operator, word in (
        (("minValue", "questionnaire-minQuantity"), ">=", "least"),
        (("maxValue", "questionnaire-maxQuantity"), "<=", "most"),
    ):
        for name in names:
            bound = extension_of(question, name)
            if bound is None:
                continue
            found = compare(run, operator, value, (kind, bound))
            if found is None:
                run.error("value", f"the answer cannot be compared with what it must be at {word}", where)
            elif not found:
                run.error("value", f"the answer is beyond what it may be at {word}", where)


def _text_limits(run: Run, question: dict[str, Any], value: str, at: At) -> None:
    longest, shortest = question.get("maxLength"), extension_of(question, "minLength")
    if isinstance(longest, int) and len(value) > longest:
        run.error("value", f"the answer is longer than {longest} characters", at)
    if isinstance(shortest, int) and len(value) < shortest:
        run.error("value", f"the answer is shorter than {shortest} characters", at)
    pattern = extension_of(question, "regex")
    if isinstance(pattern, str):
        try:
            fits = compiled(pattern).fullmatch(value) is not None
        except Outcome:
            run.could_not_check(f"the pattern {pattern[:100]!r}", at)
            return
        if not fits:
            run.error("value", "the answer does not have the form that is asked", at)


def _attachment_limits(run: Run, question: dict[str, Any], value: Any, at: At) -> None:
    types = [
        text(extension.get("valueCode"))
        for extension in dicts(question.get("extension"))
        if extension.get("url") == _EXTENSION + "mimeType"
    ]
    if types and value.get("contentType") not in types:
        run.error("value", f"only {', '.join(types)} may be attached", at)
    largest = extension_of(question, "maxSize")
    data, size = value.get("data"), value.get("size")
    if isinstance(data, str):
        try:
            size = len(binascii.a2b_base64(data))
        except ValueError:
            return
    if isinstance(largest, int | Decimal) and isinstance(size, int) and size > largest:
        run.error("value", f"at most {largest} bytes may be attached", at)
