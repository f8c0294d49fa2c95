"""DR-R003, SC002, SC003: what an endpoint gives away, and what it tells browsers and proxies to keep closed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import JSON, Check, Probe, Unseen, broken, holds, unknown
from schakel.conformance.client import Response

_TRACE = re.compile(
    r"Traceback \(most recent call last\)|File \"[^\"]+\.py\", line \d+|\bat [\w$.]+\([\w$]+\.(?:java|kt|scala):\d+\)"
    r"|Exception in thread|java\.lang\.\w+|System\.\w*Exception|\.cs:line \d+|\bat .+ in .+:line \d+"
    r"|SQLSTATE|ORA-\d{5}|psycopg|org\.postgresql|org\.hibernate|SqlException|PG::\w+|node_modules/|\.js:\d+:\d+"
    r"|goroutine \d+ \[|panic: "
)
"""What stands in an answer that shows the inside of a program: traces of the usual languages, errors of databases."""

_BANNERS = (
    "X-Powered-By",
    "X-AspNet-Version",
    "X-AspNetMvc-Version",
    "X-Runtime",
    "X-Generator",
    "Via-Software",
)
_NUMBERED = re.compile(r"/\s*v?\d|\d+\.\d+")


def _bad_questions(base: str) -> list[str]:
    """Addresses that no API has an answer to; asking them changes nothing."""
    return [
        f"{base}/NoSuchThing'%22%3C",
        f"{base}/Patient/%00",
        f"{base}/Patient?birthdate=not-a-date",
        f"{base}/Patient/%F0%28%8C%28?_format=%25",
        f"{base}/metadata?_format=%3Cno%3E",
    ]


async def details(probe: Probe) -> Sequence[Finding]:
    """DR-R003: no software with its version in a header, and no inside of a program in an answer to bad input."""
    closed = 0
    for url in (probe.metadata, *_bad_questions(probe.base)):
        answer = await probe.get(url, JSON)
        if banner := _banner(answer):
            return [broken("DR-R003", f"een kopregel zegt {banner}", f"a header says {banner}", url)]
        if match := _TRACE.search(answer.body[:200_000].decode("utf-8", "replace")):
            told = match[0][:60]
            return [broken("DR-R003", f"een antwoord toont {told}", f"an answer shows {told}", url)]
        closed += answer.status in (401, 403)
    if closed > len(_bad_questions(probe.base)):
        raise Unseen(
            "de deur vraagt bij alles wie er is; geef een token met --header",
            "the door asks who is there at everything; give a token with --header",
            probe.base,
        )
    return [
        holds(
            "DR-R003",
            "geen versie van software, en bij slechte vragen niets van binnen",
            "no version of software, and nothing of the inside at bad questions",
            probe.base,
        )
    ]


def _banner(answer: Response) -> str:
    for name in _BANNERS:
        if value := answer.header(name):
            return f"{name}: {value[:60]}"
    server = answer.header("Server") or ""
    return f"Server: {server[:60]}" if _NUMBERED.search(server) else ""


async def implementation(probe: Probe) -> Sequence[Finding]:
    """SC002, what can be seen of it: content is not guessed at, no frame shows it, TRACE is refused."""
    answer = await probe.get(probe.metadata, JSON)
    probe.refuse_closed(answer, probe.metadata)
    wrong = []
    if (answer.header("X-Content-Type-Options") or "").lower() != "nosniff":
        wrong.append(
            ("X-Content-Type-Options: nosniff ontbreekt", "X-Content-Type-Options: nosniff is missing")
        )
    framed = "frame-ancestors" in (answer.header("Content-Security-Policy") or "")
    if not framed and (answer.header("X-Frame-Options") or "").upper() not in ("DENY", "SAMEORIGIN"):
        wrong.append(("niets verbiedt een frame", "nothing forbids a frame"))
    echo = await probe.send("TRACE", probe.metadata)
    if echo.status < 400:
        wrong.append(("TRACE wordt beantwoord", "TRACE is answered"))
    return [
        _seen(
            "SC002", wrong, "nosniff, geen frame, geen TRACE", "nosniff, no frame, no TRACE", probe.metadata
        )
    ]


async def deployment(probe: Probe) -> Sequence[Finding]:
    """SC003, what can be seen of it: HTTPS only, said so to browsers (HSTS), no version of the server told."""
    answer = await probe.get(probe.metadata, JSON)
    wrong = []
    if banner := _banner(answer):
        wrong.append((f"een kopregel zegt {banner}", f"a header says {banner}"))
    parts = urlsplit(probe.base)
    if parts.scheme == "https":
        age = re.search(r"max-age=\"?(\d+)", answer.header("Strict-Transport-Security") or "")
        if not age or int(age[1]) < _YEAR:
            wrong.append(
                (
                    "Strict-Transport-Security van ten minste een jaar ontbreekt",
                    "Strict-Transport-Security of at least a year is missing",
                )
            )
    elif not loopback(parts.hostname or ""):
        wrong.append(("het adres is geen https", "the address is not https"))
    return [
        _seen(
            "SC003",
            wrong,
            "geen versie in kopregels, HSTS op https",
            "no version in headers, HSTS on https",
            probe.metadata,
        )
    ]


_YEAR = 31_536_000
"""Seconds."""


def loopback(host: str) -> bool:
    """Whether a host is this machine."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _seen(key: str, wrong: Sequence[tuple[str, str]], nl: str, en: str, url: str) -> Finding:
    """Broken when something is wrong; else what could be seen, which is not the whole requirement."""
    if wrong:
        return broken(key, "; ".join(one for one, _ in wrong), "; ".join(one for _, one in wrong), url)
    return unknown(
        key,
        f"wat te zien is, klopt ({nl}); de rest zegt een mens",
        f"what can be seen holds ({en}); a person says the rest",
        url,
    )


CHECKS = (
    Check(("DR-R003",), details),
    Check(("SC002",), implementation),
    Check(("SC003",), deployment),
)
