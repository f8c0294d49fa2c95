"""Responders (OCSP) over HTTP: only a good, fresh answer about this certificate counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from tests.certificates import Authority, Issued
from tests.withdrawals import REVOKED, UNKNOWN, Desk, Said, answers, crl, desk, responder

from schakel.generic.identity.certificates import (
    CertificateRefused,
    Mode,
    Revocation,
    RevocationRules,
    RevocationUnknown,
    Trust,
)

ROOT = Authority.new("Root")
OTHER = Authority.new("Other")


class Region:
    """A desk, and a certificate of the root that names the desk's responder and list."""

    def __init__(self, here: Desk) -> None:
        self.desk = here
        self.leaf = ROOT.issue("node.example", ocsp=f"{here.address}/ocsp", crl=f"{here.address}/root.crl")
        self.neighbour = ROOT.issue("neighbour.example")

    def rules(self, **changes: object) -> RevocationRules:
        given = {"mode": Mode.OCSP, "sources": (self.desk.address,), "timeout": 0.5, "pause": 0, **changes}
        return RevocationRules(**given)  # type: ignore[arg-type]

    async def check(self, one: Issued | None = None, **changes: object) -> None:
        async with Revocation.open(self.rules(**changes)) as revocation:
            await self.asked_of(revocation, one)

    async def asked_of(self, revocation: Revocation, one: Issued | None = None) -> None:
        await revocation.check(Trust([ROOT.certificate]).verify([(one or self.leaf).certificate]))


@pytest_asyncio.fixture(loop_scope="session")
async def region() -> AsyncIterator[Region]:
    async with desk() as here:
        yield Region(here)


async def test_the_issuer_or_its_responder_says_that_a_certificate_counts(region: Region) -> None:
    for signer in (None, responder(ROOT)):
        region.desk.says["/ocsp"] = answers(ROOT, region.leaf, signer)
        await region.check()
    assert region.desk.asked == ["/ocsp", "/ocsp"]


async def test_a_withdrawn_certificate_is_refused(region: Region) -> None:
    for signer in (None, responder(ROOT)):
        region.desk.says["/ocsp"] = answers(ROOT, region.leaf, signer, REVOKED)
        with pytest.raises(CertificateRefused) as refused:
            await region.check()
        assert refused.value.kind == "certificate-revoked"


def failed(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def broken(region: Region) -> Said:
    """An answer whose last bytes, of the signature, were changed."""
    make = answers(ROOT, region.leaf)
    return lambda asked: make(asked)[:-4] + b"\1\2\3\4"


UNUSABLE: dict[str, tuple[Callable[[Region], Said], str]] = {
    "not known there": (lambda r: answers(ROOT, r.leaf, status=UNKNOWN), "does not know the certificate"),
    "expired": (lambda r: answers(ROOT, r.leaf, hours=(-2, -1)), "the answer has expired"),
    "of a later time": (lambda r: answers(ROOT, r.leaf, hours=(1, 2)), "of a later time"),
    "about another certificate": (lambda r: answers(ROOT, r.neighbour), "not about the certificate"),
    "about another authority": (lambda r: answers(OTHER, r.leaf, ROOT), "not about the certificate"),
    "without our nonce": (lambda r: answers(ROOT, r.leaf, nonce=False), "does not repeat our nonce"),
    "of a stranger": (lambda r: answers(ROOT, r.leaf, OTHER), "not a responder"),
    "of another's responder": (
        lambda r: answers(ROOT, r.leaf, responder(OTHER)),
        "a responder of another authority",
    ),
    "of one who is no responder": (
        lambda r: answers(ROOT, r.leaf, responder(ROOT, may=False)),
        "is not a responder",
    ),
    "of a responder that expired": (
        lambda r: answers(ROOT, r.leaf, responder(ROOT, days=(-10, -1))),
        "certificate of the responder is not valid",
    ),
    "changed on the way": (broken, "not signed by the issuer or its responder"),
    "later": (lambda r: failed(ocsp.OCSPResponseStatus.TRY_LATER), "answers try_later"),
    "refused": (lambda r: failed(ocsp.OCSPResponseStatus.UNAUTHORIZED), "answers unauthorized"),
    "no answer": (lambda r: b"<html>", "cannot be read"),
    "absent": (lambda r: 404, "status 404"),
    "failing": (lambda r: 503, "status 503"),
}


@pytest.mark.parametrize("what", UNUSABLE)
async def test_what_is_no_good_answer_says_nothing(region: Region, what: str) -> None:
    make, why = UNUSABLE[what]
    region.desk.says["/ocsp"] = make(region)
    with pytest.raises(RevocationUnknown) as unknown:
        await region.check()
    assert unknown.value.status == 503 and why in unknown.value.why


async def test_an_answer_that_was_given_before_says_nothing(region: Region) -> None:
    kept: list[bytes] = []
    make = answers(ROOT, region.leaf)

    def recorded(asked: bytes) -> bytes:
        kept.append(make(asked))
        return kept[0]

    region.desk.says["/ocsp"] = recorded
    async with Revocation.open(region.rules(keep=0)) as revocation:
        await region.asked_of(revocation)
        with pytest.raises(RevocationUnknown) as unknown:
            await region.asked_of(revocation)
    assert "its nonce is not ours" in unknown.value.why


async def test_a_responder_without_nonces_is_taken_only_when_that_is_set(region: Region) -> None:
    region.desk.says["/ocsp"] = answers(ROOT, region.leaf, nonce=False)
    await region.check(nonce=False)


async def test_a_responder_that_may_be_withdrawn_is_looked_up_itself(region: Region) -> None:
    made = responder(ROOT, checked=f"{region.desk.address}/root.crl")
    region.desk.says = {"/ocsp": answers(ROOT, region.leaf, made), "/root.crl": crl(ROOT)}
    await region.check()
    region.desk.says["/root.crl"] = crl(ROOT, [made])
    with pytest.raises(RevocationUnknown) as unknown:
        await region.check()
    assert "certificate of the responder has been revoked" in unknown.value.why
    region.desk.says["/root.crl"] = 404
    with pytest.raises(RevocationUnknown):
        await region.check()


async def test_an_answer_is_kept_for_a_while(region: Region) -> None:
    region.desk.says["/ocsp"] = answers(ROOT, region.leaf)
    async with Revocation.open(region.rules()) as revocation:
        await region.asked_of(revocation)
        region.desk.says["/ocsp"] = answers(ROOT, region.leaf, status=REVOKED)
        await region.asked_of(revocation)
    async with Revocation.open(region.rules(keep=0)) as revocation:
        with pytest.raises(CertificateRefused):
            await region.asked_of(revocation)
    assert len(region.desk.asked) == 2


async def test_a_certificate_cannot_choose_whom_we_ask(region: Region) -> None:
    leaf = ROOT.issue("node.example", ocsp="http://127.0.0.1:9/ocsp")
    with pytest.raises(RevocationUnknown) as unknown:
        await region.check(leaf)
    assert "no responder of its issuer may be asked here" in unknown.value.why
    region.desk.says["/fixed"] = answers(ROOT, leaf)
    await region.check(leaf, responders=(f"{region.desk.address}/fixed",))


async def test_either_asks_the_responder_when_no_list_can_be_had(region: Region) -> None:
    region.desk.says = {"/ocsp": answers(ROOT, region.leaf)}
    await region.check(mode=Mode.EITHER)
    region.desk.says["/ocsp"] = answers(ROOT, region.leaf, status=REVOKED)
    with pytest.raises(CertificateRefused):
        await region.check(mode=Mode.EITHER)
    region.desk.says = {"/ocsp": 503}
    with pytest.raises(RevocationUnknown) as unknown:
        await region.check(mode=Mode.EITHER)
    assert "/root.crl: status 404" in unknown.value.why and "/ocsp: status 503" in unknown.value.why
    region.desk.says = {"/ocsp": answers(ROOT, region.leaf), "/root.crl": crl(ROOT, [region.leaf])}
    with pytest.raises(CertificateRefused):
        await region.check(mode=Mode.EITHER)
