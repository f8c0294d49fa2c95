"""The query directory: who has a URA, which endpoint is for an exchange, and who is never answered."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.addressing import (
    BGZ,
    CONDITION,
    MEDICATION,
    NUTS_OAUTH,
    OAUTH2,
    OAUTH_NUTS,
    OTHER_URA,
    THIRD_URA,
    URA,
    Directory,
    endpoint,
    organisation,
    server,
    service,
)

from schakel.fhir.json import Resource
from schakel.generic.addressing import Address, DirectoryRules, QueryDirectory
from schakel.generic.addressing.exchanges import CATEGORIES, EXCHANGES, FHIR_REST, exchange
from schakel.kernel.outcomes import Conflict, Invalid, NotFound, Outcome
from schakel.kernel.values import URA_SYSTEM
from schakel.sources import Write
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_parts = (f"part{number}" for number in itertools.count())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    dsn = await cluster.ensure_database("query_directory", "query_directory", "secret")
    opened = await connect(dsn, connections=4)
    yield opened
    await disconnect(opened)
    await cluster.drop_database("query_directory", "query_directory")


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


# -- the choice of an endpoint, one condition at a time --------------------------------------------------------


async def test_an_endpoint_is_found_by_ura_and_exchange(directory: Directory) -> None:
    await directory.put(
        organisation("hospital", URA, ["bgz", "oauth"]), endpoint("bgz"), server("oauth"), source="central"
    )
    await directory.in_step({"central": NOW})
    with time_machine.travel(NOW, tick=False):
        found = await directory.query.find(URA, "bgz")
    assert found == Address(
        ura=URA,
        name="The hospital",
        issuer="https://oauth.example/issuer",
        token_endpoint="",
        fhir={"stu3": "https://bgz.example/fhir"},
        jwks={},
        type_code="V6",
        endpoint="https://bgz.example/fhir",
        source="central",
        as_of=NOW,
    )


REMOVED: dict[str, dict[str, Any]] = {
    "it is off": {"status": "off"},
    "it is suspended": {"status": "suspended"},
    "it is in error": {"status": "error"},
    "it is for tests": {"status": "test"},
    "it was entered in error": {"status": "entered-in-error"},
    "its period is over": {"period": {"end": "2026-11-21"}},
    "its period is to come": {"period": {"start": "2026-11-23"}},
    "its period has no sense": {"period": {"start": "soon"}},
    "it is another kind of connection": {"connectionType": {"system": FHIR_REST[0], "code": "dicom-wado-rs"}},
    "its kind is of another code system": {"connectionType": {"system": "urn:x", "code": FHIR_REST[1]}},
    "it has other data": {"payloadType": [{"coding": [{"system": MEDICATION[0], "code": MEDICATION[1]}]}]},
    "its data are of another code system": {
        "payloadType": [{"coding": [{"system": "urn:x", "code": BGZ[1]}]}]
    },
    "it speaks another FHIR": {"payloadMimeType": ["application/fhir+json; fhirVersion=4.0"]},
    "its address is none": {"address": "ask reception"},
}


@pytest.mark.parametrize("members", REMOVED.values(), ids=REMOVED)
async def test_an_endpoint_does_not_count_when(directory: Directory, members: dict[str, Any]) -> None:
    with time_machine.travel(NOW, tick=False):
        await directory.put(organisation("hospital", URA, ["bgz"]), endpoint("bgz"))
        assert await kind_of(directory.query) == ""
        await directory.put(endpoint("bgz", **members))
        with pytest.raises(
            NotFound, match=rf"provider {URA} \(The hospital\) has no endpoint for exchange bgz"
        ):
            await directory.query.find(URA, "bgz")
        assert await kind_of(directory.query) == "no-endpoint"
        assert (await directory.query.find(URA)).fhir == {}


@pytest.mark.parametrize(
    "members",
    [
        {"period": {"start": "2026-11-22"}},
        {"period": {"end": "2026-11-22"}},
        {"period": {"start": "2026-11-22T12:00:00Z", "end": "2027"}},
        {"payloadMimeType": None},
        {"payloadMimeType": ["application/fhir+json"]},
        {"payloadMimeType": ["application/fhir+xml;fhirVersion=4.0", 'application/fhir+json; fhirversion="3.0.2"']},
        {"payloadType": [{"coding": [{"system": CATEGORIES, "code": "Imaging"}]}, {"coding": [
            {"system": BGZ[0], "code": BGZ[1]}]}]},
    ],
)  # fmt: skip
async def test_an_endpoint_counts_on_its_edges(directory: Directory, members: dict[str, Any]) -> None:
    with time_machine.travel(NOW, tick=False):
        await directory.put(organisation("hospital", URA, ["bgz"]), endpoint("bgz", **members))
        assert (await directory.query.find(URA, "bgz")).endpoint == "https://bgz.example/fhir"


async def test_an_endpoint_of_another_organisation_is_never_taken(directory: Directory) -> None:
    await directory.put(
        organisation("hospital", URA, [], "group"),
        organisation("group", OTHER_URA, ["bgz"]),
        organisation("vendor", THIRD_URA),
        # Who runs it is not who uses it.
        endpoint("bgz", managingOrganization={"reference": "Organization/hospital"}),
    )
    assert await kind_of(directory.query) == "no-endpoint"
    assert await kind_of(directory.query, OTHER_URA) == ""
    with pytest.raises(NotFound, match="no endpoint"):
        await directory.query.at("Organization/hospital", "bgz")


async def test_an_inactive_organisation_never_answers(directory: Directory) -> None:
    everything = organisation("hospital", URA, ["bgz"]), endpoint("bgz")
    await directory.put(*everything)
    await directory.put({**everything[0], "active": False})
    assert await kind_of(directory.query) == "holder-unknown"
    assert (await directory.query.name(URA), await directory.query.facility_type(URA)) == ("", "")
    assert await directory.query.jwks(URA) is None
    await directory.put(organisation("hospital", URA, ["bgz"], active=None))
    assert await kind_of(directory.query) == ""


async def test_what_was_deleted_or_never_came_is_not_there(directory: Directory) -> None:
    await directory.put(organisation("hospital", URA, ["bgz", "gone", "never"]), endpoint("gone"))
    await directory.put(endpoint("bgz"))
    await directory.store.write("r4", [Write("DELETE", "Endpoint", "gone")])
    assert (await directory.query.find(URA, "bgz")).endpoint == "https://bgz.example/fhir"
    await directory.store.write("r4", [Write("DELETE", "Organization", "hospital")])
    assert await kind_of(directory.query) == "holder-unknown"


@pytest.mark.parametrize(
    ("system", "value"),
    [
        (URA_SYSTEM, "00000659"),
        (URA_SYSTEM, "0659"),
        (URA_SYSTEM, "659"),
        (f"{URA_SYSTEM.removesuffix('ura')}URA", "659"),
        (URA_SYSTEM.upper(), "00000659"),
    ],
    ids=["whole", "a-zero", "bare", "bare-in-capitals", "in-capitals"],
)
async def test_a_ura_is_found_however_its_directory_writes_it(
    directory: Directory, system: str, value: str
) -> None:
    """As it is taken in, and as the index answers it: in eight digits."""
    numbers = [{"system": system, "value": value}]
    await directory.put(organisation("hospital", "", ["bgz"], identifier=numbers), endpoint("bgz"))
    assert (await directory.query.find("00000659", "bgz")).ura == "00000659"
    assert (await directory.query.at("Organization/hospital", "bgz")).ura == "00000659"
    for other in ("00006590", "10000659", "00000065", "00000000"):
        assert await kind_of(directory.query, other) == "holder-unknown"


async def test_two_that_write_one_ura_in_different_ways_are_in_conflict(directory: Directory) -> None:
    numbers = [{"system": URA_SYSTEM, "value": "659"}]
    await directory.put(organisation("hospital", "00000659"), organisation("clinic", "", identifier=numbers))
    assert await kind_of(directory.query, "00000659", "") == "directory-conflict"


async def test_what_is_no_ura_is_none(directory: Directory) -> None:
    numbers = [
        {"system": URA_SYSTEM, "value": "six"},
        {"system": URA_SYSTEM},
        {"system": URA_SYSTEM, "value": "659"},
    ]
    await directory.put(organisation("hospital", "", ["bgz"], identifier=numbers), endpoint("bgz"))
    assert (await directory.query.at("Organization/hospital", "bgz")).ura == "00000659"


async def test_another_identifier_with_the_same_number_is_no_ura(directory: Directory) -> None:
    wrong = [{"system": "http://fhir.nl/fhir/NamingSystem/agb-z", "value": URA}]
    await directory.put(organisation("hospital", "", ["bgz"], identifier=wrong), endpoint("bgz"))
    assert await kind_of(directory.query) == "holder-unknown"


async def test_of_several_the_nearest_to_the_exchange_and_the_latest_is_taken(directory: Directory) -> None:
    async def taken(*endpoints: Resource) -> str:
        names = [str(one["id"]) for one in endpoints]
        await directory.put(organisation("hospital", URA, names), *endpoints)
        return (await directory.query.find(URA, "bgz")).endpoint.removeprefix("https://").split(".")[0]

    old: dict[str, Any] = {"period": {"start": "2020"}}
    new: dict[str, Any] = {"period": {"start": "2026-11-01"}}
    with time_machine.travel(NOW, tick=False):
        assert await taken(endpoint("one"), endpoint("two")) == "one"
        assert await taken(endpoint("two"), endpoint("one")) == "two"
        assert await taken(endpoint("one", **old), endpoint("two", **new)) == "two"
        assert await taken(endpoint("one", CONDITION, **new), endpoint("two", BGZ, **old)) == "two"


# -- endpoints for kinds of data -------------------------------------------------------------------------------


def kinds(name: str, *categories: str, system: str = CATEGORIES, **members: Any) -> Resource:
    """An endpoint for these data categories."""
    return endpoint(name, [(system, one) for one in categories], **members)


def parts(found: Address) -> dict[str, tuple[str, ...]]:
    """The categories for which each endpoint was given, by its name."""
    assert found.endpoint == ""
    return {one.endpoint.removeprefix("https://").split(".")[0]: one.categories for one in found.parts}


ALL = sorted(exchange("bgz").categories)


@pytest.mark.parametrize("category", ALL)
async def test_an_endpoint_with_one_kind_of_data_is_for_that_alone(
    directory: Directory, category: str
) -> None:
    await directory.put(organisation("hospital", URA, ["one"]), kinds("one", category, "Imaging"))
    found = await directory.query.find(URA, "bgz")
    assert parts(found) == {"one": (category,)}
    assert found.missing == tuple(one for one in ALL if one != category)


@pytest.mark.parametrize("category", ["Imaging", "DiagnosticReport", "Episode", "ObservationTherapy"])
async def test_data_that_an_exchange_does_not_ask_for_leads_to_nothing(
    directory: Directory, category: str
) -> None:
    await directory.put(organisation("hospital", URA, ["one"]), kinds("one", category))
    assert await kind_of(directory.query) == "no-endpoint"


async def test_one_endpoint_with_all_kinds_of_data_is_for_the_whole(directory: Directory) -> None:
    old = "http://minvws.nl/CodeSystem/nl-gf-data-categories-cs"
    for system in (CATEGORIES, old):
        await directory.put(organisation("hospital", URA, ["one"]), kinds("one", *ALL, system=system))
        found = await directory.query.find(URA, "bgz")
        assert (found.endpoint, found.parts, found.missing) == ("https://one.example/fhir", (), ())
    await directory.put(kinds("one", *ALL, system="urn:x"))
    assert await kind_of(directory.query) == "no-endpoint"


async def test_endpoints_at_one_address_are_one(directory: Directory) -> None:
    one, rest, at = ALL[0], ALL[1:], "https://same.example/fhir"
    await directory.put(
        organisation("hospital", URA, ["one", "rest"]),
        kinds("one", one, address=f"{at}/"),
        kinds("rest", *rest, address=at),
    )
    assert (await directory.query.find(URA, "bgz")).endpoint == at
    await directory.put(kinds("rest", *rest[1:], address=at))
    found = await directory.query.find(URA, "bgz")
    assert parts(found) == {"same": tuple(sorted([one, *rest[1:]]))}
    assert (found.missing, found.fhir) == ((rest[0],), {"stu3": at})


async def test_each_kind_of_data_goes_to_one_endpoint_that_has_it(directory: Directory) -> None:
    async def told(*endpoints: Resource) -> dict[str, tuple[str, ...]]:
        names = [str(one["id"]) for one in endpoints]
        await directory.put(organisation("hospital", URA, names), *endpoints)
        return parts(await directory.query.find(URA, "bgz"))

    new: dict[str, Any] = {"period": {"start": "2026-11-01"}}
    with time_machine.travel(NOW, tick=False):
        few, more = kinds("few", "Alert", "Condition"), kinds("more", "Condition", "Encounter", "Patient")
        assert await told(few, more) == {"more": ("Condition", "Encounter", "Patient"), "few": ("Alert",)}
        one, two = kinds("one", "Alert"), kinds("two", "Alert")
        assert await told(one, two) == {"one": ("Alert",)}
        assert await told(one, {**two, **new}) == {"two": ("Alert",)}
        assert await told(one, {**two, "status": "off"}) == {"one": ("Alert",)}
        assert await told(kinds("r4", "Alert", version="4.0"), two) == {"two": ("Alert",)}
        assert (await directory.query.find(URA, "bgz")).fhir == {"stu3": "https://two.example/fhir"}
        await told(one, kinds("two", "Condition"))
        assert (await directory.query.find(URA, "bgz")).fhir == {}


async def test_a_kind_of_data_that_a_department_lacks_is_looked_for_above_it(directory: Directory) -> None:
    await directory.put(
        organisation("hospital", URA, ["bgz"]),
        organisation("ward", "", ["own"], "hospital"),
        kinds("own", "Condition"),
        kinds("bgz", "Condition", "Patient"),
    )
    found = await directory.query.at("Organization/ward", "bgz")
    assert parts(found) == {"own": ("Condition",), "bgz": ("Patient",)}
    await directory.put(endpoint("bgz"))
    found = await directory.query.at("Organization/ward", "bgz")
    assert parts(found) == {"own": ("Condition",), "bgz": tuple(one for one in ALL if one != "Condition")}
    assert found.missing == ()


async def test_an_answer_in_parts_says_which_directories_they_are_from(directory: Directory) -> None:
    await directory.put(
        organisation("hospital", URA, ["one", "two"]), kinds("one", "Patient"), source="central"
    )
    await directory.put(kinds("two", "Condition"), source="regional")
    await directory.in_step({"central": NOW, "regional": NOW - timedelta(hours=1)})
    found = await directory.query.find(URA, "bgz")
    assert (found.source, found.as_of) == ("central, regional", NOW - timedelta(hours=1))


async def test_both_code_systems_lead_to_an_exchange_side_by_side(directory: Directory) -> None:
    await directory.put(
        organisation("hospital", URA, ["bgz", "medication"]),
        endpoint("bgz", BGZ),
        kinds("medication", "MedicationRequest", "MedicationUse", version="4.0"),
    )
    found = await directory.query.find(URA, "medicatieoverdracht-gf")
    assert found.endpoint == "https://medication.example/fhir"
    assert found.fhir == {"stu3": "https://bgz.example/fhir", "r4": "https://medication.example/fhir"}


@pytest.mark.parametrize("one", EXCHANGES, ids=lambda one: one.names[0])
async def test_every_exchange_is_found_by_each_of_its_names_and_codes(directory: Directory, one: Any) -> None:
    release = {"stu3": "3.0", "r4": "4.0"}.get(one.version, "")
    connections, payloads = sorted(one.connections) or [FHIR_REST], sorted(one.payloads) or [BGZ]
    for connection, payload in itertools.product(connections, payloads):
        await directory.put(organisation("hospital", URA, ["x"]), endpoint("x", payload, release, connection))
        for name in one.names:
            assert (await directory.query.find(URA, name)).endpoint == "https://x.example/fhir"


async def test_an_exchange_that_nobody_knows_is_named(directory: Directory) -> None:
    with pytest.raises(Invalid, match="no exchange 'telepathy': addresses are known for bgz") as caught:
        await directory.query.find(URA, "telepathy")
    assert caught.value.kind == "exchange-unknown"


# -- the authorisation server, and the bases of all exchanges --------------------------------------------------


async def test_the_authorisation_server_is_found_by_connection_or_payload(directory: Directory) -> None:
    async def issuer(*servers: Resource) -> str:
        names = [str(one["id"]) for one in servers]
        await directory.put(organisation("hospital", URA, ["bgz", *names]), endpoint("bgz"), *servers)
        return (await directory.query.find(URA, "bgz")).issuer

    assert await issuer() == ""
    assert await issuer(server("a", FHIR_REST, NUTS_OAUTH)) == "https://a.example/issuer"
    assert await issuer(server("a", OAUTH2, ("urn:x", "none"))) == "https://a.example/issuer"
    both = server("a", OAUTH2, ("urn:x", "none")), server("b", OAUTH_NUTS, ("urn:x", "none"))
    assert await issuer(*both) == "https://b.example/issuer"
    assert await issuer({**both[0], "status": "off"}) == ""


async def test_a_fhir_base_is_told_when_there_is_one(directory: Directory) -> None:
    overdracht = "http://nictiz.nl/fhir/CapabilityStatement/eOverdracht-servercapabilities"
    await directory.put(organisation("hospital", URA, ["bgz"]), endpoint("bgz"))
    assert await directory.query.fhir_base(URA, "stu3") == "https://bgz.example/fhir"
    assert await directory.query.fhir_base(URA, "r4") == ""
    assert await directory.query.fhir_base(OTHER_URA, "stu3") == ""
    await directory.put(
        organisation("hospital", URA, ["bgz", "nurses"]), endpoint("nurses", (BGZ[0], overdracht))
    )
    assert await directory.query.fhir_base(URA, "stu3") == ""


# -- directories that differ, and directories that are old -----------------------------------------------------


async def test_two_organisations_with_one_ura_are_a_conflict_that_only_the_operator_ends(
    directory: Directory,
) -> None:
    await directory.put(organisation("left", URA, ["a"]), endpoint("a"), source="central")
    await directory.put(organisation("right", URA, ["b"]), endpoint("b"), source="regional")
    await directory.in_step({"central": NOW, "regional": NOW})
    with pytest.raises(
        Conflict, match=rf"2 active organisations have URA {URA}, from: central; regional\."
    ) as caught:
        await directory.query.find(URA, "bgz")
    assert caught.value.kind == "directory-conflict"
    query = directory.query
    assert (await query.name(URA), await query.facility_type(URA), await query.fhir_base(URA, "stu3")) == (
        "",
        "",
        "",
    )

    async def believed(*authority: str) -> str:
        found = await directory.ruled(DirectoryRules(authority)).find(URA, "bgz")
        return f"{found.source} {found.endpoint}"

    assert await believed("regional") == "regional https://b.example/fhir"
    assert await believed("elsewhere", "central", "regional") == "central https://a.example/fhir"
    with pytest.raises(Conflict):
        await believed("elsewhere")
    await directory.put(organisation("left", URA, ["a"], active=False))
    assert (await query.find(URA, "bgz")).endpoint == "https://b.example/fhir"


async def test_two_in_the_directory_that_is_believed_are_a_conflict_still(directory: Directory) -> None:
    await directory.put(organisation("left", URA, ["a"]), organisation("right", URA), source="central")
    await directory.in_step({"central": NOW})
    for rules in (DirectoryRules(), DirectoryRules(("central",))):
        assert await kind_of(directory.ruled(rules)) == "directory-conflict"


async def test_a_directory_that_was_never_read_to_its_end_answers_nothing(directory: Directory) -> None:
    await directory.put(organisation("hospital", URA, ["bgz"]), endpoint("bgz"), source="central")
    assert await kind_of(directory.query) == "directory-not-read"
    assert (await directory.query.name(URA), await directory.query.fhir_base(URA, "stu3")) == ("", "")
    await directory.in_step({"central": None, "regional": NOW})
    assert await kind_of(directory.query) == "directory-not-read"
    await directory.put(organisation("other", URA, ["own"]), endpoint("own"), source="regional")
    assert (await directory.query.find(URA, "bgz")).source == "regional"
    await directory.in_step({"central": NOW})
    assert await kind_of(directory.query) == "directory-conflict"


async def test_an_answer_says_how_old_the_oldest_of_its_directories_is(directory: Directory) -> None:
    await directory.put(organisation("hospital", URA, ["bgz", "oauth"]), source="root")
    await directory.put(endpoint("bgz"), source="hospital's own")
    await directory.put(server("oauth"), source="hospital's own")
    hours = timedelta(hours=1)

    async def told(root: datetime | None, own: datetime | None) -> tuple[str, datetime | None, bool]:
        await directory.in_step({"root": root, "hospital's own": own})
        with time_machine.travel(NOW, tick=False):
            found = await directory.query.find(URA, "bgz")
        return found.source, found.as_of, found.stale

    both = "hospital's own, root"
    assert await told(NOW, NOW - hours) == (both, NOW - hours, False)
    assert await told(NOW - 24 * hours, NOW) == (both, NOW - 24 * hours, False)
    assert await told(NOW, NOW - 25 * hours) == (both, NOW - 25 * hours, True)
    assert await told(NOW, None) == (both, None, True)
    rules = DirectoryRules(stale=timedelta(minutes=30))
    await directory.in_step({"root": NOW, "hospital's own": NOW - hours})
    with time_machine.travel(NOW, tick=False):
        assert (await directory.ruled(rules).find(URA, "bgz")).stale


async def test_what_nobody_follows_is_told_as_written_here_and_of_no_known_age(directory: Directory) -> None:
    await directory.put(organisation("hospital", URA, ["bgz"]), endpoint("bgz"))
    found = await directory.query.find(URA, "bgz")
    assert (found.source, found.as_of, found.stale) == ("written here", None, True)


async def test_a_directory_is_its_own_tenants(directory: Directory, pool: asyncpg.Pool) -> None:
    await directory.put(organisation("hospital", URA, ["bgz"]), endpoint("bgz"))
    other = await Directory.new(pool, part=next(_parts))
    assert await kind_of(other.query) == "holder-unknown"


# -- the order in which it comes --------------------------------------------------------------------------------

COMING = (
    organisation("hospital", URA, ["new", "old", "oauth"]),
    organisation("ward", "", ["own"], "hospital"),
    service("echo", "ward", ["nothing"]),
    organisation("former", URA, ["old"], active=False),
    organisation("other", OTHER_URA, ["own"]),
    endpoint("old", period={"start": "2020"}),
    endpoint("new", period={"start": "2021"}),
    endpoint("own"),
    server("oauth"),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(COMING), st.integers(1, len(COMING)))
async def test_the_answer_is_the_same_in_whatever_order_resources_came(
    pool: asyncpg.Pool, coming: list[Resource], size: int
) -> None:
    directory = await Directory.new(pool, part=next(_parts))
    for start in range(0, len(coming), size):
        await directory.put(*coming[start : start + size])
    assert [
        (await directory.query.find(URA, "bgz")).endpoint,
        (await directory.query.find(OTHER_URA, "bgz")).endpoint,
        (await directory.query.at("HealthcareService/echo", "bgz")).endpoint,
        (await directory.query.find(URA)).issuer,
    ] == [
        "https://new.example/fhir",
        "https://own.example/fhir",
        "https://own.example/fhir",
        "https://oauth.example/issuer",
    ]
