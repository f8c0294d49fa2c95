"""Directories as the recordings of the ministry's update client have them: what each answer becomes here.

The recorded directory answers what was recorded for a path, to whatever is asked below `_history`; what it was never
asked it answers with an empty history.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from tests.followed import Directory, Json, follower, open_remote, reply, serving
from tests.shared import shared

from schakel.generic.addressing.copying import TYPES
from schakel.generic.addressing.sync.central import CentralFeeder

pytestmark = pytest.mark.shared

HOUR = timedelta(hours=1)
BASE = "https://directory.example/fhir"
NAMES = (
    "01-first-load", "04-delete", "10-paging", "11-paging-server-limit", "12-paging-many-versions",
    "13-broken-resource", "15-unknown-element", "16-dangling-reference", "17-absolute-reference-same-origin",
    "18-absolute-reference-foreign", "19-versioned-reference", "20-contained-and-logical-reference",
    "21-same-id-two-types", "22-same-id-two-types-no-reference", "23-id-too-long", "25-identifier-without-system",
    "39-reference-to-deleted", "43-delete-without-fullurl", "44-history-without-request",
    "45-history-oldest-first", "46-create-as-post", "48-practitioner-role",
)  # fmt: skip
REFUSED = {"13-broken-resource": {"Endpoint"}, "15-unknown-element": {"Organization"}}
"""Types of which one resource is broken; of every other everything is taken."""


def histories(name: str, base: str) -> dict[str, list[Json]]:
    """The entries of the history of each type, in the order in which they were answered in all runs, at `base`."""
    content = shared("recordings", "mcsd", f"{name}.json").read_bytes().replace(BASE.encode(), base.encode())
    found: dict[str, list[Json]] = {}
    for step in orjson.loads(content)["steps"]:
        kind, _, rest = step["path"].removeprefix("/fhir/").partition("/")
        body = step["response_body"]
        if step["to"] == "directory" and rest == "_history" and isinstance(body, dict):
            found.setdefault(kind, []).extend(body.get("entry", []))
    return found


def newest(entries: dict[str, list[Json]]) -> set[tuple[str, str]]:
    """What is there after all of it: what was not deleted last."""
    last: dict[tuple[str, str], tuple[str, bool]] = {}
    for kind, several in entries.items():
        for entry in several:
            resource = entry.get("resource")
            logical_id = resource["id"] if resource else entry["request"]["url"].rpartition("/")[2]
            moment = resource["meta"]["lastUpdated"] if resource else entry["response"]["lastModified"]
            key = (kind, logical_id)
            last[key] = max(last.get(key, ("", False)), (moment, resource is not None))
    return {key for key, (_, there) in last.items() if there}


@pytest.mark.parametrize("name", NAMES)
async def test_everything_in_a_recorded_directory_is_kept_but_what_is_broken(
    name: str, make_database: Callable[[], Awaitable[str]]
) -> None:
    async with serving(Directory()) as directory, follower(make_database) as node:
        entries = histories(name, directory.base)
        assert sum(map(len, entries.values())), "nothing was recorded"

        async def behave(request: web.Request) -> web.StreamResponse | None:
            kind, _, rest = request.match_info["path"].partition("/")
            return reply(
                {"resourceType": "Bundle", "type": "history", "entry": entries.get(kind, []) if rest else []}
            )

        directory.behave = behave
        node.feeders = [CentralFeeder("recorded", directory.base, open_remote(), HOUR, TYPES)]
        ran = await node.run()
        assert ran.error == ""
        refused = REFUSED.get(name, set())
        assert {kind for kind, _ in await node.findings()} == refused
        expected = newest(entries)
        here = set(await node.here())
        assert here < expected if refused else here == expected
        again = await node.run()
        assert again.error == "" and not again.applied.changed


@pytest.mark.parametrize(
    "name", ["30-directory-500-json", "31-directory-500-html", "32-directory-429-retry-after"]
)
async def test_a_recorded_failure_is_told_and_tried_again(
    name: str, make_database: Callable[[], Awaitable[str]]
) -> None:
    steps = orjson.loads(shared("recordings", "mcsd", f"{name}.json").read_bytes())["steps"]
    step = next(one for one in steps if one["to"] == "directory" and (one["response_status"] or 0) >= 400)
    async with serving(Directory()) as directory, follower(make_database) as node:

        async def behave(request: web.Request) -> web.StreamResponse | None:
            body = step["response_body"]
            text = body if isinstance(body, str) else orjson.dumps(body).decode()
            headers = {str(key): str(value) for key, value in (step.get("response_headers") or {}).items()}
            return web.Response(status=step["response_status"], text=text, headers=headers)

        directory.behave = behave
        node.feeders = [CentralFeeder("recorded", directory.base, open_remote(), HOUR)]
        assert f"status {step['response_status']}" in (await node.run()).error
        source = await node.source()
        assert source.in_step is None and source.run_after is not None and source.tried is not None
        wait: Any = (step.get("response_headers") or {}).get("Retry-After")
        assert (source.run_after - source.tried).total_seconds() >= float(wait or 0)
