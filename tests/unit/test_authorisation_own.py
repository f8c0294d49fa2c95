"""An organisation's own rows: narrower without a word, wider with a name and a reason, and every mistake is named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.shared import ROOT

from schakel.fhir import definitions
from schakel.fhir.search import QueryParser
from schakel.generic.authorisation import Facts, Policy, policy_with
from schakel.kernel.outcomes import Invalid, Outcome
from schakel.server import Request
from schakel.server.interaction import parse

DOCTOR = Facts("bgz-7-Problem", "00000001", "TREAT", "01.015", patient="999911120")
NURSE = replace(DOCTOR, role="30.000")
PHARMACIST = replace(DOCTOR, role="17.000", row="bgz-15-MedicationUse")
ANSWERED = (
    'responsible = "A. de Vries, privacy officer"\nreason = "the pharmacy on our premises treats with us"\n'
)
NEW_PERMIT = """[[permit]]
id = "our-pharmacists"
exchange = "bgz"
roles = ["17"]
purposes = ["TREAT"]
categories = ["medication"]
grounds = ["recorded"]
"""
NEW_FORM = """[[form]]
id = "our-documents"
exchange = "bgz"
version = "stu3"
interaction = "search"
type = "DocumentReference"
category = "correspondence"
patient = ["patient"]
parameters.status = ["current"]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own.toml"


def policy(own: Path, text: str) -> Policy:
    own.write_text(text)
    return policy_with(own)


def refused(own: Path, text: str) -> str:
    with pytest.raises(Invalid) as raised:
        policy(own, text)
    assert raised.value.kind == "matrix-invalid" and "own.toml" in raised.value.message
    return raised.value.message


def test_without_a_file_the_matrix_is_that_of_the_program() -> None:
    assert policy_with(None).digest == Policy().digest


def test_an_empty_file_changes_nothing(own: Path) -> None:
    assert policy(own, "").digest == Policy().digest


def test_a_permit_is_narrowed_by_the_members_that_are_given(own: Path) -> None:
    narrowed = policy(own, '[[permit]]\nid = "bgz-recorded"\nroles = ["01"]\n')
    assert narrowed.decide(DOCTOR, "recorded").permitted
    assert narrowed.decide(NURSE, "recorded").reason == "role-not-permitted"
    assert Policy().decide(NURSE, "recorded").permitted
    assert narrowed.digest != Policy().digest


def test_a_removed_permit_permits_nothing_and_a_removed_form_accepts_nothing(own: Path) -> None:
    less = policy(own, 'remove = ["bgz-recorded", "bgz-7-Problem"]\n')
    other = replace(DOCTOR, row="bgz-13-Alert")
    assert not less.decide(other, "recorded").permitted and Policy().decide(other, "recorded").permitted
    assert less.decide(DOCTOR, "mitz").reason == "form-not-allowed"
    request = parse(Request("stu3", "GET", "Condition", "patient=p1", {}), QueryParser(definitions("stu3")))
    with pytest.raises(Outcome) as raised:
        less.judge({"bgz"}, request)
    assert raised.value.kind == "form-not-allowed"


def test_a_new_permit_needs_who_answers_for_it_and_a_reason(own: Path) -> None:
    assert Policy().decide(PHARMACIST, "recorded").reason == "role-not-permitted"
    wider = policy(own, NEW_PERMIT + ANSWERED)
    verdict = wider.decide(PHARMACIST, "recorded")
    assert (verdict.permitted, verdict.rule) == (True, "our-pharmacists")
    elsewhere = replace(PHARMACIST, row="bgz-7-Problem")
    assert not wider.decide(elsewhere, "recorded").permitted
    for member in ("responsible", "reason"):
        less = "\n".join(line for line in (NEW_PERMIT + ANSWERED).splitlines() if not line.startswith(member))
        said = refused(own, less)
        assert "'our-pharmacists'" in said and f"'{member}'" in said
    assert "'responsible'" in refused(own, NEW_PERMIT + ANSWERED.replace("A. de Vries, privacy officer", " "))


@pytest.mark.parametrize(
    ("permit", "member"),
    [
        ("bgz-recorded", 'roles = ["01", "30", "81", "17"]'),
        ("bgz-recorded", 'roles = ["*"]'),
        ("bgz-recorded", 'purposes = ["TREAT", "COC"]'),
        ("bgz-recorded", 'grounds = ["recorded", "acute"]'),
        ("bgz-recorded", 'user = "any"'),
        ("bgz-mitz", "facility_types = []"),
        ("bgz-acute", 'assurance = "low"'),
        ("bgz-acute", 'facility_types = ["hospital", "gp"]'),
        ("bgz-break-glass", "bound = false"),
        ("medication-mitz", "claims = {}"),
        ("pzp-mitz", 'categories = ["*"]'),
    ],
)
def test_each_member_that_is_wider_needs_who_answers_for_it(own: Path, permit: str, member: str) -> None:
    change = f'[[permit]]\nid = "{permit}"\n{member}\n'
    said = refused(own, change)
    assert f"'{permit}'" in said and member.partition(" ")[0] in said
    assert policy(own, change + ANSWERED).digest != Policy().digest


@pytest.mark.parametrize(
    ("permit", "member"),
    [
        ("bgz-recorded", 'roles = ["01.015", "30"]'),
        ("bgz-recorded", 'grounds = ["recorded"]'),
        ("bgz-recorded", 'categories = ["medication"]'),
        ("bgz-recorded", 'assurance = "substantial"'),
        ("bgz-recorded", 'facility_types = ["V6"]'),
        ("bgz-recorded", "bound = true"),
        ("bgz-recorded", 'claims.patient_enrollment_identifier = "patient"'),
        ("bgz-mitz", 'facility_types = ["hospital"]'),
        ("bgz-acute", 'facility_types = ["V6", "N6"]'),
        ("bgz-acute", 'assurance = "high"'),
        ("eoverdracht-handover", 'user = "needed"'),
    ],
)
def test_each_member_may_be_narrowed_without_a_word(own: Path, permit: str, member: str) -> None:
    assert policy(own, f'[[permit]]\nid = "{permit}"\n{member}\n').digest != Policy().digest


def test_a_new_form_needs_who_answers_for_it_and_is_then_accepted(own: Path) -> None:
    assert "'responsible'" in refused(own, NEW_FORM)
    wider = policy(own, NEW_FORM + ANSWERED)
    query = "patient=Patient/p1&status=current"
    request = parse(Request("stu3", "GET", "DocumentReference", query, {}), QueryParser(definitions("stu3")))
    row = wider.judge({"bgz"}, request).row
    assert (row.id, row.responsible) == ("our-documents", "A. de Vries, privacy officer")
    assert wider.decide(replace(DOCTOR, row=row.id), "recorded").permitted
    with pytest.raises(Outcome):
        Policy().judge({"bgz"}, request)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense", ["cannot be read"]),
        ("permits = []", ["'permits'"]),
        ('remove = ["nothing"]', ["'nothing'", "'remove'"]),
        ('[[permit]]\nid = "bgz-recorded"\nexchange = "pzp"', ["'bgz-recorded'", "'exchange'"]),
        ('[[permit]]\nid = "bgz-recorded"\nrole = ["01"]', ["'bgz-recorded'", "'role'"]),
        ('[[permit]]\nid = "bgz-recorded"\nroles = "01"', ["'bgz-recorded'", "'roles'"]),
        ('[[permit]]\nid = "bgz-recorded"\nroles = []', ["'bgz-recorded'", "'roles'"]),
        ('[[permit]]\nid = "bgz-recorded"\nroles = ["1"]\n' + ANSWERED, ["'bgz-recorded'", "'roles'", "'1'"]),
        ('[[permit]]\nid = "bgz-recorded"\ngrounds = ["habit"]', ["'bgz-recorded'", "'grounds"]),
        ('[[permit]]\nid = "bgz-recorded"\ngrounds = []', ["'bgz-recorded'", "'grounds'"]),
        ('[[permit]]\nid = "bgz-recorded"\nassurance = "some"', ["'bgz-recorded'", "'assurance'", "'some'"]),
        (
            '[[permit]]\nid = "bgz-mitz"\nfacility_types = ["V99"]',
            ["'bgz-mitz'", "'facility_types'", "'V99'"],
        ),
        ('[[permit]]\nid = "bgz-mitz"\ncategories = ["love"]', ["'bgz-mitz'", "'categories'", "'love'"]),
        (NEW_PERMIT.replace('"bgz"', '"bgx"') + ANSWERED, ["'our-pharmacists'", "'exchange'", "'bgx'"]),
        (NEW_FORM.replace('"bgz"', '"bgx"') + ANSWERED, ["'our-documents'", "'exchange'", "'bgx'"]),
        (NEW_FORM.replace("our-documents", "bgz-13-Alert") + ANSWERED, ["'bgz-13-Alert'", "'id'"]),
        (NEW_FORM.replace("DocumentReference", "Document") + ANSWERED, ["'our-documents'", "'type'"]),
        (NEW_FORM.replace("s.status", "s.state") + ANSWERED, ["'our-documents'", "'parameters'", "'state'"]),
        (NEW_FORM.replace('["patient"]', "[]") + ANSWERED, ["'our-documents'", "'patient'"]),
        (NEW_FORM + 'includes = ["*"]\n' + ANSWERED, ["'our-documents'", "'includes'"]),
        (NEW_FORM + 'forms = ["all"]\n' + ANSWERED, ["'our-documents'", "'forms"]),
        (
            '[[form]]\nid = "more"\nexchange = "bgz"\nversion = "stu3"\ninteraction = "search"\ntype = "Flag"\n'
            'category = "alerts"\npatient = ["patient"]\n' + ANSWERED,
            ["'more'", "'parameters'", "'bgz-13-Alert'"],
        ),
        (
            '[[form]]\nid = "all"\nexchange = "bgz"\nversion = "stu3"\ninteraction = "read"\ntype = "Flag"\n'
            'category = "alerts"\n' + ANSWERED,
            ["'all'", "'tie'"],
        ),
    ],
)
def test_a_mistake_is_named_with_file_row_and_member(own: Path, text: str, named: list[str]) -> None:
    said = refused(own, text)
    assert all(word in said for word in named), said


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as raised:
        policy_with(tmp_path / "nowhere.toml")
    assert "nowhere.toml" in raised.value.message


def test_what_the_how_to_shows_is_taken(own: Path) -> None:
    page = (ROOT / "docs/how-to/set-your-own-authorisation.md").read_text("utf-8")
    blocks = re.findall(r"^```\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    for block in (*blocks, "\n".join(blocks)):
        assert policy(own, block).digest != Policy().digest
    said = refused(own, '[[permit]]\nid = "bgz-recorded"\nroles = ["01", "17"]\n').replace(
        "own.toml", "our-authorisation.toml"
    )
    assert said in page


def test_the_text_of_a_changed_matrix_holds_the_change(own: Path) -> None:
    wider = policy(own, NEW_PERMIT + ANSWERED)
    again = Policy.from_text(wider.text)
    assert again.decide(PHARMACIST, "recorded") == wider.decide(PHARMACIST, "recorded")
    assert "A. de Vries" in wider.text


def test_no_file_gives_patients_data_without_a_ground(own: Path) -> None:
    """ "none" is the ground of a notification, which takes nothing; whoever answers for it."""
    for change in (
        '[[permit]]\nid = "bgz-recorded"\ngrounds = ["none"]\n',
        '[[permit]]\nid = "notification"\ncategories = ["*"]\nexchange = "ta-np-notification"\n'
        + ANSWERED
        + NEW_FORM.replace('"bgz"', '"ta-np-notification"'),
        '[[permit]]\nid = "bgz-sender-task"\ngrounds = ["none"]\n',
    ):
        said = refused(own, change + ANSWERED)
        assert "'grounds'" in said and "'none'" in said


def test_who_answers_for_a_wider_permit_stays_named_when_it_is_changed_again(own: Path) -> None:
    widened = '[[permit]]\nid = "bgz-recorded"\nroles = ["*"]\n' + ANSWERED
    changed = policy(own, widened + '[[permit]]\nid = "bgz-recorded"\nbound = true\n')
    [permit] = [one for one in changed.matrix.permits if one.id == "bgz-recorded"]
    assert permit.bound and permit.responsible == "A. de Vries, privacy officer" and permit.reason
