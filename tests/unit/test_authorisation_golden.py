"""The matrix against cases written from the published tables: each request as it stands, and with one thing changed."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.search import QueryParser, encode, pairs_of
from schakel.generic.authorisation import Facts, GroundKind, Policy, Verdict
from schakel.kernel.outcomes import Outcome
from schakel.kernel.values import BSN_SYSTEM
from schakel.server import Interaction, Request
from schakel.server.interaction import parse

BSN = "999911120"
NAMED = f"{BSN_SYSTEM}|{BSN}"
GOLDEN: dict[str, Any] = tomllib.loads((Path(__file__).parent / "golden" / "authorisation.toml").read_text())
POLICY = Policy()
PARSERS = {version: QueryParser(definitions(version)) for version in ("stu3", "r4")}
WHO = Facts("", "00000001", "TREAT", "01.010", facility_type="V6", patient=BSN)


def asked(version: Version, method: str, path: str, query: str = "", body: bytes = b"") -> Interaction:
    headers = {"content-type": "application/x-www-form-urlencoded"} if path.endswith("_search") else {}
    return parse(Request(version, method, path, query, headers, body), PARSERS[version])


@dataclass(frozen=True)
class Case:
    """One search that a scope may ask."""

    scope: str
    version: Version
    ground: GroundKind
    other_role: str
    path: str
    pairs: tuple[tuple[str, str], ...]
    without: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.scope} {self.path}?{encode(self.pairs)}"

    def row(self, pairs: tuple[tuple[str, str], ...] | None = None, scope: str = "") -> str:
        """The row that accepts the search, or why it is refused."""
        query = encode(self.pairs if pairs is None else pairs)
        try:
            interaction = asked(self.version, "GET", self.path, query)
            return POLICY.judge({scope or self.scope}, interaction).row.id
        except Outcome as outcome:
            return outcome.kind

    def verdict(self, who: Facts = WHO, ground: GroundKind | None = None, *, bare: bool = False) -> Verdict:
        facts = replace(who, row=self.row(), claims=who.claims or self.claims)
        return POLICY.decide(facts, None if bare else ground or self.ground)


def cases() -> list[Case]:
    made = []
    for scope in GOLDEN["scope"]:
        claims = {name: value.format(bsn=NAMED) for name, value in scope.get("claims", {}).items()}
        for request in scope["requests"]:
            path, _, query = request["ask"].format(bsn=NAMED).partition("?")
            names = (scope["scope"], scope["version"], scope["ground"], scope["other_role"])
            made.append(Case(*names, path, pairs_of(query), request.get("without", {}), claims))
    return made


CASES = cases()
every_case = pytest.mark.parametrize("case", CASES, ids=str)
WRONG = {
    "form-not-allowed",
    "patient-not-named",
    "bsn-invalid",
    "search-parameter-unknown",
    "search-parameter-unsupported",
    "search-modifier-unsupported",
    "invalid",
    "not-supported",
}
"""How a search may be refused that is none of the forms: by the grammar or by the matrix."""


@every_case
def test_a_published_request_is_permitted_to_who_treats_on_the_ground_of_its_scope(case: Case) -> None:
    verdict = case.verdict()
    assert verdict.permitted, (case.row(), verdict)
    assert verdict.rule and verdict.link and not verdict.reason


@every_case
def test_a_search_by_post_is_judged_as_the_search_by_get(case: Case) -> None:
    if "$" in case.path:
        return
    interaction = asked(case.version, "POST", f"{case.path}/_search", "", encode(case.pairs).encode())
    assert POLICY.judge({case.scope}, interaction).row.id == case.row()


@every_case
def test_one_parameter_more_is_refused(case: Case) -> None:
    for more in (
        ("_lastUpdated", "gt2020"),
        ("_id", "x"),
        ("_tag", "x"),
        ("_revinclude", "Observation:subject"),
    ):
        if more[0] not in dict(case.pairs):
            assert case.row((*case.pairs, more)) in WRONG, more


@every_case
def test_one_parameter_less_is_refused_or_another_published_request(case: Case) -> None:
    for place, (name, _) in enumerate(case.pairs):
        less = case.pairs[:place] + case.pairs[place + 1 :]
        expected = case.without.get(name)
        got = case.row(less)
        assert got == expected if expected else got in WRONG, (name, got)


@every_case
def test_another_value_is_refused(case: Case) -> None:
    fixed = {"category", "code", "status", "class", "scope", "_include"} & dict(case.pairs).keys()
    for name in fixed:
        changed = tuple((n, "other" if n == name else v) for n, v in case.pairs)
        assert case.row(changed) in WRONG, name


@every_case
def test_another_role_purpose_or_scope_or_no_ground_is_refused_with_its_reason(case: Case) -> None:
    reasons = {
        "role-not-permitted": case.verdict(replace(WHO, role=case.other_role)),
        "user-missing": case.verdict(replace(WHO, role="")),
        "purpose-not-permitted": case.verdict(replace(WHO, purpose="HRESCH")),
        "facility-type-missing": case.verdict(replace(WHO, facility_type="")),
        "ground-missing": case.verdict(bare=True),
        "ground-not-sufficient": case.verdict(ground="handover"),
    }
    for reason, verdict in reasons.items():
        assert (verdict.permitted, verdict.rule, verdict.reason) == (False, "", reason), verdict
    assert case.row(scope="launch/patient") == "scope-missing"


@pytest.mark.parametrize("scope", GOLDEN["scope"], ids=lambda scope: scope["scope"])
def test_what_is_not_in_a_published_table_is_refused(scope: dict[str, Any]) -> None:
    for text in scope["refused"]:
        path, _, query = text.format(bsn=NAMED).partition("?")
        case = Case(scope["scope"], scope["version"], "mitz", "", path, pairs_of(query))
        assert case.row() in WRONG, text


@pytest.mark.parametrize("scope", GOLDEN["tied"], ids=lambda scope: scope["scope"])
def test_what_is_tied_to_a_task_is_accepted_as_its_flow_says_and_nothing_else(scope: dict[str, Any]) -> None:
    for line, expected in (*scope["allowed"], *scope["refused"]):
        method, _, rest = line.partition(" ")
        path, _, query = rest.partition("?")
        try:
            got = POLICY.judge({scope["scope"]}, asked(scope["version"], method, path, query)).row.id
        except Outcome as outcome:
            got = outcome.kind
        assert got == expected, line
    for _, row in scope["allowed"]:
        assert POLICY.decide(replace(WHO, row=row), scope["ground"]).permitted, row
        assert POLICY.decide(replace(WHO, row=row), None).reason == "ground-missing", row
        assert POLICY.decide(replace(WHO, row=row), "mitz").reason == "ground-not-sufficient", row


def test_another_exchange_is_not_opened_by_a_scope() -> None:
    judged = Case("bgz", "stu3", "mitz", "", "Condition", (("patient", "Patient/p1"),))
    assert judged.row() == "bgz-7-Problem"
    for scope in ("pzp-gf", "medicatieoverdracht-gf"):
        assert judged.row(scope=scope) == "form-not-allowed"
    for scope in ("eOverdracht-sender", "ta-np-notification"):
        assert judged.row(scope=scope) == "interaction-not-allowed"


def test_a_delegation_may_stand_in_for_the_user_of_medication() -> None:
    claims = {
        "patient_enrollment_identifier": NAMED,
        "delegation_registered_by": "900000008",
        "delegation_role_code": "17.000",
    }
    system = replace(WHO, row="medication-MA", role="", claims=claims)
    assert POLICY.decide(system, "mitz").rule == "medication-delegated"
    for name in ("delegation_registered_by", "delegation_role_code"):
        less = {n: v for n, v in claims.items() if n != name}
        assert not POLICY.decide(replace(system, claims=less), "mitz").permitted, name
    other = {**claims, "delegation_role_code": "92.000"}
    assert not POLICY.decide(replace(system, claims=other), "mitz").permitted
    elsewhere = {**claims, "patient_enrollment_identifier": f"{BSN_SYSTEM}|999990019"}
    assert POLICY.decide(replace(system, claims=elsewhere), "mitz").reason == "credential-other-patient"


def test_a_task_is_read_without_a_user_and_data_with_one() -> None:
    system = replace(WHO, role="")
    assert POLICY.decide(replace(system, row="bgz-sender-task-read"), "referral").permitted
    refused = POLICY.decide(replace(system, row="bgz-sender/bgz-7-Problem"), "referral")
    assert refused.reason == "user-missing"
