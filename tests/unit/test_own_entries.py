"""What an organisation tells of itself: the resources that are made of it, and how the store is brought to them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.central import OWN
from tests.directories import ENTRIES

from schakel.config.entries import Entries as Settings
from schakel.fhir import definitions, structure
from schakel.fhir.json import Resource
from schakel.generic.addressing.choice import Terms, choose
from schakel.generic.addressing.exchanges import exchange
from schakel.generic.addressing.own import codes
from schakel.generic.addressing.own.entries import ended, entries, entry_id
from schakel.generic.addressing.own.keeping import Keeper
from schakel.generic.addressing.own.model import Code, Mandate, Other, OwnOrganisation
from schakel.generic.addressing.own.rendering import covers, joined, rendered, written
from schakel.generic.addressing.own.serving import Addresses, accesses, moved, root
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel.store.database import connect, disconnect
from schakel.store.resources import Store
from schakel.store.tenants import DIRECTORY, tenant_of
from schakel.store.writing import RidBlocks

AT = Addresses(
    "https://here.example/a", "https://back.example/a/fhir", "https://back.example/a/administration"
)
SERVED = ("bgz", "bgz-sender", "eoverdracht-sender", "eoverdracht-receiver", "ta-np-notification", "pzp")
WHOLE = replace(
    OWN,
    accesses=(*OWN.accesses, *accesses(SERVED, AT)),
    mandates=(
        Mandate("v", Other(codes.KVK, "90001234", "Vendor"), (Code(codes.MANDATES, "lrza-endpoint-admin"),)),
    ),
)
REQUIRED = {
    "Organization": ("type", "name", "active"),
    "HealthcareService": ("providedBy", "type", "name", "active"),
    "Location": ("name", "type", "status", "managingOrganization"),
    "Endpoint": ("status", "connectionType", "payloadType", "address", "managingOrganization"),
    "OrganizationAffiliation": ("active", "organization", "participatingOrganization", "code"),
}
"""What the profiles of the guide require of each type."""


def chosen(own: OwnOrganisation, name: str) -> str:
    """The address that somebody finds for an exchange; '' for none."""
    endpoints = [one for (kind, _), one in entries(own).items() if kind == "Endpoint"]
    wanted = exchange(name)
    for place, categories in choose([Terms.of(one) for one in endpoints], wanted, now(), wanted.categories):
        assert categories == wanted.categories
        return str(endpoints[place]["address"])
    return ""


def custodians(resource: Resource) -> list[dict[str, Any]]:
    return [one for one in resource["identifier"] if "assigner" in one]


# -- the resources ---------------------------------------------------------------------------------------------------


def test_every_entry_keeps_its_profile() -> None:
    found = entries(WHOLE)
    assert {kind for kind, _ in found} == set(REQUIRED)
    for (kind, logical_id), resource in found.items():
        assert structure.check(resource, definitions("r4")) == []
        assert all(resource.get(name) not in (None, [], {}) for name in REQUIRED[kind])
        assert str(UUID(logical_id)) == logical_id
        [assigned] = custodians(resource)
        assert assigned["use"] == "official"
        assert assigned["assigner"]["identifier"]["value"] == OWN.ura
        assert all("system" in one for one in resource["identifier"])
        assert not {"implicitRules", "modifierExtension"} & set(resource)


def test_every_reference_is_to_an_entry_that_is_there() -> None:
    found = entries(WHOLE)
    known = {f"{kind}/{logical_id}": f"{kind}/there" for kind, logical_id in found}
    for resource in found.values():
        assert rendered(resource, known).missing == rendered(resource, known).later == ()


def test_the_one_with_the_ura_has_it_and_departments_have_none() -> None:
    found = [one for (kind, _), one in entries(WHOLE).items() if kind == "Organization"]
    numbered = [
        one
        for one in found
        if codes.URA in [i.get("system") for i in one["identifier"] if "assigner" not in i]
    ]
    assert [("partOf" in one) for one in numbered] == [False]
    assert all("partOf" in one for one in found if one not in numbered)


def test_a_vendor_operates_the_addresses_by_its_number() -> None:
    vendor = Other(codes.KVK, "90001234", "Example Vendor")
    for (kind, _), one in entries(replace(WHOLE, vendor=vendor)).items():
        if kind == "Endpoint":
            assert one["managingOrganization"]["identifier"] == {"system": codes.KVK, "value": "90001234"}
            assert "reference" not in one["managingOrganization"]


@given(
    ura=st.sampled_from(["11111111", "22222222"]),
    keys=st.lists(st.sampled_from(["a", "b", "unit/a", "", "a/b"]), min_size=1, unique=True),
)
def test_no_two_entries_have_one_id_whatever_their_type(ura: str, keys: list[str]) -> None:
    found = [entry_id(ura, kind, key) for kind in REQUIRED for key in keys]
    assert len(set(found)) == len(found)
    other = "22222222" if ura == "11111111" else "11111111"
    assert not set(found) & {entry_id(other, kind, key) for kind in REQUIRED for key in keys}


def test_a_name_may_change_and_the_entry_stays() -> None:
    moved = replace(OWN, name="Another", places=(replace(OWN.places[0], name="Else", city="Elders"),))
    assert entries(moved).keys() == entries(OWN).keys()


@pytest.mark.parametrize(
    "name", ["bgz", "eoverdracht-sender", "eoverdracht-receiver", "ta-np-notification", "pzp"]
)
def test_an_exchange_that_is_served_is_found_at_its_address(name: str) -> None:
    assert chosen(WHOLE, name) == f"https://back.example/a/fhir/{exchange(name).version}"


def test_what_is_not_served_is_not_told() -> None:
    own = replace(OWN, accesses=accesses(["pzp"], AT))
    assert chosen(own, "bgz") == ""
    assert chosen(own, "pzp") == "https://back.example/a/fhir/r4"


def test_the_authorisation_server_and_the_directory_are_found() -> None:
    assert chosen(WHOLE, "oauth-nuts") == chosen(WHOLE, "Nuts-OAuth") == AT.issuer
    assert chosen(WHOLE, "admin-directory") == AT.directory


def test_a_node_that_others_cannot_reach_tells_no_fhir_address() -> None:
    told = accesses(SERVED, Addresses("https://here.example/a"))
    assert [one.key for one in told] == ["authorisation-server"]


def test_in_a_root_directory_an_organisation_has_one_endpoint() -> None:
    found = root(WHOLE, "https://here.example/r4")
    assert sorted(kind for kind, _ in found) == ["Endpoint", "Organization"]
    [organisation] = [one for (kind, _), one in found.items() if kind == "Organization"]
    assert len(organisation["endpoint"]) == 1


def test_in_a_root_directory_the_id_of_an_organisation_leaves_room_for_that_of_an_entry() -> None:
    """The ministry's update client writes `{the one}-{the other}`."""
    for whole in (WHOLE, replace(WHOLE, vendor=None)):
        found = root(whole, "https://here.example/r4")
        [organisation] = [one for (kind, _), one in found.items() if kind == "Organization"]
        assert all(len(f"{organisation['id']}-{one}") <= 64 for _, one in entries(whole))
        assert all(not structure.check(one, definitions("r4")) for one in found.values())
        assert references_of(found) <= {f"{kind}/{one}" for kind, one in found}


def references_of(found: Mapping[Any, Resource]) -> set[str]:
    """The literal references in resources."""
    return set(re.findall(r"'reference': '([^']+)'", str(list(found.values()))))


# -- the settings ----------------------------------------------------------------------------------------------------


def test_the_settings_of_every_kind_of_entry_are_taken() -> None:
    assert len(Settings(**ENTRIES).departments) == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"departments": [{"key": "a", "name": "A"}, {"key": "a", "name": "B"}]}, "two departments"),
        ({"departments": [{"key": "a", "name": "A", "part_of": "b"}]}, "part_of names 'b'"),
        (
            {
                "departments": [
                    {"key": "a", "name": "A", "part_of": "b"},
                    {"key": "b", "name": "B", "part_of": "a"},
                ]
            },
            "part of itself",
        ),
        ({"services": [{**ENTRIES["services"][0], "department": "nobody"}]}, "department names 'nobody'"),
        ({"services": [{**ENTRIES["services"][0], "locations": ["nowhere"]}]}, "locations names 'nowhere'"),
        ({"services": [{**ENTRIES["services"][0], "endpoints": ["none"]}]}, "endpoints names 'none'"),
        ({"mandates": [{**ENTRIES["mandates"][0], "ura": "22222222"}]}, "either kvk or ura"),
        ({"departments": [{"key": "Not a key", "name": "A"}]}, "key"),
    ],
)
def test_settings_with_one_thing_wrong_are_refused_by_name(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings(**({} if "departments" in changed else ENTRIES) | changed)


# -- bringing the store to them --------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def keeper(fresh_database: str) -> AsyncIterator[Keeper]:
    pool = await connect(fresh_database, connections=4)
    tenant = await tenant_of(pool, "east", OWN.ura, OWN.name, DIRECTORY)
    yield Keeper(pool, tenant, Store(pool, tenant, RidBlocks()))
    await disconnect(pool)


async def versions(keeper: Keeper) -> dict[str, int]:
    return {
        f"{kind}/{one['name']}": version for (kind, _), (version, one) in (await keeper.present()).items()
    }


async def test_only_what_changed_is_written_and_what_is_gone_is_ended(keeper: Keeper) -> None:
    first = await keeper.bring(entries(OWN))
    assert (len(first.written), first.ended) == (5, ())
    assert await keeper.bring(entries(OWN)) == type(first)()
    changed = await keeper.bring(entries(replace(OWN, name="Another", places=(), services=())))
    assert [kind for kind, _ in changed.written] == ["Organization"]
    assert sorted(kind for kind, _ in changed.ended) == ["HealthcareService", "Location"]
    assert await versions(keeper) == {
        "Organization/Another": 2,
        "Organization/Heart Centre": 1,
        "Endpoint/FHIR": 1,
        "Location/Main Building": 2,
        "HealthcareService/Cardiology": 2,
    }
    assert await keeper.bring(entries(replace(OWN, name="Another", places=(), services=()))) == type(first)()
    back = await keeper.bring(entries(OWN))
    assert len(back.written) == 3
    assert all(
        one == entries(OWN)[key] | {"meta": one["meta"]} for key, (_, one) in (await keeper.present()).items()
    )


async def test_what_has_another_id_now_is_not_there_twice(keeper: Keeper) -> None:
    """As the organisations of a root, whose ids were UUIDs once."""
    address = "https://here.example/r4"
    kind, old = moved(OWN.ura)
    before = root(OWN, address)
    [(_, new)] = [key for key in before if key[0] == kind]
    was = {(kind, old): {**before[kind, new], "id": old}}
    await keeper.bring({**{key: one for key, one in before.items() if key != (kind, new)}, **was})
    brought = await asyncio.gather(*(keeper.bring(before, [(kind, old)]) for _ in range(3)))
    assert sorted(one.ended for one in brought) == [(), (), ((kind, old),)]
    assert set(await keeper.present()) == set(before)
    assert await keeper.bring(before, [(kind, old)]) == type(brought[0])()


async def test_several_processes_write_each_change_once(keeper: Keeper) -> None:
    await asyncio.gather(*(keeper.bring(entries(OWN)) for _ in range(4)))
    assert set((await versions(keeper)).values()) == {1}
    await asyncio.gather(*(keeper.bring(entries(replace(OWN, name="Another"))) for _ in range(4)))
    assert sorted((await versions(keeper)).values()) == [1, 1, 1, 1, 2]


async def test_what_is_no_resource_is_not_written(keeper: Keeper) -> None:
    broken = replace(OWN, accesses=(replace(OWN.accesses[0], start="yesterday"),))
    with pytest.raises(Invalid, match=r"organisations\.entries"):
        await keeper.bring(entries(broken))
    assert await keeper.present() == {}


# -- at the central directory ----------------------------------------------------------------------------------------


def test_a_reference_that_is_not_there_yet_is_left_out_of_a_list_and_waited_for_elsewhere() -> None:
    found = entries(OWN)
    whole = next(one for one in found.values() if one["resourceType"] == "Organization" and "endpoint" in one)
    [endpoint] = whole["endpoint"]
    out = rendered(whole, {})
    assert (out.missing, out.later) == ((), (endpoint["reference"],))
    assert "endpoint" not in out.resource
    place = next(one for one in found.values() if one["resourceType"] == "Location")
    assert rendered(place, {}).missing == (place["managingOrganization"]["reference"],)


def test_what_is_there_is_ours_when_it_says_all_that_we_said() -> None:
    sent = written({"resourceType": "Location", "id": "here", "name": "A", "type": [{"text": "b"}]})
    there = {
        "resourceType": "Location",
        "id": "x",
        "meta": {},
        "name": "A",
        "type": [{"text": "b"}, {"text": "c"}],
    }
    assert covers(there, sent)
    for changed in ({"name": "B"}, {"type": [{"text": "c"}]}, {"resourceType": "Organization"}):
        assert not covers({**there, **changed}, sent)
    assert not covers(there, "")


def test_of_an_organisation_that_was_there_the_name_the_rest_and_the_endpoints_of_others_stay() -> None:
    there = {
        "resourceType": "Organization",
        "id": "x",
        "name": "Register",
        "alias": ["R"],
        "identifier": [{"value": "register", "assigner": {}}],
        "endpoint": [{"reference": "Endpoint/other"}, {"reference": "Endpoint/ours-of-before"}],
    }
    ours = {
        "resourceType": "Organization",
        "name": "Ours",
        "identifier": [{"value": "ours", "assigner": {}}, {"system": "ura", "value": "1"}],
        "endpoint": [{"reference": "Endpoint/ours"}],
    }
    out = joined(there, ours, frozenset({"Endpoint/ours-of-before", "Endpoint/ours"}))
    assert out["name"] == "Register"
    assert out["alias"] == ["R"]
    assert out["identifier"] == [{"value": "register", "assigner": {}}, {"system": "ura", "value": "1"}]
    assert out["endpoint"] == [{"reference": "Endpoint/other"}, {"reference": "Endpoint/ours"}]


def test_ending_twice_is_ending_once() -> None:
    for resource in entries(WHOLE).values():
        assert ended(ended(resource)) == ended(resource) != resource
