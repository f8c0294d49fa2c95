"""A node with a portal that everybody may read, and a board with a past."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio
from tests.boards import filled
from tests.hybrid_care import inventoried
from tests.nodes import RunningNode, databases, running_node

from schakel.generic.identity.keys import new_rsa_key
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def portal_node(
    cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningNode]:
    """The node whose portal is looked at; nobody logs in, so that its identity provider need not be there."""
    key = tmp_path_factory.mktemp("portal") / "client.jwk"
    key.write_bytes(orjson.dumps(new_rsa_key()))
    login = {"issuer": "https://login.example", "client_id": "node", "key": key}
    async with (
        databases(cluster, "portal") as make,
        running_node(
            make,
            organisations=("a",),
            portal={"public": True, "login": login},
            roadmap={"region": "Regio Zonnestreek", "keepers": ["a"]},
        ) as node,
    ):
        assert node.node.board is not None
        assert node.node.inventory is not None
        await filled(node.node.board)
        await inventoried(node.node.inventory)
        yield node


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def portal(portal_node: RunningNode) -> str:
    """Where the portal stands, without a slash at the end."""
    return f"{portal_node['a'].front_root}/portal"
