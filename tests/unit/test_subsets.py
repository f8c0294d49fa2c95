"""`_summary` and `_elements`: what is kept of a resource."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.fhir import definitions, structure
from schakel.fhir.definitions import VERSIONS, Version
from schakel.fhir.subsets import SUBSETTED, Subset, is_subset, subset

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"versionId": "3", "tag": [{"code": "mine"}]},
    "language": "nl",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    "contained": [
        {"resourceType": "Organization", "id": "used", "name": "used", "partOf": {"reference": "#by-used"}},
        {"resourceType": "Organization", "id": "by-used", "name": "used by the one above"},
        {"resourceType": "Organization", "id": "not-used", "name": "of the contact"},
    ],
    "extension": [{"url": "http://example.org/x", "valueString": "x"}],
    "modifierExtension": [{"url": "http://example.org/m", "valueString": "m"}],
    "active": True,
    "name": [{"extension": [{"url": "http://example.org/n", "valueString": "n"}], "family": "Jansen"}],
    "_birthDate": {"extension": [{"url": "http://example.org/unknown", "valueBoolean": True}]},
    "photo": [{"contentType": "image/png", "data": "AAAA"}],
    "contact": [{"organization": {"reference": "#not-used"}}],
    "managingOrganization": {"reference": "#used"},
}


def tags(resource: dict[str, Any]) -> list[str]:
    return [tag["code"] for tag in resource["meta"]["tag"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_summary_keeps_what_the_definitions_mark_and_what_modifies(version: Version) -> None:
    part = subset(PATIENT, version, Subset("true"))
    assert list(part) == [
        "resourceType",
        "id",
        "meta",
        "contained",
        "modifierExtension",
        "active",
        "name",
        "_birthDate",
        "managingOrganization",
    ]
    assert part["name"] == PATIENT["name"]
    assert [one["id"] for one in part["contained"]] == ["used", "by-used"]
    assert part["meta"] == {
        "versionId": "3",
        "tag": [{"code": "mine"}, {"system": SUBSETTED[version], "code": "SUBSETTED"}],
    }
    assert PATIENT["meta"] == {"versionId": "3", "tag": [{"code": "mine"}]}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_summary_goes_into_elements(version: Version) -> None:
    practitioner = {
        "resourceType": "Person",
        "id": "x",
        "photo": {"contentType": "image/png", "data": "AAAA", "title": "t"},
        "link": [{"target": {"reference": "Patient/1"}, "assurance": "level1"}],
    }
    part = subset(practitioner, version, Subset("true"))
    assert "data" not in part.get("photo", {}) and "link" not in part
    questionnaire = {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "event": [{"period": {"start": "2020"}, "detail": [{"reference": "Procedure/1"}]}],
        "section": [{"title": "left out"}],
    }
    part = subset(questionnaire, version, Subset("true"))
    assert part["event"] == questionnaire["event"] and "section" not in part


@pytest.mark.parametrize("version", VERSIONS)
def test_the_text_comes_with_what_is_mandatory(version: Version) -> None:
    observation = {
        "resourceType": "Observation",
        "id": "o",
        "text": PATIENT["text"],
        "status": "final",
        "code": {"text": "x"},
        "valueString": "v",
    }
    part = subset(observation, version, Subset("text"))
    assert list(part) == ["resourceType", "id", "meta", "text", "status", "code"]
    assert tags(part) == ["SUBSETTED"]


@pytest.mark.parametrize("version", VERSIONS)
def test_data_is_all_but_the_text(version: Version) -> None:
    part = subset(PATIENT, version, Subset("data"))
    assert {**part, "meta": PATIENT["meta"]} == {n: m for n, m in PATIENT.items() if n != "text"}
    assert tags(part) == ["mine", "SUBSETTED"]


@pytest.mark.parametrize("version", VERSIONS)
def test_elements_come_with_what_is_mandatory_or_modifies(version: Version) -> None:
    part = subset(PATIENT, version, Subset(elements=("birthDate", "Patient.photo", "Observation.value")))
    assert list(part) == [
        "resourceType",
        "id",
        "meta",
        "modifierExtension",
        "active",
        "_birthDate",
        "photo",
    ]
    observation = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "valueString": "v",
        "effectiveDateTime": "2020",
    }
    part = subset(observation, version, Subset(elements=("value",)))
    assert {"status", "code", "valueString"} <= set(part) and "effectiveDateTime" not in part


def test_a_part_of_a_part_has_one_tag() -> None:
    once = subset(PATIENT, "r4", Subset("data"))
    assert tags(subset(once, "r4", Subset("true"))) == ["mine", "SUBSETTED"]
    assert is_subset(once) and not is_subset(PATIENT)
    assert not is_subset({"meta": {"tag": [{"system": "http://example.org", "code": "SUBSETTED"}]}})
    assert not is_subset({"meta": ["x"]}) and not is_subset({"meta": {"tag": "SUBSETTED"}})


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_asked_is_the_whole(version: Version) -> None:
    assert subset(PATIENT, version, Subset()) is PATIENT


_NAMES = sorted(set(PATIENT) - {"resourceType", "id", "meta", "_birthDate"})


@given(
    members=st.sets(st.sampled_from(_NAMES)),
    version=st.sampled_from(VERSIONS),
    asked=st.one_of(
        st.sampled_from([Subset("true"), Subset("text"), Subset("data")]),
        st.sets(st.sampled_from(_NAMES), min_size=1).map(lambda names: Subset(elements=tuple(sorted(names)))),
    ),
)
def test_a_part_follows_the_base_definitions_and_refers_to_nothing_that_it_lacks(
    members: set[str], version: Version, asked: Subset
) -> None:
    whole = {
        name: PATIENT[name] for name in PATIENT if name in members or name in ("resourceType", "id", "meta")
    }
    part = subset(whole, version, asked)
    assert not structure.check(part, definitions(version))
    held = {f"#{one['id']}" for one in part.get("contained", ())}
    needed = {
        part[name]["reference"] for name in ("managingOrganization",) if name in part and "contained" in whole
    } | {one["organization"]["reference"] for one in part.get("contact", ()) if "contained" in whole}
    assert needed <= held
    assert is_subset(part)
