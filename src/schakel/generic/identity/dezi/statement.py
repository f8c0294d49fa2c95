"""The statement (verklaring) of Dezi about a professional: read, typed and verified.

Nothing in it counts before its signature does. Its header names where its keys are (`jku`); only addresses that were
set beforehand are ever asked. Every refusal names the claim that is wrong; what could not be looked up is
`FacilityAway` or another `Upstream`, never a refusal.

Source: interface specification of Dezi, text version 0.7 (verklaring v1); RFC 7515 section 4.1.2 (jku), RFC 8725. The
form of the answer at `status_uri` is not public: here it is `{"verklaring_id": ..., "status": "valid"}`, as the
stand-in gives it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from schakel.facilities import Facilities, origin
from schakel.fhir.json import parse
from schakel.generic.identity.jws import Signed, made_with, opened, registry
from schakel.generic.identity.key_sets import KeySets
from schakel.generic.identity.model import MAX_NAME, User, check_text
from schakel.kernel.outcomes import Invalid, Upstream
from schakel.kernel.values import Ura

ALGORITHM = "RS256"
ISSUER = "abonnee.dezi.nl"
LEEWAY_SECONDS = 5
"""How far the clocks of Dezi and of us may differ."""

MAX_CHARACTERS = 20_000
ROLE_SOURCES = frozenset({"http://www.dezi.nl/rol_bron/big", "http://www.dezi.nl/rol_code_bron/big"})
"""Both spellings of the one register of roles that is known; another is taken too, with a warning."""

_RULES = registry(ALGORITHM, longest=MAX_CHARACTERS)
_NUMBER = re.compile(r"[0-9]{9}")
_ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}")
_MAX_URI = 500
_log = structlog.get_logger("schakel.identity")


class StatementWrong(Invalid):
    """Something in a statement is missing or wrong; `expression` is the claim (or header) at fault."""


class StatusUnknown(Upstream):
    """Dezi was asked whether the statement still holds, and gave no answer that can be used."""


@dataclass(frozen=True, slots=True)
class Professional:
    """A professional, as a verified statement says. `number` is the Dezi number, `role` a role code, `ura` and
    `organisation` are for whom this person works, `assurance` is a level as a URI, `statement` the statement's own id,
    `warnings` are the claims that are odd and do no harm."""

    number: str
    initials: str
    prefix: str
    surname: str
    role: str
    role_name: str
    ura: str
    organisation: str
    assurance: str
    statement: str
    status_uri: str
    until: datetime
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The full name."""
        return " ".join(part for part in (self.initials, self.prefix, self.surname) if part)

    @property
    def user(self) -> User:
        """The same as the log, tokens and decisions know it."""
        return User(self.number, self.name, self.role)


@dataclass(frozen=True, slots=True)
class DeziRules:
    """`jku` are the addresses of keys that are asked, `issuers` the values of iss, `levels` the levels of assurance
    that are taken; `status` says whether Dezi is asked if a statement still holds."""

    jku: frozenset[str]
    levels: frozenset[str]
    issuers: frozenset[str] = frozenset({ISSUER})
    status: Literal["off", "required"] = "off"


class DeziTrust:
    """Verifies statements by the keys that Dezi publishes, which are reached over `wires`."""

    def __init__(self, wires: Facilities, rules: DeziRules) -> None:
        self.rules = rules
        self._wires = wires
        self._keys = KeySets(wires)

    async def verify(self, verklaring: str, moment: datetime) -> Professional:
        """The professional of a statement that is genuine and valid at `moment`.

        Raises `StatementWrong`; and `FacilityAway`, `KeysWrong` or `StatusUnknown` when that could not be found out.
        """
        signed = _read(verklaring)
        address, kid = self._where(signed)
        if not any(made_with(signed, key, _RULES) for key in await self._found(address, kid)):
            raise _wrong("signature", "the statement has no signature of Dezi", code="statement-signature")
        professional = self._said(signed.claims, moment)
        await self.check_status(professional)
        return professional

    def said(self, verklaring: str, moment: datetime) -> Professional:
        """What a statement of our own keeping says, which was verified when it came: its signature is not looked at.
        Raises `StatementWrong`."""
        return self._said(_read(verklaring).claims, moment)

    async def check_status(self, professional: Professional) -> None:
        """Asks Dezi whether the statement still holds, when that is set. Raises as `verify` does."""
        if self.rules.status == "off":
            return
        uri = professional.status_uri
        if not uri:
            raise _wrong("status_uri", "it is missing, and the status is asked here")
        if origin(uri) not in {origin(one) for one in self.rules.jku}:
            raise _wrong("status_uri", "its host is none of those at which Dezi is asked (setting dezi.jku)")
        answer = await self._wires.send("GET", uri, headers={"Accept": "application/json"})
        try:
            said = parse(answer.body, max_depth=4) if answer.status == 200 else {}
        except Invalid:
            said = {}
        status = said.get("status") if said.get("verklaring_id") == professional.statement else None
        if status == "withdrawn":
            raise _wrong("verklaring_id", "Dezi has withdrawn the statement", code="statement-withdrawn")
        if status != "valid":
            raise StatusUnknown(
                "Dezi did not say whether the statement still holds; try again later",
                code="statement-status-unknown",
                cause=f"status {answer.status}",
            )

    def _where(self, signed: Signed) -> tuple[str, str]:
        """Where the key is, and its name."""
        header = signed.header
        if header.get("alg") != ALGORITHM:
            raise _wrong("alg", f"the statement is not signed with {ALGORITHM}")
        if "crit" in header:
            raise _wrong("crit", "the header has an extension that is not known")
        if "relations" in signed.claims or "x5c" in header:
            raise _wrong("x5c", "this is an older statement (DeziIDJWT2024), which is not supported")
        if str(header.get("typ", "JWT")).upper() != "JWT":
            raise _wrong("typ", "JWT is needed")
        address, kid = header.get("jku"), header.get("kid")
        if not isinstance(address, str) or address not in self.rules.jku:
            raise _wrong("jku", "the address of its key is not one at which Dezi is asked (setting dezi.jku)")
        if not isinstance(kid, str) or not kid:
            raise _wrong("kid", "the name of its key is missing")
        return address, kid

    async def _found(self, address: str, kid: str) -> tuple[Any, ...]:
        if keys := await self._keys.find(address, kid):
            return keys
        raise _wrong("kid", "Dezi publishes no key with this name", code="statement-key")

    def _said(self, claims: Mapping[str, Any], moment: datetime) -> Professional:
        if (issuer := _text(claims, "iss", _MAX_URI)) not in self.rules.issuers:
            raise _wrong("iss", f"it is of another issuer than {' or '.join(sorted(self.rules.issuers))}")
        until = _times(claims, moment)
        for name in ("jti", "json_schema"):
            _text(claims, name, _MAX_URI, needed=name == "jti")
        level = _text(claims, "loa_dezi", _MAX_URI)
        if level not in self.rules.levels:
            raise _wrong("loa_dezi", "the level of assurance is not one that is taken (setting dezi.levels)")
        try:
            ura = str(Ura(_text(claims, "abonnee_nummer")))
        except Invalid as error:
            if isinstance(error, StatementWrong):
                raise
            raise _wrong("abonnee_nummer", error.message) from None
        professional = Professional(
            number=_matching(claims, "dezi_nummer", _NUMBER, "nine digits are needed"),
            initials=_text(claims, "voorletters", needed=False),
            prefix=_text(claims, "voorvoegsel", needed=False),
            surname=_text(claims, "achternaam"),
            role=_matching(claims, "rol_code", _ROLE, "two digits, a dot and three digits are needed"),
            role_name=_text(claims, "rol_naam", needed=False),
            ura=ura,
            organisation=_text(claims, "abonnee_naam"),
            assurance=level,
            statement=_text(claims, "verklaring_id"),
            status_uri=_text(claims, "status_uri", _MAX_URI, needed=False),
            until=until,
            warnings=tuple(_odd(claims)),
        )
        if len(professional.name) > MAX_NAME:
            raise _wrong("achternaam", f"the whole name is longer than {MAX_NAME} characters")
        for warning in professional.warnings:
            _log.warning("statement-odd", issuer=issuer, what=warning)
        return professional


def _read(text: str) -> Signed:
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        raise _wrong("verklaring", f"a text of at most {MAX_CHARACTERS} characters is needed")
    try:
        return opened(text, _RULES)
    except ValueError:
        raise _wrong("verklaring", "it is not a signed JWT of three parts") from None


def _times(claims: Mapping[str, Any], moment: datetime) -> datetime:
    """The end of a statement that is valid at `moment`."""
    at = moment.timestamp()
    begins, ends = (_seconds(claims, name) for name in ("nbf", "exp"))
    if begins > at + LEEWAY_SECONDS:
        raise _wrong("nbf", "the statement is not valid yet")
    if ends <= at - LEEWAY_SECONDS:
        raise _wrong("exp", "the statement has expired", code="statement-expired")
    return datetime.fromtimestamp(ends, UTC)


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value < 10**11:
        raise _wrong(name, "a number of seconds since 1970 is needed")
    return value


def _text(claims: Mapping[str, Any], name: str, longest: int = MAX_NAME, *, needed: bool = True) -> str:
    """The text of a claim; '' for one that is not needed and absent, null or empty."""
    value = claims.get(name)
    if not needed and value in (None, ""):
        return ""
    try:
        return check_text(value, name, longest)
    except Invalid as error:
        raise _wrong(name, error.message) from None


def _matching(claims: Mapping[str, Any], name: str, pattern: re.Pattern[str], what: str) -> str:
    value = _text(claims, name)
    if not pattern.fullmatch(value):
        raise _wrong(name, what)
    return value


def _odd(claims: Mapping[str, Any]) -> list[str]:
    """What is noted and never refused: the source of roles has several spellings in use."""
    source = claims.get("rol_code_bron")
    return [] if isinstance(source, str) and source in ROLE_SOURCES else ["rol_code_bron"]


def _wrong(name: str, why: str, *, code: str = "statement-wrong") -> StatementWrong:
    return StatementWrong(f"the statement of Dezi is not taken: {name}: {why}", code=code, expression=name)
