"""A central directory that answers something else than was asked: nothing of another is taken for ours."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.central import OWN, Way, published

from schakel.facilities import Answer, Facility
from schakel.generic.addressing.own import codes
from schakel.generic.addressing.own.central import Central, CentralError
from schakel.generic.addressing.own.model import Place

OURS = {"system": codes.URA, "value": "11111111"}
THEIRS = {"system": codes.URA, "value": "22222222"}


def organisation(logical_id: str, *identifiers: dict[str, str]) -> dict[str, Any]:
    meta = {"versionId": "7"}
    return {"resourceType": "Organization", "id": logical_id, "meta": meta, "identifier": list(identifiers)}


class Liar(Facility):
    """Answers every request with these resources: one as it is, several in a Bundle."""

    def __init__(self, *resources: dict[str, Any]) -> None:
        self.name, self.base = "the central directory", "https://central.example/fhir"
        bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}
        self._bodies = {"search": orjson.dumps(bundle), "one": orjson.dumps(resources[0])}

    async def send(
        self, method: str, path: str = "", *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return Answer(200, {}, self._bodies["search" if "?" in path else "one"])


async def test_what_was_not_asked_for_is_not_found() -> None:
    """A server may leave out of a search what it does not know (R4, search, handling): then it gives everybody."""
    one = await Central(Liar(organisation("x", THEIRS))).find("Organization", OURS["system"], OURS["value"])
    assert one is None
    liar = Liar(organisation("x", THEIRS), organisation("y", THEIRS, OURS))
    found = await Central(liar).find("Organization", OURS["system"], OURS["value"])
    assert found is not None and found.id == "y"


async def test_two_that_are_asked_for_are_none() -> None:
    with pytest.raises(CentralError, match="2 entries"):
        await Central(Liar(organisation("x", OURS), organisation("y", OURS))).find(
            "Organization", *OURS.values()
        )


@pytest.mark.parametrize("method", ["read", "update"])
async def test_another_entry_than_was_named_is_no_answer(method: str) -> None:
    central = Central(Liar(organisation("theirs", THEIRS)))
    if method == "read":
        asked = central.read("Organization", "ours")
    else:
        asked = central.update("ours", "6", organisation("ours", OURS))
    with pytest.raises(CentralError) as caught:
        await asked
    assert caught.value.trouble == "answer-broken" and "another entry" in caught.value.detail


async def test_what_refers_to_what_never_was_there_ends_with_it(fresh_database: str, tmp_path: Path) -> None:
    places = (Place("clinic", "Clinic", OWN.places[0].types, "heart"),)
    async with published(fresh_database, tmp_path) as way:
        await way.bring(places=places, services=())
        await way.bring(units=(), places=(), services=())
        async with asyncio.timeout(60):
            await _all_done(way)
        assert await way.remote("Location") == []


async def _all_done(way: Way) -> None:
    for _ in range(5):
        await way.publish()
        await way.at_once()
    assert {(one.state, one.finding) for one in await way.work.ledger.rows()} == {("published", "")}
