"""Settings of Dezi: what is not right stops the start with a sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.certificates import Authority, new_key
from tests.nodes import MakeDatabase, running_node

from schakel.config import Dezi
from schakel.generic.identity.keys import read_rsa_key
from schakel.kernel.outcomes import Invalid

ISSUER = "https://auth.dezi.example"


def test_the_keys_of_statements_are_at_the_issuer_unless_it_is_said_where() -> None:
    assert Dezi(issuer=ISSUER).addresses == {f"{ISSUER}/jwks.json"}
    elsewhere = ("https://keys.dezi.example/jwks.json",)
    assert Dezi(issuer=ISSUER, jku=elsewhere).addresses == set(elsewhere)


def test_the_defaults_are_the_strict_ones() -> None:
    given = Dezi(issuer=ISSUER)
    assert not any("low" in level for level in given.levels)
    assert (given.key, given.login_seconds, given.issuers) == (None, 600, ("abonnee.dezi.nl",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "node"},
        {"key": Path("x")},
        {"issuer": "auth.dezi.nl"},
        {"jku": ("jwks.json",)},
        {"levels": ()},
        {"forms": ()},
        {"forms": ("plain",)},
        {"status": "on"},
        {"seconds": 0},
        {"lasting_hours": 100},
        {"unknown": 1},
    ],
)
def test_what_is_not_right_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Dezi(**{"issuer": ISSUER, **wrong})


def test_the_key_is_read_as_pem_too(tmp_path: Path) -> None:
    files = Authority.new("Test").issue("node", key=None).write(tmp_path, "client")
    with pytest.raises(Invalid, match="client"):
        read_rsa_key(files.key)  # An EC key.
    rsa = Authority.new("Test").issue("node", key=new_key(2048)).write(tmp_path, "rsa")
    key = read_rsa_key(rsa.key)
    assert key.private_key is not None and key.private_key.key_size == 2048
    first, second, *_, last = rsa.key.read_text().splitlines()
    short = tmp_path / "short.pem"
    short.write_text("\n".join((first, second, last)))
    with pytest.raises(Invalid, match=r"short\.pem"):
        read_rsa_key(short)


async def test_a_key_that_cannot_be_read_stops_the_start(make_database: MakeDatabase, tmp_path: Path) -> None:
    dezi = {"issuer": ISSUER, "client_id": "node", "key": tmp_path / "gone.pem"}
    with pytest.raises(Invalid, match=r"gone\.pem cannot be read"):
        async with running_node(make_database, dezi=dezi):
            pass
