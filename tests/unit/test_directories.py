"""What the operator entered of an organisation stands before what a directory says; the rest is the directory's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import ValidationError

from schakel.config import Peer
from schakel.fhir.definitions import Version
from schakel.finding import configured
from schakel.generic.addressing import Address, Directories
from schakel.kernel.outcomes import Invalid, NotFound

URA, OTHER = "90000101", "90000102"
KEYS = {"keys": [{"kty": "EC"}]}
FOUND = Address(
    ura=URA,
    name="As the directory says",
    issuer="https://found.example",
    token_endpoint="",
    fhir={"stu3": "https://found.example/stu3", "r4": "https://found.example/r4"},
    jwks={},
    type_code="V6",
    endpoint="https://found.example/stu3",
    source="central",
    stale=True,
)
KEYS_ONLY = Peer(ura=URA, name="As entered", jwks=KEYS)
WHOLE = Peer(
    ura=URA,
    name="As entered",
    issuer="https://entered.example",
    token_endpoint="https://entered.example/token",
    fhir={"stu3": "https://entered.example/stu3"},
    jwks=KEYS,
    type_code="Z3",
)


@dataclass
class Behind:
    """A directory with one organisation; `asked` is what it was asked."""

    known: Address | None = FOUND
    asked: list[str] = field(default_factory=list)

    async def find(self, ura: str, exchange: str = "") -> Address:
        self.asked.append(exchange)
        if self.known is None or ura != URA:
            raise NotFound("nobody", code="holder-unknown")
        return self.known if exchange else replace(self.known, endpoint="")

    async def name(self, ura: str) -> str:
        return self.known.name if self.known and ura == URA else ""

    async def facility_type(self, ura: str) -> str:
        return self.known.type_code if self.known and ura == URA else ""

    async def fhir_base(self, ura: str, version: Version) -> str:
        return self.known.fhir.get(version, "") if self.known and ura == URA else ""

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        return {"keys": []} if self.known and ura == URA else None


def directories(*peers: Peer, behind: Behind | None = None) -> tuple[Directories, Behind]:
    behind = behind or Behind()
    return Directories(configured(peers), behind), behind


async def test_a_whole_entry_is_all_that_is_asked() -> None:
    found, behind = directories(WHOLE)
    address = await found.find(URA, "bgz")
    assert (address.issuer, address.token_endpoint) == (
        "https://entered.example",
        "https://entered.example/token",
    )
    assert (address.endpoint, address.source, address.stale) == (
        "https://entered.example/stu3",
        "configuration",
        False,
    )
    assert (await found.find(URA)).endpoint == ""
    assert behind.asked == []


async def test_an_entry_with_keys_alone_has_the_addresses_of_the_directory() -> None:
    found, _ = directories(KEYS_ONLY)
    assert await found.find(URA, "bgz") == replace(
        FOUND, name="As entered", jwks=KEYS, source="configuration, central"
    )
    assert await found.jwks(URA) == KEYS
    assert (await found.name(URA), await found.facility_type(URA)) == ("As entered", "V6")
    assert await found.fhir_base(URA, "r4") == "https://found.example/r4"


async def test_each_part_that_was_entered_stands() -> None:
    issuer, base = "https://entered.example", "https://entered.example/stu3"
    found, _ = directories(Peer(ura=URA, name="X", issuer=issuer))
    address = await found.find(URA, "bgz")
    assert (address.issuer, address.endpoint) == (issuer, FOUND.endpoint)
    found, behind = directories(Peer(ura=URA, name="X", fhir={"stu3": base}))
    address = await found.find(URA, "bgz")
    assert (address.issuer, address.endpoint, address.fhir["stu3"]) == (FOUND.issuer, base, base)
    # The base is ours to say, so the directory need not have one for that exchange.
    assert behind.asked == [""]


async def test_an_exchange_that_was_not_entered_is_asked_of_the_directory() -> None:
    found, behind = directories(WHOLE)
    assert (await found.find(URA, "medicatieoverdracht-gf")).issuer == "https://entered.example"
    assert behind.asked == ["medicatieoverdracht-gf"]


async def test_an_entry_alone_does_what_it_can() -> None:
    nobody = Behind(known=None)
    found, _ = directories(KEYS_ONLY, behind=nobody)
    with pytest.raises(
        NotFound, match=rf"provider {URA} \(As entered\) has no endpoint for exchange bgz"
    ) as caught:
        await found.find(URA, "bgz")
    assert caught.value.kind == "no-endpoint"
    base = "https://entered.example/stu3"
    found, _ = directories(Peer(ura=URA, name="X", fhir={"stu3": base}), behind=nobody)
    address = await found.find(URA, "bgz")
    assert (address.endpoint, address.issuer) == (base, "")
    with pytest.raises(NotFound) as caught:
        await found.find(OTHER, "bgz")
    assert caught.value.kind == "holder-unknown"
    assert (await found.name(OTHER), await found.facility_type(OTHER), await found.jwks(OTHER)) == (
        "",
        "",
        None,
    )


async def test_who_stands_in_the_directory_alone_has_no_keys() -> None:
    found, _ = directories()
    assert await found.find(URA, "bgz") == FOUND
    assert await found.jwks(URA) == {"keys": []}


async def test_the_authorisation_server_of_an_entry_is_its_address_for_that_exchange() -> None:
    found, _ = directories(WHOLE)
    for name in ("oauth-nuts", "Nuts-OAuth", "oauth2", "oauth2-fapi2"):
        assert (await found.find(URA, name)).endpoint == "https://entered.example"
    with pytest.raises(Invalid):
        await found.find(URA, "telepathy")


@pytest.mark.parametrize("name", ["token_endpoint", "metadata"])
def test_what_belongs_to_an_authorisation_server_needs_its_issuer(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} needs issuer"):
        Peer(ura=URA, name="X", **{name: "https://entered.example/x"})
    Peer(ura=URA, name="X", issuer="https://entered.example", **{name: "https://entered.example/x"})
