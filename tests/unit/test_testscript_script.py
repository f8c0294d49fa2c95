"""Reading scripts and finding them on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import testscript_builder as make
from tests.shared import shared

from schakel.conformance.loader import rounds
from schakel.conformance.script import Assertion, Operation, Script, read_script
from schakel.conformance.suite import Broken, discover, fhir_version
from schakel.kernel.outcomes import Invalid


def read(tmp_path: Path, text: str) -> Script:
    path = tmp_path / "script.xml"
    path.write_text(text)
    return read_script(path, "r4")


def test_operations_keep_what_the_request_needs(tmp_path: Path) -> None:
    action = make.operation(
        "update", resource="Task", params="/1", accept="json", contentType="xml", sourceId="body",
        responseId="answer", encodeRequestUrl=False, headers={"Prefer": "return=representation"},
    )  # fmt: skip

    (operation,) = read(tmp_path, make.script(make.case(action))).operations

    assert operation == Operation(
        "update", resource="Task", params="/1", accept="json", content_type="xml", source="body",
        response="answer", encode=False, headers=(("Prefer", "return=representation"),),
    )  # fmt: skip


def test_assertions_keep_direction_and_softness(tmp_path: Path) -> None:
    action = make.assertion(
        "no patient in the query", direction="request", requestURL="patient=", operator="notContains",
        warningOnly=True, stopTestOnFail=False,
    )  # fmt: skip

    (found,) = read(tmp_path, make.script(make.case(action))).tests[0].actions

    assert isinstance(found, Assertion)
    assert (found.direction, found.url, found.operator) == ("request", "patient=", "notContains")
    assert found.warning_only and not found.stop_test


def test_stop_on_fail_is_also_read_from_its_extension(tmp_path: Path) -> None:
    extension = f'<extension url="{make.TOUCHSTONE}testscript-assert-stopTestOnFail">'
    text = make.assertion("x", responseCode="200", stopTestOnFail=False).replace(
        "<assert>", f'<assert>{extension}<valueBoolean value="true"/></extension>'
    )

    (found,) = read(tmp_path, make.script(make.case(text))).tests[0].actions

    assert isinstance(found, Assertion) and found.stop_test


def test_a_rule_is_known_by_its_file_whatever_the_script_calls_it(tmp_path: Path) -> None:
    text = make.script(
        make.rule("modifyTask", "../_reference/rules/rewrite-response-taskStatus.groovy"),
        make.case(make.assertion(rule=("modifyTask", {"newStatus": "completed", "fixtureId": "f"}))),
    )

    (found,) = read(tmp_path, text).tests[0].actions

    assert isinstance(found, Assertion) and found.rule
    assert found.rule.name == "rewrite-response-taskStatus"
    assert found.rule.param("newStatus") == "completed" and found.rule.param("responseId") is None


@pytest.mark.parametrize(
    ("parties", "serves"),
    [
        (make.SERVER, True),
        (make.CLIENT, False),
        (make.SERVER + make.party("origin", 2, True) + make.party("destination", 2, False), True),
        (make.CLIENT + make.party("destination", 2, True), False),
        ("", True),
    ],
)
def test_the_first_destination_tells_whether_a_server_is_tested(
    tmp_path: Path, parties: str, serves: bool
) -> None:
    assert read(tmp_path, make.script(parties=parties)).serves is serves


def test_a_file_that_is_no_script_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not a FHIR TestScript"):
        read(tmp_path, '<Patient xmlns="http://hl7.org/fhir"/>')


def test_an_entity_in_a_script_is_not_read_from_disk(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden")
    text = make.script(make.case(make.operation("read"), id="T"))
    text = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{tmp_path}/secret">]>' + text.replace('"T"', '"&e;"')

    with pytest.raises(Invalid):
        read(tmp_path, text)


def test_discovery_takes_tests_and_leaves_fixtures_and_load_scripts(tmp_path: Path) -> None:
    patient = '<Patient xmlns="http://hl7.org/fhir"/>'
    root = make.suite(
        tmp_path,
        {
            "b/two.xml": make.script(id="two"),
            "a/one.xml": make.script(id="one"),
            "a/other.xml": patient,
            "_reference/x.xml": patient,
            "_LoadResources/load.xml": make.script(id="load", parties=""),
        },
    )

    (unit,) = discover(root)

    assert [path.name for path in unit.loads] == ["load.xml"]
    assert [s.id for f in unit.folders for s in f.scripts if isinstance(s, Script)] == ["one", "two"]


def test_load_scripts_are_found_above_the_chosen_folder(tmp_path: Path) -> None:
    root = make.suite(
        tmp_path, {"Serving/one.xml": make.script(), "_LoadResources/load.xml": make.script(parties="")}
    )

    (unit,) = discover(root / "Serving")

    assert (unit.root, len(unit.loads)) == (tmp_path, 1)


def test_two_units_are_kept_apart(tmp_path: Path) -> None:
    scripts = {"_LoadResources/load.xml": make.script(parties=""), "S/one.xml": make.script()}
    make.suite(tmp_path / "first", scripts)
    make.suite(tmp_path / "second", scripts)

    assert [unit.root.name for unit in discover(tmp_path)] == ["first", "second"]


def test_scripts_of_two_fhir_versions_are_refused_together(tmp_path: Path) -> None:
    make.suite(tmp_path / "a", {"one.xml": make.script()}, version="R4")
    make.suite(tmp_path / "b", {"two.xml": make.script()}, version="STU3")

    with pytest.raises(Invalid, match="r4 and stu3"):
        discover(tmp_path)


def test_a_broken_file_is_named_and_does_not_hide_the_others(tmp_path: Path) -> None:
    root = make.suite(tmp_path, {"a.xml": "<TestScript", "b.xml": make.script()})

    (unit,) = discover(root)

    broken, whole = unit.folders[0].scripts
    assert isinstance(broken, Broken) and "not well-formed" in broken.reason
    assert isinstance(whole, Script)


def test_an_empty_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no FHIR TestScript"):
        discover(tmp_path)


def test_a_version_that_is_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "properties.json").write_text(json.dumps({"fhirVersion": "R7"}))

    with pytest.raises(Invalid, match="r7"):
        fhir_version(tmp_path / "one.xml")


def test_patients_are_loaded_before_what_refers_to_them(tmp_path: Path) -> None:
    def put(kind: str) -> str:
        return make.operation("update", resource=kind, sourceId=kind) + make.assertion(responseCode="200")

    text = make.script(
        make.setup(make.operation("purge", resource="Patient", params="p/$purge")),
        make.case(put("Observation"), put("Patient"), put("Condition")),
    )

    purges, patients, others = rounds(read(tmp_path, text))

    assert [step.operation.code for step in purges] == ["purge"]
    assert [step.operation.resource for step in patients] == ["Patient"]
    assert [step.operation.resource for step in others] == ["Observation", "Condition"]
    assert all(len(step.assertions) == 1 for step in patients + others)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "serving", "asking", "steps"),
    [
        ("STU3/BgZ-MSZ-2-0", 16, 6, [2, 2, 106]),
        ("STU3/eOverdracht", 22, 15, [7, 6, 221]),
        ("STU3/BgZ-3-0", 104, 52, [2, 2, 58]),
        ("STU3/GenPractData-2-0", 14, 7, [1, 1, 120]),
        ("R4/Immunization-2-0", 8, 2, [2, 2, 27]),
    ],
)
def test_the_published_suites_are_read_whole(
    folder: str, serving: int, asking: int, steps: list[int]
) -> None:
    (unit,) = discover(shared("testscripts", folder))

    scripts = [s for f in unit.folders for s in f.scripts if isinstance(s, Script)]
    assert sum(len(f.scripts) for f in unit.folders) == len(scripts) == serving + asking
    assert sum(s.serves for s in scripts) == serving
    (load,) = unit.loads
    assert [len(r) for r in rounds(read_script(load, scripts[0].version))] == steps
    for script in scripts:
        for test in script.tests:
            for action in test.actions:
                if isinstance(action, Assertion):
                    assert action.elements
