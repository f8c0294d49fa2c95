"""The NVI stand-in beyond the recordings: its laws, what it checks of a token, and the whole of it over TLS."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import uuid
from base64 import urlsafe_b64decode
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey
from tests.minvws import asking
from tests.nation import HOLDER, INDEX, OPERATOR, REFERRAL_SCOPE, Nation, nation
from tests.replays import AT, Evaluated, SmallPrs, b64, gateway, registration

from schakel.kernel import ristretto
from schakel.kernel.outcomes import Invalid
from schakel_national import configuration, nvi
from schakel_national.nvi.pseudonyms import Pseudonyms, Token
from schakel_national.nvi.routes import Told, behind

SUBJECT = "http://minvws.github.io/generiekefuncties-docs/NamingSystem/nvi-identifier"


@cache
def key() -> str:
    """A key for indexes that need not make their own: that takes long."""
    return orjson.dumps(RSAKey.generate_key(2048).as_dict(private=True)).decode()


def index(folder: Path, **table: Any) -> tuple[httpx.AsyncClient, SmallPrs]:
    """The stand-in in `folder` without its verifier, and who makes tokens for it."""
    (folder / "nvi.key.json").write_text(key())
    client = asking(behind(folder, AT, Told(table)), AT)
    client.headers.update(gateway())
    return client, SmallPrs(configuration.own_key(folder, "nvi"))


def token(evaluated: Evaluated) -> dict[str, str]:
    return {"pseudonym": evaluated.jwe, "oprf_key": evaluated.blind_factor}


@pytest.fixture(scope="module")
def one_index(tmp_path_factory: pytest.TempPathFactory) -> tuple[httpx.AsyncClient, SmallPrs]:
    """An index for all examples of a law, each with patients of its own."""
    return index(tmp_path_factory.mktemp("nvi"))


@settings(max_examples=15, deadline=None)
@given(patients=st.lists(st.sampled_from(["one", "two", "three"]), max_size=6))
async def test_whatever_is_registered_how_often_each_patient_is_found_once(
    one_index: tuple[httpx.AsyncClient, SmallPrs], patients: list[str]
) -> None:
    client, prs = one_index
    these, seen = uuid.uuid4(), set()
    for patient in patients:
        made = await client.post("/fhir/List", json=registration(prs.evaluated(f"{these} {patient}").token))
        assert made.status_code == (409 if patient in seen else 201)
        seen.add(patient)
    for patient in ("one", "two", "three"):
        found = await client.post("/localize", json=token(prs.evaluated(f"{these} {patient}")))
        assert len(found.json()) == (patient in seen)


PIPED = st.text("abc-._~", max_size=20).map(lambda text: f"subject:identifier=|{text}")
ABSENT = ["", f"subject:identifier={quote(SUBJECT)}|", "source:identifier=urn:ietf:rfc:3986|"]


@settings(max_examples=15, deadline=None)
@given(query=st.sampled_from(ABSENT) | PIPED)
async def test_a_delete_whose_parameters_do_not_count_takes_all_of_ones_own_away_and_nothing_else(
    one_index: tuple[httpx.AsyncClient, SmallPrs], query: str
) -> None:
    client, prs = one_index
    patient, other = str(uuid.uuid4()), "90000222"
    for source in ("urn:uuid:1", "urn:uuid:2"):
        made = registration(prs.evaluated(patient).token, source=source)
        assert (await client.post("/fhir/List", json=made)).status_code == 201
    made = registration(prs.evaluated(patient).token, other)
    assert (await client.post("/fhir/List", json=made, headers=gateway(other))).status_code == 201
    assert (await client.delete(f"/fhir/List?{query}")).status_code == 201
    found = await client.post("/localize", json=token(prs.evaluated(patient)))
    assert [one["ura_number"] for one in found.json()] == [other]


VECTORS = [
    ("OONddNyI06dXIUsGZJLxvvX2SsNXAhm9SqjgPNztegM=", "jErbAyAWAfJn1y6qTuVZZehUeemRY60J-Q3_YuEUCTs="),
    ("kFazkWpPxWtNCka3Q4-hsIdkmsvtioAVSJmy-WG3lBA=", "JsxQgRVOm1VWYMj5kp17OgsPM0SUFBZrc74bAtKj3Ho="),
]
"""Z and N, under the blind factor below (facts sheet, both recipients)."""


@pytest.mark.parametrize(("evaluated", "point"), VECTORS)
@pytest.mark.parametrize("algorithm", ["RSA-OAEP", "RSA-OAEP-256"])
@pytest.mark.parametrize(
    "factor", ["ZNN67SKif1GR3hwdafrbiZ2IYrWOtCIAKeA27EwfZwY=", "ZNN67SKif1GR3hwdafrbiZ2IYrWOtCIAKeA27EwfZwY"]
)
def test_the_blinding_is_taken_away_and_the_point_hashed(
    evaluated: str, point: str, algorithm: str, factor: str
) -> None:
    recipient, secret = RSAKey.import_key(orjson.loads(key())), bytes(range(32))
    sealed = SmallPrs(recipient, algorithm).sealed(urlsafe_b64decode(evaluated))
    found = Pseudonyms(recipient, secret, None).of(Token(sealed, factor))
    assert found == hmac.new(secret, urlsafe_b64decode(point), "sha256").hexdigest()


@pytest.mark.parametrize(
    "claims", [{"aud": "ura:90000901"}, {"scope": "nvi"}, {"exp": 1}, {"exp": None}, {"exp": "later"}]
)
async def test_a_token_for_another_recipient_or_scope_or_time_is_refused_unless_that_is_not_checked(
    tmp_path: Path, claims: dict[str, Any]
) -> None:
    client, prs = index(tmp_path)
    refused = await client.post("/localize", json=token(prs.evaluated("one", **claims)))
    assert (refused.status_code, refused.json()) == (400, "Invalid pseudonym or oprf_key")
    client, _ = index(tmp_path, checked=False)
    assert (await client.post("/localize", json=token(prs.evaluated("one", **claims)))).status_code == 200


@pytest.mark.parametrize(
    "subject", ["pseudonym:irreversible:x", "pseudonym:eval:AAAA", f"pseudonym:eval:{b64(bytes(32))}", None]
)
async def test_a_jwe_without_an_evaluated_point_is_refused(tmp_path: Path, subject: str | None) -> None:
    client, prs = index(tmp_path, checked=False)
    answer = await client.post("/localize", json=token(prs.evaluated("one", subject=subject)))
    assert answer.status_code == 400


@pytest.mark.parametrize("factor", ["", "AAAA", b64(bytes(32)), "not base64 at all!"])
async def test_a_blind_factor_that_is_no_number_is_refused(tmp_path: Path, factor: str) -> None:
    client, prs = index(tmp_path)
    made = {**token(prs.evaluated("one")), "oprf_key": factor}
    assert (await client.post("/localize", json=made)).status_code == 400


async def test_registrations_outlive_a_restart(tmp_path: Path) -> None:
    client, prs = index(tmp_path)
    made = await client.post("/fhir/List", json=registration(prs.evaluated("one").token))
    client, prs = index(tmp_path)
    found = await client.get(f"/fhir/List?subject:identifier={prs.evaluated('one').token}")
    assert [one["resource"]["id"] for one in found.json()["entry"]] == [made.json()["id"]]


async def test_no_file_of_the_index_is_for_others_to_read(tmp_path: Path) -> None:
    behind(tmp_path, AT, Told({}))
    kept = [tmp_path / name for name in ("nvi.sqlite", "nvi.secret", "nvi.key.json")]
    assert [one.stat().st_mode & 0o077 for one in kept] == [0, 0, 0]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"x" * 1_100_000, 413), (b"\xff\xfe{}", 422), (b"[" * 100_000, 422), (b"null", 422), (b"", 422)],
)
async def test_a_body_that_cannot_be_read_is_the_clients_fault(
    tmp_path: Path, body: bytes, status: int
) -> None:
    client, _ = index(tmp_path)
    for path in ("/fhir/List", "/fhir", "/localize", "/registrations"):
        answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status


TEXT = st.text(max_size=8) | st.sampled_from(["List", "http://[", "List?a=b&c=d", "\ud800", "x" * 300])
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
LIST = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("extension", "subject", "source", "emptyReason", "id", "resourceType"), VALUE)
).map(lambda changed: {**registration("x"), **changed})
REQUEST = st.fixed_dictionaries({"method": st.sampled_from(["GET", "POST", "PUT", "DELETE"]), "url": TEXT})
ENTRY = st.fixed_dictionaries({}, optional={"request": REQUEST | VALUE, "resource": LIST | VALUE})
BUNDLE = st.fixed_dictionaries({"type": st.just("transaction"), "entry": st.lists(ENTRY, max_size=3)})


@settings(max_examples=150, deadline=None)
@given(
    path=st.sampled_from(["/fhir/List", "/fhir", "/localize", "/registrations"]), body=VALUE | LIST | BUNDLE
)
async def test_whatever_is_sent_is_answered_and_never_our_fault(
    one_index: tuple[httpx.AsyncClient, SmallPrs], path: str, body: Any
) -> None:
    client, _ = one_index
    answer = await client.post(
        path, content=json.dumps(body), headers={"Content-Type": "application/fhir+json"}
    )
    assert answer.status_code in (200, 201, 400, 403, 409, 422)
    assert answer.json() is not None


@settings(max_examples=80, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(["subject:identifier", "source:identifier", "x"]), TEXT), max_size=3
    )
)
async def test_whatever_is_searched_for_is_answered(
    one_index: tuple[httpx.AsyncClient, SmallPrs], pairs: list[tuple[str, str]]
) -> None:
    client, _ = one_index
    query = "&".join(f"{quote(name)}={quote(value, errors='replace')}" for name, value in pairs)
    assert (await client.get(f"/fhir/List?{query}")).status_code in (200, 400, 422)


def test_a_state_that_the_crypto_service_does_not_have_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "nvi.toml").write_text('crypto = "slow"')
    with pytest.raises(Invalid, match="crypto"):
        nvi.application(tmp_path, AT)


# -- the whole over TLS ------------------------------------------------------------------------------------------


def certified(country: Nation) -> httpx.AsyncClient:
    """A client that shows the certificate of the operator."""
    tls = ssl.create_default_context(cafile=str(country.anchors))
    tls.load_cert_chain(*country.operator.pair)
    # No connection is kept: a facility that stops would wait for it.
    return httpx.AsyncClient(verify=tls, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


async def bearer(
    country: Nation, client: httpx.AsyncClient, name: str, scope: str, who: str
) -> dict[str, str]:
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "target_audience": country.referral(name),
        "organization_id": who,
    }
    if name == "nvi":
        form["source_id"] = "node"
    answer = await client.post(f"{country.referral('minvws-oauth')}/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def evaluated(country: Nation, client: httpx.AsyncClient, patient: str) -> Evaluated:
    """A token of the PRS stand-in."""
    point = ristretto.point_from(hashlib.sha512(patient.encode()).digest())
    factor = ristretto.random_scalar()
    asked = {
        "encryptedPersonalId": b64(ristretto.multiplied(point, factor)),
        "recipientOrganization": f"oin:{INDEX}",
        "recipientScope": REFERRAL_SCOPE,
    }
    headers = await bearer(country, client, "prs", "prs:read", OPERATOR)
    answer = await client.post(f"{country.referral('prs')}/oprf/eval", json=asked, headers=headers)
    assert answer.status_code == 200, answer.text
    return Evaluated(answer.json()["jwe"], b64(factor))


async def test_token_server_pseudonym_service_and_index_work_together_over_tls(tmp_path: Path) -> None:
    async with nation(tmp_path) as country:
        await country.refer()
        base = country.referral("nvi")
        async with certified(country) as client:
            headers = await bearer(country, client, "nvi", "nvi:create nvi:localize nvi:delete", HOLDER)
            first = await evaluated(country, client, "a patient")
            made = await client.post(
                f"{base}/fhir/List", json=registration(first.token, HOLDER), headers=headers
            )
            assert made.status_code == 201, made.text
            again = await evaluated(country, client, "a patient")
            assert again.jwe != first.jwe
            found = await client.post(f"{base}/localize", json=token(again), headers=headers)
            assert [(one["ura_number"], one["source_id"]) for one in found.json()] == [(HOLDER, "urn:uuid:1")]
            gone = await client.delete(f"{base}/fhir/List/{made.json()['id']}", headers=headers)
            assert gone.status_code == 201
            prs_token = await bearer(country, client, "prs", "prs:read", OPERATOR)
            refused = await client.get(f"{base}/fhir/List", headers=prs_token)
            assert (refused.status_code, refused.text) == (400, "Token verification failed")
        tls = ssl.create_default_context(cafile=str(country.anchors))
        async with httpx.AsyncClient(verify=tls, trust_env=False) as stranger:
            with pytest.raises(httpx.TransportError):
                await stranger.get(f"{base}/health")


async def test_the_keys_can_come_from_the_token_server_itself(tmp_path: Path) -> None:
    async with nation(tmp_path) as country:
        await country.refer()
        issuer = country.referral("minvws-oauth")
        verifier = f'[verifier]\nissuer = "{issuer}"\njwks = "{issuer}/.well-known/jwks.json"\n'
        (tmp_path / "nvi.toml").write_text(verifier)
        await country.stop("nvi")
        await country.start("nvi")
        async with certified(country) as client:
            headers = await bearer(country, client, "nvi", "nvi:localize", HOLDER)
            url = f"{country.referral('nvi')}/fhir/List"
            assert (await client.get(url, headers=headers)).json()["total"] == 0
            await country.stop("minvws-oauth")
            await country.stop("nvi")
            await country.start("nvi")
            assert (await client.get(url, headers=headers)).status_code == 503
