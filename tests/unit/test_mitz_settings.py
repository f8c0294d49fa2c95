"""Settings of consent: what is not right stops the start with a sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.fault.processes import toml

from schakel.config import load
from schakel.kernel.outcomes import Invalid

ORGANISATION = {
    "slug": "a",
    "ura": "90000001",
    "name": "A",
    "internal_key": "a-key-of-sixteen-characters",
    "signing_key": "a.jwk",
}
MITZ = {"base": "https://mitz.example/mitz", "certificate": "us.pem", "key": "us.key"}
BACK = {
    "back": {
        "public_url": "https://back.example",
        "client_ca": ["ca.pem"],
        "certificate": "us.pem",
        "key": "us.key",
    },
    "certificates": {"revocation": "off"},
}
GLASS = {"document": "Noodprocedure", "dated": "2026-01-01", "review_hours": 24}


def written(folder: Path, organisation: dict[str, Any], **settings: Any) -> Path:
    table = {
        "database": "postgresql://db.example/a",
        "public_url": "http://front.example",
        "internal_url": "http://internal.example",
        "organisations": [{**ORGANISATION, **organisation}],
        **settings,
    }
    path = folder / "node.toml"
    path.write_text(toml(table))
    return path


def test_without_settings_mitz_is_not_asked_and_nothing_goes_over_consent(tmp_path: Path) -> None:
    settings = load(written(tmp_path, {}))
    assert settings.mitz.base is None
    [organisation] = settings.organisations
    assert organisation.acute_opt_out is None and organisation.break_glass is None


def test_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    settings = load(written(tmp_path, {"break_glass": GLASS}, mitz={**MITZ, "ca": ["ca.pem"]}))
    assert settings.mitz.certificate == tmp_path / "us.pem"
    assert settings.mitz.ca == (tmp_path / "ca.pem",)
    glass = settings.organisations[0].break_glass
    assert glass is not None and not glass.overrides_objection
    assert glass.levels == ("http://eidas.europa.eu/LoA/high",)


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no certificate": ({}, {"mitz": {"base": MITZ["base"]}}, "certificate"),
    "half a pair": ({}, {"mitz": {**MITZ, "signing_key": "s.key"}}, "signing_certificate and signing_key"),
    "no TLS": ({}, {"mitz": {**MITZ, "base": "http://mitz.example"}}, "https"),
    "remembered too long": ({}, {"mitz": {**MITZ, "remember_seconds": 11}}, "remember_seconds"),
    "no OID": (
        {},
        {"mitz": {**MITZ, "gateway_system": "urn:oid:2.1", "source_system": "2.1"}},
        "gateway_system",
    ),
    "one OID": ({}, {"mitz": {**MITZ, "gateway_system": "2.16.1"}, **BACK}, "source_system"),
    "subscriptions without back": (
        {},
        {"mitz": {**MITZ, "gateway_system": "2.16.1", "source_system": "2.16.2"}},
        "back",
    ),
    "acute care without Mitz": ({"acute_opt_out": {"requester_types": ["N6"]}}, {}, "who objected"),
    "acute care for all": ({"acute_opt_out": {"requester_types": []}}, {"mitz": MITZ}, "requester_types"),
    "an emergency without a policy": (
        {"break_glass": {name: value for name, value in GLASS.items() if name != "document"}},
        {},
        "document",
    ),
    "an emergency without a term": (
        {"break_glass": {name: value for name, value in GLASS.items() if name != "review_hours"}},
        {},
        "review_hours",
    ),
    "a policy without a date": ({"break_glass": {**GLASS, "dated": "soon"}}, {}, "dated"),
    "a category without source": (
        {},
        {"mitz": {**MITZ, "categories": [{"type_code": "G5", "category": "GGC002", "source": ""}]}},
        "source",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_right_is_named(tmp_path: Path, name: str) -> None:
    organisation, settings, named = WRONG[name]
    with pytest.raises(Invalid, match=named):
        load(written(tmp_path, organisation, **settings))
