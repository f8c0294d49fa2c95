"""Many questions at once: they take turns at a holder, and none uses up the time of another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from schakel.generic.addressing.model import Address, Addresses
from schakel.generic.identity import Errand, User
from schakel.kernel.values import Bsn
from schakel.network import HolderResult, HolderRules, Holders, Peers, Question, TokenAsker
from schakel.network.peers import PeerLate, PeerRefused

HOLDER, OTHER = "90000001", "90000002"
DOCTOR = User("900000008", "J. Jansen", "01.015")


class Directory:
    """Everybody has an address."""

    async def find(self, ura: str, exchange: str = "") -> Address:
        return Address(
            ura=ura,
            name="",
            issuer="https://as.example",
            token_endpoint="",
            fhir={"stu3": "https://fhir.example"},
            jwks={},
            type_code="",
        )


class Server:
    """An authorisation server that takes its time and then refuses, or with `silent` ends without an answer."""

    def __init__(self, seconds: float, silent: Sequence[str] = ()) -> None:
        self.seconds, self.silent = seconds, silent
        self.under_way: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.order: list[str] = []
        self.began = asyncio.Event()

    async def token(self, ura: str, *more: Any) -> str:
        now = self.under_way[ura] = self.under_way.get(ura, 0) + 1
        self.most[ura] = max(now, self.most.get(ura, 0))
        self.order.append(ura)
        self.began.set()
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way[ura] -= 1
        raise PeerLate("no answer") if ura in self.silent else PeerRefused("no")


def asking(server: Server, rules: HolderRules) -> Holders:
    return Holders(cast(Addresses, Directory()), cast(TokenAsker, server), cast(Peers, None), rules)


async def answers(holders: Holders, *uras: str) -> list[HolderResult]:
    """A question to these holders."""
    errand = Errand("bgz", DOCTOR, "TREAT", "current", ())
    question = Question("1", Bsn("999911120"), errand, "stu3", ["Patient"])
    return [result async for result in holders.ask(question, uras)]


async def at_once(holders: Holders, number: int, ura: str = HOLDER) -> list[HolderResult]:
    """So many questions to one holder at once."""
    results = await asyncio.gather(*(answers(holders, ura) for _ in range(number)))
    return [one for [one] in results]


async def test_as_many_are_asked_at_once_as_the_rule_says() -> None:
    server = Server(0.02)
    results = await at_once(asking(server, HolderRules(1, parallel=2)), 5)
    assert [one.status for one in results] == ["refused"] * 5
    assert server.most == {HOLDER: 2}


async def test_the_time_of_a_question_begins_at_its_turn() -> None:
    results = await at_once(asking(Server(0.1), HolderRules(0.25, parallel=1)), 6)
    assert [one.status for one in results] == ["refused"] * 6


async def test_without_turns_all_would_be_asked_at_once() -> None:
    server = Server(0.02)
    await at_once(asking(server, HolderRules(1, parallel=6)), 6)
    assert server.most == {HOLDER: 6}


async def test_who_has_no_turn_in_time_is_told_so() -> None:
    server = Server(0.3)
    results = await at_once(asking(server, HolderRules(1, parallel=1, wait=0.1)), 3)
    assert sorted(one.status for one in results) == ["late", "late", "refused"]
    reasons = {one.reason for one in results if one.status == "late"}
    assert reasons == {"not asked: 1 other questions to it were under way all the time"}
    assert server.order == [HOLDER]


async def test_a_holder_where_others_wait_does_not_keep_the_rest_waiting() -> None:
    server = Server(0.1)
    holders = asking(server, HolderRules(1, parallel=1))
    waiting = asyncio.create_task(at_once(holders, 5))
    await server.began.wait()
    results = await answers(holders, HOLDER, OTHER)
    assert [one.ura for one in results] == [OTHER, HOLDER]
    await waiting


async def test_a_turn_comes_back_when_the_caller_goes() -> None:
    server = Server(5)
    holders = asking(server, HolderRules(10, parallel=1))
    gone = asyncio.create_task(answers(holders, HOLDER))
    await asyncio.sleep(0.01)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    server.seconds = 0
    [result] = await answers(holders, HOLDER)
    assert result.status == "refused"


async def test_those_that_wait_for_a_holder_without_life_are_told_when_it_is_left_alone() -> None:
    server = Server(0.02, silent=[HOLDER])
    results = await at_once(asking(server, HolderRules(1, failures=2, parallel=1)), 5)
    assert [one.status for one in results] == ["late", "late", "failed", "failed", "failed"]
    assert server.order == [HOLDER, HOLDER]
