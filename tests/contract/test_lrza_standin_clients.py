"""The stand-in of the LRZa: who may ask it (certificates, tokens, how often), signatures, and itself over TLS."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import rfc8785
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from joserfc import jws, jwt
from joserfc.jwk import ECKey
from tests.certificates import Authority, Issued
from tests.lrza import (
    ADDRESS,
    HOSPITAL,
    PRACTICE,
    ROOT,
    URA,
    VENDOR,
    Directory,
    certificate,
    created,
    directory,
    location,
    mandate,
    organisation,
    put,
    said,
    to,
    updated,
)
from tests.nation import REQUESTER, nation
from tests.nodes import free_ports

from schakel_national.__main__ import FACILITIES, facilities
from schakel_national.serving import serving

Resource = dict[str, Any]


# -- certificates --------------------------------------------------------------------------------------------


async def test_without_a_certificate_only_the_capability_statement_is_read(tmp_path: Path) -> None:
    with directory(tmp_path) as lrza:
        async with lrza.client() as nobody, lrza.client(PRACTICE) as practice:
            assert "client certificate" in said(await nobody.get("/fhir/Organization"), 401)
            assert (await nobody.get("/fhir/metadata")).status_code == 200
            assert (await practice.get("/fhir/Organization")).status_code == 200


@pytest.mark.parametrize("listed", ["ura", "thumbprint"])
async def test_a_list_of_clients_is_kept_to(tmp_path: Path, listed: str) -> None:
    digest = certificate(HOSPITAL).certificate.fingerprint(hashes.SHA256()).hex().upper()
    name = HOSPITAL if listed == "ura" else digest
    with directory(tmp_path, f'clients = ["{name}"]') as lrza:
        async with lrza.client(HOSPITAL) as hospital, lrza.client(PRACTICE) as practice:
            assert (await hospital.get("/fhir/Organization")).status_code == 200
            assert "not on the list" in said(await practice.get("/fhir/Organization"), 403)


async def test_a_certificate_that_is_of_nobody_known_reads_and_writes_nothing(tmp_path: Path) -> None:
    with directory(tmp_path) as lrza:
        (tmp_path / "lrza.toml").write_text("")
        async with lrza.client(VENDOR) as vendor:
            assert (await vendor.get("/fhir/Organization")).status_code == 200
    with_table = Directory(FACILITIES["lrza"].make(tmp_path, ADDRESS))
    async with with_table.client(VENDOR) as vendor:
        answer = await vendor.post("/fhir/Organization", json=organisation(HOSPITAL))
        assert "no party that is known" in said(answer, 403)


# -- how often -----------------------------------------------------------------------------------------------


async def test_too_many_requests_are_told_when_to_come_back(tmp_path: Path) -> None:
    with directory(tmp_path, "rate = 3\nrate_seconds = 60") as lrza:
        async with lrza.client(HOSPITAL) as hospital, lrza.client(PRACTICE) as practice:
            for _ in range(3):
                assert (await hospital.get("/fhir/Organization")).status_code == 200
            answer = await hospital.get("/fhir/Organization")
            assert "3 requests in 60 seconds" in said(answer, 429)
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert answer.json()["issue"][0]["code"] == "throttled"
            assert (await practice.get("/fhir/Organization")).status_code == 200


# -- tokens --------------------------------------------------------------------------------------------------

TOKENS = "[tokens]\nseconds = 300"
ALL = "system/Organization.crus system/Location.crus"


async def _token(client: httpx.AsyncClient, scope: str = ALL, **form: str) -> httpx.Response:
    return await client.post("/token", data={"grant_type": "client_credentials", "scope": scope, **form})


async def test_a_token_lets_its_holder_do_what_its_scopes_say(tmp_path: Path) -> None:
    with directory(tmp_path, TOKENS) as lrza:
        async with lrza.client(HOSPITAL) as hospital, lrza.client(PRACTICE) as practice:
            assert "token is needed" in said(await hospital.get("/fhir/Organization"), 401)
            given = await _token(hospital)
            assert given.json()["token_type"] == "Bearer" and given.json()["expires_in"] == 300
            bearer = {"Authorization": f"Bearer {given.json()['access_token']}"}
            assert "client certificate" in said(await practice.get("/fhir/Organization", headers=bearer), 401)
            hospital.headers.update(bearer)
            own = await created(hospital, organisation(HOSPITAL))
            assert (await hospital.get("/fhir/Organization/_history")).status_code == 200
            assert "system/Endpoint.s" in said(await hospital.get("/fhir/Endpoint"), 403)
            reading = (await _token(hospital, "system/*.rs")).json()["access_token"]
            hospital.headers["Authorization"] = f"Bearer {reading}"
            assert (await hospital.get("/fhir/Endpoint")).status_code == 200
            assert "system/Organization.u" in said(await put(hospital, own), 403)
            said(await hospital.post("/fhir/Location", json=location(to(own))), 403)


async def test_where_reading_is_open_writing_needs_a_token_all_the_same(tmp_path: Path) -> None:
    with directory(tmp_path, f"open_reading = true\n{TOKENS}") as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            assert (await hospital.get("/fhir/Organization")).status_code == 200
            own = organisation(HOSPITAL)
            assert "token is needed" in said(await hospital.post("/fhir/Organization", json=own), 401)
            entry = {"resource": own, "request": {"method": "POST", "url": "Organization"}}
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
            assert "token is needed" in said(await hospital.post("/fhir", json=bundle), 401)


async def test_a_token_that_is_wrong_or_old_is_refused(tmp_path: Path) -> None:
    with directory(tmp_path, TOKENS) as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            token = (await _token(hospital)).json()["access_token"]
            head, body, signature = token.split(".")
            forged = f"{head}.{body}.{signature[:-4]}AAAA"
            for wrong in (forged, "nonsense", ""):
                answer = await hospital.get(
                    "/fhir/Organization", headers={"Authorization": f"Bearer {wrong}"}
                )
                said(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
            right = {"Authorization": f"Bearer {token}"}
            assert (await hospital.get("/fhir/Organization", headers=right)).status_code == 200
            until = jwt.decode(token, ECKey.import_key(json.loads((tmp_path / "lrza.key.json").read_bytes())))
            with time_machine.travel(until.claims["exp"] + 60):
                said(await hospital.get("/fhir/Organization", headers=right), 401)


async def test_the_token_endpoint_answers_as_oauth_says(tmp_path: Path) -> None:
    with directory(tmp_path, TOKENS) as lrza:
        async with lrza.client(HOSPITAL) as hospital, lrza.client() as nobody:
            for answer, status, error in (
                (await _token(hospital, grant_type="password"), 400, "unsupported_grant_type"),
                (await _token(hospital, "Organization"), 400, "invalid_scope"),
                (await _token(hospital, ""), 400, "invalid_scope"),
                (await _token(hospital, "system/Patient.r"), 400, "invalid_scope"),
                (await _token(hospital, "system/*.crus"), 400, "invalid_scope"),
                (await _token(nobody), 401, "invalid_client"),
                (await hospital.post("/token", json={}), 400, "invalid_request"),
            ):
                assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize("wrong", ["", "iss", "aud", "act", "cnf", "exp"])
async def test_tokens_of_another_issuer_are_taken_for_the_holder_of_the_certificate(
    tmp_path: Path, wrong: str
) -> None:
    """As the ministry's token server makes them: the subject a URA, `act` the OIN of who asked."""
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    keys = {"issuer": "https://oauth.example", "keys": [key.as_dict(private=False)]}
    (tmp_path / "oauth.jwks.json").write_text(json.dumps(keys))
    claims: Resource = {
        "iss": "https://oauth.example",
        "aud": ADDRESS,
        "sub": HOSPITAL,
        "act": {"sub": "00000099900012340000", "cn": "supplier.example"},
        "scope": "system/Organization.rs",
        "exp": 4_000_000_000,
    }
    changed: dict[str, Resource] = {
        "iss": {"iss": "https://other.example"},
        "aud": {"aud": "https://other.example"},
        "act": {"act": {"sub": "00000099900099990000"}},
        "cnf": {"cnf": {"x5t#S256": "other"}},
        "exp": {"exp": 1_000_000_000},
    }
    claims |= changed.get(wrong, {})
    token = jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)
    with directory(tmp_path, '[tokens]\njwks = "oauth.jwks.json"') as lrza:
        async with lrza.client(VENDOR, Authorization=f"Bearer {token}") as vendor:
            answer = await vendor.get("/fhir/Organization")
            assert answer.status_code == (401 if wrong else 200), answer.text


# -- signatures ----------------------------------------------------------------------------------------------


def signature(resource: Resource, by: Issued, who: str, **changed: Any) -> Resource:
    """A Signature over a resource, as the page on signing has it."""
    plain = {name: value for name, value in resource.items() if name not in ("meta", "text")}
    chain = [base64.b64encode(by.der).decode()]
    header = {"alg": "ES256", "typ": "JOSE", "x5c": chain}
    registry = jws.JWSRegistry(algorithms=["ES256"])
    registry.max_header_length = 20_000
    key = ECKey.import_key(by.key_pem)
    whole = jws.serialize_compact(header, rfc8785.dumps(plain), key, ["ES256"], registry=registry)
    first, _, last = whole.split(".")
    return {
        "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
        "when": "2026-07-14T10:15:00Z",
        "who": {"identifier": {"system": "urn:oid:2.16.528.1.1007.3.3", "value": who}},
        "targetFormat": "application/fhir+json;canonicalization=http://hl7.org/fhir/canonicalization/json#static",
        "sigFormat": "application/jose",
        "data": base64.b64encode(f"{first}..{last}".encode()).decode(),
        **changed,
    }


def provenance(resource: Resource, *signatures: Resource) -> Resource:
    """A Provenance of a resource."""
    made = {
        "resourceType": "Provenance",
        "target": [to(resource)],
        "recorded": "2026-07-14T10:15:00Z",
        "agent": [{"who": {"identifier": {"system": URA, "value": HOSPITAL}}}],
    }
    return {**made, "signature": list(signatures)} if signatures else made


async def _given(client: httpx.AsyncClient) -> Resource:
    own = await created(client, organisation(HOSPITAL))
    narrative = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    return await created(client, mandate(to(own), text=narrative))


async def test_a_signature_over_a_resource_as_it_is_stored_is_taken(tmp_path: Path) -> None:
    with directory(tmp_path, "signed = true") as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            given = await _given(hospital)
            made = await created(
                hospital, provenance(given, signature(given, certificate(HOSPITAL), HOSPITAL))
            )
            found = (
                await hospital.get(f"/fhir/Provenance?target=OrganizationAffiliation/{given['id']}")
            ).json()
            assert [one["resource"] for one in found["entry"]] == [made]
            assert (await hospital.get("/fhir/Provenance/_history")).json()["total"] == 1
            assert "never changed" in said(await put(hospital, made), 405)
            after = await updated(hospital, {**given, "active": False})
            old = provenance(given, signature(given, certificate(HOSPITAL), HOSPITAL))
            assert "as it is stored" in said(await hospital.post("/fhir/Provenance", json=old), 422)
            old["target"] = [{"reference": f"{to(after)['reference']}/_history/1"}]
            await created(hospital, old)


async def test_a_signature_may_name_its_ura_as_an_oid(tmp_path: Path) -> None:
    uri = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(f"urn:oid:2.16.528.1.1007.3.3.{HOSPITAL}")]
    )
    signer = ROOT.issue("signer", further=[(uri, False)])
    with directory(tmp_path) as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            given = await _given(hospital)
            await created(hospital, provenance(given, signature(given, signer, HOSPITAL)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("resource", "as it is stored"),
        ("anchor", "no authority that is trusted"),
        ("who", "who.identifier"),
        ("type", "type must be"),
        ("sigFormat", "sigFormat must be"),
        ("targetFormat", "targetFormat must be"),
        ("data", "no JWS"),
        ("attached", "detached"),
    ],
)
async def test_a_signature_needs_each_of_its_parts(tmp_path: Path, wrong: str, message: str) -> None:
    strange = Authority.new("Root of nobody here").issue(
        "x", uzi=f"2.16.528.1.1007.99.2110-1-990000001-S-{HOSPITAL}-00.000-00000000"
    )
    with directory(tmp_path) as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            given = await _given(hospital)
            over = {**given, "active": False} if wrong == "resource" else given
            by = strange if wrong == "anchor" else certificate(HOSPITAL)
            one = signature(over, by, PRACTICE if wrong == "who" else HOSPITAL)
            changed: Resource = {
                "type": {"type": [{"system": "urn:x", "code": "y"}]},
                "sigFormat": {"sigFormat": "application/xml"},
                "targetFormat": {"targetFormat": "application/fhir+json"},
                "data": {"data": "AAAA"},
                "attached": {"data": base64.b64encode(b"YQ.YQ.YQ").decode()},
            }
            one |= changed.get(wrong, {})
            answer = await hospital.post("/fhir/Provenance", json=provenance(given, one))
            assert message in said(answer, 422)


async def test_who_signs_must_be_one_who_may_write(tmp_path: Path) -> None:
    with directory(tmp_path) as lrza:
        async with lrza.client(HOSPITAL) as hospital, lrza.client(PRACTICE) as practice:
            given = await _given(hospital)
            other = provenance(given, signature(given, certificate(PRACTICE), PRACTICE))
            assert f"URA {PRACTICE}" in said(await hospital.post("/fhir/Provenance", json=other), 403)
            right = provenance(given, signature(given, certificate(HOSPITAL), HOSPITAL))
            said(await practice.post("/fhir/Provenance", json=right), 403)


async def test_a_provenance_needs_a_signature_only_where_the_directory_says_so(tmp_path: Path) -> None:
    with directory(tmp_path) as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            given = await _given(hospital)
            await created(hospital, provenance(given))
    (tmp_path / "lrza.sqlite").unlink()
    with directory(tmp_path, "signed = true") as lrza:
        async with lrza.client(HOSPITAL) as hospital:
            given = await _given(hospital)
            assert "required" in said(await hospital.post("/fhir/Provenance", json=provenance(given)), 422)


# -- as a program --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("open_reading", [False, True])
async def test_over_tls_a_certificate_is_asked_for_unless_reading_is_open(
    tmp_path: Path, open_reading: bool
) -> None:
    (tmp_path / "lrza.toml").write_text(f"open_reading = {str(open_reading).lower()}")
    [first] = free_ports(1)
    made = facilities(tmp_path, "127.0.0.1", first - list(FACILITIES).index("lrza"), "lrza")
    anchors = ssl.create_default_context(cafile=str(tmp_path / "uzi-ca" / "anchors.pem"))
    async with (
        serving("127.0.0.1", made),
        httpx.AsyncClient(base_url=f"https://127.0.0.1:{first}", verify=anchors, trust_env=False) as client,
    ):
        if open_reading:
            assert (await client.get("/fhir/Organization")).json()["total"] == 0
            said(await client.post("/fhir/Organization", json=organisation(HOSPITAL)), 401)
        else:
            with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
                await client.get("/fhir/Organization")


async def test_a_nation_has_it_for_nodes_with_certificates_of_its_authority(tmp_path: Path) -> None:
    async with nation(tmp_path) as country:
        await country.start("lrza")
        for _ in range(2):
            tls = ssl.create_default_context(cafile=str(country.anchors))
            tls.load_cert_chain(*country.requester.certificate.pair)
            base = country.referral("lrza")
            async with httpx.AsyncClient(base_url=base, verify=tls, trust_env=False) as client:
                found = (await client.get(f"/fhir/Organization?identifier={REQUESTER}")).json()
                if not found["total"]:
                    made = await created(client, organisation(REQUESTER))
            assert found["link"][0]["url"].startswith(f"{base}/fhir/")
            await country.stop("lrza")
            await country.start("lrza")
        assert found["entry"][0]["resource"] == made
