"""The way from a certificate to an authority: each condition taken away by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.certificates import UZI_NAME, Authority, Issued, ia5, new_key, uzi_name

from schakel.generic.identity.certificates import (
    TEST_AUTHORITIES,
    CertificateRefused,
    Trust,
    Use,
    Verified,
    thumbprint,
)
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid

ROOT = Authority.new("Root")
BELOW = ROOT.authority("Below", below=0)
OTHER = Authority.new("Other")
UZI = uzi_name("90000382")


def issue(authority: Authority = BELOW, **changes: object) -> Issued:
    given = {"hosts": ("node.example",), "uzi": UZI, "organisation": "Kliniek Oost", "locality": "Zwolle"}
    return authority.issue("node.example", **{**given, **changes})  # type: ignore[arg-type]


def verify(
    one: Issued, *above: Authority, anchors: tuple[Issued, ...] = (ROOT,), use: Use = Use.CLIENT
) -> Verified:
    trust = Trust((anchor.certificate for anchor in anchors), TEST_AUTHORITIES)
    between = [up.certificate for up in above] or list(one.above)
    return trust.verify([one.certificate, *between], use=use)


def test_a_certificate_of_the_register_is_verified_with_all_that_it_says() -> None:
    made = issue()
    found = verify(made)
    assert found.chain == (made.certificate, BELOW.certificate, ROOT.certificate)
    assert found.certificate == made.certificate and found.thumbprint == thumbprint(made.certificate)
    assert str(found.uzi) == UZI and found.server().ura == "90000382"
    assert found.subject["O"] == ("Kliniek Oost",) and found.subject["L"] == ("Zwolle",)
    assert found.hosts == {"node.example"}
    assert found.not_before < now() < found.not_after


def test_the_order_of_the_others_and_what_is_not_needed_do_not_matter() -> None:
    assert len(verify(issue(), OTHER, ROOT, BELOW).chain) == 3


def test_an_authority_below_the_root_may_be_the_anchor() -> None:
    assert len(verify(issue(), anchors=(BELOW,)).chain) == 2


def test_a_certificate_without_a_uzi_number_is_no_server_of_the_register() -> None:
    found = verify(issue(uzi=""))
    assert found.uzi is None
    with pytest.raises(CertificateRefused) as refused:
        found.server()
    assert refused.value.kind == "certificate-uzi-missing"


def test_a_card_is_no_server() -> None:
    found = verify(issue(uzi=uzi_name("90000382", card="Z", role="01.015")))
    with pytest.raises(CertificateRefused, match="card type in the UZI number is Z") as refused:
        found.server()
    assert refused.value.kind == "certificate-card-type"


def test_a_certificate_that_limits_nothing_may_be_used_for_everything() -> None:
    for use in Use:
        assert verify(issue(usages=()), use=use)


def test_a_signature_needs_no_use_of_tls() -> None:
    email = issue(usages=(ExtendedKeyUsageOID.EMAIL_PROTECTION,))
    assert verify(email, use=Use.SIGNATURE)
    with pytest.raises(CertificateRefused, match="TLS client"):
        verify(email)


def test_what_signs_credentials_may_be_for_commitments_alone() -> None:
    """As the certificate for signatures on the card of a professional is (RFC 5280, section 4.2.1.3)."""
    signature = issue(signing=False, committing=True, usages=())
    assert verify(signature, use=Use.SIGNATURE)
    for use in (Use.CLIENT, Use.SERVER):
        with pytest.raises(CertificateRefused, match="not for digital signatures"):
            verify(signature, use=use)
    with pytest.raises(CertificateRefused, match="not for digital signatures"):
        verify(issue(signing=False, usages=()), use=Use.SIGNATURE)


def lookalike() -> Issued:
    """Signed by another authority with the name of ours."""
    return issue(Authority.new("Root").authority("Below"))


Wrong = dict[str, tuple[Callable[[], Verified], str, str, str]]
WRONG: Wrong = {
    "expired": (
        lambda: verify(issue(days=(-10, -1))),
        "certificate-expired",
        "certificate.notAfter",
        "the certificate expired at",
    ),
    "not yet": (
        lambda: verify(issue(days=(1, 10))),
        "certificate-not-yet-valid",
        "certificate.notBefore",
        "not valid before",
    ),
    "another authority": (
        lambda: verify(issue(OTHER)),
        "certificate-chain",
        "certificate.chain",
        "its issuer, CN=Other,C=NL, is not trusted here",
    ),
    "a name only": (
        lambda: verify(lookalike(), BELOW),
        "certificate-chain",
        "certificate.chain",
        "is not signed by CN=Below,C=NL",
    ),
    "missing between": (
        lambda: verify(issue(), OTHER),
        "certificate-chain",
        "certificate.chain",
        "its issuer, CN=Below,C=NL, is not trusted here and its certificate was not given",
    ),
    "no anchors": (
        lambda: verify(issue(), anchors=()),
        "certificate-chain",
        "certificate.chain",
        "its issuer, CN=Root,C=NL, is not trusted here",
    ),
    "between is no authority": (
        lambda: verify(issue(ROOT.authority("Low", certifies=False))),
        "certificate-chain",
        "certificate.chain",
        "CN=Low,C=NL, the issuer of .* is not an authority",
    ),
    "between may not sign": (
        lambda: verify(issue(ROOT.authority("Low", signs=False))),
        "certificate-chain",
        "certificate.chain",
        "CN=Low,C=NL, the issuer of .* is not an authority",
    ),
    "between expired": (
        lambda: verify(issue(ROOT.authority("Low", days=(-10, -1)))),
        "certificate-chain",
        "certificate.chain",
        "authority CN=Low,C=NL is not valid at this moment",
    ),
    "anchor expired": (
        lambda: verify(issue(old := Authority.new("Old", days=(-10, -1))), anchors=(old,)),
        "certificate-chain",
        "certificate.chain",
        "authority CN=Old,C=NL is not valid at this moment",
    ),
    "too deep": (
        lambda: verify(issue(BELOW.authority("Deep"))),
        "certificate-chain",
        "certificate.chain",
        "breaks a constraint",
    ),
    "for servers only": (
        lambda: verify(issue(usages=(ExtendedKeyUsageOID.SERVER_AUTH,))),
        "certificate-usage",
        "certificate.extendedKeyUsage",
        "not for use as a TLS client",
    ),
    "for clients only": (
        lambda: verify(issue(usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)), use=Use.SERVER),
        "certificate-usage",
        "certificate.extendedKeyUsage",
        "not for use as a TLS server",
    ),
    "not for signatures": (
        lambda: verify(issue(signing=False)),
        "certificate-usage",
        "certificate.keyUsage",
        "not for digital signatures",
    ),
    "an authority itself": (
        lambda: verify(BELOW),
        "certificate-usage",
        "certificate.basicConstraints",
        "is of an authority",
    ),
    "weak key": (
        lambda: verify(issue(key=new_key(1024))),
        "certificate-key",
        "certificate.subjectPublicKeyInfo",
        "not RSA of 2048 bits or more",
    ),
    "unknown critical extension": (
        lambda: verify(
            issue(further=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)])
        ),
        "certificate-chain",
        "certificate.chain",
        "breaks a constraint",
    ),
    "two numbers": (
        lambda: verify(issue(other_names=[(UZI_NAME, ia5(UZI))])),
        "certificate-uzi",
        "certificate.subjectAltName.otherName",
        "2 UZI numbers",
    ),
    "number of another authority": (
        lambda: verify(issue(uzi=uzi_name("90000382", authority="2.16.528.1.1003.1.3.5.5.5"))),
        "certificate-uzi",
        "certificate.subjectAltName.otherName",
        "OID of the CA",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_each_condition_by_itself_is_refused_by_name(what: str) -> None:
    attempt, code, expression, message = WRONG[what]
    with pytest.raises(CertificateRefused, match=message) as refused:
        attempt()
    assert (refused.value.kind, refused.value.expression) == (code, expression)
    assert "node.example" not in refused.value.cause


def test_too_many_certificates_and_none_are_refused() -> None:
    trust = Trust([ROOT.certificate], TEST_AUTHORITIES)
    for chain in ([], [issue().certificate] * 9):
        with pytest.raises(CertificateRefused, match="1 to 8 are taken"):
            trust.verify(chain)


def test_a_key_of_another_kind_is_refused() -> None:
    made = BELOW.issue("node.example", key=ed25519.Ed25519PrivateKey.generate())  # type: ignore[arg-type]
    with pytest.raises(CertificateRefused) as refused:
        verify(made)
    assert refused.value.kind == "certificate-key"


def test_the_clock_of_the_node_decides() -> None:
    made = issue(days=(-1, 10))
    with time_machine.travel(now() + timedelta(days=9), tick=False):
        assert verify(made)
    with time_machine.travel(now() + timedelta(days=11), tick=False), pytest.raises(CertificateRefused):
        verify(made)
    trust = Trust([ROOT.certificate], TEST_AUTHORITIES)
    with pytest.raises(CertificateRefused):
        trust.verify([made.certificate, *made.above], now() + timedelta(days=11))


def test_anchors_come_from_files_and_a_wrong_file_is_named(tmp_path: Path) -> None:
    good, leaf, text = tmp_path / "good.pem", tmp_path / "leaf.pem", tmp_path / "text.pem"
    good.write_text(ROOT.pem + OTHER.pem)
    leaf.write_text(issue().pem)
    text.write_text("no certificate")
    assert Trust.read([good]).anchors == (ROOT.certificate, OTHER.certificate)
    for wrong, why in (
        (leaf, "not of an authority"),
        (text, "PEM"),
        (tmp_path / "absent.pem", "cannot be read"),
    ):
        with pytest.raises(Invalid, match=f"{wrong.name}.*{why}"):
            Trust.read([wrong])
