"""What Dezi decides: who may be sent where, codes, tokens, and the statement (verklaring) about a professional."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from joserfc import jwe, jws, jwt
from joserfc.jwk import RSAKey

from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura
from schakel_national.once import Once

HIGH = "http://eidas.europa.eu/LoA/high"
_LOGIN_SECONDS = 900
_CODE_SECONDS = 60
_TOKEN_SECONDS = 300
_STATEMENT_SECONDS = 90 * 24 * 3600
_SIGNING = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
_SEALING = jwe.JWERegistry(algorithms=["RSA-OAEP", "A128CBC-HS256"], strict_check_header=False)

Form = Literal["jwe", "jws"]


class Refused(Invalid):
    """An OAuth error: `word` is its code."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message, code=word)
        self.word = word


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client; `key` is the public key in its certificate."""

    id: str
    redirect_uris: tuple[str, ...]
    key: RSAKey

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Client:
        """The client in a table of the configuration. Raises `ValueError` and `KeyError`."""
        return cls(str(table["id"]), tuple(table["redirect_uris"]), RSAKey.import_key(dict(table["key"])))


@dataclass(frozen=True, slots=True)
class Professional:
    """A professional and the organisations (URA and name) he or she works for."""

    number: str
    initials: str
    prefix: str
    surname: str
    role: str
    role_name: str
    organisations: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Professional:
        """The professional in a table of the configuration. Raises `ValueError`, `KeyError` and `Invalid`."""
        if not (len(str(table["number"])) == 9 and str(table["number"]).isdecimal()):
            raise ValueError(f"{table['number']} is no Dezi number of nine digits")
        return cls(
            str(table["number"]),
            str(table["initials"]),
            str(table.get("prefix", "")),
            str(table["surname"]),
            str(table["role"]),
            str(table["role_name"]),
            tuple((str(Ura(one["ura"])), str(one["name"])) for one in table["organisations"]),
        )

    @property
    def name(self) -> str:
        """As people read it."""
        return " ".join(part for part in (self.initials, self.prefix, self.surname) if part)


@dataclass(frozen=True, slots=True)
class Asked:
    """An authorisation request that may go on."""

    client: Client
    redirect_uri: str
    state: str
    nonce: str
    challenge: str


@dataclass(frozen=True, slots=True)
class Login:
    """Someone who logged in for a request, on behalf of one organisation."""

    asked: Asked
    professional: Professional
    ura: str
    organisation: str


class Provider:
    """Dezi at `issuer`, which signs with `key`."""

    def __init__(
        self,
        issuer: str,
        key: RSAKey,
        clients: Mapping[str, Client],
        professionals: tuple[Professional, ...],
        form: Form,
        level: str,
    ) -> None:
        self.issuer = issuer
        self.professionals = professionals
        self._key = key
        self._clients = clients
        self._form = form
        self._level = level
        self.waiting = Once[Asked](_LOGIN_SECONDS)
        self._codes = Once[Login](_CODE_SECONDS)
        self._tokens = Once[Login](_TOKEN_SECONDS)
        self._statements: dict[str, str] = {}

    def metadata(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0, section 3."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks.json",
            "scopes_supported": ["openid"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "userinfo_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
        }

    def jwks(self) -> dict[str, Any]:
        """The public keys."""
        members = self._key.as_dict(private=False)
        return {"keys": [{**members, "kid": self._key.kid, "use": "sig", "alg": "RS256"}]}

    def registered(self, query: Mapping[str, str]) -> tuple[Client, str]:
        """The client of a request and where it may be sent back to. Raises `Refused`: then it may not."""
        client = self._clients.get(query.get("client_id", ""))
        if client is None:
            raise Refused("invalid_client", "client_id is not known here")
        address = query.get("redirect_uri", "")
        if address not in client.redirect_uris:
            raise Refused("invalid_request", "redirect_uri is not registered for this client")
        return client, address

    def ask(self, query: Mapping[str, str]) -> str:
        """The name under which a checked request waits for the login. Raises `Refused`."""
        client, address = self.registered(query)
        if query.get("response_type") != "code":
            raise Refused("unsupported_response_type", "response_type must be code")
        if "openid" not in query.get("scope", "").split():
            raise Refused("invalid_scope", "scope must have openid")
        for name in ("state", "nonce", "code_challenge"):
            if not query.get(name):
                raise Refused("invalid_request", f"{name} is missing")
        if query.get("code_challenge_method") != "S256":
            raise Refused("invalid_request", "code_challenge_method must be S256")
        return self.waiting.put(
            Asked(client, address, query["state"], query["nonce"], query["code_challenge"])
        )

    def log_in(self, asked: Asked, number: str, ura: str) -> str:
        """A code for a professional who logged in on behalf of an organisation. Raises `Refused`."""
        for one in self.professionals:
            for their_ura, organisation in one.organisations if one.number == number else ():
                if their_ura == ura:
                    return self._codes.put(Login(asked, one, ura, organisation))
        raise Refused("access_denied", "this professional does not work for this organisation")

    def tokens(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The answer of the token endpoint. Raises `Refused`."""
        login = self._codes.take(form.get("code", ""))
        if form.get("grant_type") != "authorization_code":
            raise Refused("unsupported_grant_type", "grant_type must be authorization_code")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            login is None
            or login.asked.client.id != form.get("client_id")
            or login.asked.redirect_uri != form.get("redirect_uri")
            or not hmac.compare_digest(login.asked.challenge, challenge)
        ):
            raise Refused("invalid_grant", "the code is not known, was used, or belongs to another request")
        moment = int(time.time())
        claims = {
            **self._outer(login, moment),
            "nonce": login.asked.nonce,
            "loa_authn": self._level,
        }
        return {
            "access_token": self._tokens.put(login),
            "token_type": "Bearer",
            "expires_in": _TOKEN_SECONDS,
            "id_token": self._signed(claims),
        }

    def userinfo(self, token: str) -> str:
        """What is stated of who logged in. Raises `Refused`."""
        login = self._tokens.see(token)
        if login is None:
            raise Refused("invalid_token", "the access token is not known or has expired")
        moment = int(time.time())
        number, statement = self._statement(login, moment)
        text = self._signed(
            {
                **self._outer(login, moment),
                "jti": new_id(),
                "loa_authn": self._level,
                "json_schema": "https://www.dezi.nl/json_schemas/v1/attributen.json",
                "verklaring_id": number,
                "verklaring": statement,
            }
        )
        if self._form == "jws":
            return text
        key = login.asked.client.key
        named = key.kid or key.thumbprint()
        header = {"alg": "RSA-OAEP", "enc": "A128CBC-HS256", "cty": "JWT", "kid": named}
        return jwe.encrypt_compact(header, text, key, registry=_SEALING)

    def status(self, number: str) -> str | None:
        """Whether a statement is `valid` or `withdrawn`; None when it was not made here since the start."""
        return self._statements.get(number)

    def withdraw(self, number: str) -> bool:
        """Withdraws a statement; False when it is not known."""
        known = number in self._statements
        if known:
            self._statements[number] = "withdrawn"
        return known

    def _outer(self, login: Login, moment: int) -> dict[str, Any]:
        return {
            "iss": self.issuer,
            "aud": login.asked.client.id,
            "sub": login.professional.number,
            "iat": moment,
            "exp": moment + _TOKEN_SECONDS,
        }

    def _statement(self, login: Login, moment: int) -> tuple[str, str]:
        one, number = login.professional, new_id()
        claims = {
            "jti": new_id(),
            "iss": "abonnee.dezi.nl",
            "nbf": moment - 10,
            "exp": moment + _STATEMENT_SECONDS,
            "json_schema": "https://www.dezi.nl/json_schemas/v1/verklaring.json",
            "loa_dezi": self._level,
            "verklaring_id": number,
            "status_uri": f"{self.issuer}/status/v1/verklaring/{number}",
            "dezi_nummer": one.number,
            "voorletters": one.initials,
            "voorvoegsel": one.prefix or None,
            "achternaam": one.surname,
            "abonnee_nummer": login.ura,
            "abonnee_naam": login.organisation,
            "rol_code": one.role,
            "rol_naam": one.role_name,
            "rol_code_bron": "http://www.dezi.nl/rol_bron/big",
        }
        self._statements[number] = "valid"
        return number, self._signed(claims, jku=f"{self.issuer}/jwks.json")

    def _signed(self, claims: Mapping[str, Any], **header: str) -> str:
        head = {"alg": "RS256", "typ": "JWT", "kid": self._key.kid, **header}
        return jwt.encode(head, dict(claims), self._key, registry=_SIGNING)
