"""Several records of localisation at once, what the EHR withdraws of a patient, and the same door for an EHR that was
made for a Nuts knooppunt (`/nvi`, X-Tenant-ID), through a node with stand-ins over TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e.test_localisation_door import Place, codes, to_register
from tests.nation import HOLDER, nation
from tests.nodes import databases, running_node
from tests.referring import referring

from schakel.generic.localisation.categories import AORTA, SYSTEM
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM
from schakel.store.embedded import EmbeddedServer

RULES = [
    {
        "ground": "art. 15a Wabvpz; policy 7 of this organisation",
        "categories": ["Condition", "MedicationRequest", "Imaging"],
        "start": "2026-01-01",
    }
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with (
        nation(tmp_path_factory.mktemp("nation")) as country,
        databases(cluster, "localisation_bundles") as make_database,
    ):
        await country.refer()
        settings = country.settings(**referring(country))
        back = settings.pop("back")
        async with running_node(
            make_database, ("a", "b"), back=back, by_slug={"a": {"registrations": RULES}}, **settings
        ) as node:
            yield Place(country, node)


def post(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {"resource": resource, "request": {"method": "POST", "url": "List"}}


def asks(method: str, url: str) -> dict[str, Any]:
    return {"request": {"method": method, "url": url}}


async def sent(place: Place, kind: str, *entries: Any, to: str = "") -> httpx.Response:
    bundle = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    return await place.client.post(to or place.base.removesuffix("/List"), json=bundle)


def statuses(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["response"]["status"] for entry in answer.json()["entry"]]


def of(bsn: str) -> str:
    return f"patient:identifier={BSN_SYSTEM}|{bsn}"


# -- a transaction ---------------------------------------------------------------------------------------------------


async def test_a_transaction_registers_what_it_names(place: Place) -> None:
    bsn, other = "999900080", "999900092"
    answer = await sent(
        place,
        "transaction",
        post(to_register(bsn, "Imaging")),
        post(to_register(bsn, "Condition")),
        post(to_register(other, "Imaging")),
        post(to_register(bsn, "Imaging")),
    )
    assert statuses(answer) == ["201", "201", "201", "200"]
    assert answer.json()["type"] == "transaction-response"
    assert codes(await place.search(bsn)) == {"Imaging", "Condition"}
    assert codes(await place.search(other)) == {"Imaging"}
    first = answer.json()["entry"][0]
    read = await place.client.get(first["response"]["location"])
    assert read.json() == first["resource"] and first["fullUrl"] == first["response"]["location"]


@pytest.mark.parametrize(
    ("wrong", "status", "expression"),
    [
        (post(to_register("999900110", "Practitioner")), 400, "Bundle.entry[1].List.code"),
        (post(to_register("999900110", "Alert")), 403, "Bundle.entry[1].List.code"),
        (post(to_register("999900111", "Imaging")), 400, "Bundle.entry[1].List.subject.identifier"),
        (asks("DELETE", f"List?{of('999900110')}"), 400, "Bundle.entry[1].request"),
        ({"resource": to_register("999900110", "Imaging")}, 400, "Bundle.entry[1].request"),
        ({"request": {"method": "POST", "url": "Patient"}, "resource": {}}, 400, "Bundle.entry[1].request"),
    ],
    ids=["category", "rule", "bsn", "delete", "no request", "another type"],
)
async def test_one_entry_that_may_not_be_keeps_all_from_being_registered(
    place: Place, wrong: dict[str, Any], status: int, expression: str
) -> None:
    bsn = "999900109"
    answer = await sent(place, "transaction", post(to_register(bsn, "Imaging")), wrong)
    assert answer.status_code == status, answer.text
    assert answer.json()["issue"][0]["expression"] == [expression]
    assert await place.search(bsn) == []


@pytest.mark.parametrize("late", ["rule", "objection"])
async def test_the_index_hears_nothing_of_a_transaction_that_may_not_be(place: Place, late: str) -> None:
    """What it was told and has to forget again others have seen meanwhile."""
    bsn, other = ("999900249", "999900249") if late == "rule" else ("999900250", "999900262")
    root = place.node["a"].internal_root
    if late == "objection":
        objection = {"patient": other, "exchanges": ["localisation"], "by": "A. Jansen"}
        made = await place.client.post(f"{root}/a/consent/objections", json=objection)
        assert made.status_code == 201, made.text
    refused = to_register(other, "Alert" if late == "rule" else "Imaging")
    answer = await sent(place, "transaction", post(to_register(bsn, "Imaging")), post(refused))
    assert answer.status_code == 403, answer.text
    assert answer.json()["issue"][0]["expression"][0].startswith("Bundle.entry[1]")
    told = await place.node.node.pool.fetchval(
        "SELECT count(*) FROM audit_event WHERE kind = 'registered' AND patient = $1", bsn
    )
    assert told == 0


async def test_what_was_registered_before_stays_when_a_transaction_fails(place: Place) -> None:
    bsn = "999900122"
    assert (await place.client.post(place.base, json=to_register(bsn, "Imaging"))).status_code == 201
    answer = await sent(
        place,
        "transaction",
        post(to_register(bsn, "Imaging")),
        post(to_register(bsn, "Condition")),
        post(to_register(bsn, "Alert")),
    )
    assert answer.status_code == 403
    assert codes(await place.search(bsn)) == {"Imaging"}


async def test_an_index_that_is_away_registers_nothing_of_a_transaction(place: Place) -> None:
    bsn = "999900134"
    await place.country.stop("nvi")
    try:
        answer = await sent(place, "transaction", post(to_register(bsn, "Imaging")))
        assert answer.status_code == 502 and "facility-away" in answer.text
    finally:
        await place.country.start("nvi")

    async def back() -> bool:
        answer = await place.client.get(place.base, params={"patient:identifier": f"{BSN_SYSTEM}|{bsn}"})
        return answer.status_code == 200

    await place.until(back)
    assert await place.search(bsn) == []


# -- a batch, and withdrawing ----------------------------------------------------------------------------------------


async def test_each_entry_of_a_batch_is_for_itself(place: Place) -> None:
    bsn = "999900146"
    made = (await place.client.post(place.base, json=to_register(bsn, "Imaging"))).json()
    answer = await sent(
        place,
        "batch",
        post(to_register(bsn, "Condition")),
        post(to_register(bsn, "Alert")),
        asks("GET", f"List/{made['id']}"),
        asks("DELETE", f"List/{made['id']}"),
        asks("GET", f"List?{of(bsn)}"),
        asks("PUT", f"List/{made['id']}"),
        {},
    )
    assert statuses(answer) == ["201", "403", "200", "204", "200", "400", "400"]
    entries = answer.json()["entry"]
    assert entries[2]["resource"] == made
    assert [one["resource"]["code"]["coding"][0]["code"] for one in entries[4]["resource"]["entry"]] == [
        "Condition"
    ]
    assert entries[1]["response"]["outcome"]["issue"][0]["severity"] == "error"


async def test_what_the_ehr_registered_of_a_patient_is_withdrawn_at_once(place: Place) -> None:
    bsn, other = "999900158", "999900201"
    for one, category in ((bsn, "Imaging"), (bsn, "Condition"), (other, "Imaging")):
        await place.client.post(place.base, json=to_register(one, category))
    assert (await place.client.delete(f"{place.base}?{of(bsn)}&code=Imaging")).status_code == 204
    assert codes(await place.search(bsn)) == {"Condition"}
    assert (await place.client.delete(f"{place.base}?{of(bsn)}&source:identifier=other")).status_code == 204
    assert codes(await place.search(bsn)) == {"Condition"}, "another software's"
    assert (await place.client.delete(f"{place.base}?{of(bsn)}")).status_code == 204
    assert (await place.client.delete(f"{place.base}?{of(bsn)}")).status_code == 204
    assert await place.search(bsn) == []
    assert codes(await place.search(other)) == {"Imaging"}


async def test_what_a_killed_node_was_about_to_register_is_withdrawn_too(place: Place) -> None:
    """It was asked and never answered; the work would do it after the answer that all is withdrawn."""
    bsn, pool = "999900274", place.node.node.pool
    await pool.execute(
        "INSERT INTO localisation_record (tenant, patient, category, state, asked) "
        "SELECT id, $1, 'Imaging', 'waiting', true FROM tenant WHERE slug = 'a'",
        bsn,
    )
    assert (await place.client.delete(f"{place.base}?{of(bsn)}")).status_code == 204
    assert not await pool.fetchval(
        "SELECT count(*) FROM localisation_record WHERE patient = $1 AND asked", bsn
    )
    assert await place.search(bsn) == []


@pytest.mark.parametrize("query", ["", "?code=Imaging", "?source:identifier=node", "?patient:identifier="])
async def test_without_a_patient_nothing_is_withdrawn(place: Place, query: str) -> None:
    """At the index such a request would take away every record of the organisation."""
    bsn = "999900171"
    await place.client.post(place.base, json=to_register(bsn, "Imaging"))
    answer = await place.client.delete(f"{place.base}{query}")
    assert answer.status_code == 400, answer.text
    assert codes(await place.search(bsn)) == {"Imaging"}


async def test_a_rule_keeps_what_it_registers_and_the_rest_goes(place: Place) -> None:
    bsn = "999900183"
    await place.write(
        {"resourceType": "Patient", "id": "kept", "identifier": [{"system": BSN_SYSTEM, "value": bsn}]}
    )
    await place.write({"resourceType": "Condition", "id": "kept", "subject": {"reference": "Patient/kept"}})

    async def registered() -> bool:
        return codes(await place.search(bsn)) == {"Condition"}

    await place.until(registered)
    await place.client.post(place.base, json=to_register(bsn, "Imaging"))
    answer = await place.client.delete(f"{place.base}?{of(bsn)}")
    assert answer.status_code == 409 and "registered-by-rule" in answer.text
    assert codes(await place.search(bsn)) == {"Condition"}


@pytest.mark.parametrize(
    "bundle",
    [
        {"resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Bundle"},
        {"resourceType": "List", "type": "batch"},
        {"resourceType": "Bundle", "type": "batch", "entry": {}},
        {"resourceType": "Bundle", "type": "batch", "entry": [1]},
    ],
)
async def test_what_is_no_bundle_of_requests_is_refused(place: Place, bundle: dict[str, Any]) -> None:
    answer = await place.client.post(place.base.removesuffix("/List"), json=bundle)
    assert answer.status_code == 400 and answer.json()["resourceType"] == "OperationOutcome"


# -- an EHR that was made for a knooppunt ----------------------------------------------------------------------------


def as_knooppunt(bsn: str, code: str = "MEDAFSPRAAK", system: str = SYSTEM) -> dict[str, Any]:
    """What such an EHR sends: a software of its own as source, a category of AORTA."""
    return to_register(
        bsn,
        "",
        code={"coding": [{"system": system, "code": code, "display": "Medicatieafspraak"}]},
        source={
            "type": "Device",
            "identifier": {"system": "urn:ietf:rfc:3986", "value": "EHR-SYS-2024-999"},
        },
        emptyReason={"coding": [{"code": "withheld"}]},
    )


def tenant(ura: str = HOLDER) -> dict[str, str]:
    return {"X-Tenant-ID": f"{URA_SYSTEM}|{ura}"}


async def test_an_ehr_made_for_a_knooppunt_registers_asks_and_withdraws(place: Place) -> None:
    bsn, root = "999900195", place.node["a"].internal_root
    client, headers = place.client, tenant()
    bundle = {
        "resourceType": "Bundle",
        "id": "nvi-org1",
        "type": "transaction",
        "entry": [post(as_knooppunt(bsn)), post(as_knooppunt(bsn, "Imaging"))],
    }
    made = await client.post(f"{root}/nvi", json=bundle, headers=headers)
    assert statuses(made) == ["201", "201"]
    assert made.json()["entry"][0]["resource"]["source"]["identifier"]["value"] == "node"
    asked = {"patient:identifier": f"{BSN_SYSTEM}|{bsn}"}
    for answer in (
        await client.get(f"{root}/nvi/List", params=asked, headers=headers),
        await client.post(f"{root}/nvi/List/_search", data=asked, headers=headers),
    ):
        found = [entry["resource"] for entry in answer.json()["entry"]]
        assert codes(found) == {"MedicationRequest", "Imaging"}
        assert {one["subject"]["identifier"]["value"] for one in found} == {bsn}
    name = made.json()["entry"][0]["resource"]["id"]
    assert (await client.get(f"{root}/nvi/List/{name}", headers=headers)).json()["id"] == name
    assert (await client.delete(f"{root}/nvi/List/{name}", headers=headers)).status_code == 204
    assert (await client.delete(f"{root}/nvi/List", params=asked, headers=headers)).status_code == 204
    assert await place.search(bsn) == []
    one = await client.post(f"{root}/nvi/List", json=as_knooppunt(bsn, system=AORTA), headers=headers)
    assert one.status_code == 201 and codes([one.json()]) == {"MedicationRequest"}


async def test_the_software_that_such_an_ehr_names_finds_and_withdraws_what_was_registered_with_it(
    place: Place,
) -> None:
    """An answer that there is nothing, or that all is withdrawn, would be wrong: it was registered under ours."""
    bsn, root, other = "999900213", place.node["a"].internal_root, "999900225"
    for one in (bsn, other):
        made = await place.client.post(f"{root}/nvi/List", json=as_knooppunt(one), headers=tenant())
        assert made.status_code == 201, made.text
    asked = {
        "patient:identifier": f"{BSN_SYSTEM}|{bsn}",
        "source:identifier": "urn:ietf:rfc:3986|EHR-SYS-2024-999",
    }
    found = await place.client.get(f"{root}/nvi/List", params=asked, headers=tenant())
    assert codes([entry["resource"] for entry in found.json().get("entry", ())]) == {"MedicationRequest"}
    withdrawn = await place.client.delete(f"{root}/nvi/List", params=asked, headers=tenant())
    assert withdrawn.status_code == 204
    assert await place.search(bsn) == []
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [asks("DELETE", f"List?{of(other)}&source:identifier=EHR-SYS-2024-999")],
    }
    assert statuses(await place.client.post(f"{root}/nvi", json=batch, headers=tenant())) == ["204"]
    assert await place.search(other) == []


@pytest.mark.parametrize(
    "path",
    [
        "List/%00",
        "List/\u2028",
        "List/%FF",
        "List/..%2F..",
        "List/" + "9" * 4000,
        "List?code=%00",
        "List?%00=1",
    ],
    ids=["a zero", "a line", "no text", "above", "long", "a zero as code", "a zero as name"],
)
async def test_what_cannot_be_the_name_of_anything_is_refused(place: Place, path: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await place.client.request(method, f"{place.base.removesuffix('/List')}/{path}")
        assert 400 <= answer.status_code < 500, answer.text
    answer = await sent(place, "batch", asks("GET", path), asks("DELETE", path), asks("\u0000", path))
    assert all(status.startswith("4") for status in statuses(answer))


async def test_a_record_of_one_organisation_is_nobody_elses(place: Place) -> None:
    bsn, root = "999900237", place.node["b"].internal_root
    made = (await place.client.post(place.base, json=to_register(bsn, "Imaging"))).json()
    theirs = place.node["b"].internal_r4
    for base in (f"{root}/b/localisation/fhir/r4", f"{root}/nvi"):
        headers = tenant(place.node["b"].ura)
        for method in ("GET", "DELETE"):
            answer = await theirs.request(method, f"{base}/List/{made['id']}", headers=headers)
            assert answer.status_code == 404, answer.text
        batch = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [
                asks("DELETE", f"List/{made['id']}"),
                asks("GET", f"{place.base}/{made['id']}"),
                asks("DELETE", f"List?{of(bsn)}"),
            ],
        }
        answer = await theirs.post(base, json=batch, headers=headers)
        assert statuses(answer) == ["404", "400", "204"]
    assert codes(await place.search(bsn)) == {"Imaging"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"X-Tenant-ID": "invalid"}, 400),
        ({"X-Tenant-ID": HOLDER}, 400),
        ({"X-Tenant-ID": f"{BSN_SYSTEM}|{HOLDER}"}, 400),
        ({"X-Tenant-ID": f"{URA_SYSTEM}|"}, 400),
        (tenant("123456789"), 400),
        (tenant("00000099"), 403),
        (tenant("99"), 403),
    ],
)
async def test_the_organisation_must_be_named_and_its_own_key_shown(
    place: Place, headers: dict[str, str], status: int
) -> None:
    answer = await place.client.get(
        f"{place.node['a'].internal_root}/nvi/List?{of('999900195')}", headers=headers
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_the_header_opens_nothing_without_a_key_nor_another_organisation(place: Place) -> None:
    at = f"{place.node['a'].internal_root}/nvi/List?{of('999900195')}"
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(at, headers=tenant())).status_code == 401
    other = await place.node["b"].internal_r4.get(at, headers=tenant())
    assert other.status_code == 403
