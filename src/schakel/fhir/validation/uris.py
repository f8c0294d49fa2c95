"""The form of URIs."""

from __future__ import annotations

import re

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.+").fullmatch
"""Whether a text is an absolute URI."""

_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch


def uri_problem(value: str) -> str:
    """What is wrong with a uri that names its own form; empty when nothing is."""
    if value.startswith("urn:uuid:") and not _UUID(value):
        return "a UUID is written in lower case as 8-4-4-4-12 hexadecimal digits"
    if value.startswith("urn:oid:") and not _OID(value):
        return "an OID is numbers with dots between, beginning with 0, 1 or 2"
    return ""
