"""One guarded request that meets every condition; then each condition alone is taken away, and the refusal names it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from joserfc.jwk import ECKey
from tests.guarded import keys
from tests.nation import ALLOWS, REFUSES, REQUESTER, Nation, nation
from tests.nodes import DOCTOR, RunningNode
from tests.whole import (
    Asker,
    by_assertion,
    directory,
    events,
    hospital,
    kinds,
    known_as,
    named,
    reason,
    stored,
)

from schakel.generic.identity import User
from schakel.kernel.clock import new_id
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

UNKNOWN_TYPE = "90000066"
"""Whose type the directory of the hospital does not have."""

MATRIX = """
remove = ["bgz-recorded", "bgz-acute", "bgz-break-glass", "bgz-5-MaritalStatus"]
[[permit]]
id = "bgz-mitz"
categories = ["problems", "personal details"]
bound = true
"""
"""One permit for the BgZ is left, so that each refusal has one reason."""

FORM = f"Condition?{named(ALLOWS)}"


@dataclass(frozen=True)
class Stage:
    """The hospital, and the GP with all that is needed."""

    country: Nation
    node: RunningNode
    asker: Asker

    async def other(self, **changed: str) -> Asker:
        """The same as somebody else; see `known_as`."""
        return await Asker.presenting(self.country, self.node, await known_as(self.country, **changed))

    async def bearer(self) -> Asker:
        """The same with a token that is bound to nothing."""
        header = await self.country.requester.bearer(self.asker.issuer)
        token = header["Authorization"].removeprefix("Bearer ")
        return replace(self.asker, certificate=None, key=None, token=token, front=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "own.toml").write_text(MATRIX)
    async with nation(folder) as country:
        peers = directory(country, {REQUESTER: "Z3", UNKNOWN_TYPE: ""})
        own = {"authorisation": folder / "own.toml"}
        async with hospital(cluster, "conditions", country, own, directory=peers) as node:
            yield Stage(country, node, await Asker.presenting(country, node))


async def test_with_every_condition_met_it_is_given(stage: Stage) -> None:
    assert keys(await stage.asker.ask(FORM)) == {"Condition/allows"}


# What is wrong with the token is told to its face.
TOKENS: dict[str, tuple[Callable[[Stage], Asker], str]] = {
    "another certificate": (lambda s: replace(s.asker, certificate=s.country.operator), "token-certificate"),
    "no proof of the key": (lambda s: replace(s.asker, key=None), "token-bound"),
    "another key": (lambda s: replace(s.asker, key=ECKey.generate_key("P-256")), "token-key"),
    "another token": (lambda s: replace(s.asker, token="x" * 43), "token-invalid"),
}


@pytest.mark.parametrize("case", TOKENS)
async def test_a_token_is_for_who_got_it(stage: Stage, case: str) -> None:
    change, code = TOKENS[case]
    correlation = new_id()
    answer = await change(stage).ask(FORM, "stu3", **{"X-Correlation-ID": correlation})
    assert answer.status_code == 401 and "WWW-Authenticate" in answer.headers
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == code
    # Where it is known whose token it is, the log of the holder says so.
    logged = await events(stage.node, correlation=correlation, subtype="token", requester=REQUESTER)
    assert [event["outcomeDesc"] for event in logged] == ([] if code == "token-invalid" else [code])
    assert keys(await stage.asker.ask(FORM)) == {"Condition/allows"}


# What is wrong with the request is told before a patient is known.
REQUESTS = {
    "a parameter more": (f"{FORM}&category=problem", "form-not-allowed"),
    "no patient": ("Condition", "patient-not-named"),
    "two patients": (f"{FORM},{BSN_SYSTEM}|{REFUSES}", "patient-not-named"),
    "a row that the hospital took away": (f"Patient?identifier={BSN_SYSTEM}|{ALLOWS}", "form-not-allowed"),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_a_request_is_one_of_the_matrix(stage: Stage, case: str) -> None:
    path, code = REQUESTS[case]
    answer = await stage.asker.ask(path)
    assert answer.status_code == 403
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == code


async def test_the_scope_of_the_token_opens_the_exchange(stage: Stage) -> None:
    asker = await Asker.presenting(stage.country, stage.node, scope="pzp-gf")
    answer = await asker.ask(FORM)
    assert answer.status_code == 403
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "form-not-allowed"


# The rest is in the log of the holder.
FACTS: dict[str, tuple[Callable[[Stage], Awaitable[Asker]], str]] = {
    "a role that does not treat": (lambda s: s.other(role="04.000"), "role-not-permitted"),
    "a token that is bound to nothing": (lambda s: s.bearer(), "token-not-bound"),
    "another purpose": (lambda s: by_assertion(s.country, s.node, purpose="COC"), "purpose-not-permitted"),
    "a requester of no known type": (
        lambda s: by_assertion(s.country, s.node, UNKNOWN_TYPE),
        "facility-type-missing",
    ),
}


@pytest.mark.parametrize("case", FACTS)
async def test_who_asks_and_why_is_what_a_permit_wants(stage: Stage, case: str) -> None:
    change, code = FACTS[case]
    answer = await (await change(stage)).ask(FORM)
    assert await reason(stage.node, answer) == code
    assert (await stored(stage.node, answer))["verdict"]["permitted"] is False


async def test_the_category_of_data_is_one_of_the_permit(stage: Stage) -> None:
    answer = await stage.asker.ask(f"Flag?{named(ALLOWS)}")
    assert await reason(stage.node, answer) == "category-not-permitted"


async def test_the_patient_allowed_it(stage: Stage) -> None:
    assert await reason(stage.node, await stage.asker.search(REFUSES)) == "mitz-deny"


# -- what a requester does not prove ------------------------------------------------------------------------


async def test_who_asks_by_assertion_is_of_the_type_that_the_holder_itself_knows(stage: Stage) -> None:
    asker = await by_assertion(stage.country, stage.node)
    answer = await asker.ask(FORM)
    assert keys(answer) == {"Condition/allows"}
    who = (await stored(stage.node, answer))["requester"]
    assert (who["grant_type"], who["facility_type"], who["assurance"]) == ("client_credentials", "Z3", "")


async def test_mitz_is_asked_for_who_gave_the_mandate(stage: Stage) -> None:
    """The nurse asks; the doctor is responsible, and it is the role of the doctor that Mitz hears."""
    asked: list[bytes] = []
    between = stage.country.mitz

    async def listens(passing: Any) -> Any:
        asked.append(passing.body)
        return (await passing.passed()).response()

    before, between.behave = between.behave, listens
    nurse = User("900000010", "N. de Boer", "30.000", DOCTOR.id, DOCTOR.role)
    try:
        asker = await by_assertion(stage.country, stage.node, user=nurse)
        answer = await asker.ask(FORM)
    finally:
        between.behave = before
    assert keys(answer) == {"Condition/allows"}
    [question] = [body.decode() for body in asked]
    assert 'code="01.015"' in question and "30.000" not in question
    assert f'extension="{DOCTOR.id}"' in question and f'extension="{nurse.id}"' in question
    assert (await stored(stage.node, answer))["requester"]["user"] == nurse.json()


async def test_a_mandate_of_somebody_whose_role_is_not_known_cannot_be_asked_in_mitz(stage: Stage) -> None:
    nurse = User("900000010", "N. de Boer", "30.000", DOCTOR.id)
    answer = await (await by_assertion(stage.country, stage.node, user=nurse)).ask(FORM)
    assert await reason(stage.node, answer) == "mitz-role-missing"


async def test_a_withdrawn_token_opens_nothing_and_that_is_logged(stage: Stage) -> None:
    asker = await by_assertion(stage.country, stage.node, UNKNOWN_TYPE)
    a = stage.node["a"]
    gone = await a.internal.delete(f"{a.internal_root}/a/oauth2/tokens?requester={UNKNOWN_TYPE}")
    assert gone.json()["withdrawn"] >= 1
    assert (await asker.ask(FORM)).status_code == 401
    assert "token-withdrawn" in kinds(await events(stage.node, requester=UNKNOWN_TYPE))
