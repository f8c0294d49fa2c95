"""The commands as programs of their own, against nodes that run: what they print and how they end."""

from __future__ import annotations

import asyncio
import gzip
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
import zstandard
from tests.addressing import THIRD_URA, URA, Directory, endpoint, organisation
from tests.nodes import MakeDatabase, RunningNode, databases, free_ports, running_region
from tests.testscript_builder import assertion, case, operation, script, suite, variable

from schakel.generic.addressing.exchanges import CATEGORIES, exchange
from schakel.generic.identity import DpopKey
from schakel.store.embedded import EmbeddedServer

BSN, OTHER_BSN = "999229588", "999282839"
BSN_SYSTEM = "http://fhir.nl/fhir/NamingSystem/bsn"
DOCTOR = {"id": "990010201", "name": "P.W. Halbertsma", "role": "01.010"}
NURSE = {"id": "990010209", "name": "O. Ramdajal", "role": "30.000", "responsible": "990010201"}


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


async def schakel(*arguments: str | Path) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schakel",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert "Traceback" not in err.decode()
    return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def region(cluster: EmbeddedServer) -> AsyncIterator[list[RunningNode]]:
    """Two nodes: organisation a on the first, b and c on the second."""
    async with (
        databases(cluster, "commands") as make,
        running_region(make, [["a"], ["b", "c"]], write_check="lenient") as nodes,
    ):
        yield nodes


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def data(region: list[RunningNode], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the `demo.json` of the region, in which the doctor of b comes after the nurse of b."""
    folder = tmp_path_factory.mktemp("data")
    organisations = [o for node in region for o in node.organisations.values()]
    demo = {
        "organisations": [
            {
                "slug": o.slug,
                "name": f"Organisation {o.slug}",
                "ura": o.ura,
                "front": f"{o.front_root}/{o.slug}",
                "internal": f"{o.internal_root}/{o.slug}",
                "internal_key": o.key,
            }
            for o in organisations
        ],
        "people": [{"organisation": "b", **NURSE}, {"organisation": "b", **DOCTOR, "responsible": None}],
        "test_keys": {o.slug: str(o.signing_key) for o in organisations},
    }
    (folder / "demo.json").write_bytes(orjson.dumps(demo))
    return folder


def patient(logical_id: str, bsn: str = BSN, **members: Any) -> dict[str, Any]:
    identifier = [{"system": BSN_SYSTEM, "value": bsn}]
    return {"resourceType": "Patient", "id": logical_id, "identifier": identifier, **members}


def saved(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else orjson.dumps(content))
    return path


# -- find -------------------------------------------------------------------------------------------------


async def test_an_address_is_shown_with_where_it_is_from(region: list[RunningNode], data: Path) -> None:
    b = region[1]["b"]
    ended = await schakel("find", b.ura, "--exchange", "bgz", "--organisation", "a", "--data", data)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        f"Organisation b ({b.ura})",
        f"  bgz: {b.front_root}/b/fhir/stu3",
        f"  authorisation server: {b.front_root}/b",
        "from configuration",
    ]
    held = await Directory.new(region[0].node.pool)
    await held.put(organisation("hospital", URA, ["bgz"]), endpoint("bgz"), source="central")
    ended = await schakel("find", "Organization/hospital", "--organisation", "a", "--data", data)
    assert ended.out.splitlines() == [
        f"The hospital ({URA}), type V6",
        "  stu3: https://bgz.example/fhir",
        "  authorisation server: none known",
        "from central, of unknown age (stale)",
    ]
    await held.put(endpoint("bgz", [(CATEGORIES, "Consent"), (CATEGORIES, "Alert")]))
    hospital = ("Organization/hospital", "--exchange", "bgz")
    ended = await schakel("find", *hospital, "--organisation", "a", "--data", data)
    lacking = ", ".join(sorted(exchange("bgz").categories - {"Consent", "Alert"}))
    assert ended.out.splitlines()[1:-1] == [
        "  bgz, Alert, Consent: https://bgz.example/fhir",
        "  authorisation server: none known",
        f"  bgz, no endpoint for: {lacking}",
    ]
    ended = await schakel("find", "90000199", "--organisation", "a", "--data", data)
    assert (ended.code, "no organisation with URA 90000199" in ended.err) == (1, True)


# -- import -----------------------------------------------------------------------------------------------


async def test_an_import_writes_what_is_good_and_names_what_is_not(
    region: list[RunningNode], data: Path, tmp_path: Path
) -> None:
    good = [{"resource": patient(f"good-{n}")} for n in range(250)]
    bad = {"resource": patient("bad", colour="red")}
    collection = {"resourceType": "Bundle", "type": "collection", "entry": [*good[:100], bad, *good[100:]]}
    saved(tmp_path / "1.json", collection)
    saved(tmp_path / "2.json", patient("warned", gender=["female", "female"]))
    saved(tmp_path / "sub" / "3.xml", '<Flag xmlns="http://hl7.org/fhir"><id value="no-status"/></Flag>')
    saved(tmp_path / "sub" / "4.json", '{"resourceType": "Patient", "active": NaN}')
    ended = await schakel("import", tmp_path, "--organisation", "c", "--data", data)
    assert ended.code == 1
    assert f"{tmp_path}/1.json: Patient/bad at entry[100]\n    Patient.colour: " in ended.out
    assert f"{tmp_path}/sub/3.xml: Flag/no-status\n    Flag." in ended.out
    assert f"{tmp_path}/sub/4.json: file\n    the body is not JSON" in ended.out
    assert "Written with a warning\n  Patient.gender: 2 values" in ended.out
    assert ended.out.splitlines()[-1] == (
        "4 files: 251 resources written (251 created, 0 updated), 3 refused, 1 warning"
    )
    inside = region[1]["c"].internal
    assert (await inside.get("Patient?_total=accurate&_count=1")).json()["total"] == 251
    assert (await inside.get("Patient/warned")).json()["gender"] == ["female", "female"]


async def test_a_second_import_updates(data: Path, tmp_path: Path) -> None:
    saved(tmp_path / "1.json", patient("twice"))
    ran = [await schakel("import", tmp_path, "--organisation", "c", "--data", data) for _ in range(2)]
    assert [ended.code for ended in ran] == [0, 0]
    assert "(1 created, 0 updated)" in ran[0].out and "(0 created, 1 updated)" in ran[1].out


async def test_decimals_arrive_to_the_last_digit(
    region: list[RunningNode], data: Path, tmp_path: Path
) -> None:
    text = '{"resourceType":"Patient","id":"exact","extension":[{"url":"http://x.example","valueDecimal":7.100}]}'
    saved(tmp_path / "1.json", text)
    assert (await schakel("import", tmp_path, "--organisation", "a", "--data", data)).code == 0
    assert '"valueDecimal":7.100}' in (await region[0]["a"].internal.get("Patient/exact")).text


async def test_a_transaction_is_written_whole_or_not_at_all(
    region: list[RunningNode], data: Path, tmp_path: Path
) -> None:
    def transaction(*resources: dict[str, Any]) -> dict[str, Any]:
        entries = [
            {"resource": r, "request": {"method": "PUT", "url": f"Patient/{r['id']}"}} for r in resources
        ]
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    saved(tmp_path / "1.json", transaction(patient("t1"), patient("t2", colour="red")))
    saved(tmp_path / "2.json", transaction(patient("t3")))
    ended = await schakel("import", tmp_path, "--organisation", "c", "--data", data)
    assert ended.code == 1
    assert "transaction of 2 entries, refused whole\n    Bundle.entry[1]: Patient.colour" in ended.out
    inside = region[1]["c"].internal
    assert [(await inside.get(f"Patient/{i}")).status_code for i in ("t1", "t3")] == [404, 200]


async def test_references_inside_a_bundle_hold_when_the_node_gives_the_ids(
    region: list[RunningNode], data: Path, tmp_path: Path
) -> None:
    flag = {
        "resourceType": "Flag",
        "id": "about",
        "status": "active",
        "code": {"text": "x"},
        "subject": {"reference": "urn:uuid:5"},
    }
    stranger = patient("x", birthDate="1950-01-31")
    del stranger["id"]
    entries = [{"fullUrl": "urn:uuid:5", "resource": stranger}, {"resource": flag}]
    saved(tmp_path / "1.json", {"resourceType": "Bundle", "type": "collection", "entry": entries})
    assert (await schakel("import", tmp_path, "--organisation", "c", "--data", data)).code == 0
    inside = region[1]["c"].internal
    reference = (await inside.get("Flag/about")).json()["subject"]["reference"]
    assert (await inside.get(reference)).json()["birthDate"] == "1950-01-31"


async def test_packed_ndjson_goes_in_by_line_and_may_go_in_again(
    region: list[RunningNode], data: Path, tmp_path: Path
) -> None:
    lines = [orjson.dumps(patient(f"line-{n}")) for n in range(450)]
    lines[300] = orjson.dumps(patient("line-300", colour="red"))
    lines[301] = b"{"
    (tmp_path / "patients.ndjson.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    flag = {"resourceType": "Flag", "id": "f", "status": "active", "code": {"text": "x"}}
    flag["subject"] = {"reference": "Patient/line-1"}
    (tmp_path / "flags.ndjson.zst").write_bytes(zstandard.compress(orjson.dumps(flag)))
    at = ("--organisation", "a", "--data", data, "--fhir", "r4")
    ended = await schakel("import", tmp_path, *at)
    assert ended.code == 1
    assert f"{tmp_path}/patients.ndjson.gz: Patient/line-300 at line 301\n    Patient.colour" in ended.out
    assert f"{tmp_path}/patients.ndjson.gz: line 302\n    the body is not JSON" in ended.out
    assert ended.out.splitlines()[-1] == "2 files: 449 resources written (449 created, 0 updated), 2 refused"
    again = await schakel("import", tmp_path, *at)
    assert again.out.splitlines()[-1] == "2 files: 449 resources written (0 created, 449 updated), 2 refused"
    root = region[0]["a"].internal_root
    read = await region[0]["a"].internal.get(f"{root}/a/fhir/r4/Patient?_total=accurate&_count=1")
    assert read.json()["total"] == 448


async def test_a_key_that_the_node_does_not_know_ends_the_import(data: Path, tmp_path: Path) -> None:
    known = orjson.loads((data / "demo.json").read_bytes())
    for one in known["organisations"]:
        one["internal_key"] = "another-key-than-this-one"
    saved(tmp_path / "other" / "demo.json", known)
    saved(tmp_path / "files" / "1.json", patient("never"))
    at = ("--organisation", "c", "--data", tmp_path / "other")
    ended = await schakel("import", tmp_path / "files", *at)
    assert ended.code == 2
    assert "1 not tried" in ended.out and "X-API-Key is not known" in ended.err


# -- grounds, fetch, explain, token -----------------------------------------------------------------------


async def test_a_ground_is_written_listed_and_ended(region: list[RunningNode], data: Path) -> None:
    at = ("--organisation", "c", "--data", data)
    scope = ("--requester", "b", "--patient", OTHER_BSN, "--exchange", "bgz")
    added = await schakel("ground", "add", *at, *scope, "--until", "2027-06-30", "--reason", "referred")
    assert added.code == 0, added.err
    made = added.out.split()[0]
    assert f"may have bgz of {OTHER_BSN} until 2027-06-30T22:00:00.000Z: referred" in added.out
    active = await schakel("ground", "list", *at, "--patient", OTHER_BSN, "--requester", "b", "--active")
    assert made in active.out and "2027-07-01 00:00" in active.out
    ended = await schakel("ground", "end", made, *at)
    assert ended.code == 0 and ended.out.startswith("ended ")
    left = await schakel("ground", "list", *at, "--patient", OTHER_BSN, "--active")
    assert left.out == "0 grounds at Organisation c\n"
    assert (await schakel("ground", "list", *at, "--patient", OTHER_BSN)).out.endswith(
        "1 ground at Organisation c\n"
    )


async def test_what_the_node_finds_wrong_with_a_ground_is_said(data: Path) -> None:
    scope = ("--requester", "b", "--patient", OTHER_BSN, "--exchange", "bgz", "--reason", "x")
    ended = await schakel(
        "ground", "add", "--organisation", "c", "--data", data, *scope, "--until", "2020-01-01"
    )
    assert (ended.code, ended.err) == (2, "schakel: the node refused: until is not in the future\n")
    absent = await schakel("ground", "end", "none", "--organisation", "c", "--data", data)
    assert (absent.code, absent.err) == (1, "schakel: the node refused: no ground has this id\n")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def known(region: list[RunningNode]) -> None:
    """A patient at a, and at b a ground for nobody; at a a ground for b."""
    a, b = region[0]["a"], region[1]["b"]
    answer = await a.internal.put("Patient/known", json=patient("known"))
    assert answer.status_code == 201, answer.text
    await a.ground(BSN, b.ura)


@pytest.mark.usefixtures("known")
async def test_a_fetch_that_brings_everything_ends_well(data: Path, tmp_path: Path) -> None:
    asked = ("--organisation", "b", "--patient", BSN, "--holder", "a", "--json", tmp_path / "bgz.json")
    ended = await schakel("fetch", "bgz", "--data", data, *asked)
    assert ended.code == 0, ended.out + ended.err
    assert ended.out.startswith("Organisation a (90000001): complete\n")
    assert "\n   1  complete        1        0  Patient _include=Patient:general-practitioner\n" in ended.out
    assert "\ncomplete: 1 holder, 27 requests, 2 entries, 0 dropped; exchange " in ended.out
    assert max(map(len, ended.out.splitlines())) <= 100
    whole = orjson.loads((tmp_path / "bgz.json").read_bytes())
    assert whole["status"] == "complete" and whole["bundle"]["entry"][0]["resource"]["id"] == "known"


@pytest.mark.usefixtures("known")
async def test_the_person_who_asks_comes_from_the_demo(data: Path) -> None:
    asked = ("--organisation", "b", "--patient", BSN, "--holder", "a")
    ended = await schakel("fetch", "bgz", "--data", data, *asked)
    exchange = ended.out.split()[-1]
    said = await schakel("explain", exchange, "--data", data, "--organisation", "b")
    assert "user           P.W. Halbertsma (990010201), role 01.010\n" in said.out
    nurse = await schakel("fetch", "bgz", "--data", data, *asked, "--user-id", NURSE["id"])
    said = await schakel("explain", nurse.out.split()[-1], "--data", data)
    assert "user           O. Ramdajal (990010209), role 30.000\n" in said.out
    assert "responsible    990010201\n" in said.out


@pytest.mark.usefixtures("known")
async def test_a_refusal_is_explained_by_the_holder(data: Path) -> None:
    asked = ("--organisation", "b", "--patient", OTHER_BSN, "--holder", "90000001", "--holder", "a")
    ended = await schakel("fetch", "bgz", "--data", data, *asked)
    assert ended.code == 1
    assert ended.out.count("Organisation a (90000001): refused\n") == 1
    decision = ended.out.partition("decision ")[2].split()[0]
    said = await schakel("explain", decision, "--data", data)
    assert said.code == 0
    for line in (
        "In the log of Organisation a (90000001)",
        "  what           search",
        f"  patient        BSN {OTHER_BSN}",
        "  outcome        refused",
        "  reason         no ground is recorded for this requester, this patient and this exchange (no-ground)",
        "  rule           bgz-1-Patient",
        "  treatment      current",
        f"  decision       {decision}",
    ):
        assert line in said.out.splitlines()


@pytest.mark.usefixtures("known")
async def test_a_decision_is_told_in_words_and_made_again(region: list[RunningNode], data: Path) -> None:
    a, b = region[0]["a"], region[1]["b"]
    headers = {"Authorization": f"Bearer {await b.token(a)}"}
    query = {"identifier": f"{BSN_SYSTEM}|{BSN}", "_include": "Patient:general-practitioner"}
    answer = await a.front.get("Patient", params=query, headers=headers)
    said = await schakel("explain", answer.headers["X-Decision-ID"], "--data", data, "--replay")
    assert said.code == 0, said.out + said.err
    for line in (
        "outcome        permitted",
        "row            bgz-1-Patient; ",
        "verdict        permit bgz-recorded allows ",
        "rule           bgz-recorded",
        "ground         a ground that the organisation wrote down; ",
        "checks done    identified (",
        "disclosed      Patient/known/_history/",
        "Organisation a: made again from what is stored, the decision is the same",
    ):
        assert line in said.out, said.out
    asked = ("--organisation", "b", "--patient", BSN, "--holder", "a")
    exchange = (await schakel("fetch", "bgz", "--data", data, *asked)).out.split()[-1]
    said = await schakel("explain", exchange, "--data", data, "--organisation", "b", "--replay")
    assert said.code == 1 and "there is no stored decision to make again" in said.out


async def test_a_decision_that_nobody_knows_is_not_found(data: Path) -> None:
    ended = await schakel("explain", "no-such-decision", "--data", data)
    assert ended.code == 1 and "has no decision 'no-such-decision'" in ended.err


async def test_a_fetch_names_the_kinds_of_data_for_which_a_holder_has_no_endpoint(
    region: list[RunningNode], data: Path
) -> None:
    held = await Directory.new(region[1].node.pool)
    lacking = ["Alert", "Condition"]
    has = [(CATEGORIES, one) for one in exchange("bgz").categories.difference(lacking)]
    await held.put(organisation("partly", THIRD_URA, ["some"]), endpoint("some", has))
    asked = ("--organisation", "b", "--patient", OTHER_BSN, "--holder", THIRD_URA)
    ended = await schakel("fetch", "bgz", "--data", data, *asked)
    said = "the directory has no endpoint of this holder for"
    assert (ended.code, f"; {said} Alert, Condition)" in ended.out) == (1, True), ended.out
    for kind, name in (("Flag", "Alert"), ("Condition", "Condition")):
        assert f"  failed        0        0  {kind}\n        not asked: {said} {name}\n" in ended.out, (
            ended.out
        )


async def test_a_holder_that_nobody_knows_fails_the_fetch(data: Path) -> None:
    asked = ("--organisation", "b", "--patient", BSN, "--holder", "99999999")
    ended = await schakel("fetch", "bgz", "--data", data, *asked)
    assert ended.code == 1 and ended.out.startswith("99999999: failed (")


@pytest.mark.usefixtures("known")
async def test_the_last_line_of_token_opens_the_guarded_door(region: list[RunningNode], data: Path) -> None:
    asked = ("--organisation", "a", "--for", "b", "--scope", "bgz")
    ended = await schakel("token", "--data", data, *asked)
    assert ended.code == 0, ended.err
    headers = {"Authorization": f"Bearer {ended.out.splitlines()[-1]}"}
    query = {"identifier": f"{BSN_SYSTEM}|{BSN}"}
    answer = await region[0]["a"].front.get("Patient", params=query, headers=headers)
    assert answer.status_code == 200 and answer.json()["entry"][0]["resource"]["id"] == "known"


@pytest.mark.usefixtures("known")
async def test_a_token_that_is_bound_to_a_key_file_opens_the_door_with_that_key(
    region: list[RunningNode], data: Path, tmp_path: Path
) -> None:
    file, url = tmp_path / "key.jwk", f"{region[0]['a'].front_fhir}/Patient"
    asked = ("--organisation", "a", "--for", "b", "--scope", "bgz", "--dpop", file)
    jkts = set()
    for _ in range(2):  # The second time the file is there.
        ended = await schakel("token", "--data", data, *asked)
        assert ended.code == 0, ended.err
        key, token = DpopKey.read(file), ended.out.splitlines()[-1]
        jkts.add(key.jkt)
        assert key.jkt in ended.out
        headers = {"Authorization": f"DPoP {token}", "DPoP": key.proof("GET", url, token)}
        answer = await region[0]["a"].front.get(
            url, params={"identifier": f"{BSN_SYSTEM}|{BSN}"}, headers=headers
        )
        assert answer.status_code == 200
    assert len(jkts) == 1 and file.stat().st_mode & 0o077 == 0


async def test_a_scope_that_is_not_offered_is_refused(data: Path) -> None:
    ended = await schakel("token", "--data", data, "--organisation", "a", "--for", "b", "--scope", "all")
    assert ended.code == 2 and "not offered here" in ended.err


# -- check ------------------------------------------------------------------------------------------------


async def test_a_suite_runs_with_headers_variables_and_reports(
    region: list[RunningNode], tmp_path: Path
) -> None:
    c = region[1]["c"]
    read = operation("read", resource="Patient", params="/${id}", contentType="json", accept="json")
    script_text = script(
        variable("id"), case(read, assertion(response="okay"), assertion(response="created"), id="reads")
    )
    folder = suite(tmp_path / "suite", {"one.xml": script_text}, version="STU3")
    answer = await c.internal.put("Patient/checked", json=patient("checked"))
    assert answer.status_code in (200, 201)
    given = ("--header", f"X-API-Key={c.key}", "--var", "id=checked")
    reports = ("--junit", tmp_path / "junit.xml", "--json", tmp_path / "result.json")
    ended = await schakel("check", c.internal_fhir, "--suite", folder, *given, *reports)
    assert ended.code == 1, ended.out + ended.err
    assert ended.out.splitlines()[-1].startswith("1 scripts: 1 failed")
    assert c.key not in ended.out
    assert b"<failure" in (tmp_path / "junit.xml").read_bytes()
    counts = orjson.loads((tmp_path / "result.json").read_bytes())["counts"]
    assert (counts["passed"], counts["failed"]) == (1, 1)


# -- serve ------------------------------------------------------------------------------------------------


async def test_a_node_serves_until_it_is_told_to_stop(
    make_database: MakeDatabase, region: list[RunningNode], tmp_path: Path
) -> None:
    """The same configuration serves the node and the commands that talk to it."""
    front, internal = free_ports(2)
    config = saved(
        tmp_path / "node.toml",
        f"""
        database = "{await make_database()}"
        public_url = "http://127.0.0.1:{front}"
        internal_url = "http://127.0.0.1:{internal}"
        front_port = {front}
        internal_port = {internal}
        [[organisations]]
        slug = "alone"
        ura = "90000009"
        name = "Alone"
        internal_key = "key-of-organisation-alone"
        signing_key = "{region[0]["a"].signing_key}"
        """,
    )
    node = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schakel",
        "serve",
        "--config",
        str(config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert node.stdout is not None
    try:
        line = (await asyncio.wait_for(node.stdout.readline(), 60)).decode()
        assert line == (
            f"ready: front http://127.0.0.1:{front}, internal http://127.0.0.1:{internal} (alone); "
            "Ctrl-C stops\n"
        )
        listed = await schakel("ground", "list", "--config", config, "--organisation", "alone")
        assert (listed.code, listed.out) == (0, "0 grounds at Alone\n")
        second = await schakel("serve", "--config", config)
        assert second.code == 2 and f"port {front} on 127.0.0.1 cannot be used" in second.err
    finally:
        node.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(node.communicate(), 30)
    assert (node.returncode, out, err) == (0, b"", b"")


async def test_a_database_that_is_not_there_is_said_at_the_start(
    region: list[RunningNode], tmp_path: Path
) -> None:
    config = saved(
        tmp_path / "node.toml",
        f"""
        database = "postgresql://u:secret-word@127.0.0.1:1/none"
        public_url = "http://127.0.0.1:1"
        internal_url = "http://127.0.0.1:1"
        [[organisations]]
        slug = "alone"
        ura = "90000009"
        name = "Alone"
        internal_key = "key-of-organisation-alone"
        signing_key = "{region[0]["a"].signing_key}"
        """,
    )
    ended = await schakel("serve", "--config", config)
    assert ended.code == 2
    assert "setting `database`" in ended.err and "secret-word" not in ended.err
