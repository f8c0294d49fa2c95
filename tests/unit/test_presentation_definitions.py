"""Presentation definitions: what is read, what is refused, and how values are found."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from schakel.generic.identity.credentials import Definition, Definitions, jsonpath
from schakel.generic.identity.credentials.definition import Filter
from schakel.generic.identity.credentials.model import Credential
from schakel.generic.identity.errors import InvalidScopeError
from schakel.kernel.outcomes import Invalid


def _definition(**field: Any) -> dict[str, Any]:
    one = {"id": "f", "path": ["$.credentialSubject.a"], **field}
    return {"id": "d", "input_descriptors": [{"id": "x", "constraints": {"fields": [one]}}]}


def _credential(**subject: Any) -> Credential:
    document = {"type": ["VerifiableCredential", "X"], "credentialSubject": [subject]}
    return Credential("X", "did:web:a.example", subject, document, None)


SCOPES = {
    "eOverdracht-sender": {"organization_ura"},
    "eOverdracht-receiver": {"organization_ura"},
    "bgz-sender": {"organization_ura"},
    "ta-np-notification": {"organization_ura"},
    "bgz": {"organization_ura", "organization_facility_type", "user_id", "user_role"},
    "pzp-gf": {"organization_ura", "organization_facility_type", "user_id", "user_role"},
    "medicatieoverdracht-gf": {
        "organization_ura",
        "organization_facility_type",
        "patient_enrollment_identifier",
        "delegation_registered_by",
        "delegation_role_code",
    },
}


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_asks_for_what_its_decision_needs(scope: str) -> None:
    definition = Definitions.load().of([scope])
    needed = {f.id for d in definition.descriptors for f in d.fields if f.id and not f.optional}
    assert needed >= SCOPES[scope]
    assert definition.json()["id"] == definition.id


def test_every_path_into_the_subject_is_given_for_a_list_and_for_an_object() -> None:
    for definition in Definitions.load().by_scope.values():
        for field in (f for d in definition.descriptors for f in d.fields):
            for path in field.paths:
                if path.startswith("$.credentialSubject."):
                    assert path.replace("credentialSubject.", "credentialSubject[0].") in field.paths


def test_scopes_that_ask_for_different_credentials_are_refused_together() -> None:
    definitions = Definitions.load()
    assert definitions.of(["bgz", "pzp-gf"]) is definitions.of(["bgz"])
    with pytest.raises(InvalidScopeError, match="one by one"):
        definitions.of(["bgz", "bgz-sender"])
    with pytest.raises(InvalidScopeError, match="no presentation gives the scope 'x'"):
        definitions.of(["x"])


def test_an_organisation_names_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_bytes(orjson.dumps(_definition()))
    assert Definitions.load({"bgz": path}).of(["bgz"]).id == "d"
    path.write_bytes(orjson.dumps({**_definition(), "submission_requirements": []}))
    with pytest.raises(Invalid, match=r"own\.json is not right: .*submission_requirements: is not supported"):
        Definitions.load({"bgz": path})
    with pytest.raises(Invalid, match="cannot be read"):
        Definitions.load({"bgz": tmp_path / "gone.json"})


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ([], "presentation_definition"),
        ({"id": "d"}, "input_descriptors"),
        ({**_definition(), "id": ""}, "id"),
        ({**_definition(), "frame": {}}, "presentation_definition.frame"),
        ({"id": "d", "input_descriptors": [{"id": "x"}]}, "input_descriptors[0].constraints"),
        ({"id": "d", "input_descriptors": _definition()["input_descriptors"] * 2}, "input_descriptors"),
        (
            {
                "id": "d",
                "input_descriptors": [
                    {"id": "x", "constraints": {"fields": [], "limit_disclosure": "required"}}
                ],
            },
            "input_descriptors[0].constraints.limit_disclosure",
        ),
        (_definition(id="client_id"), "input_descriptors[0].constraints.fields[0].id"),
        (_definition(path=[]), "input_descriptors[0].constraints.fields[0].path"),
        (_definition(predicate="required"), "input_descriptors[0].constraints.fields[0].predicate"),
        (_definition(filter={"minLength": 1}), "input_descriptors[0].constraints.fields[0].filter.minLength"),
        (
            _definition(filter={"pattern": "(a)(b)"}),
            "input_descriptors[0].constraints.fields[0].filter.pattern",
        ),
        (_definition(filter={"type": "text"}), "input_descriptors[0].constraints.fields[0].filter.type"),
    ],
)
def test_a_definition_with_something_that_is_not_supported_is_refused_where_it_stands(
    members: Any, where: str
) -> None:
    with pytest.raises(Invalid) as refused:
        Definition.read(members)
    assert refused.value.expression == where


@pytest.mark.parametrize(
    "path", ["$..a", "$.a[?(@.b)]", "$.a[1:2]", "a.b", "$.a[-1]", "$.a b", "$[", "$.a['b]"]
)
def test_a_path_with_more_than_names_and_places_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        jsonpath.steps(path)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.a.b", [1]),
        ("$['a']['b']", [1]),
        ('$["a"].b', [1]),
        ("$.c[0]", [2]),
        ("$.c[*]", [2, 3]),
        ("$.c[7]", []),
        ("$.c.x", []),
        ("$.a[0]", []),
        ("$", [{"a": {"b": 1}, "c": [2, 3]}]),
    ],
)
def test_a_path_finds_what_stands_there(path: str, found: list[Any]) -> None:
    assert jsonpath.values({"a": {"b": 1}, "c": [2, 3]}, path) == found


@pytest.mark.parametrize(
    ("condition", "value", "found"),
    [
        ({"type": "string"}, "x", "x"),
        ({"type": "string"}, 1, None),
        ({"type": "string"}, ["x"], "x"),
        ({"type": "array"}, ["x"], ""),
        ({"type": "array"}, "x", None),
        ({"type": "array", "contains": {"const": "b"}}, ["a", "b"], "b"),
        ({"type": "array", "contains": {"const": "b"}}, ["a"], None),
        ({"const": "a"}, "a", "a"),
        ({"const": 1}, True, None),
        ({"const": True}, True, "true"),
        ({"enum": ["a", "b"]}, "b", "b"),
        ({"enum": ["a", "b"]}, "c", None),
        ({"type": "number"}, 5, "5"),
        ({"type": "integer"}, True, None),
        ({"pattern": "b"}, "abc", "abc"),
        ({"pattern": "^b"}, "abc", None),
        ({"pattern": "a(b?)c"}, "ac", ""),
        ({"pattern": "a(b)c"}, "abc", "b"),
        ({"pattern": "1"}, 1, None),
        ({"type": "string"}, "a\x00", None),
        ({"const": "a\nb"}, "a\nb", None),
        ({"pattern": "a"}, "a\ud800", None),
        ({"type": "string"}, "Zorg\u00a0Oost é", "Zorg\u00a0Oost é"),
    ],
)
def test_a_filter_gives_the_value_that_meets_it(
    condition: dict[str, Any], value: Any, found: str | None
) -> None:
    assert Filter.read(condition, "filter").value(value) == found


def test_a_field_is_looked_for_at_each_path_and_may_be_optional() -> None:
    members = _definition(path=["$.credentialSubject[0].b", "$.vc.credentialSubject.a"], optional=True)
    descriptor = Definition.read(members).descriptors[0]
    assert descriptor.values(_credential(a="1")) == ({"f": "1"}, [])
    assert descriptor.values(_credential(b="2", a="1")) == ({"f": "2"}, [])
    assert descriptor.values(_credential()) == ({}, [])


def test_a_missing_field_is_named_with_its_path_and_condition() -> None:
    members = _definition(filter={"type": "string", "pattern": "^x"})
    _, missing = Definition.read(members).descriptors[0].values(_credential(a="y"))
    assert missing == ["it has no f at $.credentialSubject.a (pattern '^x', type 'string')"]


def _formed(whole: object = None, own: object = None) -> Definition:
    members = _definition(path=["$.type"])
    if whole is not None:
        members["format"] = whole
    if own is not None:
        members["input_descriptors"][0]["format"] = own
    return Definition.read(members)


def _with_proof(kind: str | None) -> Credential:
    credential = _credential(a="1")
    return replace(credential, document={**credential.document, "proof": kind and {"type": kind}})


def _proofs(*kinds: str) -> dict[str, Any]:
    return {"ldp_vc": {"proof_type": list(kinds)}}


@pytest.mark.parametrize(
    ("whole", "own", "fits"),
    [
        (None, None, "DE"),
        ({}, None, "DE"),
        (_proofs("D"), None, "D"),
        (None, _proofs("D"), "D"),
        (_proofs("D", "E"), _proofs("E"), "E"),
        (_proofs("D"), _proofs("D", "E"), "D"),
        (_proofs(), _proofs("E"), "E"),
        (_proofs("E"), _proofs(), "E"),
        ({"jwt_vc": {"alg": ["ES256"]}}, None, ""),
        ({"jwt_vc": {"alg": ["ES256"]}, **_proofs("D")}, {"jwt_vc": {"alg": ["ES256"]}}, ""),
    ],
)
def test_a_credential_has_a_format_that_both_the_definition_and_the_descriptor_name(
    whole: object, own: object, fits: str
) -> None:
    [descriptor] = _formed(whole, own).descriptors
    assert "".join(kind for kind in "DE" if not descriptor.values(_with_proof(kind))[1]) == fits
    assert not descriptor.values(_with_proof(None))[1], "what the presentation vouches for has no proof"


@pytest.mark.parametrize(
    ("whole", "own"),
    [
        ({"jwt_vc": {"alg": ["ES256"]}}, _proofs("D")),
        (_proofs("D"), _proofs("E")),
        ({"jwt_vp": {"alg": ["ES256"]}}, _proofs("D")),
        ({"jwt_vp": {"alg": ["ES256"]}}, None),
    ],
)
def test_a_definition_with_formats_that_no_credential_can_have_is_refused(whole: object, own: object) -> None:
    with pytest.raises(Invalid, match="no credential can have it") as refused:
        _formed(whole, own)
    assert refused.value.expression == "input_descriptors[0].format"


def test_a_hostile_pattern_runs_in_linear_time() -> None:
    condition = Filter.read({"pattern": "^(?:a+)+$"}, "filter")
    began = time.process_time()
    assert condition.value("a" * 999 + "!") is None
    assert time.process_time() - began < 1


def test_the_pattern_of_an_uzi_number_takes_the_ura_out_of_it() -> None:
    fields = Definitions.load().of(["bgz-sender"]).descriptors[0].fields
    pattern = next(field for field in fields if field.id == "organization_ura").filter.members["pattern"]
    match = re.search(pattern, "2.16.528.1.1007.99.2110-1-900025039-S-90000382-00.000-00000000")
    assert match is not None and match.group(1) == "90000382"
