"""A nonce of ours is taken in its slot and the next, by every node with the same key, and by nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.config import Settings, Tokens
from schakel.generic.identity import new_key
from schakel.generic.identity.errors import UseDpopNonceError
from schakel.generic.identity.nonces import LEEWAY_SECONDS, Nonces

SECRET, ISSUER, SLOT = b"s" * 32, "https://node.example/haven", 60
NONCES = Nonces(SECRET, ISSUER, SLOT)
MOMENTS = st.floats(min_value=1e9, max_value=4e9)


def taken(by: Nonces, nonce: object, moment: float) -> bool:
    try:
        by.check(nonce, moment)
    except UseDpopNonceError as error:
        # Who is refused gets one with which it can come back at once.
        by.check(error.headers["DPoP-Nonce"], moment)
        return False
    return True


@given(moment=MOMENTS, later=st.floats(min_value=0, max_value=SLOT))
def test_a_nonce_serves_for_a_slot_at_least_at_every_node_with_the_key(moment: float, later: float) -> None:
    assert taken(Nonces(SECRET, ISSUER, SLOT), NONCES.fresh(moment), moment + later)


@given(moment=MOMENTS, later=st.floats(min_value=2 * SLOT, max_value=1e6))
def test_after_two_slots_it_does_not(moment: float, later: float) -> None:
    assert not taken(NONCES, NONCES.fresh(moment), moment + later)


@given(moment=MOMENTS, ahead=st.floats(min_value=SLOT + LEEWAY_SECONDS + 1e-3, max_value=1e6))
def test_one_of_the_future_is_not_taken_but_for_what_clocks_differ(moment: float, ahead: float) -> None:
    assert not taken(NONCES, NONCES.fresh(moment + ahead), moment)
    assert taken(NONCES, NONCES.fresh(moment + LEEWAY_SECONDS), moment)


@pytest.mark.parametrize(
    "other",
    [
        Nonces(b"x" * 32, ISSUER, SLOT),
        Nonces(SECRET, ISSUER + "2", SLOT),
        Nonces(SECRET, ISSUER, SLOT // 2),
    ],
    ids=["another key", "another issuer", "another length of slots"],
)
def test_a_nonce_of_another_is_not_taken(other: Nonces) -> None:
    assert not taken(NONCES, other.fresh(2e9), 2e9)


@given(nonce=st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text())))
def test_what_is_no_nonce_is_refused_and_breaks_nothing(nonce: object) -> None:
    assert not taken(NONCES, nonce, 2e9)


def test_the_key_is_that_of_the_organisation(tmp_path: Path) -> None:
    for name in ("own", "other"):
        (tmp_path / name).write_bytes(orjson.dumps(new_key()))
    own, same = (Nonces.read(tmp_path / "own", ISSUER, SLOT) for _ in range(2))
    other = Nonces.read(tmp_path / "other", ISSUER, SLOT)
    assert own.fresh(2e9) == same.fresh(2e9) != other.fresh(2e9)


def test_nonces_are_off_unless_they_are_asked_for_and_stand_in_proofs(tmp_path: Path) -> None:
    assert Tokens().dpop_nonce is False
    organisation = {
        "slug": "a",
        "ura": "90000001",
        "name": "A",
        "internal_key": "k" * 16,
        "signing_key": tmp_path / "a.jwk",
    }
    node: dict[str, Any] = {
        "database": "postgresql://x@127.0.0.1/x",
        "public_url": "https://node.example",
        "internal_url": "http://127.0.0.1:1",
        "organisations": [organisation],
    }
    assert Settings(**node, tokens={"dpop": "required", "dpop_nonce": True}).tokens.dpop_nonce
    with pytest.raises(ValueError, match=r"tokens\.dpop_nonce needs tokens\.dpop"):
        Settings(**node, tokens={"dpop": "off", "dpop_nonce": True})
