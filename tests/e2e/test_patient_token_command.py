"""`schakel token --patient`: from a terminal through every page to a token that opens the patient's data."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.e2e.test_commands import schakel
from tests.medmij import CLIENT, KNOWN, REDIRECT, STRANGER, Network, medmij_node
from tests.nodes import databases

from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def network(cluster: EmbeddedServer) -> AsyncIterator[Network]:
    async with databases(cluster, "patient_token") as make, medmij_node(make) as network:
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
    table = {
        "organisations": organisations,
        "people": [],
        "test_keys": {},
        "clients": [{"client_id": CLIENT, "redirect_uri": REDIRECT}],
    }
    (tmp_path / "demo.json").write_bytes(orjson.dumps(table))
    return tmp_path


async def test_the_last_line_opens_the_data_of_that_patient(network: Network, data: Path) -> None:
    ended = await schakel("token", "--data", data, "--organisation", "a", "--patient", KNOWN)
    assert ended.code == 0, ended.err
    *_, session, token = ended.out.splitlines()
    headers = {
        "Authorization": f"Bearer {token}",
        "X-Correlation-ID": session.removeprefix("X-Correlation-ID: "),
        "MedMij-Request-ID": str(uuid.uuid4()),
    }
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{network.node['a'].front_root}/a/medmij/48/fhir/Patient", headers=headers)
    assert answer.status_code == 200, answer.text
    assert [one["resource"]["id"] for one in answer.json()["entry"]] == ["known"]


async def test_a_service_to_share_is_named_by_scope(data: Path) -> None:
    ended = await schakel(
        "token", "--data", data, "--organisation", "a", "--patient", KNOWN, "--scope", "903"
    )
    assert ended.code == 0 and "services 903," in ended.out


@pytest.mark.parametrize(("holder", "bsn"), [("a", STRANGER), ("b", KNOWN)])
async def test_a_person_who_is_not_known_there_gets_no_token(data: Path, holder: str, bsn: str) -> None:
    ended = await schakel("token", "--data", data, "--organisation", holder, "--patient", bsn)
    assert ended.code == 1 and "We have no data about you" in ended.err and not ended.out


async def test_a_number_that_is_no_bsn_is_refused_before_anything_is_asked(data: Path) -> None:
    ended = await schakel("token", "--data", data, "--organisation", "a", "--patient", "123456789")
    assert ended.code == 2 and "BSN" in ended.err
