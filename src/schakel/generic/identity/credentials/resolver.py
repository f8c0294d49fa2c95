"""Finds the key of a verification method, in a DID document that is fetched and kept for a short time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from schakel.fhir.json import parse
from schakel.generic.identity.credentials.did_web import PREFIX, DidDocument, place
from schakel.generic.identity.credentials.jwts import PublicKey
from schakel.generic.identity.credentials.refusals import NotChecked, Refused, shown
from schakel.generic.identity.credentials.web import Unreachable, Web
from schakel.kernel.outcomes import Invalid

MAX_KEPT = 2_000
FAILED_SECONDS = 5.0
"""How long a DID that could not be resolved is not asked for again."""


@dataclass(slots=True)
class _Kept:
    """What is known of one DID until `until` (monotonic seconds)."""

    until: float = 0.0
    document: DidDocument | None = None
    why: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Resolver:
    """Keys by DID; a document is kept for `seconds`."""

    def __init__(self, web: Web, seconds: float = 60.0) -> None:
        self._web = web
        self._seconds = seconds
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def key(self, method: str, purposes: Iterable[str]) -> PublicKey:
        """The public key of the verification method `method` (DID#name) when it serves one of `purposes`.

        Raises `NotChecked` when the document could not be had, `Refused` when it has no such key.
        """
        did, _, name = method.partition("#")
        if not did.startswith(PREFIX):
            raise Refused(
                f"the DID {shown(did)} is of a method that is not supported: did:web is",
                code="did-method",
                expression="kid",
            )
        if not name:
            raise Refused(f"{shown(method)} does not name a key (DID#key)", code="did-key", expression="kid")
        purposes = tuple(purposes)
        key = (await self.document(did)).key(method, purposes)
        if key is None:
            raise Refused(
                f"the document of {shown(did)} has no usable key {shown('#' + name)} for {' or '.join(purposes)}",
                code="did-key",
                expression="kid",
            )
        return key

    async def document(self, did: str) -> DidDocument:
        """The document of `did`. Raises `NotChecked` when it cannot be had, `Refused` for what is no did:web."""
        where = place(did)
        kept = self._kept.setdefault(did, _Kept())
        self._kept.move_to_end(did)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        async with kept.lock:
            if time.monotonic() >= kept.until:
                kept.document, kept.why = None, ""
                try:
                    body = await self._web.get(where.address(self._web.scheme(where.host)))
                    kept.document = DidDocument.read(did, parse(body))
                except Unreachable as error:
                    kept.why = error.why
                except (Invalid, ValueError):
                    kept.why = "what is published there is not the document of this DID"
                kept.until = time.monotonic() + (self._seconds if kept.document else FAILED_SECONDS)
            if kept.document is None:
                raise NotChecked(
                    f"the DID {shown(did)} could not be resolved: {kept.why}",
                    code="did-unresolved",
                    expression="kid",
                )
            return kept.document
