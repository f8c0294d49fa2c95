"""`schakel check --data`: one command loads a suite at a demo's organisation, gets its tokens and runs it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests import testscript_builder as make
from tests.e2e.test_commands import schakel
from tests.medmij import CLIENT, REDIRECT, Network, medmij_node
from tests.nodes import databases

from schakel.conformance.patients import invented
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

BSN = "999990019"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def network(cluster: EmbeddedServer) -> AsyncIterator[Network]:
    async with databases(cluster, "check_demo") as make_database:
        settings = {"write_check": "lenient", "erasure": "test"}
        async with medmij_node(make_database, node_settings=settings) as network:
            yield network


@pytest.fixture
def data(network: Network, tmp_path: Path) -> Path:
    """The folder of a demo with this node."""
    organisations = [
        {
            "slug": one.slug,
            "name": one.slug,
            "ura": one.ura,
            "front": f"{one.front_root}/{one.slug}",
            "internal": f"{one.internal_root}/{one.slug}",
            "internal_key": one.key,
            "medmij_name": f"provider{one.slug}",
        }
        for one in network.node.organisations.values()
    ]
    clients = [{"client_id": CLIENT, "redirect_uri": REDIRECT}]
    demo = {"organisations": organisations, "people": [], "test_keys": {}, "clients": clients}
    (tmp_path / "demo.json").write_bytes(orjson.dumps(demo))
    return tmp_path


def masked(logical_id: str) -> dict[str, Any]:
    absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
    number = {"system": BSN_SYSTEM, "_value": {"extension": [absent]}}
    return {"resourceType": "Patient", "id": logical_id, "identifier": [number]}


def suite(root: Path, *actions: str, patients: tuple[str, ...] = ("m1", "m2")) -> Path:
    """A suite with masked patients of FHIR R4, and one script of these actions for each."""
    load = make.script(
        *(make.fixture(name, f"../_reference/{name}.json") for name in patients),
        make.setup(
            *(
                make.operation("purge", resource="Patient", params=f"{name}/$purge")
                + make.assertion(responseCode="200,204", operator="in")
                for name in patients
            )
        ),
        make.case(
            *(
                make.operation("update", resource="Patient", params=name, sourceId=name, contentType="xml")
                + make.assertion(responseCode="200,201", operator="in")
                for name in patients
            )
        ),
        parties="",
    )
    files = {f"_reference/{name}.json": json.dumps(masked(name)) for name in patients}
    for name in patients:
        token = f"patient-token-{name}"
        text = make.case(
            *(action.replace("TOKEN", f"${{{token}}}").replace("PATIENT", name) for action in actions)
        )
        files[f"Serving/{name}.xml"] = make.script(make.variable(token), text, id=name)
    return make.suite(root, {"_LoadResources/load.xml": load, **files})


IDS = {
    "Authorization": "TOKEN",
    "MedMij-Request-ID": "${UUID}",
    "X-Correlation-ID": "${UUID}",
}
OWN_PATIENT = (
    make.operation("search", resource="Patient", accept="json", headers=IDS),
    make.assertion(responseCode="200"),
    make.assertion(expression="Bundle.entry.resource.id", operator="equals", value="PATIENT"),
    make.assertion(expression="Bundle.entry.resource.identifier.value.hasValue().not()"),
)


def arguments(network: Network, data: Path, folder: Path, service: str) -> list[str | Path]:
    base = f"{network.node['a'].front_root}/a/medmij/{service}/fhir"
    return ["check", base, "--suite", folder, "--data", data, "--organisation", "a"]


async def test_masked_patients_are_loaded_with_a_number_and_each_script_gets_its_own_token(
    network: Network, data: Path, tmp_path: Path
) -> None:
    given = arguments(network, data, suite(tmp_path / "suite", *OWN_PATIENT), "63")
    ended = await schakel(*given, "--bsn", f"m1={BSN}")
    assert ended.code == 0, ended.out + ended.err
    assert ended.out.splitlines()[-1].startswith("2 scripts: 0 failed, 0 errors, 2 passed")
    for name, number in (("m1", BSN), ("m2", invented("m2"))):
        stored = (await network.node["a"].internal_r4.get(f"Patient/{name}")).json()
        assert stored["identifier"] == [{"system": BSN_SYSTEM, "value": number}]

    again = await schakel(*given, "--no-load", "--bsn", f"m1={BSN}")
    assert again.code == 0 and "load.xml" not in again.out


async def test_a_share_service_gets_a_token_to_share(network: Network, data: Path, tmp_path: Path) -> None:
    """The patient must be known in the version of the service, for there is nothing to share with otherwise."""
    weight = {"resourceType": "Observation", "status": "final", "code": {"text": "weight"}}
    entry = {"resource": weight, "request": {"method": "POST", "url": "Observation"}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
    folder = suite(tmp_path / "suite", patients=())
    known = {"resourceType": "Patient", "id": "s1", "identifier": [{"system": BSN_SYSTEM, "value": BSN}]}
    assert (await network.node["a"].internal.put("Patient/s1", json=known)).status_code == 201
    sending = make.operation("batch", sourceId="sent", contentType="json", accept="json", headers=IDS)
    text = make.script(
        make.fixture("sent", "../_reference/sent.json"),
        make.variable("auth-token"),
        make.case(sending.replace("TOKEN", "${auth-token}"), make.assertion(responseCode="200")),
    )
    make.suite(
        folder, {"_reference/sent.json": json.dumps(bundle), "Receiving/one.xml": text}, version="STU3"
    )
    given = arguments(network, data, folder, "903")
    ended = await schakel(*given, "--no-load", "--var", f"BSN={BSN}")
    assert ended.code == 0, ended.out + ended.err
    stranger = await schakel(*given, "--no-load", "--var", "BSN=999990020")
    assert stranger.code == 2 and "a token for auth-token: the authorisation stops" in stranger.out


async def test_the_internal_door_needs_no_key_on_the_command_line(
    network: Network, data: Path, tmp_path: Path
) -> None:
    read = (
        make.operation("read", resource="Patient", params="/PATIENT", accept="json"),
        make.assertion(responseCode="200"),
    )
    folder = suite(tmp_path / "suite", *read)
    internal = f"{network.node['a'].internal_root}/a/fhir/r4"
    ended = await schakel("check", internal, "--suite", folder, "--data", data, "--organisation", "a")
    assert ended.code == 0, ended.out + ended.err
    assert network.node["a"].key not in ended.out


async def test_an_address_of_somebody_else_and_half_of_the_options_are_refused(
    network: Network, data: Path, tmp_path: Path
) -> None:
    folder = suite(tmp_path / "suite", *OWN_PATIENT)
    here = arguments(network, data, folder, "63")
    elsewhere = ["check", f"{network.node['b'].front_root}/b/fhir/r4", *here[2:]]
    for given, said in (
        (elsewhere, "is no address of a"),
        (here[:-2], "--data and --organisation go together"),
        ([*here[:4], "--no-load"], "--no-load"),
        ([*here, "--bsn", "m1"], "--bsn takes NAME=VALUE"),
    ):
        ended = await schakel(*given)
        assert ended.code == 2 and said in ended.err, ended.err
