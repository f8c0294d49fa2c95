"""Pages for people that several facilities have: how they are made, what headers they carry, how a form is read."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of a page that is about a person, for nobody else and for no frame."""

_MOST_BYTES = 20_000


class Pages:
    """The pages in the folder `templates` of a package, and those that all share; `texts` by language, `headers` those
    of every answer."""

    def __init__(
        self, package: str, texts: Mapping[str, Mapping[str, str]], headers: Mapping[str, str] = PRIVATE
    ) -> None:
        self._texts = texts
        self._headers = dict(headers)
        self._loader = ChoiceLoader(
            [PackageLoader(name, "templates") for name in (package, "schakel_national")]
        )
        self._made = Environment(
            loader=self._loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(self, name: str, status: int, language: str, **values: object) -> Response:
        """The page `name` in this language."""
        made = self._made.get_template(f"{name}.html").render(
            language=language, text=self._texts[language], **values
        )
        return Response(made, status, self._headers, "text/html")

    async def style(self, request: Request) -> Response:
        """The stylesheet of the pages."""
        text, _, _ = self._loader.get_source(self._made, "style.css")
        return Response(text, headers=self._headers, media_type="text/css")


def back(address: str, state: str, **members: str) -> Response:
    """The person goes back to the client at `address`, with an answer of its authorisation request."""
    query = urlencode({**members, "state": state} if state else members)
    where = f"{address}{'&' if '?' in address else '?'}{query}"
    return Response(status_code=303, headers={"Location": where, **PRIVATE})


async def form(request: Request) -> Mapping[str, str]:
    """The form in the body; empty when it is none, or too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            return {}
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True))
    except ValueError:
        return {}
