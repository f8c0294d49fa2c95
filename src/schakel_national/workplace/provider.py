"""What the identity provider of the region says of its staff."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc.jwk import RSAKey

from schakel_national import oidc
from schakel_national.oidc import TOKEN_SECONDS, Asked, Client, Entered, Refused


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who works in the region."""

    subject: str
    name: str
    function: str

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Person:
        """The person in a table of the configuration. Raises `KeyError`."""
        return cls(str(table["subject"]), str(table["name"]), str(table.get("function", "")))


@dataclass(frozen=True, slots=True)
class Login(Entered):
    """Someone who logged in for a request."""

    person: Person


class Provider(oidc.Provider[Login]):
    """The provider at `issuer`, which signs with `key`."""

    def __init__(
        self, issuer: str, key: RSAKey, clients: Mapping[str, Client], people: Sequence[Person]
    ) -> None:
        super().__init__(issuer, key, clients)
        self.people = tuple(people)

    def metadata(self) -> dict[str, Any]:
        """What the provider publishes of itself."""
        return {**super().metadata(), "scopes_supported": ["openid", "profile"]}

    def log_in(self, asked: Asked, subject: str) -> str:
        """A code for someone who logged in. Raises `Refused`."""
        for one in self.people:
            if one.subject == subject:
                return self.enter(Login(asked, one))
        raise Refused("access_denied", "this person does not work here")

    def id_token(self, login: Login) -> str:
        """Who logged in, for the client alone."""
        moment = int(time.time())
        return self.sign(
            {
                "iss": self.issuer,
                "aud": login.asked.client.id,
                "sub": login.person.subject,
                "name": login.person.name,
                "nonce": login.asked.nonce,
                "iat": moment,
                "exp": moment + TOKEN_SECONDS,
            }
        )

    def userinfo(self, token: str) -> str:
        """The same as a JSON object. Raises `Refused`."""
        person = self.seen(token).person
        return orjson.dumps({"sub": person.subject, "name": person.name}).decode()
