"""Whatever comes in at the internal door, the answer is an OperationOutcome and never a fault of ours."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import pytest_asyncio
from tests.nodes import RunningOrganisation, databases, running_node
from tests.raw_http import FORM, JSON, XML, assert_outcome, send

from schakel.store.embedded import EmbeddedServer

MOST = 100_000
"""Bytes of a body that the nodes here take."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["strict", "lenient"])
async def door(cluster: EmbeddedServer, request: pytest.FixtureRequest) -> AsyncIterator[RunningOrganisation]:
    limits = {"body": MOST, "entries": 4}
    async with (
        databases(cluster, f"bad_{request.param}") as make,
        running_node(make, ("a",), write_check=request.param, erasure="test", limits=limits) as node,
    ):
        yield node["a"]


def nested(depth: int) -> bytes:
    return b'{"resourceType":"Basic","extension":' + b'[{"extension":' * depth + b"[]" + b"}]" * depth + b"}"


def patient(**members: Any) -> bytes:
    return orjson.dumps({"resourceType": "Patient", "id": "p", **members})


BODIES: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "blank": (b" \n", 400),
    "no JSON": (b"{", 400),
    "half a word": (b"nul", 400),
    "null": (b"null", 400),
    "a list": (b"[]", 400),
    "a number": (b"1", 400),
    "an empty object": (b"{}", 422),
    "no type": (b'{"id":"p"}', 422),
    "a type that is no text": (b'{"resourceType":["Patient"],"id":"p"}', 422),
    "an unknown type": (b'{"resourceType":"Nobody","id":"p"}', 422),
    "NaN": (b'{"resourceType":"Patient","id":"p","multipleBirthInteger":NaN}', 400),
    "Infinity": (b'{"resourceType":"Patient","id":"p","multipleBirthInteger":-Infinity}', 400),
    "a member twice": (b'{"resourceType":"Patient","id":"p","id":"p"}', 400),
    "a lone surrogate": (b'{"resourceType":"Patient","id":"p","language":"\\ud800"}', 400),
    "NUL escaped": (b'{"resourceType":"Patient","id":"p","name":[{"family":"a\\u0000b"}]}', 422),
    "NUL itself": (b'{"resourceType":"Patient","id":"p","name":[{"family":"a\x00b"}]}', 400),
    "NUL in a name": (b'{"resourceType":"Patient","id":"p","a\\u0000b":1}', 422),
    "not UTF-8": (b'{"resourceType":"Patient","id":"p","name":[{"family":"\xff"}]}', 400),
    "latin-1": ('{"resourceType":"Patient","id":"p","name":[{"family":"é"}]}'.encode("latin-1"), 400),
    "UTF-16": ('{"resourceType":"Patient","id":"p"}'.encode("utf-16"), 400),
    "gzip": (gzip.compress(patient()), 400),
    "deep": (nested(70), 400),
    "very deep": (b"[" * 90_000, 400),
    "huge": (patient(name=[{"family": "x" * MOST}]), 413),
    "a huge number": (
        b'{"resourceType":"Patient","id":"p","multipleBirthInteger":' + b"9" * 5000 + b"}",
        400,
    ),
    "a huge exponent": (b'{"resourceType":"Patient","id":"p","multipleBirthInteger":1e999999}', 400),
    "an integer past 32 bits": (patient(multipleBirthInteger=2**40), 422),
    "an empty text": (patient(language=""), 422),
    "an empty list": (patient(name=[]), 422),
    "an empty element": (patient(name=[{}]), 422),
    "null in a list": (patient(name=[None]), 422),
    "a list in a list": (patient(name=[[{"family": "x"}]]), 422),
    "text for an object": (patient(name=["x"]), 422),
    "an object for text": (patient(language={"a": 1}), 422),
    "a boolean as text": (patient(active="true"), 422),
    "a date out of the calendar": (patient(birthDate="2023-02-30"), 422),
    "the year zero": (patient(birthDate="0000"), 422),
    "another id": (patient(id="q"), 400),
    "an id that is none": (patient(id="p/../q"), 422),
    "an id that is a number": (patient(id=7), 422),
    "meta as text": (patient(meta="x"), 422),
    "script in the narrative": (patient(text={"status": "generated", "div": "<script>x</script>"}), 422),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_no_resource_is_refused(door: RunningOrganisation, name: str) -> None:
    body, status = BODIES[name]
    assert_outcome(await send(door, "PUT", b"/Patient/p", (JSON,), body), status)
    assert_outcome(await send(door, "POST", b"/Patient", (JSON,), body))
    assert_outcome(await send(door, "POST", b"", (JSON,), body))
    assert_outcome(await send(door, "GET", b"/Patient/p"), 404)


async def test_a_transaction_larger_than_the_limit_is_refused(door: RunningOrganisation) -> None:
    entries = [{"request": {"method": "GET", "url": "Patient"}}] * 5
    body = orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    answer = await send(door, "POST", b"", (JSON,), body)
    assert_outcome(answer, 400)
    assert orjson.loads(answer[2])["issue"][0]["code"] == "too-costly"


ENTITY = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
PATIENT_XML = b'<Patient xmlns="http://hl7.org/fhir">%b</Patient>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<Patient/>",
        b'<Patient xmlns="http://other"/>',
        PATIENT_XML % b'<id value="p"/><naam value="x"/>',
        PATIENT_XML % b'<id value="p"/><active value="ja"/>',
        PATIENT_XML % b'<id value="p"/><id value="p"/>',
        PATIENT_XML % b"text",
        ENTITY + PATIENT_XML % b'<id value="p"/><language value="&b;"/>',
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + PATIENT_XML % b'<language value="&f;"/>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">' + PATIENT_XML % b'<id value="p"/>',
        b'<?xml version="1.0" encoding="UTF-16"?>' + PATIENT_XML % b'<id value="p"/>',
        PATIENT_XML % (b'<language value="\xff"/>'),
        PATIENT_XML % (b"<extension>" * 3000 + b"</extension>" * 3000),
        b"<a>" * 30_000,
    ],
)
async def test_xml_that_is_no_resource_is_refused(door: RunningOrganisation, body: bytes) -> None:
    for method, path in (("PUT", b"/Patient/p"), ("POST", b"")):
        answer = await send(door, method, path, (XML,), body)
        assert answer[0] in (400, 422)
        assert_outcome(answer)
        assert b"root:" not in answer[2]


@pytest.mark.parametrize(
    "path",
    [
        b"/Patient/%00",
        b"/Patient/%ff",
        b"/Patient/%",
        b"/Patient/%zz",
        b"/Patient/%2e%2e%2f%2e%2e",
        b"/Patient/../../b",
        b"/Patient/a%2fb",
        b"/Patient/a%0ab",
        b"/Patient/a%0d%0aSet-Cookie:%20x",
        b"/Patient/" + b"a" * 5000,
        b"/Patient/%F0%9F%98%80",
        b"/Patient/p/_history/99999999999999999999",
        b"/Patient/p/_history/-1",
        b"/Patient/p/_history/%D9%A1",
        b"/Patient/p/_history/",
        b"/Patient/p/_history/1/2/3",
        b"//",
        b"/Patient//p",
        b"/Pa%74ient/x%20",
        b"/Patient;x=1/p",
        b"/Patient\xff",
        b"/Patient?name=\xff",
        b"/Patient?name=\xc3\xa9",
        b"/Patient?name=%",
        b"/Patient?name=%zz",
        b"/Patient?name=%ff",
        b"/Patient?name=%ed%a0%80",
        b"/Patient?name=%00",
        b"/Patient?=x",
        b"/Patient?%00=x",
        b"/Patient?name.=x",
        b"/Patient?name:=x",
        b"/Patient?:exact=x",
        b"/Patient?.name=x",
        b"/Patient?" + b"&".join([b"name=x"] * 300),
        b"/Patient?name=" + b",".join([b"x"] * 300),
        b"/Patient?name=" + b"x" * 70_000,
        b"/Patient?_count=99999999999",
        b"/Patient?_count=-1",
        b"/Patient?_count=1.5",
        b"/Patient?_count=%D9%A1",
        b"/Patient?_count=1&_count=2",
        b"/Patient?_total=x",
        b"/Patient?_sort=-",
        b"/Patient?_sort=--name",
        b"/Patient?_page=00000000-0000-0000-0000-000000000000.0",
        b"/Patient?_page=00000000-0000-0000-0000-000000000000.999999999",
        b"/Patient?_page=00000000-0000-0000-0000-000000000000.-1",
        b"/Patient?_page=" + b"-" * 36 + b".0",
        b"/Patient?birthdate=0000",
        b"/Patient?birthdate=9999-12-32",
        b"/Patient?birthdate=99999",
        b"/Patient?birthdate=ge2024-01-01T00:00:00%2B99:99",
        b"/Patient?birthdate=%D9%A2%D9%A0%D9%A2%D9%A4",
        b"/Patient?identifier=%7C",
        b"/Patient?_id=a/b",
        b"/Patient?_id=" + b"x" * 100,
        b"/Patient?_include=:::",
        b"/Patient?_revinclude=Provenance:target:",
        b"/Observation?patient.patient.patient.name=x",
        b"/Observation?subject:=x",
        b"/Observation?subject:Patient.=x",
        b"/Observation/$lastn?max=0",
        b"/Observation/$lastn?max=x",
        b"/?_format=%ff",
        b"/metadata?x=y",
    ],
)
async def test_an_address_that_means_nothing_is_refused(door: RunningOrganisation, path: bytes) -> None:
    answer = await send(door, "GET", path)
    assert 400 <= answer[0] < 500, answer
    assert "set-cookie" not in answer[1]
    assert_outcome(answer)


@pytest.mark.parametrize(
    "query",
    [
        "birthdate=9999",
        "birthdate=9999-12-31",
        "birthdate=ge9999-12-31T23:59:59-14:00",
        "birthdate=0001",
        "birthdate=le0001-01-01T00:00:00%2B14:00",
        "birthdate=2016-12-31T23:59:60Z",
        "_lastUpdated=gt9999",
        "_lastUpdated=lt0001",
        "_count=999999999",
        "name=%25",
        "name=" + "x" * 20_000,
        "identifier=%5C",
        "_format=",
        "name=%27%3B%20DROP%20TABLE%20resource%3B--",
        "name=%F0%9F%98%80",
        "name:exact=%CC%81",
        "identifier=a%7Cb%7Cc",
        "general-practitioner=%20x",
        "_profile=%20",
        "_page=",
        "_has:Observation:patient:code=x",
    ],
)
async def test_a_search_at_the_edge_is_answered(door: RunningOrganisation, query: str) -> None:
    answer = await send(door, "GET", f"/Patient?{query}".encode())
    assert answer[0] in (200, 400)
    assert_outcome(answer)


@pytest.mark.parametrize(
    "headers",
    [
        (JSON, ("Accept", b"\xff\xfe")),
        (JSON, ("Accept", "application/fhir+json;q=x")),
        (JSON, ("Accept", "application/fhir+json;q=nan, */*;q=inf")),
        (JSON, ("Accept", ";" * 1000)),
        (JSON, ("Accept", "," * 1000)),
        (JSON, ("If-Match", b"\xe9")),
        (JSON, ("If-Match", 'W/"99999999999999999999"')),
        (JSON, ("If-Match", "")),
        (JSON, ("If-None-Exist", "x")),
        (JSON, ("Prefer", "return=x")),
        (JSON, ("Content-Encoding", "gzip")),
        (JSON, ("X-Request-Id", b"\xff" * 500)),
        (("Content-Type", b"application/\xff"),),
        (("Content-Type", ";;;="),),
        (("Content-Type", "application/fhir+json; charset"),),
        (("Content-Type", "application/fhir+json; charset=utf-16"),),
        (("Content-Type", "multipart/form-data; boundary=x"),),
    ],
)
async def test_odd_headers_are_answered(
    door: RunningOrganisation, headers: tuple[tuple[str, str | bytes], ...]
) -> None:
    body = b'{"resourceType":"Patient","id":"headers"}'
    for method, path in (
        ("PUT", b"/Patient/headers"),
        ("POST", b"/Patient"),
        ("POST", b""),
        ("GET", b"/Patient"),
    ):
        assert_outcome(await send(door, method, path, headers, body))


async def test_a_key_that_is_no_text_is_not_known(door: RunningOrganisation) -> None:
    at = urlsplit(door.internal_root)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(
        b"GET /a/fhir/stu3/Patient HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: \xff\xfe\r\n\r\n"
    )
    answer = await reader.read()
    writer.close()
    assert b" 401 " in answer.partition(b"\r\n")[0] or b" 400 " in answer.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "body",
    [
        b"name=%",
        b"name=%ff",
        b"\xff",
        b"name=\xc3",
        b"&&&",
        b"=",
        b"name",
        b"_format=%00",
        b"name=x" * 20_000,
    ],
)
async def test_a_form_that_means_nothing_is_refused(door: RunningOrganisation, body: bytes) -> None:
    assert_outcome(await send(door, "POST", b"/Patient/_search", (FORM,), body))
