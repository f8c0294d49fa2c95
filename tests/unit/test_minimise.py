"""Of what was found only what is about this patient goes out, with what a released match refers to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.fhir.json import Resource
from schakel.gateway.minimise import Item, Minimised, Subject, about, item, minimise
from schakel.kernel.values import BSN_OID, BSN_SYSTEM

BSN, OTHER = "999911120", "999990019"
BASE = "https://holder.example/fhir"
SUBJECT = Subject(BSN, frozenset({"p1"}))
MINE, ANOTHERS = {"reference": "Patient/p1"}, {"reference": "Patient/p2"}


def made(kind: str, match: bool = True, **members: Any) -> Item:
    resource: Resource = {"resourceType": kind, "id": "x1", **members}
    return item("stu3", resource, match, (BASE,))


def bsn(number: str, system: str = BSN_SYSTEM) -> dict[str, str]:
    return {"system": system, "value": number}


def patient(logical_id: str = "p1", *numbers: str, match: bool = True, **members: Any) -> Item:
    identifiers = [bsn(n) for n in numbers or (BSN,)]
    return made("Patient", match, id=logical_id, identifier=identifiers, **members)


def judged(
    *items: Item, includes: tuple[str, ...] = (), elsewhere: frozenset[str] = frozenset()
) -> Minimised:
    return minimise("stu3", items, SUBJECT, includes, elsewhere.__contains__)


def kept(*items: Item, **options: Any) -> set[str]:
    return {i.key for i in judged(*items, **options).released}


OF_THIS_PATIENT: dict[str, dict[str, Any]] = {
    "by reference": {"subject": MINE},
    "by a reference to one version": {"subject": {"reference": "Patient/p1/_history/3"}},
    "by an absolute reference to the holder": {"subject": {"reference": f"{BASE}/Patient/p1"}},
    "by BSN": {"subject": {"identifier": bsn(BSN)}},
    "by BSN with its OID": {"subject": {"identifier": bsn(BSN, BSN_OID)}},
    "by reference and BSN": {"subject": {**MINE, "identifier": bsn(BSN)}},
    "as subject and performer": {"subject": MINE, "performer": [MINE]},
    "in a contained record": {
        "subject": {"reference": "#c"},
        "contained": [{"resourceType": "Patient", "id": "c", "identifier": [bsn(BSN)]}],
    },
    "with a performer elsewhere": {
        "subject": MINE,
        "performer": [{"reference": "https://elsewhere.example/Practitioner/1"}],
    },
}

NOT_OF_THIS_PATIENT: dict[str, dict[str, Any]] = {
    "of a group": {"subject": {"reference": "Group/g1"}},
    "of somebody inside who is not there": {"subject": {"reference": "#nobody"}},
    "of somebody with another kind of number": {"subject": {"identifier": {"system": "urn:x", "value": BSN}}},
    "of somebody with a name alone": {"subject": {"display": "Jan Jansen"}},
    "of two in a place for one": {"subject": {"reference": ["Patient/p1", "Patient/p2"]}},
    "of another": {"subject": ANOTHERS},
    "of a patient elsewhere": {"subject": {"reference": "https://elsewhere.example/Patient/p1"}},
    "of whatever stands elsewhere": {
        "subject": {"reference": "urn:uuid:0b0e6a4e-0000-4000-8000-000000000000"}
    },
    "of another BSN": {"subject": {"identifier": bsn(OTHER)}},
    "with a reference and a BSN that contradict": {"subject": {**MINE, "identifier": bsn(OTHER)}},
    "of another, made by this patient": {"subject": ANOTHERS, "performer": [MINE]},
    "of this patient, made by another": {"subject": MINE, "performer": [ANOTHERS]},
    "of this patient, made by a BSN of another": {"subject": MINE, "performer": [{"identifier": bsn(OTHER)}]},
    "with another patient inside": {
        "subject": MINE,
        "contained": [{"resourceType": "Patient", "id": "c", "identifier": [bsn(OTHER)]}],
    },
    "with somebody inside who has no BSN": {
        "subject": {"reference": "#c"},
        "contained": [{"resourceType": "Patient", "id": "c", "name": [{"text": "Jan"}]}],
    },
}


@pytest.mark.parametrize("case", OF_THIS_PATIENT)
def test_what_names_this_patient_goes_out(case: str) -> None:
    found = made("Observation", **OF_THIS_PATIENT[case])
    assert about(found, SUBJECT) is True
    assert kept(found) == {"Observation/x1"}


@pytest.mark.parametrize("case", NOT_OF_THIS_PATIENT)
@pytest.mark.parametrize("match", [True, False])
def test_what_names_another_patient_is_held_back_also_when_a_match_refers_to_it(
    case: str, match: bool
) -> None:
    found = made("Observation", match, **NOT_OF_THIS_PATIENT[case])
    lab = made(
        "Observation",
        id="lab",
        subject=MINE,
        related=[{"type": "has-member", "target": {"reference": "Observation/x1"}}],
    )
    done = judged(lab, found, includes=("Observation:related-target",))
    assert [i.key for i in done.released] == ["Observation/lab"]
    assert [(d.key, d.reason) for d in done.dropped] == [("Observation/x1", "other-patient")]


def test_whoever_takes_part_elsewhere_makes_an_appointment_no_other_patients() -> None:
    def appointment(actor: str) -> Item:
        return made("Appointment", participant=[{"actor": MINE}, {"actor": {"reference": actor}}])

    for actor in (
        "Practitioner/1",
        f"{BASE}/Location/1",
        "https://elsewhere.example/Practitioner/1/_history/2",
    ):
        assert about(appointment(actor), SUBJECT) is True, actor
    for actor in ("Patient/p2", "https://elsewhere.example/Patient/p1/_history/2", "urn:uuid:1"):
        assert about(appointment(actor), SUBJECT) is False, actor


def test_a_match_without_a_patient_is_held_back() -> None:
    assert kept(made("Observation")) == set()
    assert kept(made("Organization")) == set()


def test_only_the_record_of_this_patient_goes_out() -> None:
    assert kept(patient()) == {"Patient/p1"}
    assert kept(patient("p2")) == set()
    assert kept(patient("p1", OTHER)) == set()
    assert kept(patient("p1", BSN, OTHER)) == set()


def coverage(payor: str) -> Item:
    return made("Coverage", id="cov", beneficiary=MINE, payor=[{"reference": payor}])


def test_another_patient_never_goes_out_also_when_a_match_refers_to_it() -> None:
    other = patient("p2", OTHER, match=False)
    includes = ("Coverage:payor:Patient", "Coverage:payor:Organization")
    assert kept(coverage("Patient/p2"), other, includes=includes) == set()
    nobody = made("Patient", False, id="p3")
    assert "Patient/p3" not in kept(coverage("Patient/p3"), nobody, includes=includes)
    own = patient(match=False)
    assert kept(coverage("Patient/p1"), own, includes=includes) == {"Coverage/cov", "Patient/p1"}


def test_what_has_no_patient_goes_out_when_a_released_match_refers_to_it_by_an_accepted_include() -> None:
    insurer = made("Organization", False, id="o1")
    accepted = ("Coverage:payor:Organization",)
    assert kept(coverage("Organization/o1"), insurer, includes=accepted) == {
        "Coverage/cov",
        "Organization/o1",
    }
    for includes in ((), ("Coverage:payor:Patient",), ("Coverage:policy-holder",), ("Patient:organization",)):
        done = judged(coverage("Organization/o1"), insurer, includes=includes)
        assert [(d.key, d.reason) for d in done.dropped] == [("Organization/o1", "not-referred-to")]
    assert kept(coverage("Organization/o2"), insurer, includes=accepted) == {"Coverage/cov"}


def test_what_only_a_held_back_match_refers_to_is_held_back_too() -> None:
    insurer = made("Organization", False, id="o1")
    theirs = made("Coverage", id="cov", beneficiary=ANOTHERS, payor=[{"reference": "Organization/o1"}])
    assert kept(theirs, insurer, includes=("Coverage:payor:Organization",)) == set()


def test_what_an_include_refers_to_is_not_included_in_turn() -> None:
    first = made("Observation", id="a", subject=MINE, related=[{"target": {"reference": "Observation/b"}}])
    second = made(
        "Observation", False, id="b", subject=MINE, related=[{"target": {"reference": "Observation/c"}}]
    )
    third = made("Observation", False, id="c", subject=MINE)
    released = kept(first, second, third, includes=("Observation:related-target",))
    assert released == {"Observation/a", "Observation/b"}


def provenance(*targets: str, **members: Any) -> Item:
    return made("Provenance", False, id="prov", target=[{"reference": t} for t in targets], **members)


def test_a_provenance_goes_out_when_all_it_is_about_does() -> None:
    mine = made("Condition", id="c1", subject=MINE)
    theirs = made("Condition", id="c2", subject=ANOTHERS)
    assert kept(mine, provenance("Condition/c1")) == {"Condition/c1", "Provenance/prov"}
    assert kept(mine, provenance(f"{BASE}/Condition/c1/_history/1")) == {"Condition/c1", "Provenance/prov"}
    for targets in (("Condition/c1", "Condition/c2"), ("Condition/c3",), (), ("Condition/c1", "#inside")):
        assert kept(mine, theirs, provenance(*targets)) == {"Condition/c1"}, targets
    both = provenance("Condition/c1", "Flag/f1")
    assert kept(mine, both) == {"Condition/c1"}
    assert kept(mine, both, elsewhere=frozenset({"Flag/f1"})) == {"Condition/c1", "Provenance/prov"}


def test_a_provenance_about_another_patient_is_held_back_whatever_else_it_is_about() -> None:
    mine = made("Condition", id="c1", subject=MINE)
    about_both = provenance("Condition/c1", "Patient/p2")
    assert kept(mine, about_both, elsewhere=frozenset({"Patient/p2"})) == {"Condition/c1"}


references = st.sampled_from(
    [
        None,
        MINE,
        ANOTHERS,
        {"identifier": bsn(OTHER)},
        {"reference": "Device/d1"},
        {"reference": "urn:uuid:1"},
    ]
)


@given(st.lists(st.tuples(references, references, st.booleans()), max_size=6))
def test_nothing_that_names_another_patient_ever_goes_out_and_nothing_vanishes(
    drawn: list[tuple[dict[str, Any] | None, dict[str, Any] | None, bool]],
) -> None:
    items = []
    for number, (subject, performer, match) in enumerate(drawn):
        members: dict[str, Any] = {"related": [{"target": {"reference": "Observation/0"}}]}
        if subject:
            members["subject"] = subject
        if performer:
            members["performer"] = [performer]
        items.append(made("Observation", match, id=str(number), **members))
    done = judged(*items, includes=("Observation:related-target",))
    for found in done.released:
        assert OTHER not in str(found.resource) and "Patient/p2" not in str(found.resource)
    assert {i.key for i in done.released} | {d.key for d in done.dropped} == {i.key for i in items}
    assert len(done.released) + len(done.dropped) == len(items)


def test_what_an_include_brought_brings_others_when_it_is_repeated() -> None:
    target = {"type": "has-member", "target": {"reference": "Observation/member"}}
    match = made("Observation", subject=MINE, related=[target])
    member = made(
        "Observation", False, id="member", subject=MINE, performer=[{"reference": "Practitioner/of"}]
    )
    items = (match, member, made("Practitioner", False, id="of"), made("Practitioner", False, id="other"))
    plain, repeated, nothing = ("Observation:related-target",), ("Observation:performer",), frozenset[str]()
    once = minimise("stu3", items, SUBJECT, plain, nothing.__contains__)
    assert {i.key for i in once.released} == {"Observation/x1", "Observation/member"}
    again = minimise("stu3", items, SUBJECT, plain, nothing.__contains__, repeated)
    assert {i.key for i in again.released} == {"Observation/x1", "Observation/member", "Practitioner/of"}
    assert [(d.key, d.reason) for d in again.dropped] == [("Practitioner/other", "not-referred-to")]
