"""More than one question may cost: more holders than are asked, more resources or bytes than are read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Any, cast

import orjson
import pytest
from tests.nodes import DOCTOR

from schakel.exchanges.bgz.ask import MAX_HOLDERS, Ask, Who
from schakel.exchanges.bgz.exchange import BgzExchange
from schakel.generic.addressing.model import Addresses
from schakel.generic.logging import AuditLog, Event
from schakel.kernel.outcomes import Upstream
from schakel.kernel.values import Bsn
from schakel.network import Finding, Findings, HolderResult, Holders, Locator, Question, Wanted
from schakel.network.peers import MAX_RESOURCES, Allowance, searchset


class Names:
    """A facility that names so many organisations, of which the first is in both."""

    def __init__(self, name: str, first: int, number: int) -> None:
        self.name = name
        self._uras = ["90000000", *(f"{90000000 + first + n}" for n in range(number - 1))]

    async def find(self, _wanted: Wanted) -> Findings:
        return Findings([Finding(ura, {}) for ura in self._uras])


class NoAnswers:
    """Holders of which nobody answers; `asked` are those that were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def ask(self, _question: Question, holders: Iterable[str]) -> AsyncGenerator[HolderResult, None]:
        for ura in holders:
            self.asked.append(ura)
            yield HolderResult(ura, "complete", [])


class Log:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def write(self, event: Event) -> None:
        self.events.append(event)


async def fetched(*finders: Names) -> tuple[dict[str, Any], list[str]]:
    """The answer, and who was asked."""
    holders = NoAnswers()
    exchange = BgzExchange(
        ura="80000000",
        name="Us",
        locator=Locator("80000000", finders, 5),
        holders=cast(Holders, holders),
        addresses=cast(Addresses, None),
        log=cast(AuditLog, Log()),
        address="",
    )
    ask = Ask(Bsn("999911120"), (), True, Who(DOCTOR), "TREAT", "current")
    return orjson.loads(await exchange.fetch(ask)), holders.asked


async def test_who_is_not_asked_because_there_are_too_many_is_told() -> None:
    answer, asked = await fetched(Names("nvi", 1, 45), Names("mitz", 100, 20))
    assert len(asked) == len(set(asked)) == MAX_HOLDERS
    assert answer["status"] == "incomplete"
    nvi, mitz = answer["localised"]
    assert (nvi["status"], nvi["reason"]) == ("answered", "")
    assert (mitz["status"], mitz["reason"].split(" ", 1)[0]) == ("answered", "14")
    assert str(MAX_HOLDERS) in mitz["reason"]


async def test_as_many_as_may_be_asked_are_all_asked() -> None:
    answer, asked = await fetched(Names("nvi", 1, MAX_HOLDERS))
    assert len(asked) == MAX_HOLDERS and answer["status"] == "complete"
    assert [one["reason"] for one in answer["localised"]] == [""]


def test_more_resources_than_an_exchange_may_bring_are_not_read() -> None:
    body = orjson.dumps({"resourceType": "Bundle", "type": "searchset", "entry": [{"fullUrl": "urn:a"}] * 30})
    allowance = Allowance(10**9, resources=59)
    searchset(body, "stu3", allowance)
    with pytest.raises(Upstream, match=f"{MAX_RESOURCES}"):
        searchset(body, "stu3", allowance)
