"""The stand-in of the PRS against recordings of the real one: what was asked there is asked here, behind the verifier
where that was so, and the answer has the same status and shape, and the same values where they can be computed."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwe, jwt
from joserfc.jwk import RSAKey
from starlette.types import ASGIApp
from tests.certificates import Authority, Issued
from tests.minvws import CN, OIN, asking, client_certificate, showing
from tests.shared import shared, shared_root

from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel_national import prs
from schakel_national.prs.routes import unguarded

AT = "https://prs.example.org"
ISSUER = "https://oauth.example.org"
NVI = "00000099000000001000"
SERVER_KEY = "5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e"
MASTER_KEY = bytes(range(32)).hex()
ALGORITHMS = ["RSA-OAEP", "RSA-OAEP-256", "A256GCM"]

EMPTY = f"""
guide = false
oprf_key = "{SERVER_KEY}"
master_key = "{MASTER_KEY}"
[verifier]
issuer = "{ISSUER}"
"""
ORGANISATIONS = f"""
[[organisations]]
oin = "{OIN}"
usage = "irp"
[[organisations]]
oin = "{NVI}"
ura = "90000901"
usage = "bsn"
"""
KEY = """
[[organisations.keys]]
scopes = ["Nationale-Verwijsindex"]
key_id = "nvi-key-1"
file = "recipient.pem"
"""
NEW = EMPTY + ORGANISATIONS + KEY
OLD = NEW.replace("guide = false", 'guide = false\nform = "old"')

NEEDS_STATE = {
    "admin-key-delete", "admin-key-delete-again", "admin-key-delete-foreign", "admin-key-update",
    "admin-key-update-foreign", "admin-key-update-private-key", "admin-keys-list", "admin-register-ok",
    "admin-register-cert-of-other-party", "admin-key-version-create-past", "admin-key-version-update",
    "admin-key-version-update-foreign",
}  # fmt: skip
"""Those of which the answer follows from what was done before, or from the day: in tests of their own."""


def recorded(*groups: str, but: set[str] | frozenset[str] = frozenset()) -> list[str]:
    """The names of the recordings of these groups."""
    folder = shared_root() / "recordings" / "prs"
    names = sorted(path.stem for path in folder.glob("*.json"))
    return [name for name in names if name.startswith(groups) and name not in but] or ["absent"]


def recording(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(shared("recordings", "prs", f"{name}.json").read_text())
    return value


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new("Test Root")


@pytest.fixture(scope="module")
def parties(authority: Authority) -> dict[str, Issued]:
    """Certificates with RSA keys, by the names of the recordings."""
    return {
        "NVI": client_certificate(authority, NVI, "nvi.example.org", bits=2048),
        "EHR": client_certificate(authority, bits=2048),
    }


@pytest.fixture(scope="module")
def signers() -> tuple[RSAKey, RSAKey]:
    """Keys of token servers: the one that the verifier knows, and another."""
    return RSAKey.generate_key(2048, private=True), RSAKey.generate_key(2048, private=True)


@pytest.fixture
def recipient(tmp_path: Path, parties: dict[str, Issued]) -> RSAKey:
    """The key of the NVI, to which the stand-in seals."""
    (tmp_path / "recipient.pem").write_text(parties["NVI"].pem)
    return RSAKey.import_key(parties["NVI"].key_pem)


@pytest.fixture
def made(tmp_path: Path, recipient: RSAKey) -> Callable[..., ASGIApp]:
    """The stand-in with this configuration, behind its verifier or (with gateway headers) without."""

    def make(configuration: str, guarded: bool = False) -> ASGIApp:
        (tmp_path / "prs.toml").write_text(configuration)
        return (prs.application if guarded else unguarded)(tmp_path, AT)

    return make


def request_of(found: dict[str, Any], parties: dict[str, Issued], **replaced: str) -> httpx.Request:
    """The recorded request, with what its placeholders stand for."""
    asked = found["request"]
    headers = {**asked["headers"], **asked.get("gateway_headers", {})}
    for name, value in headers.items():
        for who, party in parties.items():
            if value == f"{{{{base64 DER of {who} client certificate}}}}":
                headers[name] = b64encode(party.certificate.public_bytes(Encoding.DER)).decode()
    body = asked["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    for placeholder, value in replaced.items():
        text = text.replace(f"{{{{{placeholder}}}}}", value)
    content = b"" if body is None else text.encode()
    return httpx.Request(asked["method"], f"{AT}{asked['path']}", headers=headers, content=content)


def shape(value: Any) -> Any:
    """A value with placeholders, ids and texts of libraries levelled."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    if isinstance(value, str):
        if value == "{{JWE}}" or (len(value.split(".")) == 5 and value.startswith("eyJ")):
            return "(a JWE)"
        return re.sub(r"(must be a valid PEM encoded public key: ).*", r"\1...", value, flags=re.DOTALL)
    return value


def opened(text: str, key: RSAKey) -> tuple[dict[str, Any], dict[str, Any]]:
    sealed = jwe.decrypt_compact(text, key, algorithms=ALGORITHMS)
    assert sealed.plaintext is not None
    return dict(sealed.headers()), json.loads(sealed.plaintext)


def agrees(answer: httpx.Response, found: dict[str, Any], key: RSAKey) -> None:
    """The answer is the recorded one."""
    expected = found["response"]
    assert answer.status_code == expected["status"], answer.text
    for name in ("content-type", "allow"):
        if name in expected["headers"]:
            assert answer.headers[name] == expected["headers"][name]
    json_answer = answer.headers.get("content-type", "") == "application/json"
    body = answer.json() if json_answer else answer.text
    assert shape(body) == shape(expected["body"])
    if "decoded" in found:
        header, payload = opened(body["jwe"] if isinstance(body, dict) else body, key)
        decoded = found["decoded"]
        kid = key.thumbprint() if "old" in found["name"] else "nvi-key-1"
        assert header == {**decoded["jwe_header"], "kid": kid}
        assert payload["exp"] - payload["iat"] == 300
        same = {**decoded["jwe_payload"], "iat": payload["iat"], "exp": payload["exp"]}
        if same["subject"] == "{{rid}}":
            assert payload["subject"].startswith("rid:")
            same["subject"] = payload["subject"]
        assert payload == same


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", recorded("eval-", "auth-", "exchange-", "admin-", "info-health", but=NEEDS_STATE)
)
async def test_the_service_answers_as_recorded(
    name: str, made: Callable[..., ASGIApp], parties: dict[str, Issued], recipient: RSAKey
) -> None:
    found = recording(name)
    configuration = {
        "admin-register-no-cert": EMPTY + ORGANISATIONS,
        "eval-no-key": EMPTY + ORGANISATIONS,
        "admin-register-unknown-org": EMPTY,
    }.get(name, NEW)
    async with asking(made(configuration), AT) as client:
        answer = await client.send(request_of(found, parties))
    if name == "admin-key-version-create":
        assert answer.json()["id"]
        found["response"]["body"]["id"] = answer.json()["id"]
    agrees(answer, found, recipient)


@pytest.mark.shared
@pytest.mark.parametrize("name", recorded("old-", but={"old-v0021-orgs-create"}))
async def test_the_old_form_answers_as_recorded(
    name: str, made: Callable[..., ASGIApp], parties: dict[str, Issued], recipient: RSAKey
) -> None:
    found = recording(name)
    async with asking(made(OLD), AT) as client:
        agrees(await client.send(request_of(found, parties)), found, recipient)


@pytest.mark.shared
async def test_the_old_form_makes_organisations(
    made: Callable[..., ASGIApp], parties: dict[str, Issued], recipient: RSAKey
) -> None:
    found = recording("old-v0021-orgs-create")
    async with asking(made(EMPTY.replace("guide", 'form = "old"\nguide')), AT) as client:
        agrees(await client.send(request_of(found, parties)), found, recipient)
        asked = request_of(recording("old-v0021-eval-ura"), parties)
        assert (await client.send(asked)).json() == {
            "error": "No public key found for this organization and/or scope"
        }


@pytest.mark.shared
@pytest.mark.parametrize("name", recorded("gateway-"))
async def test_behind_the_verifier_it_answers_as_recorded(
    name: str,
    made: Callable[..., ASGIApp],
    parties: dict[str, Issued],
    recipient: RSAKey,
    signers: tuple[RSAKey, RSAKey],
    tmp_path: Path,
) -> None:
    found = recording(name)
    signer, other = signers
    kid = found["token_header"]["kid"]
    keys = {"keys": [{**signer.as_dict(private=False), "kid": kid}]}
    (tmp_path / "minvws-oauth.jwks.json").write_text(json.dumps(keys))
    claims = dict(found["token_claims"])
    moved = int(now().timestamp()) - recording("gateway-ok")["token_claims"]["iat"]
    claims |= {one: claims[one] + moved for one in ("iat", "nbf", "exp") if one in claims}
    key = other if name == "gateway-bad-signature" else signer
    token = jwt.encode(found["token_header"], claims, key, algorithms=["RS256"])
    request = request_of(found, parties)
    bearer = request.headers.get("Authorization", "").replace("{{access_token}}", token)
    if bearer:
        request.headers["Authorization"] = bearer
    shown = None if name == "gateway-no-client-cert" else parties["EHR"].pem
    async with asking(showing(made(NEW, guarded=True), shown), AT) as client:
        answer = await client.send(request)
    agrees(answer, found, recipient)


@pytest.mark.shared
@pytest.mark.parametrize("name", recorded("receive-"))
async def test_a_reference_is_traded_as_recorded(
    name: str, made: Callable[..., ASGIApp], parties: dict[str, Issued], recipient: RSAKey
) -> None:
    found = recording(name)
    async with asking(made(NEW), AT) as client:
        given = await client.send(request_of(recording("exchange-rid"), parties))
        rid = opened(given.text, recipient)[1]["subject"]
        agrees(await client.send(request_of(found, parties, rid=rid)), found, recipient)


@pytest.mark.shared
async def test_keys_are_administered_as_recorded(
    made: Callable[..., ASGIApp], parties: dict[str, Issued], recipient: RSAKey
) -> None:
    async with asking(made(EMPTY + ORGANISATIONS), AT) as client:

        async def send(name: str, key_id: str = "") -> httpx.Response:
            found = recording(name)
            if key_id:
                found["request"]["path"] = re.sub(r"[0-9a-f-]{36}", key_id, found["request"]["path"])
            return await client.send(request_of(found, parties, **{"PEM of throwaway RSA public key": pem}))

        pem = json.dumps(recipient.as_pem(private=False).decode())[1:-1]
        for name in ("admin-register-ok", "admin-register-duplicate", "admin-register-wildcard-overlap"):
            agrees(await send(name), recording(name), recipient)
        for name in ("admin-register-public-key-in-body", "admin-register-cert-of-other-party"):
            agrees(await send(name), recording(name), recipient)
        expected = recording("admin-keys-list")["response"]["body"]
        listed = (await send("admin-keys-list")).json()
        told = [{**one, "key_data": "", "id": ""} for one in listed]
        assert told == [{**one, "key_data": "", "id": ""} for one in expected]
        assert listed[0]["key_data"] == listed[1]["key_data"] != listed[2]["key_data"]

        other = listed[1]["id"]
        for name in ("admin-key-update-foreign", "admin-key-delete-foreign", "admin-key-update-private-key"):
            agrees(await send(name, other), recording(name), recipient)
        changed = (await send("admin-key-update", other)).json()
        assert (changed["scope"], changed["key_id"]) == (["nog-een", "other"], "k2")
        assert changed["key_data"] == recipient.as_pem(private=False).decode()
        for name in ("admin-key-delete", "admin-key-delete-again"):
            agrees(await send(name, other), recording(name), recipient)


@pytest.mark.shared
async def test_key_versions_are_administered_as_recorded(
    made: Callable[..., ASGIApp], parties: dict[str, Issued], recipient: RSAKey
) -> None:
    async with asking(made(NEW), AT) as client:
        created = (await client.send(request_of(recording("admin-key-version-create"), parties))).json()
        for name in ("admin-key-version-update-foreign", "admin-key-version-update"):
            found = recording(name)
            old = found["request"]["path"].rsplit("/", 1)[1]
            found["request"]["path"] = found["request"]["path"].replace(old, created["id"])
            if found["response"]["status"] == 200:
                found["response"]["body"]["id"] = created["id"]
            agrees(await client.send(request_of(found, parties)), found, recipient)
        past = recording("admin-key-version-create-past")
        agrees(await client.send(request_of(past, parties)), past, recipient)


async def test_with_the_names_of_the_guide_either_kind_of_recipient_is_taken(
    made: Callable[..., ASGIApp], recipient: RSAKey
) -> None:
    headers = {"x-gf-sub": OIN, "x-gf-act-sub": OIN, "x-gf-act-cn": CN, "x-gf-audience": AT}
    subjects = set()
    async with asking(made(NEW.replace("guide = false", "")), AT) as client:
        for name in ("ura:90000901", f"oin:{NVI}"):
            body = {
                "blinded_input": "sASnjn9HhR3wx0f9g6QhZW6-dtoL5WIqt53AYpV4bkM=",
                "recipient_organization": name,
                "recipient_scope": "nationale-verwijsindex",
            }
            answer = await client.post("/evaluate", json=body, headers=headers)
            payload = opened(answer.json()["evaluated_output"], recipient)[1]
            assert payload["aud"] == name
            subjects.add(payload["subject"])
    assert subjects == {"pseudonym:eval:kFazkWpPxWtNCka3Q4-hsIdkmsvtioAVSJmy-WG3lBA="}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"7" * 6_000,
        b"[" * 50_000,
        b"\xff\xfe{}",
        b'{"encryptedPersonalId": "\\ud800"}',
        b'{"encryptedPersonalId": NaN, "recipientScope": {}}',
        b'{"rid": "rid:\xc3\xa9", "personalId": {"value": []}}',
        b'"' + b"x" * 200_000 + b'"',
    ],
    ids=["nothing", "null", "array", "number", "nested", "no text", "surrogate", "NaN", "other", "large"],
)
@pytest.mark.parametrize(
    "path",
    ["/oprf/eval", "/evaluate", "/exchange/rid", "/receive", "/administration/key-versions"],
)
async def test_any_body_has_an_answer(
    body: bytes, path: str, made: Callable[..., ASGIApp], recipient: RSAKey
) -> None:
    headers = {"x-gf-sub": NVI, "x-gf-act-sub": NVI, "x-gf-act-cn": CN, "x-gf-audience": AT}
    headers["content-type"] = "application/json"
    async with asking(made(NEW.replace("guide = false", "")), AT) as client:
        answer = await client.post(path, content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"


async def test_its_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    unguarded(tmp_path, AT)
    kept = (tmp_path / "prs.oprf_key").read_bytes(), (tmp_path / "prs.master_key").read_bytes()
    unguarded(tmp_path, AT)
    assert ((tmp_path / "prs.oprf_key").read_bytes(), (tmp_path / "prs.master_key").read_bytes()) == kept
    assert kept[0] != kept[1]
    assert (tmp_path / "prs.oprf_key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "wrong",
    [
        'form = "newest"',
        'algorithm = "RSA1_5"',
        'oprf_key = "00"',
        f'oprf_key = "{"00" * 32}"',
        'master_key = "zz"',
        '[[organisations]]\nusage = "all"',
        '[[organisations]]\n[[organisations.keys]]\nscopes = ["x"]\nfile = "absent.pem"',
    ],
)
def test_a_configuration_that_is_not_right_stops_the_start(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "prs.toml").write_text(wrong)
    with pytest.raises(Invalid, match=r"prs\.toml"):
        unguarded(tmp_path, AT)


def test_the_key_of_another_stand_in_is_used_as_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "prs.toml").write_text(
        f'[[organisations]]\noin = "{NVI}"\n[[organisations.keys]]\nscopes = ["nvi"]\nof = "nvi"'
    )
    unguarded(tmp_path, AT)
    assert (tmp_path / "nvi.key.json").exists()
