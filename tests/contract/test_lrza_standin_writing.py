"""The stand-in of the LRZa, written to: ITI-130-NL, its rules, who may write for whom, and the status codes of 2.7."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lrza import (
    BASE,
    HOSPITAL,
    KVK,
    PRACTICE,
    URA,
    VENDOR,
    VWS,
    Directory,
    assigned,
    coded,
    created,
    directory,
    endpoint,
    ids,
    location,
    mandate,
    organisation,
    put,
    said,
    service,
    to,
    updated,
)

from schakel.kernel.clock import new_id

Resource = dict[str, Any]


@pytest.fixture
def lrza(tmp_path: Path) -> Iterator[Directory]:
    with directory(tmp_path) as made:
        yield made


async def test_a_care_provider_registers_itself_and_what_it_has(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        answer = await hospital.post("/fhir/Organization", json={**organisation(HOSPITAL), "id": "mine"})
        assert answer.status_code == 201, answer.text
        own = answer.json()
        assert own["id"] != "mine" and own["meta"]["versionId"] == "1"
        assert answer.headers["location"] == f"{BASE}/Organization/{own['id']}/_history/1"
        assert answer.headers["etag"] == 'W/"1"'
        for resource in (location(to(own)), service(to(own)), endpoint(to(own)), mandate(to(own))):
            made = await created(hospital, resource)
            assert {**made, "id": 0, "meta": 0} == {**resource, "id": 0, "meta": 0}


async def test_an_update_names_the_version_that_it_changes(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        own = await created(hospital, organisation(HOSPITAL))
        address = f"/fhir/Organization/{own['id']}"
        changed = {**own, "name": "Nieuwe naam"}
        assert "If-Match is missing" in said(await hospital.put(address, json=changed), 412)
        for wrong in ('W/"2"', "1", 'W/"x"'):
            answer = await hospital.put(address, json=changed, headers={"If-Match": wrong})
            assert 'version W/"1"' in said(answer, 412)
        after = await updated(hospital, changed)
        assert (after["name"], after["meta"]["versionId"]) == ("Nieuwe naam", "2")
        assert "version-conflict" not in said(await put(hospital, changed), 412)


async def test_nothing_is_deleted_or_patched(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        own = await created(hospital, organisation(HOSPITAL))
        address = f"/fhir/Organization/{own['id']}"
        deleted = await hospital.delete(address)
        assert "set active to false" in said(deleted, 405) and deleted.headers["allow"] == "GET, PUT"
        assert "PATCH" in said(await hospital.patch(address, json=[]), 405)
        entry = {"request": {"method": "DELETE", "url": f"Organization/{own['id']}"}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        assert "Bundle.entry[0]" in said(await hospital.post("/fhir", json=bundle), 405)
        assert (await hospital.get(address)).status_code == 200


async def test_what_cannot_be_read_is_400_and_what_is_not_known_404(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        json = {"Content-Type": "application/fhir+json"}
        said(await hospital.post("/fhir/Organization", content=b"{", headers=json), 400)
        said(await hospital.post("/fhir/Organization", json={**organisation(HOSPITAL), "nme": "x"}), 400)
        said(await hospital.post("/fhir/Organization", json={"resourceType": "Location"}), 400)
        said(await hospital.post("/fhir/Patient", json={"resourceType": "Patient"}), 404)
        said(await hospital.post("/fhir/Organization?identifier=x", json=organisation(HOSPITAL)), 400)
        once = {"If-None-Exist": "identifier=x"}
        assert "If-None-Exist" in said(
            await hospital.post("/fhir/Organization", json=organisation(HOSPITAL), headers=once), 400
        )
        xml = {"Content-Type": "application/fhir+xml"}
        said(await hospital.post("/fhir/Organization", content=b"<Organization/>", headers=xml), 415)
        unknown = {**organisation(HOSPITAL), "id": new_id()}
        answer = await hospital.put(
            f"/fhir/Organization/{unknown['id']}", json=unknown, headers={"If-Match": 'W/"1"'}
        )
        assert "not known" in said(answer, 404)
        assert "as in the address" in said(await hospital.put("/fhir/Organization/x", json=unknown), 400)


def _without(*names: str) -> Callable[[Resource], Resource]:
    return lambda resource: {name: value for name, value in resource.items() if name not in names}


def _with(**members: Any) -> Callable[[Resource], Resource]:
    return lambda resource: {**resource, **members}


REQUIRED = {
    "Organization": ("identifier", "type", "name"),
    "Location": ("identifier", "name", "type", "status", "managingOrganization"),
    "HealthcareService": ("identifier", "providedBy", "type", "name"),
    "Endpoint": (
        "identifier",
        "status",
        "connectionType",
        "payloadType",
        "address",
        "managingOrganization",
    ),
    "OrganizationAffiliation": ("identifier", "active", "organization", "participatingOrganization", "code"),
}


def _sound(own: Resource) -> dict[str, Resource]:
    department = {**organisation(), "partOf": to(own)}
    made = (department, location(to(own)), service(to(own)), endpoint(to(own)), mandate(to(own)))
    return {one["resourceType"]: one for one in made}


@pytest.mark.parametrize(
    ("kind", "element"), [(kind, one) for kind, all_ in REQUIRED.items() for one in all_]
)
async def test_a_profile_requires_an_element(lrza: Directory, kind: str, element: str) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        own = await created(hospital, organisation(HOSPITAL))
        sound = _sound(own)[kind]
        answer = await hospital.post(f"/fhir/{kind}", json=_without(element)(sound))
        assert f"{kind}.{element}" in said(answer, 422)
        assert answer.json()["issue"][0]["expression"] == [f"{kind}.{element}"]
        await created(hospital, sound)


@pytest.mark.parametrize("kind", list(REQUIRED))
@pytest.mark.parametrize("element", ["implicitRules", "modifierExtension"])
async def test_a_profile_forbids_an_element(lrza: Directory, kind: str, element: str) -> None:
    value = "http://x" if element == "implicitRules" else [{"url": "http://x", "valueBoolean": True}]
    async with lrza.client(HOSPITAL) as hospital:
        own = await created(hospital, organisation(HOSPITAL))
        answer = await hospital.post(f"/fhir/{kind}", json={**_sound(own)[kind], element: value})
        assert f"{kind}.{element}" in said(answer, 422)


def _identifier(change: Callable[[Resource], None]) -> list[Resource]:
    one = assigned()
    change(one)
    return [one]


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ([], "exactly one custodian-assigned identifier"),
        ([assigned(), assigned()], "there are 2"),
        (_identifier(lambda one: one.pop("use")), "use of the custodian-assigned"),
        (_identifier(lambda one: one.update(use="usual")), "use of the custodian-assigned"),
        (_identifier(lambda one: one.pop("system")), "needs a system and a value"),
        (_identifier(lambda one: one.pop("value")), "needs a system and a value"),
        ([assigned(assigner=("http://other", "1"))], "must be a URA or a KvK number"),
    ],
)
async def test_the_custodian_assigned_identifier_has_its_form(
    lrza: Directory, identifier: list[Resource], message: str
) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        own = [*identifier, {"system": URA, "value": HOSPITAL}]
        answer = await hospital.post("/fhir/Organization", json={**organisation(), "identifier": own})
        assert message in said(answer, 422)


async def test_a_custodian_assigned_identifier_is_never_used_again(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        own = await created(hospital, organisation(HOSPITAL))
        first = await created(hospital, endpoint(to(own), status="off"))
        again = location(to(own), identifier=first["identifier"])
        assert f"Endpoint/{first['id']}" in said(await hospital.post("/fhir/Location", json=again), 422)
        await updated(hospital, {**first, "status": "active"})


async def test_an_organisation_has_one_ura_and_a_ura_one_active_organisation(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        ura, other = {"system": URA, "value": HOSPITAL}, {"system": URA, "value": PRACTICE}
        both = organisation(identifier=[assigned(), ura, other])
        assert "at most one URA" in said(await hospital.post("/fhir/Organization", json=both), 422)
        nobody = organisation()
        assert "a URA, or a KvK" in said(await hospital.post("/fhir/Organization", json=nobody), 422)
        first = await created(hospital, organisation(HOSPITAL))
        again = organisation(HOSPITAL)
        assert first["id"] in said(await hospital.post("/fhir/Organization", json=again), 422)
        department = organisation(HOSPITAL, partOf=to(first))
        assert "a department has no URA" in said(
            await hospital.post("/fhir/Organization", json=department), 422
        )
        await updated(hospital, {**first, "active": False})
        await created(hospital, again)


async def test_an_organisation_is_no_part_of_itself(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        top = await created(hospital, organisation(HOSPITAL))
        upper = await created(hospital, organisation(partOf=to(top)))
        lower = await created(hospital, organisation(partOf=to(upper)))
        answer = await put(hospital, {**upper, "partOf": to(lower)})
        assert answer.status_code in (403, 422), answer.text
        assert (await hospital.get(f"/fhir/Organization/{upper['id']}")).json() == upper


@pytest.mark.parametrize(
    "reference", ["Organization/none", "https://other.example/fhir/Organization/1", "Patient/1"]
)
async def test_a_reference_leads_to_something_here(lrza: Directory, reference: str) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        own = await created(hospital, organisation(HOSPITAL))
        answer = await hospital.post(
            "/fhir/Location", json=location(to(own), partOf={"reference": reference})
        )
        assert reference in said(answer, 422)
        whole = {"reference": f"{BASE}/Organization/{own['id']}"}
        assert (await created(hospital, location(whole)))["managingOrganization"] == to(own)


# -- who may write -------------------------------------------------------------------------------------------


async def test_a_care_provider_writes_nothing_of_another(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital, lrza.client(PRACTICE) as practice:
        answer = await practice.post("/fhir/Organization", json=organisation(HOSPITAL))
        assert f"URA {HOSPITAL}" in said(answer, 403) and f"URA {PRACTICE}" in said(answer, 403)
        own = await created(hospital, organisation(HOSPITAL))
        theirs = [await created(hospital, one) for one in _sound(own).values()]
        for one in [own, *theirs]:
            assert f"URA {HOSPITAL}" in said(await put(practice, one), 403)
            fresh = {**one, "identifier": [assigned()]} if one is not own else one
            said(await practice.post(f"/fhir/{one['resourceType']}", json=fresh), 403)


async def test_nobody_moves_a_resource_to_or_from_another(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital, lrza.client(PRACTICE) as practice:
        own = await created(hospital, organisation(HOSPITAL))
        other = await created(practice, organisation(PRACTICE))
        place = await created(hospital, location(to(own)))
        assert f"URA {PRACTICE}" in said(
            await put(hospital, {**place, "managingOrganization": to(other)}), 403
        )
        assert f"URA {HOSPITAL}" in said(
            await put(practice, {**place, "managingOrganization": to(other)}), 403
        )
        claimed = {**own, "identifier": [own["identifier"][0], {"system": URA, "value": "33333333"}]}
        assert "URA 33333333" in said(await put(hospital, claimed), 403)


async def test_without_a_certificate_nobody_writes(tmp_path: Path) -> None:
    with directory(tmp_path, "open_reading = true") as lrza:
        async with lrza.client() as nobody:
            answer = await nobody.post("/fhir/Organization", json=organisation(HOSPITAL))
            assert "client certificate" in said(answer, 401)
            said(await nobody.put("/fhir/Organization/x", json={}), 401)
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": []}
            said(await nobody.post("/fhir", json=bundle), 401)
            assert (await nobody.get("/fhir/Organization")).status_code == 200


async def _registered(lrza: Directory) -> tuple[Resource, Resource]:
    """A hospital, and a mandate of it for the supplier to administer everything."""
    async with lrza.client(HOSPITAL) as hospital:
        own = await created(hospital, organisation(HOSPITAL))
        return own, await created(hospital, mandate(to(own)))


async def test_a_mandate_lets_a_supplier_write(lrza: Directory) -> None:
    own, _ = await _registered(lrza)
    async with lrza.client(VENDOR) as vendor:
        made = await created(vendor, endpoint(to(own)))
        await created(vendor, location(to(own)))
        await created(vendor, service(to(own)))
        department = await created(vendor, organisation(partOf=to(own)))
        await created(vendor, service(to(department)))
        await updated(vendor, {**own, "endpoint": [to(made)]})


@pytest.mark.parametrize(
    "change",
    [
        _with(active=False),
        _with(code=[coded(f"{VWS}/CodeSystem/nl-gf-authorization-type-cs", "other")]),
        _with(code=[coded("http://other", "lrza-careprovider-admin")]),
        _with(participatingOrganization={"identifier": {"system": KVK, "value": "90009999"}}),
        _with(participatingOrganization={"identifier": {"system": URA, "value": VENDOR}}),
        _with(period={"end": "2020-01-01"}),
        _with(period={"start": "2999-01-01"}),
    ],
)
async def test_a_mandate_needs_each_of_its_conditions(
    lrza: Directory, change: Callable[[Resource], Resource]
) -> None:
    own, given = await _registered(lrza)
    async with lrza.client(HOSPITAL) as hospital, lrza.client(VENDOR) as vendor:
        await created(vendor, location(to(own)))
        await updated(hospital, change(given))
        answer = await vendor.post("/fhir/Location", json=location(to(own)))
        assert "lrza-careprovider-admin" in said(answer, 403) and f"KvK {VENDOR}" in said(answer, 403)


async def test_an_endpoint_mandate_is_for_endpoints_only(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital, lrza.client(VENDOR) as vendor:
        own = await created(hospital, organisation(HOSPITAL))
        await created(hospital, mandate(to(own), "lrza-endpoint-admin"))
        await created(vendor, endpoint(to(own)))
        for resource in (location(to(own)), service(to(own)), organisation(partOf=to(own))):
            kind = resource["resourceType"]
            assert "lrza-careprovider-admin" in said(await vendor.post(f"/fhir/{kind}", json=resource), 403)
        said(await put(vendor, own), 403)


async def test_only_the_care_provider_gives_and_changes_a_mandate(lrza: Directory) -> None:
    own, given = await _registered(lrza)
    async with lrza.client(VENDOR) as vendor, lrza.client(HOSPITAL) as hospital:
        more = mandate(to(own), "lrza-endpoint-admin")
        answer = await vendor.post("/fhir/OrganizationAffiliation", json=more)
        assert "only the care provider itself" in said(answer, 403)
        assert "only the care provider itself" in said(await put(vendor, {**given, "active": False}), 403)
        await updated(hospital, {**given, "active": False})


async def test_a_mandate_of_a_department_is_not_for_the_whole(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital, lrza.client(VENDOR) as vendor:
        own = await created(hospital, organisation(HOSPITAL))
        department = await created(hospital, organisation(partOf=to(own)))
        await created(hospital, mandate(to(department)))
        await created(vendor, location(to(department)))
        said(await vendor.post("/fhir/Location", json=location(to(own))), 403)
        custodian = endpoint(
            {"identifier": {"system": KVK, "value": "90009999"}},
            identifier=[assigned(assigner=(URA, HOSPITAL))],
        )
        said(await vendor.post("/fhir/Endpoint", json=custodian), 403)


async def test_who_manages_an_endpoint_or_is_its_custodian_writes_it(lrza: Directory) -> None:
    supplier = {"identifier": {"system": KVK, "value": VENDOR}}
    async with lrza.client(VENDOR) as vendor, lrza.client(PRACTICE) as practice:
        operated = await created(vendor, endpoint(supplier))
        said(await put(practice, operated), 403)
        own = await created(practice, endpoint(supplier, identifier=[assigned(assigner=(URA, PRACTICE))]))
        await updated(practice, own)


async def test_a_supplier_is_found_by_its_own_organisation_too(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital, lrza.client(VENDOR) as vendor:
        own = await created(hospital, organisation(HOSPITAL))
        kvk = [assigned(), {"system": KVK, "value": VENDOR}]
        supplier = await created(vendor, organisation(identifier=kvk))
        said(await vendor.post("/fhir/Location", json=location(to(own))), 403)
        await created(hospital, mandate(to(own), participatingOrganization=to(supplier)))
        await created(vendor, location(to(own)))


# -- transactions --------------------------------------------------------------------------------------------


def _post(resource: Resource, address: str = "") -> Resource:
    entry: Resource = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
    return {"fullUrl": address, **entry} if address else entry


def _transaction(*entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


async def test_a_transaction_writes_what_refers_to_each_other(lrza: Directory) -> None:
    who, where = f"urn:uuid:{new_id()}", f"urn:uuid:{new_id()}"
    bundle = _transaction(
        _post(organisation(HOSPITAL, endpoint=[{"reference": where}]), who),
        _post(endpoint({"reference": who}), where),
    )
    async with lrza.client(HOSPITAL) as hospital:
        answer = await hospital.post("/fhir", json=bundle)
        assert answer.status_code == 200, answer.text
        entries = answer.json()["entry"]
        assert [one["response"]["status"] for one in entries] == ["201 Created", "201 Created"]
        own, there = (one["resource"] for one in entries)
        assert own["endpoint"] == [to(there)] and there["managingOrganization"] == to(own)
        assert entries[0]["response"]["location"] == f"Organization/{own['id']}/_history/1"
        request = {"method": "PUT", "url": f"Organization/{own['id']}", "ifMatch": 'W/"1"'}
        change = {"resource": {**own, "name": "Anders"}, "request": request}
        answer = await hospital.post("/fhir", json=_transaction(change))
        assert answer.json()["entry"][0]["response"]["etag"] == 'W/"2"'
        assert (
            await hospital.post("/fhir", json={"resourceType": "Bundle", "type": "transaction"})
        ).json() == {
            "resourceType": "Bundle",
            "type": "transaction-response",
        }


async def test_a_transaction_is_written_whole_or_not(lrza: Directory) -> None:
    async with lrza.client(HOSPITAL) as hospital:
        own = await created(hospital, organisation(HOSPITAL))
        before = (await hospital.get("/fhir/Location/_history")).json()["total"]
        stale = {
            "resource": own,
            "request": {"method": "PUT", "url": f"Organization/{own['id']}", "ifMatch": 'W/"9"'},
        }
        for wrong, status in (
            (_post(location(to(own), name=None) | {"name": ""}), 400),
            (_post(_without("name")(location(to(own)))), 422),
            (_post(organisation(PRACTICE)), 403),
            (stale, 412),
            ({"request": {"method": "GET", "url": "Organization"}}, 400),
            ({"resource": own, "request": {"method": "PUT", "url": "Organization/x"}}, 400),
            (
                {
                    **_post(location(to(own))),
                    "request": {"method": "POST", "url": "Location", "ifNoneExist": "x"},
                },
                400,
            ),
        ):
            answer = await hospital.post("/fhir", json=_transaction(_post(location(to(own))), wrong))
            assert "Bundle.entry[1]" in said(answer, status)
        assert (await hospital.get("/fhir/Location/_history")).json()["total"] == before
        assert ids((await hospital.get("/fhir/Location")).json()) == []
        assert "transaction" in said(
            await hospital.post("/fhir", json={"resourceType": "Bundle", "type": "batch"}), 400
        )
