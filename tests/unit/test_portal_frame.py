"""The frame of the portal: language, headers, errors, and what the menu shows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schakel.http.node import Node
from schakel.http.portal.frame import Frame
from schakel.http.portal.visitors import ToLogin
from schakel.kernel.outcomes import Busy, Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from schakel.portal.pages import Pages

BROWSER = {"accept": "text/html,*/*"}


def client(raised: Exception | None = None, url: str = "https://zorg.example/schakel") -> httpx.AsyncClient:
    """The portal of a node at `url` that has a page `/portal/agenda`, which raises this error or shows a page."""
    node = cast(Node, SimpleNamespace(public_url=url, region="Regio Zonnestreek", portal=None))
    frame = Frame(Pages(url), node)

    async def handler(request: Request) -> Response:
        """The page."""
        if raised is not None:
            raise raised
        return await frame.about(request)

    frame.present = frozenset({"", "agenda"})
    routes = [Route("/portal/agenda", frame.shown(handler)), Route("/", frame.start)]
    transport = httpx.ASGITransport(Starlette(routes=routes))
    return httpx.AsyncClient(transport=transport, base_url="https://here", headers=BROWSER)


async def asked(
    path: str = "/portal/agenda", raised: Exception | None = None, **options: Any
) -> httpx.Response:
    async with client(raised) as here:
        return await here.get(path, **options)


async def test_a_page_allows_nothing_but_our_own_style_and_forms() -> None:
    policy = (await asked()).headers["content-security-policy"]
    assert policy.split("; ") == [
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ]


@pytest.mark.parametrize(
    ("query", "cookie", "accept", "language"),
    [
        ("", "", "", "nl"),
        ("", "", "en-GB", "en"),
        ("", "nl", "en-GB", "nl"),
        ("", "en", "nl", "en"),
        ("lang=nl", "en", "en-GB", "nl"),
        ("lang=en", "nl", "nl", "en"),
        ("lang=de", "de", "nl", "nl"),
    ],
)
async def test_a_choice_of_now_goes_before_one_of_before_and_that_before_the_browser(
    query: str, cookie: str, accept: str, language: str
) -> None:
    headers = {"accept-language": accept} | ({"cookie": f"schakel-lang={cookie}"} if cookie else {})
    answer = await asked(f"/portal/agenda?{query}", headers=headers)
    assert answer.headers["content-language"] == language and f'<html lang="{language}"' in answer.text
    kept = answer.headers.get("set-cookie", "")
    assert (f"schakel-lang={language}" in kept) == (query == f"lang={language}")
    if kept:
        assert {"httponly", "secure", "samesite=lax", "path=/schakel/portal/"} <= set(
            kept.lower().split("; ")
        )


async def test_the_link_to_the_other_language_keeps_the_rest_of_the_address() -> None:
    text = (await asked("/portal/agenda?owner=a%26b&lang=nl")).text
    assert 'href="/schakel/portal/agenda?owner=a%26b&amp;lang=en"' in text


async def test_the_menu_has_the_parts_that_are_there_and_marks_the_one_of_now() -> None:
    text = (await asked()).text
    assert text.count('aria-current="page"') == 1
    assert '<a href="/schakel/portal/agenda" aria-current="page">Werkagenda</a>' in text
    assert "/portal/trends" not in text and "/portal/login" not in text


@pytest.mark.parametrize(
    ("raised", "status", "says"),
    [
        (NotFound("x"), 404, "Deze pagina bestaat niet"),
        (Unauthenticated("x"), 401, "U bent niet ingelogd"),
        (Forbidden("x"), 403, "Dit mag u niet doen"),
        (Invalid("the year must be a number"), 400, "the year must be a number"),
        (Conflict("x"), 409, "Dat kan niet"),
        (Busy("x"), 503, "Dit lukt nu niet"),
        (RuntimeError("secret"), 500, "Dit lukt niet"),
    ],
)
async def test_an_error_is_a_page_with_what_to_do_and_tells_nothing_inside(
    raised: Exception, status: int, says: str
) -> None:
    answer = await asked(raised=raised)
    assert answer.status_code == status and answer.headers["content-type"].startswith("text/html")
    assert says in answer.text
    assert "secret" not in answer.text and "Regio Zonnestreek" in answer.text


async def test_a_program_gets_a_problem_document() -> None:
    answer = await asked(raised=NotFound("there is none"), headers={"accept": "application/json"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "there is none"


async def test_who_must_log_in_is_led_there() -> None:
    answer = await asked(raised=ToLogin("x", "https://zorg.example/schakel/portal/login?to=%2Fportal%2F"))
    assert answer.status_code == 303
    assert answer.headers["location"] == "https://zorg.example/schakel/portal/login?to=%2Fportal%2F"


async def test_an_address_that_cannot_be_read_does_not_break_the_page_that_says_so() -> None:
    answer = await asked("/portal/agenda?a=%zz", raised=Invalid("broken percent-encoding"))
    assert answer.status_code == 400 and 'href="/schakel/portal/agenda?lang=en"' in answer.text


async def test_the_bare_address_leads_to_the_portal() -> None:
    answer = await asked("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/schakel/portal/")
