"""Which token a script gets: by Patient id, by family name, by the BSN that the tester chose, or none at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schakel.conformance.client import Door, with_headers
from schakel.conformance.tokens import Tokens, read_tokens

BASE = "http://peer.example/fhir"


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    path = tmp_path / "tokens.json"
    entries = [
        {"accessToken": "Bearer one", "resourceId": "p1", "familyName": "van Een", "bsn": "999200008"},
        {"accessToken": "two", "resourceId": "p2", "familyName": "Twee", "bsn": "999200021"},
    ]
    path.write_text(json.dumps(entries))
    return read_tokens(path)


def test_a_token_is_found_by_patient_id_and_a_bare_one_gets_its_scheme(tokens: Tokens) -> None:
    assert tokens.value("patient-token-p1") == "Bearer one"
    assert tokens.value("patient-token-p2") == "Bearer two"
    assert tokens.value("patient-token-p3") is None


def test_a_script_for_a_patient_of_choice_gets_the_token_of_the_chosen_bsn(tokens: Tokens) -> None:
    assert tokens.value("auth-token", "999200021") == "Bearer two"
    assert tokens.value("auth-token", "999200033") is None
    assert tokens.value("auth-token") is None


def test_the_testers_own_header_takes_the_place_of_the_scripts_at_the_peer_only() -> None:
    door = Door(BASE, (("Authorization", "Bearer mine"),))
    assert door.overrides("authorization", f"{BASE}/Patient")
    assert not door.overrides("Accept", f"{BASE}/Patient")
    assert not door.overrides("Authorization", "http://other.example/fhir/Patient")
    headers, secret = with_headers(
        [("Authorization", "Bearer theirs"), ("Accept", "x")], door, f"{BASE}/Patient"
    )
    assert headers == (("Accept", "x"), ("Authorization", "Bearer mine")) and secret == {"authorization"}
