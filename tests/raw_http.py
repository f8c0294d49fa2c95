"""Requests as they stand, byte for byte, to the internal door, and what may come back."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import orjson
from tests.nodes import RunningOrganisation

JSON = ("Content-Type", "application/fhir+json")
XML = ("Content-Type", "application/fhir+xml")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


async def send(
    door: RunningOrganisation,
    method: str,
    path: bytes,
    headers: tuple[tuple[str, str | bytes], ...] = (),
    body: bytes = b"",
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request that is sent as it stands, on a connection of its
    own. `path` is what follows the FHIR base."""
    at = urlsplit(door.internal_root)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    lines = [
        method.encode("latin-1") + b" /a/fhir/stu3" + path + b" HTTP/1.1",
        b"Host: here",
        b"Connection: close",
        b"X-API-Key: " + door.key.encode(),
        b"Content-Length: %d" % len(body),
    ]
    for name, value in headers:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
    writer.write(b"\r\n".join([*lines, b"", b""]) + body)
    try:
        raw = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
    head, _, rest = raw.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), dict(f.lower().split(": ", 1) for f in fields if ": " in f), rest


def assert_outcome(answer: tuple[int, dict[str, str], bytes], status: int | None = None) -> None:
    """The answer is an OperationOutcome (or of the HTTP layer itself: the bytes were no HTTP), not a fault."""
    code, headers, body = answer
    assert code < 500 and (status is None or code == status), (code, body[:500])
    if code < 300 or headers.get("content-type", "").startswith("text/plain"):
        return
    assert headers["content-type"].startswith("application/fhir+json"), (code, headers)
    outcome = orjson.loads(body)
    assert outcome["resourceType"] == "OperationOutcome" and outcome["issue"][0]["diagnostics"]
    assert b"Traceback" not in body and b"asyncpg" not in body
