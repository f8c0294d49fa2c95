"""From what was seen and declared to a verdict, and from verdicts to a declaration of conformity."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from lxml import etree

from schakel.conformance.api_requirements import (
    ApiResult,
    Declared,
    Standard,
    Verdict,
    exit_code,
    read_answers,
    report,
)
from schakel.conformance.api_requirements.catalogue import at, catalogue
from schakel.conformance.api_requirements.judging import judge
from schakel.conformance.api_requirements.model import Finding
from schakel.kernel.outcomes import Invalid
from schakel.kernel.texts import Text

MOMENT = datetime(2026, 11, 22, 12, tzinfo=UTC)
PASSED, FAILED, UNKNOWN, OUTSIDE = Verdict.PASSED, Verdict.FAILED, Verdict.UNKNOWN, Verdict.NOT_APPLICABLE
YES = Declared("conformant", "So it is.", "https://ehr.example/proof")
NO = Declared("not-conformant", "Not yet.")
NOT_HERE = Declared("not-applicable", "There is none.")


def seen(key: str, verdict: Verdict) -> dict[str, Finding]:
    return {key: Finding(key, verdict, Text("gezien", "seen"), "https://ehr.example/fhir", MOMENT)}


def run(
    findings: dict[str, Finding] | None = None,
    answers: dict[str, Declared] | None = None,
    standard: Standard = Standard.FULL,
) -> ApiResult:
    results = tuple(r for one in at(standard) for r in judge(one, findings or {}, answers or {}, MOMENT))
    return ApiResult("https://ehr.example/fhir", standard, MOMENT, 1.0, results)


def verdict(
    key: str, findings: dict[str, Finding] | None = None, answers: dict[str, Declared] | None = None
) -> Verdict:
    return next(one.verdict for one in run(findings, answers).results if one.key == key)


def test_what_nobody_looked_at_is_not_known() -> None:
    result = run()
    assert result.with_verdict(PASSED) == () and result.with_verdict(FAILED) == ()
    assert exit_code(result) == 2


def test_the_place_in_the_api_library_is_for_people_to_say_and_the_reason_says_why() -> None:
    told = {one.code: one for one in run(standard=Standard.OPEN).whole}
    for code, why in (
        ("DI001", "logged in"),
        ("DI002", "no implementations"),
        ("DI003", "where an API runs"),
    ):
        assert told[code].verdict is UNKNOWN
        assert why in told[code].reason.en and "--answers" in told[code].reason.nl
    assert verdict("DI001", answers={"DI001": YES}) is PASSED


@pytest.mark.parametrize(
    ("found", "declared", "expected"),
    [
        (PASSED, None, PASSED),
        (FAILED, None, FAILED),
        (UNKNOWN, None, UNKNOWN),
        (None, YES, PASSED),
        (None, NO, FAILED),
        (None, NOT_HERE, OUTSIDE),
        (UNKNOWN, YES, PASSED),
        (FAILED, YES, FAILED),
        (FAILED, NOT_HERE, OUTSIDE),
        (PASSED, NO, FAILED),
    ],
)
def test_what_is_seen_broken_stays_so_and_a_person_says_the_rest(
    found: Verdict | None, declared: Declared | None, expected: Verdict
) -> None:
    findings = seen("LM008", found) if found else {}
    assert verdict("LM008", findings, {"LM008": declared} if declared else {}) is expected


def test_a_part_that_must_hold_and_fails_makes_the_whole_fail() -> None:
    assert verdict("SD001", seen("SD001.013", FAILED), {"SD001": YES}) is FAILED


def test_a_part_that_only_should_hold_does_not_decide_what_must() -> None:
    assert verdict("LM001", answers={"LM001": YES, "LM001.003": NO}) is PASSED
    assert verdict("LM001", answers={"LM001": YES, "LM001.002": NO}) is FAILED


def test_a_part_that_is_not_named_follows_what_is_declared_of_the_whole() -> None:
    assert verdict("SD001.006", answers={"SD001": YES}) is PASSED
    assert verdict("SD001", answers={"SD001": YES, "SD001.006": NOT_HERE}) is PASSED
    assert verdict("SD001", seen("SD001.013", PASSED)) is UNKNOWN


def test_a_possibility_binds_nobody_and_soap_and_clients_are_not_asked() -> None:
    for key in ("SD005", "SD005.002", "SD001.002", "SC-S001", "LM007", "DR-R005", "DR-R007.001"):
        assert verdict(key) is OUTSIDE
    assert verdict("SD005", answers={"SD005": NO}) is OUTSIDE


def test_a_recommendation_that_is_not_followed_does_not_make_a_run_fail() -> None:
    result = run({**seen("SD003.001", FAILED), **seen("LM008", PASSED)})
    assert verdict("SD003", seen("SD003.001", FAILED)) is FAILED
    assert result.failed == () and exit_code(result) == 0
    assert "1 recommended and not followed" in report.closing(result)
    assert exit_code(run(seen("LM008", FAILED))) == 1


def declared(result: ApiResult) -> dict[str, dict[str, str]]:
    table = orjson.loads(report.declaration(result))
    assert set(table) == {"requirementsVersion", "requirements"} and table["requirementsVersion"] == "1.2.0"
    found: dict[str, dict[str, str]] = table["requirements"]
    return found


def test_what_could_not_be_checked_is_not_declared_and_is_named() -> None:
    result = run(seen("LM008", PASSED))
    assert "SD010" not in declared(result) and "SD010" in report.undeclared(result)
    assert declared(result)["LM008"]["conformityType"] == "CONFORMANT"
    assert "https://ehr.example/fhir" in declared(result)["LM008"]["remarks"]


def test_a_declaration_with_everything_has_the_codes_of_a_rest_specification() -> None:
    codes = [code for code, one in catalogue().items() if "spec" in one.roles and one.style != "soap"]
    result = run(answers={**dict.fromkeys(codes, YES), "DR012": NOT_HERE, "SC001": NO})
    made = declared(result)
    assert report.undeclared(result) == ()
    assert len(made) == sum(len(catalogue()[code].keys) for code in codes)
    assert {"SD001.017", "DI001.003", "LM001.004", "DR-R002", "SC007", "SC-R003", "IS003.002"} <= set(made)
    assert not {"SD008", "DR002", "SC004", "SC-S001", "DR-S001"} & set(made)
    assert (
        made["DR012"]["conformityType"] == "NOT_APPLICABLE" and "There is none." in made["DR012"]["remarks"]
    )
    assert made["SC001"]["conformityType"] == "NOT_CONFORMANT"


def test_the_forms_say_the_same() -> None:
    result = run({**seen("LM008", FAILED), **seen("DR007", PASSED)})
    table = orjson.loads(report.as_json(result))
    assert table["counts"]["fail"] == 1 and table["counts"]["pass"] == 1
    one = next(row for row in table["results"] if row["code"] == "LM008")
    assert one["verdict"] == "fail" and one["reason"] == {"nl": "gezien", "en": "seen"}
    suite = etree.fromstring(report.junit(result))[0]
    assert (suite.get("failures"), suite.get("tests")) == ("1", "78")
    page = report.html(result).decode()
    for code in catalogue():
        assert f'id="{code}"' in page
    assert "<script" not in page
    assert report.closing(result) in report.text(result) and report.closing(result) in page


def test_answers_are_read_from_toml_and_json(tmp_path: Path) -> None:
    toml, plain = tmp_path / "answers.toml", tmp_path / "answers.json"
    toml.write_text(
        '[SD002]\nconformity = "conformant"\nevidence = "https://ehr.example/docs"\n'
        '[SD001.006]\nconformity = "not-applicable"\nremark = "one address"\n'
        '["SD001.007"]\nconformity = "not-conformant"\n'
    )
    read = read_answers(toml)
    assert set(read) == {"SD002", "SD001.006", "SD001.007"}
    plain.write_text('{"SD001.006": {"conformity": "not-applicable", "remark": "one address"}}')
    assert read_answers(plain)["SD001.006"] == read["SD001.006"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[SD999]\nconformity = "conformant"\nevidence = "x"', "SD999 is no requirement"),
        ('[SD001.099]\nconformity = "conformant"\nevidence = "x"', "SD001.099 is no requirement"),
        ('[SD002]\nconformity = "yes"', "conformity is one of"),
        ('[SD002]\nconformity = "conformant"', "needs evidence"),
        ('[SD002]\nconformity = "not-applicable"', "needs a remark"),
        ('[SD002]\nconformity = "conformant"\nproof = "x"', "has proof"),
        ("SD002 = 1", "is no table"),
        ("[SD002", "is no TOML"),
    ],
)
def test_answers_that_say_nothing_are_refused_by_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "answers.toml"
    path.write_text(text)
    with pytest.raises(Invalid, match=told):
        read_answers(path)
