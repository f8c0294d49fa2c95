"""A small pseudonym service for tests, and the recordings of the real NVI replayed at the stand-in.

The recordings say `{{token patient1.3}}` where the run had a token; here each gets one of this service, sealed for the
stand-in's own key. Ids are bound the first time that a recorded answer and ours have one at the same place.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from joserfc import jwe, jwt
from joserfc.jwk import RSAKey
from starlette.types import ASGIApp
from tests.certificates import Authority
from tests.minvws import CN, OIN, asking, client_certificate, showing

from schakel.kernel import ristretto
from schakel.kernel.clock import now
from schakel_national import configuration, nvi
from schakel_national.nvi.routes import Told, behind

AT, ISSUER = "https://nvi.example.org", "https://oauth.example.org"
RECIPIENT, SCOPE = "oin:00000099000000001000", "nationale-verwijsindex"
_K = bytes.fromhex("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e")
_ALGORITHMS = ["RSA-OAEP", "RSA-OAEP-256", "A256GCM"]
_MADE_AT = 1_795_298_546
"""When the tokens of the recordings were made."""

BROKEN_TOKEN = urlsafe_b64encode(b'{"evaluated_output": "a.b.c.d.e", "blind_factor": "AAAA"}').decode()


def b64(data: bytes) -> str:
    """Base64url with padding."""
    return urlsafe_b64encode(data).decode()


@dataclass(frozen=True)
class Evaluated:
    """What a client has after one evaluation."""

    jwe: str
    blind_factor: str

    @property
    def token(self) -> str:
        """What stands in an identifier."""
        made = {"evaluated_output": self.jwe, "blind_factor": self.blind_factor}
        return b64(orjson.dumps(made)).rstrip("=")


@dataclass(frozen=True)
class SmallPrs:
    """Evaluates for the holder of `key`."""

    key: RSAKey
    algorithm: str = "RSA-OAEP"

    def evaluated(self, patient: str, **claims: Any) -> Evaluated:
        """A new token of a patient, whose JWE says `claims` beside or instead of what it should."""
        point = ristretto.point_from(hashlib.sha512(patient.encode()).digest())
        factor = ristretto.random_scalar()
        blinded = ristretto.multiplied(point, factor)
        return Evaluated(self.sealed(ristretto.multiplied(blinded, _K), **claims), b64(factor))

    def sealed(self, output: bytes, **claims: Any) -> str:
        """The JWE about an evaluated point."""
        moment = int(now().timestamp())
        payload = {
            "subject": f"pseudonym:eval:{b64(output)}",
            "aud": RECIPIENT,
            "scope": SCOPE,
            "version": "1.1",
            "iat": moment,
            "exp": moment + 300,
            "extra_versions": {},
            **claims,
        }
        header = {"alg": self.algorithm, "enc": "A256GCM", "kid": "nvi-key-1", "cty": "application/json"}
        return jwe.encrypt_compact(header, orjson.dumps(payload), self.key, algorithms=_ALGORITHMS)


def gateway(ura: str = "90000111", scopes: str = "", source: str = "ehr-a-1") -> dict[str, str]:
    """The headers that the verifier adds."""
    headers = {
        "x-gf-cert-type": "OIN",
        "x-gf-audience": AT,
        "x-gf-scope": scopes or "nvi:create nvi:read nvi:delete nvi:localize",
        "x-gf-sub": ura,
        "x-gf-act-sub": OIN,
        "x-gf-act-cn": CN,
        "x-gf-organization-name": "Voorbeeldziekenhuis A",
    }
    return {**headers, "x-gf-source-id": source} if source else headers


def registration(token: str, ura: str = "90000111", source: str = "urn:uuid:1") -> dict[str, Any]:
    """A List as a client sends it."""
    vws = "http://minvws.github.io/generiekefuncties-docs"
    custodian = {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": ura}}
    return {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "extension": [
            {
                "url": f"{vws}/StructureDefinition/nl-gf-localization-custodian",
                "valueReference": custodian,
            }
        ],
        "subject": {"identifier": {"system": f"{vws}/NamingSystem/nvi-identifier", "value": token}},
        "source": {"type": "Device", "identifier": {"system": "urn:ietf:rfc:3986", "value": source}},
        "emptyReason": {"coding": [{"code": "withheld"}]},
    }


@dataclass
class Replay:
    """The stand-in in `folder`, asked what the recordings ask."""

    folder: Path
    prs: SmallPrs = field(init=False)
    _ids: dict[str, str] = field(default_factory=dict)
    _tokens: dict[str, Evaluated] = field(default_factory=dict)
    _authority: Authority = field(default_factory=lambda: Authority.new("Test Root"))
    _key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "oauth-test-1"}))
    _inside: dict[str, ASGIApp] = field(default_factory=dict)
    _fillers: int = 0

    def __post_init__(self) -> None:
        public = self._key.as_dict(private=False)
        (self.folder / "keys.json").write_bytes(orjson.dumps({"keys": [public]}))
        verifier = f'[verifier]\naudience = "{AT}"\nissuer = "{ISSUER}"\njwks = "keys.json"\n'
        (self.folder / "nvi.toml").write_text(verifier)
        self._verified = nvi.application(self.folder, "https://127.0.0.1:8419")
        self.prs = SmallPrs(configuration.own_key(self.folder, "nvi"))

    def inside(self, state: str = "ok") -> ASGIApp:
        """The stand-in without its verifier, with its crypto service in that state."""
        if state not in self._inside:
            self._inside[state] = behind(self.folder, AT, Told({"crypto": state}))
        return self._inside[state]

    async def ask(self, case: Mapping[str, Any], state: str = "ok") -> httpx.Response:
        """Our answer to what the recording asks."""
        request = case["request"]
        headers = {**request["headers"]}
        given = {**(request.get("gateway_headers") or {})}
        if case["name"].startswith("chain-"):
            given = {name: headers.pop(name) for name in ("x-gf-act-sub", "x-gf-act-cn")}
        if case["name"].startswith(("gateway-", "chain-")):
            pem = None
            if given:
                pem = client_certificate(self._authority, given["x-gf-act-sub"], given["x-gf-act-cn"]).pem
            app = showing(self._verified, pem)
            headers = {n: v.replace("{{access_token}}", self._access(case)) for n, v in headers.items()}
        else:
            app = self.inside(state)
            headers |= given
        body = request["body"]
        content = None if body is None else body if isinstance(body, str) else orjson.dumps(body).decode()
        if content is not None:
            content = self.filled(content)
        path = self.filled(request["path"], quoted=True)
        async with asking(app, AT) as client:
            return await client.request(request["method"], path, headers=headers, content=content)

    def _access(self, case: Mapping[str, Any]) -> str:
        """The access token that the recording had, made now."""
        claims = case.get("token_claims") or {
            "iss": ISSUER,
            "aud": AT,
            "sub": "90000111",
            "scope": "nvi:create nvi:localize",
            "act": {"sub": OIN, "cn": CN},
            "organization_name": "Voorbeeldziekenhuis A",
            "source_id": "ehr-a-1",
            "iat": _MADE_AT,
            "nbf": _MADE_AT,
            "exp": _MADE_AT + 300,
        }
        moved = int(now().timestamp()) - _MADE_AT
        moments = {name: claims[name] + moved for name in ("iat", "nbf", "exp") if name in claims}
        key = self._key
        if case["name"] == "gateway-bad-signature":
            key = RSAKey.generate_key(2048, {"kid": "oauth-test-1"})
        header = case.get("token_header") or {"alg": "RS256", "kid": "oauth-test-1"}
        return jwt.encode(header, {**claims, **moments}, key, algorithms=["RS256"])

    def filled(self, text: str, quoted: bool = False) -> str:
        """The text with tokens where it has their names, and our ids where it has those of the run."""

        def value(match: re.Match[str]) -> str:
            made = self._value(match[1])
            return quote(made, safe="") if quoted else made

        text = re.sub(r"\{\{([^}]+)\}\}", value, text)
        for recorded, own in self._ids.items():
            text = text.replace(recorded, own)
        return text

    def _value(self, name: str) -> str:
        if name == "token with a broken JWE":
            return BROKEN_TOKEN
        kind, _, which = name.partition(" ")
        patient = which.partition(".")[0] or "patient of the chain"
        evaluated = self._tokens.get(which) or self.prs.evaluated(patient)
        self._tokens[which] = evaluated
        return {"token": evaluated.token, "JWE": evaluated.jwe, "blind_factor": evaluated.blind_factor}[kind]

    def bind(self, recorded: Any, own: Any) -> None:
        """Learns which of our ids stands for which of the run."""
        if isinstance(recorded, dict) and isinstance(own, dict):
            if isinstance(recorded.get("id"), str) and isinstance(own.get("id"), str):
                self._ids.setdefault(recorded["id"], own["id"])
            for name in recorded.keys() & own.keys():
                self.bind(recorded[name], own[name])
        if isinstance(recorded, list) and isinstance(own, list):
            for one, other in zip(recorded, own, strict=False):
                self.bind(one, other)

    async def rows(self) -> dict[str, int]:
        """How many registrations each organisation has."""
        counts = {}
        for ura in ("00000111", "90000111", "90000222"):
            async with asking(self.inside(), AT) as client:
                found = await client.get("/fhir/List", headers=gateway(ura))
            counts[ura] = found.json()["total"]
        return {ura: number for ura, number in counts.items() if number}

    async def fill(self, wanted: Mapping[str, int]) -> None:
        """Adds registrations of other patients until each organisation has as many as it should."""
        for ura, number in wanted.items():
            while (await self.rows()).get(ura, 0) < number:
                await self.add(f"urn:uuid:9{self._fillers}", ura)

    async def add(self, source: str, ura: str = "90000111") -> None:
        """A registration of a patient that nobody has."""
        self._fillers += 1
        token = self.prs.evaluated(f"filler {self._fillers}").token
        async with asking(self.inside(), AT) as client:
            made = await client.post(
                "/fhir/List", json=registration(token, ura, source), headers=gateway(ura)
            )
        assert made.status_code == 201, made.text
