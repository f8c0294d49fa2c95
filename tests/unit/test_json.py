"""JSON in and out: nothing lost, nothing ambiguous let in."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schakel.fhir.json import FhirDecimal, dump, number, parse
from schakel.kernel.outcomes import Invalid


def refusal(data: bytes, **options: int) -> str:
    with pytest.raises(Invalid) as refused:
        parse(data, **options)
    return refused.value.message


_numbers = st.from_regex(r"\A-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?\Z").map(number)
_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), _values))
def test_what_is_written_is_read_back_and_written_the_same(value: dict[str, Any]) -> None:
    data = dump(value)
    again = parse(data)
    assert again == value
    assert dump(again) == data


@pytest.mark.parametrize(
    "text",
    ["1.00", "0.0", "-0", "-0.0", "1e3", "1E+3", "1.50e-10", "1234567890123456", "123456789012345678901.50"],
)
def test_a_number_keeps_its_text(text: str) -> None:
    data = b'{"value":%s}' % text.encode()
    assert dump(parse(data)) == data


def test_a_decimal_keeps_its_last_zero_and_counts_as_a_decimal() -> None:
    value = parse(b'{"value": 1.50}')["value"]
    assert isinstance(value, FhirDecimal)
    assert value.text == "1.50"
    assert value == Decimal("1.5")
    assert value + 1 == Decimal("2.5")


def test_a_small_whole_number_is_an_int() -> None:
    assert type(parse(b'{"value": 999999999999999}')["value"]) is int
    assert type(parse(b'{"value": 9999999999999999}')["value"]) is FhirDecimal


def test_a_decimal_survives_copying_and_pickling_with_its_text() -> None:
    value = FhirDecimal("2.0")
    assert copy.deepcopy(value).text == "2.0"
    assert pickle.loads(pickle.dumps(value)).text == "2.0"


@pytest.mark.parametrize("text", ["NaN", "+1", ".5", "1.", "01", " 1", "1_0", "", "1e1001", "1" * 129])
def test_a_decimal_is_made_only_of_a_json_number_within_bounds(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        FhirDecimal(text)


def test_an_ordinary_decimal_is_written_as_a_number() -> None:
    assert dump({"value": Decimal("1.20")}) == b'{"value":1.20}'


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), object()])
def test_what_is_not_json_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        dump({"value": value})


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_a_repeated_member_is_refused_with_its_name_and_place() -> None:
    message = refusal(b'{"id": "1",\n "name": [{"use": "a"}, {"use": "b",\n  "use": "c"}]}')
    assert "'use'" in message
    assert "line 3, column 3" in message


def test_a_repeated_member_is_found_past_escapes_and_brackets_in_strings() -> None:
    message = refusal(b'{"text": "} \\" { \\\\", "a\\u0062": 1, "ab": 2}')
    assert "'ab'" in message
    assert "column 37" in message


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_number_that_is_no_number_is_refused(literal: bytes) -> None:
    assert literal.decode() in refusal(b'{"value": ' + literal + b"}")


@pytest.mark.parametrize("number", [b"1" * 129, b"1e9999999999", b"-1E-2000"])
def test_a_number_out_of_bounds_is_refused(number: bytes) -> None:
    assert "number" in refusal(b'{"value": ' + number + b"}")


def test_half_a_character_is_refused_with_its_place() -> None:
    assert "name[0].text" in refusal(b'{"name": [{"text": "a\\ud83d b"}]}')
    assert "lone surrogate" in refusal(b'{"\\uDE00": 1}')


def test_a_whole_character_in_two_escapes_is_read() -> None:
    assert parse(b'{"text": "\\ud83d\\ude00"}') == {"text": "\U0001f600"}


def test_a_backslash_before_ud_is_no_surrogate() -> None:
    assert parse(b'{"text": "\\\\ud83d"}') == {"text": "\\ud83d"}


def test_bytes_that_are_not_utf8_are_refused_with_their_place() -> None:
    assert "byte 8" in refusal(b'{"a": "\xff"}')


@pytest.mark.parametrize("data", [b"", b" \n", b"\xef\xbb\xbf"])
def test_an_empty_body_is_refused_as_such(data: bytes) -> None:
    assert "empty" in refusal(data)


@pytest.mark.parametrize("data", [b"[]", b'"text"', b"1", b"null"])
def test_another_top_level_than_an_object_is_refused(data: bytes) -> None:
    assert "not a JSON object" in refusal(data)


@pytest.mark.parametrize("data", [b"{} {}", b'{"a": 1,}', b"{'a': 1}", b'{"a": "\n"}', b'{"a": 01}', b"{"])
def test_malformed_json_is_refused_with_line_and_column(data: bytes) -> None:
    assert "line 1, column" in refusal(data)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_depth_is_counted_to_the_level() -> None:
    assert parse(nested(64))
    assert "at most 64 levels" in refusal(nested(65))
    assert parse(nested(3), max_depth=3)
    assert "at most 3 levels" in refusal(nested(4), max_depth=3)


def test_extreme_depth_is_refused_too() -> None:
    assert "too deep" in refusal(b'{"a":' + b"[" * 200_000)


def test_brackets_in_strings_neither_hide_nor_make_depth() -> None:
    flat = json.dumps({"a": ['[{"' * 200, "\\", ']}"' * 100]}).encode()
    assert parse(flat, max_depth=2)
    hidden = b'{"a":' + b'["]",' * 70 + b"1" + b',"["]' * 70 + b"}"
    assert json.loads(hidden)
    assert "too deep" in refusal(hidden)


_pieces = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"a":',
        b'"b":',
        b",",
        b'"x"',
        b"1",
        b"-0",
        b"1.0",
        b"null",
        b" ",
        b"\\",
        b"\xff",
    ]
)


@settings(deadline=None)
@given(st.lists(_pieces, max_size=12).map(b"".join))
def test_what_is_accepted_is_what_another_parser_reads(body: bytes) -> None:
    data = b'{"c":' + body + b"}"
    try:
        value = parse(data)
    except Invalid:
        return
    assert value == json.loads(data, parse_float=Decimal)


@settings(deadline=None)
@given(_values)
def test_depth_is_refused_exactly_beyond_the_limit(value: Any) -> None:
    def depth(of: Any) -> int:
        inner = of.values() if isinstance(of, dict) else of if isinstance(of, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    data = dump({"a": value, "b": "[{\\"})
    levels = 1 + depth(value)
    assert parse(data, max_depth=levels)
    if levels > 1:
        assert "too deep" in refusal(data, max_depth=levels - 1)
