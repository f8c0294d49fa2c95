"""Credentials of issuers that are trusted, and their status: what is taken, and what one thing that is wrong does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey
from tests.presenting import (
    HOLDER,
    ISSUER,
    STATUS_PAGE,
    URA,
    Draft,
    Scene,
    seconds,
)

from schakel.generic.identity.credentials import NotChecked, Refused

Change = Callable[[Draft], object]

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
        (lambda s: s.status_list(exp=seconds(-1)), "status-unknown"),
        (lambda s: s.status_list(until="2020-01-01T00:00:00Z"), "status-unknown"),
        (lambda s: s.status_list(until="tomorrow"), "status-unknown"),
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
