"""The national facilities as stand-ins, each behind a middleman, and an organisation with credentials of them.

    async with nation(folder) as country:
        async with running_node(make_database, ("a",), **country.settings()) as node:
            headers = await country.requester.bearer(f"{node['a'].front_root}/a")
            country.mitz.behave = slow()

The stand-ins run as they do in a demo, with an authority, an issuer, Dezi and Mitz of their own; every address that a
node has of them is that of a middleman. The requester is a GP whose DID document lies on a host of its own, and whose
professional logged in at Dezi.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.certificates import Files, new_key
from tests.fault.processes import toml
from tests.middleman import Behaviour, Middleman, middleman, passes, says
from tests.nodes import free_ports

from schakel.generic.identity import new_key as new_signing_key
from schakel.generic.identity.credentials import Definition, Presentation, Wallet, make_x509_credential
from schakel.generic.identity.credentials.wallet import dezi_credential
from schakel.generic.identity.keys import read_key
from schakel.kernel.clock import new_id
from schakel_national import credential_issuer, dezi, lrza, minvws, mitz, nvi, prs, uzi_ca
from schakel_national.serving import Facility, Tls, serving
from schakel_national.uzi_ca import server_tls

HOLDER, REQUESTER = "90000001", "90000055"
"""URAs: the first organisation of a running node, and who asks it."""

OPERATOR, INDEX = "00000099000000010000", "00000099000000001000"
"""OINs: the operator of a node, and the NVI."""

ALLOWS, REFUSES, ALSO_ALLOWS = "999911120", "999990019", "999229588"
"""Patients (BSN): two let GPs have what is kept at hospitals, one does not."""

TYPE = "HealthcareProviderRoleTypeCredential"
SECONDS = 2.5
"""How long a node of these tests waits for a facility."""

REFERRAL_SCOPE = "nationale-verwijsindex"
"""The scope of the pseudonyms that the NVI has."""

_REFERRALS = ("minvws-oauth", "prs", "nvi")
_DIRECT = (*_REFERRALS, "lrza")
"""Those that nobody stands before: they keep their port."""

_BACK = "https://gp.example/callback"
_VERIFIER = "a-verifier-of-at-least-forty-three-characters-x"


@dataclass
class Nation:
    """See the module. The middlemen are `authority`, `issuer`, `dezi`, `mitz` and `home` (of the requester's DID), and
    that before the LRZa when a test sets `central`, whose address is then the one that the LRZa gives as its own."""

    folder: Path
    authority: Middleman
    issuer: Middleman
    dezi: Middleman
    home: Middleman
    ports: dict[str, int] = field(default_factory=dict)
    _stacks: dict[str, AsyncExitStack] = field(default_factory=dict)
    _mitz: Middleman | None = None
    _requester: Requester | None = None
    _operator: Files | None = None
    central: Middleman | None = None

    @property
    def mitz(self) -> Middleman:
        """The middleman before Mitz."""
        assert self._mitz is not None
        return self._mitz

    @property
    def requester(self) -> Requester:
        """Who asks."""
        assert self._requester is not None
        return self._requester

    @property
    def operator(self) -> Files:
        """The certificate of a node: of its back listener, and with which it asks Mitz."""
        assert self._operator is not None
        return self._operator

    @property
    def anchors(self) -> Path:
        """The root of the authority."""
        return self.folder / "uzi-ca" / "anchors.pem"

    @property
    def issuer_did(self) -> str:
        """The issuer of credentials."""
        return f"did:web:localhost%3A{self.issuer.port}"

    @property
    def middlemen(self) -> tuple[Middleman, ...]:
        """All of them."""
        return self.authority, self.issuer, self.dezi, self.home, self.mitz

    def settings(self, **changed: Any) -> dict[str, Any]:
        """Settings of a node that uses all facilities; a mapping in `changed` is laid over the section of its name."""
        operator = {"certificate": str(self.operator.certificate), "key": str(self.operator.key)}
        made: dict[str, Any] = {
            "back": {**operator, "client_ca": [str(self.anchors)], "verdict_seconds": 0},
            "certificates": {
                "uzi": "test",
                "sources": [self.at(self.authority)],
                "keep_seconds": 0,
                "pause_seconds": 0,
                "timeout": SECONDS,
            },
            "trust": {
                "uzi": [str(self.anchors)],
                "issuers": {TYPE: [self.issuer_did]},
                "http_on_loopback": True,
                "did_seconds": 0,
                "did_timeout": SECONDS,
            },
            "dezi": {"issuer": self.at(self.dezi), "seconds": SECONDS},
            "mitz": {
                "base": self.at(self.mitz),
                **operator,
                "ca": [str(self.anchors)],
                "seconds": SECONDS,
                "gateway_system": "2.16.840.1.113883.2.4.6.6.1",
                "source_system": "2.16.840.1.113883.2.4.6.6.90000017",
                "notify_thumbprints": [_thumbprint(self.folder / "uzi-ca" / "tls-mitz.pem")],
            },
        }
        for name, value in changed.items():
            made[name] = {**made.get(name, {}), **value} if isinstance(value, Mapping) else value
        return made

    async def start(self, name: str) -> None:
        """Starts one of the facilities, as it was left."""
        make: Mapping[str, Callable[[Path, str], Any]] = {
            "uzi-ca": uzi_ca.application,
            "credential-issuer": credential_issuer.application,
            "dezi": dezi.application,
            "mitz": mitz.application,
            "mitz-page": mitz.page_application,
            "minvws-oauth": minvws.application,
            "prs": prs.application,
            "nvi": nvi.application,
            "lrza": lrza.application,
        }
        before = self._before(name)
        port = self.ports[name] if name in _DIRECT and name in self.ports else free_ports(1)[0]
        self.ports[name] = port
        app = make[name](self.folder, self.at(before) if before else self.referral(name))
        tls = self._tls(name) if name in ("mitz", *_DIRECT) else None
        stack = AsyncExitStack()
        await stack.enter_async_context(serving("127.0.0.1", [Facility(name, app, port, tls)]))
        self._stacks[name] = stack
        if before:
            before.target = f"{'https' if tls else 'http'}://127.0.0.1:{port}"

    def _before(self, name: str) -> Middleman | None:
        between = {"uzi-ca": self.authority, "credential-issuer": self.issuer, "dezi": self.dezi}
        return {"mitz": self._mitz, "lrza": self.central}.get(name) or between.get(name)

    def at(self, between: Middleman) -> str:
        """The address of a middleman."""
        return f"{'https' if between.served else 'http'}://127.0.0.1:{between.port}"

    async def stop(self, name: str) -> None:
        """Stops it."""
        await self._stacks.pop(name).aclose()

    async def close(self) -> None:
        """Stops all."""
        for name in list(self._stacks):
            await self.stop(name)

    def heal(self) -> None:
        """Every middleman passes on what is said again."""
        for one in self.middlemen:
            one.behave = self.requester.published if one is self.home else passes
            one.paths.clear()
            one.asked = 0

    async def certificate(self, name: str, **members: Any) -> tuple[Files, str]:
        """A new certificate of the authority in files `name`, and its serial number."""
        key = new_key()
        asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        pem = asked.public_bytes(serialization.Encoding.PEM).decode()
        body = {"csr": pem, "hosts": ["127.0.0.1", "localhost"], **members}
        said = await self.told("uzi-ca", "certificates", body)
        files = Files(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        files.certificate.write_text(said["chain"] + said["anchor"])
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files, said["serial"]

    async def told(self, name: str, path: str, body: Mapping[str, Any]) -> Any:
        """What a facility itself answers to JSON: nobody stands between."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"http://127.0.0.1:{self.ports[name]}/{path}", json=body)
        assert answer.status_code in (201, 204), answer.text
        return answer.json() if answer.content else None

    async def choose(self, patient: str, allowed: bool) -> None:
        """The patient says on the page of Mitz whether GPs may have what is kept at hospitals."""
        base = f"http://127.0.0.1:{self.ports['mitz-page']}"
        async with httpx.AsyncClient(base_url=base, trust_env=False, follow_redirects=True) as browser:
            page = await browser.post("/login", data={"bsn": patient})
            secret = re.search('name="secret" value="([^"]+)"', page.text)
            assert secret is not None, page.text
            word = "yes" if allowed else "no"
            saved = await browser.post("/choices", data={"secret": secret[1], "GGC002-RPZAC001": word})
            assert 'role="status"' in saved.text

    async def refer(self, also: Mapping[str, str] | None = None, seconds: int = 300) -> None:
        """Starts the token server, whose tokens last so many seconds, the PRS and the NVI, for the operator's
        certificate and the organisation HOLDER; `also` are further organisations (URA) and the OIN of the operator of
        each. Their addresses are those of `referral`; nobody stands between."""
        self.ports |= dict(zip(_REFERRALS, free_ports(len(_REFERRALS)), strict=True))
        told = self._registered({HOLDER: OPERATOR, **(also or {})})
        (self.folder / "minvws-oauth.toml").write_text(toml({"seconds": seconds, **told}))
        (self.folder / "prs.toml").write_text(_prs_toml())
        (self.folder / "nvi.toml").write_text(toml({"recipient": f"oin:{INDEX}", "scope": REFERRAL_SCOPE}))
        for name in _REFERRALS:
            await self.start(name)

    def referral(self, name: str) -> str:
        """The address of a facility that nobody stands before; '' of another."""
        return f"https://127.0.0.1:{self.ports[name]}" if name in _DIRECT else ""

    def _registered(self, operators: Mapping[str, str]) -> dict[str, Any]:
        index = ["nvi:create", "nvi:read", "nvi:delete", "nvi:localize"]
        targets = [
            {"audience": self.referral("nvi"), "subject": "ura", "scopes": index},
            {"audience": self.referral("prs"), "subject": "oin", "scopes": ["prs:read"]},
        ]
        clients: dict[str, list[dict[str, Any]]] = {}
        for ura, oin in operators.items():
            name = "Organisation a" if ura == HOLDER else f"Organisation {ura}"
            organisation = {"ura": ura, "name": name, "source_id": "node", "scopes": [*index, "prs:read"]}
            clients.setdefault(oin, []).append(organisation)
        told = [
            {"oin": oin, "common_name": "127.0.0.1", "organisations": organisations}
            for oin, organisations in clients.items()
        ]
        return {"targets": targets, "clients": told}

    def _tls(self, name: str) -> Tls:
        hosts = ("localhost", "127.0.0.1")
        return server_tls(self.folder, self.at(self.authority), name, hosts, clients=True)

    async def furnish(self, stack: AsyncExitStack) -> None:
        """Certificates, credentials, Mitz, and who asks."""
        operator, _ = await self.certificate(
            "operator", kind="server", organisation="Operator", number=OPERATOR
        )
        self._operator = operator
        tls = self._tls("mitz")
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(tls.certificate, tls.key)
        served.load_verify_locations(self.anchors)
        served.verify_mode = ssl.CERT_REQUIRED
        asking = ssl.create_default_context(cafile=str(self.anchors))
        asking.load_cert_chain(*operator.pair)
        self._mitz = await stack.enter_async_context(middleman(served, asking))
        (self.folder / "mitz.toml").write_text(_mitz_toml())
        await self.start("mitz")
        await self.start("mitz-page")
        self._requester = await Requester.made(self)
        self.heal()


@dataclass
class Requester:
    """A GP: its certificate, its credentials, the DID document on its own host, and a professional."""

    country: Nation
    certificate: Files
    serial: str
    credential: str
    statement: str
    wallet: Wallet

    @classmethod
    async def made(cls, country: Nation) -> Requester:
        """The requester, with all it needs from the facilities."""
        did = f"did:web:127.0.0.1%3A{country.home.port}:gp"
        files, serial = await country.certificate(
            "gp",
            kind="uzi-server",
            organisation="Huisartsen Oost",
            locality="Zwolle",
            ura=REQUESTER,
            uzi="990100055",
        )
        given = await country.told(
            "credential-issuer", "credentials", {"type": TYPE, "subject": did, "roleCodeNL": "Z3"}
        )
        (country.folder / "gp.jwk").write_bytes(orjson.dumps(new_signing_key()))
        chain = x509.load_pem_x509_certificates(files.certificate.read_bytes())
        private = serialization.load_pem_private_key(files.key.read_bytes(), None)
        own = make_x509_credential(private, chain, did)  # type: ignore[arg-type] # EC, as made above
        statement = await logged_in(country)
        wallet = Wallet(did, read_key(country.folder / "gp.jwk"), [own, given["credential"]])
        return cls(country, files, serial, given["id"], statement, wallet)

    @property
    def published(self) -> Behaviour:
        """What its host answers: the DID document."""
        return says(orjson.dumps(self.wallet.document()), "application/did+json")

    async def presentation(self, client: httpx.AsyncClient, issuer: str, seconds: int = 5) -> Presentation:
        """What it presents to the authorisation server `issuer` for the scope bgz."""
        told = await client.get(f"{issuer}/oauth2/presentation_definition", params={"scope": "bgz"})
        beside = [dezi_credential(self.statement, self.wallet.did)]
        definition = Definition.read(told.json())
        return self.wallet.present(definition, audience=issuer, seconds=seconds, beside=beside)

    async def asks(self, issuer: str) -> httpx.Response:
        """What the token endpoint of `issuer` says to a new presentation."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            made = await self.presentation(client, issuer)
            form = {
                "grant_type": "vp_token-bearer",
                "scope": "bgz",
                "client_id": "https://gp.example",
                "assertion": made.assertion,
                "presentation_submission": orjson.dumps(made.submission).decode(),
            }
            return await client.post(f"{issuer}/oauth2/token", data=form)

    async def bearer(self, issuer: str) -> dict[str, str]:
        """The header with a new token of `issuer`."""
        answer = await self.asks(issuer)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@asynccontextmanager
async def nation(folder: Path) -> AsyncIterator[Nation]:
    """The facilities, with what they keep in `folder`, which is there."""
    (folder / "credential-issuer.toml").write_text("tls = false\n")
    (folder / "dezi.toml").write_text(_dezi_toml())
    async with AsyncExitStack() as stack:
        authority, issuer, login, home = [await stack.enter_async_context(middleman()) for _ in range(4)]
        made = Nation(folder, authority, issuer, login, home)
        stack.push_async_callback(made.close)
        for name in ("uzi-ca", "credential-issuer", "dezi"):
            await made.start(name)
        await made.furnish(stack)
        yield made


# -- what the facilities are told ----------------------------------------------------------------------------


def _dezi_toml() -> str:
    """Who may log in, and at which client. The client's key seals nothing: userinfo is only signed here."""
    public = RSAKey.generate_key(2048).as_dict(private=False)
    client = {
        "id": "node",
        "redirect_uris": [_BACK],
        "key": {name: public[name] for name in ("kty", "n", "e")},
    }
    doctor = {
        "number": "900000008",
        "initials": "J.",
        "surname": "Jansen",
        "role": "01.015",
        "role_name": "Huisarts",
        "organisations": [{"ura": REQUESTER, "name": "Huisartsen Oost"}],
    }
    return toml({"form": "jws", "clients": [client], "professionals": [doctor]})


def _prs_toml() -> str:
    keys = [{"scopes": [REFERRAL_SCOPE], "key_id": "nvi-key-1", "of": "nvi"}]
    return toml({"organisations": [{"oin": INDEX, "usage": "bsn", "keys": keys}]})


def _mitz_toml() -> str:
    choices = [
        {"patient": patient, "holder": "GGC002", "requester": "RPZAC001", "allowed": allowed}
        for patient, allowed in ((ALLOWS, True), (REFUSES, False), (ALSO_ALLOWS, True))
    ]
    return toml(
        {
            "endpoints": ["https://127.0.0.1:"],
            "providers": [{"ura": HOLDER, "name": "Organisation a", "type": "V6"}],
            "choices": choices,
            "notify": {
                "certificate": "uzi-ca/tls-mitz.pem",
                "key": "uzi-ca/tls-mitz.key",
                "trusted": "uzi-ca/anchors.pem",
            },
        }
    )


async def logged_in(country: Nation) -> str:
    """The statement of Dezi about the professional of the requester, after a login there."""
    challenge = urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": "node",
        "redirect_uri": _BACK,
        "scope": "openid",
        "state": "s",
        "nonce": new_id(),
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    base = f"http://127.0.0.1:{country.ports['dezi']}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as browser:
        code = await _chosen(browser, f"/authorize?{'&'.join(f'{n}={quote(v)}' for n, v in asked.items())}")
        form = {
            "grant_type": "authorization_code",
            "code": code["code"],
            "client_id": "node",
            "redirect_uri": _BACK,
            "code_verifier": _VERIFIER,
        }
        token = (await browser.post("/token", data=form)).json()["access_token"]
        said = await browser.get("/userinfo", headers={"Authorization": f"Bearer {token}"})
    key = RSAKey.import_key(orjson.loads((country.folder / "dezi.key.json").read_bytes()))
    return str(jwt.decode(said.text, key, ["RS256"]).claims["verklaring"])


async def _chosen(browser: httpx.AsyncClient, address: str) -> dict[str, str]:
    """What Dezi sends back with, when the professional logs in on the page at `address`."""
    page = await browser.get(address)
    waiting = re.search('name="waiting" value="([^"]+)"', page.text)
    assert waiting is not None, page.text
    form = {"waiting": waiting[1], "who": f"900000008 {REQUESTER}", "action": "login"}
    back = await browser.post(str(page.url.join("/login")), data=form)
    query = parse_qs(urlsplit(back.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


def _thumbprint(pem: Path) -> str:
    [certificate, *_] = x509.load_pem_x509_certificates(pem.read_bytes())
    return urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
