"""Whether a credential was withdrawn by its issuer: Bitstring Status List.

The issuer publishes a credential of its own that holds a long row of bits; each credential names its place in the row.
The row is fetched each time: a withdrawal bites at once, and when it cannot be had the credential is not taken.
Sources: W3C Bitstring Status List v1.0, sections 2 and 3; its predecessor StatusList2021 (the row without the
multibase letter).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from schakel.generic.identity.credentials.jwts import LEEWAY_SECONDS, Jwt, check_times, decoded, read
from schakel.generic.identity.credentials.model import Credential
from schakel.generic.identity.credentials.reading import instant, items
from schakel.generic.identity.credentials.refusals import NotChecked, Refused, shown
from schakel.generic.identity.credentials.resolver import Resolver
from schakel.generic.identity.credentials.signers import check_did_web
from schakel.generic.identity.credentials.web import Unreachable, Web

ENTRIES = {
    "BitstringStatusListEntry": ("BitstringStatusListCredential", "BitstringStatusList"),
    "StatusList2021Entry": ("StatusList2021Credential", "StatusList2021"),
}
LEAST_BITS = 131_072
"""The shortest row that is taken: it hides which credential is asked about (Bitstring Status List, section 6.1)."""

MOST_BYTES = 4_000_000
"""The longest row, unpacked."""

MOST_PACKED = 1_000_000
_is_index = re.compile(r"[0-9]{1,9}").fullmatch
_WORDS = {"revocation": "revoked", "suspension": "suspended"}


class StatusLists:
    """Reads status lists on the web."""

    def __init__(self, web: Web, resolver: Resolver) -> None:
        self._web = web
        self._resolver = resolver

    async def check(self, credential: Credential, moment: datetime) -> None:
        """Refuses a credential that was revoked or suspended.

        Raises `Refused` when it was or when what it says of its status is wrong, `NotChecked` when the list cannot
        be had or read.
        """
        for entry in items(credential.document.get("credentialStatus")):
            if not isinstance(entry, Mapping) or str(entry.get("type")) not in ENTRIES:
                raise Refused(
                    f"credentialStatus is not of a type that is known: {', '.join(ENTRIES)}",
                    code="status-type",
                    expression="credentialStatus.type",
                )
            purpose = entry.get("statusPurpose")
            if not isinstance(purpose, str):
                raise Refused(
                    "credentialStatus has no statusPurpose",
                    code="status-malformed",
                    expression="credentialStatus.statusPurpose",
                )
            if purpose in _WORDS and await self._bit(credential, entry, purpose, moment):
                raise Refused(f"the issuer has {_WORDS[purpose]} it", code=f"credential-{_WORDS[purpose]}")

    async def _bit(
        self, credential: Credential, entry: Mapping[str, Any], purpose: str, moment: datetime
    ) -> bool:
        """The bit of the credential in its list."""
        address, index = entry.get("statusListCredential"), str(entry.get("statusListIndex"))
        if not isinstance(address, str) or not _is_index(index) or entry.get("statusSize", 1) != 1:
            raise Refused(
                "credentialStatus does not name a list and a place of one bit in it",
                code="status-malformed",
                expression="credentialStatus",
            )
        try:
            body = await self._web.get(address, MOST_PACKED)
        except Unreachable as error:
            raise _unknown(address, error.why) from None
        try:
            jwt = read(body.decode("ascii", "replace").strip().strip('"'), "the status list")
            await check_did_web(jwt, credential.issuer, self._resolver)
            check_times(jwt, moment.timestamp(), needed=False)
            row = _row(jwt, str(entry["type"]), purpose, moment)
        except Refused as error:
            raise _unknown(address, error.message) from error
        place = int(index)
        if place >= len(row) * 8:
            raise Refused(
                f"credentialStatus names place {place}, which its list does not have",
                code="status-malformed",
                expression="credentialStatus.statusListIndex",
            )
        return bool(row[place // 8] >> (7 - place % 8) & 1)


def _row(jwt: Jwt, entry: str, purpose: str, moment: datetime) -> bytes:
    """The bits of the list in `jwt`, a credential as VC 1.1 (claim vc) or 2.0 (the claims themselves), which counts at
    `moment`."""
    kind, inner = ENTRIES[entry]
    members = jwt.claims.get("vc", jwt.claims)
    subjects = items(members.get("credentialSubject")) if isinstance(members, Mapping) else []
    fit = (
        isinstance(members, Mapping)
        and kind in items(members.get("type"))
        and len(subjects) == 1
        and isinstance(subjects[0], Mapping)
        and subjects[0].get("type") == inner
        and purpose in items(subjects[0].get("statusPurpose"))
        and isinstance(subjects[0].get("encodedList"), str)
    )
    if not fit:
        raise Refused(f"it is not a {kind} for {purpose}", code="status-malformed")
    for name in ("validUntil", "expirationDate"):  # A list of data model 2.0 may say it here, and not in exp.
        if (end := instant(members, (name,))) is not None and end <= moment - timedelta(
            seconds=LEEWAY_SECONDS
        ):
            raise Refused(f"its {name} lies in the past", code="status-malformed")
    text = subjects[0]["encodedList"]
    if entry == "BitstringStatusListEntry":
        text = text.removeprefix("u")
    try:
        unpacker = zlib.decompressobj(wbits=31)
        row = unpacker.decompress(decoded(text.rstrip("=")), MOST_BYTES)
        whole = unpacker.eof and not unpacker.unconsumed_tail
    except (ValueError, zlib.error):
        whole, row = False, b""
    if not whole or len(row) * 8 < LEAST_BITS:
        raise Refused(
            f"its encodedList is not a packed row of {LEAST_BITS} bits or more", code="status-malformed"
        )
    return row


def _unknown(address: str, why: str) -> NotChecked:
    return NotChecked(
        f"the status list {shown(address)} could not be checked: {why}",
        code="status-unknown",
        expression="credentialStatus.statusListCredential",
    )
