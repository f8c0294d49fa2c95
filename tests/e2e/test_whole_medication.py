"""Medication, through all generic functions: only of the patient who is enrolled with the GP, as a credential says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.guarded import coded, keys, patient
from tests.nation import ALLOWS, REFUSES, REQUESTER, Nation, nation
from tests.nodes import RunningNode
from tests.whole import DELEGATION, ENROLMENT, Asker, enrolled, hospital, named, reason, stored

from schakel.config import Peer
from schakel.store.embedded import EmbeddedServer

SCOPE = "medicatieoverdracht-gf"
AGREEMENT = "http://snomed.info/sct", "33633005"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, country: Nation) -> AsyncIterator[RunningNode]:
    issuers = {kind: [country.issuer_did] for kind in (ENROLMENT, DELEGATION)}
    async with hospital(cluster, "whole_medication", country, trust={"issuers": issuers}) as running:
        for name, bsn in (("allows", ALLOWS), ("refuses", REFUSES)):
            request = {
                "resourceType": "MedicationRequest",
                "id": name,
                "status": "active",
                "intent": "order",
                "category": [coded(*AGREEMENT)],
                "medicationCodeableConcept": coded("http://snomed.info/sct", "387517004"),
                "subject": {"reference": f"Patient/{name}"},
            }
            for resource in (patient(name, bsn), request):
                kind = resource["resourceType"]
                answer = await running["a"].internal_r4.put(f"{kind}/{name}", json=resource)
                assert answer.status_code == 201, answer.text
        yield running


async def asking(country: Nation, node: RunningNode, bsn: str, **changed: str) -> Asker:
    """The GP with a token for medication of the patient who is enrolled there."""
    return await Asker.presenting(country, node, await enrolled(country, bsn, **changed), SCOPE)


def form(bsn: str) -> str:
    return f"MedicationRequest?{named(bsn)}&category={'|'.join(AGREEMENT)}"


async def test_the_medication_of_an_enrolled_patient_is_given(country: Nation, node: RunningNode) -> None:
    answer = await (await asking(country, node, ALLOWS)).ask(form(ALLOWS), "r4")
    assert keys(answer) == {"MedicationRequest/allows"}
    told = await stored(node, answer)
    assert (told["requester"]["ura"], told["ground"]["kind"]) == (REQUESTER, "mitz")
    assert told["requester"]["token_patient"] == ALLOWS
    assert told["requester"]["user"]["responsible_role"] == "01.015"


async def test_the_medication_of_another_patient_is_not(country: Nation, node: RunningNode) -> None:
    asker = await asking(country, node, REFUSES)
    assert await reason(node, await asker.ask(form(ALLOWS), "r4")) == "token-other-patient"
    assert await reason(node, await asker.ask(form(REFUSES), "r4")) == "mitz-deny"


async def test_the_role_in_the_delegation_is_one_that_may_have_medication(
    country: Nation, node: RunningNode
) -> None:
    asker = await asking(country, node, ALLOWS, role="04.000")
    assert await reason(node, await asker.ask(form(ALLOWS), "r4")) == "role-not-permitted"


async def test_the_other_spelling_of_the_scope_asks_for_the_same(country: Nation, node: RunningNode) -> None:
    asker = await Asker.presenting(country, node, await enrolled(country, ALLOWS), "medicatieoverdracht_gf")
    assert keys(await asker.ask(form(ALLOWS), "r4")) == {"MedicationRequest/allows"}


async def test_the_type_in_a_delegation_counts_only_where_the_holder_knows_none(
    country: Nation, cluster: EmbeddedServer, node: RunningNode
) -> None:
    """Whoever lets the organisation ask writes there what type it is; Mitz and the matrix go by it."""
    issuers = {kind: [country.issuer_did] for kind in (ENROLMENT, DELEGATION)}
    known = Peer(ura=REQUESTER, name="Huisartsen Oost", type_code="Z3", jwks={"keys": []})
    asker = await enrolled(country, ALLOWS, facility="V4")
    async with hospital(
        cluster, "whole_medication_known", country, trust={"issuers": issuers}, also=(known,)
    ) as knowing:
        for one, told in ((node, "V4"), (knowing, "Z3")):
            await Asker.presenting(country, one, asker, SCOPE)
            [row] = await one.node.pool.fetch(
                "SELECT facility_type FROM access_token ORDER BY expires DESC LIMIT 1"
            )
            assert row["facility_type"] == told
