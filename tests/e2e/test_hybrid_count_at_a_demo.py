"""`schakel roadmap hybrid count` at the demo: the records of its organisations have people to count, and the board
counts them."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from tests.region import Demo
from tests.region import region as region

from schakel.demo import cast
from schakel.demo.patients import region as made_region
from schakel.demo.roadmap.hybrid import Rule, rules
from schakel.demo.roadmap.records import programme

PLACES = (cast.HOSPITAL_NORTH, cast.MENTAL_HEALTH)


def counted(demo: Demo, slug: str, pathway: str, year: str) -> str:
    command = [sys.executable, "-m", "schakel", "roadmap", "hybrid", "count", "--organisation", slug]
    command += ["--data", str(demo.folder), "--pathway", pathway, "--period", year]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def people(demo: Demo, slug: str, pathway: str) -> Mapping[str, Any]:
    one = demo.organisation(slug)
    request = urllib.request.Request(
        f"{one['internal']}/roadmap/hybrid", headers={"X-API-Key": one["internal_key"]}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        shown = json.load(answer)
    [own] = [found for found in shown["organisations"] if found["ura"] == one["ura"]]
    found: Mapping[str, Any] = next(row for row in own["pathways"] if row["id"] == pathway)
    return found


def in_the_record(demo: Demo, organisation: cast.Organisation, rule: Rule) -> tuple[int, int, int]:
    """How many have the indication in the year of the demo's day, have a care plan, and filled something in."""
    told = json.loads((demo.folder / "region.json").read_bytes())
    today = date.fromisoformat(told["today"])
    where = made_region(told["patients"], told["seed"], today=today)
    codes = {code.rpartition("|")[2] for code in rule.indication}
    eligible = {
        person.number
        for person in where.known_at(organisation.slug)
        for one in where.chart(organisation.slug, person)
        if one["resourceType"] == "Condition" and one["code"]["coding"][0]["code"] in codes
    }
    written = [one for one in programme(where, organisation) if rule.pathway in one["id"]]
    plans = {one["subject"]["reference"] for one in written if one["resourceType"] == "CarePlan"}
    active = {
        one["subject"]["reference"]
        for one in written
        if one["resourceType"] == "QuestionnaireResponse" and one["authored"][:4] == str(today.year)
    }
    return len(eligible), len(plans), len(active)


@pytest.mark.parametrize(
    ("organisation", "rule"),
    [(place, rule) for place in PLACES for rule in rules(place)],
    ids=[f"{place.slug}-{rule.pathway}" for place in PLACES for rule in rules(place)],
)
def test_the_demo_has_a_record_to_count_and_its_board_shows_what_was_counted(
    region: Demo, organisation: cast.Organisation, rule: Rule
) -> None:
    year = json.loads((region.folder / "region.json").read_bytes())["today"][:4]
    before = people(region, organisation.slug, rule.pathway)
    eligible, enrolled, active = in_the_record(region, organisation, rule)
    assert eligible and enrolled
    said = counted(region, organisation.slug, rule.pathway, year)
    assert f"{rule.pathway}: {eligible} eligible in {year}, {enrolled} enrolled, " in said
    assert "rows of a file about the same pathway and year stand beside this" in said
    after = people(region, organisation.slug, rule.pathway)
    grown = 0 if before["counts"] else eligible
    assert after["people"]["eligible"] - before["people"]["eligible"] == grown
    [made] = after["counts"]
    assert (made["year"], made["people"], made["rules_changed_since"]) == (year, eligible, False)
    if organisation == cast.HOSPITAL_NORTH:
        # Only what was filled in at home is digital there; elsewhere contacts from a distance are too.
        assert f"{active} active" in said
