"""What the addresses of the PRS share: who asks, for whom, and how an answer is sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from starlette.requests import Request

from schakel_national.prs.register import Key, Organisation, Register, read_register
from schakel_national.prs.requests import is_oin, point_of
from schakel_national.prs.secrets import Evaluator, Pseudonymiser, kept_secret, sealed, url_text

NEW, OLD = "new", "old"
_FORWARDED = "x-forwarded-tls-client-cert"
_ALGORITHMS = {NEW: "RSA-OAEP", OLD: "RSA-OAEP-256"}


class Refused(Exception):
    """An error answer: its status and the members of its body."""

    def __init__(self, status: int, **members: Any) -> None:
        super().__init__(status)
        self.status = status
        self.members = members


@dataclass(frozen=True)
class Service:
    """The configuration, read. `audience` is what tokens for us are for, `form` new or old (see the package)."""

    form: str
    guide: bool
    algorithm: str
    audience: str
    register: Register
    evaluator: Evaluator
    pseudonymiser: Pseudonymiser

    @classmethod
    def read(cls, table: Mapping[str, Any], folder: Path, address: str) -> Service:
        """The service that the table says. Raises `ValueError`, `KeyError` and `OSError`."""
        form = str(table.get("form", NEW))
        if form not in _ALGORITHMS:
            raise ValueError(f"form is {NEW} or {OLD}, not {form!r}")
        algorithm = str(table.get("algorithm", _ALGORITHMS[form]))
        if algorithm not in _ALGORITHMS.values():
            raise ValueError(f"algorithm is one of {', '.join(_ALGORITHMS.values())}, not {algorithm!r}")
        return cls(
            form,
            bool(table.get("guide", True)),
            algorithm,
            str(table.get("verifier", {}).get("audience", address)),
            read_register(table, folder),
            Evaluator(kept_secret(folder, "oprf_key", table.get("oprf_key"))),
            Pseudonymiser(kept_secret(folder, "master_key", table.get("master_key"))),
        )

    def caller(self, request: Request) -> str:
        """The OIN of who asks, as the verifier in front tells. The old service looked at the token itself, not at what
        the verifier tells. Raises `Refused`."""
        told = request.headers
        oin = told.get("x-gf-sub", "")
        if self.form == OLD:
            return oin
        known = is_oin(oin) and is_oin(told.get("x-gf-act-sub", "")) and told.get("x-gf-act-cn")
        if not known or told.get("x-gf-audience") != self.audience:
            raise Refused(403, detail="Unauthorized request")
        return oin

    def owner(self, request: Request) -> Organisation:
        """The organisation that asks; it must be known here. Raises `Refused`."""
        found = self.register.by_oin(self.caller(request))
        if found is None:
            raise Refused(401, detail="unauthorized")
        return found

    def key(self, recipient: str, scope: str) -> Key:
        """The key of a recipient, by its name with prefix, for a scope. Raises `Refused`."""
        organisation = self.register.by_name(recipient)
        if organisation is None:
            kind = "OIN" if recipient.startswith("oin:") else "ura"
            raise Refused(404, error=f"No organization found for this {kind}")
        key = organisation.key_for(scope)
        if key is None:
            raise Refused(404, error="No public key found for this organization and/or scope")
        return key

    def evaluated(self, blinded: str, recipient: str, scope: str) -> str:
        """The blinded point (base64) evaluated and sealed for the recipient. Raises `Refused`."""
        key = self.key(recipient, scope)
        try:
            point = self.evaluator.evaluated(point_of(blinded))
        except ValueError:
            raise Refused(400, error="Unable to evaluate blind") from None
        further: dict[str, Any] = {} if self.form == OLD else {"extra_versions": {}}
        return self.sealed(key, f"pseudonym:eval:{url_text(point)}", recipient, scope, **further)

    def sealed(self, key: Key, subject: str, recipient: str, scope: str, **further: Any) -> str:
        """A JWE that says `subject` to the owner of `key`."""
        return sealed(key, self.algorithm, self.form == NEW, subject, recipient, scope, **further)


def certificate(request: Request) -> x509.Certificate:
    """The certificate that the client showed, as the party in front tells. Raises `Refused`."""
    text = request.headers.get(_FORWARDED, "")
    if not text:
        raise Refused(401, detail="Missing client certificate")
    try:
        return x509.load_der_x509_certificate(point_of(text))
    except ValueError:
        raise Refused(401, detail="Invalid client certificate") from None
