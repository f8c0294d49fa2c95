"""The asking side presents its credentials where the holder takes them, and names what it lacks where it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority, uzi_name
from tests.nodes import DOCTOR, MakeDatabase, running_node

from schakel.generic.identity.credentials import definitions
from schakel.generic.identity.tokens.grants import CLIENT_CREDENTIALS, VP_BEARER

ONLY_THE_ORGANISATION = Path(definitions.__file__).parent / "definitions" / "care-organisation.json"
BSN = "999229588"


@pytest.mark.parametrize(
    ("asked", "grant"),
    [
        ({"presentation_definitions": {"bgz": ONLY_THE_ORGANISATION}}, VP_BEARER),
        ({}, CLIENT_CREDENTIALS),  # A professional is asked for too, whom nobody vouches for here.
    ],
)
async def test_an_exchange_presents_what_it_can_and_asserts_the_rest(
    make_database: MakeDatabase, tmp_path: Path, asked: dict[str, Any], grant: str
) -> None:
    root = Authority.new("Test UZI Root")
    above = root.authority("Test UZI CA")
    issued = above.issue("b", uzi=uzi_name("90000002"), organisation="Organisation b", locality="Zwolle")
    files = issued.write(tmp_path, "uzi")
    files.certificate.write_text(issued.chain_pem + root.pem)
    (tmp_path / "root.pem").write_text(root.pem)
    own = {"uzi_certificate": files.certificate, "uzi_key": files.key}
    async with running_node(
        make_database,
        by_slug={"a": asked, "b": own},
        trust={"uzi": (tmp_path / "root.pem",), "http_on_loopback": True},
        certificates={"uzi": "test", "revocation": "off"},
    ) as node:
        b = node["b"]
        ask = {
            "patient": BSN,
            "holders": [node["a"].ura],
            "user": DOCTOR.json(),
            "purpose": "TREAT",
            "treatment_relation": "current",
        }
        for _ in range(2):  # The second time it knows the server.
            answer = await b.internal.post(f"{b.internal_root}/b/exchanges/bgz", json=ask)
            # A is reached and asked; that it has no ground for this patient is another matter.
            assert (answer.status_code, answer.json()["status"]) == (200, "refused")
        given = await node.node.pool.fetch("SELECT requester, grant_type FROM access_token")
        assert [tuple(row) for row in given] == [(b.ura, grant)] * 2
