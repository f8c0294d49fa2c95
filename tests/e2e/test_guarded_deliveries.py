"""What others bring (MP9, sending to us) at *back*: taken in whole, once, about one patient, and only by who may."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.deliveries import (
    NEW,
    NEWER,
    SCOPE,
    TAG,
    WHO,
    asking,
    code,
    found,
    ids,
    prescription,
    receiving,
    rows,
    send,
)
from tests.nation import ALLOWS, REQUESTER, Nation, nation
from tests.nodes import RunningNode
from tests.whole import (
    SILENT,
    Asker,
    enrolled,
    events,
    presented,
    reason,
    stored,
)

from schakel.generic.identity.tokens.grants import VP_BEARER
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    async with nation(tmp_path_factory.mktemp("nation")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, country: Nation) -> AsyncIterator[RunningNode]:
    async with receiving(cluster, "deliveries", country) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asker(country: Nation, node: RunningNode) -> Asker:
    return await asking(country, node, ALLOWS)


# -- taken in ------------------------------------------------------------------------------------------------


async def test_what_is_brought_is_the_patients_and_leaves_the_patient_as_it_was(
    node: RunningNode, asker: Asker
) -> None:
    before = await found(node, "Patient?_id=allows")
    answer = await send(asker, prescription(ALLOWS, number="taken"))
    agreement, who, medication, by = ids(answer)
    [kept] = await found(node, "MedicationRequest?identifier=urn:oid:1.2.3|taken")
    assert f"MedicationRequest/{kept['id']}" == agreement
    assert kept["subject"] == {"reference": "Patient/allows"} and kept["meta"]["tag"] == [TAG]
    assert kept["medicationReference"] == {"reference": medication}
    assert kept["requester"] == {"reference": by}
    assert await found(node, "Patient?_id=allows") == before and who == WHO
    told = await stored(node, answer)
    assert (told["outcome"], told["patient"], told["ground"]) == ("0", ALLOWS, None)
    assert (told["row"]["id"], told["verdict"]["rule"]) == (
        "medication-bring-VOO",
        "medication-bring-prescription",
    )
    assert told["shown"] == [f"{one}/_history/1" for one in (agreement, medication, by)]


async def test_the_event_is_one_of_creation_about_the_patient(node: RunningNode, asker: Asker) -> None:
    answer = await send(asker, prescription(ALLOWS, number="logged"))
    [event] = [one for one in await events(node) if answer.headers["X-Decision-ID"] in str(one.get("entity"))]
    assert (event["action"], event["outcome"]) == ("C", "0")
    assert ALLOWS in str(event) and REQUESTER in str(event)
    assert event["subtype"][-1]["code"] == "transaction"


async def test_the_same_bundle_again_is_here_already_whatever_became_of_it(
    node: RunningNode, asker: Asker
) -> None:
    bundle = prescription(ALLOWS, number="again")
    first = await send(asker, bundle)
    [kept] = await found(node, "MedicationRequest?identifier=urn:oid:1.2.3|again")
    changed = {**kept, "status": "stopped", "note": [{"text": "for us alone"}]}
    answer = await node["a"].internal_r4.put(f"MedicationRequest/{kept['id']}", json=changed)
    assert answer.status_code == 200, answer.text
    before = await rows(node)
    second = await send(asker, bundle)
    assert ids(second) == ids(first) and await rows(node) == before
    assert [one.get("resource") for one in second.json()["entry"]] == [
        one.get("resource") for one in first.json()["entry"]
    ], "the answer has what was brought, not what became of it"
    assert (await stored(node, second))["shown"] == []
    gone = await node["a"].internal_r4.delete(f"MedicationRequest/{kept['id']}")
    assert gone.status_code == 204
    assert ids(await send(asker, bundle)) == ids(first)
    assert await found(node, "MedicationRequest?identifier=urn:oid:1.2.3|again") == []


async def test_the_same_bundle_many_times_at_once_is_taken_once(node: RunningNode, asker: Asker) -> None:
    bundle = prescription(ALLOWS, number="at-once")
    answers = await asyncio.gather(*(send(asker, bundle) for _ in range(6)))
    assert len({tuple(ids(one)) for one in answers}) == 1
    assert len(await found(node, "MedicationRequest?identifier=urn:oid:1.2.3|at-once")) == 1


async def test_what_was_erased_in_part_comes_in_anew_as_a_whole(node: RunningNode, asker: Asker) -> None:
    bundle = prescription(ALLOWS, number="erased")
    first = ids(await send(asker, bundle))
    logical_id = first[0].partition("/")[2]
    for table in ("resource", "history"):
        await node.node.pool.execute(f"DELETE FROM {table} WHERE id = $1", logical_id)
    second = ids(await send(asker, bundle))
    assert set(first) & set(second) == {WHO}
    assert ids(await send(asker, bundle)) == second


async def test_another_token_of_the_same_sender_brings_the_same_delivery(
    country: Nation, node: RunningNode, asker: Asker
) -> None:
    bundle = prescription(ALLOWS, number="senders")
    first = await send(asker, bundle)
    assert len(await found(node, "MedicationRequest?identifier=urn:oid:1.2.3|senders")) == 1
    asking_again = await send(await asking(country, node, ALLOWS), bundle)
    assert ids(asking_again) == ids(first)


async def test_another_bundle_adds_and_changes_nothing_that_was_brought(
    node: RunningNode, asker: Asker
) -> None:
    bundle = prescription(ALLOWS, number="twice")
    await send(asker, bundle)
    bundle["entry"][0]["resource"]["status"] = "entered-in-error"
    await send(asker, bundle)
    kept = await found(node, "MedicationRequest?identifier=urn:oid:1.2.3|twice")
    assert sorted(one["status"] for one in kept) == ["active", "entered-in-error"]
    assert {one["meta"]["versionId"] for one in kept} == {"1"}


async def test_the_answer_does_not_tell_whether_the_patient_was_known(
    country: Nation, node: RunningNode, asker: Asker
) -> None:
    known = await send(asker, prescription(ALLOWS, number="known"))
    unknown = await send(await asking(country, node, NEW), prescription(NEW, number="known"))

    def shape(answer: httpx.Response) -> list[Any]:
        """An answer without what is of this one delivery: ids, moments and the number of the patient."""
        ids(answer)
        out: list[Any] = copy.deepcopy(answer.json()["entry"])
        for one in out:
            one["resource"].pop("id", None)
            one["resource"].pop("identifier", None)
            one["resource"].get("meta", {}).pop("lastUpdated", None)
            if one["resource"]["resourceType"] == "MedicationRequest":
                assert one["resource"]["subject"] == {"reference": WHO}
            for name in ("medicationReference", "requester"):
                one["resource"].pop(name, None)
            one["fullUrl"] = one["fullUrl"].rpartition("/")[0]
            one["response"] = {k: v for k, v in one["response"].items() if k in ("status", "etag")}
        return out

    assert shape(known) == shape(unknown)
    [made] = await found(node, f"Patient?identifier={BSN_SYSTEM}|{NEW}")
    assert made["name"] == [{"family": "Zender"}] and made["id"] not in unknown.text


async def test_two_bundles_at_once_about_a_new_patient_make_one_patient(
    country: Nation, node: RunningNode
) -> None:
    asker = await asking(country, node, NEWER)
    bundles = [prescription(NEWER, number=f"new-{n}") for n in range(4)]
    for answer in await asyncio.gather(*(send(asker, one) for one in bundles)):
        ids(answer)
    [made] = await found(node, f"Patient?identifier={BSN_SYSTEM}|{NEWER}")
    assert len(await found(node, f"MedicationRequest?patient={made['id']}")) == 4


async def test_what_cannot_be_written_down_is_not_taken_in(node: RunningNode, asker: Asker) -> None:
    bundle, before, pool = prescription(ALLOWS, number="unlogged"), await rows(node), node.node.pool
    await pool.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
    try:
        answer = await send(asker, bundle)
    finally:
        await pool.execute("ALTER TABLE audit_event_away RENAME TO audit_event")
    assert code(answer) == (503, "log-unavailable") and await rows(node) == before
    ids(await send(asker, bundle))


async def test_how_much_comes_back_is_as_preferred(asker: Asker) -> None:
    for prefer, whole in (("return=representation", True), ("return=minimal", False)):
        answer = await send(asker, prescription(ALLOWS, number=prefer), Prefer=prefer)
        assert len(ids(answer)) == 4
        assert all(("resource" in one) is whole for one in answer.json()["entry"])


# -- who may -------------------------------------------------------------------------------------------------


async def test_only_a_token_for_medication_brings_it(country: Nation, node: RunningNode) -> None:
    before = await rows(node)
    answer = await send(await Asker.presenting(country, node), prescription(ALLOWS))
    assert code(answer) == (405, "interaction-not-allowed")
    assert await rows(node) == before


async def test_only_for_the_patient_who_is_enrolled(node: RunningNode, asker: Asker) -> None:
    before = await rows(node)
    answer = await send(asker, prescription(SILENT))
    assert await reason(node, answer) == "token-other-patient"
    assert await rows(node) == before


async def test_only_with_a_token_that_is_bound(country: Nation, node: RunningNode) -> None:
    free = Asker(country, node, None, None, front=True)
    made = presented(await enrolled(country, ALLOWS), free.issuer, SCOPE)
    answer = await send(await free.granted(SCOPE, VP_BEARER, made), prescription(ALLOWS))
    assert await reason(node, answer) == "token-not-bound"


@pytest.mark.parametrize(("role", "prescribes", "sends"), [("17.000", False, True), ("04.000", False, False)])
async def test_only_who_may_prescribe_brings_a_prescription(
    country: Nation, node: RunningNode, role: str, prescribes: bool, sends: bool
) -> None:
    asker = await Asker.presenting(country, node, await enrolled(country, ALLOWS, role=role), SCOPE)
    told = await send(asker, prescription(ALLOWS, number=role))
    data = await send(asker, prescription(ALLOWS, number=role, actionable=False))
    for answer, may in ((told, prescribes), (data, sends)):
        if may:
            ids(answer)
        else:
            assert await reason(node, answer) == "role-not-permitted"
