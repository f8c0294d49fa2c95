"""Search parameters that an organisation adds, at its doors: written, built, asked, started again, and seen by nobody
else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import entry, patient, refusal, transaction
from tests.nodes import RunningNode, RunningOrganisation, databases, running_node
from tests.parameters import EXTENSION, VERSIONS, search_parameter, shoe

from schakel.commands.doors import Door
from schakel.commands.reindex import reindex
from schakel.fhir.definitions import Version, definitions
from schakel.fhir.fhirpath import compile_expression
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "own_search") as make, running_node(make) as node:
        yield node


def door(organisation: RunningOrganisation, version: Version) -> httpx.AsyncClient:
    return organisation.internal if version == "stu3" else organisation.internal_r4


def jobs_of(organisation: RunningOrganisation) -> str:
    return f"{organisation.internal_root}/{organisation.slug}/jobs"


async def job_ended(client: httpx.AsyncClient, address: str) -> dict[str, Any]:
    """A job, once it has ended."""
    async with asyncio.timeout(30):
        while True:
            answer = await client.get(address)
            assert answer.status_code == 200, answer.text
            job: dict[str, Any] = answer.json()
            if job["state"] in ("done", "failed"):
                return job
            await asyncio.sleep(0.05)


async def built(client: httpx.AsyncClient, resource: dict[str, Any]) -> dict[str, Any]:
    """Writes a SearchParameter and waits until its job has ended."""
    answer = await client.put(f"SearchParameter/{resource['id']}", json=resource)
    assert answer.status_code in (200, 201), answer.text
    return await job_ended(client, answer.headers["X-Job"])


async def found(client: httpx.AsyncClient, query: str) -> list[str]:
    answer = await client.get(query)
    assert answer.status_code == 200, answer.text
    return sorted(e["resource"]["id"] for e in answer.json().get("entry", []))


async def listed(client: httpx.AsyncClient, kind: str) -> set[str]:
    """The search parameters of a type in the CapabilityStatement."""
    statement = (await client.get("metadata")).json()
    [resource] = [r for r in statement["rest"][0]["resource"] if r["type"] == kind]
    return {p["name"] for p in resource["searchParam"]}


@pytest.mark.parametrize("version", VERSIONS)
async def test_from_writing_to_searching_to_taking_it_out(node: RunningNode, version: Version) -> None:
    client, other = door(node["a"], version), door(node["b"], version)
    for logical_id, size in (("size-1", "big"), ("size-2", "small")):
        resource = patient(logical_id, extension=shoe(size))
        assert (await client.put(f"Patient/{logical_id}", json=resource)).status_code == 201
        assert (await other.put(f"Patient/{logical_id}", json=resource)).status_code == 201
    job = await built(client, search_parameter())
    assert (job["state"], job["parameter"]["state"], job["parameter"]["failing"]) == ("done", "ready", 0)
    assert job["done"] == job["total"] >= 2
    assert await found(client, "Patient?shoe=big") == ["size-1"]
    assert await found(client, "Patient?shoe:not=big&_id=size-1,size-2") == ["size-2"]
    assert "shoe" in await listed(client, "Patient")

    refusal(await other.get("Patient?shoe=big"), 400)
    assert "shoe" not in await listed(other, "Patient")
    assert (await other.get(jobs_of(node["b"]))).json() == {"jobs": []}
    assert (await other.get(f"{jobs_of(node['b'])}/{job['id']}")).status_code == 404
    assert (await other.get(f"{jobs_of(node['a'])}/{job['id']}")).status_code == 403

    assert (await client.delete("SearchParameter/shoe")).status_code == 204
    assert "'shoe' is not known" in refusal(await client.get("Patient?shoe=big"), 400)
    assert "shoe" not in await listed(client, "Patient")


async def test_while_it_is_built_a_search_says_where_to_look(node: RunningNode) -> None:
    client = node["a"].internal_r4
    entries = [entry("PUT", f"Patient/many-{n}", patient(f"many-{n}")) for n in range(2500)]
    assert (await client.post("", json=transaction(*entries))).status_code == 200
    answer = await client.put("SearchParameter/lace", json=search_parameter("lace"))
    address = answer.headers["X-Job"]
    said = refusal(await client.get("Patient?lace=1"), 400)
    assert address in said and "search-parameter-building" in said and "transient" in said
    assert "lace" not in await listed(client, "Patient")
    refusal(await client.get("Patient?lace=1", headers={"Prefer": "handling=lenient"}), 400)
    await job_ended(client, address)
    assert await found(client, "Patient?lace=1") == []


async def test_a_refusal_names_the_element_and_nothing_is_written(node: RunningNode) -> None:
    client = node["a"].internal_r4
    for members, element in (
        ({"expression": "Patient.nothing"}, "expression"),
        ({"code": "gender"}, "code"),
        ({"type": "composite"}, "type"),
    ):
        answer = await client.put(
            "SearchParameter/wrong", json=search_parameter(**{"id": "wrong", "code": "wrong", **members})
        )
        said = refusal(answer, 422)
        assert f"SearchParameter.{element}" in said and "search-parameter-refused" in said
        assert (await client.get("SearchParameter/wrong")).status_code == 404


async def test_in_a_transaction_and_a_batch_the_entry_names_its_job(node: RunningNode) -> None:
    client = node["b"].internal_r4
    for kind, code in (("transaction", "in-transaction"), ("batch", "in-batch")):
        bundle = {
            **transaction(
                entry("PUT", f"SearchParameter/{code}", search_parameter(code)),
                entry("PUT", f"Patient/{code}", patient(code, extension=shoe(code))),
            ),
            "type": kind,
        }
        answer = await client.post("", json=bundle)
        told = str(answer.json()["entry"][0]["response"]["outcome"])
        [job] = [
            j for j in (await client.get(jobs_of(node["b"]))).json()["jobs"] if j["parameter"]["code"] == code
        ]
        assert f"{jobs_of(node['b'])}/{job['id']}" in told
        await job_ended(client, f"{jobs_of(node['b'])}/{job['id']}")
        assert await found(client, f"Patient?{code}={code}") == [code]
    wrong = transaction(
        entry("PUT", "Patient/not-there", patient("not-there")),
        entry("PUT", "SearchParameter/wrong", search_parameter("wrong", expression="(")),
    )
    assert "Bundle.entry[1]" in refusal(await client.post("", json=wrong), 422)
    assert (await client.get("Patient/not-there")).status_code == 404


async def test_the_guarded_door_knows_the_standard_alone(node: RunningNode) -> None:
    holder, requester = node["a"], node["b"]
    await built(
        holder.internal, search_parameter("bsn-like", expression="Patient.identifier.value", type="string")
    )
    bsn = "999911120"
    identifier = [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": bsn}]
    await holder.internal.put("Patient/known", json=patient("known", identifier=identifier))
    await holder.ground(bsn, requester.ura)
    bearer = {"Authorization": f"Bearer {await requester.token(holder)}"}
    query = f"Patient?identifier=http://fhir.nl/fhir/NamingSystem/bsn|{bsn}"
    assert (await holder.front.get(query, headers=bearer)).status_code == 200
    assert await found(holder.internal, f"Patient?bsn-like={bsn}") == ["known"]
    said = refusal(await holder.front.get(f"Patient?bsn-like={bsn}", headers=bearer), 400)
    assert "'bsn-like' is not known" in said
    assert "bsn-like" not in (await holder.front.get("metadata")).text


async def test_jobs_are_started_again_by_the_command_too(
    node: RunningNode, capsys: pytest.CaptureFixture[str]
) -> None:
    organisation, client = node["b"], node["b"].internal_r4
    await built(client, search_parameter("again", type="string", expression="Patient.name.given.single()"))
    await client.put("Patient/again", json=patient("again", name=[{"given": ["a", "b"]}]))
    url = "http://example.org/SearchParameter/again"
    assert (await client.post(jobs_of(organisation), json={"parameter": url})).status_code == 202
    own = Door("b", organisation.ura, "b", f"{organisation.internal_root}/b", "", organisation.key)
    assert await asyncio.to_thread(reindex, own, url) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"again (R4, {url}): ") and said.endswith("it fails on 1\n")
    assert await asyncio.to_thread(reindex, own, "") == 0
    assert "again (R4" in capsys.readouterr().out
    for body, status in (
        ({"parameter": "http://example.org/unknown"}, 404),
        ({"parameter": 1}, 400),
        ({"other": ""}, 400),
        ([], 400),
    ):
        answer = await client.post(jobs_of(organisation), json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("version", VERSIONS)
async def test_while_many_write_nothing_is_missed(node: RunningNode, version: Version) -> None:
    """Afterwards a search finds what FHIRPath says of each resource, whenever it was written."""
    client, chance = door(node["a"], version), random.Random(7)
    sizes, names = ("small", "big", "huge"), [f"load-{n}" for n in range(120)]
    expression = f"Patient.extension('{EXTENSION}').where(value != 'huge').value"
    among, stop = f"Patient?_id={','.join(names)}", asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            some = chance.sample(names, 8)
            entries = [
                entry("PUT", f"Patient/{n}", patient(n, extension=shoe(chance.choice(sizes)))) for n in some
            ]
            entries[0] = entry("DELETE", f"Patient/{some[0]}")
            answer = await client.post("", json=transaction(*entries))
            assert answer.status_code in (200, 409), answer.text

    for turn in range(2):
        stop.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(load())
            await asyncio.sleep(0.3)
            job = await built(
                client, search_parameter("load", expression=expression if turn else f"({expression})")
            )
            assert job["state"] == "done"
            await asyncio.sleep(0.3)
            stop.set()
        compiled = compile_expression(expression, definitions(version), context="Patient")
        bundle = (await client.get(among)).json()
        resources = [e["resource"] for e in bundle["entry"]]
        for size in ("small", "big"):
            wanted = [r["id"] for r in resources if size in [n.value for n in compiled.evaluate(r)]]
            assert await found(client, f"{among}&load={size}") == sorted(wanted) != []
