"""What the ministry's own proxy asks at the resource interface, sent again as it was recorded, to the letter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.nodes import RunningNode, databases, running_node
from tests.patients import Person, person
from tests.shared import shared

from schakel.config import MedMij
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.shared

ANNA = "999990019"


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=[False, True], ids=["usual", "lenient"])
async def anna(request: pytest.FixtureRequest, cluster: EmbeddedServer) -> AsyncIterator[Person]:
    """A person at a node without and with the setting for requests that lack X-Correlation-ID."""
    settings = MedMij(correlation_id_optional=request.param)
    name = f"medmij_recordings_{request.param}".lower()
    async with databases(cluster, name) as make, running_node(make, medmij=settings) as node:
        await load(node)
        async with person(node, "a", ANNA) as anna:
            anna.correlation_id = "optional" if request.param else "required"
            yield anna


async def load(node: RunningNode) -> None:
    number = {"system": BSN_SYSTEM, "value": ANNA}
    patient = {"resourceType": "Patient", "id": "anna", "identifier": [number]}
    for client in (node["a"].internal, node["a"].internal_r4):
        assert (await client.put("Patient/anna", json=patient)).status_code == 201


def recorded() -> list[tuple[str, dict[str, Any]]]:
    """Every request to the holder in recordings 20 to 33, with the name of its recording."""
    steps = []
    for path in sorted(shared("recordings", "mgo").glob("[23][0-9]-*.json")):
        content = json.loads(path.read_bytes())
        steps += [(content["name"], step) for step in content["steps"] if step.get("to") == "dva"]
    return steps


async def replay(anna: Person, step: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of the answer to a recorded request; base and token are ours."""
    path = step["path"]
    service = "63" if path.endswith("Immunization") else "48"
    at = urlsplit(anna.base(service))
    rest = path.partition("/fhir/")[2] or path.rpartition("/")[2]
    target = f"{at.path}/{rest}" + (f"?{step['raw_query']}" if step.get("raw_query") else "")
    headers = {n: v for n, v in step["headers"].items() if n not in ("Host", "Connection", "Accept-Encoding")}
    if "Authorization" in headers:
        headers["Authorization"] = f"Bearer {anna.token}"
    lines = [f"{step['method']} {target} HTTP/1.1", f"Host: {at.netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        raw = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return int(status.split()[1]), dict(f.lower().split(": ", 1) for f in fields), body


async def test_every_recorded_request_is_understood(anna: Person) -> None:
    steps = recorded()
    assert len(steps) >= 20
    answers: dict[str, set[bytes]] = {}
    for name, step in steps:
        status, headers, body = await replay(anna, step)
        asked = step["headers"]["MedMij-Request-ID"]
        assert headers["medmij-request-id"] == asked, name
        assert headers["content-type"].startswith("application/fhir+json"), name
        if "Authorization" not in step["headers"]:
            assert (status, headers["www-authenticate"]) == (401, "bearer"), name
        elif step["path"].endswith("/Patient/x"):
            assert status == 404, (name, body)
            assert json.loads(body)["issue"][0]["code"] == "not-found"
        else:
            assert status == 200, (name, body)
            assert json.loads(body)["type"] == "searchset", name
            answers.setdefault(asked, set()).add(body)
    assert all(len(same) == 1 for same in answers.values()), "a retry has another answer"


async def test_no_request_is_answered_with_a_redirect(anna: Person) -> None:
    for _, step in recorded():
        for path in (step["path"], f"{step['path']}/"):
            assert (await replay(anna, {**step, "path": path}))[0] not in (301, 302, 303, 307, 308)


async def test_a_token_that_is_refused_is_said_as_the_proxy_reads_it(anna: Person) -> None:
    [(_, step)] = [one for one in recorded() if one[0].startswith("23-")]
    refused = Person(anna.organisation, "A" * 43, anna.client)
    status, headers, _ = await replay(refused, step)
    assert status == 401
    assert headers["www-authenticate"].startswith('bearer error="invalid_token", error_description="')


async def test_a_request_without_correlation_id_is_taken_with_the_setting_alone(anna: Person) -> None:
    [(_, step)] = [one for one in recorded() if one[0].startswith("20-")]
    without = {n: v for n, v in step["headers"].items() if n != "X-Correlation-ID"}
    status, headers, _ = await replay(anna, {**step, "headers": without})
    if anna.correlation_id == "optional":
        assert status == 200
    else:
        assert status == 400
        assert headers["www-authenticate"].startswith('bearer error="invalid_request"')
    wrong = {**step["headers"], "X-Correlation-ID": "none"}
    assert (await replay(anna, {**step, "headers": wrong}))[0] == 400
