"""DeziUserCredential: a statement of Dezi about a professional (verklaring), wrapped as it came.

The statement is what counts. Everything that the credential repeats from it is recomputed, and any difference is
refused. Dezi binds it to nobody: it is taken only beside an organisation's credential of the same URA, see
`presentations`. Who presents it may write their DID as `credentialSubject.id`, as Nuts nodes do; that it is theirs
is for the caller to check.

Source: interface specification of Dezi, 0.7; both forms in use are read, data model 1.1 and 2.0, of which the second
has no id of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schakel.generic.identity.credentials.jwts import check_times, read
from schakel.generic.identity.credentials.model import CONTEXT_V1, Credential, Professionals, Proof
from schakel.generic.identity.credentials.reading import instant, items
from schakel.generic.identity.credentials.refusals import NotChecked, Refused, shown
from schakel.generic.identity.model import User
from schakel.kernel.outcomes import Invalid, Outcome

PROOF = "DeziIDJWT07"
_OLDER = "DeziIDJWT2024"
_WORKER = {
    "identifier": "dezi_nummer",
    "initials": "voorletters",
    "surnamePrefix": "voorvoegsel",
    "surname": "achternaam",
    "role": "rol_code",
    "role_name": "rol_naam",
    "role_registry": "rol_code_bron",
}
_SUBJECT = {"identifier": "abonnee_nummer", "name": "abonnee_naam"}
_SUBJECT_TYPES = frozenset({"DeziIDTokenSubject", "HealthcareProvider"})
_WORKER_TYPES = frozenset({"HealthcareWorker"})


async def check(credential: Credential, professionals: Professionals, moment: datetime) -> Proof:
    """What the statement inside proves. Raises `Refused` and `NotChecked`."""
    statement = _statement(credential)
    jwt = read(statement, "the statement of Dezi")
    try:
        professional = await professionals.verify(statement, moment)
    except Outcome as error:
        kind = NotChecked if error.status >= 500 else Refused
        raise kind(error.message, code=error.kind, expression="proof.jwt") from error
    begin, end = check_times(jwt, moment.timestamp())
    _compare(credential, jwt.claims, begin, end)
    try:
        user = User(professional.number, professional.name, professional.role)
    except Invalid as error:
        raise Refused(error.message, code=error.kind, expression="proof.jwt") from error
    return Proof(ura=str(professional.ura), user=user, assurance=professional.assurance, holder_bound=False)


def _statement(credential: Credential) -> str:
    proofs = items(credential.document.get("proof"))
    if credential.jwt is not None or len(proofs) != 1 or not isinstance(proofs[0], Mapping):
        raise Refused(
            f"it is not an object with one proof of type {PROOF}", code="dezi-proof", expression="proof"
        )
    kind, text = proofs[0].get("type"), proofs[0].get("jwt")
    if kind == _OLDER:
        raise Refused(
            f"the older proof {_OLDER} is not supported: {PROOF} is",
            code="dezi-proof",
            expression="proof.type",
        )
    if kind != PROOF or not isinstance(text, str):
        raise Refused(
            f"its proof is of type {shown(kind)}: {PROOF} with a jwt is needed",
            code="dezi-proof",
            expression="proof.type",
        )
    return text


def _compare(credential: Credential, claims: Mapping[str, Any], begin: float, end: float) -> None:
    document, subject = credential.document, credential.subject
    worker = subject.get("employee")
    if isinstance(worker, list) and len(worker) == 1:
        worker = worker[0]
    if not isinstance(worker, Mapping):
        raise _differs("credentialSubject.employee", "an object")
    named = {"issuer": "iss", **({"id": "jti"} if "id" in document else {})}
    _same(document, named, claims, "")
    _same(subject, _SUBJECT, claims, "credentialSubject.")
    _same(worker, _WORKER, claims, "credentialSubject.employee.")
    _known(subject, {*_SUBJECT, "employee", "id"}, _SUBJECT_TYPES, "credentialSubject")
    _known(worker, set(_WORKER), _WORKER_TYPES, "credentialSubject.employee")
    first = items(document.get("@context"))[0] == CONTEXT_V1
    starts, ends = ("issuanceDate", "expirationDate") if first else ("validFrom", "validUntil")
    for name, seconds, claim in ((starts, begin, "nbf"), (ends, end, "exp")):
        told = instant(document, (name,))
        if told is None or told.timestamp() != seconds:
            raise _differs(name, f"the claim {claim}")


def _same(
    members: Mapping[str, Any], names: Mapping[str, str], claims: Mapping[str, Any], where: str
) -> None:
    """Refuses when a member is not equal to its claim; what is empty in both may be left out."""
    for member, claim in names.items():
        told = members.get(member)
        if isinstance(told, Mapping) and member == "issuer":
            told = told.get("id")
        said = claims.get(claim)
        if ("" if told is None else told) != ("" if said is None else said):
            raise _differs(f"{where}{member}", f"the claim {claim}")


def _known(members: Mapping[str, Any], names: set[str], types: frozenset[str], where: str) -> None:
    for name, value in members.items():
        if name in ("@type", "type"):
            if not isinstance(value, str) or value not in types:
                raise _differs(f"{where}.{name}", " or ".join(sorted(types)))
        elif name not in names:
            raise _differs(f"{where}.{name}", "anything in the statement")


def _differs(where: str, what: str) -> Refused:
    return Refused(
        f"{where} is not {what} (of the statement of Dezi)", code="dezi-difference", expression=where
    )
