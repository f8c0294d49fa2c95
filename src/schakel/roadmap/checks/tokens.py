"""`token-metadata`: the authorisation server says what it offers, and that is safe.

Clients prove who they are with a key. `none` (no proof) is for the programs of patients alone, whose grant is
`authorization_code` with the login of the patient behind it. Tokens are bound to a key (DPoP) or to the certificate of
the client.

Source: RFC 8414 sections 2 and 3, RFC 7523 section 2.2, RFC 9449 section 5.1, RFC 8705 section 3.3; Nictiz API
requirements SC008 and SC-R001.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from schakel.facilities.reach import is_loopback
from schakel.roadmap.checks.model import Check, Target, Unclear, found, judged
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "token-metadata"

_PROOF = frozenset({"private_key_jwt", "tls_client_auth"})
_WEAK = ("HS", "none")
"""How the names begin of algorithms that prove no key of one's own."""


async def _measure(target: Target, tools: Tools) -> Finding:
    issuer = target.organisation.issuer
    parts = urlsplit(issuer)
    address = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
    answer = await tools.get(address)
    if answer.status >= 500:
        raise Unclear(
            Text(
                f"{address} antwoordt nu met status {answer.status}.",
                f"{address} answers with status {answer.status} at the moment.",
            ),
            address,
        )
    table = answer.table()
    if answer.status != 200 or table is None:
        reason = Text(
            f"Op {address} staat geen beschrijving van de autorisatieserver (status {answer.status}).",
            f"There is no description of the authorisation server at {address} (status {answer.status}).",
        )
        return found(ID, "fails", reason, address)
    faults = list(_faults(table, issuer, target.defaults.http_on_loopback))
    grants = table.get("grant_types_supported")
    return judged(
        ID,
        faults,
        Text(
            f"De autorisatieserver {issuer} beschrijft zichzelf, vraagt een bewijs van wie vraagt, en bindt tokens.",
            f"The authorisation server {issuer} describes itself, asks proof of who asks, and binds tokens.",
        ),
        detail=address,
        facts={"grants": ", ".join(_texts(grants))},
    )


def _faults(table: Mapping[str, Any], issuer: str, plain: bool) -> Iterator[Text]:
    if table.get("issuer") != issuer:
        yield Text(
            f"De server noemt zich {str(table.get('issuer'))[:100]}, niet {issuer}.",
            f"The server calls itself {str(table.get('issuer'))[:100]}, not {issuer}.",
        )
    if not isinstance(table.get("token_endpoint"), str):
        yield Text("Er is geen adres om tokens te vragen.", "There is no address to ask tokens at.")
    for name in sorted(name for name in table if name.endswith("_endpoint") or name == "jwks_uri"):
        if not _safe(table[name], plain):
            yield Text(f"{name} is geen https-adres.", f"{name} is no https address.")
    grants = _texts(table.get("grant_types_supported"))
    if not grants:
        yield Text(
            "De server zegt niet hoe men een token krijgt (grant_types_supported).",
            "The server does not say how to get a token (grant_types_supported).",
        )
    methods = _texts(table.get("token_endpoint_auth_methods_supported"))
    if not _PROOF & set(methods):
        yield Text(
            "Vragers bewijzen niet met een sleutel wie ze zijn (private_key_jwt).",
            "Clients do not prove who they are with a key (private_key_jwt).",
        )
    if "none" in methods and "authorization_code" not in grants:
        yield Text(
            "De server geeft tokens aan wie niets bewijst (none).",
            "The server gives tokens without proof (none).",
        )
    proofs = _texts(table.get("dpop_signing_alg_values_supported"))
    if not proofs and table.get("tls_client_certificate_bound_access_tokens") is not True:
        yield Text(
            "Tokens worden niet gebonden aan een sleutel of certificaat (DPoP of mTLS).",
            "Tokens are not bound to a key or certificate (DPoP or mTLS).",
        )
    signing = (*proofs, *_texts(table.get("token_endpoint_auth_signing_alg_values_supported")))
    if weak := sorted({one for one in signing if one.startswith(_WEAK)}):
        yield Text(
            f"De server neemt zwakke handtekeningen aan: {', '.join(weak)}.",
            f"The server takes weak signatures: {', '.join(weak)}.",
        )


def _safe(address: object, plain: bool) -> bool:
    if not isinstance(address, str):
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    host = parts.hostname or ""
    return bool(host) and (
        parts.scheme == "https" or (plain and parts.scheme == "http" and is_loopback(host))
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


CHECK = Check(
    ID,
    Text("Autorisatieserver", "Authorisation server"),
    Text(
        "Leest de beschrijving van de autorisatieserver (RFC 8414): wie hij is, https, bewijs met een sleutel, en "
        "gebonden tokens.",
        "Reads the description of the authorisation server (RFC 8414): who it is, https, proof with a key, and bound "
        "tokens.",
    ),
    timedelta(days=7),
    wants=lambda one: bool(one.issuer),
    measure=_measure,
)
