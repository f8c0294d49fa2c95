"""Settings of the PRS and of tokens for it: what is not right stops the start with a sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority
from tests.fault.processes import toml
from tests.minvws import client_certificate

from schakel import localising
from schakel.config import Settings, load
from schakel.kernel.outcomes import Invalid

OIN = "oin:00000099000000001000"
OAUTH = {"endpoint": "https://oauth.example/token", "organisation": "00000099000000002000"}
PRS = {
    "base": "https://prs.example",
    "certificate": "us.pem",
    "key": "us.key",
    "recipient": OIN,
    "scope": "nvi",
}


def settings(folder: Path, **prs: Any) -> Settings:
    table = {
        "database": "postgresql://db.example/a",
        "public_url": "http://front.example",
        "internal_url": "http://internal.example",
        "organisations": [
            {
                "slug": "a",
                "ura": "90000001",
                "name": "A",
                "internal_key": "a-key-of-sixteen-characters",
                "signing_key": "a.jwk",
            }
        ],
        **({"prs": {name: value for name, value in prs.items() if value is not None}} if prs else {}),
    }
    (folder / "node.toml").write_text(toml(table))
    return load(folder / "node.toml")


def test_without_settings_no_pseudonyms_are_asked(tmp_path: Path) -> None:
    assert settings(tmp_path).prs.base is None


def test_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    given = settings(
        tmp_path, **PRS, oauth={**OAUTH, "form": "secret", "client_id": "us", "secret": "shh.txt"}
    ).prs
    assert given.key == tmp_path / "us.key"
    assert given.oauth is not None
    assert given.oauth.secret == tmp_path / "shh.txt"
    assert (given.style, given.scopes) == ("service", "prs:read")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no recipient": ({"recipient": None}, "base needs recipient"),
    "no scope": ({"scope": None}, "base needs scope"),
    "a bare number": ({"recipient": "00000099000000001000"}, "recipient"),
    "a short URA": ({"recipient": "ura:1234"}, "recipient"),
    "a scope in capitals": ({"scope": "NVI"}, "scope"),
    "a scope that would break the text it is put in": ({"scope": "a|b"}, "scope"),
    "no certificate": ({"certificate": None, "key": None}, "base needs certificate and key"),
    "half a pair": ({"key": None}, "certificate and key are given together"),
    "for nobody": ({"oauth": {"endpoint": OAUTH["endpoint"]}}, "oauth needs organisation"),
    "no secret": ({"oauth": {**OAUTH, "form": "secret"}}, "form secret"),
    "a secret too many": ({"oauth": {**OAUTH, "client_id": "us", "secret": "s"}}, "form secret"),
    "half a signature": ({"oauth": {**OAUTH, "key": "s.key"}}, "certificate and key are given together"),
    "an unknown wire": ({"style": "kn"}, "style"),
}


@pytest.mark.parametrize(("changed", "said"), WRONG.values(), ids=WRONG)
def test_what_is_not_right_stops_the_start_by_name(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match=rf"(?s)prs.*{said}"):
        settings(tmp_path, **PRS | changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ca": ["absent.pem"]}, r"setting prs\.ca\) cannot be read"),
        ({"oauth": {**OAUTH, "ca": ["absent.pem"]}}, r"setting prs\.oauth\.ca\) cannot be read"),
        (
            {"oauth": {**OAUTH, "form": "assertion", "certificate": "absent.pem", "key": "absent.key"}},
            r"setting prs\.oauth\.certificate\) cannot be read",
        ),
        (
            {"oauth": {**OAUTH, "form": "assertion"}},
            r"the file .*us\.key \(setting prs\.key\) is not a private RSA key",
        ),
        (
            {"oauth": {**OAUTH, "form": "secret", "client_id": "us", "secret": "absent.txt"}},
            r"setting prs\.oauth\.secret\) cannot be read",
        ),
    ],
    ids=["ca", "ca of tokens", "certificate that signs", "not an RSA key", "secret"],
)
async def test_a_file_that_cannot_be_used_is_named_with_its_setting(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    client_certificate(Authority.new("Test Root")).write(tmp_path, "us")
    with pytest.raises(Invalid, match=said):
        async with localising.pseudonyms(settings(tmp_path, **PRS | changed)):
            raise AssertionError("opened")
