"""So much may be asked in a minute, each requester apart; it is told once, and memory is bounded."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from schakel.generic.identity import Caller
from schakel.http.rates import Rated, Rates
from schakel.kernel.outcomes import TooMany, Unauthenticated

SETTING = "limits.requests_per_minute"


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


def rates(most: int = 6) -> tuple[Rates, Clock]:
    clock = Clock()
    return Rates(most, SETTING, clock), clock


def asked(of: Rates, times: int, *, by: str = "", address: str = "192.0.2.1") -> int:
    """How many of so many requests were let through; `by` is who is told, '' nobody."""
    through = 0
    for _ in range(times):
        with suppress(TooMany), of.counted(address) as counting:
            if by:
                counting.by(by)
            through += 1
    return through


def test_a_requester_gets_a_minutes_worth_at_once_and_then_as_time_goes_by() -> None:
    of, clock = rates()
    assert asked(of, 10, by="90000001") == 6
    clock.seconds += 10  # One more in ten seconds.
    assert asked(of, 10, by="90000001") == 1
    clock.seconds += 3600
    assert asked(of, 10, by="90000001") == 6


def test_the_refusal_says_when_to_come_back_and_which_setting_it_is() -> None:
    of, clock = rates()
    asked(of, 6, by="90000001")
    with pytest.raises(TooMany) as caught:
        of.spend("90000001")
    assert caught.value.status == 429
    assert SETTING in caught.value.message
    seconds = int(caught.value.headers["Retry-After"])
    assert seconds == 10
    clock.seconds += seconds
    assert asked(of, 1, by="90000001") == 1


def test_one_requester_takes_nothing_from_another_at_the_same_address() -> None:
    of, _ = rates()
    asked(of, 100, by="90000001")
    assert asked(of, 100, by="90000002") == 6


def test_who_does_not_say_who_it_is_counts_by_its_address_and_takes_nothing_from_others() -> None:
    of, _ = rates()
    asked(of, 5, by="90000001")
    assert asked(of, 100, address="192.0.2.1") == 6
    # Now nobody is heard at that address, but the requester is elsewhere.
    assert asked(of, 1, by="90000001", address="192.0.2.1") == 0
    assert asked(of, 2, by="90000001", address="192.0.2.2") == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "nonsense", True),
    ],
)
def test_addresses_of_one_network_count_together(one: str, other: str, same: bool) -> None:
    of, _ = rates()
    asked(of, 6, address=one)
    assert asked(of, 1, address=other) == (0 if same else 1)


def test_it_is_logged_once_until_the_requester_has_calmed_down() -> None:
    of, clock = rates()
    with capture_logs() as lines:
        asked(of, 50, by="90000001")
        clock.seconds += 10
        asked(of, 50, by="90000001")
    assert [(line["event"], line["requester"], line["setting"]) for line in lines] == [
        ("too many requests", "90000001", SETTING)
    ]
    with capture_logs() as lines:
        clock.seconds += 60
        asked(of, 50, by="90000001")
    assert len(lines) == 1


def test_ever_more_requesters_take_no_more_memory_and_those_who_go_on_stay_counted() -> None:
    of, _ = rates()
    asked(of, 6, by="90000001")
    for number in range(30_000):
        asked(of, 1, address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        if number % 1000 == 0:
            assert asked(of, 1, by="90000001", address="192.0.2.9") == 0
    assert of.size <= 10_000


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 20)), max_size=20))
def test_never_more_than_a_minutes_worth_beyond_what_time_gives(steps: list[tuple[float, int]]) -> None:
    of, clock = rates()
    began, through = clock.seconds, 0
    for pause, times in steps:
        clock.seconds += pause
        through += asked(of, times, by="90000001")
    assert through <= 6 + (clock.seconds - began) / 10 + 1e-6


@dataclass
class Doorman:
    """Knows who has the token of that name."""

    asked: int = 0

    async def identify(self, caller: Caller) -> str:
        self.asked += 1
        if not caller.authorization:
            raise Unauthenticated("who?")
        return caller.authorization[0]


async def test_who_comes_to_a_door_is_counted_under_the_name_that_its_token_gives() -> None:
    of, _ = rates()
    doorman = Doorman()
    door = Rated(doorman, of, lambda grant: grant)

    async def knock(*token: str, address: str = "192.0.2.1") -> bool:
        try:
            return await door.identify(Caller("GET", "", token, network_address=address)) == token[0]
        except TooMany:
            return False

    assert [await knock("90000001") for _ in range(8)] == [True] * 6 + [False] * 2
    assert await knock("90000002")
    for _ in range(6):
        with pytest.raises(Unauthenticated):
            await knock()
    # From now on nobody is even asked who it is, at that address.
    before = doorman.asked
    assert not await knock()
    assert doorman.asked == before
    assert await knock("90000002", address="192.0.2.2")
