"""How content comes and goes: packed or plain, for people or machines, a Binary as itself; in both versions."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
import zstandard
from tests.fhir_door import JSON, XML, patient, refusal
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir import definitions, json, xml
from schakel.fhir.definitions import Version
from schakel.store.embedded import EmbeddedServer

MOST = 50_000
FORM = "application/x-www-form-urlencoded"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with (
        databases(cluster, "content") as make,
        running_node(make, ("a",), limits={"body": MOST, "parameters": 20}) as node,
    ):
        yield node


@pytest_asyncio.fixture(loop_scope="session", params=["stu3", "r4"])
async def door(node: RunningNode, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    one = node["a"]
    base = f"{one.internal_root}/a/fhir/{request.param}/"
    async with httpx.AsyncClient(base_url=base, headers={"X-API-Key": one.key}, trust_env=False) as client:
        yield client


def version_of(door: httpx.AsyncClient) -> Version:
    return "r4" if "/r4/" in str(door.base_url) else "stu3"


def release(door: httpx.AsyncClient) -> str:
    return {"stu3": "3.0", "r4": "4.0"}[version_of(door)]


async def raw(door: httpx.AsyncClient, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """The answer and its body as it was sent, not unpacked."""
    async with door.stream("GET", path, headers=headers) as answer:
        return answer, b"".join([part async for part in answer.aiter_raw()])


# -- versions ----------------------------------------------------------------------------------------------


async def test_an_answer_and_a_refusal_say_the_version_of_their_path(door: httpx.AsyncClient) -> None:
    await door.put("Patient/v", json=patient("v"))
    for path in ("Patient/v", "Patient/nobody", "Nothing/x", "metadata"):
        for accept in (JSON, XML):
            answer = await door.get(path, headers={"Accept": accept})
            assert answer.headers["content-type"] == f"{accept}; fhirVersion={release(door)}; charset=utf-8"


async def test_a_refusal_before_anything_is_read_says_the_version_too(door: httpx.AsyncClient) -> None:
    answer = await door.get("Patient/v", headers={"X-API-Key": "another"})
    assert answer.status_code == 401
    assert f"fhirVersion={release(door)}" in answer.headers["content-type"]


async def test_only_the_version_of_the_address_is_given_and_taken(door: httpx.AsyncClient) -> None:
    await door.put("Patient/w", json=patient("w"))
    other = "3.0" if version_of(door) == "r4" else "4.0"
    right = await door.get("Patient/w", headers={"Accept": f"{XML}; fhirVersion={release(door)}"})
    assert right.status_code == 200 and right.headers["content-type"].startswith(XML)
    refusal(await door.get("Patient/w", headers={"Accept": f"{JSON};fhirVersion={other}"}), 406)
    refusal(await door.get("Patient/w", params={"_format": f"{JSON};fhirVersion={other}"}), 406)
    named = await door.get("Patient/w", params={"_format": f"{JSON}; fhirVersion={release(door)}"})
    assert named.status_code == 200
    both = await door.get("Patient/w", headers={"Accept": f"{JSON};fhirVersion={other}, {XML};q=0.1"})
    assert both.headers["content-type"].startswith(XML)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*;q=0.9, application/fhir+json;q=0", XML),
        ("application/fhir+json;q=0.2, */*;q=0.8", XML),
        ("application/fhir+xml, application/fhir+json", XML),
        ("application/fhir+json, application/fhir+xml", JSON),
        ("application/*;q=0.5, application/fhir+xml;q=0.4", JSON),
        ('application/fhir+xml; charset="utf-8"; q=0.9, */*;q=0.1', XML),
    ],
)
async def test_what_is_named_exactly_goes_before_what_is_named_in_general(
    door: httpx.AsyncClient, accept: str, form: str
) -> None:
    await door.put("Patient/q", json=patient("q"))
    answer = await door.get("Patient/q", headers={"Accept": accept, "Accept-Charset": "iso-8859-1"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith(form)
    assert "accept" in answer.headers["vary"].lower()


async def test_accept_may_stand_on_more_lines(door: httpx.AsyncClient) -> None:
    await door.put("Patient/l", json=patient("l"))
    lines = [("Accept", "text/html"), ("Accept", XML)]
    answer = await door.get("Patient/l", headers=httpx.Headers(lines))
    assert answer.headers["content-type"].startswith(XML)


async def test_more_parameters_than_the_setting_allows_are_refused_by_its_name(
    door: httpx.AsyncClient,
) -> None:
    assert (await door.get("Patient?" + "&".join(["name=x"] * 20))).status_code == 200
    assert "limits.parameters" in refusal(await door.get("Patient?" + "&".join(["name=x"] * 21)), 400)
    form = {"content": "&".join(["name=x"] * 21), "headers": {"Content-Type": FORM}}
    assert "limits.parameters" in refusal(await door.post("Patient/_search", **form), 400)  # type: ignore[arg-type]


# -- for people --------------------------------------------------------------------------------------------


async def test_pretty_answers_say_the_same(door: httpx.AsyncClient) -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>a <b>b</b> c</p></div>'
    observation = (
        b'{"resourceType":"Observation","id":"p","text":{"status":"generated","div":%b},"status":"final",'
        b'"code":{"text":"x"},"valueQuantity":{"value":1.00,"unit":"mg"}}' % orjson.dumps(div)
    )
    written = await door.put("Observation/p", content=observation, headers={"Content-Type": JSON})
    assert written.status_code == 201, written.text
    for path in ("Observation/p", "Observation?_id=p"):
        for form in ("json", "xml"):
            mark = "&" if "?" in path else "?"
            plain = (await door.get(f"{path}{mark}_format={form}")).content
            shown = (await door.get(f"{path}{mark}_pretty=true&_format={form}")).content
            assert shown.count(b"\n") > 8 and b"1.00" in shown and b"<p>a <b>b</b> c</p>" in shown
            known = definitions(version_of(door))
            first, second = (
                json.parse(one) if form == "json" else xml.parse(one, known) for one in (plain, shown)
            )
            assert first == second
    posted = await door.post("Observation/_search", data={"_id": "p", "_pretty": "true"})
    assert posted.status_code == 200 and posted.content.count(b"\n") > 8
    assert b"_pretty" not in posted.content
    refusal(await door.get("Observation/p?_pretty=yes"), 400)
    assert (await door.get("Observation/p?_pretty=false")).content.count(b"\n") == 0
    lost = await door.get("Observation/nowhere?_pretty=true")
    assert lost.status_code == 404 and lost.content.count(b"\n") > 5


# -- HEAD --------------------------------------------------------------------------------------------------


async def test_head_has_the_headers_of_get_and_no_body(door: httpx.AsyncClient) -> None:
    await door.put("Patient/h", json=patient("h"))
    for path in ("Patient/h", "Patient?_id=h", "metadata", "Patient/nobody"):
        got, headed = await door.get(path), await door.head(path)
        assert headed.status_code == got.status_code and headed.content == b""
        for name in ("content-type", "etag", "last-modified"):
            assert headed.headers.get(name) == got.headers.get(name), (path, name)
        if path != "metadata":
            assert headed.headers["content-length"] == got.headers["content-length"]


# -- packed ------------------------------------------------------------------------------------------------


def packed(data: bytes, coding: str) -> bytes:
    return zstandard.compress(data) if coding == "zstd" else gzip.compress(data)


def unpack(data: bytes, coding: str) -> bytes:
    if coding == "zstd":
        return zstandard.decompress(data)
    if coding == "deflate":
        return zlib.decompress(data)
    return gzip.decompress(data) if coding == "gzip" else data


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "zstd", "GZIP", "identity"])
async def test_a_packed_body_is_taken(door: httpx.AsyncClient, coding: str) -> None:
    resource = orjson.dumps(patient("z", name=[{"family": coding}]))
    body = resource if coding == "identity" else packed(resource, coding)
    headers = {"Content-Type": JSON, "Content-Encoding": coding}
    written = await door.put("Patient/z", content=body, headers=headers)
    assert written.is_success, written.text
    assert (await door.get("Patient/z")).json()["name"] == [{"family": coding}]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_bomb_is_refused_by_the_name_of_the_setting(door: httpx.AsyncClient, coding: str) -> None:
    bomb = packed(b" " * 100_000_000, coding)
    assert len(bomb) < 100_000
    for content in (bomb, packed(b" " * (MOST + 1), coding), b"x" * (MOST + 1)):
        headers = {"Content-Type": JSON, "Content-Encoding": coding}
        told = refusal(await door.post("Patient", content=content, headers=headers), 413)
        assert "limits.body" in told and str(MOST) in told


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_damaged_and_cut_off_bodies_are_refused(door: httpx.AsyncClient, coding: str) -> None:
    whole = packed(orjson.dumps(patient("d")), coding)
    headers = {"Content-Type": JSON, "Content-Encoding": coding}
    for body in (b'{"resourceType":"Patient"}', whole[:-5], whole + b"rest"):
        assert coding in refusal(await door.post("Patient", content=body, headers=headers), 400)


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, zstd", "gzip, gzip", "é"])
async def test_another_coding_is_refused_with_the_ones_that_are_taken(
    door: httpx.AsyncClient, coding: str
) -> None:
    headers = [("Content-Type", JSON), ("Content-Encoding", coding.encode("latin-1"))]
    answer = await door.post("Patient", content=b"x", headers=headers)  # type: ignore[arg-type]
    refusal(answer, 415)
    assert answer.headers["accept-encoding"] == "gzip, zstd"


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("deflate", "deflate"),
        ("deflate, gzip;q=0.5", "deflate"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("*", "zstd"),
        ("zstd;q=0, *;q=0.1", "gzip"),
        ("identity;q=0, *", "zstd"),
        ("identity", ""),
        ("identity, gzip;q=0.5", ""),
        ("br", ""),
        ("", ""),
        ("gzip;q=0", ""),
        ("gzip;q=x", ""),
    ],
)
async def test_an_answer_is_packed_as_the_caller_likes(
    door: httpx.AsyncClient, accept: str, coding: str
) -> None:
    plain, whole = await raw(door, "metadata", **{"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    answer, body = await raw(door, "metadata", **{"Accept-Encoding": accept})
    assert answer.status_code == 200
    assert answer.headers.get("content-encoding", "") == coding
    assert {name.strip() for name in answer.headers["vary"].split(",")} == {"Accept", "Accept-Encoding"}
    assert int(answer.headers["content-length"]) == len(body)
    unpacked = unpack(body, coding)
    assert unpacked == whole
    head = await door.head("metadata", headers={"Accept-Encoding": accept})
    assert head.headers["content-length"] == answer.headers["content-length"]


async def test_a_small_answer_is_packed_only_when_it_must_be(door: httpx.AsyncClient) -> None:
    await door.put("Patient/s", json=patient("s"))
    for accept, coding in (("gzip", None), ("gzip, identity;q=0", "gzip"), ("gzip, *;q=0", "gzip")):
        answer, _ = await raw(door, "Patient/s", **{"Accept-Encoding": accept})
        assert answer.headers.get("content-encoding") == coding


@pytest.mark.parametrize("accept", ["identity;q=0", "*;q=0", "identity;q=0, br", "gzip;q=0, *;q=0"])
async def test_a_caller_that_takes_no_coding_at_all_is_refused_before_anything_is_done(
    door: httpx.AsyncClient, accept: str
) -> None:
    headers = {"Accept-Encoding": accept}
    refusal(await door.put("Patient/none", json=patient("none"), headers=headers), 406)
    refusal(await door.get("Patient/none"), 404)
    elsewhere = await door.get(door.base_url.join("/health/live"), headers=headers)
    assert elsewhere.status_code == 406
    assert elsewhere.headers["content-type"] == "application/problem+json"


async def test_a_large_answer_is_packed_whole(door: httpx.AsyncClient) -> None:
    for number in range(12):
        body = patient(f"large{number}", name=[{"family": "x" * 40_000}])
        assert (await door.put(f"Patient/large{number}", json=body)).is_success
    ids = ",".join(f"large{number}" for number in range(12))
    for coding in ("gzip", "zstd", "identity"):
        answer = await door.get(f"Patient?_id={ids}", headers={"Accept-Encoding": coding})
        assert answer.headers.get("content-encoding", "identity") == coding
        content = answer.content  # httpx unpacks what it knows.
        if coding == "zstd" and content.startswith(b"\x28\xb5\x2f\xfd"):
            content = zstandard.decompress(content)
        assert len(orjson.loads(content)["entry"]) == 12


# -- Binary ------------------------------------------------------------------------------------------------

PDF = b"%PDF-1.7\x00\xff fictional"


async def stored_pdf(door: httpx.AsyncClient, **headers: str) -> httpx.Response:
    answer = await door.put("Binary/b", content=PDF, headers={"Content-Type": "application/pdf", **headers})
    assert answer.is_success, answer.text
    return answer


async def test_bare_content_becomes_a_binary(door: httpx.AsyncClient) -> None:
    element = "data" if version_of(door) == "r4" else "content"
    await stored_pdf(door)
    read = (await door.get("Binary/b", headers={"Accept": JSON})).json()
    assert read["contentType"] == "application/pdf" and base64.b64decode(read[element]) == PDF
    made = await door.post("Binary", content=b"text", headers={"Content-Type": "text/plain; charset=utf-8"})
    assert made.status_code == 201
    where = made.headers["location"]
    back = await door.get(where, headers={"Accept": "text/plain"})
    assert back.content == b"text" and back.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("application/pdf", "application/pdf"),
        ("*/*", "application/pdf"),
        ("", "application/pdf"),
        ("image/png", "application/pdf"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/pdf"),
        ("application/pdf, application/fhir+json;q=0.9", "application/pdf"),
        ("application/fhir+json;q=0, */*", "application/pdf"),
        ("application/fhir+json", JSON),
        ("application/json", JSON),
        ("application/fhir+xml", XML),
        ("application/fhir+json, */*", JSON),
        ("application/fhir+xml, */*;q=0.1", XML),
    ],
)
async def test_a_binary_is_given_as_itself_unless_fhir_is_asked_by_name(
    door: httpx.AsyncClient, accept: str, media: str
) -> None:
    await stored_pdf(door)
    for path in ("Binary/b", "Binary/b/_history/1"):
        answer = await door.get(path, headers={"Accept": accept})
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(media)
        assert "etag" in answer.headers and "last-modified" in answer.headers
        if media == "application/pdf":
            assert answer.content == PDF and answer.headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in answer.headers["content-security-policy"]
    asked = await door.get("Binary/b?_format=json", headers={"Accept": accept})
    assert asked.headers["content-type"].startswith(JSON)


async def test_a_search_for_binaries_is_a_bundle_whatever_is_accepted(door: httpx.AsyncClient) -> None:
    await stored_pdf(door)
    answer = await door.get("Binary?_id=b", headers={"Accept": "*/*"})
    assert answer.json()["resourceType"] == "Bundle"
    refusal(await door.get("Binary?_id=b", headers={"Accept": "application/pdf"}), 406)
    refusal(await door.get("Binary/nowhere", headers={"Accept": "application/pdf"}), 404)


async def test_general_json_and_xml_are_a_resource_when_they_are_a_binary(door: httpx.AsyncClient) -> None:
    element = "data" if version_of(door) == "r4" else "content"
    binary: dict[str, Any] = {
        "resourceType": "Binary",
        "id": "g",
        "contentType": "text/plain",
        element: "eA==",
    }
    assert (await door.put("Binary/g", json=binary)).is_success
    assert (await door.get("Binary/g")).content == b"x"
    as_xml = xml.dump(binary, definitions(version_of(door)))
    headers = {"Content-Type": "application/xml"}
    assert (await door.put("Binary/g", content=as_xml, headers=headers)).is_success
    assert (await door.get("Binary/g")).content == b"x"
    for media, body in (("application/json", b'{"a": 1}'), ("text/xml", b"<ClinicalDocument/>")):
        assert (await door.put("Binary/g", content=body, headers={"Content-Type": media})).is_success
        back = await door.get("Binary/g")
        assert back.content == body and back.headers["content-type"] == media
    refusal(await door.put("Binary/g", content=b"{}", headers={"Content-Type": JSON}), 422)


async def test_a_packed_binary_is_stored_unpacked(door: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/pdf", "Content-Encoding": "gzip"}
    assert (await door.put("Binary/gz", content=gzip.compress(PDF), headers=headers)).is_success
    assert (await door.get("Binary/gz")).content == PDF


async def test_the_security_context_is_kept_and_given_back(door: httpx.AsyncClient) -> None:
    await door.put("Patient/sc", json=patient("sc"))
    await stored_pdf(door, **{"X-Security-Context": "Patient/sc"})
    read = (await door.get("Binary/b", headers={"Accept": JSON})).json()
    assert read["securityContext"]["reference"] == "Patient/sc"
    bare = await door.get("Binary/b")
    assert bare.headers["x-security-context"].endswith("Patient/sc")
    context = {"X-Security-Context": "Patient/sc"}
    told = refusal(
        await door.put("Binary/b", json={"resourceType": "Binary", "id": "b"}, headers=context), 400
    )
    assert "X-Security-Context" in told
    headers = {"X-Security-Context": "a b", "Content-Type": "text/plain"}
    refusal(await door.post("Binary", content=b"x", headers=headers), 400)


async def test_the_media_type_of_a_binary_cannot_write_headers(door: httpx.AsyncClient) -> None:
    element = "data" if version_of(door) == "r4" else "content"
    for number, media in enumerate(("text/html; a=é", "nonsense", "text/plain;\u2028")):
        binary = {"resourceType": "Binary", "id": f"m{number}", "contentType": media, element: "eA=="}
        if (await door.put(f"Binary/m{number}", json=binary)).is_success:
            answer = await door.get(f"Binary/m{number}")
            assert answer.status_code == 200 and answer.headers["content-type"].startswith(JSON)
