"""Takes credentials apart: JWT VC 1.1, and objects for the few types that come as one.

Some peers write a list of one as its only element: both are read. Nothing here is trusted yet.
Sources: W3C VC data model 1.1, sections 4 and 6.3.1 (JWT); VC data model 2.0, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schakel.generic.identity.credentials.jwts import Jwt, read
from schakel.generic.identity.credentials.model import BASE_TYPE, CONTEXT_V1, CONTEXT_V2, Credential
from schakel.generic.identity.credentials.refusals import Refused, shown

MAX_ITEMS = 50


def items(value: object) -> list[Any]:
    """`value` as a list: nothing is an empty one, a single element a list of one."""
    if value is None:
        return []
    return list(value[:MAX_ITEMS]) if isinstance(value, list) else [value]


def credential(value: object) -> Credential:
    """The credential in `value`: a JWT, or a JSON object. Raises `Refused`."""
    if isinstance(value, str):
        jwt = read(value, "the credential")
        return _of_jwt(jwt)
    if isinstance(value, Mapping):
        return _made(value, None, str(_text(value.get("issuer"), "issuer")))
    raise Refused("it is neither a JWT nor an object", code="credential-malformed")


def _of_jwt(jwt: Jwt) -> Credential:
    """The claims of the JWT win over what stands inside `vc`, and where both are there they must agree."""
    inner = jwt.claims.get("vc")
    if not isinstance(inner, Mapping):
        raise Refused("the claim vc is missing", code="credential-malformed", expression="vc")
    issuer = _text(jwt.claims.get("iss"), "iss")
    _agree(inner.get("issuer"), issuer, "vc.issuer")
    members = {**inner, "issuer": issuer}
    if (name := jwt.claims.get("jti")) is not None:
        _agree(inner.get("id"), _text(name, "jti"), "vc.id")
        members["id"] = name
    subject = _text(jwt.claims.get("sub"), "sub")
    subjects = items(members.get("credentialSubject"))
    if len(subjects) == 1 and isinstance(subjects[0], Mapping):
        if subjects[0].get("id", subject) != subject:
            raise Refused(
                "the claim sub is not credentialSubject.id", code="credential-subject", expression="sub"
            )
        members["credentialSubject"] = {**subjects[0], "id": subject}
    return _made(members, jwt, issuer)


def _made(members: Mapping[str, Any], jwt: Jwt | None, issuer: str) -> Credential:
    contexts = items(members.get("@context"))
    if not contexts or contexts[0] not in (CONTEXT_V1, CONTEXT_V2):
        raise Refused(
            f"the first @context is not {CONTEXT_V1}", code="credential-context", expression="@context"
        )
    types = items(members.get("type"))
    own = [one for one in types if one != BASE_TYPE]
    if BASE_TYPE not in types or len(own) != 1 or not isinstance(own[0], str) or not own[0]:
        raise Refused(
            f"type is not {BASE_TYPE} and one type of its own", code="credential-type", expression="type"
        )
    subjects = items(members.get("credentialSubject"))
    if len(subjects) != 1 or not isinstance(subjects[0], Mapping):
        raise Refused(
            "credentialSubject is not one object", code="credential-subject", expression="credentialSubject"
        )
    document = {**members, "@context": contexts, "type": types, "credentialSubject": subjects}
    return Credential(own[0], issuer, subjects[0], document, jwt)


def _text(value: object, where: str) -> str:
    if isinstance(value, Mapping):  # an issuer may be an object with an id
        value = value.get("id")
    if not isinstance(value, str) or not value:
        raise Refused(f"{where} is missing or is not text", code="credential-malformed", expression=where)
    return value


def _agree(value: object, claim: str, where: str) -> None:
    if value is not None and _text(value, where) != claim:
        raise Refused(
            f"{where} says {shown(value)}, and the claims of the JWT {shown(claim)}",
            code="credential-malformed",
            expression=where,
        )


def instant(members: Mapping[str, Any], names: tuple[str, ...]) -> datetime | None:
    """The date in the first of `names` that a credential has. Raises `Refused`."""
    for name in names:
        if (text := members.get(name)) is not None:
            try:
                moment = datetime.fromisoformat(text)
            except (ValueError, TypeError):
                moment = datetime.min
            if moment.tzinfo is None:
                raise Refused(
                    f"{name} is not a date with a time and a zone", code="credential-date", expression=name
                )
            return moment
    return None
