"""Presentations against the verifier: what is taken, and for each condition what happens when only that one is gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from joserfc.jwk import ECKey
from tests.presenting import (
    AUDIENCE,
    HOLDER,
    ISSUER,
    URA,
    Draft,
    Scene,
    encoded,
    seconds,
)

from schakel.generic.identity import OAuthError
from schakel.generic.identity.credentials import NotChecked, Refused
from schakel.generic.identity.credentials.web import Unreachable
from schakel.kernel.clock import now


async def test_a_presentation_says_who_asks_for_whom_and_what_kind_of_organisation_it_is() -> None:
    scene = Scene.new()
    presented = await scene.verify(scene.presentation(scene.x509(), scene.facility(), scene.dezi()))
    assert (presented.holder, presented.ura, presented.organisation_name) == (HOLDER, URA, "Kliniek Oost")
    assert (presented.facility_type, presented.assurance) == ("V6", "http://eidas.europa.eu/LoA/high")
    assert presented.user is not None
    assert presented.user.json() == {"id": "900000008", "name": "J. Jansen", "role": "01.015"}
    assert presented.fields == {
        "organization_id": HOLDER,
        "organization_name": "Kliniek Oost",
        "organization_city": "Zwolle",
        "organization_ura": URA,
        "organization_facility_type": "V6",
        "user_id": "900000008",
        "user_initials": "J.",
        "user_surname_prefix": "",
        "user_surname": "Jansen",
        "user_role": "01.015",
    }


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
async def test_a_certificate_with_an_rsa_key_signs_with_either_padding(algorithm: str) -> None:
    scene = Scene.new(bits=2048)
    draft = scene.presentation(scene.x509(algorithm=algorithm))
    assert (await scene.verify(draft, "eOverdracht-sender")).ura == URA


async def test_a_credential_of_data_model_2_around_a_statement_of_dezi_is_read_too() -> None:
    scene = Scene.new()
    presented = await scene.verify(scene.presentation(scene.x509(), scene.facility(), scene.dezi(version=2)))
    assert presented.user is not None and presented.user.id == "900000008"


async def test_lists_of_one_may_be_written_as_their_only_element() -> None:
    scene = Scene.new()
    credential = scene.x509()
    credential.claims["vc"]["credentialSubject"] = credential.subject
    credential.claims["vc"]["@context"] = credential.claims["vc"]["@context"][0]
    draft = scene.presentation(credential)
    draft.claims["vp"]["verifiableCredential"] = draft.claims["vp"]["verifiableCredential"][0]
    draft.claims["vp"]["type"] = "VerifiablePresentation"
    draft.claims["aud"] = [AUDIENCE]
    assert (await scene.verify(draft, "eOverdracht-sender")).ura == URA


async def test_a_presentation_without_iss_is_of_the_holder_it_names() -> None:
    scene = Scene.new()
    draft = scene.presentation(scene.x509())
    del draft.claims["iss"]
    draft.claims["vp"]["holder"] = HOLDER
    assert (await scene.verify(draft, "eOverdracht-sender")).holder == HOLDER


async def test_values_of_a_did_x509_may_be_encoded_twice() -> None:
    scene = Scene.new(organisation="'s Heeren Loo")
    credential = scene.x509()
    once = scene.did_x509.replace(encoded("Kliniek Oost"), encoded("'s Heeren Loo"))
    for written in (once, once.replace("%27", "%2527"), once.replace("%27", "%2527").replace("%20", "%2520")):
        credential.claims["iss"] = written
        credential.claims["jti"] = f"{written}#1"
        credential.header["kid"] = written
        credential.subject["subject"]["O"] = "'s Heeren Loo"
        presented = await scene.verify(scene.presentation(credential), "eOverdracht-sender")
        assert presented.organisation_name == "'s Heeren Loo"
    credential.claims["iss"] = once.replace("%27", "%252527")
    credential.claims["jti"] = credential.header["kid"] = credential.claims["iss"]
    with pytest.raises(Refused, match="does not have what the did:x509 says of subject:O"):
        await scene.verify(scene.presentation(credential), "eOverdracht-sender")


@pytest.mark.parametrize(
    "paths",
    [
        [f"$.verifiableCredential[{n}]" for n in range(3)],
        [f"$.vp.verifiableCredential[{n}]" for n in range(3)],
        [f"$['vp']['verifiableCredential'][{n}]" for n in range(3)],
    ],
)
async def test_a_submission_says_which_credential_is_meant(paths: list[str]) -> None:
    scene = Scene.new()
    draft = scene.presentation(scene.x509(), scene.facility(), scene.dezi())
    assert (await scene.verify(draft, submission=scene.submission(*paths))).ura == URA
    nested = scene.submission(*paths)
    for entry in nested["descriptor_map"]:
        entry["path_nested"] = {"id": entry["id"], "path": entry["path"]}
        entry["path"] = "$"
    assert (await scene.verify(draft, submission=nested)).ura == URA


SUBMISSIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "is 'other', and 'pd_care_professional' was asked": lambda s: s.update(definition_id="other"),
    "descriptor_map is not a list": lambda s: s.update(descriptor_map={}),
    r"descriptor_map\[0\] is not of a descriptor": lambda s: s["descriptor_map"][0].update(id="x"),
    r"descriptor_map\[1\] names id_uzicert_uracredential a second time": lambda s: s["descriptor_map"][
        1
    ].update(id="id_uzicert_uracredential"),
    r"descriptor_map\[0\] has no path": lambda s: s["descriptor_map"][0].pop("path"),
    "does not lead to one credential": lambda s: s["descriptor_map"][0].update(
        path="$.verifiableCredential[7]"
    ),
    "cannot be read": lambda s: s["descriptor_map"][0].update(path="$..verifiableCredential"),
    "does not lead to a credential": lambda s: s["descriptor_map"][0].update(path="$"),
    "says format 'ldp_vc', and the credential is jwt_vc": lambda s: s["descriptor_map"][0].update(
        format="ldp_vc"
    ),
    r"names no credential for the descriptor id_dezi_user \(DeziUserCredential\)": lambda s: s[
        "descriptor_map"
    ].pop(),
    r"credential 2 \(HealthcareProviderRoleTypeCredential\) does not fit the descriptor id_uzicert": lambda s: (
        s["descriptor_map"][0].update(path="$.verifiableCredential[1]")
    ),
}


@pytest.mark.parametrize("reason", SUBMISSIONS)
async def test_a_wrong_submission_is_refused_with_what_is_wrong(reason: str) -> None:
    scene = Scene.new()
    told = scene.submission(*(f"$.verifiableCredential[{n}]" for n in range(3)))
    SUBMISSIONS[reason](told)
    with pytest.raises(Refused, match=reason):
        await scene.verify(scene.presentation(scene.x509(), scene.facility(), scene.dezi()), submission=told)


# -- the presentation ------------------------------------------------------------------------------------------

Change = Callable[[Draft], object]
PRESENTATION: dict[str, tuple[str, Change]] = {
    "no holder": ("presentation-holder", lambda d: (d.claims.pop("iss"), d.claims.pop("sub"))),
    "iss is another": ("presentation-holder", lambda d: d.claims.update(iss="did:web:other.example")),
    "sub is another": ("presentation-holder", lambda d: d.claims.update(sub="did:web:other.example")),
    "holder is another": (
        "presentation-holder",
        lambda d: d.claims["vp"].update(holder="did:web:other.example"),
    ),
    "holder is no text": ("presentation-holder", lambda d: d.claims.update(sub=["did:web:other.example"])),
    "kid of another": ("presentation-kid", lambda d: d.header.update(kid=f"{ISSUER}#i1")),
    "no kid": ("presentation-kid", lambda d: d.header.pop("kid")),
    "kid names no key": ("did-key", lambda d: d.header.update(kid=HOLDER)),
    "kid that is not there": ("did-key", lambda d: d.header.update(kid=f"{HOLDER}#h2")),
    "for another server": ("presentation-aud", lambda d: d.claims.update(aud=f"{AUDIENCE}2")),
    "for two servers": (
        "presentation-aud",
        lambda d: d.claims.update(aud=[AUDIENCE, "https://other.example"]),
    ),
    "for nobody": ("presentation-aud", lambda d: d.claims.pop("aud")),
    "not yet": ("jwt-early", lambda d: d.claims.update(nbf=seconds() + 20, exp=seconds() + 24)),
    "no longer": ("jwt-expired", lambda d: d.claims.update(nbf=seconds() - 20, exp=seconds() - 16)),
    "too long": ("presentation-too-long", lambda d: d.claims.update(exp=seconds() + 7)),
    "no end": ("jwt-time", lambda d: d.claims.pop("exp")),
    "no start": ("jwt-time", lambda d: d.claims.pop("nbf")),
    "end in words": ("jwt-time", lambda d: d.claims.update(exp="tomorrow")),
    "no jti": ("presentation-jti", lambda d: d.claims.pop("jti")),
    "no nonce": ("presentation-nonce", lambda d: d.claims.pop("nonce")),
    "nonce is a number": ("presentation-nonce", lambda d: d.claims.update(nonce=7)),
    "no vp": ("presentation-type", lambda d: d.claims.pop("vp")),
    "vp of another type": (
        "presentation-type",
        lambda d: d.claims["vp"].update(type=["VerifiableCredential"]),
    ),
    "too many": (
        "presentation-too-many",
        lambda d: d.claims["vp"].update(verifiableCredential=d.claims["vp"]["verifiableCredential"] * 7),
    ),
    "nothing in it": ("presentation-incomplete", lambda d: d.claims["vp"].update(verifiableCredential=[])),
    "signed by another": ("presentation-signature", lambda d: setattr(d, "key", ECKey.generate_key("P-256"))),
    "typ of something else": ("jwt-header", lambda d: d.header.update(typ="dpop+jwt")),
}


@pytest.mark.parametrize("what", PRESENTATION)
async def test_a_presentation_is_refused_for_one_thing_that_is_wrong_in_it(what: str) -> None:
    scene = Scene.new()
    draft = scene.presentation(scene.x509(), scene.facility(), scene.dezi())
    await scene.verify(draft)
    code, change = PRESENTATION[what]
    change(draft)
    with pytest.raises(Refused) as refused:
        await scene.verify(draft)
    assert refused.value.kind == code
    assert (refused.value.error, refused.value.status) == ("invalid_grant", 400)


async def test_an_assertion_may_live_longer_and_lack_a_nonce() -> None:
    scene = Scene.new()
    draft = scene.presentation(scene.x509())
    draft.claims |= {"exp": seconds() + 60}
    del draft.claims["nonce"]
    presented = await scene.verify(draft, "eOverdracht-sender", longest=60, nonce_needed=False)
    assert presented.nonce == ""


async def test_clocks_may_differ_by_five_seconds() -> None:
    scene = Scene.new()
    draft = scene.presentation(scene.x509())
    with time_machine.travel(now() + timedelta(seconds=9), tick=False):
        assert (await scene.verify(draft, "eOverdracht-sender")).ura == URA
    with (
        time_machine.travel(now() + timedelta(seconds=11), tick=False),
        pytest.raises(Refused, match="exp lies in the past"),
    ):
        await scene.verify(draft, "eOverdracht-sender")


async def test_a_presentation_with_a_json_ld_proof_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="JSON-LD proof is not supported: send a JWT"):
        await Scene.new().verify('{"@context": [], "type": "VerifiablePresentation"}')


async def test_a_did_that_cannot_be_resolved_is_told_apart_from_one_without_the_key() -> None:
    scene = Scene.new()
    draft = scene.presentation(scene.x509())
    page = next(address for address in scene.web.pages if "kliniek-oost" in address)
    scene.web.pages[page] = Unreachable("no answer came within 3 seconds")
    with pytest.raises(NotChecked, match="could not be resolved: no answer came") as away:
        await scene.verify(draft, "eOverdracht-sender")
    assert away.value.kind == "did-unresolved"
    scene.publish(HOLDER, scene.holder_key, verificationMethod=[])
    with pytest.raises(Refused, match="has no usable key '#h1'"):
        await scene.verify(draft, "eOverdracht-sender")
    scene.publish(HOLDER, scene.holder_key, id=ISSUER)
    with pytest.raises(NotChecked, match="is not the document of this DID"):
        await scene.verify(draft, "eOverdracht-sender")


async def test_every_refusal_is_one_of_the_token_endpoint() -> None:
    assert issubclass(Refused, OAuthError) and issubclass(NotChecked, OAuthError)
