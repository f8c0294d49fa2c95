"""The number in a UZI certificate: read to the letter, or refused by the part that is wrong."""

from __future__ import annotations

import string

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from tests.certificates import UZI_NAME, Authority, ia5, uzi_name

from schakel.generic.identity.certificates import (
    PRODUCTION_AUTHORITIES,
    TEST_AUTHORITIES,
    CertificateRefused,
    UziNumber,
    uzi_number,
)
from schakel.kernel.values import Ura

GOOD = uzi_name("90000382")
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
ROOT = Authority.new("Root")

numbers = st.builds(
    UziNumber,
    authority=st.integers(0, 99_999).map(lambda n: f"2.16.528.1.1007.99.{n}"),
    version=st.just("1"),
    number=st.text(string.digits, min_size=1, max_size=9),
    card=st.sampled_from("ZN"),
    ura=st.integers(0, 99_999_999).map(lambda n: Ura(str(n))),
    role=st.from_regex(r"[0-9]{2}\.[0-9]{3}", fullmatch=True),
    agb=st.text(string.digits, min_size=8, max_size=8),
)


def parse(text: str) -> UziNumber:
    return UziNumber.parse(text, authorities=TEST_AUTHORITIES)


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = (
        bytes([size])
        if size < 128
        else bytes([0x81, size])
        if size < 256
        else bytes([0x82, *divmod(size, 256)])
    )
    return bytes([tag]) + length + content


def read(*names: tuple[x509.ObjectIdentifier, bytes]) -> UziNumber | None:
    """The UZI number of a certificate with those otherNames, whatever bytes their values are."""
    oids = {UZI_NAME: bytes.fromhex("0603550505"), UPN: bytes.fromhex("060a2b060104018237140203")}
    others = b"".join(der(0xA0, oids[kind] + der(0xA0, value)) for kind, value in names)
    sequence = der(0x30, der(0x82, b"node.example") + others)
    raw = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, sequence)
    made = ROOT.issue("node.example", further=[(raw, False)])
    return uzi_number(made.certificate, TEST_AUTHORITIES)


REFUSALS = {"certificate-uzi", "certificate-malformed"}


def test_every_part_of_the_number_is_read() -> None:
    assert parse(GOOD) == UziNumber(
        "2.16.528.1.1007.99.2110", "1", "900025039", "S", Ura("90000382"), "00.000", "00000000"
    )


@given(numbers)
def test_what_is_written_is_read_back(number: UziNumber) -> None:
    assert parse(str(number)) == number


@given(numbers, st.data())
def test_a_changed_number_is_refused_or_read_to_the_letter(number: UziNumber, data: st.DataObject) -> None:
    text = str(number)
    place = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(place, min(place + 3, len(text))))
    inserted = data.draw(st.text(st.sampled_from("0129-.SZNM \n٣é"), max_size=3))
    changed = text[:place] + inserted + text[end:]
    try:
        found = parse(changed)
    except CertificateRefused as refusal:
        outcome = refusal.kind
    else:
        outcome = str(found)
    assert outcome in (changed, "certificate-uzi")


@given(st.binary(max_size=140))
def test_any_other_name_is_refused_or_is_one_whole_ia5_string(value: bytes) -> None:
    for inside in (value, ia5(GOOD) + value, bytes([0x16, len(GOOD)]) + value):
        try:
            found = read((UZI_NAME, inside))
        except CertificateRefused as refusal:
            fit = refusal.kind in REFUSALS
        else:
            fit = inside == ia5(str(found))
        assert fit


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("6 parts", GOOD.removesuffix("-00000000")),
        ("8 parts", f"{GOOD}-1"),
        ("the OID of the CA", GOOD.replace("2.16.528", "2.016.528")),
        ("the version", uzi_name("90000382", version="2")),
        ("the UZI number", uzi_name("90000382", number="9000250391")),
        ("the card type", uzi_name("90000382", card="X")),
        ("the URA", uzi_name("9000038")),
        ("the URA", uzi_name("900003821")),
        ("the role", uzi_name("90000382", role="0.000")),
        ("the role", uzi_name("90000382", role="01.015")),
        ("the AGB code", uzi_name("90000382", agb="0")),
        ("the URA", uzi_name("٩٠٠٠٠٣٨٢")),
        ("the AGB code", f"{GOOD}\n"),
    ],
)
def test_a_refusal_names_the_part(part: str, text: str) -> None:
    with pytest.raises(CertificateRefused, match=part) as refused:
        parse(text)
    assert refused.value.expression == "certificate.subjectAltName.otherName"


def test_only_numbers_of_an_authority_that_is_taken_count() -> None:
    for authority in PRODUCTION_AUTHORITIES:
        UziNumber.parse(uzi_name("90000382", authority=authority))
    for authority in ("2.16.528.1.1003.1.3.5.5.55", "2.16.528.1.1003.1.3.5.5", "2.16.528.1.1007.99.2110"):
        with pytest.raises(CertificateRefused, match="OID of the CA"):
            UziNumber.parse(uzi_name("90000382", authority=authority))
    for authority in ("2.16.528.1.1007.999.1", "2.16.528.1.1007.99"):
        with pytest.raises(CertificateRefused, match="OID of the CA"):
            parse(uzi_name("90000382", authority=authority))


def test_a_certificate_has_one_number_or_none() -> None:
    assert read() is None
    assert read((UPN, ia5("name@example"))) is None
    assert str(read((UPN, ia5("name@example")), (UZI_NAME, ia5(GOOD)))) == GOOD
    with pytest.raises(CertificateRefused, match="2 UZI numbers"):
        read((UZI_NAME, ia5(GOOD)), (UZI_NAME, ia5(uzi_name("90000383"))))
    with pytest.raises(CertificateRefused, match="2 UZI numbers"):
        read((UZI_NAME, ia5(GOOD)), (UZI_NAME, ia5(GOOD)))


@pytest.mark.parametrize(
    "value",
    [
        b"\x0c" + ia5(GOOD)[1:],  # UTF8String
        b"\x13" + ia5(GOOD)[1:],  # PrintableString
        b"\x16\x81" + ia5(GOOD)[1:],  # a length told in more bytes than it needs
        b"\x36" + ia5(GOOD)[1:],  # constructed
        ia5(GOOD)[:-1],
        b"\x30" + bytes([len(ia5(GOOD))]) + ia5(GOOD),
        b"\x16\x00",
    ],
)
def test_another_coding_of_the_same_text_is_refused(value: bytes) -> None:
    with pytest.raises(CertificateRefused) as refused:
        read((UZI_NAME, value))
    assert refused.value.kind in REFUSALS
