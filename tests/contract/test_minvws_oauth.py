"""The ministry's token server: both forms of request, and everything it refuses."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jws import JWSRegistry
from tests.certificates import Authority, Issued, uzi_name
from tests.minvws import CN, OIN, asking, client_certificate, showing
from tests.shared import shared

from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Invalid
from schakel_national import minvws
from schakel_national.minvws.certificates import Shown, is_oin

AT = "https://oauth.example.org"
NVI, PRS = "https://nvi.example.org", "https://prs.example.org"
URA, OTHER = "90000111", "90000222"
CONFIGURATION = f"""
seconds = 120
[[targets]]
audience = "{NVI}"
subject = "ura"
scopes = ["nvi:create", "nvi:read", "nvi:delete", "nvi:localize"]
[[targets]]
audience = "{PRS}"
subject = "oin"
scopes = ["prs:read"]
[[clients]]
oin = "{OIN}"
common_name = "{CN}"
[[clients.organisations]]
ura = "{URA}"
name = "Voorbeeldziekenhuis A"
source_id = "ehr-a-1"
scopes = ["nvi:create", "nvi:localize", "prs:read"]
[[clients.organisations]]
ura = "{OTHER}"
name = "Voorbeeldziekenhuis B"
scopes = ["nvi:localize"]
"""
NEWEST = {
    "grant_type": "client_credentials",
    "scope": "nvi:create",
    "target_audience": NVI,
    "organization_id": URA,
    "source_id": "ehr-a-1",
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new("Test Root")


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    (tmp_path / "minvws-oauth.toml").write_text(CONFIGURATION)
    (tmp_path / "uzi-ca").mkdir()
    (tmp_path / "uzi-ca" / "anchors.pem").write_text(authority.pem)
    return tmp_path


@pytest.fixture
def certificate(authority: Authority) -> Issued:
    return client_certificate(authority)


@pytest.fixture
def client(folder: Path, certificate: Issued) -> httpx.AsyncClient:
    return asking(showing(minvws.application(folder, AT), certificate.pem), AT)


def keys(folder: Path) -> KeySet:
    return KeySet.import_key_set(orjson.loads((folder / "minvws-oauth.jwks.json").read_bytes()))


async def test_the_newest_form_gives_a_token_with_the_claims_that_the_verifier_needs(
    client: httpx.AsyncClient, folder: Path
) -> None:
    answer = await client.post("/token", data=NEWEST)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert {name: told[name] for name in ("token_type", "expires_in", "scope")} == {
        "token_type": "Bearer",
        "expires_in": 120,
        "scope": "nvi:create",
    }
    claims = jwt.decode(told["access_token"], keys(folder), algorithms=["RS256"]).claims
    assert claims["nbf"] == claims["iat"] == claims["exp"] - 120
    assert {name: claims[name] for name in claims if name not in ("nbf", "iat", "exp", "jti")} == {
        "iss": AT,
        "aud": NVI,
        "sub": URA,
        "scope": "nvi:create",
        "act": {"sub": OIN, "cn": CN},
        "organization_name": "Voorbeeldziekenhuis A",
        "source_id": "ehr-a-1",
    }


async def test_a_token_for_the_pseudonym_service_is_about_an_oin(
    client: httpx.AsyncClient, folder: Path
) -> None:
    form = {"scope": "prs:read", "target_audience": PRS, "organization_id": OIN}
    answer = await client.post("/oauth/token", data={"grant_type": "client_credentials", **form})
    claims = jwt.decode(answer.json()["access_token"], keys(folder), algorithms=["RS256"]).claims
    assert (claims["sub"], claims["aud"]) == (OIN, PRS)
    assert "source_id" not in claims


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    [
        "nvi/chain-token-request-nvi-create",
        "nvi/chain-token-request-nvi-localize",
        "prs/chain-token-request-prs-read",
    ],
)
async def test_the_ministrys_registration_service_gets_the_token_that_it_asks_for(
    client: httpx.AsyncClient, folder: Path, name: str
) -> None:
    case = orjson.loads(shared("recordings", f"{name}.json").read_bytes())
    answer = await client.post(
        case["request"]["path"],
        content=case["request"]["body"],
        headers={"Content-Type": case["request"]["headers"]["Content-Type"]},
    )
    assert answer.status_code == 200, answer.text
    claims = jwt.decode(answer.json()["access_token"], keys(folder), algorithms=["RS256"]).claims
    moments = ("iat", "nbf", "exp")
    given_claims = case["token_claims_given"]
    assert {name: claims[name] for name in given_claims if name not in moments} == {
        name: value for name, value in given_claims.items() if name not in moments
    }
    assert all(isinstance(claims[name], int) for name in moments)
    assert answer.json()["scope"] == dict(parse_qsl(case["request"]["body"]))["scope"]


@pytest.mark.parametrize(
    ("changed", "error", "names"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type", "grant_type"),
        ({"grant_type": None}, "unsupported_grant_type", "grant_type"),
        ({"scope": "nvi:create epd:read"}, "invalid_scope", "epd:read"),
        ({"scope": "prs:read"}, "invalid_scope", "prs:read"),
        ({"scope": ""}, "invalid_scope", "scope"),
        ({"scope": None}, "invalid_scope", "scope"),
        ({"scope": "nvi:delete"}, "invalid_scope", "nvi:delete"),
        ({"target_audience": "https://other.example.org"}, "invalid_request", "target_audience"),
        ({"target_audience": None}, "invalid_request", "target_audience"),
        ({"organization_id": "90000333"}, "unauthorized_client", "organisation"),
        ({"organization_id": OIN}, "unauthorized_client", "organisation"),
        ({"organization_id": None}, "unauthorized_client", "organisation"),
        ({"source_id": "ehr-b-1"}, "invalid_request", "source_id"),
    ],
)
async def test_a_request_with_one_thing_wrong_is_refused_by_its_name(
    client: httpx.AsyncClient, changed: dict[str, str | None], error: str, names: str
) -> None:
    form = {name: value for name, value in {**NEWEST, **changed}.items() if value is not None}
    answer = await client.post("/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert names in answer.json()["error_description"]


async def test_an_organisation_without_source_is_given_none(client: httpx.AsyncClient, folder: Path) -> None:
    form = {**NEWEST, "organization_id": OTHER, "scope": "nvi:localize"}
    assert (await client.post("/token", data=form)).json()["error"] == "invalid_request"
    del form["source_id"]
    token = (await client.post("/token", data=form)).json()["access_token"]
    assert "source_id" not in jwt.decode(token, keys(folder), algorithms=["RS256"]).claims


@pytest.mark.parametrize(
    ("oin", "name"), [("00000099000000003000", CN), (OIN, "other.example.org"), ("", CN)]
)
async def test_a_certificate_with_another_oin_or_name_is_of_no_client(
    folder: Path, authority: Authority, oin: str, name: str
) -> None:
    pem = client_certificate(authority, oin, name).pem
    async with asking(showing(minvws.application(folder, AT), pem), AT) as stranger:
        answer = await stranger.post("/token", data=NEWEST)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_without_a_certificate_there_is_no_token(folder: Path) -> None:
    async with asking(showing(minvws.application(folder, AT), None), AT) as stranger:
        answer = await stranger.post("/token", data=NEWEST)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"grant_type=client_credentials&grant_type=client_credentials"),
        ("application/x-www-form-urlencoded", b"grant_type=" + b"x" * 30_000),
        ("application/x-www-form-urlencoded", b"\xff"),
    ],
)
async def test_a_body_that_is_no_plain_form_is_an_invalid_request(
    client: httpx.AsyncClient, kind: str, body: bytes
) -> None:
    answer = await client.post("/token", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


# -- with an assertion -------------------------------------------------------------------------------------------

Claims = dict[str, Any]


def assertion(
    signer: Issued, connection: Issued, claims: Claims | None = None, header: Claims | None = None
) -> str:
    """An assertion, changed by `claims` (where None takes one out) and `header`."""
    moment = int(now().timestamp())
    made: Claims = {
        "iss": URA,
        "sub": URA,
        "aud": [f"{AT}/oauth/token"],
        "scope": "nvi:create",
        "target_audience": NVI,
        "jti": new_id(),
        "iat": moment,
        "exp": moment + 60,
        "cnf": {"x5t#S256": Shown.read(connection.certificate).thumbprint},
        **(claims or {}),
    }
    plain = isinstance(signer.key, rsa.RSAPrivateKey)
    head: Claims = {
        "alg": "RS256" if plain else "ES256",
        "kid": Shown.read(signer.certificate).thumbprint,
        **(header or {}),
    }
    key = RSAKey.import_key(signer.key_pem) if plain else ECKey.import_key(signer.key_pem)
    kept = {name: value for name, value in made.items() if value is not None}
    registry = JWSRegistry(algorithms=["RS256", "ES256"])
    registry.max_header_length = 20_000
    return jwt.encode(head, kept, key, registry=registry)


def with_assertion(text: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "scope": "nvi:create",
        "target_audience": NVI,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": text,
    }


@pytest.mark.parametrize("bits", [0, 2048])
async def test_an_assertion_by_the_certificate_of_the_connection_gives_a_token(
    folder: Path, authority: Authority, bits: int
) -> None:
    own = client_certificate(authority, bits=bits)
    async with asking(showing(minvws.application(folder, AT), own.pem), AT) as client:
        answer = await client.post("/oauth/token", data=with_assertion(assertion(own, own)))
    assert answer.status_code == 200, answer.text
    claims = jwt.decode(answer.json()["access_token"], keys(folder), algorithms=["RS256"]).claims
    assert (claims["sub"], claims["source_id"]) == (URA, "ehr-a-1")


def x5c(*chain: Issued) -> Claims:
    return {"x5c": [b64encode(one.certificate.public_bytes(Encoding.DER)).decode() for one in chain]}


async def test_an_assertion_by_a_certificate_in_x5c_gives_a_token_when_that_leads_to_the_authority(
    client: httpx.AsyncClient, authority: Authority, certificate: Issued
) -> None:
    between = authority.authority("Test UZI")
    signer = between.issue("hospital.example.org", uzi=uzi_name(URA), serial_number="900025039")
    made = assertion(signer, certificate, header=x5c(signer, between))
    answer = await client.post("/oauth/token", data=with_assertion(made))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ("foreign", "is not a chain"),
        ("unknown", "no authority that is trusted"),
        ("another-ura", "another URA"),
        ("expired", "not valid now"),
        ("no-authority", "no authority"),
        ("cut", "no authority that is trusted"),
        ("broken", "cannot be read"),
    ],
)
async def test_an_x5c_that_does_not_prove_the_ura_is_refused(
    client: httpx.AsyncClient, authority: Authority, certificate: Issued, wrong: str, names: str
) -> None:
    between = authority.authority("Test UZI", certifies=wrong != "no-authority")
    strangers = {"foreign": Authority.new("Test Root"), "unknown": Authority.new("Another Root")}
    days = (-20.0, -10.0) if wrong == "expired" else (-1.0, 300.0)
    ura = OTHER if wrong == "another-ura" else URA
    signer = strangers.get(wrong, between).issue("h.example.org", uzi=uzi_name(ura), days=days)
    header = x5c(signer) if wrong in ("foreign", "unknown", "cut") else x5c(signer, between)
    if wrong == "broken":
        header = {"x5c": ["%%%"]}
    answer = await client.post("/token", data=with_assertion(assertion(signer, certificate, header=header)))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert names in answer.json()["error_description"]


MOMENT = int(now().timestamp())


@pytest.mark.parametrize(
    ("claims", "names"),
    [
        ({"aud": ["https://other.example.org/oauth/token"]}, "aud"),
        ({"aud": None}, "aud"),
        ({"exp": MOMENT - 10, "iat": MOMENT - 70}, "expired"),
        ({"exp": MOMENT + 5000, "iat": MOMENT}, "300 seconds"),
        ({"exp": None}, "exp"),
        ({"iat": None}, "iat"),
        ({"jti": None}, "jti"),
        ({"cnf": None}, "cnf"),
        ({"cnf": {"x5t#S256": "another"}}, "cnf"),
        ({"cnf": "text"}, "cnf"),
        ({"sub": OTHER}, "sub"),
        ({"scope": "nvi:read"}, "scope"),
        ({"target_audience": PRS}, "target_audience"),
    ],
)
async def test_an_assertion_with_one_claim_wrong_is_refused_by_its_name(
    client: httpx.AsyncClient, certificate: Issued, claims: Claims, names: str
) -> None:
    answer = await client.post(
        "/oauth/token", data=with_assertion(assertion(certificate, certificate, claims))
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert names in answer.json()["error_description"]


async def test_an_assertion_counts_once(client: httpx.AsyncClient, certificate: Issued) -> None:
    form = with_assertion(assertion(certificate, certificate))
    assert (await client.post("/oauth/token", data=form)).status_code == 200
    again = await client.post("/oauth/token", data=form)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
    assert "jti" in again.json()["error_description"]


Spoil = Callable[[str], str]


@pytest.mark.parametrize(
    "spoil",
    [lambda text: text[:-8] + "AAAAAAAA", lambda text: "no.jws", lambda text: "", lambda text: f"{text}.x"],
    ids=["signature", "two-parts", "empty", "four-parts"],
)
async def test_an_assertion_that_is_spoilt_is_refused(
    client: httpx.AsyncClient, certificate: Issued, spoil: Spoil
) -> None:
    made = spoil(assertion(certificate, certificate))
    answer = await client.post("/oauth/token", data=with_assertion(made))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_an_assertion_whose_kid_is_another_certificate_is_refused(
    client: httpx.AsyncClient, certificate: Issued
) -> None:
    made = assertion(certificate, certificate, header={"kid": "another"})
    answer = await client.post("/oauth/token", data=with_assertion(made))
    assert "kid" in answer.json()["error_description"]


async def test_an_assertion_of_an_unknown_type_is_refused(
    client: httpx.AsyncClient, certificate: Issued
) -> None:
    form = with_assertion(assertion(certificate, certificate))
    answer = await client.post("/oauth/token", data={**form, "client_assertion_type": "saml"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


# -- certificates and configuration ------------------------------------------------------------------------------


@given(st.integers(0, 999_999_999))
def test_every_uzi_number_becomes_an_oin_of_the_right_form_and_no_two_the_same(number: int) -> None:
    oin = f"00000099{number:09d}000"
    assert is_oin(oin)
    assert oin[8:17] == f"{number:09d}"


async def test_the_holder_of_a_uzi_certificate_is_known_by_the_oin_of_its_number(
    authority: Authority,
) -> None:
    read = Shown.read(authority.issue("a.example", uzi=uzi_name(URA), serial_number="990100055").certificate)
    assert (read.oin, read.ura, read.common_name) == ("00000099990100055000", URA, "a.example")


async def test_the_keys_are_published_without_the_private_part(
    client: httpx.AsyncClient, folder: Path
) -> None:
    told = (await client.get("/.well-known/jwks.json")).json()
    assert told == orjson.loads((folder / "minvws-oauth.jwks.json").read_bytes())
    [key] = told["keys"]
    assert "d" not in key
    assert (key["use"], key["alg"], told["issuer"]) == ("sig", "RS256", AT)


_TARGET = '[[targets]]\naudience = "x"\nsubject = "ura"\nscopes = ["nvi:create"]\n'


@pytest.mark.parametrize(
    "wrong",
    [
        '[[targets]]\naudience = "x"\nsubject = "uzi"\nscopes = []',
        f'{_TARGET}means = ["epd:read"]',
        f'{_TARGET}[targets.means]\n"epd:read" = ["nvi:delete"]',
        f'{_TARGET}[targets.means]\n"epd:read" = []',
        f'{_TARGET}[targets.means]\n"nvi:create" = ["nvi:create"]',
        '[[clients]]\noin = "123"\ncommon_name = "x"\norganisations = []',
        f'[[clients]]\noin = "{OIN}"\norganisations = []',
    ],
)
def test_a_configuration_that_is_not_right_stops_the_start(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "minvws-oauth.toml").write_text(wrong)
    with pytest.raises(Invalid, match="minvws-oauth"):
        minvws.application(tmp_path, AT)
