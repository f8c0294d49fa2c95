"""The checks of the query directory and of the list of MedMij, and those that run suites and the API requirements."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import testscript_builder as make
from tests.addressing import BGZ, Directory, endpoint, organisation
from tests.certificates import Authority, new_key, server_context
from tests.measuring import Peer, capabilities, internal, measured, saying, silent
from tests.medmij import Network, medmij_node
from tests.nodes import MakeDatabase, running_node

from schakel.kernel.clock import instant, now
from schakel.kernel.values import URA_SYSTEM
from schakel.roadmap.evidence import Finding

URA = "90000001"
AGB = "http://fhir.nl/fhir/NamingSystem/agb-z"


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A server that tests tell what to say."""
    async with saying() as made:
        yield made


# -- directory-entry -----------------------------------------------------------------------------------------


async def test_an_entry_of_the_query_directory_of_a_node_holds_until_it_is_withdrawn(
    make_database: MakeDatabase, peer: Peer
) -> None:
    async with running_node(make_database, ("a",), trust={"http_on_loopback": True}) as node:
        a, directory = node["a"], await Directory.new(node.node.pool)
        given = internal(a, directory=f"{a.internal_root}/a/directory/fhir/r4")
        assert (await measured("directory-entry", **given)).verdict == "fails"
        kind = {"coding": [{"system": "http://example.org/types", "code": "V6"}]}
        entry = {**organisation("a", a.ura, ["bgz"]), "type": [kind]}
        await directory.put(entry, endpoint("bgz", BGZ, address=f"{peer.url}/fhir"), source="central")
        found = await measured("directory-entry", **given)
        assert found.verdict == "holds", found
        assert peer.asked == ["GET /fhir"]
        await directory.put({**entry, "endpoint": []}, source="central")
        found = await measured("directory-entry", **given)
    assert (found.verdict, "no address that is in use" in found.reason.en) == ("fails", True)


def listed(peer: Peer, *entries: dict[str, Any], **ends: Any) -> None:
    """The directory has these organisations, and one endpoint."""
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in entries]}
    peer.says("/fhir/Organization", bundle)
    address = f"{peer.url}/here"
    there = {"resourceType": "Endpoint", "id": "e", "status": "active", "address": address, **ends}
    peer.says("/fhir/Endpoint/e", there)


ENTRY = {
    "resourceType": "Organization",
    "id": "o",
    "identifier": [{"system": URA_SYSTEM, "value": URA}],
    "active": True,
    "type": [{"coding": [{"code": "V6"}]}],
    "endpoint": [{"reference": "Endpoint/e"}],
}


async def found_in(peer: Peer, **defaults: Any) -> Finding:
    """What the check finds in the directory of `peer`."""
    return await measured("directory-entry", defaults, directory=f"{peer.url}/fhir")


async def test_an_organisation_that_stands_once_with_a_type_and_an_address_holds(peer: Peer) -> None:
    listed(peer, ENTRY, {**ENTRY, "id": "closed", "active": False})
    found = await found_in(peer)
    assert found.verdict == "holds", found
    assert found.facts == {"addresses": 1, "answering": 1}


@pytest.mark.parametrize(
    ("entries", "ends", "said"),
    [
        ([], {}, "not in the directory"),
        ([ENTRY, {**ENTRY, "id": "other"}], {}, "2 times"),
        ([{**ENTRY, "identifier": [{"system": AGB, "value": URA}]}], {}, "not in the directory"),
        ([{**ENTRY, "identifier": [{"system": URA_SYSTEM, "value": "1"}]}], {}, "not in the directory"),
        ([{**ENTRY, "active": False}], {}, "not in the directory"),
        ([{**ENTRY, "type": []}], {}, "no type of organisation"),
        ([{**ENTRY, "endpoint": []}], {}, "no address that is in use"),
        ([ENTRY], {"status": "off"}, "no address that is in use"),
    ],
)
async def test_an_entry_with_one_fault_fails_with_exactly_that(
    peer: Peer, entries: list[dict[str, Any]], ends: dict[str, Any], said: str
) -> None:
    listed(peer, *entries, **ends)
    found = await found_in(peer)
    assert (found.verdict, said in found.reason.en) == ("fails", True), found


async def test_results_that_go_on_are_not_counted(peer: Peer) -> None:
    link = [{"relation": "next", "url": f"{peer.url}/fhir?page=2"}]
    peer.says("/fhir/Organization", {"resourceType": "Bundle", "entry": [{"resource": ENTRY}], "link": link})
    found = await found_in(peer)
    assert (found.verdict, "more search results" in found.reason.en) == ("unknown", True), found


@pytest.mark.parametrize(
    ("written", "finds"),
    [
        pytest.param([(URA_SYSTEM, "659")], "holds", id="without-zeros"),
        pytest.param([(URA_SYSTEM.upper(), "0000659")], "holds", id="system-in-capitals"),
        pytest.param([(URA_SYSTEM, "00000659"), (URA_SYSTEM, "659")], "fails", id="twice"),
        pytest.param([(AGB, "659")], "fails", id="other-number"),
    ],
)
async def test_an_entry_counts_however_its_number_is_written_as_it_does_for_the_node(
    make_database: MakeDatabase, peer: Peer, written: list[tuple[str, str]], finds: str
) -> None:
    async with running_node(make_database, ("a",), trust={"http_on_loopback": True}) as node:
        a, directory = node["a"], await Directory.new(node.node.pool)
        for place, (system, value) in enumerate(written):
            number = [{"system": system, "value": value}]
            entry = {**organisation(f"o{place}", "", ["bgz"]), "identifier": number}
            await directory.put(entry, endpoint("bgz", BGZ, address=f"{peer.url}/fhir"))
        given = internal(a, directory=f"{a.internal_root}/a/directory/fhir/r4")
        found = await measured("directory-entry", **{**given, "ura": "00000659"})
        asked = {"ura": "659", "exchange": "bgz"}
        address = await a.internal.get(f"{a.internal_root}/a/directory/address", params=asked)
    assert found.verdict == finds, found
    assert (address.status_code == 200) == (finds == "holds"), address.text


async def test_an_address_that_is_silent_or_inside_is_not_judged(peer: Peer) -> None:
    listed(peer, ENTRY, address=silent())
    found = await found_in(peer)
    assert (found.verdict, "nothing listens there" in found.reason.en) == ("unknown", True)
    listed(peer, ENTRY)
    found = await found_in(peer, http_on_loopback=False)
    assert (found.verdict, "no address that we may ask" in found.reason.en) == ("unknown", True)
    assert "GET /here" not in peer.asked


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, None, "holds"),
        (404, {}, "fails"),
        (410, {}, "fails"),
        (503, {}, "unknown"),
        (401, {}, "unknown"),
        (200, {"resourceType": "OperationOutcome"}, "unknown"),
    ],
)
async def test_an_address_that_the_directory_does_not_give_is_missing_only_when_it_says_so(
    peer: Peer, status: int, body: dict[str, Any] | None, verdict: str
) -> None:
    listed(peer, ENTRY)
    if body is not None:
        peer.says("/fhir/Endpoint/e", body, status)
    found = await found_in(peer)
    assert found.verdict == verdict, found
    assert verdict != "unknown" or "directory does not give an address" in found.reason.en


LRZA = {"id": "lrza", "answers": True, "away": None}


@pytest.mark.parametrize(
    ("changed", "age", "verdict"),
    [
        ({}, timedelta(hours=23), "fails"),
        ({}, timedelta(hours=25), "unknown"),
        ({}, None, "unknown"),
        ({"answers": False, "away": "not reachable"}, timedelta(0), "unknown"),
    ],
)
async def test_the_copy_of_an_own_node_counts_while_the_node_follows_the_directory(
    peer: Peer, changed: dict[str, Any], age: timedelta | None, verdict: str
) -> None:
    answered = instant(now() - age) if age is not None else None
    peer.says("/a/facilities", {"addressing": [{**LRZA, "answered": answered, **changed}]})
    peer.says("/a/directory/Organization", {"resourceType": "Bundle", "type": "searchset"})
    given: dict[str, Any] = {"internal": f"{peer.url}/a", "internal_key": "k"}
    found = await measured("directory-entry", directory=f"{peer.url}/a/directory", **given)
    assert found.verdict == verdict, found
    assert ("no answer of the directory lrza" in found.reason.en) == (verdict == "unknown")


async def test_a_directory_that_is_silent_or_in_trouble_says_nothing(peer: Peer) -> None:
    assert (await measured("directory-entry", directory=f"{silent()}/fhir")).verdict == "unknown"
    peer.says("/fhir/Organization", {"resourceType": "OperationOutcome"}, 500)
    assert (await found_in(peer)).verdict == "unknown"


# -- medmij-list ---------------------------------------------------------------------------------------------


def provider(network: Network, *services: str, name: str = "providera@medmij") -> None:
    """The list has this provider, with these services of organisation a."""
    root = f"{network.node['a'].front_root}/a"
    offered = [
        {
            "id": service,
            "authorization": f"{root}/oauth2/authorize",
            "token": f"{root}/oauth2/token",
            "roles": [{"code": "X", "resource": f"{root}/medmij/{service}/fhir"}],
        }
        for service in services
    ]
    network.write_lists(providers=[{"name": name, "services": offered}])


async def test_a_provider_holds_with_the_services_it_must_offer(make_database: MakeDatabase) -> None:
    async with medmij_node(make_database) as network:
        medmij = network.node.settings.medmij
        assert medmij is not None
        lists_at = str(medmij.lists)
        given = {"lists": lists_at, "name": "providera@medmij", "services": ["48"]}

        async def looked(**changed: Any) -> Finding:
            return await measured("medmij-list", medmij={**given, **changed})

        provider(network, "48")
        found = await looked()
        assert found.verdict == "holds", found
        provider(network, "48", name="another@medmij")
        found = await looked()
        assert (found.verdict, "is not in the list" in found.reason.en) == ("fails", True)
        provider(network)
        found = await looked(services=[])
        assert (found.verdict, "offers no data service" in found.reason.en) == ("fails", True)
        provider(network, "49")
        found = await looked()
        assert (found.verdict, "lacks the data services 48" in found.reason.en) == ("fails", True)
        provider(network, "48", "9999")
        found = await looked()
        assert (found.verdict, "does not say what it does" in found.reason.en) == ("fails", True)
        assert (await looked(lists=silent())).verdict == "unknown"
        assert (await looked(lists=f"{lists_at}/elsewhere")).verdict == "unknown"


# -- conformance-... -----------------------------------------------------------------------------------------

SEARCH = make.operation("search", resource="Patient", params="?_id=x")


def suite(folder: Path, status: int) -> str:
    """A suite that asks for a Patient and expects this status."""
    case = make.case(SEARCH, make.assertion("status", responseCode=str(status)))
    return str(make.suite(folder, {"one.xml": make.script(case)}))


async def by_suites(folder: Path, url: str, *expected: int) -> Finding:
    """What the check finds with a suite for each expected status."""
    suites = [
        {"check": "conformance-bgz", "folder": suite(folder / str(number), status), "url": f"{url}/fhir"}
        for number, status in enumerate(expected)
    ]
    return await measured("conformance-bgz", suites=suites)


async def test_suites_hold_when_all_pass_and_fail_when_one_does_not(peer: Peer, tmp_path: Path) -> None:
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": 0}
    peer.says("/fhir/Patient", bundle, media="application/fhir+json")
    found = await by_suites(tmp_path / "good", peer.url, 200, 200)
    assert (found.verdict, found.facts) == ("holds", {"passed": 2, "failed": 0, "unclear": 0}), found
    found = await by_suites(tmp_path / "bad", peer.url, 200, 404)
    assert (found.verdict, found.facts["failed"]) == ("fails", 1)
    assert "script" in found.reason.en


async def test_every_authority_of_the_file_is_trusted_and_no_other(tmp_path: Path) -> None:
    roots = [Authority.new(f"Root {number} of the tests") for number in (1, 2, 3)]
    files = []
    for number, root in enumerate(roots):
        (tmp_path / f"root{number}.pem").write_text(root.pem)
        files.append(str(tmp_path / f"root{number}.pem"))
    written = roots[1].issue("server", hosts=("localhost",), key=new_key()).write(tmp_path, "server")
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": 0}
    async with saying(server_context(written), "localhost") as peer:
        peer.says("/fhir/Patient", bundle, media="application/fhir+json")
        peer.says("/fhir/metadata", capabilities("r4"), media="application/fhir+json")
        one = {
            "check": "conformance-bgz",
            "folder": suite(tmp_path / "suite", 200),
            "url": f"{peer.url}/fhir",
        }
        given = {"fhir": {"r4": f"{peer.url}/fhir"}, "docs": f"{peer.url}/docs"}
        heard = []
        for ca in (files[:2], files[:1], [files[0], files[2]]):
            ran = await measured("conformance-bgz", {"ca": ca}, suites=[one])
            api = await measured("api-requirements", {"ca": ca}, **given)
            metadata = await measured("fhir-metadata", {"ca": ca}, **given)
            heard.append((ran.verdict, int(api.facts["pass"]) > 0, metadata.verdict))
    assert heard == [("holds", True, "holds"), *[("unknown", False, "fails")] * 2]


async def test_suites_that_cannot_be_run_say_nothing(tmp_path: Path) -> None:
    assert (await by_suites(tmp_path / "silent", silent(), 200)).verdict == "unknown"
    none = {"check": "conformance-bgz", "folder": str(tmp_path / "none"), "url": f"{silent()}/fhir"}
    found = await measured("conformance-bgz", suites=[none])
    assert (found.verdict, "could not be run" in found.reason.en) == ("unknown", True)


# -- api-requirements ----------------------------------------------------------------------------------------


async def test_the_api_requirements_are_counted_by_what_must_be_met(peer: Peer) -> None:
    peer.says("/fhir/metadata", capabilities("r4"), media="application/fhir+json")
    peer.says("/docs", b"<html><title>API</title></html>", media="text/html")
    found = await measured("api-requirements", fhir={"r4": f"{peer.url}/fhir"}, docs=f"{peer.url}/docs")
    assert found.verdict in ("fails", "unknown"), found
    assert int(found.facts["must"]) == 28
    if found.verdict == "fails":
        assert int(found.facts["must-fail"]) > 0


async def test_a_declaration_that_cannot_be_read_says_nothing(peer: Peer, tmp_path: Path) -> None:
    peer.says("/fhir/metadata", capabilities("r4"), media="application/fhir+json")
    (tmp_path / "declared.json").write_text(json.dumps({"x": 1}))
    found = await measured(
        "api-requirements",
        fhir={"r4": f"{peer.url}/fhir"},
        api_declaration=str(tmp_path / "declared.json"),
    )
    assert (found.verdict, "could not be gone through" in found.reason.en) == ("unknown", True)
