"""An answer of Mitz counts only when it is exactly the answer to the question: one fault at a time, and at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mitz import (
    BSN,
    FAULT,
    HOLDER,
    MESSAGE,
    OTHER_BSN,
    QUESTION,
    action,
    answer,
    coded,
    group,
    identifier,
    resource,
    result,
)

from schakel.generic.consent.mitz import AnswerUnusable, Decision
from schakel.generic.consent.mitz.answer import decided

TWO = replace(QUESTION, categories=("GGC002", "GGC013"))
SUBJECT = "urn:oasis:names:tc:xacml:1.0:subject-category:access-subject"
XACML = "urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"


def read(body: bytes) -> Decision:
    return decided("Mitz", body, QUESTION, MESSAGE)


def test_a_permit_with_the_echo_of_the_question_counts() -> None:
    assert read(answer(result())) == "Permit"


@pytest.mark.parametrize("decision", ["Deny", "NotApplicable"])
def test_a_no_is_told_as_it_is(decision: str) -> None:
    assert read(answer(result(decision))) == decision


def test_comments_blanks_and_another_prefix_change_nothing() -> None:
    body = answer(result()).replace(b"<s:", b"<soap:").replace(b"</s:", b"</soap:")
    body = body.replace(b"xmlns:s=", b"xmlns:soap=")
    body = body.replace(b"><", b">\n <!-- x --><").replace(b"?>\n <!-- x -->", b"?>", 1)
    assert read(body) == "Permit"


def test_each_category_needs_its_own_permit() -> None:
    def both(first: str, second: str) -> Decision:
        body = answer(result(first), result(second, category="GGC013"))
        return decided("Mitz", body, TWO, MESSAGE)

    assert both("Permit", "Permit") == "Permit"
    assert both("Permit", "Deny") == both("Deny", "Permit") == "Deny"
    assert both("NotApplicable", "Permit") == "NotApplicable"
    assert both("Indeterminate", "Deny") == "Deny"
    with pytest.raises(AnswerUnusable, match="Indeterminate"):
        both("Permit", "Indeterminate")


GOOD = answer(result())
STATUS = '<Status><StatusCode Value="urn:oasis:names:tc:xacml:1.0:status:{}"/></Status>'


def with_echo(*more: str) -> bytes:
    return answer(result().replace("</Result>", f"{''.join(more)}</Result>"))


UNUSABLE: dict[str, tuple[bytes, str]] = {
    "another message": (answer(result(), relates="urn:uuid:other"), "another question"),
    "no RelatesTo": (GOOD.replace(b"a:RelatesTo", b"a:MessageID"), "another question"),
    "two RelatesTo": (
        GOOD.replace(
            b"</s:Header>",
            b'<a:RelatesTo xmlns:a="http://www.w3.org/2005/08/addressing">urn:uuid:2</a:RelatesTo></s:Header>',
        ),
        "another question",
    ),
    "no header": (GOOD.replace(b"s:Header", b"s:Other"), "not one Header"),
    "another patient": (answer(result(bsn=OTHER_BSN)), "another question"),
    "another holder": (answer(result(holder="33333333")), "another question"),
    "another category": (answer(result(category="GGC013")), "another question"),
    "another root": (
        GOOD.replace(b"2.16.840.1.113883.2.4.6.3", b"2.16.840.1.113883.2.4.6.1"),
        "another question",
    ),
    "another code system": (GOOD.replace(b"2.4.3.111.5.10.1", b"2.4.3.111.5.10.2"), "another question"),
    "no echo of the patient": (
        GOOD.replace(b"subject:x", b"").replace(b"2.0:resource:resource-id", b"x"),
        "about",
    ),
    "no echo of the holder": (GOOD.replace(b"author-institution:id", b"x"), "does not say"),
    "no echo of the category": (
        answer(f"<Result><Decision>Permit</Decision>{resource()}</Result>"),
        "does not say",
    ),
    "no echo at all": (answer("<Result><Decision>Permit</Decision></Result>"), "does not say"),
    "the patient twice": (with_echo(resource()), "another question"),
    "two patients": (with_echo(resource(bsn=OTHER_BSN)), "another question"),
    "two categories in one result": (with_echo(action("GGC013")), "another question"),
    "an echo in another category": (
        GOOD.replace(b"attribute-category:resource", b"attribute-category:x"),
        "does not",
    ),
    "an echo without a value": (GOOD.replace(b"AttributeValue", b"AttributeDesignator"), "another question"),
    "an echo of another type": (GOOD.replace(b"v3#II", b"v3#ST"), "another question"),
    "another requester": (
        with_echo(
            group(
                SUBJECT,
                identifier(
                    "urn:nl:otv:names:tc:1.0:subject:provider-institution", "2.16.528.1.1007.3.3", "33333333"
                ),
            )
        ),
        "another question",
    ),
    "another role": (
        with_echo(
            group(
                SUBJECT,
                coded("urn:oasis:names:tc:xacml:2.0:subject:role", "30.000", "2.16.840.1.113883.2.4.15.111"),
            )
        ),
        "another question",
    ),
    "a user who did not ask": (
        with_echo(
            group(
                SUBJECT,
                identifier("urn:nl:otv:names:tc:1.0:subject:mandated", "2.16.528.1.1007.3.1", "900000009"),
            )
        ),
        "another user",
    ),
    "the result twice": (answer(result(), result()), "two Results"),
    "permit and deny": (answer(result(), result("Deny")), "two Results"),
    "a foreign result": (answer(result(), result(category="GGC012")), "another question"),
    "no result": (answer(), "no Result"),
    "no decision": (answer(f"<Result>{resource()}{action()}</Result>"), "Decision"),
    "two decisions": (GOOD.replace(b"</Decision>", b"</Decision><Decision>Deny</Decision>"), "Decision"),
    "a decision of another kind": (answer(result("permit")), "without a decision"),
    "a decision cut in two": (answer(result("Per<!-- -->mit")), "without a decision"),
    "a decision in another namespace": (
        GOOD.replace(b"<Decision>", b'<Decision xmlns="urn:x">'),
        "not understood",
    ),
    "indeterminate": (answer(result("Indeterminate")), "Indeterminate"),
    "an obligation": (
        with_echo('<Obligations><Obligation ObligationId="urn:x"/></Obligations>'),
        "not understood",
    ),
    "a permit with a status of failure": (
        answer(result().replace("</Decision>", "</Decision>" + STATUS.format("processing-error"))),
        "status of failure",
    ),
    "something beside the results": (answer(result(), "<Other/>"), "beside a Result"),
    "a fault": (answer(body=FAULT), "SOAP Fault"),
    "a fault with a permit": (GOOD.replace(b"</s:Body>", FAULT.encode() + b"</s:Body>"), "no XACML Response"),
    "an empty body": (answer(body=""), "no XACML Response"),
    "two bodies": (GOOD.replace(b"</s:Envelope>", b"<s:Body/></s:Envelope>"), "not one Body"),
    "SOAP 1.1": (
        GOOD.replace(
            b"http://www.w3.org/2003/05/soap-envelope", b"http://schemas.xmlsoap.org/soap/envelope/"
        ),
        "1.2",
    ),
    "another XACML": (GOOD.replace(b"schema:wd-17", b"schema:os"), "no XACML Response"),
    "no XML": (b"Permit", "no well-formed XML"),
    "nothing": (b"", "no well-formed XML"),
    "half a document": (GOOD[: len(GOOD) // 2], "no well-formed XML"),
    "HTML": (b"<html><body>Permit</body></html>", "no SOAP"),
    "UTF-16": (GOOD.decode().replace("UTF-8", "UTF-16").encode("utf-16"), "no well-formed XML"),
    "a DTD": (GOOD.replace(b"?>", b"?><!DOCTYPE s:Envelope>", 1), "a DTD"),
    "an entity": (
        GOOD.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY d "Permit">]>', 1).replace(b">Permit<", b">&d;<"),
        "a DTD",
    ),
    "an entity bomb": (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        b"<x>&b;</x>",
        "a DTD",
    ),
    "an instruction": (GOOD.replace(b"<s:Header>", b"<?x y?><s:Header>"), "instruction"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_not_the_answer_says_nothing(name: str) -> None:
    body, why = UNUSABLE[name]
    assert body != GOOD
    with pytest.raises(AnswerUnusable, match=why) as refused:
        read(body)
    assert refused.value.kind == "facility-answer-unusable"
    told = f"{refused.value.message} {refused.value.cause}"
    assert BSN not in told and HOLDER not in told


def test_a_status_of_success_is_no_obstacle() -> None:
    assert read(answer(result().replace("</Decision>", "</Decision>" + STATUS.format("ok")))) == "Permit"


PARTS = [part for part in GOOD.replace(b"><", b">\0<").split(b"\0") if part]


def mutations() -> st.SearchStrategy[bytes]:
    """A good answer with bytes changed, parts left out, doubled or moved, or names changed."""
    places = st.integers(0, len(GOOD) - 1)
    numbers = st.integers(0, len(PARTS) - 1)

    def bytes_changed(place: int, byte: int) -> bytes:
        return GOOD[:place] + bytes((byte,)) + GOOD[place + 1 :]

    def cut(place: int, size: int) -> bytes:
        return GOOD[:place] + GOOD[place + size :]

    def parts(change: Callable[[list[bytes]], None]) -> bytes:
        changed = list(PARTS)
        change(changed)
        return b"".join(changed)

    def swapped(one: int, two: int) -> bytes:
        def change(all_parts: list[bytes]) -> None:
            all_parts[one], all_parts[two] = all_parts[two], all_parts[one]

        return parts(change)

    return st.one_of(
        st.builds(bytes_changed, places, st.integers(0, 255)),
        st.builds(cut, places, st.integers(1, 40)),
        st.builds(swapped, numbers, numbers),
        numbers.map(lambda n: parts(lambda p: p.__delitem__(n))),
        numbers.map(lambda n: parts(lambda p: p.insert(n, p[n]))),
        st.binary(max_size=200),
    )


def meaning(body: bytes) -> bool:
    """Whether a document says a permit to our question, read in the plainest way: the facts that must be there."""
    told = body.decode("utf-8", "replace")
    return all(
        told.count(fact) == GOOD.decode().count(fact)
        for fact in (f'"{BSN}"', f'"{HOLDER}"', '"GGC002"', ">Permit<", f">{MESSAGE}<", "</Result>", XACML)
    )


@given(mutations())
def test_no_change_of_a_good_answer_gives_a_permit_to_another_question(body: bytes) -> None:
    try:
        decision = read(body)
    except AnswerUnusable:
        return
    assert decision != "Permit" or meaning(body)
