"""The national facilities of the region, as stand-ins in one process: what they are told, and how nodes reach them."""

from __future__ import annotations

import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from schakel.demo import cast, certificates, directories, referrals, toml
from schakel.demo.doors import HOST, STAND_INS, Doors, stand_in_address, stand_in_port
from schakel.demo.folder import DemoFolder
from schakel.demo.patients import NamedPatient
from schakel.generic.identity.keys import new_rsa_key
from schakel.patient_access import SERVICES

CLIENT: Mapping[str, str] = {
    "client_id": "pgo.example",
    "organisation": "Mijn Gezondheidsmap",
    "redirect_uri": "https://pgo.example/auth/callback",
}
"""The one client (PGO) of the region; nobody answers at its address, the browser is only sent there."""

_HOME = "stand-ins"
_LISTS_SECONDS = 60


def command(folder: DemoFolder, doors: Sequence[Doors]) -> list[str]:
    """What starts them."""
    first = str(stand_in_port(doors, STAND_INS[0]))
    options = ["--folder", str(_home(folder)), "--host", HOST, "--port", first]
    return [sys.executable, "-P", "-m", "schakel_national", *options]


def write(folder: DemoFolder, doors: Sequence[Doors], named: Sequence[NamedPatient]) -> None:
    """Writes what the stand-ins are told; `named` are the patients who made choices at Mitz. What they kept of a region
    that was never loaded whole is removed, and each of them is there."""
    home = _home(folder)
    home.mkdir(mode=0o700, exist_ok=True)
    for left in (*home.glob("*.down"), *(() if folder.kept else home.glob("*.sqlite*"))):
        left.unlink()
    _ensure_keys(folder)
    by_operator = {one.operator: one for one in doors}
    fronts = {o.slug: f"{by_operator[o.operator].front}/{o.slug}" for o in cast.ORGANISATIONS}
    clients: list[dict[str, toml.Value]] = []
    for operator in cast.OPERATORS:
        key = orjson.loads(_key_path(folder, operator).read_bytes())
        clients.append(
            {
                "id": _client_id(operator),
                "redirect_uris": [
                    f"{fronts[o.slug]}/{part}/callback"
                    for o in cast.ORGANISATIONS
                    if o.operator == operator
                    for part in ("oauth2", "log")
                ],
                "key": {name: key[name] for name in ("kty", "n", "e", "kid")},
            }
        )
    folder.write(home / "broker.toml", toml.document({"clients": clients}).encode())
    lists: dict[str, toml.Value] = {
        "clients": [{"hostname": CLIENT["client_id"], "organisation": CLIENT["organisation"]}],
        "nodes": [{"hostname": CLIENT["client_id"]}],
        "services": [{"id": one.id, "name": one.name} for one in SERVICES.values()],
        "providers": [_provider(one, fronts[one.slug]) for one in cast.ORGANISATIONS],
    }
    folder.write(home / "medmij-lists.toml", toml.document(lists).encode())
    dezi: dict[str, toml.Value] = {
        "clients": [
            {
                **one,
                "redirect_uris": [
                    f"{fronts[o.slug]}/professionals/callback"
                    for o in cast.ORGANISATIONS
                    if _client_id(o.operator) == one["id"]
                ],
            }
            for one in clients
        ],
        "professionals": _professionals(),
    }
    folder.write(home / "dezi.toml", toml.document(dezi).encode())
    workplace: dict[str, toml.Value] = {
        "clients": [
            {**one, "redirect_uris": [f"{at.front}/portal/callback"]}
            for one in clients
            for at in doors
            if _client_id(at.operator) == one["id"]
        ],
        "people": [
            {"subject": who.subject, "name": who.name, "function": who.function} for who in cast.STAFF
        ],
    }
    folder.write(home / "workplace.toml", toml.document(workplace).encode())
    mitz: dict[str, toml.Value] = {
        "endpoints": [f"{one.back}/" for one in doors],
        "providers": [{"ura": o.ura, "name": o.name, "type": o.type_code} for o in cast.ORGANISATIONS],
        "choices": list(_choices(named)),
        "notify": {
            "certificate": "uzi-ca/tls-mitz.pem",
            "key": "uzi-ca/tls-mitz.key",
            "trusted": "uzi-ca/anchors.pem",
        },
    }
    folder.write(home / "mitz.toml", toml.document(mitz).encode())
    # DIDs of the region are read over http on the loopback: nobody's browser or program comes from outside.
    folder.write(home / "credential-issuer.toml", toml.document({"tls": False}).encode())
    referrals.write(folder, home.name, doors)
    directories.write(folder, home.name)


def settings(folder: DemoFolder, doors: Sequence[Doors], operator: cast.Operator) -> dict[str, toml.Value]:
    """The part `medmij` of the settings of an operator's node."""
    return {
        "lists": stand_in_address(doors, "medmij-lists"),
        "lists_seconds": _LISTS_SECONDS,
        "http_on_loopback": True,
        "broker": {
            "issuer": stand_in_address(doors, "broker"),
            "client_id": _client_id(operator),
            "key": _key_path(folder, operator),
        },
    }


def dezi_settings(
    folder: DemoFolder, doors: Sequence[Doors], operator: cast.Operator
) -> dict[str, toml.Value]:
    """The part `dezi` of the settings of an operator's node; its key is the one that the broker knows too."""
    return {
        "issuer": stand_in_address(doors, "dezi"),
        "client_id": _client_id(operator),
        "key": _key_path(folder, operator),
    }


def portal_settings(
    folder: DemoFolder, doors: Sequence[Doors], operator: cast.Operator
) -> dict[str, toml.Value]:
    """The part `portal` of the settings of an operator's node."""
    return {
        "public": True,
        "login": {
            "issuer": stand_in_address(doors, "workplace"),
            "client_id": _client_id(operator),
            "key": _key_path(folder, operator),
        },
        "people": [
            {
                "subject": who.subject,
                "name": who.name,
                "roles": list(who.roles),
                "organisations": [cast.organisation(slug).ura for slug in who.organisations],
            }
            for who in cast.STAFF
        ],
    }


def staff() -> list[dict[str, Any]]:
    """The people of the portal, as `demo.json` lists them."""
    return [
        {
            "subject": who.subject,
            "name": who.name,
            "function": who.function,
            "roles": list(who.roles),
            "organisations": list(who.organisations),
        }
        for who in cast.STAFF
    ]


def _professionals() -> list[toml.Value]:
    """Everyone who can log in at Dezi, for the organisation of their own."""
    return [
        {
            "number": who.number,
            "initials": who.initials,
            "prefix": who.prefix,
            "surname": who.family,
            "role": who.role_code,
            "role_name": who.role,
            "organisations": [{"ura": place.ura, "name": place.name}],
        }
        for place, who in cast.people()
    ]


ALLOWS, FORBIDS = 4, 5
"""The named patients (from 1) who chose at Mitz: one allows GPs and hospitals to ask for what is kept at hospitals and
GPs, the other forbids them to ask one hospital."""


def _choices(named: Sequence[NamedPatient]) -> Iterator[dict[str, toml.Value]]:
    for number, holder, allowed in ((ALLOWS, "GGC002", True), (FORBIDS, cast.HOSPITAL_SOUTH.ura, False)):
        if number > len(named):
            continue
        bsn = named[number - 1].bsn
        for requester in ("RPZAC001", "RPZAC104"):
            yield {"patient": bsn, "holder": holder, "requester": requester, "allowed": allowed}


def mitz_settings(
    folder: DemoFolder, doors: Sequence[Doors], operator: cast.Operator
) -> dict[str, toml.Value]:
    """The part `mitz` of the settings of an operator's node."""
    told = x509.load_pem_x509_certificates((_home(folder) / "uzi-ca" / "tls-mitz.pem").read_bytes())[0]
    thumbprint = urlsafe_b64encode(told.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    return {
        "base": stand_in_address(doors, "mitz"),
        **certificates.shown_by(folder, operator),
        "locate": True,
        "gateway_system": "2.16.840.1.113883.2.4.6.6.1",
        "source_system": f"2.16.840.1.113883.2.4.6.6.{9_900_000 + cast.OPERATORS.index(operator)}",
        "notify_thumbprints": [thumbprint],
    }


def issuer_did(doors: Sequence[Doors]) -> str:
    """The DID of the issuer of credentials."""
    return f"did:web:localhost%3A{stand_in_port(doors, 'credential-issuer')}"


def organisation_dids(doors: Sequence[Doors]) -> dict[str, str]:
    """The DID of each organisation, by slug."""
    ports = {one.operator: one.front_port for one in doors}
    return {o.slug: f"did:web:localhost%3A{ports[o.operator]}:{o.slug}" for o in cast.ORGANISATIONS}


def services() -> list[dict[str, Any]]:
    """The data services of MedMij, as `demo.json` lists them."""
    return [
        {
            "id": one.id,
            "name": one.name,
            "fhir": one.version,
            "kind": one.kind,
            "invented": one.invented,
        }
        for one in SERVICES.values()
    ]


def _provider(organisation: cast.Organisation, front: str) -> dict[str, toml.Value]:
    return {
        "name": f"{organisation.medmij_name}@medmij",
        "services": [
            {
                "id": one.id,
                "authorization": f"{front}/oauth2/authorize",
                "token": f"{front}/oauth2/token",
                "roles": [
                    {"code": role, "resource": f"{front}/medmij/{one.id}/fhir"} for role in one.system_roles
                ],
            }
            for one in SERVICES.values()
        ],
    }


def switch(folder: Path, name: str) -> Path:
    """The file that takes a stand-in of the region in this folder away, as long as it is there."""
    return folder / _HOME / f"{name}.down"


def _home(folder: DemoFolder) -> Path:
    return folder.path / _HOME


def _client_id(operator: cast.Operator) -> str:
    return f"schakel-{operator}"


def _key_path(folder: DemoFolder, operator: cast.Operator) -> Path:
    return folder.path / "keys" / f"broker-{operator}.jwk.json"


def _ensure_keys(folder: DemoFolder) -> None:
    """The key of each operator's node at the broker; those that are not there yet are made."""
    for operator in cast.OPERATORS:
        path = _key_path(folder, operator)
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            folder.write(path, orjson.dumps(new_rsa_key()))
