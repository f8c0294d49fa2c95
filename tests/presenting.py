"""Presentations and credentials made by hand in a test, not by our own wallet: every part can be made wrong.

    scene = Scene.new()
    presented = await scene.verify(scene.presentation(scene.x509(), scene.facility(), scene.dezi()))

A `Scene` is one asking organisation with its certificate, an issuer that is trusted, a stand-in for Dezi and the pages
of the web on which their documents stand.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry
from tests.certificates import Authority, Issued, Key, new_key, uzi_name

from schakel.generic.identity.certificates import (
    TEST_AUTHORITIES,
    CertificateRefused,
    RevocationUnknown,
    Trust,
    Verified,
)
from schakel.generic.identity.credentials import (
    CredentialVerifier,
    Definition,
    Definitions,
    Presentations,
    Presented,
    Resolver,
    StatusLists,
    Web,
    WebRules,
)
from schakel.generic.identity.credentials.web import Unreachable
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Unauthenticated

AUDIENCE = "https://holder.example/ziekenhuis"
HOLDER = "did:web:node.example.org:iam:kliniek-oost"
ISSUER = "did:web:issuer.example"
URA = "22222222"
FACILITY = "HealthcareProviderRoleTypeCredential"
STATUS_PAGE = "https://issuer.example/status/1"
V1 = "https://www.w3.org/2018/credentials/v1"
V2 = "https://www.w3.org/ns/credentials/v2"
_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"


class Pages(Web):
    """The web: `pages` are bodies by address, or why there is none; `asked` is what was fetched."""

    def __init__(self) -> None:
        self.rules = WebRules()
        self.pages: dict[str, bytes | Unreachable] = {}
        self.asked: list[str] = []

    async def get(self, address: str, most: int = 0) -> bytes:
        self.asked.append(address)
        page = self.pages.get(address, Unreachable("the answer has status 404"))
        if isinstance(page, Unreachable):
            raise page
        return page


class Withdrawn:
    """Which certificates were withdrawn: serial numbers; `away` when nobody can tell."""

    def __init__(self) -> None:
        self.serials: set[int] = set()
        self.away = False

    async def check(self, verified: Verified) -> None:
        if self.away:
            raise RevocationUnknown("CN=test", "the list is away")
        if any(one.serial_number in self.serials for one in verified.chain):
            raise CertificateRefused("revoked by its issuer", code="certificate-revoked")


@dataclass(frozen=True)
class Person:
    number: str
    name: str
    role: str
    ura: str
    assurance: str


class Dezi:
    """Verifies statements that `key` signed."""

    def __init__(self, key: ECKey) -> None:
        self._key = key

    async def verify(self, verklaring: str, moment: datetime) -> Person:
        try:
            claims = jwt.decode(verklaring, self._key, ["ES256"]).claims
        except Exception as error:
            raise Unauthenticated("the statement was not signed by Dezi", code="dezi-signature") from error
        name = " ".join(filter(None, (claims["voorletters"], claims["voorvoegsel"], claims["achternaam"])))
        return Person(
            claims["dezi_nummer"], name, claims["rol_code"], claims["abonnee_nummer"], claims["loa_dezi"]
        )


def signed(header: Mapping[str, Any], claims: Mapping[str, Any], key: ECKey | RSAKey) -> str:
    """A JWT of exactly this header and these claims."""
    head, body = (base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=") for part in (header, claims))
    message = head + b"." + body
    signature = JWSRegistry.algorithms[header["alg"]].sign(message, key)
    return (message + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def jwk_of(key: Key) -> ECKey | RSAKey:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return RSAKey.import_key(pem) if isinstance(key, rsa.RSAPrivateKey) else ECKey.import_key(pem)


def seconds(days: float = 0) -> int:
    return int(now().timestamp() + days * 86_400)


def encoded(text: str) -> str:
    """Percent-encoded as a DID wants it."""
    return "".join(c if c in _PLAIN else quote(c, safe="") for c in text)


@dataclass
class Draft:
    """A JWT before it is signed: change what you like, then `sign`."""

    header: dict[str, Any]
    claims: dict[str, Any]
    key: ECKey | RSAKey

    def sign(self) -> str:
        return signed(self.header, self.claims, self.key)

    @property
    def subject(self) -> dict[str, Any]:
        subject: dict[str, Any] = self.claims["vc"]["credentialSubject"][0]
        return subject


@dataclass
class Scene:
    """See the module."""

    root: Authority
    above: Authority
    certificate: Issued
    holder_key: ECKey
    issuer_key: ECKey
    dezi_key: ECKey
    web: Pages
    withdrawn: Withdrawn
    issuers: dict[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def new(cls, *, bits: int = 0, organisation: str = "Kliniek Oost") -> Scene:
        root = Authority.new("Test UZI Root")
        above = root.authority("Test UZI Server CA")
        key = new_key(bits)
        certificate = above.issue(
            "kliniek-oost.example", uzi=uzi_name(URA), organisation=organisation, locality="Zwolle", key=key
        )
        holder, issuer, dezi = (
            ECKey.generate_key("P-256", {"kid": name}, private=True) for name in ("h1", "i1", "d1")
        )
        made = cls(root, above, certificate, holder, issuer, dezi, Pages(), Withdrawn())
        made.issuers = {FACILITY: frozenset({ISSUER})}
        made.publish(HOLDER, made.holder_key)
        made.publish(ISSUER, made.issuer_key)
        return made

    # -- the web -----------------------------------------------------------------------------------------------

    def publish(self, did: str, key: ECKey, **changed: Any) -> None:
        """Puts the document of `did` on the web."""
        host, *path = did.removeprefix("did:web:").split(":")
        address = f"https://{host}/{'/'.join(path or ['.well-known'])}/did.json"
        method = f"{did}#{key.kid}"
        document = {
            "@context": ["https://www.w3.org/ns/did/v1"],
            "id": did,
            "verificationMethod": [
                {
                    "id": method,
                    "type": "JsonWebKey2020",
                    "controller": did,
                    "publicKeyJwk": key.as_dict(private=False),
                }
            ],
            "assertionMethod": [method],
            "authentication": [method],
            **changed,
        }
        self.web.pages[address] = orjson.dumps(document)

    def status_list(
        self,
        *places: int,
        purpose: str = "revocation",
        bits: int = 131_072,
        signer: ECKey | None = None,
        until: str = "2100-01-01T00:00:00Z",
        **changed: Any,
    ) -> None:
        """Publishes the issuer's status list, with these places set."""
        row = bytearray(bits // 8)
        for place in places:
            row[place // 8] |= 0x80 >> place % 8
        encoded = "u" + base64.urlsafe_b64encode(gzip.compress(bytes(row))).rstrip(b"=").decode()
        claims = {
            "iss": ISSUER,
            "nbf": seconds(-1),
            "vc": {
                "@context": [V1],
                "type": ["VerifiableCredential", "BitstringStatusListCredential"],
                "validUntil": until,
                "credentialSubject": {
                    "type": "BitstringStatusList",
                    "statusPurpose": purpose,
                    "encodedList": encoded,
                },
            },
            **changed,
        }
        header = {"alg": "ES256", "typ": "JWT", "kid": f"{ISSUER}#i1"}
        self.web.pages[STATUS_PAGE] = signed(header, claims, signer or self.issuer_key).encode()

    # -- credentials -------------------------------------------------------------------------------------------

    @property
    def did_x509(self) -> str:
        fingerprint = base64.urlsafe_b64encode(hashlib.sha256(self.root.der).digest()).rstrip(b"=").decode()
        return (
            f"did:x509:0:sha256:{fingerprint}::san:otherName:{uzi_name(URA)}"
            f"::subject:O:{encoded('Kliniek Oost')}:L:Zwolle"
        )

    def x509(self, certificate: Issued | None = None, algorithm: str = "ES256") -> Draft:
        """The organisation's own credential."""
        certificate = certificate or self.certificate
        chain = [certificate.der, self.above.der, self.root.der]
        digest = hashlib.sha256(chain[0]).digest()
        issuer = self.did_x509
        header = {
            "alg": algorithm,
            "typ": "JWT",
            "kid": f"{issuer}#0",
            "x5c": [base64.b64encode(one).decode() for one in chain],
            "x5t#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        }
        subject = {
            "id": HOLDER,
            "subject": {"O": "Kliniek Oost", "L": "Zwolle"},
            "san": {"otherName": uzi_name(URA)},
        }
        claims = self._claims(issuer, "X509Credential", subject)
        return Draft(header, claims, jwk_of(certificate.key))

    def card(self, kind: str, subject: Mapping[str, Any], **card: Any) -> Draft:
        """A credential of a professional, by the UZI card of that person."""
        text = uzi_name(URA, card.pop("number", "900000009"), **{"card": "Z", "role": "01.015", **card})
        issued = self.above.issue("J. de Vries", uzi=text)
        draft = self.x509(issued)
        fingerprint = self.did_x509.split("::")[0]
        draft.claims = self._claims(f"{fingerprint}::san:otherName:{text}", kind, subject)
        draft.header["kid"] = draft.claims["iss"]
        return draft

    def facility(self, code: str = "V6") -> Draft:
        """The type of the organisation, by an issuer that is trusted for it."""
        return self.issued(FACILITY, {"id": HOLDER, "roleCodeNL": code})

    def issued(self, kind: str, subject: Mapping[str, Any]) -> Draft:
        """A credential of the issuer."""
        header = {"alg": "ES256", "typ": "JWT", "kid": f"{ISSUER}#i1"}
        return Draft(header, self._claims(ISSUER, kind, subject), self.issuer_key)

    def statement(self, **changed: Any) -> Draft:
        """A statement of Dezi."""
        claims = {
            "jti": "verklaring-1",
            "iss": "abonnee.dezi.nl",
            "nbf": seconds(-1),
            "exp": seconds(80),
            "loa_dezi": "http://eidas.europa.eu/LoA/high",
            "dezi_nummer": "900000008",
            "voorletters": "J.",
            "voorvoegsel": None,
            "achternaam": "Jansen",
            "abonnee_nummer": URA,
            "abonnee_naam": "Kliniek Oost",
            "rol_code": "01.015",
            "rol_naam": "Huisarts",
            "rol_code_bron": "http://www.dezi.nl/rol_code_bron/big",
            **changed,
        }
        return Draft({"alg": "ES256", "typ": "JWT", "kid": "d1"}, claims, self.dezi_key)

    def dezi(self, *, version: int = 1, **changed: Any) -> dict[str, Any]:
        """The credential around a statement, as data model 1.1 or 2.0 writes it."""
        draft = self.statement(**changed)
        claims = draft.claims
        names = ("issuanceDate", "expirationDate") if version == 1 else ("validFrom", "validUntil")
        dates = (datetime.fromtimestamp(claims[name], UTC).isoformat() for name in ("nbf", "exp"))
        return {
            "@context": [V1 if version == 1 else V2],
            "type": ["VerifiableCredential", "DeziUserCredential"],
            "id": claims["jti"],
            "issuer": claims["iss"],
            **dict(zip(names, dates, strict=True)),
            "credentialSubject": {
                "@type": "DeziIDTokenSubject" if version == 1 else "HealthcareProvider",
                "identifier": claims["abonnee_nummer"],
                "name": claims["abonnee_naam"],
                "employee": {
                    "@type": "HealthcareWorker",
                    "identifier": claims["dezi_nummer"],
                    "initials": claims["voorletters"],
                    "surnamePrefix": claims["voorvoegsel"] or "",
                    "surname": claims["achternaam"],
                    "role": claims["rol_code"],
                    "role_name": claims["rol_naam"],
                    "role_registry": claims["rol_code_bron"],
                },
            },
            "proof": {"type": "DeziIDJWT07", "jwt": draft.sign()},
        }

    def _claims(self, issuer: str, kind: str, subject: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "iss": issuer,
            "sub": HOLDER,
            "jti": f"{issuer}#{new_id()}",
            "nbf": seconds(-0.5),
            "exp": seconds(100),
            "vc": {
                "@context": [V1],
                "type": ["VerifiableCredential", kind],
                "credentialSubject": [deepcopy(dict(subject))],
            },
        }

    # -- presentations -----------------------------------------------------------------------------------------

    def presentation(self, *credentials: Draft | str | Mapping[str, Any]) -> Draft:
        """A presentation of these by the holder, for 5 seconds from now."""
        listed = [one.sign() if isinstance(one, Draft) else one for one in credentials]
        claims = {
            "iss": HOLDER,
            "sub": HOLDER,
            "aud": AUDIENCE,
            "nbf": seconds(),
            "exp": seconds() + 5,
            "jti": f"{HOLDER}#{new_id()}",
            "nonce": new_id(),
            "vp": {"@context": [V1], "type": ["VerifiablePresentation"], "verifiableCredential": listed},
        }
        return Draft({"alg": "ES256", "typ": "JWT", "kid": f"{HOLDER}#h1"}, claims, self.holder_key)

    def presentations(self) -> Presentations:
        """What verifies them, with nothing remembered."""
        resolver = Resolver(self.web)
        trust = Trust([x509.load_der_x509_certificate(self.root.der)], TEST_AUTHORITIES)
        status = StatusLists(self.web, resolver)
        verifier = CredentialVerifier(
            resolver, status, trust, self.withdrawn, Dezi(self.dezi_key), self.issuers
        )
        return Presentations(resolver, verifier, Definitions.load())

    async def verify(
        self, draft: Draft | str, definition: Definition | str = "bgz", **options: Any
    ) -> Presented:
        """What a presentation proves; `definition` is one, or the scope of one."""
        desk = self.presentations()
        asked = desk.definitions.of([definition]) if isinstance(definition, str) else definition
        text = draft.sign() if isinstance(draft, Draft) else draft
        return await desk.verify(text, audience=AUDIENCE, definition=asked, **options)

    def submission(self, *paths: str, definition: str = "pd_care_professional") -> dict[str, Any]:
        """A submission that names these paths for the three descriptors of a professional."""
        ids = ("id_uzicert_uracredential", "id_healthcare_provider_role_type", "id_dezi_user")
        return {
            "id": "s1",
            "definition_id": definition,
            "descriptor_map": [
                {"id": one, "format": "jwt_vp", "path": path} for one, path in zip(ids, paths, strict=False)
            ],
        }


def listed(scene: Scene) -> Sequence[Draft | Mapping[str, Any]]:
    """The three credentials that the scope bgz asks for."""
    return scene.x509(), scene.facility(), scene.dezi()
