"""Ids that are too long for FHIR: what is written under one is kept under a shorter one, and found by both."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.generic.addressing.long_ids import (
    WRITTEN_ID,
    in_address,
    in_query,
    in_url,
    lengthened,
    long_in,
    short_id,
    short_ids,
    shortened,
    written_id,
)

UUID = "a3c1d2e4-0000-4000-8000-000000000001"
LONG = f"{UUID}-b3c1d2e4-0000-4000-8000-000000000002"
OTHER = f"{UUID}-b3c1d2e4-0000-4000-8000-000000000003"
IDS = st.text("abcdefABCDEF0123456789-.", min_size=65, max_size=256)


@given(IDS, IDS)
def test_a_short_id_is_an_id_made_of_the_long_one_alone(one: str, other: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", short_id(one))
    assert (short_id(one) == short_id(other)) == (one == other)


@given(IDS)
def test_every_address_that_names_it_names_the_short_one(long: str) -> None:
    for before, after in (("", ""), ("/", "/_history"), ("", "/_history/3"), ("", "?_cascade=delete")):
        address = f"{before}Organization/{long}{after}"
        assert in_address(address) == f"{before}Organization/{short_id(long)}{after}"
        assert long_in(address) == long


@pytest.mark.parametrize(
    "address",
    [
        f"Organization/{'x' * 64}",
        f"Organization/{'x' * 257}",
        f"Organization/{'x_' * 40}",
        f"Organization/{LONG}.é",
        f"Organization/{LONG}\n",
        f"https://elsewhere.example/fhir/Organization/{LONG}",
        f"#{LONG}",
        f"Organization?_source={LONG}",
        f"organization/{LONG}",
        LONG,
        "",
    ],
    ids=[
        "64",
        "257",
        "no-id",
        "more",
        "line",
        "elsewhere",
        "contained",
        "source",
        "no-type",
        "bare",
        "nothing",
    ],
)
def test_other_addresses_are_left(address: str) -> None:
    assert in_address(address) == address
    assert long_in(address) == ""


@pytest.mark.parametrize(
    "query",
    [
        "",
        "&&",
        f"name={LONG}",
        f"_id={'x' * 64}",
        f"_id={'x' * 257}",
        f"_id={LONG}%zz",
        f"identifier=urn:x|{LONG}",
        f"organization:identifier=urn:x|{LONG}",
        f"organization:identifier={LONG}",
        f"organization=https://elsewhere.example/fhir/Organization/{LONG}",
        f"organization.name={LONG}",
        f"_has={LONG}&_has:Endpoint:organization={LONG}",
        "_include=Organization:endpoint&name=a+b%2c c",
    ],
)
def test_what_names_no_resource_by_such_an_id_is_left_as_it_is_written(query: str) -> None:
    assert in_query(query, "https://here.example/r4") == query


@given(IDS)
def test_the_address_of_a_request_names_the_short_one_in_path_and_query(long: str) -> None:
    base, short = "https://here.example/r4", short_id(long)
    for start in ("", "/", f"{base}/"):
        asked = in_url(f"{start}Organization/{long}/_history?_count=2", base)
        assert asked == f"{start}Organization/{short}/_history?_count=2"
        searched = in_url(f"{start}Endpoint?name=a%20b&organization={base}/Organization/{long}", base)
        assert searched == f"{start}Endpoint?name=a%20b&organization={base}/Organization/{short}"


def test_the_query_of_a_link_stays_as_it_was_searched() -> None:
    short = short_id(LONG)
    link = {"relation": "self", "url": f"https://here.example/r4/Organization?identifier=urn:x|{short}"}
    assert lengthened(link, {short: LONG}) == link
    history = {"url": f"https://here.example/r4/Organization/{short}/_history?_count=1"}
    assert lengthened(history, {short: LONG})["url"].endswith(f"/Organization/{LONG}/_history?_count=1")


def organisation(**members: Any) -> dict[str, Any]:
    return {"resourceType": "Organization", "name": "One", **members}


def test_a_resource_with_short_ids_alone_is_the_same_object() -> None:
    one = organisation(id="x" * 64, endpoint=[{"reference": "Endpoint/e"}])
    assert shortened(one) is one
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": one}, "?", {"request": 1}],
    }
    assert shortened(bundle) is bundle


def test_a_resource_says_under_which_id_it_was_written() -> None:
    one = organisation(id=LONG, meta={"versionId": "1", "tag": [{"system": "urn:x", "code": "a"}]})
    before = copy.deepcopy(one)
    kept = shortened(one)
    assert one == before
    assert kept["id"] == short_id(LONG)
    assert kept["meta"] == {
        "versionId": "1",
        "tag": [{"system": "urn:x", "code": "a"}, {"system": WRITTEN_ID, "code": LONG}],
    }
    assert written_id(kept) == LONG


def test_a_tag_that_another_directory_gave_is_not_believed() -> None:
    told = {"tag": [{"system": WRITTEN_ID, "code": OTHER}]}
    assert written_id(organisation(id="short", meta=told)) == ""
    assert written_id(shortened(organisation(id=LONG, meta=told))) == LONG
    assert written_id(None) == ""


def test_references_follow_wherever_they_stand() -> None:
    one = organisation(
        id="a",
        partOf={"reference": f"Organization/{LONG}"},
        endpoint=[{"reference": f"Endpoint/{OTHER}"}, {"reference": "Endpoint/e"}],
        contained=[{"resourceType": "Location", "partOf": {"reference": f"Location/{LONG}/_history/2"}}],
    )
    kept = shortened(one)
    assert kept["partOf"]["reference"] == f"Organization/{short_id(LONG)}"
    assert [r["reference"] for r in kept["endpoint"]] == [f"Endpoint/{short_id(OTHER)}", "Endpoint/e"]
    assert kept["contained"][0]["partOf"]["reference"] == f"Location/{short_id(LONG)}/_history/2"
    assert "meta" not in kept


def test_who_wrote_it_gets_back_what_it_wrote() -> None:
    one = organisation(id=LONG, endpoint=[{"reference": f"Endpoint/{OTHER}"}])
    kept = shortened(one)
    names = {short_id(LONG): LONG, short_id(OTHER): OTHER}
    answer = {
        "resourceType": "Bundle",
        "entry": [{"fullUrl": f"https://here.example/r4/Organization/{kept['id']}", "resource": kept}],
    }
    [entry] = lengthened(answer, names)["entry"]
    assert entry["fullUrl"] == f"https://here.example/r4/Organization/{LONG}"
    assert {**entry["resource"], "meta": None} == {**one, "meta": None}
    assert lengthened(answer, {}) == answer


def test_where_it_is_kept_and_what_it_says_are_left() -> None:
    short = short_id(LONG)
    told = {"response": {"location": f"Organization/{short}/_history/1"}, "name": short}
    assert lengthened(told, {short: LONG}) == told
    assert short_ids(f'{{"id":"{short}"}}'.encode()) == {short}
    assert short_ids(b"") == set()
