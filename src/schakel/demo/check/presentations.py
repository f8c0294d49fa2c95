"""A presentation of credentials, made from what the organisation that asks really has, and shown twice.

Its certificate, the credential of its type, the key that signs and the login of a professional at Dezi are those of its
node; only the presentation is made here, because a node never shows one a second time.
"""

from __future__ import annotations

import secrets
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from schakel.demo.check.professionals import chosen
from schakel.demo.check.refusals import oauth_refusal
from schakel.demo.check.trial import Trial, prove, prove_equal
from schakel.demo.doors import Reply
from schakel.facilities import Facilities, FacilityRules
from schakel.generic.identity import DpopKey, read_key
from schakel.generic.identity.credentials import (
    Definition,
    Presentation,
    Wallet,
    dezi_credential,
    make_x509_credential,
    read_credentials,
)
from schakel.generic.identity.keys import read_rsa_key
from schakel.generic.identity.oidc import LoginRules, LoginSecrets, LoginService
from schakel.generic.identity.tokens.grants import VP_BEARER

_SCOPE = "bgz"
_SECONDS = 10.0


async def replayed(trial: Trial) -> str:
    """Credentials of the organisation and of its professional are a token once, and the same ones not again."""
    node = tomllib.loads((trial.folder / f"{trial.requester.operator}.toml").read_text("utf-8"))
    wallet = _wallet(trial, node)
    beside = [dezi_credential(await _statement(trial, node), wallet.did)]
    query = urlencode({"scope": _SCOPE})
    wanted = await trial.client.send("GET", f"{trial.holder.front}/oauth2/presentation_definition?{query}")
    prove_equal(wanted.status, 200, f"what is to be presented ({wanted.said()})")
    made = wallet.present(Definition.read(wanted.json()), audience=trial.holder.issuer, beside=beside)
    first = await _ask(trial, made)
    prove_equal(
        (first.status, first.json().get("token_type")), (200, "DPoP"), f"the first time ({first.said()})"
    )
    said = oauth_refusal(await _ask(trial, made), 400, "invalid_grant")
    prove("before" in said, f"refused for another reason: {said}")
    shown = ", ".join(one["id"] for one in made.submission["descriptor_map"])
    return f"a token for {shown} the first time; the second time 400 invalid_grant: {said}"


async def _ask(trial: Trial, made: Presentation) -> Reply:
    """The answer of the holder's token endpoint to a presentation, with a new proof of a new key."""
    endpoint = f"{trial.holder.back}/oauth2/token"
    form = {
        "grant_type": VP_BEARER,
        "scope": _SCOPE,
        "client_id": trial.requester.issuer,
        "assertion": made.assertion,
        "presentation_submission": orjson.dumps(made.submission).decode(),
    }
    headers = {"DPoP": DpopKey.new().proof("POST", endpoint)}
    return await trial.requester.outside.send("POST", endpoint, headers=headers, data=form)


def _wallet(trial: Trial, node: dict[str, Any]) -> Wallet:
    """What the requester has, as the settings of its node say."""
    [own] = [one for one in node["organisations"] if one["slug"] == trial.requester.slug]
    chain = x509.load_pem_x509_certificates(Path(own["uzi_certificate"]).read_bytes())
    key = load_pem_private_key(Path(own["uzi_key"]).read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    held = [make_x509_credential(key, chain, own["did"]), *read_credentials(map(Path, own["credentials"]))]
    return Wallet(own["did"], read_key(trial.requester.signing_key), held)


async def _statement(trial: Trial, node: dict[str, Any]) -> str:
    """What Dezi says of the requester's professional, who logs in there as at the node."""
    given, who = node["dezi"], trial.user(trial.requester)
    back = f"{trial.requester.front}/professionals/callback"
    login = LoginSecrets(secrets.token_urlsafe(32), secrets.token_urlsafe(48))
    async with Facilities.open("Dezi", None, FacilityRules(timeout=_SECONDS)) as wires:
        rules = LoginRules(given["issuer"], given["client_id"], frozenset({"jwe", "jws"}), proves=False)
        service = LoginService(wires, rules, read_rsa_key(Path(given["key"])))
        address = await service.address(back, secrets.token_urlsafe(16), login)
        answered = await chosen(trial, address, f"{who.id} {trial.requester.ura}")
        [code] = parse_qs(urlsplit(answered.headers["Location"]).query)["code"]
        claims = await service.userinfo(code, back, login)
    return str(claims["verklaring"])
