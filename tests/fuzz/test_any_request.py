"""Whatever is asked at the internal door, by any method and in either version: never a fault of ours, and below a
FHIR base always an answer in FHIR.

Requests are put together from real parts (types, parameters, operations, headers, resources), so that most get past
the first check.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.fhir_door import JSON, XML, patient
from tests.generated import resources
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir import definitions, json, xml
from schakel.fhir.definitions import VERSIONS, Version
from schakel.server.operations import OPERATIONS
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.slow

TYPES = sorted(definitions("stu3").resource_types | definitions("r4").resource_types)
IDS = [
    "p0",
    "o0",
    "b0",
    "nobody",
    "a" * 64,
    "a" * 65,
    "1",
    ".",
    "-",
    "..",
    "%00",
    "é",
    "a b",
    "_id",
    "$x",
    "",
]
ODD = st.text(max_size=12) | st.sampled_from(
    ["", ",", "|", "a|b|c", "\\", "%", "null", "true", "-1", "1e400", "٣"]
)
VALUES = ODD | st.sampled_from(
    [
        "p0",
        "Patient/p0",
        "2024-01-01",
        "ge2024",
        "ne9999-12-31",
        "sa",
        "http://x|1",
        "5.40|u|mg",
        "lt1e3",
        "eq-0",
        "male",
        "99",
        "0",
        "json",
        "xml",
        "summary",
        "count",
        "text",
        "*",
        "Patient:organization",
        "date,-code",
    ]
)
CONTROLS = [
    "_id",
    "_lastUpdated",
    "_count",
    "_sort",
    "_include",
    "_revinclude",
    "_summary",
    "_elements",
    "_total",
]
CONTROLS += [
    "_tag",
    "_profile",
    "_security",
    "_list",
    "_type",
    "_page",
    "_since",
    "_at",
    "_format",
    "_pretty",
]
CONTROLS += [
    "_has:Observation:patient:code",
    "_has",
    "_text",
    "_content",
    "_filter",
    "_query",
    "_contained",
    "max",
]
MODIFIERS = ["", ":exact", ":contains", ":missing", ":not", ":in", ":below", ":above", ":text", ":identifier"]
MODIFIERS += [
    ":of-type",
    ":Patient",
    ":iterate",
    ":Patient.name",
    ".name",
    ".subject.name",
    ".a.b.c.d.e",
    ":",
    "::",
]


def known_parameters() -> list[str]:
    """Every name of a search parameter in either version."""
    return sorted({code for v in VERSIONS for kind in TYPES for code in codes(v, kind)})


def codes(version: Version, kind: str) -> list[str]:
    known = definitions(version)
    return sorted(known.search_parameters(kind)) if kind in known.resource_types else []


NAMES = st.tuples(
    st.sampled_from(known_parameters()) | st.sampled_from(CONTROLS) | ODD, st.sampled_from(MODIFIERS)
).map("".join)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
OPERATION = st.sampled_from([f"${one.name}" for one in OPERATIONS] + ["$nothing", "$"])
KIND = st.sampled_from(["Patient", "Observation", "Binary", "Bundle", "Basic"]) | st.sampled_from(TYPES)
ID = st.sampled_from(IDS)
PATH = st.one_of(
    st.just([]),
    st.tuples(KIND),
    st.tuples(KIND, ID),
    st.tuples(KIND, ID),
    st.tuples(KIND, st.just("_search")),
    st.tuples(KIND, OPERATION),
    st.tuples(KIND, ID, OPERATION),
    st.tuples(KIND, ID, KIND),
    st.tuples(KIND, ID, st.just("_history")),
    st.tuples(KIND, ID, st.just("_history"), st.sampled_from(["1", "2", "0", "x", "99999999999999999999"])),
    st.tuples(KIND, st.just("_history")),
    st.tuples(st.sampled_from(["metadata", "_history", "_search", "$meta", "$everything", "Nothing"])),
    st.lists(KIND | ID | ODD, max_size=6),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "If-Match",
            "If-None-Match",
            "If-None-Exist",
            "If-Modified-Since",
            "Prefer",
            "Content-Type",
            "Accept",
            "Accept-Encoding",
            "X-Security-Context",
            "Range",
            "X-Request-Id",
            "Expect",
            "If-Unmodified-Since",
        ]
    ),
    st.sampled_from(
        [
            'W/"1"',
            '"x"',
            "*",
            "1",
            "",
            "Sat, 01 Jan 2022 00:00:00 GMT",
            "yesterday",
            "return=minimal",
            "a=b;c",
            "return=OperationOutcome, handling=lenient",
            "handling=strict",
            "respond-async",
            "identifier=a|b",
            "_id=p0",
            JSON,
            XML,
            "application/json-patch+json",
            "application/x-www-form-urlencoded",
            "text/plain",
            "é",
            "gzip",
            f"{JSON};fhirVersion=4.0",
            f"{XML};charset=latin-1",
            "*/*;q=0",
            "bytes=0-1",
            "100-continue",
            "name=x&name",
        ]
    ),
    max_size=4,
)


@st.composite
def bodies(draw: st.DrawFn, version: Version) -> tuple[bytes, dict[str, str]]:
    """A body and the headers that say what it is, which may not be so."""
    resource: dict[str, Any] = draw(resources(definitions(version)))
    if draw(st.booleans()):
        resource["id"] = draw(ID)
    match draw(st.integers(0, 7)):
        case 0:
            return b"", {}
        case 1:
            return json.dump(resource), {"Content-Type": JSON}
        case 2:
            return xml.dump({**resource, "id": "x"}, definitions(version)), {"Content-Type": XML}
        case 3:
            return gzip.compress(json.dump(resource)), {"Content-Type": JSON, "Content-Encoding": "gzip"}
        case 4:
            query = "&".join(f"{quote(n)}={quote(v)}" for n, v in draw(PAIRS))
            return query.encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        case 5:
            patch = st.fixed_dictionaries(
                {"op": st.sampled_from(["add", "remove", "replace", "test", "move", "x"]), "path": ODD},
                optional={"value": VALUES, "from": ODD},
            )
            body = orjson.dumps(draw(st.lists(patch, max_size=3)))
            return body, {"Content-Type": "application/json-patch+json"}
        case 6:
            entries = [
                {
                    "fullUrl": draw(st.sampled_from(["urn:uuid:1", "http://x/Patient/1", ""])),
                    "resource": resource,
                    "request": {
                        "method": draw(
                            st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "X"])
                        ),
                        "url": "/".join(map(str, draw(PATH))),
                    },
                }
                for _ in range(draw(st.integers(0, 3)))
            ]
            kind = draw(st.sampled_from(["transaction", "batch", "collection", "x"]))
            return json.dump({"resourceType": "Bundle", "type": kind, "entry": entries}), {
                "Content-Type": JSON
            }
        case _:
            return draw(st.binary(max_size=200)), {
                "Content-Type": draw(st.sampled_from([JSON, XML, "image/png"]))
            }


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes]:
    """Method, path below the organisation, headers and body."""
    version = draw(st.sampled_from(VERSIONS))
    method = draw(
        st.sampled_from(
            ["GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"]
        )
    )
    path = "/".join(quote(str(part), safe="$") for part in draw(PATH))
    query = "&".join(f"{quote(name, safe=':.')}={quote(value)}" for name, value in draw(PAIRS))
    body, said = draw(bodies(version)) if method not in ("GET", "HEAD") else (b"", {})
    headers = {**said, **draw(HEADERS)}
    return method, f"fhir/{version}/{path}" + (f"?{query}" if query else ""), headers, body


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "any_request") as make, running_node(make, ("a",), erasure="test") as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def door(node: RunningNode) -> AsyncIterator[httpx.AsyncClient]:
    one = node["a"]
    async with httpx.AsyncClient(
        base_url=f"{one.internal_root}/a/", headers={"X-API-Key": one.key}, trust_env=False, timeout=60
    ) as client:
        for version in VERSIONS:
            observation = {
                "resourceType": "Observation",
                "id": "o0",
                "status": "final",
                "code": {"text": "x"},
            }
            observation["subject"] = {"reference": "Patient/p0"}
            for path, body in (("Patient/p0", patient("p0")), ("Observation/o0", observation)):
                assert (await client.put(f"fhir/{version}/{path}", json=body)).is_success
        yield client


@given(asked=requests())
@settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
async def test_any_request_is_answered_in_fhir_and_never_with_a_fault(
    door: httpx.AsyncClient, asked: tuple[str, str, dict[str, str], bytes]
) -> None:
    method, path, headers, body = asked
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = await door.request(method, path, headers=httpx.Headers(sent), content=body)
    assert answer.status_code < 500, (asked, answer.text[:1000])
    if answer.status_code < 400 or method == "HEAD" or "/fhir/" not in answer.request.url.path:
        return  # The client took the dots out of the path, and with them the FHIR base.
    media = answer.headers["content-type"]
    assert media.startswith((JSON, XML)), (asked, answer.status_code, media, answer.text[:500])
    if media.startswith(JSON):
        outcome = answer.json()
        assert outcome["resourceType"] == "OperationOutcome", asked
        assert all(issue["severity"] and issue["code"] for issue in outcome["issue"])
    else:
        assert b"<OperationOutcome" in answer.content
    assert b"Traceback" not in answer.content and b"asyncpg" not in answer.content
