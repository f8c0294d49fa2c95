"""Who may have which token: what `minvws-oauth.toml` says (see the package)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schakel.kernel.values import Ura
from schakel_national.minvws.certificates import Shown, is_oin

DEFAULT_SECONDS = 300
URA, OIN = "ura", "oin"


@dataclass(frozen=True, slots=True)
class Target:
    """A service that takes the tokens; `subject` says by which number it knows an organisation: `ura` or `oin`.
    `means` has names that clients use for scopes of the service, which itself does not know them."""

    audience: str
    subject: str
    scopes: frozenset[str]
    means: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Target:
        """The target in a table of the configuration. Raises `ValueError` and `KeyError`."""
        if table["subject"] not in (URA, OIN):
            raise ValueError(f"subject is {URA} or {OIN}, not {table['subject']!r}")
        scopes = frozenset(map(str, table["scopes"]))
        means = {str(name): tuple(map(str, meant)) for name, meant in dict(table.get("means", {})).items()}
        for name, meant in means.items():
            if name in scopes or not meant or not scopes.issuperset(meant):
                raise ValueError(
                    f"means.{name} is a list of scopes of the service, under a name that is none"
                )
        return cls(str(table["audience"]), table["subject"], scopes, means)

    def meant(self, asked: Iterable[str]) -> tuple[str, ...]:
        """The scopes of the service that are asked for, each once; what it does not know stays as it is."""
        return tuple(dict.fromkeys(scope for one in asked for scope in self.means.get(one, (one,))))


@dataclass(frozen=True, slots=True)
class Organisation:
    """For whom a client asks tokens; `source_id` is the software that registers for it, '' when that is nobody."""

    ura: str
    oin: str
    name: str
    source_id: str
    scopes: frozenset[str]

    def known_as(self, subject: str) -> str:
        """Its URA or its OIN."""
        return self.ura if subject == URA else self.oin


@dataclass(frozen=True, slots=True)
class Client:
    """A party with a certificate, and the organisations that it asks for."""

    oin: str
    common_name: str
    organisations: tuple[Organisation, ...]

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Client:
        """The client in a table of the configuration. Raises `ValueError`, `KeyError` and `Invalid`."""
        own = _oin(table["oin"])
        organisations = tuple(
            Organisation(
                str(Ura(str(one["ura"]))),
                _oin(one.get("oin", own)),
                str(one["name"]),
                str(one.get("source_id", "")),
                frozenset(map(str, one["scopes"])),
            )
            for one in table["organisations"]
        )
        return cls(own, str(table["common_name"]), organisations)


class Registered:
    """What the configuration says. `issuer` is '' when that is the facility's own address."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.issuer = str(table.get("issuer", ""))
        self.seconds = int(table.get("seconds", DEFAULT_SECONDS))
        self._targets = {one.audience: one for one in map(Target.parse, table.get("targets", ()))}
        self._clients = {
            (one.oin, one.common_name): one for one in map(Client.parse, table.get("clients", ()))
        }

    def target(self, audience: str) -> Target | None:
        """The service of that name."""
        return self._targets.get(audience)

    def client(self, certificate: Shown | None) -> Client | None:
        """Whose certificate this is."""
        return self._clients.get((certificate.oin, certificate.common_name)) if certificate else None


def _oin(value: object) -> str:
    if not is_oin(str(value)):
        raise ValueError(f"{value!r} is no OIN")
    return str(value)
