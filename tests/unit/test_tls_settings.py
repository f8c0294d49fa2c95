"""Settings of certificates: what cannot work stops the start with a sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority, uzi_name

from schakel import certifying, config
from schakel.config import Settings
from schakel.demo import toml
from schakel.generic.identity.certificates import CertificateRefused
from schakel.kernel.outcomes import Invalid

BACK = {
    "public_url": "https://back.example",
    "certificate": "node.pem",
    "key": "node.key",
    "client_ca": ["uzi.pem"],
}
CERTIFICATES = {"sources": ["https://crl.example"]}
ORGANISATION = {
    "slug": "north",
    "ura": "90000001",
    "name": "North",
    "internal_key": "a-long-internal-key",
    "signing_key": "north.jwk",
}
INTERNAL = {"certificate": "node.pem", "key": "node.key", "client_ca": ["ehr.pem"]}


def loaded(folder: Path, *, organisation: dict[str, Any] | None = None, **changes: Any) -> Settings:
    """The settings of a node with these changes; a change to None takes a setting away."""
    settings = {
        "database": "postgresql://x@localhost/x",
        "public_url": "https://front.example",
        "internal_url": "http://internal.example",
        "back": BACK,
        "certificates": CERTIFICATES,
        **changes,
        "organisations": [{**ORGANISATION, **(organisation or {})}],
    }
    path = folder / "node.toml"
    path.write_text(toml.document({name: value for name, value in settings.items() if value is not None}))
    return config.load(path)


def without(table: dict[str, Any], *names: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**table, **changes}.items() if name not in names}


def test_paths_are_taken_from_the_folder_of_the_file_at_every_depth(tmp_path: Path) -> None:
    mine = {"internal_certificates": [{"subject": "CN=x", "ca": "ca.pem"}, {"sha256": "0" * 64}]}
    made = loaded(tmp_path, organisation=mine, internal_tls=INTERNAL, peer_ca=["peers.pem", "/etc/root.pem"])
    assert made.back is not None
    assert made.back.certificate == tmp_path / "node.pem"
    assert made.back.client_ca == (tmp_path / "uzi.pem",)
    assert made.peer_ca == (tmp_path / "peers.pem", Path("/etc/root.pem"))
    [organisation] = made.organisations
    assert organisation.signing_key == tmp_path / "north.jwk"
    assert [one.ca for one in organisation.internal_certificates] == [tmp_path / "ca.pem", None]


def test_without_its_section_there_is_no_back(tmp_path: Path) -> None:
    assert loaded(tmp_path, back=None, certificates=None).back is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"back": without(BACK, "public_url")}, ["back.public_url"]),
        ({"back": without(BACK, public_url="http://back.example")}, ["public_url must be https"]),
        ({"back": without(BACK, "client_ca")}, ["back.client_ca"]),
        ({"back": without(BACK, client_ca=[])}, ["back.client_ca"]),
        ({"back": without(BACK, "key")}, ["certificate and key are given together"]),
        ({"back": without(BACK, "certificate", "key")}, ["certificate and key are needed, or proxies"]),
        ({"back": without(BACK, proxies=["10.0.0.7"])}, ["proxies needs proxy_header"]),
        ({"back": without(BACK, proxy_header="X-Cert")}, ["proxy_header needs proxies"]),
        ({"back": without(BACK, address_header="X-Forwarded-For")}, ["address_header needs proxies"]),
        ({"back": without(BACK, proxies=["proxy.example"], proxy_header="X-Cert")}, ["back.proxies.0"]),
        ({"back": without(BACK, proxies=["10.0.0.7"], proxy_header="X Cert")}, ["back.proxy_header"]),
        ({"back": without(BACK, tls_minimum="1.1")}, ["back.tls_minimum"]),
        ({"certificates": None}, ["back needs certificates.sources"]),
        ({"certificates": {"revocation": "either"}}, ["back needs certificates.sources"]),
        (
            {"back": None, "certificates": None, "trust": {"uzi": ["uzi.pem"]}},
            ["trust.uzi needs certificates.sources"],
        ),
        ({"certificates": {"revocation": "sometimes"}}, ["certificates.revocation"]),
        ({"organisation": {"tls_key": "x"}}, ["tls_certificate and tls_key are given together"]),
        (
            {"organisation": {"internal_certificates": [{"sha256": "0" * 64}]}},
            ["internal_certificates of north needs internal_tls"],
        ),
        (
            {"organisation": {"internal_certificates": [{"sha256": "12"}]}, "internal_tls": INTERNAL},
            ["sha256 has 64"],
        ),
        (
            {"organisation": {"internal_certificates": [{"subject": "CN=x"}]}, "internal_tls": INTERNAL},
            ["either sha256, or subject and ca"],
        ),
        (
            {"organisation": {"internal_certificates": [{}]}, "internal_tls": INTERNAL},
            ["either sha256, or subject and ca"],
        ),
    ],
)
def test_what_cannot_work_is_named(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        loaded(tmp_path, **changes)
    for word in (str(tmp_path / "node.toml"), *words):
        assert word in refused.value.message


def test_behind_a_proxy_no_certificate_of_our_own_is_needed(tmp_path: Path) -> None:
    back = without(BACK, "certificate", "key", proxies=["10.0.0.0/28", "::1"], proxy_header="X-Cert")
    made = loaded(tmp_path, back=back)
    assert made.back is not None
    assert [str(one) for one in made.back.proxies] == ["10.0.0.0/28", "::1/128"]


def test_revocation_may_be_off_by_a_word_only(tmp_path: Path) -> None:
    assert loaded(tmp_path, certificates={"revocation": "off"}).certificates.revocation == "off"


def test_a_finger_print_may_have_colons(tmp_path: Path) -> None:
    digest = ":".join(["AB"] * 32)
    made = loaded(
        tmp_path, organisation={"internal_certificates": [{"sha256": digest}]}, internal_tls=INTERNAL
    )
    assert made.organisations[0].internal_certificates[0].sha256 == digest


def test_numbers_of_other_authorities_are_taken_when_their_oids_are_set(tmp_path: Path) -> None:
    root = Authority.new("Root")
    (tmp_path / "uzi.pem").write_text(root.pem)
    ours, theirs = (
        root.issue("node.example", uzi=uzi_name("90000382", authority=oid)).certificate
        for oid in ("2.16.528.1.1003.1.3.5.5.5", "2.16.528.1.1003.1.3.9.1")
    )
    for certificates, taken, refused in (
        (CERTIFICATES, ours, theirs),
        ({**CERTIFICATES, "uzi_oids": ["2.16.528.1.1003.1.3.9.*"]}, theirs, ours),
    ):
        settings = loaded(tmp_path, certificates=certificates, trust={"uzi": ["uzi.pem"]})
        for trust in (certifying.trust(settings), certifying.credential_trust(settings)):
            assert trust.verify([taken]).server().ura == "90000382"
            with pytest.raises(CertificateRefused, match="OID of the CA"):
                trust.verify([refused])
