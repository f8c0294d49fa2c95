"""Forms that a browser sends, with a file in it or not, read within bounds.

Source: WHATWG HTML, form submission; RFC 7578 (multipart/form-data).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from schakel.fhir.search import pairs_of
from schakel.http.reading import FORM, read_limited
from schakel.kernel.outcomes import Invalid, UnsupportedMedia

MULTIPART = "multipart/form-data"

_MOST_FIELDS = 200
_MOST_CHARACTERS = 64_000


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a form: its name as the browser gives it, which is a text and no path, and what is in it."""

    name: str
    body: bytes


class Form(dict[str, str]):
    """The fields of a form by name, and the one file in it; None without."""

    def __init__(self, fields: dict[str, str], file: Upload | None = None) -> None:
        super().__init__(fields)
        self.file = file


async def read(request: Request, most: int, setting: str = "") -> Form:
    """The form in the body, `most` bytes in all, a bound that `setting` names.

    Raises `UnsupportedMedia` for what is no form, `TooLarge`, and `Invalid` for a field that stands twice, more than
    one file and a form that is damaged.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == FORM:
        body = await read_limited(request, min(most, _MOST_CHARACTERS))
        try:
            return Form(_once(list(pairs_of(body.decode("ascii"), _MOST_FIELDS))))
        except UnicodeDecodeError as error:
            raise Invalid("the form must be percent-encoded ASCII", code="form-damaged") from error
    if media == MULTIPART:
        return await _multipart(request, await read_limited(request, most, setting))
    raise UnsupportedMedia(f"a form is sent here as {FORM} or {MULTIPART}", code="form-media")


async def _multipart(request: Request, body: bytes) -> Form:
    async def stream() -> AsyncGenerator[bytes]:
        yield body

    parser = MultiPartParser(
        request.headers, stream(), max_files=1, max_fields=_MOST_FIELDS, max_part_size=len(body)
    )
    # What is in memory already need not go to a disk.
    parser.spool_max_size = len(body) + 1
    try:
        found = await parser.parse()
    except (MultiPartException, ValueError) as error:
        said = error.message if isinstance(error, MultiPartException) else "it is damaged"
        raise Invalid(f"the form cannot be read: {said}", code="form-damaged") from error
    try:
        file: Upload | None = None
        fields: list[tuple[str, str]] = []
        for name, value in found.multi_items():
            if not isinstance(value, UploadFile):
                fields.append((name, value))
            elif value.filename or value.size:
                file = Upload(value.filename or "", await value.read())
        return Form(_once(fields), file)
    finally:
        await found.close()


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Invalid("a field of the form is given twice", code="form-twice")
    return fields
