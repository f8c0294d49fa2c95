"""What the ministry's update client really sent, sent again to our doors: recordings of its run against another
directory (`minvws/gfmodules-mcsd-update-client`). What it needs of an answer must be in ours; contents that a scenario
rests on are first written into our directory, in the order of the recording.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest
import pytest_asyncio
from tests.directories import OPEN, own_base, query_base, root_base, telling_node, update_client
from tests.nodes import MakeDatabase, RunningNode
from tests.shared import shared

from schakel.kernel.clock import now
from schakel.sources import Source, Write

pytestmark = pytest.mark.shared

Step = dict[str, Any]
TYPES = {
    "Organization",
    "Endpoint",
    "Location",
    "HealthcareService",
    "OrganizationAffiliation",
    "Practitioner",
    "PractitionerRole",
}
ONE_AFTER_ANOTHER = [
    "01-first-load 02-second-run-nothing-changed 03-update 04-delete 05-after-delete-overlap 06-recreate "
    "07-manual-full",
    "10-paging",
    "11-paging-server-limit",
    "12-paging-many-versions",
    "39-reference-to-deleted",
    "48-practitioner-role",
    "50-query-directory-422",
    "51-query-directory-entry-error",
    "52-killed-after-transaction 53-restart-unchanged 54-restart-then-update 55-restart-then-update-again",
    "56-restart-between-types",
    "60-root-directory 61-root-directory-second-run",
    "71-cleanup-sqlite",
]
"""Scenarios that go on with what the one before left."""

OTHERS = [
    "09-paging-opaque-link", "13-broken-resource", "14-broken-resource-fill", "17-absolute-reference-same-origin",
    "20-contained-and-logical-reference", "21-same-id-two-types", "22-same-id-two-types-no-reference",
    "24-ura-conflict", "25-identifier-without-system", "26-two-directories-one-ura", "27-one-address-three-uras",
    "30-directory-500-json", "32-directory-429-retry-after", "33-directory-503-on-page-2", "34-directory-slow",
    "36-directory-drops-connection", "43-delete-without-fullurl", "46-create-as-post", "47-server-refuses-since",
    "60-root-directory 61-root-directory-second-run 64-root-organisation-deleted-manual",
    "65-root-directory-with-next-link", "67-oauth2",
]  # fmt: skip
"""Those in which the directory was the one that behaved in another way, or was not whole: here it is, and what the
client sends because of that has to be answered all the same."""

READ_OTHERWISE = [one for one in OTHERS if one.startswith(("09", "17", "20", "21", "26", "46", "67"))]
"""Those of them in which it reads in a way of its own."""


def numbers(names: str) -> str:
    return "-".join(name[:2] for name in names.split())


@pytest_asyncio.fixture(loop_scope="session")
async def node(make_database: MakeDatabase) -> AsyncIterator[RunningNode]:
    async with telling_node(make_database, {}, {**OPEN, "overlap_seconds": 0}) as running:
        yield running


def steps_of(name: str, *receivers: str) -> list[Step]:
    """The steps of a scenario that went to these."""
    recording = json.loads(shared("recordings", "mcsd", f"{name}.json").read_bytes())
    return [step for step in recording["steps"] if step["to"] in receivers]


# -- the query directory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenarios", ONE_AFTER_ANOTHER + OTHERS, ids=numbers)
async def test_what_it_wrote_is_answered_as_it_needs(node: RunningNode, scenarios: str) -> None:
    sent = 0
    async with update_client(query_base(node)) as client:
        for step in (one for name in scenarios.split() for one in steps_of(name, "query-directory")):
            if refused(step):
                continue  # On purpose, and nothing of it was written there.
            answer = await client.request(step["method"], "", content=json.dumps(step["body"]))
            sent += 1
            assert answer.status_code == 200, answer.text
            if (
                step["response_status"] is not None
            ):  # Else it was written, and the client was killed before it heard.
                check_entries(step, answer.json())
    assert sent


async def test_an_id_that_is_too_long_is_taken_and_found_again(node: RunningNode) -> None:
    """The recorded query directory refused it, which ended the run of that directory for good."""
    [asked, change] = steps_of("23-id-too-long", "query-directory")
    [long] = [entry["resource"]["id"] for entry in change["body"]["entry"]]
    assert len(long) == 73
    async with update_client(query_base(node)) as client:
        before = (await client.post("", json=asked["body"])).json()
        check_entries(asked, before)
        changed = (await client.post("", json=change["body"])).json()
        after = (await client.post("", json=asked["body"])).json()
    assert [entry["response"]["status"] for entry in changed["entry"]] == ["201"]
    [history] = [entry["resource"] for entry in after["entry"]]
    [entry] = history["entry"]
    assert content(entry["resource"]) == content(change["body"]["entry"][0]["resource"])
    assert entry["fullUrl"].endswith(f"/Organization/{long}")


def refused(step: Step) -> bool:
    """Whether the recorded query directory was made to refuse it."""
    if step["response_status"] is None:
        return False
    entries = step["response_body"].get("entry", [])
    return step["response_status"] != 200 or any(one["response"]["status"] == "422" for one in entries)


def check_entries(step: Step, ours: dict[str, Any]) -> None:
    theirs = step["response_body"]
    assert ours["type"] == theirs["type"]
    assert ("entry" in ours) == ("entry" in theirs), "a transaction without entries has an answer without"
    for asked, given, recorded in zip(
        step["body"].get("entry", []), ours.get("entry", []), theirs.get("entry", []), strict=True
    ):
        url = asked["request"]["url"]
        assert given["response"]["status"][:3] == recorded["response"]["status"][:3], url
        if "outcome" in recorded["response"]:
            [issue, *_] = given["response"]["outcome"]["issue"]
            assert (issue["severity"], issue["code"]) == ("error", "not-found"), url
        if "resource" in recorded and recorded["resource"]["resourceType"] == "Bundle":
            check_history(given["resource"], recorded["resource"])


def check_history(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The history of one resource: newest first, and what the client looks at the same."""
    assert ours["type"] == theirs["type"] == "history"
    newest, recorded = ours["entry"][0], theirs["entry"][0]
    assert (newest["request"]["method"] == "DELETE") == (recorded["request"]["method"] == "DELETE")
    assert content(newest.get("resource")) == content(recorded.get("resource"))
    assert len(ours["entry"]) == len(theirs["entry"])


def content(resource: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if resource is None else {name: value for name, value in resource.items() if name != "meta"}


# -- the directory ---------------------------------------------------------------------------------------------------


class Filled:
    """Our directory with the contents of a recorded one; `times` are moments there with the moments here."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.times: list[tuple[datetime, datetime]] = []
        self.present: set[tuple[str, str]] = set()
        self._known: set[tuple[str, str, str]] = set()

    async def take(self, steps: Sequence[Step]) -> None:
        """Writes what the recorded directory showed and ours does not have yet, in the order in which it came."""
        found: dict[tuple[str, str, str], tuple[datetime, dict[str, Any]]] = {}
        for entry in (one for step in steps for one in histories(step)):
            kind, logical_id = identity(entry)
            moment = changed(entry)
            key = (kind, logical_id, moment.isoformat())
            if key not in self._known:
                found[key] = (moment, entry)
        for key, (moment, entry) in sorted(found.items(), key=lambda item: item[1][0]):
            kind, logical_id, _ = key
            resource = content(entry.get("resource"))
            write = (
                Write("PUT", kind, logical_id, resource) if resource else Write("DELETE", kind, logical_id)
            )
            self.times.append((moment, now()))
            await self.source.write("r4", [write])
            self._known.add(key)
            self.present.add((kind, logical_id))

    def since(self, recorded: str) -> str:
        """What the client would have asked here, in the form in which it asks."""
        asked = datetime.fromisoformat(recorded)
        here = next((ours for theirs, ours in self.times if theirs >= asked), now())
        return quote((here - timedelta(milliseconds=1)).isoformat(timespec="microseconds"), safe=":")


def histories(step: Step) -> Iterator[dict[str, Any]]:
    """The entries of all histories in a recorded answer."""
    body = step.get("response_body")
    if not isinstance(body, dict):
        return
    for entry in body.get("entry", []):
        if body["type"] == "history":
            yield entry
        elif entry.get("resource", {}).get("resourceType") == "Bundle":
            yield from entry["resource"].get("entry", [])


def identity(entry: dict[str, Any]) -> tuple[str, str]:
    if "resource" in entry:
        return entry["resource"]["resourceType"], entry["resource"]["id"]
    kind, logical_id = entry.get("fullUrl", entry["request"]["url"]).split("/")[-2:]
    return kind, logical_id


def changed(entry: dict[str, Any]) -> datetime:
    moment = (
        entry["resource"]["meta"]["lastUpdated"] if "resource" in entry else entry["response"]["lastModified"]
    )
    return datetime.fromisoformat(moment)


@pytest.mark.parametrize("scenarios", ONE_AFTER_ANOTHER[:-1] + READ_OTHERWISE, ids=numbers)
async def test_what_it_read_it_would_read_here(node: RunningNode, scenarios: str) -> None:
    directory = Filled(node.node.update_client.directories["a"].source)  # type: ignore[union-attr]
    receivers = ["directory"] if not scenarios.startswith("60") else ["directory", "directory-2"]
    asked = 0
    async with update_client(own_base(node)) as client:
        mine = {identity(entry) for kind in TYPES for entry in await pages(client, f"/{kind}/_history", "")}
        for steps in (steps_of(name, *receivers) for name in scenarios.split()):
            await directory.take(steps)
            for step in steps:
                asked += await read_again(client, directory, step, steps, mine)
    assert asked


async def read_again(
    client: httpx.AsyncClient,
    directory: Filled,
    step: Step,
    steps: Sequence[Step],
    mine: set[tuple[str, str]],
) -> bool:
    path = step["path"].removeprefix("/fhir")
    if step["method"] == "POST":
        answer = await client.post("", content=json.dumps(step["body"]))
        assert answer.status_code == 200, answer.text
        check_entries(step, answer.json())
        return True
    if path == "/metadata":
        check_capabilities((await client.get(path)).json())
        return True
    query = dict(step["query"] or ())
    if set(query) - {"_count", "_since"}:
        return False  # A page that follows: the pages here are followed below.
    text = step["raw_query"] or ""
    if "_since" in query:
        since = directory.since(query["_since"])
        text = "&".join(f"_since={since}" if one.startswith("_since=") else one for one in text.split("&"))
    recorded = [
        entry
        for one in steps
        if one["path"] == step["path"] and ("_since" in dict(one["query"] or ())) == ("_since" in query)
        for entry in histories(one)
    ]
    ours = await pages(client, path, text)
    newest = {identity(entry): entry for entry in reversed(ours)}
    for key, entry in {identity(one): one for one in reversed(recorded)}.items():
        assert content(newest[key].get("resource")) == content(entry.get("resource")), key
        assert newest[key]["request"]["method"] == entry["request"]["method"] or "resource" in entry
    if "_since" not in query:
        kind = path.split("/")[1]
        assert set(newest) <= mine | {key for key in directory.present if key[0] == kind}
    return True


async def pages(client: httpx.AsyncClient, path: str, query: str) -> list[dict[str, Any]]:
    """All entries of a history as the client reads them: of a link to the next page, the query part alone; of a
    parameter, its first value alone."""
    found: list[dict[str, Any]] = []
    for _ in range(100):
        answer = await client.get(f"{path}?{query}" if query else path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/fhir+json")
        bundle = answer.json()
        assert bundle["type"] == "history"
        for entry in bundle.get("entry", []):
            assert entry["request"]["method"] in ("POST", "PUT", "DELETE")
            assert ("resource" in entry) == (entry["request"]["method"] != "DELETE")
        found += bundle.get("entry", [])
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            moments = [entry["response"]["lastModified"] for entry in found]
            assert moments == sorted(moments, reverse=True), "newest first, over all pages"
            return found
        given = parse_qsl(urlsplit(following[0]).query)
        assert len(dict(given)) == len(given), "a name that is repeated would lose a value"
        query = urlencode(given)
    raise AssertionError("the pages do not end")


def check_capabilities(statement: dict[str, Any]) -> None:
    [rest] = [one for one in statement["rest"] if one["mode"] == "server"]
    has = {one["type"]: {i["code"] for i in one["interaction"]} for one in rest["resource"]}
    assert has.keys() == TYPES
    assert all({"read", "search-type", "history-type"} <= codes for codes in has.values())


# -- the root directory ----------------------------------------------------------------------------------------------


async def test_it_finds_the_directories_of_this_node_in_its_root(node: RunningNode) -> None:
    [step] = steps_of("60-root-directory", "lrza-root")
    async with update_client(root_base(node)) as client:
        answer = await client.get(f"{step['path'].removeprefix('/fhir')}?{step['raw_query']}")
        found = answer.json()
        [organisation] = [e["resource"] for e in found["entry"] if e["search"]["mode"] == "match"]
        again = await client.get(
            f"/Organization/_search?_id={organisation['id']}&_include=Organization:endpoint"
        )
    assert answer.status_code == step["response_status"] == 200
    assert not [link for link in found["link"] if link["relation"] == "next"]
    [reference] = organisation["endpoint"]
    [endpoint] = [e["resource"] for e in found["entry"] if e["search"]["mode"] == "include"]
    assert reference["reference"] == f"Endpoint/{endpoint['id']}"
    assert endpoint["address"] == own_base(node)
    assert [e["resource"] for e in again.json()["entry"]] == [organisation, endpoint]


# -- its token -------------------------------------------------------------------------------------------------------


async def test_its_token_request_gets_a_token_with_which_it_goes_on(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    steps = steps_of("67-oauth2", "lrza-root", "directory", "query-directory")
    asked = next(one for one in steps if one["path"] == "/token")
    (tmp_path / "secret").write_text(dict(parse_qsl(asked["body"]))["client_secret"])
    told = {**OPEN, "access": "oauth2", "client_id": "client-1", "secret": tmp_path / "secret"}
    async with telling_node(make_database, {}, told) as node, httpx.AsyncClient(trust_env=False) as tokens:
        at = f"{node['a'].front_root}/directory/update-client/oauth2/token"
        bearer, answered = "", 0
        for step in steps:
            path = step["path"].removeprefix("/fhir")
            if path == "/token":
                given = await tokens.post(at, content=step["body"], headers=step["headers"])
                assert given.status_code == 200, given.text
                bearer = f"Bearer {given.json()['access_token']}"
                continue
            shown = step.get("headers")  # None of its own with `metadata`: Authorization is there, and empty.
            base = own_base(node) if step["to"] == "directory" else query_base(node)
            async with update_client(base, Authorization=bearer if shown else "") as client:
                query = f"?{step['raw_query']}" if step.get("raw_query") else ""
                content = json.dumps(step["body"]) if "body" in step else None
                answer = await client.request(step["method"], f"{path}{query}", content=content)
            assert answer.status_code == step["response_status"] == 200, answer.text
            answered += 1
        assert answered >= 10
