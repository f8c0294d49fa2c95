"""Any address, search, body and spoiled resource is answered, and never with a fault of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.generated import resources
from tests.nodes import RunningOrganisation, databases, running_node
from tests.raw_http import FORM, JSON, XML, assert_outcome, send

from schakel.fhir import definitions
from schakel.fhir.json import dump
from schakel.store.embedded import EmbeddedServer

TABLE = definitions("stu3")
MOST = 100_000
"""Bytes of a body that the nodes here take."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["strict", "lenient"])
async def door(cluster: EmbeddedServer, request: pytest.FixtureRequest) -> AsyncIterator[RunningOrganisation]:
    limits = {"body": MOST, "entries": 4}
    async with (
        databases(cluster, f"any_{request.param}") as make,
        running_node(make, ("a",), write_check=request.param, erasure="test", limits=limits) as node,
    ):
        yield node["a"]


RARELY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
KINDS = st.sampled_from(sorted(TABLE.resource_types))
BYTES = st.binary(max_size=30).map(lambda b: b.replace(b" ", b"+").replace(b"\r", b"").replace(b"\n", b""))
SEGMENTS = st.one_of(
    KINDS,
    st.sampled_from(["_history", "_search", "$lastn", "$purge", "metadata", "1", "p", ""]),
    st.text(max_size=8).map(lambda t: quote(t, safe="")),
)
NAMES = st.sampled_from(
    sorted({code for kind in ("Patient", "Observation") for code in TABLE.search_parameters(kind)})
)
CONTROLS = st.sampled_from(["_count", "_sort", "_include", "_revinclude", "_total", "_page", "_format"])
SUFFIXES = st.sampled_from(["", ":not", ":exact", ":identifier", ":Patient", ".identifier", ":Patient.name"])
VALUES = st.sampled_from(
    ["Observation:subject", "ge2024-01", "-date", "a|b", "|", ",", "Patient/1", "x\\", "lt0001"]
)
QUERIES = st.lists(
    st.tuples(NAMES | CONTROLS | st.text(max_size=6), SUFFIXES, st.text(max_size=12) | VALUES), max_size=4
).map(lambda pairs: "&".join(f"{quote(name)}{suffix}={quote(value)}" for name, suffix, value in pairs))


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"]),
    path=st.lists(SEGMENTS, max_size=4).map("/".join),
    query=st.one_of(QUERIES.map(str.encode), BYTES),
)
@RARELY
async def test_any_address_is_answered(
    door: RunningOrganisation, method: str, path: str, query: bytes
) -> None:
    answer = await send(door, method, b"/" + path.encode() + b"?" + query, (JSON,), b"{}")
    assert answer[0] < 500, answer
    if method != "HEAD":
        assert_outcome(answer)


@given(kind=st.sampled_from(["Patient", "Observation"]), query=QUERIES)
@RARELY
async def test_any_search_is_answered(door: RunningOrganisation, kind: str, query: str) -> None:
    assert_outcome(await send(door, "GET", f"/{kind}?{query}".encode()))
    assert_outcome(await send(door, "POST", f"/{kind}/_search".encode(), (FORM,), query.encode()))


@given(body=st.binary(max_size=200), media=st.sampled_from([JSON, XML, FORM]))
@RARELY
async def test_any_bytes_are_answered(door: RunningOrganisation, body: bytes, media: tuple[str, str]) -> None:
    for path in (b"", b"/Patient", b"/Patient/_search"):
        assert_outcome(await send(door, "POST", path, (media,), body))


def spoiled(resource: Any, data: st.DataObject) -> Any:
    """`resource` with one value, somewhere, changed into something else."""
    changes: list[Callable[[Any], Any]] = [
        lambda v: [v, v],
        lambda v: [v],
        lambda v: None,
        lambda v: {},
        lambda v: [],
        lambda v: "a\x00b",
        lambda v: "9999-12-31",
        lambda v: 0,
        lambda v: True,
        lambda v: {"reference": "Patient/1"},
        lambda v: {"x": v},
    ]
    if isinstance(resource, dict) and resource:
        name = data.draw(st.sampled_from(list(resource)))
        return {**resource, name: spoiled(resource[name], data)}
    if isinstance(resource, list) and resource:
        place = data.draw(st.integers(0, len(resource) - 1))
        return [*resource[:place], spoiled(resource[place], data), *resource[place + 1 :]]
    return data.draw(st.sampled_from(changes))(resource)


@given(resource=resources(TABLE), data=st.data())
@RARELY
async def test_any_spoiled_resource_is_kept_or_refused(
    door: RunningOrganisation, resource: dict[str, Any], data: st.DataObject
) -> None:
    kind = resource["resourceType"]
    body = dump({**spoiled(resource, data), "id": "spoiled"})
    answer = await send(door, "PUT", f"/{kind}/spoiled".encode(), (JSON,), body)
    assert_outcome(answer)
    if answer[0] < 300:
        for form in ("json", "xml"):
            read = await send(door, "GET", f"/{kind}/spoiled?_format={form}".encode())
            assert read[0] == 200, (body, read)
    entry = {"resource": orjson.Fragment(body), "request": {"method": "POST", "url": kind}}
    bundle = spoiled({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}, data)
    assert_outcome(await send(door, "POST", b"", (JSON,), orjson.dumps(bundle)))
