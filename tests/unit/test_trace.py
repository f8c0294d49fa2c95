"""The trace of a request: taken as the standard has it, given on with a span of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.kernel import trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_trace_goes_on_under_its_own_id_with_a_new_span() -> None:
    received = trace.received(PARENT)
    assert (received.trace_id, received.parent, received.correlation) == (TRACE, PARENT, TRACE)
    one, other = (received.headers()[trace.TRACEPARENT] for _ in range(2))
    assert one != other
    version, trace_id, span, flags = one.split("-")
    assert (version, trace_id, flags) == ("00", TRACE, "01") and span != SPAN


def test_what_the_caller_calls_the_question_is_given_on() -> None:
    received = trace.received(PARENT, "zoek-7")
    assert received.correlation == received.headers()[trace.CORRELATION] == "zoek-7"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        PARENT.upper(),
        PARENT[:-1],
        f"{PARENT}-extra",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f" {PARENT}",
    ],
)
def test_a_traceparent_that_is_none_begins_a_new_trace(wrong: str) -> None:
    received = trace.received(wrong)
    assert received.trace_id != TRACE
    assert trace.received(received.parent).trace_id == received.trace_id


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    received = trace.received(f"01-{TRACE}-{SPAN}-00-more")
    assert received.trace_id == TRACE and received.headers()[trace.TRACEPARENT].endswith("-00")


@given(st.text())
def test_whatever_a_caller_sends_the_correlation_is_plain(text: str) -> None:
    received = trace.received(text, text)
    assert received.correlation.isascii() and received.correlation.isprintable()
    assert 1 <= len(received.correlation) <= 64


def test_outside_a_request_nothing_is_given_on() -> None:
    assert trace.outgoing() == {}
