"""Pages for people: templates, their translations, their stylesheets, and the headers that keep a page to itself.

`Pages.render` makes a page in Dutch or English. The texts are written in English, in the templates and in `services`;
`locale/nl.po` has the Dutch (`scripts/build_texts.py` keeps it in step). There is no script in any page and nothing
is fetched from elsewhere, so the content policy allows neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from io import BytesIO
from urllib.parse import urlsplit

from babel.messages.pofile import read_po
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from schakel.kernel.outcomes import NotFound
from schakel.portal.pages.cells import badge, board_cells
from schakel.portal.pages.numbers import figure, number, percentage
from schakel.portal.pages.times import day, moment
from schakel.roadmap.facts import called
from schakel.roadmap.words import CERTAINTIES, LEGALS, STATES

LANGUAGES = ("nl", "en")

_HERE = files(__package__)
_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' https:"
)


class Pages:
    """The pages of a node that people reach at `public_url`; `base` is the path that stands before every address
    there ('' when there is none)."""

    def __init__(self, public_url: str) -> None:
        self.base = urlsplit(public_url).path.rstrip("/")
        styles = {_named(name, "css", body): body for name, body in _styles()}
        icon = (_HERE / "templates" / "icon.svg").read_bytes()
        named = _named("icon", "svg", icon)
        self._files = {
            **{name: (body, "text/css") for name, body in styles.items()},
            named: (icon, "image/svg+xml"),
        }
        addresses = tuple(f"{self.base}/pages/{name}" for name in styles)
        self._environments = {
            language: environment(language, addresses, f"{self.base}/pages/{named}") for language in LANGUAGES
        }

    def render(
        self,
        template: str,
        language: str,
        values: Mapping[str, object],
        *,
        status: int = 200,
        leads_to: tuple[str, ...] = (),
        policy: str = _POLICY,
    ) -> Response:
        """A page under this content policy; its forms may lead to our own addresses and to these origins."""
        body = self._environments[language].get_template(f"{template}.html").render(**values)
        return Response(
            body,
            status,
            {
                "Content-Security-Policy": " ".join((policy, *leads_to)),
                "Content-Language": language,
                **PRIVATE,
            },
            "text/html",
        )

    async def file(self, request: Request) -> Response:
        """A stylesheet of the pages, or their icon. Its name changes with what is in it, so a browser may keep it for
        ever."""
        body, media = self._files.get(request.path_params["name"], (None, ""))
        if body is None:
            raise NotFound("there is nothing at this path")
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(body, headers=headers, media_type=media)


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


def _styles() -> list[tuple[str, bytes]]:
    """The stylesheets by name, in the order in which a page has them: the components, and our own over them.

    Raises `FileNotFoundError` when the components were never made, which installing does.
    """
    components = files("schakel.portal") / "static" / "components.css"
    if not components.is_file():
        raise FileNotFoundError(
            f"{components} is absent: it is made when the package is installed (uv sync), or by hand with "
            "python hatch_build.py"
        )
    return [
        ("components", components.read_bytes()),
        ("style", (_HERE / "templates" / "style.css").read_bytes()),
    ]


def _named(name: str, kind: str, body: bytes) -> str:
    """A name of a file that no other content has."""
    return f"{name}-{hashlib.sha256(body).hexdigest()[:16]}.{kind}"


def environment(language: str, styles: tuple[str, ...] = (), icon: str = "") -> Environment:
    """The templates in a language, with what each may use; `styles` and `icon` are addresses of files."""
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
    made.globals |= {
        "language": language,
        "styles": styles,
        "icon": icon,
        "states": STATES,
        "legals": LEGALS,
        "certainties": CERTAINTIES,
        "called": called,
    }
    made.filters |= {
        "strong": _strong,
        "badge": partial(badge, language=language),
        "board_cells": partial(board_cells, language=language),
        "day": partial(day, language=language),
        "moment": partial(moment, language=language),
        "figure": partial(figure, language=language),
        "number": partial(number, language=language),
        "percentage": partial(percentage, language=language),
    }
    return made


def _strong(text: object, language: str = "") -> Markup:
    """`text` as what matters in a sentence; `language` is that of the text where it differs from the page's."""
    if language:
        return Markup('<strong lang="{}">{}</strong>').format(language, text)
    return Markup("<strong>{}</strong>").format(text)


def _texts(language: str) -> dict[str, str]:
    """The translations of a language; English is what the texts are written in."""
    if language == "en":
        return {}
    catalogue = read_po(BytesIO((_HERE / "locale" / f"{language}.po").read_bytes()), locale=language)
    pairs = (
        pair for message in catalogue for pair in zip(_forms(message.id), _forms(message.string), strict=True)
    )
    return {name: text for name, text in pairs if name and text}


def _forms(text: str | Sequence[str] | None) -> Sequence[str]:
    """A text of a catalogue in its forms: one, or singular and plural."""
    return [text or ""] if text is None or isinstance(text, str) else text
