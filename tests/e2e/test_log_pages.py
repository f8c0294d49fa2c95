"""The log's pages end, although reading it writes to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from tests.nodes import running_node


async def test_following_next_ends_and_shows_each_event_once(
    make_database: Callable[[], Awaitable[str]],
) -> None:
    async with running_node(make_database) as node:
        organisation = node["a"]
        url = f"{organisation.internal_root}/a/log/fhir/r4/AuditEvent"
        for _ in range(7):
            assert (await organisation.internal.get(url)).status_code == 200
        seen: list[str] = []
        url += "?_count=2"
        for _ in range(10):
            page = (await organisation.internal.get(url)).json()
            seen += [e["resource"]["id"] for e in page["entry"]]
            following = [link["url"] for link in page["link"] if link["relation"] == "next"]
            if not following:
                break
            url = following[0]
        else:
            pytest.fail("the pages do not end")
        assert len(seen) == len(set(seen)) >= 7
