"""What each listener says of itself holds: requests made from its OpenAPI document are never a fault of ours, and
what comes back is what the document says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import hypothesis
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from tests.fhir_door import patient
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

EXAMPLES = 15
"""Requests of each operation."""

CHECKS: list[Callable[..., Any]] = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "openapi") as make, running_node(make, erasure="test") as node:
        for number in range(3):
            logical_id = f"p{number}"
            assert (
                await node["a"].internal.put(f"Patient/{logical_id}", json=patient(logical_id))
            ).is_success
        yield node


@pytest.mark.parametrize("listener", ["internal", "front"])
async def test_no_request_from_the_document_is_a_fault(node: RunningNode, listener: str) -> None:
    one = node["a"]
    if listener == "internal":
        root, headers = one.internal_root, {"X-API-Key": one.key}
    else:
        root, headers = one.front_root, {"Authorization": f"Bearer {await node['b'].token(one)}"}
    async with httpx.AsyncClient(trust_env=False) as client:
        told = (await client.get(f"{root}/openapi.json")).json()
    assert told["servers"] == [{"url": root}]
    asked = await asyncio.to_thread(_ask_everything, told, root, headers, one.slug)
    assert asked >= EXAMPLES * len(told["paths"]) / 2


def _ask_everything(told: dict[str, Any], root: str, headers: dict[str, str], slug: str) -> int:
    """Asks every operation of the document; the number of requests. Raises what schemathesis finds wrong."""
    schema = schemathesis.openapi.from_dict(told)
    asked = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()

        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def ask(case: schemathesis.Case[Any]) -> None:
            nonlocal asked
            asked += 1
            if "organisation" in case.path_parameters:
                case.path_parameters["organisation"] = slug
            case.call_and_validate(base_url=root, headers=headers, checks=CHECKS, timeout=30)

        ask()
    return asked
