"""Professionals, patients and service providers in a presentation: Dezi, the own word, cards, delegations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey
from tests.presenting import (
    HOLDER,
    ISSUER,
    URA,
    V2,
    Draft,
    Scene,
)

from schakel.generic.identity.credentials import Definition, Refused
from schakel.kernel.clock import now

BSN = "http://fhir.nl/fhir/NamingSystem/bsn|999900006"
UZI = "http://fhir.nl/fhir/NamingSystem/uzi"


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
    "date before the first": ("dezi-difference", _differing("issuanceDate", "0001-01-01T00:00:00+14:00")),
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


@pytest.mark.parametrize("subject", [{}, {"id": HOLDER}], ids=["nobody", "the holder"])
@pytest.mark.parametrize("version", [1, 2])
async def test_a_statement_of_dezi_may_have_its_presenter_as_subject(
    version: int, subject: dict[str, str]
) -> None:
    scene = Scene.new()
    credential = scene.dezi(version=version)
    credential["credentialSubject"] |= subject
    presented = await scene.verify(scene.presentation(scene.x509(), scene.facility(), credential))
    assert presented.user is not None and presented.user.id == "900000008"


@pytest.mark.parametrize("subject", [ISSUER, f"{HOLDER}x", "", None, 7])
async def test_a_statement_of_dezi_with_another_subject_than_its_presenter_is_refused(
    subject: object,
) -> None:
    scene = Scene.new()
    credential = scene.dezi()
    credential["credentialSubject"]["id"] = subject
    with pytest.raises(Refused) as refused:
        await scene.verify(scene.presentation(scene.x509(), scene.facility(), credential))
    assert refused.value.kind == "credential-holder"
    assert refused.value.expression == "vp.verifiableCredential[2].credentialSubject.id"


async def test_a_credential_around_a_statement_needs_no_id_of_its_own() -> None:
    scene = Scene.new()
    credential = scene.dezi(version=2)
    del credential["id"]
    assert (await scene.verify(scene.presentation(scene.x509(), scene.facility(), credential))).user


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
    with pytest.raises(Refused, match="2 credentials of a professional"):
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


async def test_two_delegations_are_refused_whoever_the_submission_names() -> None:
    scene = Scene.new()
    other = _delegation(scene, role="01.010", number="900000010")
    other.subject["registeredBy"], other.subject["roleCode"] = f"{UZI}|900000010", "01.010"
    with pytest.raises(Refused, match="2 delegations: one is needed") as refused:
        await scene.verify(
            scene.presentation(scene.x509(), _enrolment(scene), _delegation(scene), other),
            "medicatieoverdracht-gf",
        )
    assert refused.value.kind == "presentation-user"


async def test_an_issuer_that_is_trusted_may_say_in_whose_name_is_asked() -> None:
    scene = Scene.new()
    scene.issuers["HealthCareProfessionalDelegationCredential"] = frozenset({ISSUER})
    subject = {"id": HOLDER, "registeredBy": f"{UZI}|900000009", "roleCode": "01.015", "facilityType": "Z3"}
    delegation = scene.issued("HealthCareProfessionalDelegationCredential", subject)
    presented = await scene.verify(
        scene.presentation(scene.x509(), _enrolment(scene), delegation), "medicatieoverdracht-gf"
    )
    assert presented.user is not None
    assert (presented.user.id, presented.user.role, presented.assurance) == ("900000009", "01.015", "")
    with pytest.raises(Refused, match=r"its issuer .* is not trusted"):
        await scene.verify(
            scene.presentation(scene.x509(), _enrolment(scene), _delegation(scene)), "medicatieoverdracht-gf"
        )


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

    def draft(by: str = HOLDER, identifier: object = URA, **other: Any) -> Draft:
        own = scene.issued("ServiceProviderCredential", {"id": vendor, "name": "Vendor"})
        named = other or {"delegatedBy": {"identifier": identifier}}
        delegated = {"id": vendor, "hasDelegation": named}
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
    system = "http://fhir.nl/fhir/NamingSystem/ura"
    whole, other = {"system": system, "value": URA}, {"system": system, "value": "33333333"}
    for form in (whole, [whole], f"{system}|{URA}", {"value": URA}):
        assert (await scene.verify(draft(identifier=form), asked, client=client)).fields == presented.fields
    newer = draft(issuedBy={"identifier": whole})
    assert (await scene.verify(newer, asked, client=client)).fields == presented.fields
    wrong = [
        *(draft(identifier=form) for form in ("33333333", other, [other], [whole, other], [], None)),
        draft(identifier={**whole, "system": "urn:oid:1"}),
        draft(issuedBy={"identifier": other}),
        draft(delegatedBy={"identifier": URA}, issuedBy={"identifier": other}),
        draft(scope={}),
    ]
    for one in wrong:
        with pytest.raises(Refused, match="is not the URA of the organisation on whose behalf is asked"):
            await scene.verify(one, asked, client=client)
    with pytest.raises(Refused, match="is not trusted for ServiceProviderDelegationCredential"):
        await scene.verify(draft(by=ISSUER), asked, client=client)
    with pytest.raises(Refused, match="is not trusted for ServiceProviderDelegationCredential"):
        await scene.verify(draft(), asked)
