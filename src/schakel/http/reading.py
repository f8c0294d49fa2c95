"""What every handler needs: reading a body within limits, JSON answers, and errors as problem documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from schakel.fhir import json
from schakel.fhir.search import pairs_of
from schakel.http.errors import problem
from schakel.kernel.outcomes import Invalid, TooLarge, UnsupportedMedia
from schakel.kernel.packing import Coding, unpacked

Handler = Callable[[Request], Awaitable[Response]]
FORM = "application/x-www-form-urlencoded"


async def read_limited(request: Request, most: int, setting: str = "") -> bytes:
    """The body, unpacked when `Content-Encoding` says gzip or zstd: at most `most` bytes either way, a bound that
    `setting` names.

    Raises `TooLarge`, `UnsupportedMedia` for another coding, and `Invalid` for packed data that are damaged and
    when the caller left in the middle.
    """
    coding = _coding(request)
    named = f" (setting {setting})" if setting else ""
    too_large = TooLarge(f"a body may have at most {most} bytes here, unpacked{named}")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > most:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise too_large
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise Invalid("the caller left before the body was whole", code="caller-left") from error
    if coding is None or not size:
        return b"".join(chunks)
    pieces: list[bytes] = []
    size = 0
    for piece in unpacked(chunks, coding):
        size += len(piece)
        if size > most:
            raise too_large
        pieces.append(piece)
    return b"".join(pieces)


def _coding(request: Request) -> Coding | None:
    """How the body is packed. Raises `UnsupportedMedia` (RFC 9110, section 15.5.16)."""
    text = ",".join(request.headers.getlist("content-encoding")).lower()
    codings = [one for one in (part.strip() for part in text.split(",")) if one not in ("", "identity")]
    match codings:
        case []:
            return None
        case ["gzip" | "x-gzip"]:
            return "gzip"
        case ["zstd"]:
            return "zstd"
        case _:
            raise UnsupportedMedia(
                f"Content-Encoding {text[:40]!r} is not taken here: gzip or zstd, once",
                headers={"Accept-Encoding": "gzip, zstd"},
            )


def as_json(value: object, status: int = 200) -> Response:
    """A JSON answer that no cache keeps."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")


def plain(handler: Handler) -> Handler:
    """`handler` with its errors turned into problem documents."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            return problem(error)

    guarded.__doc__ = handler.__doc__
    return guarded


async def read_form(request: Request) -> dict[str, str]:
    """The form in a body. Raises `Invalid`: other media, a query beside it, a parameter twice."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise Invalid(f"Content-Type must be {FORM}")
    if request.url.query:
        raise Invalid("parameters go in the form, not in the address")
    body = await read_limited(request, 64_000)
    try:
        pairs = pairs_of(body.decode("ascii"))
    except UnicodeDecodeError as error:
        raise Invalid("the form must be percent-encoded ASCII") from error
    form = dict(pairs)
    if len(form) < len(pairs):
        raise Invalid("a parameter of the form is given twice")
    return form


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, nested at most eight deep. Raises `Invalid`, also for a member given twice."""
    return json.parse(body, max_depth=8)
