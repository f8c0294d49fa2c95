"""The open question over TLS: our client and the stand-in, made from the same facts by different hands; and each thing
that the stand-in wants of a question."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from lxml import etree
from tests.certificates import new_key
from tests.mitz import BSN, HOLDER, OPEN_QUESTION, OTHER_BSN, REQUESTER, Trusting, facility, stand_in

from schakel.facilities import Facility, FacilityAway
from schakel.generic.consent.mitz import AnswerUnusable, Mitz, PermittedHolder, Signing
from schakel.generic.consent.mitz.client import HANDBOOK_TYPE, OPEN
from schakel.generic.consent.mitz.open_question import written
from schakel.generic.identity import User
from schakel.kernel.clock import new_id, now
from schakel.kernel.values import Bsn
from schakel.network import Locator, PermissionFinder, Wanted
from schakel_national.mitz.register import Register, Subscription
from schakel_national.mitz.systems import Told, register

PHARMACY = "33333333"
GATEWAY, SOURCE = "urn:oid:2.16.840.1.113883.2.4.6.6.1", "urn:oid:2.16.840.1.113883.2.4.6.6.90000017"
ASSERTION = "{urn:oasis:names:tc:SAML:2.0:assertion}Assertion"
NOBODY: tuple[PermittedHolder, ...] = ()

TOLD = f"""
endpoints = ["https://127.0.0.1:"]
[[choices]]
patient = "{BSN}"
holder = "GGC002"
requester = "RPZAC001"
allowed = true
"""
"""GPs may have all data of the patient; a second patient chose nothing."""


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return Trusting.made(tmp_path_factory.mktemp("mitz"))


def subscribed(patient: str = BSN, ura: str = HOLDER, kind: str = "V6", endpoint: str = "") -> Subscription:
    return Subscription("", patient, ura, kind, f"https://127.0.0.1:1/{endpoint}", "x", GATEWAY, SOURCE)


def new_message(signing: Signing | None = None) -> tuple[str, bytes]:
    """A message of ours, by its id, as it goes out."""
    name = new_id()
    return name, written(OPEN_QUESTION, f"urn:uuid:{name}", "https://mitz.example/x", signing)


async def post(connection: Facility, message: str, body: bytes, **headers: str) -> tuple[int, str]:
    """What the stand-in answers to it: the status, and the text."""
    told = {"Content-Type": HANDBOOK_TYPE, "X-Request-Id": message, **headers}
    answer = await connection.send("POST", OPEN, body=body, headers=told)
    return answer.status, answer.body.decode()


def wrapped(sent: bytes, *, beside: bool) -> bytes:
    """A signed question with an assertion of somebody else `beside` the signed one, or around it."""
    envelope = etree.fromstring(sent)
    [right] = envelope.iter(ASSERTION)
    security = right.getparent()
    assert security is not None
    forged = deepcopy(right)
    for one in forged.iter("{*}consulting-facility-type-code"):
        one.set("code", "V6")
    security.insert(0, forged)
    if not beside:
        place = forged.find("{*}Subject")
        assert place is not None
        place.append(right)
    return etree.tostring(envelope)


@asynccontextmanager
async def mitz(trusting: Trusting, folder: Path, more: str = "") -> AsyncIterator[tuple[Facility, Register]]:
    """Our connection to a stand-in, and the register of that."""
    async with (
        stand_in(trusting, folder, more + TOLD) as port,
        facility(trusting, port) as connection,
    ):
        connection.base = connection.base.removesuffix("/mitz")
        kept = register(folder, Told({}))
        kept.subscribe(subscribed())
        yield connection, kept


async def test_a_holder_with_a_subscription_whose_data_may_be_had_is_named(
    trusting: Trusting, tmp_path: Path
) -> None:
    async with mitz(trusting, tmp_path) as (connection, kept):
        client = Mitz(connection)
        assert await client.holders(OPEN_QUESTION) == (PermittedHolder(HOLDER, ("GGC002",)),)
        kept.subscribe(subscribed(ura=PHARMACY, kind="J8"))
        kept.subscribe(subscribed(endpoint="another-address"))
        assert await client.holders(replace(OPEN_QUESTION, mandated="900000009")) == (
            PermittedHolder(HOLDER, ("GGC002",)),
            PermittedHolder(PHARMACY, ("GGC013",)),
        )


async def test_nobody_is_named_without_a_subscription_or_without_a_permission(
    trusting: Trusting, tmp_path: Path
) -> None:
    async with mitz(trusting, tmp_path) as (connection, kept):
        client = Mitz(connection)
        assert await client.holders(replace(OPEN_QUESTION, requester_type="V6")) == NOBODY
        assert await client.holders(replace(OPEN_QUESTION, patient=OTHER_BSN)) == NOBODY
        kept.subscribe(subscribed(OTHER_BSN))
        assert await client.holders(replace(OPEN_QUESTION, patient=OTHER_BSN)) == NOBODY
        kept.choose(OTHER_BSN, "GGC002", {"RPZAC001": True})
        assert await client.holders(replace(OPEN_QUESTION, patient=OTHER_BSN)) != NOBODY
        assert await client.holders(replace(OPEN_QUESTION, purpose="HMARKT")) == NOBODY


async def test_a_choice_that_was_withdrawn_or_turned_names_the_holder_no_more(
    trusting: Trusting, tmp_path: Path
) -> None:
    async with mitz(trusting, tmp_path) as (connection, kept):
        client = Mitz(connection)
        kept.choose(BSN, HOLDER, {"RPZAC001": False})
        assert await client.holders(OPEN_QUESTION) == NOBODY
        kept.choose(BSN, HOLDER, {"RPZAC001": None})
        assert await client.holders(OPEN_QUESTION) != NOBODY
        kept.choose(BSN, "GGC002", {"RPZAC001": None})
        assert await client.holders(OPEN_QUESTION) == NOBODY


async def test_a_client_that_is_not_on_the_list_is_told_nothing(trusting: Trusting, tmp_path: Path) -> None:
    other = f'clients = ["{"0" * 64}"]\n'
    async with mitz(trusting, tmp_path, other) as (connection, _):
        with pytest.raises(AnswerUnusable, match="403"):
            await Mitz(connection).holders(OPEN_QUESTION)
        port = int(connection.base.rpartition(":")[2])
        async with facility(trusting, port, certificate=False) as bare:
            with pytest.raises(FacilityAway):
                await Mitz(bare).holders(OPEN_QUESTION)


async def test_a_signature_is_checked_and_can_be_required(trusting: Trusting, tmp_path: Path) -> None:
    signing = Signing.read(trusting.client.key, trusting.client.certificate)
    async with mitz(trusting, tmp_path, "signed = true\n") as (connection, _):
        assert await Mitz(connection, signing).holders(OPEN_QUESTION) != NOBODY
        with pytest.raises(AnswerUnusable, match="400"):
            await Mitz(connection).holders(OPEN_QUESTION)
        message, sent = new_message(signing)
        for forged, why in (
            (sent.replace(b'code="Z3"', b'code="V6"'), "signature"),
            (sent.replace(b' ID="_', b' ID="_x'), "signature"),
            (re.sub(rb"(<ds:SignatureValue>\s*)....", rb"\1AAAA", sent), "signature"),
            (wrapped(sent, beside=True), "Assertion must be there once"),
            (wrapped(sent, beside=False), "signature"),
        ):
            assert forged != sent
            status, said = await post(connection, message, forged)
            assert (status, why in said) == (400, True), said
        assert (await post(connection, message, sent))[0] == 200


async def test_a_signature_of_a_stranger_is_none(trusting: Trusting, tmp_path: Path) -> None:
    stranger = trusting.authority.issue("stranger", key=new_key(2048)).write(tmp_path, "stranger")
    signing = Signing.read(stranger.key, stranger.certificate)
    ours = x509.load_pem_x509_certificate(trusting.client.certificate.read_bytes()).fingerprint(
        hashes.SHA256()
    )
    async with mitz(trusting, tmp_path, f'clients = ["{ours.hex()}"]\n') as (connection, _):
        assert await Mitz(connection).holders(OPEN_QUESTION) != NOBODY
        message, sent = new_message(signing)
        status, said = await post(connection, message, sent)
        assert (status, "certificate of the signature" in said) == (400, True)


# -- what the stand-in wants of a question ------------------------------------------------------------------------


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda body: body.replace(old, new)


def without(attribute: str) -> Callable[[str], str]:
    pattern = f'<saml2:Attribute Name="[^"]*{attribute}">.*?</saml2:Attribute>'
    return lambda body: re.sub(pattern, "", body)


def twice(attribute: str) -> Callable[[str], str]:
    pattern = f'(<saml2:Attribute Name="[^"]*{attribute}">.*?</saml2:Attribute>)'
    return lambda body: re.sub(pattern, r"\1\1", body)


ATTRIBUTES = (
    "subject:role",
    "provider-identifier",
    "provider-institution",
    "consulting-healthcare-facility-type-code",
    "purposeofuse",
)
BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "a document type": (lambda body: body.replace("<S:Env", "<!DOCTYPE x><S:Env", 1), "document type"),
    "another action": (swap("2009:PatientLocationQuery<", "2009:Other<"), "wsa:Action"),
    "no security": (swap("wsse:Security", "wsse:Insecurity"), "Security must be there once"),
    "no assertion": (swap("saml2:Assertion", "saml2:Claim"), "Assertion must be there once"),
    "another version": (swap('Version="2.0"', 'Version="1.1"'), "Version"),
    "a short id": (lambda body: re.sub(' ID="[^"]*"', ' ID="_1"', body), "Assertion.ID"),
    "no issuer": (swap("saml2:Issuer", "saml2:Writer"), "Issuer must be there once"),
    "the issuer is another": (swap(f"1007.3.3.{REQUESTER}", f"1007.3.3.{HOLDER}"), "Issuer is not"),
    "the issuer is no URA": (swap("urn:oid:2.16.528.1.1007.3.3.", "https://"), "Issuer is not"),
    "no bearer": (swap("cm:bearer", "cm:holder-of-key"), "SubjectConfirmation.Method"),
    "no subject": (swap("saml2:Subject>", "saml2:Object>"), "Subject must be there once"),
    "no conditions": (swap("saml2:Conditions", "saml2:Terms"), "Conditions must be there once"),
    "no end": (swap("NotOnOrAfter", "Until"), "NotOnOrAfter is no moment"),
    "another zone": (
        lambda body: re.sub('NotOnOrAfter="([^"]*)Z"', r'NotOnOrAfter="\1+01:00"', body),
        "NotOnOrAfter is no moment",
    ),
    "no day": (
        lambda body: re.sub('NotBefore="....-..', 'NotBefore="2026-13', body),
        "NotBefore is no moment",
    ),
    "a long life": (lambda body: re.sub('NotBefore="..', 'NotBefore="19', body), "longer than 10 minutes"),
    "another audience": (swap("3.111.2.1", "3.111.2.2"), "Audience is not"),
    "another context": (swap("classes:X509", "classes:Password"), "AuthnContextClassRef is not"),
    "no moment of authentication": (swap("AuthnInstant", "Instant"), "AuthnInstant is no moment"),
    "an unknown attribute": (swap("xacml:2.0:subject:role", "xacml:2.0:subject:rank"), "is not known"),
    "a role of another system": (swap("2.4.15.111", "2.4.15.112"), "no code of the system"),
    "a type of another system": (swap("2.4.15.1060", "2.4.15.1061"), "no code of the system"),
    "a purpose of another system": (swap("113883.1.11.20448", "113883.1.11.20449"), "no code of the system"),
    "a purpose without a code": (swap('code="TREAT"', 'code=""'), "no code of the system"),
    "a role of another type": (swap('xsi:type="CE"', 'xsi:type="II"'), "not of the type CE or CV"),
    "a value without a type": (swap('xsi:type="II"', ""), "not of the type II"),
    "a type that is not of HL7": (swap('xsi:type="II"', 'xsi:type="xsi:II"'), "not of the type II"),
    "a role by another name": (
        swap(':role"><saml2:AttributeValue><Role', ':role"><saml2:AttributeValue><Rank'),
        "Role",
    ),
    "a number of another root": (swap('root="2.16.528.1.1007.3.1"', 'root="1.2"'), "another root"),
    "no number": (swap('extension="900000008"', ""), "has no extension"),
    "an institution that is none": (swap(f'extension="{REQUESTER}"', 'extension="x"'), "is no URA"),
    "no request": (
        swap("PatientLocationQueryRequest", "Request"),
        "PatientLocationQueryRequest must be there",
    ),
    "no patient": (swap("RequestedPatientId", "Patient"), "RequestedPatientId must be there once"),
    "a patient of another root": (swap("113883.2.4.6.3", "113883.2.4.6.4"), "RequestedPatientId needs"),
    "a patient without an authority": (swap("NLMINBIZA", "CIBG"), "RequestedPatientId needs"),
    "a patient who is none": (swap(BSN, "999911121"), "is no BSN"),
    **{f"{name} is missing": (without(name), f"{name} is missing") for name in ATTRIBUTES},
    **{f"{name} twice": (twice(name), f"{name} must be there once") for name in ATTRIBUTES},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def standing(trusting: Trusting, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Facility]:
    async with mitz(trusting, tmp_path_factory.mktemp("standing")) as (connection, _):
        yield connection


@pytest.mark.parametrize("name", BROKEN)
async def test_a_question_with_one_thing_wrong_gets_a_fault_that_names_it(
    standing: Facility, name: str
) -> None:
    change, why = BROKEN[name]
    message, sent = new_message()
    text = sent.decode().partition("?>")[2].strip()
    changed = change(text)
    assert changed != text
    status, said = await post(standing, message, changed.encode())
    assert (status, "Fault" in said, why in said) == (400, True, True), said
    assert BSN not in said
    assert (await post(standing, message, text.encode()))[0] == 200


async def test_the_message_is_named_in_the_header_too_and_is_soap(trusting: Trusting, tmp_path: Path) -> None:
    async with mitz(trusting, tmp_path) as (connection, _):
        _, sent = new_message()
        assert (await post(connection, new_id(), sent))[0] == 400
        message, sent = new_message()
        assert (await post(connection, message, sent, **{"Content-Type": "application/json"}))[0] == 415


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        (-629, ""),
        (-631, "NotOnOrAfter has passed"),
        (29, ""),
        (33, "NotBefore is yet to come"),
    ],
)
async def test_an_assertion_counts_within_its_time_and_half_a_minute(
    trusting: Trusting, tmp_path: Path, seconds: int, why: str
) -> None:
    async with mitz(trusting, tmp_path) as (connection, _):
        with time_machine.travel(now() + timedelta(seconds=seconds), tick=False):
            message, sent = new_message()
        status, said = await post(connection, message, sent)
    assert (status, why in said) == (400 if why else 200, True), said


async def test_an_assertion_is_taken_once_also_after_a_restart(trusting: Trusting, tmp_path: Path) -> None:
    message, sent = new_message()
    async with mitz(trusting, tmp_path) as (connection, _):
        assert (await post(connection, message, sent))[0] == 200
        status, said = await post(connection, message, sent)
        assert (status, "has come before" in said) == (400, True)
    async with mitz(trusting, tmp_path) as (connection, kept):
        assert (await post(connection, message, sent))[0] == 400
        moment = now().timestamp()
        assert [kept.fresh("a", moment + 9, moment + passed) for passed in (0, 8, 10)] == [True, False, True]


# -- as a finder ---------------------------------------------------------------------------------------------------

PRACTICE = User("900000008", "H. Huisarts", "01.015")


def wanted(user: User = PRACTICE) -> Wanted:
    return Wanted(Bsn(BSN), user, "TREAT")


async def test_the_finder_names_who_may_release_with_what_and_leaves_out_who_asks(
    trusting: Trusting, tmp_path: Path
) -> None:
    async with mitz(trusting, tmp_path) as (connection, kept):
        kept.subscribe(subscribed(ura=REQUESTER, kind="Z3"))
        finder = PermissionFinder(Mitz(connection), REQUESTER, "Z3")
        found = await Locator(REQUESTER, [finder], 5).locate(wanted())
    assert found.whole
    assert {ura: [why.report() for why in reasons] for ura, reasons in found.holders.items()} == {
        HOLDER: [{"by": "mitz", "categories": ["GGC002"]}]
    }


@pytest.mark.parametrize(
    ("user", "kind", "lacking"),
    [
        (replace(PRACTICE, id="h.huisarts"), "Z3", "the Dezi or UZI number of the professional"),
        (
            replace(PRACTICE, responsible="900000009"),
            "Z3",
            "the role code of the professional who is responsible",
        ),
        (PRACTICE, "", "the type of the asking organisation"),
    ],
)
async def test_a_question_that_cannot_be_asked_says_what_it_lacks_and_is_not_sent(
    trusting: Trusting, tmp_path: Path, user: User, kind: str, lacking: str
) -> None:
    async with mitz(trusting, tmp_path) as (connection, _):
        finder = PermissionFinder(Mitz(connection), REQUESTER, kind)
        found = await Locator(REQUESTER, [finder], 5).locate(wanted(user))
    assert not found.whole and not found.holders
    assert [one.report() for one in found.asked] == [
        {"by": "mitz", "status": "failed", "reason": f"Mitz cannot be asked without {lacking}"}
    ]
