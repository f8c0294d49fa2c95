"""XML to and from the JSON shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from tests.fixtures import resources_in
from tests.generated import resources

from schakel.fhir import definitions, xml
from schakel.fhir import json as fhir_json
from schakel.kernel.outcomes import Invalid, TooLarge

STU3, R4 = definitions("stu3"), definitions("r4")
PATIENT = '<Patient xmlns="http://hl7.org/fhir">{}</Patient>'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


def patient(content: str) -> dict[str, Any]:
    """The members of a patient with this XML inside, `resourceType` left out."""
    value = xml.parse(PATIENT.format(content).encode(), R4)
    assert value.pop("resourceType") == "Patient"
    return value


def refusal(data: str | bytes) -> Invalid:
    with pytest.raises(Invalid) as refused:
        xml.parse(data.encode() if isinstance(data, str) else data, R4)
    return refused.value


def written(value: dict[str, Any]) -> str:
    text = xml.dump(value, R4).decode()
    return text.removeprefix('<?xml version="1.0" encoding="UTF-8"?>')


@pytest.mark.parametrize("known", [STU3, R4], ids=["stu3", "r4"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_resource_survives_xml_and_json(known: Any, data: st.DataObject) -> None:
    value = data.draw(resources(known))
    document = xml.dump(value, known)
    again = xml.parse(document, known)
    assert again == value
    assert xml.dump(again, known) == document
    assert fhir_json.parse(fhir_json.dump(again)) == value


def test_a_decimal_keeps_its_text_both_ways() -> None:
    value = fhir_json.parse(
        b'{"resourceType":"Observation","valueQuantity":{"value":1.50},"component":'
        b'[{"valueQuantity":{"value":0.0100}},{"valueQuantity":{"value":-0}},{"valueQuantity":{"value":7}}]}'
    )
    document = xml.dump(value, R4)
    assert b'<value value="1.50"/>' in document
    assert fhir_json.dump(xml.parse(document, R4)) == fhir_json.dump(value)


def test_a_primitive_has_its_json_type() -> None:
    content = '<active value="true"/><multipleBirthInteger value="2"/><birthDate value="2001-02"/>'
    assert patient(content) == {"active": True, "multipleBirthInteger": 2, "birthDate": "2001-02"}


def test_an_extension_on_a_primitive_stands_beside_it() -> None:
    why = '<extension url="http://e.org"><valueCode value="x"/></extension>'
    content = f'<birthDate id="b" value="1990">{why}</birthDate>'
    value = patient(content)
    extension = {"url": "http://e.org", "valueCode": "x"}
    assert value == {"birthDate": "1990", "_birthDate": {"id": "b", "extension": [extension]}}
    assert content in written({"resourceType": "Patient", **value})


def test_an_extension_may_stand_without_a_value() -> None:
    value = patient('<birthDate><extension url="u"><valueCode value="x"/></extension></birthDate>')
    assert value == {"_birthDate": {"extension": [{"url": "u", "valueCode": "x"}]}}


def test_arrays_of_primitives_and_their_extensions_are_kept_equally_long() -> None:
    why = '<extension url="u"><valueCode value="x"/></extension>'
    content = (
        f'<name><given value="A"/><given>{why}</given><given value="C"/><given id="d" value="D"/></name>'
    )
    (name,) = patient(content)["name"]
    extra = {"extension": [{"url": "u", "valueCode": "x"}]}
    assert name == {"given": ["A", None, "C", "D"], "_given": [None, extra, None, {"id": "d"}]}
    assert written({"resourceType": "Patient", "name": [name]}) == PATIENT.format(content)


def test_more_elements_than_the_maximum_are_kept_as_an_array() -> None:
    content = (
        '<gender value="male"/><gender id="x" value="female"/>'
        '<maritalStatus><text value="a"/></maritalStatus><maritalStatus><text value="b"/></maritalStatus>'
    )
    value = patient(content)
    assert value["gender"] == ["male", "female"]
    assert value["_gender"] == [None, {"id": "x"}]
    assert value["maritalStatus"] == [{"text": "a"}, {"text": "b"}]
    assert written({"resourceType": "Patient", **value}) == PATIENT.format(content)


def test_elements_are_read_in_any_order_and_written_in_order() -> None:
    value = patient(
        '<birthDate value="1990"/><name><given value="A"/><family value="B"/></name><id value="1"/>'
    )
    assert value == {"birthDate": "1990", "name": [{"given": ["A"], "family": "B"}], "id": "1"}
    tree = etree.fromstring(xml.dump({**value, "resourceType": "Patient"}, R4))
    assert [etree.QName(child).localname for child in tree] == ["id", "name", "birthDate"]
    assert [etree.QName(child).localname for child in tree[1]] == ["family", "given"]


def test_an_id_is_an_element_of_a_resource_and_an_attribute_elsewhere() -> None:
    content = '<id value="p1"/><name id="n1"><text value="A"/></name>'
    value = patient(content)
    assert value == {"id": "p1", "name": [{"id": "n1", "text": "A"}]}
    assert written({"resourceType": "Patient", **value}) == PATIENT.format(content)


def test_resources_stand_inside_contained_and_entries() -> None:
    inner = '<contained><Binary><contentType value="text/plain"/><data value="YQ=="/></Binary></contained>'
    bundle = (
        '<Bundle xmlns="http://hl7.org/fhir"><type value="collection"/><entry><resource><Patient>'
        f"{inner}</Patient></resource></entry></Bundle>"
    )
    value = xml.parse(bundle.encode(), R4)
    contained = {"resourceType": "Binary", "contentType": "text/plain", "data": "YQ=="}
    assert value["entry"] == [{"resource": {"resourceType": "Patient", "contained": [contained]}}]
    assert written(value) == bundle


def test_a_binary_of_stu3_has_content() -> None:
    document = b'<Binary xmlns="http://hl7.org/fhir"><content value="YQ=="/></Binary>'
    assert xml.parse(document, STU3) == {"resourceType": "Binary", "content": "YQ=="}


def test_a_narrative_is_text_in_json_and_elements_in_xml() -> None:
    div = DIV.format('<p class="a">één &lt; twee<br/>&amp;</p>')
    content = f'<text><status value="generated"/>{div}</text>'
    value = patient(content)
    assert value["text"]["div"] == div
    assert written({"resourceType": "Patient", **value}) == PATIENT.format(content)


def test_a_narrative_loses_prefixes_comments_and_foreign_declarations() -> None:
    document = (
        '<f:Patient xmlns:f="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><f:text>'
        '<f:status value="generated"/><h:div xml:lang="nl">a<h:b>b<!-- c --></h:b>d</h:div></f:text>'
        "</f:Patient>"
    )
    div = xml.parse(document.encode(), R4)["text"]["div"]
    assert div == '<div xmlns="http://www.w3.org/1999/xhtml" xml:lang="nl">a<b>b</b>d</div>'


def test_characters_with_a_meaning_in_xml_survive() -> None:
    value = {"resourceType": "Basic", "id": "a", "code": {"text": "<a> & \"b\" 'c'\t\n\r\u00a0\U0001f600"}}
    assert xml.parse(xml.dump(value, R4), R4) == value


def test_comments_and_schema_locations_are_dropped() -> None:
    document = (
        '<!-- a --><Patient xmlns="http://hl7.org/fhir" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="http://hl7.org/fhir x.xsd"><!-- <!DOCTYPE b> --><id value="1"/></Patient>'
    )
    assert xml.parse(document.encode(), R4) == {"resourceType": "Patient", "id": "1"}


@pytest.mark.parametrize(
    ("content", "expression"),
    [
        ('<colour value="red"/>', "Patient.colour"),
        ('<name><text value="a"/></name><name><nick value="b"/></name>', "Patient.name[1].nick"),
        ('<id xmlns="http://example.org" value="1"/>', "Patient.id"),
        ('<id value="1" colour="red"/>', "Patient.id"),
        ('<name use="usual"><text value="a"/></name>', "Patient.name"),
        ("<name>Jan</name>", "Patient.name"),
        ('<name><text value="a"/>Jan</name>', "Patient.name"),
        ("<birthDate>1990</birthDate>", "Patient.birthDate"),
        ("<birthDate/>", "Patient.birthDate"),
        ('<active value="1"/>', "Patient.active"),
        ('<multipleBirthInteger value="two"/>', "Patient.multipleBirthInteger"),
        ("<contained/>", "Patient.contained"),
        ("<contained><Patient/><Patient/></contained>", "Patient.contained"),
        ("<contained><HumanName/></contained>", "Patient.contained"),
        ("<contained><Basic><colour/></Basic></contained>", "Patient.contained.colour"),
        ("<text><div>a</div></text>", "Patient.text.div"),
        ("<text>" + DIV.format('<id xmlns="http://hl7.org/fhir"/>') + "</text>", "Patient.text.div"),
        ("<text>" + DIV.format("<?php x ?>") + "</text>", "Patient.text.div"),
        ("<name><?php x ?></name>", "Patient.name"),
    ],
)
def test_what_does_not_belong_is_refused_with_its_place(content: str, expression: str) -> None:
    refused = refusal(PATIENT.format(content))
    assert refused.expression == expression
    assert expression in refused.message
    assert "line 1" in refused.message


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"<Patient", "not well-formed"),
        (b"{}", "not well-formed"),
        (b"<Patient/>", "resource type"),
        (b'<HumanName xmlns="http://hl7.org/fhir"/>', "resource type"),
        (b'<Resource xmlns="http://hl7.org/fhir"/>', "resource type"),
        (b'<Patient xmlns="http://hl7.org/fhir"><id value="&nbsp;"/></Patient>', "not well-formed"),
        (b'<?php x?><Patient xmlns="http://hl7.org/fhir"/>', "processing instructions"),
        (b'<Patient xmlns="http://hl7.org/fhir"/><?php x?>', "processing instructions"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><Patient xmlns="http://hl7.org/fhir"/>', "UTF-8"),
        (b'<Patient xmlns="http://hl7.org/fhir"><id value="\xe9"/></Patient>', "UTF-8"),
        ('<Patient xmlns="http://hl7.org/fhir"/>'.encode("utf-16"), "UTF-8"),
    ],
)
def test_what_is_no_document_is_refused_by_name(document: bytes, word: str) -> None:
    assert word in refusal(document).message


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE Patient [<!ENTITY a "b">]>',
        '<!DOCTYPE Patient SYSTEM "http://127.0.0.1:1/x.dtd">',
        '<!DOCTYPE Patient [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>',
        "<!-- > --> <?x?>\n<!DOCTYPE Patient>",
    ],
)
def test_a_document_type_is_refused_before_it_is_read(doctype: str) -> None:
    content = f'<?xml version="1.0"?>{doctype}<Patient xmlns="http://hl7.org/fhir"><id value="1"/></Patient>'
    assert "DOCTYPE" in refusal(content).message


def test_depth_is_limited_as_in_json() -> None:
    def extensions(levels: int) -> str:
        return '<extension url="u">' * levels + '<valueCode value="a"/>' + "</extension>" * levels

    deepest = patient(extensions(31))
    assert fhir_json.parse(fhir_json.dump({"resourceType": "Patient", **deepest}))
    assert "too deep" in refusal(PATIENT.format(extensions(32))).message
    assert "too deep" in refusal(PATIENT.format(extensions(5000))).message


def test_size_is_limited_in_all_and_per_value() -> None:
    with pytest.raises(TooLarge):
        xml.parse(b" " * (64 * 1024 * 1024 + 1), R4)
    with pytest.raises(TooLarge):
        patient('<id value="' + "a" * 11_000_000 + '"/>')


def test_many_comments_before_the_root_take_no_time() -> None:
    document = "<!-- -->" * 20_000 + PATIENT.format('<id value="1"/><!-- <!DOCTYPE a> -->')
    assert xml.parse(document.encode(), R4) == {"resourceType": "Patient", "id": "1"}


def test_many_values_with_extensions_take_linear_time() -> None:
    given = '<given id="a"/>' * 20_000
    (name,) = patient(f'<name><given value="A"/>{given}<given value="B"/></name>')["name"]
    assert name["given"] == ["A", *[None] * 20_000, "B"]
    assert name["_given"] == [None, *[{"id": "a"}] * 20_000, None]


@pytest.mark.parametrize(
    ("members", "expression"),
    [
        ({"colour": "red"}, "Patient"),
        ({"name": [{"given": ["A", None]}]}, "Patient.name[0].given[1]"),
        ({"name": "Jan"}, "Patient.name"),
        ({"birthDate": {"a": 1}}, "Patient.birthDate"),
        ({"birthDate": "1990", "_birthDate": [{"id": "a"}]}, "Patient.birthDate"),
        ({"id": "\x01"}, "Patient.id"),
        ({"id": "\ud800"}, "Patient.id"),
        ({"text": {"div": "<div>a</div>"}}, "Patient.text.div"),
        ({"text": {"div": DIV.format("<br>")}}, "Patient.text.div"),
        ({"text": {"div": "<!DOCTYPE div>" + DIV.format("")}}, "Patient.text.div"),
        ({"text": {"div": DIV.format("\ud800")}}, "Patient.text.div"),
        ({"contained": [{"resourceType": "HumanName"}]}, "Patient.contained[0]"),
        ({"name": [{"resourceType": "HumanName"}]}, "Patient.name[0]"),
    ],
)
def test_what_xml_cannot_say_is_not_written(members: dict[str, Any], expression: str) -> None:
    with pytest.raises(Invalid) as refused:
        xml.dump({"resourceType": "Patient", **members}, R4)
    assert refused.value.expression == expression


def test_a_value_of_no_type_is_not_written() -> None:
    with pytest.raises(Invalid):
        xml.dump({"resourceType": "Nobody"}, R4)


@pytest.mark.shared
@pytest.mark.parametrize(("version", "fewest"), [("stu3", 500), ("r4", 1300)])
def test_published_fixtures_survive_both_formats(version: Any, fewest: int) -> None:
    known = definitions(version)
    count = 0
    for path, document in resources_in(version):
        value = xml.parse(document, known)
        stored = fhir_json.dump(value)
        read = fhir_json.parse(stored)
        assert read == value, path
        again = xml.parse(xml.dump(read, known), known)
        assert again == value, path
        count += 1
    assert count >= fewest
