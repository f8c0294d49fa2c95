"""fhirclient (SMART Health IT), unchanged, at the internal door. It knows R4 alone, and its models refuse what R4 has
not, so that what it reads is checked on the way. It waits for its answers, so each test runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import requests
from fhirclient.client import FHIRClient  # type: ignore[import-untyped]
from fhirclient.models.bundle import Bundle  # type: ignore[import-untyped]
from fhirclient.models.observation import Observation  # type: ignore[import-untyped]
from fhirclient.models.patient import Patient  # type: ignore[import-untyped]
from fhirclient.server import (  # type: ignore[import-untyped]
    FHIRNotFoundException,
    FHIRPermissionDeniedException,
    FHIRUnauthorizedException,
)
from tests.clients.page import shown
from tests.nodes import RunningNode

from schakel.kernel.clock import new_id

SYSTEM = "http://example.org/number"


def in_a_thread(test: Callable[..., None]) -> Callable[..., Awaitable[None]]:
    """`test`, while the node keeps on answering."""

    @functools.wraps(test)
    async def run(**fixtures: Any) -> None:
        await asyncio.to_thread(test, **fixtures)

    return run


def opened(node: RunningNode, **headers: str) -> Any:
    """The client as an application has it: no token, and headers in its session."""
    base = node["fhirclient"].internal_base("r4")
    client = FHIRClient(settings={"app_id": "schakel", "api_base": base})
    client.server.session.headers.update(headers)
    client.server.session.trust_env = False
    return client


@pytest.fixture
def client(node: RunningNode) -> Any:
    client = opened(node, **{"X-API-Key": node["fhirclient"].key})
    yield client
    client.server.session.close()


def patient(mark: str, family: str = "Jansen", **members: Any) -> Any:
    name = [{"family": family, "given": ["Anna"], "prefix": ["dr."]}]
    identifier = [{"system": SYSTEM, "value": mark}]
    return Patient({"resourceType": "Patient", "identifier": identifier, "name": name, **members})


def observation(patient_id: str, value: int) -> Any:
    return Observation(
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": f"Patient/{patient_id}"},
            "effectiveDateTime": f"2024-01-{value:02d}T08:00:00+01:00",
            "valueQuantity": {"value": value, "unit": "/min"},
        }
    )


@in_a_thread
def test_the_capability_statement_is_one_that_the_models_take(client: Any) -> None:
    assert client.prepare() and client.ready
    assert client.authorize_url is None
    statement = client.server.capabilityStatement
    assert statement.fhirVersion == "4.0.1" and statement.kind == "instance"
    types = {one.type: {each.code for each in one.interaction} for one in statement.rest[0].resource}
    assert {"read", "search-type", "create", "update", "delete"} <= types["Patient"]


@in_a_thread
def test_a_resource_is_created_read_updated_and_deleted(client: Any) -> None:
    mark = new_id()
    made = Patient(patient(mark).create(client.server))
    assert made.meta.versionId == "1" and client.human_name(made.name[0]) == "dr. Anna Jansen"

    read = Patient.read(made.id, client.server)
    read.birthDate = None
    read.active = True
    assert Patient(read.update()).meta.versionId == "2"
    again = Patient.read(made.id, client.server)
    assert again.active is True and again.as_json() == Patient(again.as_json()).as_json()

    assert again.delete() is None
    with pytest.raises(requests.HTTPError, match="410"):
        Patient.read(made.id, client.server)
    with pytest.raises(FHIRNotFoundException):
        Patient.read("nobody", client.server)


@in_a_thread
def test_the_current_patient_is_read_when_the_settings_name_one(client: Any) -> None:
    client.patient_id = patient(new_id(), "Bakker").create(client.server)["id"]
    assert client.prepare()
    assert client.patient.name[0].family == "Bakker"


@in_a_thread
def test_a_search_is_built_from_a_structure(client: Any) -> None:
    mark = new_id()
    for family, born in (("Jansen", "1970-05-06"), ("Bakker", "1980-01-01")):
        made = patient(mark, family, birthDate=born).create(client.server)
    observation(made["id"], 1).create(client.server)

    def families(**struct: Any) -> set[str]:
        search = Patient.where({"identifier": f"{SYSTEM}|{mark}", **struct})
        return {found.name[0].family for found in search.perform_resources_iter(client.server)}

    assert families() == {"Jansen", "Bakker"}
    assert families(family="jansen") == {"Jansen"}
    assert families(name={"$exact": "Bakker"}) == {"Bakker"}
    assert families(birthdate="gt1975") == {"Bakker"}
    assert families(birthdate={"$and": ["ge1970-05-06", "lt1971"]}) == {"Jansen"}
    assert families(family={"$or": ["jansen", "bakker"]}) == {"Jansen", "Bakker"}
    assert families(active={"$missing": "true"}) == {"Jansen", "Bakker"}

    chained = Observation.where({"subject": {"$type": "Patient", "identifier": f"{SYSTEM}|{mark}"}})
    [bundle] = chained.include("subject").perform_iter(client.server)
    assert [entry.search.mode for entry in bundle.entry] == ["match", "include"]
    assert bundle.entry[1].resource.name[0].family == "Bakker"
    subject = bundle.entry[0].resource.subject
    assert subject.resolved(Patient).id == made["id"]


@in_a_thread
def test_the_operators_of_the_first_draft_of_fhir_are_refused_by_name(client: Any) -> None:
    search = Patient.where({"birthdate": {"$gt": "1975"}})
    assert search.construct() == "Patient?birthdate=>1975"
    with pytest.raises(requests.HTTPError) as caught:
        list(search.perform_iter(client.server))
    answer = caught.value.response
    assert answer is not None and answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["birthdate"]


@in_a_thread
def test_pages_are_read_until_there_are_no_more(client: Any) -> None:
    owner = patient(new_id()).create(client.server)["id"]
    for value in range(1, 8):
        observation(owner, value).create(client.server)
    search = Observation.where({"subject": f"Patient/{owner}", "_count": "3", "_sort": "date"})
    pages = [
        [one.resource.valueQuantity.value for one in page.entry]
        for page in search.perform_iter(client.server)
    ]
    assert pages == [[1, 2, 3], [4, 5, 6], [7]]


@in_a_thread
def test_a_transaction_is_created_at_the_base(client: Any) -> None:
    entry = {"resource": patient(new_id()).as_json(), "request": {"method": "POST", "url": "Patient"}}
    bundle = Bundle({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    answer = Bundle(bundle.create(client.server))
    assert answer.type == "transaction-response" and answer.entry[0].response.status == "201"
    history = Bundle.read_from(
        f"{answer.entry[0].response.location.partition('/_history')[0]}/_history", client.server
    )
    assert [each.resource.meta.versionId for each in history.entry] == ["1"]


@in_a_thread
def test_without_the_key_the_client_says_why(node: RunningNode) -> None:
    for headers in ({}, {"X-API-Key": "another"}):
        stranger = opened(node, **headers)
        try:
            with pytest.raises((FHIRUnauthorizedException, FHIRPermissionDeniedException)) as caught:
                Patient.read("p1", stranger.server)
            assert caught.value.response.json()["resourceType"] == "OperationOutcome"
        finally:
            stranger.server.session.close()


@in_a_thread
def test_the_code_in_the_page_runs(node: RunningNode) -> None:
    organisation = node["fhirclient"]
    names: dict[str, Any] = {"base": organisation.internal_base("r4"), "key": organisation.key}
    exec(shown("fhirclient"), names)
    assert names["made"]["meta"]["versionId"] == "1"
    assert "Jansen" in names["families"]
    names["client"].server.session.close()
