"""`professional-login`: professionals can log in with Dezi.

A login is begun as the EHR does, its address is opened as a browser does, and the address at Dezi to which that leads
is asked. Nobody logs in, and the login is ended.

Source: OpenID Connect Core 1.0 section 3.1.2.1 (the authentication request at Dezi).
"""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import parse_qs, quote, urlsplit

from schakel.roadmap.checks.internal import code_of, refused
from schakel.roadmap.checks.model import Check, Target, Unclear, found
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "professional-login"

_PAGE = Text("de pagina waar de login begint", "the page where the login begins")
_PATH = "professionals/logins"


async def _measure(target: Target, tools: Tools) -> Finding:
    organisation = target.organisation
    begun = await tools.internal(organisation, _PATH, method="POST", json={})
    if begun.status == 404 and code_of(begun) == "dezi-off":
        reason = Text(
            "Zorgverleners kunnen hier niet inloggen met Dezi: het is niet ingesteld.",
            "Professionals cannot log in with Dezi here: it is not set up.",
        )
        return found(ID, "fails", reason)
    table = begun.table()
    if begun.status != 201 or table is None:
        raise refused(begun)
    try:
        address = str(table.get("address", ""))
        own = {_origin(one) for one in (organisation.front, organisation.back, organisation.internal)}
        return await _opened(tools, address, led=_origin(address) not in own)
    finally:
        login = quote(str(table.get("id", "")), safe="")
        await tools.internal(organisation, f"{_PATH}/{login}", method="DELETE")


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


async def _opened(tools: Tools, address: str, *, led: bool) -> Finding:
    """What becomes of a browser that opens the address of a login; we are `led` to it when it is at no door of the
    organisation that the file names."""
    page = await tools.get(address, accept="text/html", led=led, called=_PAGE)
    there = page.headers.get("location", "")
    shown = address.partition("?")[0]
    if page.status != 303 or not there:
        raise Unclear(
            Text(
                "De login begint, maar leidt nu niet naar Dezi.",
                "The login begins, but does not lead to Dezi at the moment.",
            ),
            f"{shown}: status {page.status}",
        )
    dezi = urlsplit(there)
    asked = parse_qs(dezi.query)
    host = dezi.netloc
    answer = await tools.get(there, accept="text/html", led=True)
    if answer.status >= 500:
        raise Unclear(
            Text(
                f"Dezi ({host}) antwoordt nu met status {answer.status}.",
                f"Dezi ({host}) answers with status {answer.status} at the moment.",
            ),
            host,
        )
    if answer.status >= 400:
        reason = Text(
            f"Dezi ({host}) neemt deze organisatie niet aan (status {answer.status}).",
            f"Dezi ({host}) does not take this organisation (status {answer.status}).",
        )
        return found(ID, "fails", reason, f"{host}: {_said(answer.body)}")
    reason = Text(
        f"Zorgverleners kunnen inloggen met Dezi ({host}).", f"Professionals can log in with Dezi ({host})."
    )
    return found(ID, "holds", reason, f"client {asked.get('client_id', [''])[0]}")


def _said(body: bytes) -> str:
    """The error of an answer, when it names one."""
    try:
        table = json.loads(body)
    except ValueError:
        return "no reason in JSON"
    return str(table.get("error", ""))[:100] if isinstance(table, dict) else ""


CHECK = Check(
    ID,
    Text("Inloggen van zorgverleners", "Login of professionals"),
    Text(
        "Begint een login zoals het EPD dat doet, en kijkt of die bij Dezi uitkomt. Niemand logt in.",
        "Begins a login as the EHR does, and looks whether it arrives at Dezi. Nobody logs in.",
    ),
    timedelta(days=7),
    wants=lambda one: bool(one.internal),
    measure=_measure,
)
