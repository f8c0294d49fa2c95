"""People made unknown: a BSN becomes a pseudonym of the region and is not kept.

The pseudonym is HMAC-SHA-256 (RFC 2104) over the BSN with the region's key, so that organisations with the same key
give the same person the same pseudonym, and nobody without it can go back or try all numbers.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn

SHORTEST_KEY = 32
"""Bytes: as many as the hash gives (RFC 2104, section 3)."""

_PSEUDONYM = re.compile(r"(?=[^\s]*[A-Za-z_-])[A-Za-z0-9_-]{16,128}")


class Pseudonyms:
    """Makes pseudonyms with the region's key; None when this node has none."""

    def __init__(self, key: bytes | None) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: Path | None) -> Pseudonyms:
        """With the key in a file, spaces around it taken off. Raises `Invalid` naming the setting."""
        if path is None:
            return cls(None)
        try:
            key = path.read_bytes().strip()
        except OSError as error:
            raise Invalid(
                f"the key of the pseudonyms {path} cannot be read: {error.strerror} (setting roadmap.pseudonym_key)"
            ) from error
        if len(key) < SHORTEST_KEY:
            raise Invalid(
                f"the key of the pseudonyms {path} has fewer than {SHORTEST_KEY} bytes (setting roadmap.pseudonym_key)"
            )
        return cls(key)

    def of(self, bsn: Bsn) -> str:
        """The pseudonym of a person. Raises `Invalid` without a key."""
        if self._key is None:
            raise Invalid(
                "this node cannot make pseudonyms of BSNs: it has no key (setting roadmap.pseudonym_key); send "
                "pseudonyms of the region instead",
                code="pseudonym-key-missing",
            )
        return hmac.new(self._key, b"schakel hybrid care:" + bsn.encode(), hashlib.sha256).hexdigest()


def is_pseudonym(text: str) -> bool:
    """Whether a text may be a pseudonym of the region: 16 to 128 letters, digits, '-' and '_', and not digits alone, so
    that no number of a person passes for one; nor when it stands between '-' and '_'."""
    parts = re.split("[-_]", text)
    return _PSEUDONYM.fullmatch(text) is not None and not any(Bsn.fits(part) for part in parts)
