"""An organisation's own credential by its certificate: what is taken, and what one thing that is wrong does."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ObjectIdentifier
from joserfc.jwk import ECKey
from tests.certificates import Authority, new_key, uzi_name
from tests.presenting import (
    AUDIENCE,
    FACILITY,
    HOLDER,
    ISSUER,
    URA,
    Draft,
    Scene,
    seconds,
)

from schakel.generic.identity.certificates import TEST_AUTHORITIES, Trust
from schakel.generic.identity.credentials import Definition, NotChecked, Refused

Change = Callable[[Draft], object]


def _certificate(**changed: Any) -> Callable[[Scene], Draft]:
    """The credential by another certificate."""

    def made(scene: Scene) -> Draft:
        given = {"uzi": uzi_name(URA), "organisation": "Kliniek Oost", "locality": "Zwolle", **changed}
        return scene.x509(scene.above.issue("other", **given))

    return made


def _with(change: Change) -> Callable[[Scene], Draft]:
    def made(scene: Scene) -> Draft:
        draft = scene.x509()
        change(draft)
        return draft

    return made


def _issuer(old: str, new: str) -> Callable[[Scene], Draft]:
    """The credential with another did:x509, wherever it is named."""

    def change(draft: Draft) -> None:
        draft.claims["iss"] = draft.claims["iss"].replace(old, new)
        draft.header["kid"] = draft.claims["jti"] = draft.claims["iss"]

    return _with(change)


def _untrusted(scene: Scene) -> Draft:
    """The same chain, by an authority that nobody trusts."""
    return Scene.new().x509()


X509: dict[str, tuple[str, Callable[[Scene], Draft]]] = {
    "crit": ("jwt-header", _with(lambda d: d.header.update(crit=["exp"], exp=1))),
    "no chain": ("credential-x5c", _with(lambda d: d.header.pop("x5c"))),
    "one certificate": ("credential-x5c", _with(lambda d: d.header.update(x5c=d.header["x5c"][:1]))),
    "no certificate": (
        "credential-x5c",
        _with(lambda d: d.header.update(x5c=["AAAA", *d.header["x5c"][1:]])),
    ),
    "not base64": ("credential-x5c", _with(lambda d: d.header.update(x5c=["*", *d.header["x5c"][1:]]))),
    "no thumbprint": ("credential-x5t", _with(lambda d: d.header.pop("x5t#S256"))),
    "other thumbprint of the older kind": (
        "credential-x5t",
        _with(lambda d: d.header.update({"x5t": "A" * 27})),
    ),
    "other thumbprint": ("credential-x5t", _with(lambda d: d.header.update({"x5t#S256": "A" * 43}))),
    "kid of another": ("credential-kid", _with(lambda d: d.header.update(kid=f"{ISSUER}#i1"))),
    "signed by another": (
        "credential-signature",
        _with(lambda d: setattr(d, "key", ECKey.generate_key("P-256"))),
    ),
    "not trusted": ("certificate-chain", _untrusted),
    "chain with a gap": (
        "certificate-chain",
        _with(lambda d: d.header.update(x5c=[d.header["x5c"][0], d.header["x5c"][2]])),
    ),
    "fingerprint that is too long": ("did-x509-malformed", _issuer(":sha256:", ":sha256:AAAA")),
    "version 1": ("did-x509-malformed", _issuer("x509:0:", "x509:1:")),
    "hash sha1": ("did-x509-malformed", _issuer("sha256", "sha1")),
    "unknown policy": ("did-x509-malformed", _issuer("::subject:", "::issuer:")),
    "unknown name": ("did-x509-malformed", _issuer("subject:O:", "subject:X:")),
    "not encoded": ("did-x509-malformed", _issuer("Kliniek%20Oost", "Kliniek Oost")),
    "not UTF-8": ("did-x509-malformed", _issuer("Kliniek%20Oost", "Kliniek%FFOost")),
    "other place in the DID": ("did-x509-policy", _issuer("L:Zwolle", "L:Zwolle2")),
    "other place in the certificate": ("did-x509-policy", _certificate(locality="Raalte")),
    "no UZI number": ("did-x509-policy", _certificate(uzi="")),
    "UZI number of another": ("did-x509-policy", _certificate(uzi=uzi_name("33333333"))),
    "other place in the subject": (
        "credential-subject",
        _with(lambda d: d.subject["subject"].update(L="Raalte")),
    ),
    "URA of another in the subject": (
        "credential-subject",
        _with(lambda d: d.subject["san"].update(otherName=uzi_name("33333333"))),
    ),
    "more in the subject": ("credential-subject", _with(lambda d: d.subject.update(ura="33333333"))),
    "value that is not text": (
        "credential-subject",
        _with(lambda d: d.subject["subject"].update(O=["Kliniek Oost"])),
    ),
    "two subjects": (
        "credential-subject",
        _with(lambda d: d.claims["vc"].update(credentialSubject=[d.subject, d.subject])),
    ),
    "subject of another": (
        "credential-holder",
        _with(lambda d: (d.subject.update(id=ISSUER), d.claims.update(sub=ISSUER))),
    ),
    "sub of another": ("credential-subject", _with(lambda d: d.claims.update(sub=ISSUER))),
    "not yet": ("jwt-early", _with(lambda d: d.claims.update(nbf=seconds(1)))),
    "expired": ("jwt-expired", _with(lambda d: d.claims.update(exp=seconds(-0.1)))),
    "no end": ("jwt-time", _with(lambda d: d.claims.pop("exp"))),
    "before its certificate": (
        "credential-before-certificate",
        _with(lambda d: d.claims.update(nbf=seconds(-2))),
    ),
    "after its certificate": (
        "credential-after-certificate",
        _with(lambda d: d.claims.update(exp=seconds(400))),
    ),
    "certificate expired": ("certificate-expired", _certificate(days=(-10, -1))),
    "no vc": ("credential-malformed", _with(lambda d: d.claims.pop("vc"))),
    "other context": (
        "credential-context",
        _with(lambda d: d.claims["vc"].update({"@context": ["https://x.nl"]})),
    ),
    "no base type": ("credential-type", _with(lambda d: d.claims["vc"].update(type=["X509Credential"]))),
    "two types": (
        "credential-type",
        _with(lambda d: d.claims["vc"].update(type=["VerifiableCredential", "X509Credential", FACILITY])),
    ),
    "issuer inside is another": (
        "credential-malformed",
        _with(lambda d: d.claims["vc"].update(issuer=ISSUER)),
    ),
    "status of a kind that is not known": (
        "status-type",
        _with(lambda d: d.claims["vc"].update(credentialStatus={"type": "RevocationList2020Status"})),
    ),
}


@pytest.mark.parametrize("what", X509)
async def test_an_x509_credential_is_refused_for_one_thing_that_is_wrong_in_it(what: str) -> None:
    scene = Scene.new()
    await scene.verify(scene.presentation(scene.x509()), "eOverdracht-sender")
    code, made = X509[what]
    with pytest.raises(Refused) as refused:
        await scene.verify(scene.presentation(made(scene)), "eOverdracht-sender")
    assert refused.value.kind == code, refused.value.message
    assert refused.value.message.startswith("credential 1: ")
    assert refused.value.expression.startswith("vp.verifiableCredential[0]")


async def test_the_older_thumbprint_will_do() -> None:
    """As makers of credentials wrote it before, and Nuts nodes take it (RFC 7515, section 4.1.7)."""
    scene = Scene.new()
    draft = scene.x509()
    leaf = x509.load_der_x509_certificate(base64.b64decode(draft.header["x5c"][0]))
    older = base64.urlsafe_b64encode(leaf.fingerprint(hashes.SHA1())).rstrip(b"=").decode()
    for header in ({"x5t": older, "x5t#S256": draft.header.pop("x5t#S256")}, {"x5t": older}):
        made = scene.x509()
        made.header.pop("x5t#S256")
        made.header.update(header)
        assert (await scene.verify(scene.presentation(made), "eOverdracht-sender")).ura == URA


async def test_a_certificate_of_a_person_proves_no_organisation() -> None:
    scene = Scene.new()
    person = uzi_name(URA, card="Z", role="01.015")
    draft = scene.x509(scene.above.issue("other", uzi=person, organisation="Kliniek Oost", locality="Zwolle"))
    draft.claims["iss"] = draft.claims["iss"].replace(uzi_name(URA), person)
    draft.header["kid"] = draft.claims["jti"] = draft.claims["iss"]
    draft.subject["san"]["otherName"] = person
    with pytest.raises(Refused) as refused:
        await scene.verify(scene.presentation(draft), "eOverdracht-sender")
    assert refused.value.kind == "certificate-card-type"


async def test_a_withdrawn_certificate_is_refused_and_one_of_which_nobody_knows_is_not_taken() -> None:
    scene = Scene.new()
    draft = scene.presentation(scene.x509())
    scene.withdrawn.away = True
    with pytest.raises(NotChecked) as unknown:
        await scene.verify(draft, "eOverdracht-sender")
    assert unknown.value.kind == "revocation-unknown"
    scene.withdrawn.away = False
    scene.withdrawn.serials.add(scene.certificate.certificate.serial_number)
    with pytest.raises(Refused) as refused:
        await scene.verify(draft, "eOverdracht-sender")
    assert refused.value.kind == "certificate-revoked"


async def test_a_fingerprint_may_be_of_any_authority_above_the_certificate_but_not_of_another() -> None:
    scene = Scene.new()
    stranger = Authority.new("Stranger")
    for authority, taken in (
        (scene.above, True),
        (scene.root, True),
        (stranger, False),
        (scene.certificate, False),
    ):
        for algorithm in ("sha256", "sha384", "sha512"):
            digest = hashlib.new(algorithm, authority.der).digest()
            text = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            draft = scene.x509()
            draft.header["x5c"].append(base64.b64encode(stranger.der).decode())
            draft.claims["iss"] = f"did:x509:0:{algorithm}:{text}::" + scene.did_x509.partition("::")[2]
            draft.header["kid"] = draft.claims["jti"] = draft.claims["iss"]
            if taken:
                assert (await scene.verify(scene.presentation(draft), "eOverdracht-sender")).ura == URA
            else:
                with pytest.raises(Refused, match="fingerprint"):
                    await scene.verify(scene.presentation(draft), "eOverdracht-sender")


async def test_a_fingerprint_of_a_forged_authority_is_refused_though_it_has_the_key_of_the_real_one() -> None:
    """Anybody can put the name and public key of an authority in a certificate of their own making."""
    scene = Scene.new()
    real, forger = scene.root.certificate, new_key()
    forged = (
        x509.CertificateBuilder(real.issuer, real.subject, real.public_key(), 7)
        .not_valid_before(real.not_valid_before_utc)
        .not_valid_after(real.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(forger, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    draft = scene.x509()
    draft.header["x5c"].append(base64.b64encode(forged).decode())
    draft.claims["iss"] = scene.did_x509.replace(_fingerprint(scene.root.der), _fingerprint(forged))
    draft.header["kid"] = draft.claims["jti"] = draft.claims["iss"]
    with pytest.raises(Refused, match="fingerprint"):
        await scene.verify(scene.presentation(draft), "eOverdracht-sender")


async def test_a_fingerprint_may_be_of_a_root_above_the_authority_that_is_trusted() -> None:
    scene = Scene.new()
    desk = scene.presentations()
    trust = Trust([scene.above.certificate], TEST_AUTHORITIES)
    desk = replace(desk, verifier=replace(desk.verifier, trust=trust))
    asked = desk.definitions.of(["eOverdracht-sender"])
    draft = scene.x509()
    text = scene.presentation(draft).sign()
    assert (await desk.verify(text, audience=AUDIENCE, definition=asked)).ura == URA
    draft.header["x5c"].pop()
    text = scene.presentation(draft).sign()
    with pytest.raises(Refused, match="fingerprint"):
        await desk.verify(text, audience=AUDIENCE, definition=asked)


def _fingerprint(der: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


async def test_a_policy_on_extended_key_usage_and_names_of_hosts_is_checked() -> None:
    scene = Scene.new()
    issued = scene.above.issue(
        "x", uzi=uzi_name(URA), organisation="Kliniek Oost", locality="Zwolle", hosts=("a.example.nl",)
    )
    for policy, taken in (
        ("::eku:1.3.6.1.5.5.7.3.2", True),
        ("::eku:1.3.6.1.5.5.7.3.3", False),
        ("::san:dns:a.example.nl", True),
        ("::san:dns:b.example.nl", False),
    ):
        draft = scene.x509(issued)
        draft.claims["iss"] += policy
        draft.header["kid"] = draft.claims["jti"] = draft.claims["iss"]
        if taken:
            await scene.verify(scene.presentation(draft), "eOverdracht-sender")
        else:
            with pytest.raises(Refused, match="does not have what the did:x509 says"):
                await scene.verify(scene.presentation(draft), "eOverdracht-sender")


async def test_a_permanent_identifier_in_a_certificate_can_be_named() -> None:
    scene = Scene.new()
    told = bytes.fromhex("30140c08") + URA.encode() + bytes.fromhex("060860841001876f0303")
    issued = scene.above.issue(
        "x",
        uzi=uzi_name(URA),
        organisation="Kliniek Oost",
        locality="Zwolle",
        other_names=[(ObjectIdentifier("1.3.6.1.5.5.7.8.3"), told)],
    )
    pair = {"permanentIdentifier.value": URA, "permanentIdentifier.assigner": "2.16.528.1.1007.3.3"}
    for changed, taken in (({}, True), ({"permanentIdentifier.value": "33333333"}, False)):
        draft = scene.x509(issued)
        draft.subject["san"] |= pair | changed
        policy = "".join(f":{name}:{value}" for name, value in (pair | changed).items())
        draft.claims["iss"] = draft.claims["iss"].replace("::subject:", f"{policy}::subject:")
        draft.header["kid"] = draft.claims["jti"] = draft.claims["iss"]
        if taken:
            assert (await scene.verify(scene.presentation(draft), "eOverdracht-sender")).ura == URA
        else:
            with pytest.raises(
                Refused, match=r"does not have what the did:x509 says of san:permanentIdentifier"
            ):
                await scene.verify(scene.presentation(draft), "eOverdracht-sender")


async def test_a_healthcare_provider_credential_must_name_the_ura_of_its_certificate() -> None:
    scene = Scene.new()
    draft = scene.x509()
    draft.claims["vc"]["type"] = ["VerifiableCredential", "HealthcareProviderCredential"]
    identifier = {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": URA}
    draft.claims["vc"]["credentialSubject"] = [
        {"id": HOLDER, "identifier": identifier, "name": "Kliniek Oost"}
    ]
    definition = Definition.read(
        {
            "id": "d",
            "input_descriptors": [
                {
                    "id": "o",
                    "constraints": {
                        "fields": [{"path": ["$.type"], "filter": {"const": "HealthcareProviderCredential"}}]
                    },
                }
            ],
        }
    )
    assert (await scene.verify(scene.presentation(draft), definition)).ura == URA
    identifier["value"] = "33333333"
    with pytest.raises(Refused, match="is not the URA in the certificate"):
        await scene.verify(scene.presentation(draft), definition)
