"""What the check of the demo says of finding others when that is broken, and where a program finds these doors."""

from __future__ import annotations

import asyncio
import io
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.region import Demo, started

from schakel.demo.check import STEPS, check
from schakel.demo.check.choices import choose
from schakel.demo.check.finding import custodians, lists, looked_up
from schakel.demo.check.trial import Trial
from schakel.demo.directories import STALE_SECONDS
from schakel.demo.screen import Screen
from schakel.demo.stand_ins import switch
from schakel.kernel.values import BSN_SYSTEM


@pytest.fixture(scope="module")
def demo(open_folder: Path) -> Iterator[Demo]:
    with started(open_folder / "asking", patients=4) as demo:
        yield demo


def opened(demo: Demo) -> Any:
    return Trial.opened(demo.published, demo.folder)


async def made(demo: Demo, *words: str) -> dict[str, tuple[bool, str]]:
    """What becomes of the steps whose names begin with one of these words: whether it is proved, and what is said."""
    steps = [step for step in STEPS if step[0].startswith(words)]
    file = demo.folder / "made.json"
    shown = io.StringIO()
    code = await check(demo.folder, Screen(shown), file, steps)
    told = json.loads(file.read_bytes())
    assert len(told) == len(steps) > 0
    assert code == (0 if all(one["ok"] for one in told) else 1)
    assert shown.getvalue().count("FAILED") == sum(not one["ok"] for one in told)
    return {one["name"].partition(":")[0]: (one["ok"], one["proof"]) for one in reversed(told)}


def asked(address: str, key: str = "") -> dict[str, Any]:
    request = urllib.request.Request(address, headers={"X-API-Key": key} if key else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


async def test_a_region_that_is_ready_finds_every_named_patient_and_every_address(demo: Demo) -> None:
    async with opened(demo) as trial:
        for patient in demo.published["patients"]:
            named = custodians(await lists(trial, patient["bsn"]))
            assert named == {trial.parties[slug].ura for slug in patient["known_at"]}
        for asker in (trial.requester, trial.holder):
            for party in trial.parties.values():
                told = await looked_up(trial, asker, party.ura)
                assert (told["endpoint"], told["issuer"]) == (party.guarded, party.issuer)


def test_demo_json_says_where_the_directories_and_the_index_are_asked(demo: Demo) -> None:
    names = {one["name"]: one["address"] for one in demo.published["stand_ins"]}
    assert {"minvws-oauth", "prs", "nvi", "lrza"} <= set(names)
    assert all(names[name].startswith("https://") for name in ("minvws-oauth", "prs", "nvi", "lrza"))
    for one in demo.published["organisations"]:
        key = one["internal_key"]
        number = urlencode({"identifier": f"http://fhir.nl/fhir/NamingSystem/ura|{one['ura']}"})
        for base, shown in ((one["directory"], key), (one["update_client"], "")):
            searched = f"{base}/Organization?{number}" if shown else f"{base}/Organization"
            found = [entry["resource"]["name"] for entry in asked(searched, shown)["entry"]]
            assert one["name"] in found
        assert asked(f"{one['root_directory']}/Organization")["total"] == 4
        patient = urlencode({"patient:identifier": f"{BSN_SYSTEM}|{demo.published['patients'][0]['bsn']}"})
        assert asked(f"{one['localisation']}/List?{patient}", key)["total"] > 0
        assert one["administration"].startswith(one["back"])


async def test_localise_is_not_proved_when_the_index_is_away(demo: Demo) -> None:
    async with opened(demo) as trial, trial.without("nvi"):
        ok, said = (await made(demo, "localise: the index"))["localise"]
    assert not ok and "nvi" in said and "failed" in said
    ok, said = (await made(demo, "localise: the index"))["localise"]
    assert ok, said


async def test_localise_is_not_proved_when_a_holder_is_not_registered(demo: Demo) -> None:
    async with opened(demo) as trial:
        practice = trial.parties["huisartsen-aabrink"]
        objection = {"patient": trial.chooser(), "by": "a test", "exchanges": ["localisation"]}
        written = await trial.internal("POST", practice, "/consent/objections", objection)
        assert written.status == 201, written.said()
        try:
            await until_named(trial, practice.ura, False)
            ok, said = (await made(demo, "localise: the index"))["localise"]
            assert not ok and said.startswith("named by the index")
        finally:
            path = f"/consent/objections/{written.json()['id']}/end"
            await trial.internal("POST", practice, path, {"by": "a test"})
        await until_named(trial, practice.ura, True)
    ok, said = (await made(demo, "localise: the index"))["localise"]
    assert ok, said


async def test_address_is_not_proved_when_the_directory_is_out_of_step(demo: Demo) -> None:
    async with opened(demo) as trial, trial.without("lrza"):
        await asyncio.sleep(STALE_SECONDS + 1)
        told = await made(demo, "localise: the index", "address: each")
    assert told["localise"][0], told
    ok, said = told["address"]
    assert not ok and said.startswith("the address of URA") and "stale" in said
    assert not switch(demo.folder, "lrza").exists()


async def test_the_check_fails_where_the_region_does_not_keep_its_promise(demo: Demo) -> None:
    """With every ground ended and the patient's choice taken back no data come, and the steps that compare data must
    say so."""
    async with opened(demo) as trial:
        for slug in ("ziekenhuis-noord", "ambulancedienst"):
            holder = trial.parties[slug]
            listed = (await trial.internal("GET", holder, "/grounds?active=true")).json()["grounds"]
            assert listed
            for ground in listed:
                ended = await trial.internal("DELETE", holder, f"/grounds/{ground['id']}")
                assert ended.status == 200
        await choose(trial, trial.chooser(), "no")
    words = ("bgz", "medication", "authorise", "consent", "minimise", "log: every")
    told = await made(demo, "localise: the index", *words)
    assert not any(ok for name, (ok, _) in told.items()), told


async def until_named(trial: Trial, ura: str, wanted: bool) -> None:
    """Returns when the index names a holder of the patient who chose, or does not any more."""
    end = time.monotonic() + 30
    while (ura in custodians(await lists(trial, trial.chooser()))) is not wanted:
        assert time.monotonic() < end
        await asyncio.sleep(0.2)
