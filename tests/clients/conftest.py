"""A node for the FHIR clients of others, an organisation for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir.definitions import Version
from schakel.store.embedded import EmbeddedServer

CLIENTS = ("fhirpy", "fhirclient", "javascript")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "clients") as make, running_node(make, CLIENTS) as node:
        yield node


@pytest.fixture(params=["stu3", "r4"])
def version(request: pytest.FixtureRequest) -> Version:
    chosen: Version = request.param
    return chosen
