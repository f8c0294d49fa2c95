"""Who may have pseudonyms, and the keys they are sealed for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from joserfc.jwk import RSAKey

from schakel.kernel.clock import new_id
from schakel_national import configuration

EVERY = "*"
USAGES = ("irp", "rp", "bsn")
"""What may be had of a person, from least to most: an irreversible pseudonym, a reversible one, the number."""


@dataclass
class Key:
    """A public key of an organisation, for `scopes` in lower case."""

    scopes: list[str]
    pem: str
    key_id: str | None
    id: str = field(default_factory=new_id)

    def shown(self) -> dict[str, Any]:
        """As the administration tells of it."""
        return {"id": self.id, "scope": self.scopes, "key_data": self.pem, "key_id": self.key_id}


@dataclass
class KeyVersion:
    """When a key for evaluation counts; with one key here that changes nothing, as at the real one."""

    version: int
    start: datetime
    end: datetime | None
    id: str = field(default_factory=new_id)

    def shown(self) -> dict[str, Any]:
        """As the administration tells of it."""
        return {
            "id": self.id,
            "version": self.version,
            "from_dt": self.start.isoformat(),
            "until_dt": self.end.isoformat() if self.end else None,
            "removed": False,
        }


@dataclass
class Organisation:
    """A party by its numbers, each '' when it has none."""

    oin: str
    ura: str = ""
    usage: str = "irp"
    keys: list[Key] = field(default_factory=list)
    versions: list[KeyVersion] = field(default_factory=list)

    def may(self, usage: str) -> bool:
        """Whether it may have so much of a person."""
        return USAGES.index(usage) <= USAGES.index(self.usage)

    def key_for(self, scope: str) -> Key | None:
        """Its key for a scope, which is compared as it was sent."""
        return next((one for one in self.keys if scope in one.scopes or EVERY in one.scopes), None)

    def overlapping(self, scopes: Iterable[str], but: str = "") -> bool:
        """Whether another key than `but` is for one of these scopes."""
        asked = set(scopes)
        for key in self.keys:
            known = set(key.scopes)
            if key.id != but and (asked & known or (asked and EVERY in known) or (known and EVERY in asked)):
                return True
        return False


class Register:
    """The organisations; `prefix` (`oin:` or `ura:`) is how recipients are named."""

    def __init__(self, organisations: Iterable[Organisation]) -> None:
        self._organisations = list(organisations)

    def by_oin(self, oin: str) -> Organisation | None:
        """The organisation with this number."""
        return next((one for one in self._organisations if oin and one.oin == oin), None)

    def by_name(self, name: str) -> Organisation | None:
        """The organisation called `oin:` or `ura:` and its number."""
        kind, _, number = name.partition(":")
        if kind == "oin":
            return self.by_oin(number)
        return next((one for one in self._organisations if number and one.ura == number), None)

    def add(self, organisation: Organisation) -> None:
        """One more."""
        self._organisations.append(organisation)


def read_register(table: Mapping[str, Any], folder: Path) -> Register:
    """What the configuration says. Raises `ValueError`, `KeyError` and `OSError`."""
    made = []
    for one in table.get("organisations", ()):
        usage = str(one.get("usage", "irp"))
        if usage not in USAGES:
            raise ValueError(f"usage is one of {', '.join(USAGES)}, not {usage!r}")
        keys = [
            Key([str(scope).lower() for scope in key["scopes"]], _pem(key, folder), key.get("key_id"))
            for key in one.get("keys", ())
        ]
        made.append(Organisation(str(one.get("oin", "")), str(one.get("ura", "")), usage, keys))
    return Register(made)


def public_pem(key: object) -> str:
    """An RSA public key in PEM. Raises `ValueError`."""
    if not isinstance(key, RSAPublicKey):
        raise ValueError("an RSA key is needed")
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _pem(table: Mapping[str, Any], folder: Path) -> str:
    if "of" in table:
        return public_pem(configuration.own_key(folder, str(table["of"])).public_key)
    data = (folder / str(table["file"])).read_bytes()
    if b"CERTIFICATE" in data:
        return public_pem(x509.load_pem_x509_certificate(data).public_key())
    return public_pem(load_pem_public_key(data))


def sealing_key(pem: str) -> RSAKey:
    """The key in the form that seals; its name is its thumbprint (RFC 7638)."""
    return RSAKey.import_key(pem)
