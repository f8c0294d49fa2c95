"""What is read of a record that the index gives: only what can be used."""

from __future__ import annotations

from typing import Any

import pytest

from schakel.generic.localisation.lists import custodian, read
from schakel.generic.localisation.model import Record


def record(**members: Any) -> dict[str, Any]:
    return {"resourceType": "List", "id": "r1", "extension": [custodian("90000001")], **members}


@pytest.mark.parametrize("name", [None, "", 5, ".", "..", "../x", "a/b", "a?subject=", "a\nb", "x" * 65])
def test_a_record_whose_id_would_name_another_address_is_of_no_use(name: object) -> None:
    assert read(record(id=name)) == "a record has no id, or one that is none"


@pytest.mark.parametrize(
    ("told", "registered"),
    [
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
        ("2026-11-21T10:00:00.123456+01:00", "2026-11-21T10:00:00.123456+01:00"),
        ("2026-11-21T10:00:00", ""),
        ("2026-11-21", ""),
        ("yesterday\nINFO forged", ""),
        (5, ""),
        (None, ""),
    ],
)
def test_a_time_without_a_zone_is_no_time(told: object, registered: str) -> None:
    found = read(record(date=told))
    assert isinstance(found, Record) and found.registered == registered
