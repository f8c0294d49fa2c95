"""What the people of the portal may do, and the settings that say so."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from schakel.config import Portal
from schakel.portal.people import ROLES, Role, Visitor

HERE, THERE = "90000001", "90000002"
LOGIN = {"issuer": "https://login.example", "client_id": "schakel", "key": "portal.jwk"}


def visitor(*roles: Role) -> Visitor:
    return Visitor("s", "Jo", frozenset(roles), frozenset({HERE}))


@pytest.mark.parametrize(
    ("roles", "here", "there", "somewhere"),
    [
        ((), set(), set(), set()),
        (("viewer",), {"viewer"}, {"viewer"}, {"viewer"}),
        (("declarer",), {"viewer", "declarer"}, {"viewer"}, {"viewer", "declarer"}),
        (("reader",), {"viewer", "reader"}, {"viewer"}, {"viewer", "reader"}),
        (
            ("programme",),
            {"viewer", "reader", "programme"},
            {"viewer", "reader", "programme"},
            {"viewer", "reader", "programme"},
        ),
        (
            ("declarer", "reader"),
            {"viewer", "declarer", "reader"},
            {"viewer"},
            {"viewer", "declarer", "reader"},
        ),
    ],
)
def test_a_role_holds_for_the_organisations_that_go_with_it(
    roles: tuple[Role, ...], here: set[str], there: set[str], somewhere: set[str]
) -> None:
    who = visitor(*roles)
    assert {role for role in ROLES if who.may(role, HERE)} == here
    assert {role for role in ROLES if who.may(role, THERE)} == there
    assert {role for role in ROLES if who.may(role)} == somewhere


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        ((), set()),
        (("viewer",), set()),
        (("declarer",), {HERE}),
        (("reader",), {HERE}),
        (("programme",), {HERE, THERE}),
        (("viewer", "declarer"), {HERE}),
    ],
)
def test_details_for_engineers_are_for_who_works_on_that_organisation(
    roles: tuple[Role, ...], told: set[str]
) -> None:
    assert {ura for ura in (HERE, THERE) if visitor(*roles).sees_details(ura)} == told


@pytest.mark.parametrize(
    "issuer", ["https://login.example", "https://login.example/", "https://login.example/a/"]
)
def test_the_issuer_is_kept_as_it_is_written(issuer: str) -> None:
    found = Portal.model_validate({"login": {**LOGIN, "issuer": issuer}})
    assert found.login is not None and found.login.issuer == issuer


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "nobody could read this portal"),
        ({"public": True, "people": [{"subject": "s", "roles": ["viewer"]}]}, "people needs login"),
        (
            {"login": LOGIN, "people": [{"subject": "s", "roles": ["declarer"]}]},
            "declarer needs organisations",
        ),
        ({"login": LOGIN, "people": [{"subject": "s", "roles": ["reader"]}]}, "reader needs organisations"),
        ({"login": LOGIN, "people": [{"subject": "s", "roles": []}]}, "at least 1 item"),
        ({"login": LOGIN, "people": [{"subject": "s", "roles": ["owner"]}]}, "'programme', 'declarer'"),
        (
            {"login": LOGIN, "people": [{"subject": "s", "roles": ["viewer"]}] * 2},
            "two of people have the subject 's'",
        ),
        (
            {
                "login": LOGIN,
                "people": [{"subject": "s", "roles": ["reader"], "organisations": ["none"]}],
            },
            "at most eight digits",
        ),
    ],
)
def test_settings_that_cannot_be_meant_say_why(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Portal(**settings)
