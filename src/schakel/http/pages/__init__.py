"""Pages for people: templates, their translations, and the headers that keep a page to itself.

`Pages.render` makes a page in Dutch or English. The templates are written in English; `locale/nl.po` has the Dutch.
There is no script in any page and nothing is fetched from elsewhere, so the content policy allows neither.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from io import BytesIO

from babel.messages.pofile import read_po
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

LANGUAGES = ("nl", "en")

_HERE = files(__package__)


class Pages:
    """The pages of a node."""

    def __init__(self) -> None:
        self._style = (_HERE / "templates" / "style.css").read_text("utf-8").strip()
        digest = b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'; "
            "form-action 'self' https:"
        )
        self._environments = {language: _environment(language) for language in LANGUAGES}

    def render(
        self,
        template: str,
        language: str,
        values: Mapping[str, object],
        *,
        status: int = 200,
        leads_to: tuple[str, ...] = (),
    ) -> Response:
        """A page; its forms may lead to our own addresses and to these origins."""
        page = self._environments[language].get_template(f"{template}.html")
        body = page.render(language=language, style=self._style, **values)
        return Response(
            body,
            status,
            {
                "Content-Security-Policy": " ".join((self._policy, *leads_to)),
                "Content-Language": language,
                **PRIVATE,
            },
            "text/html",
        )


PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of what one person alone may see."""


def preferred_language(accept: str) -> str:
    """The language of a browser's Accept-Language: Dutch unless it wants English more (RFC 9110, section 12.5.4)."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0.0
        language = name.strip().lower().partition("-")[0]
        weights[language] = max(weight, weights.get(language, 0.0))
    return "en" if weights.get("en", 0.0) > weights.get("nl", 0.0) else "nl"


def _environment(language: str) -> Environment:
    made = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = _texts(language)

    def one(text: str) -> str:
        return texts.get(text, text)

    def several(single: str, plural: str, number: int) -> str:
        return one(single if number == 1 else plural)

    made.install_gettext_callables(one, several, newstyle=True)  # type: ignore[attr-defined]
    return made


def _texts(language: str) -> dict[str, str]:
    """The translations of a language; English is what the templates are written in."""
    if language == "en":
        return {}
    catalogue = read_po(BytesIO((_HERE / "locale" / f"{language}.po").read_bytes()), locale=language)
    return {str(one.id): str(one.string) for one in catalogue if one.id and one.string}
