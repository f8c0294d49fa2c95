"""What the settings say of an organisation's credentials: its DID, its certificate, its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.certificates import Authority, Files, uzi_name
from tests.presenting import Scene

from schakel import config, presenting
from schakel.generic.identity import new_key
from schakel.kernel.outcomes import Invalid


def _settings(folder: Path, **organisation: Any) -> config.Settings:
    """The settings of a node with one organisation, through a file."""
    (folder / "a.jwk").write_bytes(orjson.dumps(new_key()))
    members = {
        "slug": "a",
        "ura": "22222222",
        "name": "A",
        "internal_key": "k" * 20,
        "signing_key": "a.jwk",
        **organisation,
    }
    lines = [f"{name} = {orjson.dumps(value).decode()}" for name, value in members.items()]
    text = f"""
        database = "postgresql://x@127.0.0.1/x"
        public_url = "https://node.example:8443"
        internal_url = "http://127.0.0.1:8401"
        [[organisations]]
        {chr(10).join(lines)}
    """
    path = folder / "node.toml"
    path.write_text(text)
    return config.load(path)


def _files(folder: Path) -> Files:
    root = Authority.new("Root")
    issued = root.issue("a", uzi=uzi_name("22222222"), organisation="A")
    files = issued.write(folder, "uzi")
    files.certificate.write_text(issued.chain_pem + root.pem)
    return files


def test_an_organisation_is_named_after_where_others_reach_it_or_as_it_says(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    assert presenting.wallet(settings, settings.organisations[0]).did == "did:web:node.example%3A8443:a"
    settings = _settings(tmp_path, did="did:web:a.example")
    assert presenting.wallet(settings, settings.organisations[0]).did == "did:web:a.example"


def test_credentials_are_made_of_the_certificate_and_read_from_files(tmp_path: Path) -> None:
    _files(tmp_path)
    (tmp_path / "type.jwt").write_text(Scene.new().facility().sign())
    settings = _settings(tmp_path, uzi_certificate="uzi.pem", uzi_key="uzi.key", credentials=["type.jwt"])
    wallet = presenting.wallet(settings, settings.organisations[0])
    assert wallet.types == ("X509Credential", "HealthcareProviderRoleTypeCredential")


WRONG: dict[str, Callable[[Path], object]] = {
    "cannot be read: No such file": lambda folder: (folder / "uzi.pem").unlink(),
    "does not hold certificates in PEM": lambda folder: (folder / "uzi.pem").write_text("x"),
    "is not the key of the first certificate": lambda folder: (folder / "uzi.key").write_bytes(
        Authority.new("Other").key_pem
    ),
    "no credential can be made of .*: the chain needs": lambda folder: (folder / "uzi.pem").write_text(
        (folder / "uzi.pem").read_text().partition("-----END CERTIFICATE-----")[0]
        + "-----END CERTIFICATE-----\n"
    ),
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_certificate_that_will_not_do_stops_the_start_with_its_file(tmp_path: Path, reason: str) -> None:
    _files(tmp_path)
    settings = _settings(tmp_path, uzi_certificate="uzi.pem", uzi_key="uzi.key")
    WRONG[reason](tmp_path)
    with pytest.raises(Invalid, match=reason):
        presenting.wallet(settings, settings.organisations[0])


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="uzi_certificate and uzi_key are given together"):
        _settings(tmp_path, uzi_certificate="uzi.pem")


async def test_an_own_definition_is_read_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"id": "d", "input_descriptors": [], "frame": {}}')
    settings = _settings(tmp_path)
    path = tmp_path / "node.toml"
    path.write_text(path.read_text() + '\n[organisations.presentation_definitions]\nbgz = "own.json"\n')
    organisation = config.load(path).organisations[0]
    async with presenting.desk(settings) as desk:
        assert desk.presentations(settings.organisations[0]) is None
        with pytest.raises(Invalid, match=r"own\.json is not right: presentation_definition\.frame"):
            desk.presentations(organisation)
