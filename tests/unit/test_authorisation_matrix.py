"""Laws of the matrix: each condition counts, Cedar and the table say the same, nothing goes out that no row says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.fhir import definitions
from schakel.fhir.search import QueryParser, encode
from schakel.generic.authorisation import ANY, REASONS, Facts, GroundKind, Permit, Policy, Row, bundled
from schakel.generic.authorisation.checks import checked
from schakel.generic.authorisation.conditions import faults
from schakel.kernel.outcomes import Invalid, Outcome
from schakel.kernel.values import BSN_SYSTEM
from schakel.server import Interaction, Request
from schakel.server.interaction import parse

BSN, OTHER = "999911120", "999990019"
NAMED = f"{BSN_SYSTEM}|{BSN}"
MATRIX = bundled()
POLICY = Policy()
ROWS = [row for row in MATRIX.rows if row.tie != "released"]
GROUNDS: tuple[GroundKind, ...] = get_args(GroundKind)
PARSERS = {version: QueryParser(definitions(version)) for version in ("stu3", "r4")}


def test_the_matrix_of_the_program_can_be_used_and_names_the_source_of_each_row() -> None:
    assert checked(MATRIX, "the matrix") is MATRIX
    assert all(row.source for row in MATRIX.rows) and all(permit.source for permit in MATRIX.permits)
    assert all(row.link for row in MATRIX.rows)


# -- each condition counts ----------------------------------------------------------------------------------------


def row_of(permit: Permit) -> Row:
    """A row of which the permit gives the data."""
    return next(
        row
        for row in ROWS
        if row.exchange == permit.exchange and (row.category in permit.categories or ANY in permit.categories)
    )


def meeting(permit: Permit) -> Facts:
    """Facts that meet every condition of a permit."""
    role = "01.015" if ANY in permit.roles else f"{permit.roles[0]}.001"
    types = {ANY: "V6", **{group: min(codes) for group, codes in MATRIX.facility_groups.items()}}
    kind = permit.facility_types[0] if permit.facility_types else ""
    values = {"present": "x", "patient": NAMED, "role": role}
    return Facts(
        row_of(permit).id,
        "00000001",
        permit.purposes[0],
        role="" if permit.user == "none" else role,
        assurance=next(iter(MATRIX.assurances[permit.assurance])) if permit.assurance else "",
        facility_type=types.get(kind, kind),
        bound=permit.bound,
        claims={name: values[rule] for name, rule in permit.claims.items()},
        patient=BSN,
    )


def one_condition_off(permit: Permit) -> Iterator[tuple[str, Facts, str]]:
    """Each way to miss one condition of a permit: what, the facts, and the reason of the refusal."""
    met = meeting(permit)
    yield "another purpose", replace(met, purpose="HRESCH"), "purpose-not-permitted"
    if permit.user == "needed":
        yield "no user", replace(met, role=""), "user-missing"
    if permit.user == "none":
        yield "a user", replace(met, role="01.015"), "user-not-permitted"
    elif ANY not in permit.roles:
        yield "another role", replace(met, role="99.000"), "role-not-permitted"
    if permit.facility_types:
        yield "an unproved type", replace(met, facility_type=""), "facility-type-missing"
    if permit.facility_types and ANY not in permit.facility_types:
        yield "another type", replace(met, facility_type="ZG"), "facility-type-not-permitted"
    if permit.assurance:
        yield "no level", replace(met, assurance=""), "assurance-too-low"
        low = "http://eidas.europa.eu/LoA/low"
        yield "a low level", replace(met, assurance=low), "assurance-too-low"
    if permit.bound:
        yield "a free token", replace(met, bound=False), "token-not-bound"
    for name, rule in permit.claims.items():
        less = {n: v for n, v in met.claims.items() if n != name}
        yield f"no {name}", replace(met, claims=less), "credential-missing"
        if rule == "patient":
            other = {**met.claims, name: f"{BSN_SYSTEM}|{OTHER}"}
            yield f"{name} of another", replace(met, claims=other), "credential-other-patient"
            yield f"{name}, no patient", replace(met, patient=""), "credential-other-patient"
        if rule == "role":
            other = {**met.claims, name: "99.000"}
            yield f"{name} of another role", replace(met, claims=other), "credential-other-role"


def alone(permit: Permit) -> Policy:
    """A policy in which this is the only permit, so that no other one permits instead."""
    return Policy(replace(MATRIX, permits=(permit,)))


every_permit = pytest.mark.parametrize("permit", MATRIX.permits, ids=lambda permit: permit.id)


@every_permit
def test_a_permit_permits_what_meets_all_its_conditions_on_each_of_its_grounds(permit: Permit) -> None:
    for policy in (alone(permit), POLICY):
        for ground in permit.grounds:
            assert policy.decide(meeting(permit), ground).permitted
            assert ground in policy.grounds(meeting(permit))
    assert alone(permit).decide(meeting(permit), next(iter(permit.grounds))).rule == permit.id


@every_permit
def test_each_condition_of_a_permit_alone_refuses_with_its_reason(permit: Permit) -> None:
    policy = alone(permit)
    for what, facts, reason in one_condition_off(permit):
        for ground in permit.grounds:
            verdict = policy.decide(facts, ground)
            assert (verdict.permitted, verdict.rule, verdict.reason) == (False, "", reason), what
            assert verdict.explanation and permit.id in verdict.explanation
        assert not policy.grounds(facts), what
    for ground in set(GROUNDS) - permit.grounds:
        assert policy.decide(meeting(permit), ground).reason == "ground-not-sufficient"
    assert policy.decide(meeting(permit), None).reason == "ground-missing"


@every_permit
def test_a_permit_gives_no_data_of_another_category_or_exchange(permit: Permit) -> None:
    policy, met = alone(permit), meeting(permit)
    for row in ROWS:
        covered = ANY in permit.categories or row.category in permit.categories
        for ground in permit.grounds:
            permitted = policy.decide(replace(met, row=row.id), ground).permitted
            assert permitted is (row.exchange == permit.exchange and covered), row.id


def test_a_purpose_that_a_token_does_not_state_is_that_of_the_exchange() -> None:
    facts = Facts("bgz-7-Problem", "00000001", "", "01.015", patient=BSN)
    assert POLICY.decide(facts, "recorded").permitted


def test_a_read_that_is_tied_to_what_is_released_is_never_decided_on_itself() -> None:
    for row in MATRIX.rows:
        if row.tie == "released":
            facts = Facts(row.id, "00000001", "TREAT", "01.015", patient=BSN)
            assert POLICY.decide(facts, "recorded").reason == "form-not-allowed"
            assert not POLICY.grounds(facts)
    assert (
        POLICY.decide(Facts("never-heard-of", "00000001", "TREAT"), "recorded").reason == "form-not-allowed"
    )


# -- laws --------------------------------------------------------------------------------------------------------


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    levels = [uri for uris in MATRIX.assurances.values() for uri in uris]
    names = ("patient_enrollment_identifier", "delegation_registered_by", "delegation_role_code")
    values = st.sampled_from([NAMED, f"{BSN_SYSTEM}|{OTHER}", "x", "01.015", "99.000", ""])
    return Facts(
        draw(st.sampled_from(ROWS)).id,
        "00000001",
        draw(st.sampled_from(["TREAT", "COC", ""])),
        draw(st.sampled_from(["", "01.000", "01.015", "17.000", "30.000", "92.000", '"', "*", "01"])),
        draw(st.sampled_from([*levels, "", "http://example.org"])),
        draw(st.sampled_from(["", "V6", "Z3", "N6", "ZG", "K9", "hospital", "*", "X'\\"])),
        draw(st.booleans()),
        draw(st.dictionaries(st.sampled_from(names), values)),
        draw(st.sampled_from([BSN, OTHER, ""])),
    )


@given(facts(), st.sampled_from([*GROUNDS, None]))
def test_cedar_says_what_the_table_says(said: Facts, ground: GroundKind | None) -> None:
    row = POLICY.row(said.row)
    assert row is not None
    with_purpose = replace(said, purpose=said.purpose or "TREAT")
    met = [
        permit.id
        for permit in MATRIX.permits
        if permit.exchange == row.exchange
        and not list(faults(permit, row, with_purpose, ground or "", MATRIX))
    ]
    verdict = POLICY.decide(said, ground)
    assert (verdict.permitted, verdict.rule) == (bool(met), met[0] if met else "")
    assert verdict.permitted is (verdict.reason == "") and (verdict.permitted or verdict.reason in REASONS)
    assert verdict.permitted is (ground in POLICY.grounds(said))


@given(facts(), st.sampled_from([*GROUNDS, None]))
def test_the_text_of_a_policy_decides_the_same(said: Facts, ground: GroundKind | None) -> None:
    assert AGAIN.decide(said, ground) == POLICY.decide(said, ground)


AGAIN = Policy.from_text(POLICY.text)


def test_the_text_of_a_policy_reads_back_as_itself() -> None:
    assert (AGAIN.text, AGAIN.digest) == (POLICY.text, POLICY.digest)
    fewer = Policy(replace(MATRIX, permits=MATRIX.permits[1:]))
    assert fewer.digest != POLICY.digest
    for text in ("", "{}", POLICY.text.replace('"bgz-mitz"', '"bgz-recorded"')):
        with pytest.raises(Invalid) as raised:
            Policy.from_text(text)
        assert raised.value.kind == "matrix-invalid"


@given(facts(), st.sampled_from([*GROUNDS, None]))
def test_a_matrix_without_permits_denies_all(said: Facts, ground: GroundKind | None) -> None:
    verdict = NOTHING.decide(said, ground)
    assert (verdict.permitted, verdict.rule, NOTHING.grounds(said)) == (False, "", frozenset())


NOTHING = Policy(replace(MATRIX, permits=()))


def test_a_matrix_without_rows_accepts_nothing() -> None:
    empty = Policy(replace(MATRIX, rows=(), permits=()))
    for row, pairs in SEARCHES:
        with pytest.raises(Outcome):
            empty.judge(scopes(row), searching(row, pairs))


# -- the parsed query ---------------------------------------------------------------------------------------------


def scopes(row: Row) -> frozenset[str]:
    return POLICY.exchange(row.exchange).scopes


def pairs_of_row(row: Row) -> list[tuple[str, str]]:
    """A search of the row, with all that it must have and all that it may."""
    who = row.patient if row.type == "Patient" else f"{row.patient}:Patient.identifier"
    pairs = [(who, NAMED), *((name, ",".join(sorted(v))) for name, v in row.parameters.items())]
    pairs += [(name, "ge2026-01-01" if kind == "period" else "a|1") for name, kind in row.optional.items()]
    pairs += [("_include", include) for include in sorted(row.every_include)]
    return pairs + [("_include:iterate", include) for include in sorted(row.may_iterate)]


def searching(row: Row, pairs: list[tuple[str, str]]) -> Interaction:
    return parse(Request(row.version, "GET", row.type, encode(pairs), {}), PARSERS[row.version])


SEARCHES = [(row, pairs_of_row(row)) for row in ROWS if row.interaction == "search"]


@given(st.sampled_from(SEARCHES), st.data())
def test_the_order_of_parameters_and_values_is_free(
    search: tuple[Row, list[tuple[str, str]]], data: st.DataObject
) -> None:
    row, pairs = search
    mixed = []
    for name, value in data.draw(st.permutations(pairs)):
        values = value.split(",") if name in row.parameters else [value]
        mixed.append((name, ",".join(data.draw(st.permutations(values)))))
    judged = POLICY.judge(scopes(row), searching(row, mixed))
    assert (judged.row.id, judged.patient.bsn) == (row.id, BSN)


@given(st.sampled_from(SEARCHES), st.data())
def test_no_parameter_more_is_ever_accepted(
    search: tuple[Row, list[tuple[str, str]]], data: st.DataObject
) -> None:
    row, pairs = search
    known = sorted(definitions(row.version).search_parameters(row.type))
    taken = {name.partition(":")[0].partition(".")[0] for name, _ in pairs}
    special = [
        "_sort",
        "_summary",
        "_elements",
        "_total",
        "_contained",
        "_has:Provenance:target:_id",
        "_list",
    ]
    name = data.draw(st.sampled_from([n for n in [*known, *special] if n not in taken]))
    modifier = data.draw(st.sampled_from(["", "", "", ":missing", ":not", ":exact", ":identifier"]))
    value = data.draw(st.sampled_from(["true", "1", "2020", "a|b", "x", "Patient/p1", NAMED]))
    place = data.draw(st.integers(0, len(pairs)))
    with pytest.raises(Outcome):
        POLICY.judge(scopes(row), searching(row, [*pairs[:place], (name + modifier, value), *pairs[place:]]))


def alike(one: Row, other: Row) -> bool:
    """Whether rows are on one type in one exchange: with an include more, a search may be one of the other row."""
    return (one.exchange, one.type) == (other.exchange, other.type)


@given(st.sampled_from(SEARCHES), st.data())
def test_no_include_more_is_ever_accepted(
    search: tuple[Row, list[tuple[str, str]]], data: st.DataObject
) -> None:
    row, pairs = search
    known = definitions(row.version).search_parameters(row.type)
    references = [code for code in sorted(known) if known[code].type == "reference"]
    includes = [f"{row.type}:{code}" for code in references] + ["*", f"{row.type}:*", "Observation:subject"]
    name = data.draw(
        st.sampled_from(
            ["_include", "_include:iterate", "_include:recurse", "_revinclude", "_revinclude:iterate"]
        )
    )
    value = data.draw(st.sampled_from(includes))
    if name == "_include" and value in {
        i for one, _ in SEARCHES if alike(one, row) for i in one.every_include
    }:
        return
    with pytest.raises(Outcome):
        POLICY.judge(scopes(row), searching(row, [*pairs, (name, value)]))


# -- the weak points of earlier implementations -------------------------------------------------------------------


def judged(scope: str, request: Request) -> str:
    try:
        return POLICY.judge({scope}, parse(request, PARSERS[request.version])).row.id
    except Outcome as outcome:
        return outcome.kind


FORM = {"content-type": "application/x-www-form-urlencoded"}
GOOD, BAD = encode([("patient.identifier", NAMED)]), "code=1"


def test_a_form_in_the_body_of_a_get_is_not_what_is_judged() -> None:
    assert judged("bgz", Request("stu3", "GET", "Condition", BAD, FORM, GOOD.encode())) == "form-not-allowed"
    assert judged("bgz", Request("stu3", "GET", "Condition", GOOD, FORM, BAD.encode())) == "bgz-7-Problem"


def test_a_search_by_post_with_a_query_in_its_address_is_refused() -> None:
    assert judged("bgz", Request("stu3", "POST", "Condition/_search", BAD, FORM, GOOD.encode())) == "invalid"
    assert (
        judged("bgz", Request("stu3", "POST", "Condition/_search", "", FORM, GOOD.encode()))
        == "bgz-7-Problem"
    )


@pytest.mark.parametrize(
    "more",
    [
        "_include=Observation:specimen",
        "_revinclude=Provenance:target",
        "status=final",
        "date=gt2020",
        "max=2",
    ],
)
def test_lastn_takes_no_include_and_no_parameter_that_its_row_does_not_have(more: str) -> None:
    query = f"{GOOD}&code=http://loinc.org|85354-9"
    assert judged("bgz", Request("stu3", "GET", "Observation/$lastn", query, {})) == "bgz-20-BloodPressure"
    assert judged("bgz", Request("stu3", "GET", "Observation/$lastn", f"{query}&{more}", {})) != (
        "bgz-20-BloodPressure"
    )


def test_a_reverse_include_beside_a_lookup_of_the_patient_is_refused() -> None:
    query = encode([("identifier", NAMED)])
    assert judged("pzp-gf", Request("r4", "GET", "Patient", query, {})) == "pzp-patient"
    more = f"{query}&_revinclude=Observation:subject"
    assert judged("pzp-gf", Request("r4", "GET", "Patient", more, {})) == "form-not-allowed"


def test_a_read_of_a_handover_is_tied_to_the_task_whatever_its_type() -> None:
    reads = [r for r in MATRIX.rows if r.exchange == "eoverdracht-sender" and r.interaction == "read"]
    assert reads and all(row.tie in ("task", "task-input", "task-document") for row in reads)
    assert {row.type for row in reads if row.tie == "task"} == {"Task"}


@pytest.mark.parametrize("path", ["Task/t", "Composition/c"])
@pytest.mark.parametrize("beside", ["bgz", "pzp-gf"])
def test_what_one_exchange_gives_in_general_hides_nothing_that_another_gives_of_the_type(
    path: str, beside: str
) -> None:
    asked = parse(Request("stu3", "GET", path, "", {}), PARSERS["stu3"])
    alone = POLICY.judge({"eOverdracht-sender"}, asked).row
    assert alone.exchange == "eoverdracht-sender"
    assert POLICY.judge({beside, "eOverdracht-sender"}, asked).row == alone


def test_an_update_of_a_task_may_change_its_status_and_little_else() -> None:
    for row in MATRIX.rows:
        if row.interaction == "update" and row.tie == "task":
            assert row.changes.isdisjoint(
                {"owner", "requester", "for", "input", "code", "restriction", "basedOn"}
            )
            assert {"completed", "cancelled"}.isdisjoint(row.statuses)


def test_a_page_link_is_never_judged_by_itself() -> None:
    assert judged("bgz", Request("stu3", "GET", "Condition", "_page=abc~10", {})) in (
        "form-not-allowed",
        "invalid",
    )


def test_every_reason_of_a_refusal_has_words() -> None:
    for permit in MATRIX.permits:
        assert {reason for _, _, reason in one_condition_off(permit)} <= set(REASONS)
