"""JSON Patch, JSON Merge Patch and FHIRPath Patch: what they change, what they keep, and what they refuse."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.fhir import json
from schakel.fhir.definitions import definitions
from schakel.fhir.patch import apply_fhirpath_patch, apply_json_patch, apply_merge_patch
from schakel.kernel.outcomes import Invalid, Outcome, PreconditionFailed, TooCostly, Unprocessable

R4, STU3 = definitions("r4"), definitions("stu3")


def patient(**members: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p1", **members}


def operation(kind: str, path: str, **parts: Any) -> dict[str, Any]:
    """One operation; a part is given as the members of its parameter, a text or a number."""
    out: list[dict[str, Any]] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    for name, part in parts.items():
        if isinstance(part, str):
            part = {"valueString": part}
        elif isinstance(part, int):
            part = {"valueInteger": part}
        out.append({"name": name, **part})
    return {"name": "operation", "part": out}


def patched(resource: dict[str, Any], *operations: dict[str, Any], known: Any = R4) -> dict[str, Any]:
    return apply_fhirpath_patch(
        resource, {"resourceType": "Parameters", "parameter": list(operations)}, known
    )


# --- JSON Merge Patch --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "text"}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({"a": 1}, {"b": None}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [None]}, {"a": [None]}),
    ],
)
def test_a_merge_patch_merges_objects_and_replaces_the_rest(before: Any, patch: Any, after: Any) -> None:
    """The cases of RFC 7396, appendix A, that are about objects."""
    assert apply_merge_patch(before, patch) == after


_MEMBERS = st.recursive(
    st.none() | st.booleans() | st.text("ab", max_size=2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.sampled_from("abc"), _MEMBERS, max_size=3)


@given(_OBJECTS, _OBJECTS)
def test_a_merge_patch_changes_no_input_and_nothing_more_the_second_time(before: Any, patch: Any) -> None:
    given = repr((before, patch))
    once = apply_merge_patch(before, patch)
    assert repr((before, patch)) == given
    assert apply_merge_patch(once, patch) == once
    assert {name for name, member in patch.items() if member is None}.isdisjoint(once)


# --- JSON Patch --------------------------------------------------------------------------------------------


def test_a_json_patch_keeps_every_decimal_as_it_was_written() -> None:
    before = json.parse(b'{"resourceType":"Observation","valueQuantity":{"value":72.50},"x":{"value":1.0}}')
    patch = json.parse_array(
        b'[{"op":"test","path":"/valueQuantity/value","value":72.5},'
        b'{"op":"copy","from":"/valueQuantity/value","path":"/y"},'
        b'{"op":"replace","path":"/x/value","value":3.00}]'
    )

    after = json.dump(apply_json_patch(before, patch))

    assert b'"valueQuantity":{"value":72.50}' in after
    assert b'"y":72.50' in after
    assert b'"x":{"value":3.00}' in after


def test_a_patch_leaves_its_input_alone() -> None:
    before = patient(name=[{"family": "A", "given": ["B"]}])
    kept = json.dump(before)

    apply_json_patch(before, [{"op": "add", "path": "/name/0/given/-", "value": "C"}])
    patched(before, operation("add", "Patient.name[0]", name="given", value="C"))

    assert json.dump(before) == kept


def test_a_copy_in_a_json_patch_does_not_share_with_its_source() -> None:
    before = patient(name=[{"family": "A"}])
    after = apply_json_patch(
        before,
        [
            {"op": "copy", "from": "/name/0", "path": "/name/1"},
            {"op": "replace", "path": "/name/1/family", "value": "B"},
        ],
    )

    assert [n["family"] for n in after["name"]] == ["A", "B"]


@pytest.mark.parametrize(
    ("patch", "kind", "said"),
    [
        ({"op": "add"}, Invalid, "array of operations"),
        (["add"], Invalid, "operation 0"),
        ([{"op": "test", "path": "/id", "value": "p1"}, {"path": "/id"}], Invalid, "operation 1"),
        ([{"op": "append", "path": "/id", "value": "x"}], Invalid, "op must be one of"),
        ([{"op": "add", "path": "/id"}], Invalid, "needs 'value'"),
        ([{"op": "copy", "path": "/id"}], Invalid, "needs 'from'"),
        ([{"op": "remove", "path": 3}], Invalid, "JSON Pointer"),
        ([{"op": "remove", "path": "id"}], Invalid, "JSON Pointer"),
        ([{"op": "remove", "path": "/name"}], Unprocessable, "operation 0 (remove /name)"),
        ([{"op": "replace", "path": "/a/b", "value": 1}], Unprocessable, "no such place"),
        ([{"op": "move", "from": "/meta", "path": "/meta/tag"}], Unprocessable, "own children"),
        ([{"op": "test", "path": "/id", "value": "p2"}], PreconditionFailed, "operation 0 (test /id)"),
        ([{"op": "replace", "path": "", "value": []}], Unprocessable, "no resource"),
        ([{"op": "test", "path": "/id", "value": "p1"}] * 1001, TooCostly, "at most 1000"),
    ],
)
def test_what_is_wrong_with_a_json_patch_is_told_with_its_place(
    patch: Any, kind: type[Outcome], said: str
) -> None:
    with pytest.raises(Outcome) as refusal:
        apply_json_patch(patient(meta={"tag": []}), patch)

    assert type(refusal.value) is kind
    assert said in refusal.value.message


def test_a_json_patch_that_doubles_the_resource_again_and_again_is_refused() -> None:
    double = [{"op": "copy", "from": "", "path": f"/x{i}"} for i in range(40)]

    with pytest.raises(TooCostly, match="too large by copying"):
        apply_json_patch(patient(), double)


def test_a_json_patch_cannot_nest_deeper_than_a_resource_may() -> None:
    deeper = [{"op": "copy", "from": "/x", "path": "/x/x"}] * 100

    with pytest.raises(Unprocessable, match="too deep"):
        apply_json_patch(patient(x={}), deeper)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)
_POINTERS = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "~0"]), max_size=3).map(
    lambda parts: "".join(f"/{p}" for p in parts)
)


@given(
    document=st.dictionaries(st.sampled_from("ab"), _JSON, max_size=2),
    operations=st.lists(
        st.fixed_dictionaries(
            {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": _POINTERS},
            optional={"from": _POINTERS, "value": _JSON},
        ),
        max_size=4,
    ),
)
def test_any_json_patch_gives_an_object_or_an_outcome(
    document: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    kept = json.dump(document)
    with suppress(Invalid, PreconditionFailed):
        assert isinstance(apply_json_patch(document, operations), dict)
    assert json.dump(document) == kept


# --- FHIRPath Patch ----------------------------------------------------------------------------------------


def test_replacing_a_choice_changes_its_name_with_its_type() -> None:
    before = patient(deceasedBoolean=True)
    after = patched(before, operation("replace", "Patient.deceased", value={"valueDateTime": "2024-01-01"}))

    assert after == patient(deceasedDateTime="2024-01-01")


def test_a_choice_is_added_under_the_name_of_its_type_and_only_once() -> None:
    add = operation("add", "Patient", name="deceased", value={"valueBoolean": False})

    assert patched(patient(), add) == patient(deceasedBoolean=False)
    with pytest.raises(Unprocessable, match="operation 1: deceased is there already"):
        patched(patient(), add, add)


def test_extensions_on_primitives_stay_with_their_values() -> None:
    second = {"id": "second"}
    before = patient(name=[{"given": ["A", "B", "C"], "_given": [None, second, None]}])

    moved = patched(before, operation("move", "Patient.name.given", source=1, destination=0))
    removed = patched(before, operation("delete", "Patient.name.given[0]"))
    added = patched(before, operation("insert", "Patient.name.given", index=1, value="D"))

    assert moved["name"] == [{"given": ["B", "A", "C"], "_given": [second, None, None]}]
    assert removed["name"] == [{"given": ["B", "C"], "_given": [second, None]}]
    assert added["name"] == [{"given": ["A", "D", "B", "C"], "_given": [None, None, second, None]}]


def test_an_extension_is_added_to_a_primitive_by_its_parts() -> None:
    extension = {
        "part": [
            {"name": "url", "valueUri": "urn:x"},
            {"name": "value", "valueString": "about"},
        ]
    }
    after = patched(
        patient(birthDate="1970"), operation("add", "Patient.birthDate", name="extension", value=extension)
    )

    assert after == patient(
        birthDate="1970", _birthDate={"extension": [{"url": "urn:x", "valueString": "about"}]}
    )


def test_the_first_item_can_be_inserted_into_a_list_that_is_empty() -> None:
    insert = operation("insert", "Patient.name", index=0, value={"valueHumanName": {"text": "A"}})

    assert patched(patient(), insert) == patient(name=[{"text": "A"}])


def test_what_loses_its_last_content_disappears() -> None:
    before = patient(contact=[{"gender": "male"}], name=[{"text": "A"}])

    assert patched(before, operation("delete", "Patient.contact.gender")) == patient(name=[{"text": "A"}])
    assert patched(before, operation("delete", "Patient.photo")) == before


def test_a_decimal_in_a_fhirpath_patch_keeps_its_last_zero() -> None:
    before = {"resourceType": "Observation", "valueQuantity": {"value": Decimal("1")}}
    value = json.parse(b'{"valueDecimal": 2.50}')
    after = patched(before, operation("replace", "Observation.value.value", value=value))

    assert b'{"value":2.50}' in json.dump(after)


def test_a_contained_resource_and_what_is_in_it_can_be_changed() -> None:
    organisation = {"resourceType": "Organization", "id": "o", "name": "North"}
    added = patched(
        patient(), operation("add", "Patient", name="contained", value={"resource": organisation})
    )
    renamed = patched(
        added, operation("replace", "Patient.contained.where(id = 'o').name", value="South"), known=STU3
    )

    assert added == patient(contained=[organisation])
    assert renamed == patient(contained=[{**organisation, "name": "South"}])


_TEXT = {"valueString": "x"}


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        (operation("rename", "Patient.id"), Invalid, "type must be one of"),
        (operation("add", "Patient", value=_TEXT), Invalid, "needs the part 'name'"),
        (operation("delete", "Patient.id", index=0), Invalid, "no part 'index'"),
        (operation("delete", "Patient.name["), Invalid, "FHIRPath"),
        (operation("delete", "Patient.nam"), Invalid, "has no element"),
        (operation("delete", "Patient.name"), Unprocessable, "finds 2 elements"),
        (operation("delete", "Patient"), Unprocessable, "whole resource"),
        (operation("delete", "'a' & 'b'"), Unprocessable, "must lead to elements"),
        (operation("replace", "Patient.photo", value=_TEXT), Unprocessable, "finds 0 elements"),
        (operation("replace", "Patient.name[0]", value=_TEXT), Unprocessable, "not a string"),
        (operation("add", "Patient", name="nam", value=_TEXT), Unprocessable, "no element 'nam'"),
        (operation("add", "Patient", name="gender", value={}), Invalid, "one value"),
        (operation("insert", "Patient.name", index=3, value=_TEXT), Unprocessable, "beyond its end"),
        (operation("insert", "Patient.name[0]", index=0, value=_TEXT), Unprocessable, "one list, whole"),
        (operation("insert", "Patient.name.given", index=0, value=_TEXT), Unprocessable, "one list, whole"),
        (operation("insert", "Patient.name", index=-1, value=_TEXT), Invalid, "whole number from 0"),
        (operation("move", "Patient.name", source=0, destination=2), Unprocessable, "has 2 items"),
        (operation("move", "Patient.photo", source=0, destination=0), Unprocessable, "finds nothing"),
    ],
)
def test_what_is_wrong_with_a_fhirpath_patch_is_told_with_its_place(
    wrong: dict[str, Any], kind: type[Outcome], said: str
) -> None:
    before = patient(name=[{"given": ["A"]}, {"given": ["B"]}])
    fine = operation("add", "Patient", name="active", value={"valueBoolean": True})

    with pytest.raises(Outcome) as refusal:
        patched(before, fine, wrong)

    assert type(refusal.value) is kind
    assert said in refusal.value.message
    assert refusal.value.message.startswith("operation 1: ")
    assert refusal.value.expression == "Parameters.parameter[1]"
