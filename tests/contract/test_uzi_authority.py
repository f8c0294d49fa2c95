"""The stand-in of the certificate authority: what it issues is taken by what reads the real ones."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from tests.certificates import Key, new_key
from tests.nodes import free_ports

from schakel.generic.identity.certificates import (
    TEST_AUTHORITIES,
    CertificateRefused,
    Mode,
    Revocation,
    RevocationRules,
    RevocationUnknown,
    Trust,
    Use,
    Verified,
)
from schakel_national import uzi_ca
from schakel_national.serving import Facility, serving

REGISTER: dict[str, Any] = {
    "kind": "uzi-server",
    "ura": "90000382",
    "uzi": "900025039",
    "organisation": "Kliniek Oost",
    "locality": "Zwolle",
    "hosts": ["kliniek.example", "127.0.0.1"],
}


def request(key: Key | None = None) -> str:
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key or new_key(), hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


@dataclass
class Ca:
    """The running stand-in."""

    address: str
    folder: Path
    client: httpx.AsyncClient

    async def issue(self, key: Key | None = None, **changes: object) -> dict[str, str]:
        answer = await self.client.post("/certificates", json={**REGISTER, "csr": request(key), **changes})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def verify(self, made: dict[str, str], use: Use = Use.CLIENT) -> Verified:
        trust = Trust.read([self.folder / "uzi-ca" / "anchors.pem"], TEST_AUTHORITIES)
        return trust.verify(x509.load_pem_x509_certificates(made["chain"].encode()), use=use)

    async def check(self, found: Verified, mode: Mode) -> None:
        async with Revocation.open(RevocationRules(mode, sources=(self.address,))) as revocation:
            await revocation.check(found)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ca(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ca]:
    tmp_path = tmp_path_factory.mktemp("ca")
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    facility = Facility(uzi_ca.NAME, uzi_ca.application(tmp_path, address), port)
    async with (
        serving("127.0.0.1", [facility]),
        httpx.AsyncClient(base_url=address) as client,
    ):
        yield Ca(address, tmp_path, client)


MODES = [Mode.CRL, Mode.OCSP]


async def test_a_server_certificate_of_the_register_says_what_was_registered(ca: Ca) -> None:
    key = new_key(2048)
    made = await ca.issue(key)
    found = ca.verify(made)
    assert str(found.server()) == "2.16.528.1.1007.99.2110-1-900025039-S-90000382-00.000-00000000"
    assert found.certificate.public_key() == key.public_key()
    assert found.subject["O"] == ("Kliniek Oost",) and found.subject["L"] == ("Zwolle",)
    assert found.hosts == {"kliniek.example"} and len(found.chain) == 3
    assert ca.verify(made, Use.SERVER) and ca.verify(made, Use.SIGNATURE)
    assert str(found.certificate.serial_number) == made["serial"]


async def test_a_server_certificate_of_the_other_kind_has_a_number_and_no_uzi(ca: Ca) -> None:
    found = ca.verify(await ca.issue(kind="server", ura="", uzi="", number="00000001234567890000"))
    assert found.uzi is None and found.subject["serialNumber"] == ("00000001234567890000",)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["uzi-server", "server"])
async def test_a_certificate_counts_until_it_is_withdrawn(ca: Ca, kind: str, mode: Mode) -> None:
    made, other = await ca.issue(kind=kind), await ca.issue(kind=kind)
    found = ca.verify(made)
    await ca.check(found, mode)
    told = {"serial": made["serial"], "reason": "keyCompromise"}
    assert (await ca.client.post("/revocations", json=told)).status_code == 204
    with pytest.raises(CertificateRefused) as refused:
        await ca.check(found, mode)
    assert refused.value.kind == "certificate-revoked"
    await ca.check(ca.verify(other), mode)


async def test_the_responder_does_not_know_what_was_not_issued_here(ca: Ca) -> None:
    found = ca.verify(await ca.issue())
    register = ca.folder / "uzi-ca" / "register.json"
    kept = json.loads(register.read_text())
    kept["issued"]["uzi-server"] = {}
    register.write_text(json.dumps(kept))
    [port] = free_ports(1)
    again = uzi_ca.application(ca.folder, ca.address)
    async with serving("127.0.0.1", [Facility(uzi_ca.NAME, again, port)]):
        rules = RevocationRules(Mode.OCSP, responders=(f"http://127.0.0.1:{port}/ocsp",))
        async with Revocation.open(rules) as revocation:
            with pytest.raises(RevocationUnknown) as unknown:
                await revocation.check(found)
    assert "does not know the certificate" in unknown.value.why


async def test_a_question_in_the_address_gets_the_same_answer(ca: Ca) -> None:
    found = ca.verify(await ca.issue())
    leaf, issuer = found.chain[:2]
    asked = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build()
    text = base64.b64encode(asked.public_bytes(Encoding.DER)).decode()
    answer = await ca.client.get("/ocsp/" + text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"))
    said = ocsp.load_der_ocsp_response(answer.content)
    assert answer.headers["content-type"] == "application/ocsp-response"
    assert said.certificate_status is ocsp.OCSPCertStatus.GOOD and said.serial_number == leaf.serial_number
    for wrong in ("AAAA", "%21"):
        refused = ocsp.load_der_ocsp_response((await ca.client.get(f"/ocsp/{wrong}")).content)
        assert refused.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


async def test_keys_register_and_what_was_issued_survive_a_restart(ca: Ca) -> None:
    kept, withdrawn = ca.verify(await ca.issue()), await ca.issue()
    await ca.client.post("/revocations", json={"serial": withdrawn["serial"]})
    [port] = free_ports(1)
    again = uzi_ca.application(ca.folder, ca.address)
    async with (
        serving("127.0.0.1", [Facility(uzi_ca.NAME, again, port)]),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for name in ("root", "uzi-server", "server"):
            path = f"/ca/{name}.cer"
            assert (await client.get(path)).content == (await ca.client.get(path)).content
        listed = x509.load_der_x509_crl((await client.get("/crl/uzi-server.crl")).content)
    assert listed.get_revoked_certificate_by_serial_number(int(withdrawn["serial"])) is not None
    assert listed.get_revoked_certificate_by_serial_number(kept.certificate.serial_number) is None
    assert listed.is_signature_valid(kept.chain[1].public_key())  # type: ignore[arg-type]


async def test_each_list_has_a_higher_number_than_the_one_before(ca: Ca) -> None:
    numbers = []
    for _ in range(3):
        found = x509.load_der_x509_crl((await ca.client.get("/crl/root.crl")).content)
        numbers.append(found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    assert numbers[0] < numbers[1] < numbers[2]


def stolen() -> str:
    """A request in which somebody else's key was put."""
    text = "".join(request().splitlines()[1:-1])
    der = bytearray(base64.b64decode(text))
    der[-1] ^= 1
    body = base64.encodebytes(bytes(der)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"csr": "no request"}, "not a PKCS#10 request"),
        ({"csr": stolen()}, "not signed with the key"),
        ({"csr": request(new_key(1024))}, "RSA key of 2048 bits"),
        ({"kind": "card"}, "kind must be"),
        ({"ura": "9000038"}, "ura must be 8 digits"),
        ({"uzi": "x"}, "uzi 9"),
        ({"organisation": ""}, "organisation is missing"),
        ({"organisation": ["x"]}, "organisation must be text"),
        ({"hosts": "kliniek.example"}, "hosts must be a list"),
        ({"seconds": 0}, "seconds must be"),
    ],
)
async def test_a_request_that_is_not_right_is_refused_by_name(
    ca: Ca, changes: dict[str, object], why: str
) -> None:
    answer = await ca.client.post("/certificates", json={**REGISTER, "csr": request(), **changes})
    assert answer.status_code == 400 and why in answer.json()["error"]


async def test_what_is_not_there_is_not_found(ca: Ca) -> None:
    assert (await ca.client.get("/crl/other.crl")).status_code == 404
    assert (await ca.client.get("/ca/other.cer")).status_code == 404
    assert (await ca.client.post("/revocations", json={"serial": "1"})).status_code == 404
    for wrong in ({}, {"serial": "x"}, {"serial": "1", "reason": "because"}, [1]):
        assert (await ca.client.post("/revocations", json=wrong)).status_code == 400
    assert (await ca.client.get("/health/ready")).text == "ready"
