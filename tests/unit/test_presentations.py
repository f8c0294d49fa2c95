"""Presentations against the verifier: what is taken, and for each condition what happens when only that one is gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from joserfc.jwk import ECKey
from tests.certificates import Authority, uzi_name
from tests.presenting import (
    AUDIENCE,
    FACILITY,
    HOLDER,
    ISSUER,
    STATUS_PAGE,
    URA,
    V2,
    Draft,
    Scene,
    encoded,
    seconds,
)

from schakel.generic.identity import OAuthError
from schakel.generic.identity.credentials import NotChecked, Refused
from schakel.generic.identity.credentials.web import Unreachable
from schakel.kernel.clock import now

BSN = "http://fhir.nl/fhir/NamingSystem/bsn|999900006"
UZI = "http://fhir.nl/fhir/NamingSystem/uzi"


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


# -- the organisation's own credential -------------------------------------------------------------------------


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
    other = Scene.new()
    draft = other.x509()
    return draft


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
    import base64
    import hashlib

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


async def test_a_healthcare_provider_credential_must_name_the_ura_of_its_certificate() -> None:
    scene = Scene.new()
    asked = scene.presentations().definitions.of(["eOverdracht-sender"]).json()
    text = str(asked).replace("X509Credential", "HealthcareProviderCredential")
    assert text != str(asked)
    draft = scene.x509()
    draft.claims["vc"]["type"] = ["VerifiableCredential", "HealthcareProviderCredential"]
    identifier = {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": URA}
    draft.claims["vc"]["credentialSubject"] = [
        {"id": HOLDER, "identifier": identifier, "name": "Kliniek Oost"}
    ]
    from schakel.generic.identity.credentials import Definition

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


# -- credentials of issuers ------------------------------------------------------------------------------------

ISSUED: dict[str, tuple[str, Change]] = {
    "issuer that is not trusted": ("credential-issuer", lambda d: d.claims.update(iss=HOLDER, jti="x")),
    "kid of another": ("credential-kid", lambda d: d.header.update(kid=f"{HOLDER}#h1")),
    "kid that is not there": ("did-key", lambda d: d.header.update(kid=f"{ISSUER}#i2")),
    "signed by another": ("credential-signature", lambda d: setattr(d, "key", ECKey.generate_key("P-256"))),
    "of another holder": (
        "credential-holder",
        lambda d: (d.claims.update(sub=ISSUER), d.subject.update(id=ISSUER)),
    ),
    "expired": ("jwt-expired", lambda d: d.claims.update(exp=seconds(-0.1))),
    "not yet": ("jwt-early", lambda d: d.claims.update(nbf=seconds(1))),
    "type that nobody knows": (
        "credential-type-unknown",
        lambda d: d.claims["vc"].update(type=["VerifiableCredential", "X"]),
    ),
    "no role": ("presentation-incomplete", lambda d: d.subject.pop("roleCodeNL")),
    "role that is no text": ("presentation-incomplete", lambda d: d.subject.update(roleCodeNL=7)),
}


@pytest.mark.parametrize("what", ISSUED)
async def test_a_credential_of_an_issuer_is_refused_for_one_thing_that_is_wrong_in_it(what: str) -> None:
    scene = Scene.new()
    code, change = ISSUED[what]
    draft = scene.facility()
    change(draft)
    with pytest.raises(Refused) as refused:
        await scene.verify(scene.presentation(scene.x509(), draft, scene.dezi()))
    assert refused.value.kind == code, refused.value.message
    assert refused.value.requester == URA, "the organisation was proved before"


async def test_an_issuer_key_that_is_for_logging_in_only_signs_no_credentials() -> None:
    scene = Scene.new()
    scene.publish(ISSUER, scene.issuer_key, assertionMethod=[])
    with pytest.raises(Refused, match="no usable key '#i1' for assertionMethod"):
        await scene.verify(scene.presentation(scene.x509(), scene.facility(), scene.dezi()))


def _entry(place: int = 94_567, **changed: Any) -> dict[str, Any]:
    return {
        "id": f"{STATUS_PAGE}#{place}",
        "type": "BitstringStatusListEntry",
        "statusPurpose": "revocation",
        "statusListIndex": str(place),
        "statusListCredential": STATUS_PAGE,
        **changed,
    }


async def _status(scene: Scene, entry: Any) -> str:
    """'' when a credential with this status is taken, else the code of the refusal."""
    draft = scene.facility()
    draft.claims["vc"]["credentialStatus"] = entry
    try:
        await scene.verify(scene.presentation(scene.x509(), draft, scene.dezi()))
    except (Refused, NotChecked) as error:
        return error.kind
    return ""


async def test_a_credential_that_its_issuer_withdrew_is_refused_at_once() -> None:
    scene = Scene.new()
    scene.status_list()
    assert await _status(scene, _entry()) == ""
    scene.status_list(94_566, 94_568)
    assert await _status(scene, [_entry()]) == ""
    scene.status_list(94_567)
    assert await _status(scene, _entry()) == "credential-revoked"
    scene.status_list(94_567, purpose="suspension")
    assert await _status(scene, _entry(statusPurpose="suspension")) == "credential-suspended"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda s: s.web.pages.pop(STATUS_PAGE), "status-unknown"),
        (lambda s: s.web.pages.update({STATUS_PAGE: b"<html>"}), "status-unknown"),
        (lambda s: s.status_list(bits=1024), "status-unknown"),
        (lambda s: s.status_list(purpose="suspension"), "status-unknown"),
        (lambda s: s.status_list(iss=HOLDER, exp=seconds(-1)), "status-unknown"),
        (lambda s: s.status_list(signer=s.holder_key), "status-unknown"),
    ],
)
async def test_a_status_that_cannot_be_checked_is_not_taken_and_not_called_withdrawn(
    change: Callable[[Scene], object], code: str
) -> None:
    scene = Scene.new()
    scene.status_list()
    draft = scene.facility()
    draft.claims["vc"]["credentialStatus"] = _entry()
    presentation = scene.presentation(scene.x509(), draft, scene.dezi())
    change(scene)
    with pytest.raises(NotChecked) as unknown:
        await scene.verify(presentation)
    assert unknown.value.kind == code


@pytest.mark.parametrize(
    "changed",
    [{"statusListIndex": "-1"}, {"statusListIndex": "999999"}, {"statusSize": 2}, {"statusPurpose": None}],
)
async def test_a_status_that_names_no_place_in_its_list_is_refused(changed: dict[str, Any]) -> None:
    scene = Scene.new()
    scene.status_list()
    assert await _status(scene, _entry(**changed)) == "status-malformed"


# -- professionals ---------------------------------------------------------------------------------------------


def _differing(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(credential: dict[str, Any]) -> None:
        *steps, last = path.split(".")
        here = credential
        for step in steps:
            here = here[step]
        here[last] = value

    return change


DEZI: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    **{
        f"{path} differs": ("dezi-difference", _differing(path, "900000009"))
        for path in (
            "id",
            "issuer",
            "credentialSubject.identifier",
            "credentialSubject.name",
            "credentialSubject.@type",
            *(
                f"credentialSubject.employee.{name}"
                for name in (
                    "identifier", "initials", "surnamePrefix", "surname", "role", "role_name", "role_registry", "extra",
                )
            ),
        )
    },
    "date differs": ("dezi-difference", _differing("expirationDate", "2090-01-01T00:00:00Z")),
    "no date": ("dezi-difference", lambda c: c.pop("issuanceDate")),
    "date in words": ("credential-date", _differing("issuanceDate", "yesterday")),
    "no proof": ("dezi-proof", lambda c: c.pop("proof")),
    "older proof": ("dezi-proof", _differing("proof.type", "DeziIDJWT2024")),
    "two proofs": ("dezi-proof", lambda c: c.update(proof=[c["proof"], c["proof"]])),
    "no employee": ("dezi-difference", lambda c: c["credentialSubject"].pop("employee")),
}  # fmt: skip


@pytest.mark.parametrize("what", DEZI)
async def test_a_credential_around_a_statement_of_dezi_may_differ_from_it_in_nothing(what: str) -> None:
    scene = Scene.new()
    code, change = DEZI[what]
    credential = scene.dezi()
    change(credential)
    with pytest.raises(Refused) as refused:
        await scene.verify(scene.presentation(scene.x509(), scene.facility(), credential))
    assert refused.value.kind == code, refused.value.message
    assert "credential 3: DeziUserCredential: " in refused.value.message


async def test_a_statement_that_dezi_did_not_sign_is_refused() -> None:
    scene = Scene.new()
    credential = scene.dezi()
    draft = scene.statement()
    draft.key = ECKey.generate_key("P-256")
    credential["proof"]["jwt"] = draft.sign()
    with pytest.raises(Refused, match="not signed by Dezi"):
        await scene.verify(scene.presentation(scene.x509(), scene.facility(), credential))


async def test_a_professional_of_another_organisation_is_refused() -> None:
    scene = Scene.new()
    other = scene.dezi(abonnee_nummer="33333333")
    with pytest.raises(
        Refused, match="URA 22222222 in X509Credential and URA 33333333 in DeziUserCredential"
    ):
        await scene.verify(scene.presentation(scene.x509(), scene.facility(), other))


async def test_a_professional_without_the_organisation_is_refused_whatever_is_asked() -> None:
    scene = Scene.new()
    from schakel.generic.identity.credentials import Definition

    only = Definition.read(
        {
            "id": "d",
            "input_descriptors": [
                {
                    "id": "u",
                    "constraints": {
                        "fields": [{"path": ["$.type"], "filter": {"const": "DeziUserCredential"}}]
                    },
                }
            ],
        }
    )
    with pytest.raises(Refused, match="bound to nobody"):
        await scene.verify(scene.presentation(scene.dezi()), only)
    await scene.verify(scene.presentation(scene.x509(), scene.dezi()), only)


async def test_two_professionals_are_refused() -> None:
    scene = Scene.new()
    with pytest.raises(Refused, match="two credentials of a professional"):
        await scene.verify(scene.presentation(scene.x509(), scene.facility(), scene.dezi(), scene.dezi()))


def _employee(**changed: Any) -> dict[str, Any]:
    subject = {"id": HOLDER, "identifier": "account-7", "name": "K. Bakker", "roleName": "30.000"}
    return {
        "@context": [V2],
        "type": ["VerifiableCredential", "NutsEmployeeCredential"],
        "issuer": HOLDER,
        "issuanceDate": now().isoformat(),
        "credentialSubject": subject,
        **changed,
    }


async def test_what_an_organisation_says_of_its_own_professional_has_the_low_level() -> None:
    scene = Scene.new()
    presented = await scene.verify(scene.presentation(scene.x509(), _employee()), "eOverdracht-sender")
    assert presented.user is not None and presented.user.name == "K. Bakker"
    assert presented.assurance == "http://eidas.europa.eu/LoA/low"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"issuer": ISSUER}, "credential-issuer"),
        ({"credentialSubject": {"id": ISSUER}}, "credential-holder"),
        ({"expirationDate": "2020-01-01T00:00:00Z"}, "credential-expired"),
        ({"issuanceDate": "2090-01-01T00:00:00Z"}, "credential-early"),
        ({"issuanceDate": "2020-01-01"}, "credential-date"),
    ],
)
async def test_a_self_attested_credential_must_be_of_the_holder_and_of_now(
    changed: dict[str, Any], code: str
) -> None:
    scene = Scene.new()
    with pytest.raises(Refused) as refused:
        await scene.verify(scene.presentation(scene.x509(), _employee(**changed)), "eOverdracht-sender")
    assert refused.value.kind == code


async def test_an_object_with_a_json_ld_proof_is_refused_by_name_for_other_types() -> None:
    scene = Scene.new()
    draft = scene.facility().claims
    told = {**draft["vc"], "issuer": ISSUER, "proof": {"type": "JsonWebSignature2020"}}
    with pytest.raises(Refused, match="not supported: send a JWT"):
        await scene.verify(scene.presentation(scene.x509(), told, scene.dezi()))


# -- medication: enrolment and delegation by the card of a professional ----------------------------------------


def _enrolment(scene: Scene, **card: Any) -> Draft:
    subject = {"id": HOLDER, "patientId": BSN, "registeredBy": f"{UZI}|900000009"}
    return scene.card("PatientEnrollmentCredential", subject, **card)


def _delegation(scene: Scene, **card: Any) -> Draft:
    subject = {
        "id": HOLDER,
        "registeredBy": f"{UZI}|900000009",
        "roleCode": "urn:oid:2.16.840.1.113883.2.4.15.111|01.015",
        "facilityType": "Z3",
    }
    return scene.card("HealthCareProfessionalDelegationCredential", subject, **card)


async def test_a_professional_enrols_a_patient_and_lets_the_organisation_ask() -> None:
    scene = Scene.new()
    presented = await scene.verify(
        scene.presentation(scene.x509(), _enrolment(scene), _delegation(scene)), "medicatieoverdracht-gf"
    )
    assert presented.patient == "999900006"
    assert presented.facility_type == "Z3"
    assert presented.user is not None
    assert (presented.user.id, presented.user.name, presented.user.role) == (
        "900000009",
        "J. de Vries",
        "01.015",
    )
    assert presented.assurance == "", "who acts did not prove who they are"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda s, e, d: e.subject.update(registeredBy=f"{UZI}|900000010"), "credential-subject"),
        (lambda s, e, d: d.subject.update(registeredBy=f"{UZI}|900000010"), "credential-subject"),
        (lambda s, e, d: d.subject.update(roleCode="01.016"), "credential-subject"),
        (lambda s, e, d: e.subject.update(patientId=BSN[:-1] + "7"), "presentation-patient"),
        (lambda s, e, d: e.subject.update(patientId="999900006"), "presentation-incomplete"),
        (
            lambda s, e, d: e.header.update(_enrolment(s, card="S", role="00.000").header),
            "credential-signature",
        ),
    ],
)
async def test_an_enrolment_or_delegation_with_one_thing_wrong_is_refused(
    change: Callable[[Scene, Draft, Draft], object], code: str
) -> None:
    scene = Scene.new()
    enrolment, delegation = _enrolment(scene), _delegation(scene)
    change(scene, enrolment, delegation)
    if code == "credential-signature":
        enrolment.header["kid"] = enrolment.claims["iss"]
    with pytest.raises(Refused) as refused:
        await scene.verify(scene.presentation(scene.x509(), enrolment, delegation), "medicatieoverdracht-gf")
    assert refused.value.kind == code, refused.value.message


async def test_a_server_certificate_is_no_card_of_a_professional() -> None:
    scene = Scene.new()
    draft = _enrolment(scene, card="S", role="00.000")
    with pytest.raises(Refused, match="not signed with the UZI card of a professional"):
        await scene.verify(
            scene.presentation(scene.x509(), draft, _delegation(scene)), "medicatieoverdracht-gf"
        )


# -- service providers -----------------------------------------------------------------------------------------


async def test_a_service_provider_asks_for_the_organisation_that_delegated_to_it() -> None:
    scene = Scene.new()
    scene.issuers["ServiceProviderCredential"] = frozenset({ISSUER})
    client = await scene.verify(scene.presentation(scene.x509()), "eOverdracht-sender")
    vendor, key = "did:web:vendor.example", ECKey.generate_key("P-256", {"kid": "v1"})
    scene.publish(vendor, key)

    def draft(by: str = HOLDER, ura: str = URA) -> Draft:
        own = scene.issued("ServiceProviderCredential", {"id": vendor, "name": "Vendor"})
        delegated = {"id": vendor, "hasDelegation": {"delegatedBy": {"identifier": ura}}}
        delegation = scene.issued("ServiceProviderDelegationCredential", delegated)
        delegation.claims |= {"iss": by}
        delegation.header["kid"], delegation.key = f"{HOLDER}#h1", scene.holder_key
        for one in (own, delegation):
            one.claims["sub"] = vendor
        made = scene.presentation(own, delegation)
        made.claims |= {"iss": vendor, "sub": vendor}
        made.header["kid"], made.key = f"{vendor}#v1", key
        return made

    asked = scene.presentations().definitions.client
    presented = await scene.verify(draft(), asked, client=client)
    assert presented.fields == {"organization_ura": URA}
    assert presented.ura == "", "a service provider is not the organisation"
    with pytest.raises(Refused, match="is not the URA of the organisation on whose behalf is asked"):
        await scene.verify(draft(ura="33333333"), asked, client=client)
    with pytest.raises(Refused, match="is not trusted for ServiceProviderDelegationCredential"):
        await scene.verify(draft(by=ISSUER), asked, client=client)
    with pytest.raises(Refused, match="is not trusted for ServiceProviderDelegationCredential"):
        await scene.verify(draft(), asked)


async def test_every_refusal_is_one_of_the_token_endpoint() -> None:
    assert issubclass(Refused, OAuthError) and issubclass(NotChecked, OAuthError)
