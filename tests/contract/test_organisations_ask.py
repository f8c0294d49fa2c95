"""Several organisations of one node at the token server, PRS and NVI: each asks for itself, as the server has it
registered; with an assertion each signs with its own certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.fault.processes import toml
from tests.nation import HOLDER, OPERATOR, Nation, nation
from tests.referring import referring

from schakel import localising
from schakel.config import Nvi, Organisation, Prs, Settings
from schakel.facilities import TokenRefused
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn

PATIENT, LATER = Bsn("999911120"), Bsn("999990019")
URAS = {"a": HOLDER, "b": "90000018"}
OINS = {"a": "00000099000000091000", "b": "00000099000000092000"}
NO_POOL = cast(asyncpg.Pool, None)
"""Nothing is kept here: the clients are asked by themselves."""

SCOPES = ["nvi:create", "nvi:read", "nvi:delete", "nvi:localize", "prs:read"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nation]:
    """The facilities; two organisations are registered for the operator, each with an OIN and a system of its own. The
    folder has an UZI certificate with an RSA key for each (`uzi-a`, `uzi-b`)."""
    folder = tmp_path_factory.mktemp("nation")
    async with nation(folder) as made:
        await made.refer()
        await made.stop("minvws-oauth")
        organisations = [
            {"ura": ura, "oin": OINS[slug], "name": slug, "source_id": f"system-{slug}", "scopes": SCOPES}
            for slug, ura in URAS.items()
        ]
        client = {"oin": OPERATOR, "common_name": "127.0.0.1", "organisations": organisations}
        targets = [
            {"audience": made.referral("nvi"), "subject": "ura", "scopes": SCOPES[:4]},
            {"audience": made.referral("prs"), "subject": "oin", "scopes": ["prs:read"]},
        ]
        (folder / "minvws-oauth.toml").write_text(toml({"targets": targets, "clients": [client]}))
        await made.start("minvws-oauth")
        for slug, ura in URAS.items():
            await uzi_certificate(made, f"uzi-{slug}", ura)
        yield made


async def uzi_certificate(country: Nation, name: str, ura: str) -> None:
    """A UZI server certificate of the authority there, with an RSA key, in files `name`."""
    key = rsa.generate_private_key(65537, 2048)
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    body = {
        "csr": asked.public_bytes(serialization.Encoding.PEM).decode(),
        "kind": "uzi-server",
        "hosts": ["127.0.0.1"],
        "organisation": name,
        "locality": "Zwolle",
        "ura": ura,
        "uzi": f"9901000{ura[-2:]}",
    }
    said = await country.told("uzi-ca", "certificates", body)
    (country.folder / f"{name}.pem").write_text(said["chain"])
    (country.folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def organisation(country: Nation, slug: str, **members: Any) -> Organisation:
    """One organisation of the node."""
    return Organisation(
        slug=slug,
        ura=URAS[slug],
        name=slug,
        internal_key="sixteen-characters",
        signing_key=country.folder / "absent.jwk",
        **members,
    )


def signing(country: Nation, slug: str) -> dict[str, Path]:
    """The settings of an organisation with its own certificate."""
    return {
        "uzi_certificate": country.folder / f"uzi-{slug}.pem",
        "uzi_key": country.folder / f"uzi-{slug}.key",
    }


def settings(country: Nation, oauth: dict[str, Any], *organisations: Organisation) -> Settings:
    """A node of these organisations, whose section oauth is the same for both facilities."""
    sections = referring(country)
    endpoint = sections["nvi"]["oauth"]["endpoint"]
    return Settings(
        database="postgresql://nowhere",
        public_url="http://127.0.0.1:1",
        internal_url="http://127.0.0.1:2",
        organisations=organisations,
        prs=Prs(**{**sections["prs"], "oauth": {"endpoint": endpoint, **oauth}}),
        nvi=Nvi(**{**sections["nvi"], "oauth": {"endpoint": endpoint, **oauth}}),
    )


ASSERTION = {"form": "assertion", "chain": True}


async def registers(given: Settings, patient: Bsn) -> dict[str, set[str]]:
    """Each organisation registers the patient and searches; whom it finds, by slug."""
    async with localising.index(given, NO_POOL) as index:
        for one in given.organisations:
            await index.clients[one.slug].create(patient, "Condition")
        return {
            one.slug: {found.ura for found in (await index.clients[one.slug].localise(patient)).records}
            for one in given.organisations
        }


async def test_two_organisations_ask_with_assertions_each_signed_with_its_own_certificate(
    country: Nation,
) -> None:
    both = [organisation(country, slug, **signing(country, slug)) for slug in URAS]
    found = await registers(settings(country, ASSERTION, *both), PATIENT)
    assert found == {"a": set(URAS.values()), "b": set(URAS.values())}


async def test_with_the_certificate_of_another_organisation_there_is_no_token(country: Nation) -> None:
    wrong = organisation(country, "b", **signing(country, "a"))
    with pytest.raises(TokenRefused, match="another URA than its iss"):
        await registers(settings(country, ASSERTION, wrong), PATIENT)


async def test_an_organisation_without_a_certificate_of_its_own_asks_with_that_of_the_settings(
    country: Nation,
) -> None:
    """That of the connection when they have none: here it has an EC key, which cannot sign."""
    shown = {"certificate": str(country.folder / "uzi-a.pem"), "key": str(country.folder / "uzi-a.key")}
    given = settings(country, {**ASSERTION, **shown}, organisation(country, "a"))
    assert HOLDER in (await registers(given, LATER))["a"]
    with pytest.raises(Invalid, match=r"setting prs\.key\) is not a private RSA key"):
        await registers(settings(country, ASSERTION, organisation(country, "a")), PATIENT)


async def test_a_key_of_an_organisation_that_cannot_sign_is_named_as_its_setting(country: Nation) -> None:
    shown = {"uzi_certificate": country.operator.certificate, "uzi_key": country.operator.key}
    with pytest.raises(Invalid, match=r"setting organisations\.uzi_key\) is not a private RSA key"):
        await registers(settings(country, ASSERTION, organisation(country, "a", **shown)), PATIENT)


async def test_two_organisations_ask_each_with_its_own_oin_and_system(country: Nation) -> None:
    both = [organisation(country, slug, oin=OINS[slug], source_id=f"system-{slug}") for slug in URAS]
    found = await registers(settings(country, {}, *both), Bsn("999990032"))
    assert found == {"a": set(URAS.values()), "b": set(URAS.values())}


async def test_one_organisation_may_ask_for_all_of_them(country: Nation) -> None:
    """It asks as the section says, whatever the others have of their own."""
    shown = {"certificate": str(country.folder / "uzi-a.pem"), "key": str(country.folder / "uzi-a.key")}
    other = organisation(country, "b", source_id="system-b", **signing(country, "b"))
    given = settings(country, {**ASSERTION, **shown, "organisation": URAS["a"]}, other)
    async with localising.index(given, NO_POOL) as index:
        found = await index.clients["b"].localise(Bsn("999990044"))
    assert found.records == ()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"oin": OINS["a"], "source_id": "system-a"}, "source_id is not the one that is registered"),
        ({"oin": "00000099000000099000", "source_id": "system-b"}, "may not ask for that organisation"),
    ],
)
async def test_with_the_system_or_the_oin_of_another_an_organisation_gets_no_token(
    country: Nation, members: dict[str, str], said: str
) -> None:
    given = settings(country, {}, organisation(country, "b", **members))
    with pytest.raises(TokenRefused, match=said):
        await registers(given, PATIENT)


async def test_an_oin_for_all_of_them_is_needed_only_for_those_that_have_none(country: Nation) -> None:
    with_one = organisation(country, "a", oin=OINS["a"])
    with pytest.raises(ValueError, match=r"prs\.oauth needs organisation.* and b has none"):
        settings(country, {}, with_one, organisation(country, "b"))
    assert settings(country, {"organisation": OPERATOR}, with_one, organisation(country, "b"))
    assert settings(country, ASSERTION, with_one, organisation(country, "b"))
