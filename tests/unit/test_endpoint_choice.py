"""Which endpoint is for which part of an exchange: what holds whatever a provider lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.addressing import BGZ, endpoint

from schakel.generic.addressing.choice import Terms, choose
from schakel.generic.addressing.exchanges import CATEGORIES, exchange
from schakel.kernel.clock import now

WANTED = exchange("bgz")
SOME = st.frozensets(st.sampled_from(["Patient", "Condition", "Alert", "Consent", "Imaging", "Episode"]))
LISTED = st.lists(st.tuples(SOME, st.booleans(), st.booleans()), max_size=5)
"""For each endpoint its categories, whether it is on, and whether it names the exchange."""


def terms(categories: frozenset[str], on: bool, names: bool) -> Terms:
    payloads = [*((CATEGORIES, one) for one in sorted(categories)), *([BGZ] if names else [])]
    return Terms.of(endpoint("one", payloads, status="active" if on else "off"))


@given(LISTED)
def test_each_category_that_some_endpoint_has_goes_to_one_that_has_it(
    listed: list[tuple[frozenset[str], bool, bool]],
) -> None:
    chosen = choose([terms(*one) for one in listed], WANTED, now(), WANTED.categories)
    assert all(listed[place][1] for place, _ in chosen)
    given_away = [one for _, categories in chosen for one in categories]
    assert len(given_away) == len(set(given_away))
    if any(on and names for _, on, names in listed):
        [(place, categories)] = chosen
        assert listed[place][2] and categories == WANTED.categories
        return
    assert all(categories and categories <= listed[place][0] for place, categories in chosen)
    there = frozenset().union(*(categories for categories, on, _ in listed if on))
    assert set(given_away) == there & WANTED.categories
