"""The settings of the two nodes, written as `schakel serve` reads them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from schakel.demo import cast, certificates, directories, referrals, stand_ins, toml
from schakel.demo.doors import HOST, Doors, stand_in_address
from schakel.demo.folder import DemoFolder
from schakel.demo.roadmap.board import KEEPER
from schakel.demo.roadmap.region import NAME
from schakel.generic.identity import AssertionSigner, new_key
from schakel.roadmap.hybrid.pseudonyms import SHORTEST_KEY

WORKERS_CONNECTIONS = 12

_POLICIES: Mapping[str, Mapping[str, toml.Value]] = {
    cast.HOSPITAL_NORTH.slug: {
        # The stand-in of Mitz says no for whoever chose nothing, so that the policy must name that case.
        "break_glass": {
            "document": "Noodprocedure spoedeisende hulp (demo)",
            "dated": "2026-01-01",
            "review_hours": 24,
            "overrides_objection": True,
        },
        "acute_opt_out": {"requester_types": [cast.HOSPITAL_SOUTH.type_code, cast.OUT_OF_HOURS.type_code]},
    }
}
"""What an organisation decided about care that cannot wait, by slug; the others decided nothing."""


def ensure_keys(folder: DemoFolder) -> dict[str, Path]:
    """The signing key (JWK file) of each organisation by slug; those that are not there yet are made."""
    paths = {}
    for organisation in cast.ORGANISATIONS:
        path = folder.path / "keys" / f"{organisation.slug}.jwk.json"
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            folder.write(path, orjson.dumps(new_key()))
        paths[organisation.slug] = path
    return paths


def write_configurations(
    folder: DemoFolder,
    doors: Sequence[Doors],
    databases: Mapping[cast.Operator, str],
    keys: Mapping[str, Path],
) -> dict[cast.Operator, Path]:
    """One file for each operator. `databases` are addresses by operator, `keys` the files of `ensure_keys`."""
    peers: list[toml.Value] = [_peer(one, keys[one.slug]) for one in cast.ORGANISATIONS]
    dids = stand_ins.organisation_dids(doors)
    paths: dict[cast.Operator, Path] = {}
    for one in doors:
        table: dict[str, toml.Value] = {
            "database": databases[one.operator],
            "connections": WORKERS_CONNECTIONS,
            "public_url": one.front,
            "internal_url": one.internal,
            "host": HOST,
            "front_port": one.front_port,
            "internal_port": one.internal_port,
            "guarded_on_front": True,
            "back": _back(folder, one),
            "certificates": {
                "uzi": "test",
                "sources": [stand_in_address(doors, "uzi-ca")],
                "keep_seconds": 5,
            },
            "peer_ca": [certificates.anchors(folder)],
            "trust": _trust(folder, doors),
            "organisations": [
                _organisation(folder, organisation, keys[organisation.slug], dids[organisation.slug])
                for organisation in cast.ORGANISATIONS
                if organisation.operator == one.operator
            ],
            "directory": peers,
            "medmij": stand_ins.settings(folder, doors, one.operator),
            "dezi": stand_ins.dezi_settings(folder, doors, one.operator),
            "mitz": stand_ins.mitz_settings(folder, doors, one.operator),
            "addressing": directories.settings(folder, doors, one.operator),
            **_portal(folder, doors, one.operator),
            **referrals.settings(folder, doors, one.operator),
        }
        paths[one.operator] = folder.path / f"{one.operator}.toml"
        heading = f"# The node of the {one.operator} operator of a demo region; written anew at each start.\n"
        folder.write(paths[one.operator], (heading + toml.document(table)).encode())
    return paths


def _portal(folder: DemoFolder, doors: Sequence[Doors], operator: cast.Operator) -> dict[str, toml.Value]:
    """The portal and the board of the region, which the first operator has."""
    if operator != cast.OPERATORS[0]:
        return {}
    return {
        "portal": stand_ins.portal_settings(folder, doors, operator),
        "roadmap": {"region": NAME, "keepers": [KEEPER.slug], "pseudonym_key": _pseudonym_key(folder)},
    }


def _pseudonym_key(folder: DemoFolder) -> Path:
    """The file of the key by which people of the region become pseudonyms; made when it is not there yet."""
    path = folder.path / "keys" / "pseudonyms.key"
    if not path.exists():
        folder.write(path, secrets.token_hex(SHORTEST_KEY).encode())
    return path


def _back(folder: DemoFolder, at: Doors) -> dict[str, toml.Value]:
    """The listener for other organisations."""
    pair = certificates.operator_pair(folder, at.operator)
    return {
        "port": at.back_port,
        "public_url": at.back,
        "certificate": pair.certificate,
        "key": pair.key,
        "client_ca": [certificates.anchors(folder)],
        "verdict_seconds": 5,
    }


def _trust(folder: DemoFolder, doors: Sequence[Doors]) -> dict[str, toml.Value]:
    """Whose credentials are believed."""
    issuer = stand_ins.issuer_did(doors)
    types = (
        "HealthcareProviderRoleTypeCredential",
        "PatientEnrollmentCredential",
        "HealthCareProfessionalDelegationCredential",
    )
    return {
        "uzi": [certificates.anchors(folder)],
        "issuers": {name: [issuer] for name in types},
        "http_on_loopback": True,
    }


def _organisation(
    folder: DemoFolder, organisation: cast.Organisation, key: Path, did: str
) -> dict[str, toml.Value]:
    pair = certificates.organisation_pair(folder, organisation)
    return {
        "slug": organisation.slug,
        "ura": organisation.ura,
        "name": organisation.name,
        "type_code": organisation.type_code,
        "medmij_name": organisation.medmij_name,
        "internal_key": folder.internal_keys[organisation.slug],
        "signing_key": key,
        "tls_certificate": pair.certificate,
        "tls_key": pair.key,
        "did": did,
        "uzi_certificate": pair.certificate,
        "uzi_key": pair.key,
        "credentials": [certificates.role_credential(folder, organisation)],
        "write_check": "lenient",
        "erasure": "test",
        "registrations": referrals.registrations(organisation, folder.contents.today),
        "entries": directories.entries(organisation),
        **_POLICIES.get(organisation.slug, {}),
    }


def _peer(organisation: cast.Organisation, key: Path) -> dict[str, toml.Value]:
    """What an operator enters of an organisation: what it signs with. Where it is, the directory tells."""
    jwks = AssertionSigner(organisation.ura, key).jwks()
    return {"ura": organisation.ura, "name": organisation.name, "jwks": jwks}
