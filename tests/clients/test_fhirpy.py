"""fhirpy, unchanged, at the internal door: what its documentation shows, in both FHIR versions."""

from __future__ import annotations

import ast
import datetime
from types import CodeType, FunctionType
from typing import Any

import pytest
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound
from tests.clients.page import shown
from tests.nodes import RunningNode

from schakel.fhir.definitions import Version
from schakel.kernel.clock import new_id

SYSTEM = "http://example.org/number"
LOINC = "http://loinc.org"


@pytest.fixture
def client(node: RunningNode, version: Version) -> AsyncFHIRClient:
    organisation = node["fhirpy"]
    return AsyncFHIRClient(
        organisation.internal_base(version),
        extra_headers={"X-API-Key": organisation.key, "Prefer": "handling=lenient"},
    )


@pytest.fixture
def mark() -> str:
    """What tells the resources of one test from those of the others."""
    return new_id()


async def patient(client: AsyncFHIRClient, mark: str, **members: Any) -> Any:
    made = client.resource("Patient", identifier=[{"system": SYSTEM, "value": mark}], **members)
    await made.save()
    return made


async def observation(client: AsyncFHIRClient, subject: Any, value: int, **members: Any) -> Any:
    made = client.resource(
        "Observation",
        status="final",
        code={"coding": [{"system": LOINC, "code": "8867-4"}]},
        subject=subject.to_reference(),
        valueQuantity={"value": value, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
        effectiveDateTime=f"2024-01-{value:02d}",
        **members,
    )
    await made.save()
    return made


# -- one resource ----------------------------------------------------------------------------------------------


async def test_a_resource_is_created_read_changed_and_deleted(client: AsyncFHIRClient, mark: str) -> None:
    made = await patient(client, mark, name=[{"family": "Jansen", "given": ["Anna"]}])
    assert made.id and made.meta.versionId == "1"

    made["birthDate"] = "1970-01-01"
    await made.save()
    assert made.meta.versionId == "2"

    read = await client.reference("Patient", made.id).to_resource()
    assert read["name"][0]["family"] == "Jansen" and read["birthDate"] == "1970-01-01"
    assert (await client.get("Patient", made.id))["id"] == made.id

    await made.delete()
    with pytest.raises(ResourceNotFound):
        await client.get("Patient", made.id)


async def test_a_resource_is_read_again_only_when_it_changed(client: AsyncFHIRClient, mark: str) -> None:
    made = await patient(client, mark)
    await made.refresh()
    assert made.meta.versionId == "1"
    other = await client.reference("Patient", made.id).to_resource()
    other["active"] = True
    await other.update()
    await made.refresh()
    assert made["active"] is True and made.meta.versionId == "2"


async def test_a_resource_is_created_with_an_id_of_the_clients_choice(
    client: AsyncFHIRClient, mark: str
) -> None:
    made = client.resource("Patient", id=mark, active=True)
    await made.save()
    assert (await client.get("Patient", mark))["active"] is True


async def test_a_patch_changes_the_named_elements_and_no_other(client: AsyncFHIRClient, mark: str) -> None:
    made = await patient(client, mark, gender="female", active=True)
    await made.patch(gender="unknown", birthDate="1970")
    assert (made["gender"], made["birthDate"], made["active"]) == ("unknown", "1970", True)

    made["active"] = False
    await made.save(fields=["active"])
    assert made["active"] is False and made["gender"] == "unknown"

    patched = await client.patch("Patient", made.id, gender=None)
    assert "gender" not in patched and patched["birthDate"] == "1970"
    with pytest.raises(OperationOutcome, match="naam"):
        await client.patch("Patient", made.id, naam="x")


async def test_what_is_refused_comes_as_the_clients_own_error(client: AsyncFHIRClient) -> None:
    with pytest.raises(OperationOutcome, match="naam") as caught:
        await client.resource("Patient", naam="x").save()
    assert caught.value.resource["issue"][0]["severity"] == "error"
    with pytest.raises(ResourceNotFound):
        await client.get("Patient", "nobody")


# -- by condition ----------------------------------------------------------------------------------------------


async def test_get_or_create_makes_one_resource(client: AsyncFHIRClient, mark: str) -> None:
    same = client.resources("Patient").search(identifier=f"{SYSTEM}|{mark}")
    wanted = client.resource("Patient", identifier=[{"system": SYSTEM, "value": mark}])
    made, created = await same.get_or_create(wanted)
    found, created_again = await same.get_or_create(wanted)
    assert (created, created_again) == (True, False)
    assert made.id == found.id
    assert await same.count() == 1


async def test_update_by_condition_changes_the_one_that_fits(client: AsyncFHIRClient, mark: str) -> None:
    same = client.resources("Patient").search(identifier=f"{SYSTEM}|{mark}")
    wanted = client.resource("Patient", identifier=[{"system": SYSTEM, "value": mark}], active=True)
    made, created = await same.update(wanted)
    assert created
    wanted["active"] = False
    changed, created = await same.update(wanted)
    assert not created and changed.id == made.id and changed["active"] is False

    await patient(client, mark)
    with pytest.raises(MultipleResourcesFound):
        await same.update(wanted)


async def test_delete_by_condition_takes_the_one_that_fits(client: AsyncFHIRClient, mark: str) -> None:
    made = await patient(client, mark)
    same = client.resources("Patient").search(identifier=f"{SYSTEM}|{mark}")
    _, status = await same.delete()
    assert status == 204
    with pytest.raises(ResourceNotFound):
        await client.get("Patient", made.id)


# -- search ----------------------------------------------------------------------------------------------------


async def test_the_query_builder_finds_what_it_says(client: AsyncFHIRClient, mark: str) -> None:
    anna = await patient(
        client, mark, name=[{"family": f"Jansen{mark}", "given": ["Anna"]}], birthDate="1970-05-06"
    )
    await patient(client, mark, name=[{"family": f"Bakker{mark}"}], birthDate="1980-01-01", active=True)
    mine = client.resources("Patient").search(identifier=f"{SYSTEM}|{mark}")

    async def families(search: Any) -> list[str]:
        return [found["name"][0]["family"].removesuffix(mark) for found in await search.fetch()]

    assert await families(mine.sort("-birthdate")) == ["Bakker", "Jansen"]
    assert await families(mine.search(name__contains="anse")) == ["Jansen"]
    assert await families(mine.search(family__exact=f"Bakker{mark}")) == ["Bakker"]
    assert await families(mine.search(birthdate__lt=datetime.date(1975, 1, 1))) == ["Jansen"]
    assert await families(mine.search(birthdate__ge="1970-05-06", birthdate__lt="1970-06")) == ["Jansen"]
    assert await families(mine.search(active=True)) == ["Bakker"]
    assert await families(mine.search(active__missing=True)) == ["Jansen"]
    assert await families(mine.search(name=[f"jansen{mark}", "anna"])) == ["Jansen"]
    assert await families(mine.search(family=f"jansen{mark},bakker{mark}").sort("family")) == [
        "Bakker",
        "Jansen",
    ]
    assert await families(client.resources("Patient").search(_id=anna.id)) == ["Jansen"]
    since = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    assert len(await mine.search(_lastUpdated__ge=since).fetch()) == 2
    assert (await mine.search(birthdate="1970-05-06").get()).id == anna.id
    first = await mine.sort("family").first()
    assert first is not None and first["name"][0]["family"] == f"Bakker{mark}"
    with pytest.raises(MultipleResourcesFound):
        await mine.get()


async def test_chains_and_has_and_includes_join_resources(client: AsyncFHIRClient, mark: str) -> None:
    anna = await patient(client, mark, name=[{"family": f"Jansen{mark}"}])
    ben = await patient(client, f"{mark}-2", name=[{"family": f"Bakker{mark}"}])
    for value, subject in ((1, anna), (2, anna), (3, ben)):
        await observation(client, subject, value)
    observations, patients = client.resources("Observation"), client.resources("Patient")

    chained = observations.search(subject__Patient__name=f"jansen{mark}", code=f"{LOINC}|8867-4").sort("date")
    assert [found["valueQuantity"]["value"] for found in await chained.fetch()] == [1, 2]
    assert len(await observations.search(patient=ben).fetch()) == 1
    assert len(await observations.search(subject=anna.to_reference(), value_quantity__gt=1).fetch()) == 1

    with_fast = patients.search(_id=f"{anna.id},{ben.id}").has("Observation", "patient", value_quantity="gt2")
    assert [found.id for found in await with_fast.fetch()] == [ben.id]

    bundle = await chained.include("Observation", "subject").fetch_raw()
    modes = [(entry.resource.resourceType, entry.search.mode) for entry in bundle.entry]
    assert modes == [("Observation", "match"), ("Observation", "match"), ("Patient", "include")]
    first = bundle.entry[0].resource
    assert (await first["subject"].to_resource()).id == anna.id

    both = await patients.search(_id=anna.id).revinclude("Observation", "subject").fetch_raw()
    assert [e.resource.resourceType for e in both.entry] == ["Patient", "Observation", "Observation"]
    everything = await chained.include("*").fetch_raw()
    assert {e.resource.resourceType for e in everything.entry} == {"Patient", "Observation"}


async def test_pages_are_fetched_until_there_are_no_more(client: AsyncFHIRClient, mark: str) -> None:
    anna = await patient(client, mark)
    for value in range(1, 8):
        await observation(client, anna, value)
    search = client.resources("Observation").search(patient=anna.id).sort("-date").limit(3)
    assert [found["valueQuantity"]["value"] for found in await search.fetch()] == [7, 6, 5]
    assert [found["valueQuantity"]["value"] for found in await search.fetch_all()] == [7, 6, 5, 4, 3, 2, 1]
    assert [found.id async for found in search] == [found.id for found in await search.fetch_all()]
    assert await search.count() == 7


async def test_elements_leave_out_the_rest(client: AsyncFHIRClient, mark: str) -> None:
    await patient(client, mark, gender="female", birthDate="1970-01-01")
    mine = client.resources("Patient").search(identifier=f"{SYSTEM}|{mark}").elements("birthDate")
    found = await mine.get()
    assert found["birthDate"] == "1970-01-01" and "gender" not in found


# -- Bundles and operations ------------------------------------------------------------------------------------


async def test_a_transaction_is_saved_as_a_bundle(client: AsyncFHIRClient, mark: str) -> None:
    mother = f"urn:uuid:{mark}"
    identifier = [{"system": SYSTEM, "value": mark}]
    bundle = client.resource(
        "Bundle",
        type="transaction",
        entry=[
            {
                "fullUrl": mother,
                "resource": {"resourceType": "Patient", "identifier": identifier},
                "request": {"method": "POST", "url": "/Patient"},
            },
            {
                "resource": {
                    "resourceType": "Basic",
                    "code": {"text": mark},
                    "subject": {"reference": mother},
                },
                "request": {"method": "POST", "url": "Basic"},
            },
        ],
    )
    await bundle.save()
    assert bundle["type"] == "transaction-response"
    assert [entry["response"]["status"][:3] for entry in bundle["entry"]] == ["201", "201"]
    made = await client.resources("Patient").search(identifier=f"{SYSTEM}|{mark}").get()
    assert len(await client.resources("Basic").search(subject=made).fetch()) == 1


async def test_a_batch_answers_each_request_on_its_own(client: AsyncFHIRClient, mark: str) -> None:
    made = await patient(client, mark)
    requests = [f"/Patient/{made.id}", "Patient/nobody", f"Patient?identifier={SYSTEM}|{mark}"]
    bundle = client.resource(
        "Bundle", type="batch", entry=[{"request": {"method": "GET", "url": url}} for url in requests]
    )
    await bundle.save()
    assert [entry["response"]["status"][:3] for entry in bundle["entry"]] == ["200", "404", "200"]
    assert bundle["entry"][2]["resource"]["entry"][0]["resource"]["id"] == made.id


async def test_operations_are_executed_on_each_level(client: AsyncFHIRClient, mark: str) -> None:
    made = await patient(client, mark, gender="female")
    assert await made.is_valid()
    made["gender"] = "no gender"
    assert not await made.is_valid()

    meta = await client.reference("Patient", made.id).execute("$meta", method="get")
    assert meta["parameter"][0]["valueMeta"]["versionId"] == "1"
    label = {"name": "meta", "valueMeta": {"tag": [{"system": "http://example.org/tag", "code": mark}]}}
    await made.execute("$meta-add", data={"resourceType": "Parameters", "parameter": [label]})
    assert (
        await client.resources("Patient").search(_tag=f"http://example.org/tag|{mark}").get()
    ).id == made.id

    await observation(client, made, 1)
    await observation(client, made, 2)
    last = await client.resources("Observation").execute(
        "$lastn", method="get", params={"patient": made.id, "category:missing": "true"}
    )
    assert [entry["resource"]["valueQuantity"]["value"] for entry in last["entry"]] == [2]
    everything = await made.execute("$everything", method="get")
    kinds = sorted(entry["resource"]["resourceType"] for entry in everything["entry"])
    assert kinds == ["Observation", "Observation", "Patient"]
    statement = await client.execute("metadata", method="get")
    assert statement["resourceType"] == "CapabilityStatement"


async def test_the_code_in_the_page_runs(node: RunningNode, version: Version) -> None:
    organisation = node["fhirpy"]
    names: dict[str, Any] = {"base": organisation.internal_base(version), "key": organisation.key}
    code: CodeType = compile(shown("fhirpy"), "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await FunctionType(code, names)()
    assert names["patient"]["birthDate"] == "1970-01-01"
    assert "Jansen" in names["families"]
