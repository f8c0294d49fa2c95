"""Masking: no BSN leaves, and nothing else changes."""

from __future__ import annotations

import base64
import copy
import re
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.fhir import definitions, json, xml
from schakel.kernel.values import BSN_OID, BSN_SYSTEM
from schakel.patient_access.mask import ALIAS, DATA_ABSENT_REASON, STARS, mask, mask_text, pattern

BSN = "999990019"
OTHER = "999990020"
UZI = "900000008"
"""Passes the 11-proef, and is no BSN."""

ABSENT = {"extension": [{"url": DATA_ABSENT_REASON, "valueCode": "masked"}]}


def masked(resource: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The masked resource; that the argument is left alone is checked on the way."""
    before = copy.deepcopy(resource)
    out = mask(resource, BSN, **options).resource
    assert resource == before
    return out


@pytest.mark.parametrize(
    "system",
    [
        BSN_SYSTEM,
        BSN_OID,
        "2.16.840.1.113883.2.4.6.3",
        "https://fhir.nl/fhir/NamingSystem/bsn/",
        BSN_SYSTEM.upper(),
    ],
)
def test_an_identifier_with_the_system_of_bsns_keeps_its_system_and_loses_its_value(system: str) -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"use": "official", "system": system, "value": OTHER}],
    }
    assert masked(patient)["identifier"] == [{"use": "official", "system": system, "_value": ABSENT}]


def test_an_identifier_that_says_bsn_in_its_type_loses_its_value() -> None:
    kinds: list[dict[str, Any]] = [
        {"text": "BSN"},
        {"text": "Burgerservicenummer"},
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "NNNLD"}]},
    ]
    for kind in kinds:
        given_ = {"resourceType": "Patient", "identifier": [{"type": kind, "value": OTHER}]}
        assert masked(given_)["identifier"] == [{"type": kind, "_value": ABSENT}]


def test_an_identifier_of_another_system_keeps_a_value_that_passes_the_proof() -> None:
    practitioner = {
        "resourceType": "Practitioner",
        "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers", "value": UZI}],
    }
    assert masked(practitioner) == practitioner


def test_an_identifier_without_system_loses_a_value_that_passes_the_proof_and_keeps_another() -> None:
    given_ = {"resourceType": "Patient", "identifier": [{"value": OTHER}, {"value": "123456789"}]}
    assert masked(given_)["identifier"] == [{"_value": ABSENT}, {"value": "123456789"}]


def test_the_bsn_of_the_patient_goes_under_any_system() -> None:
    given_ = {"resourceType": "Patient", "identifier": [{"system": "urn:oid:1.2.3", "value": BSN}]}
    assert masked(given_)["identifier"] == [{"system": "urn:oid:1.2.3", "_value": ABSENT}]


def test_what_was_said_about_a_value_stays_beside_the_reason() -> None:
    rendered = {"url": "http://hl7.org/fhir/StructureDefinition/rendered-value", "valueString": "***"}
    given_ = {
        "resourceType": "Patient",
        "identifier": [{"system": BSN_SYSTEM, "value": BSN, "_value": {"id": "x", "extension": [rendered]}}],
    }
    assert masked(given_)["identifier"][0]["_value"] == {
        "id": "x",
        "extension": [rendered, *ABSENT["extension"]],
    }


def test_identifiers_in_references_contained_resources_and_extensions_are_masked() -> None:
    number = {"system": BSN_SYSTEM, "value": OTHER}
    gone = {"system": BSN_SYSTEM, "_value": ABSENT}
    given_ = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "RelatedPerson", "identifier": [number]}],
        "subject": {"identifier": number},
        "extension": [{"url": "urn:x", "valueIdentifier": number}, {"url": BSN_SYSTEM, "valueString": OTHER}],
    }
    out = masked(given_)
    assert out["contained"][0]["identifier"] == [gone]
    assert out["subject"] == {"identifier": gone}
    assert out["extension"] == [
        {"url": "urn:x", "valueIdentifier": gone},
        {"url": BSN_SYSTEM, "_valueString": ABSENT},
    ]


def test_a_coding_with_the_system_of_bsns_loses_its_code() -> None:
    given_ = {"resourceType": "Patient", "meta": {"tag": [{"system": BSN_SYSTEM, "code": BSN}]}}
    assert masked(given_)["meta"]["tag"] == [{"system": BSN_SYSTEM, "_code": ABSENT}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<div>BSN: {BSN}.</div>", f"<div>BSN: {STARS}.</div>"),
        ("<td>9999.90.019</td>", "<td>****.**.***</td>"),
        ("<b>9999</b>90019", "<b>****</b>*****"),
        ("999&nbsp;990&#160;019", "***&nbsp;***&#160;***"),
        (f"<th>BSN</th><td>{OTHER}</td>", f"<th>BSN</th><td>{STARS}</td>"),
        (f"burgerservicenummer van de moeder is {OTHER}", f"burgerservicenummer van de moeder is {STARS}"),
        (f"{BSN_SYSTEM}|123456789", f"{BSN_SYSTEM}|{STARS}"),
        (f"order {OTHER}, tel. 0612345678", f"order {OTHER}, tel. 0612345678"),
        (f"1{BSN} and {BSN}1", f"1{BSN} and {BSN}1"),
        ("BSN: 123456789", "BSN: 123456789"),
    ],
)
def test_a_string_loses_what_is_a_bsn_and_no_more(text: str, expected: str) -> None:
    assert mask_text(text, BSN) == expected


def test_the_number_of_another_person_is_masked_everywhere_once_the_resource_says_what_it_is() -> None:
    given_ = {
        "resourceType": "RelatedPerson",
        "text": {"status": "generated", "div": f"<div>{OTHER}</div>"},
        "identifier": [{"system": BSN_SYSTEM, "value": OTHER}],
    }
    assert masked(given_)["text"]["div"] == f"<div>{STARS}</div>"


def test_ids_and_addresses_get_an_alias_that_is_the_same_everywhere() -> None:
    given_ = {
        "resourceType": "Observation",
        "id": f"obs-{BSN}",
        "subject": {"reference": f"Patient/{BSN}"},
        "performer": [{"reference": f"#{BSN}"}],
        "extension": [{"url": f"https://x.example/a/{BSN}", "valueUri": f"urn:x:{BSN}"}],
    }
    out = masked(given_)
    assert out["id"] == f"obs-{ALIAS}"
    assert out["subject"] == {"reference": f"Patient/{ALIAS}"}
    assert out["performer"] == [{"reference": f"#{ALIAS}"}]
    assert out["extension"] == [{"url": f"https://x.example/a/{ALIAS}", "valueUri": f"urn:x:{ALIAS}"}]


def test_a_number_equal_to_the_bsn_is_left_out() -> None:
    given_ = {"resourceType": "Basic", "extension": [{"url": "urn:x", "valueInteger": int(BSN)}]}
    assert masked(given_)["extension"] == [{"url": "urn:x", "_valueInteger": ABSENT}]


def test_a_bsn_with_a_leading_zero_is_found_without_it() -> None:
    number = "099999990"
    assert mask({"resourceType": "Basic", "x": "nr 99999990"}, number).resource["x"] == "nr ********"


def attachment(media: str, data: bytes, **members: Any) -> dict[str, Any]:
    content = {"contentType": media, "data": base64.b64encode(data).decode(), **members}
    return {"resourceType": "DocumentReference", "content": [{"attachment": content}]}


def test_an_attachment_of_text_is_masked_inside() -> None:
    given_ = attachment("text/plain", f"BSN {BSN}".encode(), size=13, hash="AAAA")
    out = mask(given_, BSN)
    content = out.resource["content"][0]["attachment"]
    assert base64.b64decode(content["data"]) == f"BSN {STARS}".encode()
    assert content["size"] == 13 and "hash" not in content
    assert out.documents == ()


def test_another_attachment_is_reported_and_stays_unless_it_must_be_withheld() -> None:
    given_ = attachment("application/octet-stream", b"\x00\x01 " + BSN.encode())
    out = mask(given_, BSN)
    assert out.resource == given_
    assert [(d.path, d.finding) for d in out.documents] == [("content[0].attachment.data", "found")]
    withheld = mask(given_, BSN, withhold=True).resource["content"][0]["attachment"]
    assert withheld == {"contentType": "application/octet-stream", "_data": ABSENT}


def test_an_attachment_without_a_bsn_is_not_reported() -> None:
    assert mask(attachment("image/png", b"\x89PNG"), BSN).documents == ()


@pytest.mark.parametrize("name", ["data", "content"])
def test_a_binary_of_either_version_is_looked_into(name: str) -> None:
    data = base64.b64encode(f"x {BSN}".encode()).decode()
    out = mask({"resourceType": "Binary", "contentType": "application/zip", name: data}, BSN)
    assert [d.path for d in out.documents] == [name]


def test_a_masked_identifier_is_right_in_xml() -> None:
    patient = masked({"resourceType": "Patient", "identifier": [{"system": BSN_SYSTEM, "value": BSN}]})
    text = xml.dump(patient, definitions("r4")).decode()
    assert (
        f'<value><extension url="{DATA_ABSENT_REASON}"><valueCode value="masked"/></extension></value>'
        in text
    )
    assert xml.parse(text.encode(), definitions("r4")) == patient


# -- laws ------------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="0123456789"), max_size=20)
BSN_IN_TEXT = st.builds(lambda a, b: f"{a}{BSN}{b}", WORDS, WORDS)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=4).map(
    lambda d: json.FhirDecimal(f"{d:f}")
)
LEAVES = st.one_of(WORDS, BSN_IN_TEXT, st.booleans(), st.integers(0, 99999), st.just(int(BSN)), NUMBERS)
NAMES = st.sampled_from(
    ["id", "reference", "url", "value", "system", "div", "display", "valueString", "text"]
)
RESOURCES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=30,
).map(lambda value: {"resourceType": "Basic", "extension": [{"url": "urn:x", "valueAny": value}]})


@given(RESOURCES)
def test_no_bsn_survives_in_the_bytes(resource: dict[str, Any]) -> None:
    body = json.dump(mask(resource, BSN).resource).decode()
    assert not re.search(rf"(?<![0-9.]){BSN}(?![0-9])", body)
    assert not pattern(frozenset({BSN})).search(body)


@given(RESOURCES)
def test_masking_twice_is_masking_once(resource: dict[str, Any]) -> None:
    once = mask(resource, BSN).resource
    assert json.dump(mask(once, BSN).resource) == json.dump(once)


@given(RESOURCES)
def test_what_holds_no_bsn_is_not_changed(resource: dict[str, Any]) -> None:
    body = json.dump(resource)
    if BSN.encode() not in body:
        assert json.dump(mask(json.parse(body), BSN).resource) == body


def a_pdf(text: str) -> bytes:
    """A PDF of one page with this text, packed so that it cannot be seen in the bytes."""
    content = zlib.compress(f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode())
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return (
        out
        + b"xref\n0 6\n0000000000 65535 f \n%btrailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (
            table,
            len(out),
        )
    )


def test_the_text_of_a_pdf_is_read() -> None:
    assert BSN.encode() not in a_pdf(f"BSN {BSN}")
    [found] = mask(attachment("application/pdf", a_pdf(f"BSN {BSN}")), BSN).documents
    assert found.finding == "found"
    assert mask(attachment("application/pdf", a_pdf("Geen nummer")), BSN).documents == ()


@pytest.mark.parametrize("data", [b"%PDF-1.4 damaged", b"%PDF-"])
def test_a_pdf_that_cannot_be_read_is_reported_as_such(data: bytes) -> None:
    [found] = mask(attachment("application/pdf", data), BSN).documents
    assert found.finding == "unreadable"
