"""What a browser may send in a form, with a file in it or not."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.types import Message

from schakel.http.portal import forms
from schakel.kernel.outcomes import Invalid, Outcome, TooLarge, UnsupportedMedia

BOUNDARY = "b0undary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
URLENCODED = "application/x-www-form-urlencoded"


def part(name: str, value: bytes, file: str | None = None) -> bytes:
    named = f'; filename="{file}"' if file is not None else ""
    return b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
        BOUNDARY.encode(),
        name.encode(),
        named.encode(),
        value,
    )


def whole(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def read(body: bytes, media: str, most: int = 1_000_000) -> forms.Form:
    """The form in a request with this body, which comes in pieces."""
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)] or [b""]

    async def receive() -> Message:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    headers = [(b"content-type", media.encode())] if media else []
    scope = {"type": "http", "method": "POST", "path": "/portal/x", "headers": headers, "query_string": b""}
    return await forms.read(Request(scope, receive), most, "portal.upload")


async def test_fields_come_by_name_also_empty_and_outside_ascii() -> None:
    form = await read(b"title=Z%C3%B3+snel&note=", URLENCODED)
    assert form == {"title": "Zó snel", "note": ""} and form.file is None


async def test_a_file_comes_whole_beside_the_fields() -> None:
    content = bytes(range(256)) * 10_000
    form = await read(whole(part("csrf", b"t"), part("scan", content, "scan.xlsx")), MULTIPART, 3_000_000)
    assert form == {"csrf": "t"} and form.file == forms.Upload("scan.xlsx", content)


async def test_a_field_for_a_file_that_was_left_empty_is_no_file() -> None:
    form = await read(whole(part("csrf", b"t"), part("scan", b"", "")), MULTIPART)
    assert form.file is None and form == {"csrf": "t"}


async def test_the_name_of_a_file_stays_a_text() -> None:
    form = await read(whole(part("scan", b"x", "../../etc/passwd")), MULTIPART)
    assert form.file is not None and form.file.name == "../../etc/passwd" and form.file.body == b"x"


@pytest.mark.parametrize(
    ("body", "media", "error", "code"),
    [
        (b"a=1&a=2", URLENCODED, Invalid, "form-twice"),
        (whole(part("a", b"1"), part("a", b"2")), MULTIPART, Invalid, "form-twice"),
        (whole(part("a", b"1", "a.txt"), part("b", b"2", "b.txt")), MULTIPART, Invalid, "form-damaged"),
        (whole(part("a", b"1")), "multipart/form-data", Invalid, "form-damaged"),
        (b"no parts at all", MULTIPART, Invalid, "form-damaged"),
        (
            b"--%s\r\nContent-Disposition: form-data\r\n\r\nx\r\n" % BOUNDARY.encode(),
            MULTIPART,
            Invalid,
            "form-damaged",
        ),
        ("naam=é".encode(), URLENCODED, Invalid, "form-damaged"),
        (b"a=%zz", URLENCODED, Invalid, "invalid"),
        (b'{"a": 1}', "application/json", UnsupportedMedia, "form-media"),
        (b"a=1", "", UnsupportedMedia, "form-media"),
        (whole(*(part(f"f{n}", b"x") for n in range(201))), MULTIPART, Invalid, "form-damaged"),
        (b"a=" + b"x" * 64_000, URLENCODED, TooLarge, "too-large"),
    ],
)
async def test_what_is_no_such_form_is_refused_by_name(
    body: bytes, media: str, error: type[Outcome], code: str
) -> None:
    with pytest.raises(error) as refused:
        await read(body, media)
    assert refused.value.kind == code and refused.value.status in (400, 413, 415)


async def test_a_field_beside_a_file_may_be_as_large_as_the_form() -> None:
    assert (await read(whole(part("a", b"x" * 90_000)), MULTIPART))["a"] == "x" * 90_000


async def test_a_form_that_is_too_large_names_the_setting() -> None:
    with pytest.raises(TooLarge, match=r"portal\.upload"):
        await read(whole(part("scan", b"x" * 200_000, "scan.xlsx")), MULTIPART, 150_000)
