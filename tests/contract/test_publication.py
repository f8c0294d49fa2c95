"""Publishing own entries in the central directory, against the stand-in of the LRZa: what is there afterwards, whatever
went wrong on the way.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from tests.central import OWN, URA, Way, once, published
from tests.directories import ENTRIES, telling_node
from tests.lrza import ROOT, organisation
from tests.nodes import MakeDatabase

from schakel.commands.published import of_node
from schakel.generic.addressing.own.ledger import Row
from schakel.generic.addressing.own.model import Place
from schakel.generic.addressing.own.publication import PublicationWork
from schakel.generic.addressing.own.signature import Signing, canonical
from schakel.kernel.outcomes import NotFound

ALL = ("Organization", "Endpoint", "Location", "HealthcareService")


@pytest_asyncio.fixture(loop_scope="session")
async def way(fresh_database: str, tmp_path: Path) -> AsyncIterator[Way]:
    async with published(fresh_database, tmp_path) as made:
        yield made


async def everything_is_there(way: Way) -> None:
    """Every row is published and the central directory has each entry once."""
    rows = await way.work.ledger.rows()
    assert {(one.state, one.finding, one.detail) for one in rows} == {("published", "", "")}
    counted = {kind: len(await way.remote(kind)) for kind in ALL}
    assert counted == {"Organization": 2, "Endpoint": 1, "Location": 1, "HealthcareService": 1}


# -- what goes right -------------------------------------------------------------------------------------------------


async def test_entries_that_refer_to_each_other_are_there_whole_with_ids_of_the_other_side(way: Way) -> None:
    await way.bring()
    await way.publish()
    await everything_is_there(way)
    [endpoint] = await way.remote("Endpoint")
    whole = next(one for one in await way.remote("Organization") if "partOf" not in one)
    unit = next(one for one in await way.remote("Organization") if "partOf" in one)
    [service] = await way.remote("HealthcareService")
    [place] = await way.remote("Location")
    assert whole["endpoint"] == [{"reference": f"Endpoint/{endpoint['id']}"}]
    assert endpoint["managingOrganization"]["reference"] == f"Organization/{whole['id']}"
    assert unit["partOf"]["reference"] == f"Organization/{whole['id']}"
    assert service["providedBy"]["reference"] == f"Organization/{unit['id']}"
    assert service["location"] == [{"reference": f"Location/{place['id']}"}]


async def test_what_did_not_change_is_not_sent_again(way: Way) -> None:
    await way.bring()
    await way.publish()
    way.writes()
    await way.bring()
    await way.publish()
    assert way.writes() == []


async def test_a_change_is_an_update_of_the_version_that_is_there(way: Way) -> None:
    await way.bring()
    await way.publish()
    way.writes()
    await way.bring(places=(Place("main", "New Building", OWN.places[0].types),))
    await way.publish()
    [place] = await way.remote("Location")
    assert way.writes() == [("PUT", f"/Location/{place['id']}")]
    assert (place["name"], place["meta"]["versionId"]) == ("New Building", "2")


async def test_what_is_no_more_is_switched_off_there_and_stays(way: Way) -> None:
    await way.bring()
    await way.publish()
    await way.bring(places=(), services=())
    await way.publish()
    [place], [service] = await way.remote("Location"), await way.remote("HealthcareService")
    assert (place["status"], service["active"]) == ("inactive", False)


async def test_what_was_switched_off_before_it_was_ever_there_is_not_made(way: Way) -> None:
    await way.bring()
    await way.bring(places=(), services=())
    await way.publish()
    assert await way.remote("Location") == await way.remote("HealthcareService") == []
    assert {one.state for one in await way.work.ledger.rows()} == {"published"}


async def test_what_is_under_way_is_not_woken(way: Way) -> None:
    await way.bring()
    ledger = way.work.ledger
    await ledger.look()
    taken = await everything_taken(way)
    for row in taken:
        await ledger.keep(row, finding="waits", detail="waits for another", wait=timedelta(hours=1))
    await ledger.wake(taken[0].tenant)
    assert {row.id for row in await everything_taken(way)} == {row.id for row in taken}
    await ledger.wake(taken[0].tenant)
    assert await everything_taken(way) == []


async def everything_taken(way: Way) -> list[Row]:
    """Every entry that waits, taken for a minute."""
    taken = []
    while (row := await way.work.ledger.take(timedelta(minutes=1))) is not None:
        taken.append(row)
    return taken


async def test_two_workers_send_each_entry_once(way: Way) -> None:
    await way.bring()
    await way.work.ledger.look()

    async def until_done(work: PublicationWork) -> None:
        while await work.turn():
            pass

    await asyncio.gather(until_done(way.worker(60)), until_done(way.worker(60)))
    await way.at_once()
    await way.publish()
    await everything_is_there(way)
    made = [path for method, path in way.writes() if method == "POST"]
    assert sorted(made) == ["/Endpoint", "/HealthcareService", "/Location", "/Organization", "/Organization"]


async def test_a_node_publishes_what_its_settings_say_and_tells_what_became_of_it(
    make_database: MakeDatabase, fresh_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with published(fresh_database, tmp_path, shown="90000001") as way:
        told = {"publication": {"base": way.base, "every_seconds": 0.1}}
        entries = {**ENTRIES, "publish": True}
        async with telling_node(make_database, entries, {"access": "off"}, addressing=told) as node:
            for _ in range(300):
                code, said = await of_node(node.settings, "", overwrite=False), capsys.readouterr().out
                if (code, "entries, 0 not there as it should be" in said) == (0, True):
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError(said)
        [whole] = [one for one in await way.remote("Organization") if "partOf" not in one]
        endpoints = await way.remote("Endpoint")
    assert whole["name"] == "Organisation a"
    assert len(whole["endpoint"]) == len(endpoints) - 1  # One is of a department.


# -- an organisation that was there before us ------------------------------------------------------------------------


async def test_an_organisation_that_is_there_under_its_ura_gets_what_we_say_and_keeps_the_rest(
    fresh_database: str, tmp_path: Path
) -> None:
    before = organisation(URA, id="there", name="Name in the register", alias=["Oost"])
    async with published(fresh_database, tmp_path, seed=[before]) as way:
        await way.bring()
        await way.publish()
        await everything_is_there(way)
        whole = next(one for one in await way.remote("Organization") if one["id"] == "there")
        [endpoint] = await way.remote("Endpoint")
    assert (whole["name"], whole["alias"]) == ("Name in the register", ["Oost"])
    assert whole["identifier"] == before["identifier"]
    assert whole["endpoint"] == [{"reference": f"Endpoint/{endpoint['id']}"}]


async def test_what_others_add_to_that_organisation_stays(fresh_database: str, tmp_path: Path) -> None:
    async with published(fresh_database, tmp_path, seed=[organisation(URA, id="there")]) as way:
        await way.bring()
        await way.publish()
        await changed_by_another(way, "Organization", "there", alias=["Added by another"])
        await way.bring(agb="06010713")
        await way.publish()
        await everything_is_there(way)
        whole = next(one for one in await way.remote("Organization") if one["id"] == "there")
    assert whole["alias"] == ["Added by another"]
    assert "06010713" in [one["value"] for one in whole["identifier"]]


# -- others change what is ours --------------------------------------------------------------------------------------


async def changed_by_another(way: Way, kind: str, logical_id: str, **members: Any) -> None:
    path = f"/fhir/{kind}/{logical_id}"
    current = (await way.there.get(path)).json()
    version = current["meta"]["versionId"]
    answer = await way.there.put(path, json={**current, **members}, headers={"If-Match": f'W/"{version}"'})
    assert answer.status_code == 200, answer.text


async def a_conflict(way: Way) -> str:
    """Another changed our Location, and so did we; its id there."""
    await way.bring()
    await way.publish()
    [place] = await way.remote("Location")
    await changed_by_another(way, "Location", place["id"], description="added by another")
    await way.bring(places=(Place("main", "New Building", OWN.places[0].types),))
    await way.publish()
    return str(place["id"])


async def test_what_another_changed_is_not_overwritten_and_named(way: Way) -> None:
    await a_conflict(way)
    [place] = await way.remote("Location")
    row = await way.row("Location")
    assert (place["name"], place["description"]) == ("Main Building", "added by another")
    assert (row.state, row.finding) == ("stopped", "changed-elsewhere")
    assert "version 2" in row.detail


async def test_a_stopped_entry_is_left_alone_until_somebody_looked(way: Way) -> None:
    await a_conflict(way)
    way.writes()
    await way.at_once()
    await way.publish()
    assert way.writes() == []
    row = await way.row("Location")
    await way.work.ledger.again(f"Location/{row.id}", overwrite=True)
    await way.publish()
    [place] = await way.remote("Location")
    assert place["name"] == "New Building"
    assert "description" not in place
    await everything_is_there(way)


async def test_trying_again_without_overwriting_finds_the_same(way: Way) -> None:
    await a_conflict(way)
    row = await way.row("Location")
    await way.work.ledger.again(f"Location/{row.id}")
    await way.publish()
    assert (await way.row("Location")).finding == "changed-elsewhere"
    with pytest.raises(NotFound):
        await way.work.ledger.again("Location/nobody")


# -- what goes wrong on the way --------------------------------------------------------------------------------------


async def test_a_create_whose_answer_was_lost_is_found_again_and_not_made_twice(way: Way) -> None:
    await way.bring()
    way.after = [once("POST", 502, f"/fhir/{kind}") for kind in ALL]
    for _ in range(12):
        await way.publish()
        await way.at_once()
    await everything_is_there(way)


async def test_a_lost_create_that_another_changed_meanwhile_is_not_overwritten(way: Way) -> None:
    await way.bring()
    way.after = [once("POST", 502, "/fhir/Location")]
    await way.publish()
    [place] = await way.remote("Location")
    await changed_by_another(way, "Location", place["id"], name="Named by another")
    await way.at_once()
    await way.publish()
    row = await way.row("Location")
    assert (row.state, row.finding) == ("stopped", "changed-elsewhere")
    assert [one["name"] for one in await way.remote("Location")] == ["Named by another"]


async def test_an_update_whose_answer_was_lost_is_known_again(way: Way) -> None:
    await way.bring()
    await way.publish()
    await way.bring(places=(Place("main", "New Building", OWN.places[0].types),))
    way.after = [once("PUT", 502, "/fhir/Location")]
    await way.publish()
    await way.at_once()
    await way.publish()
    [place] = await way.remote("Location")
    assert (place["name"], place["meta"]["versionId"]) == ("New Building", "2")
    await everything_is_there(way)


async def test_a_change_after_a_lost_update_goes_on_from_it(way: Way) -> None:
    await way.bring()
    await way.publish()
    await way.bring(places=(Place("main", "Second", OWN.places[0].types),))
    way.after = [once("PUT", 502, "/fhir/Location")]
    await way.publish()
    await way.bring(places=(Place("main", "Third", OWN.places[0].types),))
    await way.publish()
    [place] = await way.remote("Location")
    assert (place["name"], place["meta"]["versionId"]) == ("Third", "3")


@pytest.mark.parametrize(
    ("status", "state", "finding"),
    [
        (400, "stopped", "refused"),
        (422, "stopped", "refused"),
        (403, "stopped", "no-mandate"),
        (404, "stopped", "missing"),
        (500, "waiting", "away"),
        (503, "waiting", "away"),
        (429, "waiting", "busy"),
    ],
)
async def test_what_the_other_side_says_is_named_and_stops_that_entry_alone(
    way: Way, status: int, state: str, finding: str
) -> None:
    await way.bring()
    way.before = [once("POST", status, "/fhir/Location")]
    await way.publish()
    row = await way.row("Location")
    assert (row.state, row.finding) == (state, finding)
    assert f"status {status}" in row.detail
    assert "no luck" in row.detail
    assert (await way.row("Endpoint")).state == "published"
    service = await way.row("HealthcareService", "")
    assert (service.state, service.finding) == ("waiting", "in-part")
    await way.at_once()
    if state == "stopped":
        await way.work.ledger.again(f"Location/{row.id}")
    await way.publish()
    await way.publish()
    await everything_is_there(way)


async def test_retry_after_is_kept_to(way: Way) -> None:
    await way.bring()
    way.before, way.headers = [once("POST", 429, "/fhir/Location")], {"Retry-After": "600"}
    await way.publish()
    row = await way.row("Location")
    wait = row.run_after - row.changed
    assert timedelta(seconds=595) < wait <= timedelta(seconds=600)


async def test_a_pause_is_twice_as_long_each_time(way: Way) -> None:
    await way.bring()
    way.before = [lambda method, path: 503 if "Location" in path else None]
    waits = []
    for _ in range(4):
        await way.publish()
        row = next(one for one in await way.work.ledger.rows() if one.type == "Location")
        waits.append(round((row.run_after - row.changed).total_seconds()))
        await way.pool.execute("UPDATE publication SET run_after = clock_timestamp() WHERE type = 'Location'")
    assert waits == [2, 4, 8, 16]


# -- signatures ------------------------------------------------------------------------------------------------------


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    key = rsa.generate_private_key(65537, 2048)
    name = f"2.16.528.1.1007.99.2110-1-990000001-S-{URA}-00.000-00000000"
    issued = ROOT.issue("care.example", uzi=name, key=key)
    files = issued.write(tmp_path, "signer")
    return Signing.read(files.certificate, files.key)


async def test_each_change_is_signed_once_and_the_other_side_finds_the_signature_right(
    fresh_database: str, tmp_path: Path, signing: Signing
) -> None:
    async with published(fresh_database, tmp_path, signing=signing) as way:
        await way.bring()
        await way.publish()
        await everything_is_there(way)
        await way.bring(places=(Place("main", "New Building", OWN.places[0].types),))
        await way.publish()
        await everything_is_there(way)
        [place] = await way.remote("Location")
        answer = await way.there.get("/fhir/Provenance/_history?_count=50")
        sent = [path for method, path in way.writes() if (method, path) == ("POST", "/Provenance")]
    assert len(sent) == 7  # Five entries, the whole once its endpoint was there, and one change.
    found = [entry["resource"] for entry in answer.json()["entry"]]
    about = f"Location/{place['id']}/_history/2"
    [last] = [one for one in found if one["target"] == [{"reference": about}]]
    [signature] = last["signature"]
    assert signature["who"]["identifier"]["value"] == URA
    head, middle, code = b64decode(signature["data"]).decode().split(".")
    assert middle == ""
    header = orjson.loads(urlsafe_b64decode(head + "=="))
    public = x509.load_der_x509_certificate(b64decode(header["x5c"][0])).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    content = urlsafe_b64encode(canonical(place)).rstrip(b"=")
    public.verify(urlsafe_b64decode(code + "=="), head.encode() + b"." + content, PKCS1v15(), SHA256())


def test_what_is_signed_has_no_meta_and_no_narrative_at_any_depth_and_keeps_the_text_of_a_code() -> None:
    resource = {
        "resourceType": "Location",
        "meta": {"versionId": "3"},
        "text": {"status": "generated", "div": "<div/>"},
        "type": [{"text": "words", "coding": [{"code": "b", "system": "a"}]}],
        "contained": [{"resourceType": "Organization", "meta": {}, "text": {"div": "<div/>"}, "name": "é"}],
    }
    assert canonical(resource).decode() == (
        '{"contained":[{"name":"é","resourceType":"Organization"}],"resourceType":"Location",'
        '"type":[{"coding":[{"code":"b","system":"a"}],"text":"words"}]}'
    )
