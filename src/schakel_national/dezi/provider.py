"""What Dezi says of who logged in: the statement (verklaring) about a professional."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from joserfc import jwe
from joserfc.jwk import RSAKey

from schakel.kernel.clock import new_id
from schakel.kernel.values import Ura
from schakel_national import oidc
from schakel_national.oidc import TOKEN_SECONDS, Asked, Client, Entered, Refused

HIGH = "http://eidas.europa.eu/LoA/high"
_STATEMENT_SECONDS = 90 * 24 * 3600
_SEALING = jwe.JWERegistry(algorithms=["RSA-OAEP", "A128CBC-HS256"], strict_check_header=False)

Form = Literal["jwe", "jws"]


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
class Login(Entered):
    """Someone who logged in for a request, on behalf of one organisation."""

    professional: Professional
    ura: str
    organisation: str


class Provider(oidc.Provider[Login]):
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
        super().__init__(issuer, key, clients)
        self.professionals = professionals
        self._form = form
        self._level = level
        self._statements: dict[str, str] = {}

    def metadata(self) -> dict[str, Any]:
        """What Dezi publishes of itself."""
        return {
            **super().metadata(),
            "userinfo_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["none"],
        }

    def log_in(self, asked: Asked, number: str, ura: str) -> str:
        """A code for a professional who logged in on behalf of an organisation. Raises `Refused`."""
        for one in self.professionals:
            for their_ura, organisation in one.organisations if one.number == number else ():
                if their_ura == ura:
                    return self.enter(Login(asked, one, ura, organisation))
        raise Refused("access_denied", "this professional does not work for this organisation")

    def id_token(self, login: Login) -> str:
        """The id token: no statement in it."""
        claims = {
            **self._outer(login, int(time.time())),
            "nonce": login.asked.nonce,
            "loa_authn": self._level,
        }
        return self._signed(claims)

    def userinfo(self, token: str) -> str:
        """What is stated of who logged in. Raises `Refused`."""
        login = self.seen(token)
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
            "exp": moment + TOKEN_SECONDS,
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
        return self.sign(claims, typ="JWT", **header)
