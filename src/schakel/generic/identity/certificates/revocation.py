"""Whether a certificate, or an authority above it, was withdrawn.

Each certificate of a verified chain but the anchor is looked up in the list of its issuer, or asked for at its
issuer's responder. An address that a certificate names is used only when it lies under one of the `sources` of
`RevocationRules`: nobody makes this program fetch from a host of their choosing. What was fetched is kept until it
expires, at most `keep` seconds. A list that cannot be fetched again then still counts as long as its issuer says
(nextUpdate), and one with a lower number or an earlier date than the one before is not taken.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from cryptography import x509

from schakel.facilities import Facility, FacilityAway, FacilityRules
from schakel.generic.identity.certificates import lists, responder
from schakel.generic.identity.certificates.errors import CertificateRefused, RevocationUnknown
from schakel.generic.identity.certificates.lists import OfAnother, RevocationList, Unusable
from schakel.generic.identity.certificates.trust import Verified, thumbprint
from schakel.kernel import clock

T = TypeVar("T")

_ANSWERS = 10_000
"""Answers of responders that are remembered; the oldest make place."""


class Mode(StrEnum):
    """How it is found out. EITHER asks the responder when no list can be had; OFF finds out nothing."""

    CRL = "crl"
    OCSP = "ocsp"
    EITHER = "either"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class RevocationRules:
    """`sources` are the addresses under which a list or responder that a certificate names may lie; `lists` and
    `responders` are asked besides those, whatever a certificate names. `keep`, `pause` (between two tries after a
    failure) and `timeout` are in seconds, `most` is in bytes of a list. With `nonce`, an answer must be a fresh one."""

    mode: Mode = Mode.CRL
    sources: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    responders: tuple[str, ...] = ()
    keep: float = 900
    pause: float = 5
    timeout: float = 5
    most: int = 20_000_000
    nonce: bool = True


@dataclass(slots=True)
class _Held:
    """What an address gave at `fetched`, and what it is to an issuer, by thumbprint: a list, or why it is none."""

    body: bytes
    fetched: datetime
    read: dict[str, RevocationList | Unusable] = field(default_factory=dict)


class Revocation:
    """Made by `open`; one per process."""

    def __init__(self, rules: RevocationRules, facilities: dict[str, Facility]) -> None:
        self._rules = rules
        self._facilities = facilities
        self._sources = [urlsplit(one) for one in rules.sources]
        self._held: dict[str, _Held] = {}
        self._last: dict[tuple[str, str], RevocationList] = {}  # By address, and thumbprint of the issuer.
        self._failed: dict[str, tuple[datetime, str]] = {}
        self._answers: OrderedDict[str, tuple[datetime, bool]] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, rules: RevocationRules) -> AsyncIterator[Revocation]:
        """The desk, with its connections until the end of the block."""
        wire = FacilityRules(timeout=rules.timeout, most=rules.most)
        async with AsyncExitStack() as stack:
            facilities: dict[str, Facility] = {}
            for address in (*rules.sources, *rules.lists, *rules.responders):
                origin = _origin(urlsplit(address))
                if origin not in facilities and rules.mode is not Mode.OFF:
                    opened = Facility.open(f"the authority at {origin}", origin, rules=wire)
                    facilities[origin] = await stack.enter_async_context(opened)
            yield cls(rules, facilities)

    async def check(self, verified: Verified) -> None:
        """Does nothing when no certificate of the chain was withdrawn, as far as the mode lets us know.

        Raises `CertificateRefused` (`certificate-revoked`) when one was, `RevocationUnknown` when it cannot be known.
        """
        if self._rules.mode is Mode.OFF:
            return
        chain = verified.chain
        for place, (one, issuer) in enumerate(pairwise(chain)):
            name = one.subject.rfc4514_string()
            try:
                revoked = await self._revoked(one, issuer)
            except Unusable as error:
                raise RevocationUnknown(name, str(error)) from error
            if revoked:
                raise CertificateRefused(
                    f"the certificate of {name} has been revoked by its issuer",
                    code="certificate-revoked",
                    expression="certificate.chain" if place else "certificate",
                )

    async def _revoked(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        mode = self._rules.mode
        if mode is Mode.OCSP:
            return await self._by_responder(certificate, issuer)
        try:
            return await self._by_list(certificate, issuer)
        except Unusable as error:
            if mode is not Mode.EITHER:
                raise
            try:
                return await self._by_responder(certificate, issuer)
            except Unusable as other:
                raise Unusable(f"{error}; {other}") from other

    # -- lists ---------------------------------------------------------------------------------------------------

    async def _by_list(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        async def looked_up(address: str) -> bool:
            return (await self._list(address, issuer)).revoked(certificate)

        places = [*self._allowed(lists.addresses(certificate)), *self._rules.lists]
        return await _first(places, looked_up, "no list of its issuer may be fetched here")

    async def _list(self, address: str, issuer: x509.Certificate) -> RevocationList:
        """The list at `address`, fetched again when it was kept long enough. Raises `Unusable`.

        One of another authority is kept too: those who are looked up there have lists at several addresses, and each
        is fetched for all of them.
        """
        async with self._locks.setdefault(address, asyncio.Lock()):
            held = self._held.get(address)
            try:
                if held is None or clock.now() >= self._until(held, self._read(held, address, issuer)):
                    held = await self._fetched(address)
                found = self._read(held, address, issuer)
            except Unusable as error:
                found = error
            if isinstance(found, RevocationList):
                return found
            last = self._last.get((address, thumbprint(issuer)))
            if last is not None and clock.now() < last.expires:
                return last
            raise Unusable(f"{address}: {found}") from found

    async def _fetched(self, address: str) -> _Held:
        """What `address` gives now, whoever it is of. Raises `Unusable`, and asks nobody for a while after that."""
        self._check_pause(address)
        try:
            body = await self._ask("GET", address)
        except Unusable as error:
            self._failed[address] = (clock.now() + timedelta(seconds=self._rules.pause), str(error))
            raise
        self._held[address] = held = _Held(body, clock.now())
        return held

    def _read(self, held: _Held, address: str, issuer: x509.Certificate) -> RevocationList | Unusable:
        """What is held as a list of `issuer`, no older than the last one of it there; or why it is none."""
        key = thumbprint(issuer)
        if key not in held.read:
            try:
                found = RevocationList.read(held.body, issuer, clock.now())
                last = self._last.get((address, key), found)
                if (found.number, found.issued) < (last.number, last.issued):
                    raise Unusable("the list is older than the one before")
                held.read[key] = self._last[address, key] = found
            except Unusable as error:
                held.read[key] = error.with_traceback(None)
        return held.read[key]

    def _until(self, held: _Held, found: RevocationList | Unusable) -> datetime:
        """When what is held is fetched again for an issuer to whom it is `found`. A body that is bad to this one and
        a list of no other that looked, is kept no longer than a pause."""
        good = [one.expires for one in held.read.values() if isinstance(one, RevocationList)]
        kept = self._rules.keep if good or isinstance(found, OfAnother) else self._rules.pause
        return min([held.fetched + timedelta(seconds=kept), *good])

    # -- responders ----------------------------------------------------------------------------------------------

    async def _by_responder(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        key = f"{thumbprint(certificate)} {thumbprint(issuer)}"
        async with self._locks.setdefault(key, asyncio.Lock()):
            try:
                until, revoked = self._answers.get(key, (None, False))
                if until is not None and clock.now() < until:
                    return revoked
                places = [*self._allowed(responder.addresses(certificate)), *self._rules.responders]

                async def asked(address: str) -> responder.Answer:
                    return await self._answer(address, certificate, issuer)

                answer = await _first(places, asked, "no responder of its issuer may be asked here")
                if answer.responder_to_check and await self._by_list(answer.responder, issuer):
                    raise Unusable("the certificate of the responder has been revoked")
                until = min(answer.expires, clock.now() + timedelta(seconds=self._rules.keep))
                self._answers[key] = (until, answer.revoked)
                self._answers.move_to_end(key)
                if len(self._answers) > _ANSWERS:
                    self._answers.popitem(last=False)
                return answer.revoked
            finally:
                self._locks.pop(key, None)

    async def _answer(
        self, address: str, certificate: x509.Certificate, issuer: x509.Certificate
    ) -> responder.Answer:
        self._check_pause(address)
        question = responder.Question(certificate, issuer)
        try:
            body = await self._ask("POST", address, question.der)
            return question.answer(body, clock.now(), nonce=self._rules.nonce)
        except Unusable as error:
            raise Unusable(f"{address}: {error}") from error

    # -- the wire ------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, address: str, body: bytes = b"") -> bytes:
        """What the address answers. Raises `Unusable`."""
        parts = urlsplit(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": "application/ocsp-request"} if body else {}
        try:
            answer = await self._facilities[_origin(parts)].send(method, path, body=body, headers=headers)
        except FacilityAway as error:
            raise Unusable(error.why) from error
        if answer.status != 200:
            raise Unusable(f"status {answer.status}")
        return answer.body

    def _check_pause(self, address: str) -> None:
        until, why = self._failed.get(address, (None, ""))
        if until is not None and clock.now() < until:
            raise Unusable(why)

    def _allowed(self, named: Iterable[str]) -> list[str]:
        """Those of the addresses that lie under a source."""
        return [one for one in named if any(_under(urlsplit(one), source) for source in self._sources)]


async def _first(places: list[str], ask: Callable[[str], Awaitable[T]], none: str) -> T:
    """What the first place that is of use gives. Raises `Unusable` with what each said."""
    said = []
    for place in dict.fromkeys(places):
        try:
            return await ask(place)
        except Unusable as error:
            said.append(str(error))
    raise Unusable("; ".join(said) or none)


def _origin(parts: SplitResult) -> str:
    """Scheme, host and port, the port left out where it is the scheme's own."""
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.removesuffix(usual)}".lower()


def _under(address: SplitResult, source: SplitResult) -> bool:
    if "@" in address.netloc or _origin(address) != _origin(source):
        return False
    start, path = source.path.rstrip("/"), address.path
    if ".." in path or "%" in path:
        return False
    return path == start or path.startswith(f"{start}/")
