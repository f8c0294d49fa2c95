"""The answer to a closed question, read strictly.

Whatever is not exactly the answer to the question that was asked is `AnswerUnusable`: it was not possible to check,
which is neither a yes nor a no. What is in the document is never repeated in an error, for it names the patient.

Source: handbook "Open en gesloten autorisatievraag" 3.8.2; XACML 3.0 core, 5.47 and further (Response) and 7.18
(obligations that are not understood).
"""

from __future__ import annotations

from typing import Literal, cast

from lxml import etree

from schakel.generic.consent.mitz import names
from schakel.generic.consent.mitz.question import ClosedQuestion, CodedValue, InstanceIdentifier, Value
from schakel.generic.consent.mitz.soap import AnswerUnusable, Wrong, children, only, opened

Decision = Literal["Permit", "Deny", "Indeterminate", "NotApplicable"]

_DECISIONS = frozenset({"Permit", "Deny", "Indeterminate", "NotApplicable"})
_RESULT_PARTS = frozenset({"Decision", "Status", "Attributes", "PolicyIdentifierList"})


def decided(facility: str, body: bytes, question: ClosedQuestion, message: str) -> Decision:
    """What Mitz answers to all of `question`, sent as `message`: Permit only when every category has its own.

    One Deny is Deny; without one, a category that is Indeterminate or NotApplicable makes all of it so. Raises
    `AnswerUnusable` in the name of `facility`.
    """
    try:
        decisions = _decisions(
            opened(body, message, f"{{{names.XACML}}}Response", "XACML Response"), question
        )
    except Wrong as wrong:
        raise AnswerUnusable(facility, str(wrong)) from None
    order: tuple[Decision, ...] = ("Deny", "Indeterminate", "NotApplicable", "Permit")
    found = next(one for one in order if one in decisions.values())
    if found == "Indeterminate":
        raise AnswerUnusable(facility, "it answered Indeterminate")
    return found


def _decisions(response: etree._Element, question: ClosedQuestion) -> dict[str, Decision]:
    """The decision for each category that was asked."""
    found: dict[str, Decision] = {}
    for result in children(response):
        if result.tag != f"{{{names.XACML}}}Result":
            raise Wrong("something beside a Result")
        category, decision = _result(result, question)
        if category in found:
            raise Wrong("two Results for one category")
        found[category] = decision
    if found.keys() != set(question.categories):
        raise Wrong("no Result for a category that was asked")
    return found


# -- a result --------------------------------------------------------------------------------------------------


def _result(result: etree._Element, question: ClosedQuestion) -> tuple[str, Decision]:
    """The category that a Result is about, and its decision."""
    for child in children(result):
        if child.tag not in {f"{{{names.XACML}}}{part}" for part in _RESULT_PARTS}:
            # An obligation or advice that we do not know makes a permit none.
            raise Wrong("a Result with something that is not understood")
    decision = only(result, names.XACML, "Decision")
    if len(decision) or decision.text not in _DECISIONS:
        raise Wrong("a Result without a decision")
    if decision.text == "Permit":
        _check_status(result)
    return _echoed_category(result, question), cast(Decision, decision.text)


def _check_status(result: etree._Element) -> None:
    """A permit is not one when its status says that something went wrong."""
    for status in result.findall(f"{{{names.XACML}}}Status"):
        for code in status.iter(f"{{{names.XACML}}}StatusCode"):
            if code.get("Value") != names.STATUS_OK:
                raise Wrong("a Permit with a status of failure")


def _echoed_category(result: etree._Element, question: ClosedQuestion) -> str:
    """The category that the echo names; patient and holder, and all else that is repeated, must be as asked."""
    echoed = _echo(result)
    asked: dict[tuple[str, str], set[Value]] = {}
    for group in question.attributes():
        for one in group.attributes:
            asked.setdefault((group.category, one.name), set()).add(_bare(one.value))
    for key, values in echoed.items():
        if key in asked and (len(values) != 1 or not asked[key] >= set(values)):
            raise Wrong("it is about another question")
        if key == (names.SUBJECT, names.MANDATED) and key not in asked:
            raise Wrong("it is about another user")
    for needed in (
        (names.RESOURCE, names.PATIENT),
        (names.RESOURCE, names.HOLDER),
        (names.ACTIONS, names.EVENT),
    ):
        if needed not in echoed:
            raise Wrong("it does not say what it is about")
    [category] = echoed[names.ACTIONS, names.EVENT]
    assert isinstance(category, CodedValue)  # as asked
    return category.code


def _echo(result: etree._Element) -> dict[tuple[str, str], list[Value | None]]:
    """The values that a Result repeats, by category and name; None for one that cannot be read."""
    found: dict[tuple[str, str], list[Value | None]] = {}
    for group in result.findall(f"{{{names.XACML}}}Attributes"):
        for one in group.findall(f"{{{names.XACML}}}Attribute"):
            key = (group.get("Category", ""), one.get("AttributeId", ""))
            values = one.findall(f"{{{names.XACML}}}AttributeValue")
            found.setdefault(key, []).extend(map(_value, values) if values else [None])
    return found


def _value(element: etree._Element) -> Value | None:
    inner = children(element)
    if len(inner) != 1:
        return None
    kind, one = element.get("DataType"), inner[0]
    if kind == names.II and one.tag == f"{{{names.HL7}}}InstanceIdentifier":
        return InstanceIdentifier(one.get("root", ""), one.get("extension", ""))
    if kind == names.CV and one.tag == f"{{{names.HL7}}}CodedValue":
        return CodedValue(one.get("code", ""), one.get("codeSystem", ""))
    return None


def _bare(value: Value) -> Value:
    """A value as it is compared: without the name of who gives out the numbers."""
    return value if isinstance(value, CodedValue) else InstanceIdentifier(value.root, value.extension)
