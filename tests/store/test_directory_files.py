"""A file as a source of the query directory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.followed import Follower, endpoint, follower, link, organisation

from schakel.generic.addressing.sync import FileFeeder

URN = "urn:uuid:6d1c5e4b-3f0a-4c1e-9d55-0a6a6f6d9f01"


def write(path: Path, *entries: dict[str, Any], kind: str = "collection") -> None:
    path.write_bytes(orjson.dumps({"resourceType": "Bundle", "type": kind, "entry": list(entries)}))


async def settled(node: Follower) -> str:
    """Runs until nothing is due at once; why the last run failed."""
    for _ in range(3):
        ran = await node.run()
        if ran.error or (await node.source()).whole == 0:
            return ran.error
    raise AssertionError("it is read again and again")


async def test_a_file_is_what_there_is(make_database: Callable[[], Awaitable[str]], tmp_path: Path) -> None:
    path = tmp_path / "zorg-ab.json"
    first = {"resource": {**organisation("Noord", "00000001", endpoint=[{"reference": URN}]), "id": "n"}}
    write(path, first, {"fullUrl": URN, "resource": endpoint()})
    async with follower(make_database) as node:
        node.feeders = [FileFeeder("zorg-ab", path, "", timedelta(hours=1), 100_000)]
        assert await settled(node) == ""
        here = await node.here()
        kept = here["Endpoint", URN.removeprefix("urn:uuid:")]
        assert here["Organization", "n"]["endpoint"] == [{"reference": f"Endpoint/{kept['id']}"}]
        assert here["Organization", "n"]["meta"]["source"] == "urn:schakel:directory:zorg-ab/Organization/n"
        assert (await node.run()).applied.unchanged == 0
        write(path, {"resource": {**organisation("Zuid", "00000002"), "id": "z"}}, kind="searchset")
        assert await settled(node) == ""
        assert set(await node.here()) == {("Organization", "z")}


async def test_two_contents_of_one_resource_are_none(
    make_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    path = tmp_path / "bundle.json"
    twice = [{"resource": {**organisation(name, "00000001"), "id": "n"}} for name in ("Noord", "Zuid")]
    same = {"resource": {**organisation("Oost", "00000003"), "id": "o", "partOf": link("Organization", "n")}}
    write(path, *twice, same, same)
    async with follower(make_database) as node:
        node.feeders = [FileFeeder("file", path, "https://example.org/fhir", timedelta(hours=1), 100_000)]
        assert await settled(node) == ""
        assert set(await node.here()) == {("Organization", "o")}
        assert await node.findings() == {("Organization", "n"): "resource-double"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"<html>", "no FHIR JSON"),
        (b'{"resourceType": "Bundle", "type": "history"}', "no Bundle of type"),
        (b" " * 2000, "setting bytes"),
    ],
)
async def test_a_file_that_is_none_leaves_what_there_was(
    make_database: Callable[[], Awaitable[str]], tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "bundle.json"
    write(path, {"resource": {**organisation("Noord", "00000001"), "id": "n"}})
    async with follower(make_database) as node:
        node.feeders = [FileFeeder("file", path, "", timedelta(hours=1), 1000)]
        await settled(node)
        path.unlink() if content is None else path.write_bytes(content)
        assert said in await settled(node)
        assert set(await node.here()) == {("Organization", "n")}
        assert (await node.source()).in_step is not None
