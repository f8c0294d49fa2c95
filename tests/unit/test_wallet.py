"""What our own wallet makes, against our own verifier and by what stands in it."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import time_machine
from cryptography import x509
from tests.certificates import uzi_name
from tests.presenting import AUDIENCE, HOLDER, URA, Scene

from schakel.generic.identity import User
from schakel.generic.identity.certificates import CertificateRefused
from schakel.generic.identity.credentials import (
    Definitions,
    Refused,
    Wallet,
    dezi_credential,
    employee_credential,
    make_x509_credential,
    read_credentials,
)
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid


def _members(jwt: str, part: int) -> dict[str, Any]:
    text = jwt.split(".")[part]
    members: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return members


def _own(scene: Scene) -> str:
    chain = [scene.certificate.certificate, scene.above.certificate, scene.root.certificate]
    return make_x509_credential(scene.certificate.key, chain, HOLDER)


@pytest.mark.parametrize("bits", [0, 2048])
async def test_a_presentation_for_a_professional_is_taken(bits: int) -> None:
    scene = Scene.new(bits=bits, organisation='\'s Heeren Loo & Zn.: "Oost" 50%')
    wallet = Wallet(HOLDER, scene.holder_key, [_own(scene), scene.facility().sign()])
    definition = Definitions.load().of(["bgz"])
    professional = dezi_credential(scene.statement().sign(), HOLDER)
    made = wallet.present(definition, audience=AUDIENCE, beside=[professional])
    presented = await scene.verify(made.assertion, submission=made.submission)
    assert (presented.ura, presented.facility_type) == (URA, "V6")
    assert presented.organisation_name == '\'s Heeren Loo & Zn.: "Oost" 50%'
    assert presented.user is not None and presented.user.role == "01.015"
    assert (await scene.verify(made.assertion)).fields == presented.fields


async def test_a_published_document_holds_the_key_that_signs_and_nothing_private() -> None:
    scene = Scene.new()
    wallet = Wallet(HOLDER, scene.holder_key, [_own(scene)])
    document = wallet.document()
    assert document["id"] == HOLDER
    assert "d" not in document["verificationMethod"][0]["publicKeyJwk"]
    address = next(page for page in scene.web.pages if "kliniek-oost" in page)
    scene.web.pages[address] = orjson.dumps(document)
    made = wallet.present(Definitions.load().of(["bgz-sender"]), audience=AUDIENCE)
    assert (await scene.verify(made.assertion, "bgz-sender")).holder == HOLDER


async def test_iss_is_always_written_and_lists_are_lists() -> None:
    scene = Scene.new()
    made = Wallet(HOLDER, scene.holder_key, [_own(scene)]).present(
        Definitions.load().of(["eOverdracht-sender"]), audience=AUDIENCE
    )
    claims = _members(made.assertion, 1)
    assert claims["iss"] == claims["sub"] == HOLDER
    assert claims["exp"] - claims["nbf"] == 5
    assert claims["vp"]["type"] == ["VerifiablePresentation"]
    credential = _members(claims["vp"]["verifiableCredential"][0], 1)
    assert isinstance(credential["vc"]["credentialSubject"], list)
    assert credential["vc"]["@context"] == ["https://www.w3.org/2018/credentials/v1"]
    assert "holder" not in claims["vp"]


def test_a_wallet_says_which_credential_it_lacks() -> None:
    scene = Scene.new()
    definition = Definitions.load().of(["bgz"])
    with pytest.raises(Refused, match=r"for id_healthcare_provider_role_type \(Healthcare.*: none is held"):
        Wallet(HOLDER, scene.holder_key, [_own(scene)]).present(definition, audience=AUDIENCE)
    draft = scene.facility()
    del draft.subject["roleCodeNL"]
    wallet = Wallet(HOLDER, scene.holder_key, [_own(scene), draft.sign()])
    with pytest.raises(Refused, match="it has no organization_facility_type at"):
        wallet.present(definition, audience=AUDIENCE)


def test_a_credential_that_has_ended_is_not_presented() -> None:
    scene = Scene.new()
    wallet = Wallet(HOLDER, scene.holder_key, [_own(scene)])
    definition = Definitions.load().of(["bgz-sender"])
    with time_machine.travel(now() + timedelta(days=301)), pytest.raises(Refused, match="it has ended"):
        wallet.present(definition, audience=AUDIENCE)


def test_an_x509_credential_ends_no_later_than_its_certificate() -> None:
    scene = Scene.new()
    claims = _members(_own(scene), 1)
    certificate = scene.certificate.certificate
    assert claims["exp"] == certificate.not_valid_after_utc.timestamp()
    assert claims["nbf"] >= certificate.not_valid_before_utc.timestamp()


def test_an_x509_credential_needs_a_server_certificate_and_an_authority() -> None:
    scene = Scene.new()
    with pytest.raises(Refused, match="an authority above it"):
        make_x509_credential(scene.certificate.key, [scene.certificate.certificate], HOLDER)
    for uzi, reason in (("", "no UZI number"), (uzi_name(URA, card="Z", role="01.015"), "card type")):
        other = scene.above.issue("x", uzi=uzi)
        with pytest.raises(CertificateRefused, match=reason):
            make_x509_credential(other.key, [other.certificate, scene.above.certificate], HOLDER)


async def test_an_organisation_vouches_for_its_own_professional() -> None:
    scene = Scene.new()
    wallet = Wallet(HOLDER, scene.holder_key, [_own(scene)])
    user = User("account-7", "K. Bakker", "30.000")
    definition = Definitions.load().of(["bgz-sender"])
    own = employee_credential(HOLDER, user)
    assert Wallet(HOLDER, scene.holder_key, [own]).types == ("NutsEmployeeCredential",)
    made = wallet.present(definition, audience=AUDIENCE)
    draft = scene.presentation(*_members(made.assertion, 1)["vp"]["verifiableCredential"], own)
    presented = await scene.verify(draft, "bgz-sender")
    assert presented.user == user


def test_credentials_are_read_from_files(tmp_path: Path) -> None:
    scene = Scene.new()
    good, bad = tmp_path / "facility.jwt", tmp_path / "bad.jwt"
    good.write_text(scene.facility().sign() + "\n")
    assert Wallet(HOLDER, scene.holder_key, read_credentials([good])).types == (
        "HealthcareProviderRoleTypeCredential",
    )
    bad.write_text("no credential")
    for path, reason in (
        (bad, "is not right: the credential is not a signed JWT"),
        (tmp_path / "x", "cannot be read"),
    ):
        with pytest.raises(Invalid, match=reason):
            read_credentials([path])


def test_the_did_of_a_certificate_is_by_the_last_of_its_chain() -> None:
    scene = Scene.new()
    chain: list[x509.Certificate] = [
        scene.certificate.certificate,
        scene.above.certificate,
        scene.root.certificate,
    ]
    issuer = _members(make_x509_credential(scene.certificate.key, chain, HOLDER), 1)["iss"]
    assert issuer == scene.did_x509
