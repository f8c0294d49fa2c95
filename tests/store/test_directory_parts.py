"""Services, departments and what they are part of: whose endpoints they have, and whose they never get."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from tests.addressing import (
    OTHER_URA,
    THIRD_URA,
    URA,
    Directory,
    endpoint,
    organisation,
    server,
    service,
)

from schakel.generic.addressing import QueryDirectory
from schakel.kernel.outcomes import Invalid, NotFound, Outcome
from schakel.kernel.values import URA_SYSTEM
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer

_parts = (f"part{number}" for number in itertools.count())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    dsn = await cluster.ensure_database("directory_parts", "directory_parts", "secret")
    opened = await connect(dsn, connections=4)
    yield opened
    await disconnect(opened)
    await cluster.drop_database("directory_parts", "directory_parts")


@pytest_asyncio.fixture(loop_scope="session")
async def directory(pool: asyncpg.Pool) -> Directory:
    """An empty one: each has a tenant of its own."""
    return await Directory.new(pool, part=next(_parts))


async def kind_of(query: QueryDirectory, ura: str = URA, exchange: str = "bgz") -> str:
    """The code of the error with which an address is not found; '' when it is."""
    try:
        await query.find(ura, exchange)
    except Outcome as outcome:
        return outcome.kind
    return ""


async def test_a_service_and_a_department_have_the_endpoints_of_what_they_are_part_of(
    directory: Directory,
) -> None:
    await directory.put(
        organisation("hospital", URA, ["bgz", "oauth"]),
        organisation("cardiology", "", ["own"], "hospital"),
        organisation("outpatients", "", [], "cardiology"),
        service("echo", "outpatients"),
        endpoint("bgz"),
        server("oauth"),
    )
    for start in ("HealthcareService/echo", "Organization/outpatients", "Organization/hospital"):
        found = await directory.query.at(start, "bgz")
        assert (found.ura, found.name, found.endpoint) == (URA, "The hospital", "https://bgz.example/fhir")
    await directory.put(endpoint("own"))
    found = await directory.query.at("HealthcareService/echo", "bgz")
    assert (found.endpoint, found.issuer) == ("https://own.example/fhir", "https://oauth.example/issuer")
    await directory.put(service("echo", "outpatients", ["lab"]), endpoint("lab"))
    assert (await directory.query.at("HealthcareService/echo", "bgz")).endpoint == "https://lab.example/fhir"
    # The URA is that of the hospital alone, so its own address it is.
    assert (await directory.query.find(URA, "bgz")).endpoint == "https://bgz.example/fhir"


async def test_nothing_is_found_over_an_inactive_organisation_or_without_a_ura(directory: Directory) -> None:
    await directory.put(
        organisation("hospital", URA, ["bgz"]),
        organisation("cardiology", "", [], "hospital", active=False),
        organisation("outpatients", "", ["bgz"], "cardiology"),
        organisation("orphan", "", ["bgz"], "nobody"),
        endpoint("bgz"),
    )
    for start in ("Organization/outpatients", "Organization/orphan", "Organization/nobody"):
        with pytest.raises(NotFound) as caught:
            await directory.query.at(start, "bgz")
        assert caught.value.kind == "holder-unknown"
    with pytest.raises(Invalid, match="Endpoint/bgz"):
        await directory.query.at("Endpoint/bgz", "bgz")


@pytest.mark.parametrize("number", [{"value": "123456789"}, {"value": "six"}, {}])
async def test_a_provider_with_a_number_that_cannot_be_read_is_not_taken_for_part_of_another(
    directory: Directory, number: dict[str, str]
) -> None:
    above = {
        "identifier": [{"system": URA_SYSTEM.upper(), **number}],
        "partOf": {"reference": "Organization/hospital"},
    }
    await directory.put(
        organisation("hospital", URA, ["bgz"]),
        organisation("clinic", "", ["own"], **above),
        service("echo", "clinic"),
        endpoint("bgz"),
        endpoint("own"),
    )
    for start in ("Organization/clinic", "HealthcareService/echo"):
        with pytest.raises(NotFound) as caught:
            await directory.query.at(start, "bgz")
        assert caught.value.kind == "holder-unknown"
    # Without that number it is a part of the hospital.
    await directory.put(organisation("clinic", "", ["own"], "hospital"))
    assert (await directory.query.at("HealthcareService/echo", "bgz")).ura == URA


async def test_a_circle_of_parts_ends(directory: Directory) -> None:
    await directory.put(
        organisation("one", "", [], "two"),
        organisation("two", "", [], "one"),
        organisation("hospital", URA, ["bgz"], "one"),
        organisation("alone", OTHER_URA, ["bgz"], "alone"),
        endpoint("bgz"),
    )
    assert await kind_of(directory.query) == ""
    assert await kind_of(directory.query, OTHER_URA) == ""
    with pytest.raises(NotFound):
        await directory.query.at("Organization/one", "bgz")
    await directory.put(
        organisation("one", THIRD_URA, ["bgz"], "two"), organisation("two", THIRD_URA, [], "one")
    )
    assert await kind_of(directory.query, THIRD_URA) == "directory-conflict"


async def test_more_levels_than_are_looked_at_do_not_lead_to_the_top(directory: Directory) -> None:
    levels = [organisation(f"d{n}", "", [], f"d{n + 1}") for n in range(1, 11)]
    await directory.put(*levels, organisation("d11", URA, ["bgz"]), endpoint("bgz"))
    assert (await directory.query.at("Organization/d2", "bgz")).ura == URA
    with pytest.raises(NotFound):
        await directory.query.at("Organization/d1", "bgz")


async def test_a_department_that_repeats_the_ura_is_not_another_provider(directory: Directory) -> None:
    await directory.put(
        organisation("hospital", URA, ["bgz"]),
        organisation("ward", URA, ["own"], "middle"),
        organisation("middle", "", [], "hospital"),
        endpoint("bgz"),
        endpoint("own"),
    )
    assert (await directory.query.find(URA, "bgz")).endpoint == "https://bgz.example/fhir"
