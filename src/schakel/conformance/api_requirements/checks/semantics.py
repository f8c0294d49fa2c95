"""DR003, DR004: what asking does at the server: nothing, for a safe method, and no session is kept.

What only writing can show is in `writing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from schakel.conformance.api_requirements.interface import interface
from schakel.conformance.api_requirements.model import Finding
from schakel.conformance.api_requirements.probe import (
    JSON,
    Check,
    Probe,
    Unseen,
    broken,
    holds,
    outside,
    unknown,
    unpacked,
)
from schakel.conformance.client import Response
from schakel.fhir import json
from schakel.kernel.outcomes import Invalid

_NOT_OFFERED = (400, 404, 405, 501)
_LOOKS = 3
"""How many times something is looked at before it is said to change: another caller may change it once between."""


async def safe_methods(probe: Probe) -> Sequence[Finding]:
    """DR003.001-006: GET, HEAD and OPTIONS change nothing, however often they are asked."""
    url = await _watched(probe)
    looks = [await _look(probe, url) for _ in range(_LOOKS)]
    if _changes(looks):
        return [
            broken(
                key,
                "het antwoord is na elke GET anders",
                "the answer is another after each GET",
                url,
            )
            for key in ("DR003.001", "DR003.002")
        ]
    made = [
        holds("DR003.001", "na GET is alles als daarvoor", "after GET all is as before", url),
        holds("DR003.002", "GET herhaald geeft hetzelfde", "GET repeated gives the same", url),
    ]
    for method, safe, repeated in (("HEAD", "003", "004"), ("OPTIONS", "005", "006")):
        made += await _other(probe, url, method, (f"DR003.{safe}", f"DR003.{repeated}"))
    return made


async def _other(probe: Probe, url: str, method: str, keys: Sequence[str]) -> list[Finding]:
    looks: list[bytes] = []
    for _ in range(_LOOKS):
        looks.append(await _look(probe, url))
        answer = await probe.send(method, url, (("Accept", JSON),))
        if answer.status in _NOT_OFFERED:
            return [
                outside(key, f"{method} wordt niet aangeboden", f"{method} is not offered", url)
                for key in keys
            ]
        try:
            probe.refuse_closed(answer, url)
        except Unseen as unseen:
            return [unknown(key, unseen.reason.nl, unseen.reason.en, url) for key in keys]
    if _changes(looks):
        return [
            broken(
                key,
                f"na elke {method} is het antwoord anders",
                f"the answer is another after each {method}",
                url,
            )
            for key in keys
        ]
    return [
        holds(key, f"na {method} is alles als daarvoor", f"after {method} all is as before", url)
        for key in keys
    ]


async def _watched(probe: Probe) -> str:
    """What is looked at: a resource that a search gives, else the CapabilityStatement."""
    try:
        types = [one for one in (await interface(probe)).types if one][:5]
    except Unseen:
        types = []
    for type_ in types:
        answer = await probe.get(f"{probe.base}/{type_}?_count=1", JSON)
        resource = _read(answer) if answer.status == 200 else {}
        for entry in resource.get("entry") or ():
            inside = entry.get("resource", {}) if isinstance(entry, dict) else {}
            if inside.get("resourceType") == type_ and inside.get("id"):
                return f"{probe.base}/{type_}/{inside['id']}"
    return probe.metadata


async def _look(probe: Probe, url: str) -> bytes:
    """What is there now, without what a server writes anew in each answer."""
    answer = await probe.send("GET", url, (("Accept", JSON),))
    probe.refuse_closed(answer, url)
    if answer.status != 200:
        raise Unseen(
            f"er is niets om naar te kijken (antwoord {answer.status})",
            f"there is nothing to look at (answer {answer.status})",
            url,
        )
    resource = _read(answer)
    resource.pop("date", None)
    return json.dump(resource) if resource else answer.body


def _read(answer: Response) -> json.Resource:
    try:
        return json.parse(unpacked(answer), max_depth=json.STORED_DEPTH)
    except Invalid:
        return {}


def _changes(looks: Sequence[bytes]) -> bool:
    """Whether every look saw something else."""
    return all(one != other for one, other in pairwise(looks))


async def stateless(probe: Probe) -> Sequence[Finding]:
    """DR004: no cookie is set, and a question has its answer without one."""
    url = probe.metadata
    answers = [await probe.send("GET", url, (("Accept", JSON),)) for _ in range(2)]
    for answer in answers:
        if cookie := answer.header("Set-Cookie"):
            name = cookie.partition("=")[0][:40]
            return [
                broken("DR004", f"de server zet een cookie: {name}", f"the server sets a cookie: {name}", url)
            ]
    probe.refuse_closed(answers[0], url)
    if answers[0].status != answers[1].status:
        told = f"{answers[0].status}, {answers[1].status}"
        return [broken("DR004", f"dezelfde vraag gaf {told}", f"the same question gave {told}", url)]
    return [
        holds(
            "DR004", "geen cookie, elke vraag staat op zichzelf", "no cookie, each question stands alone", url
        )
    ]


CHECKS = (
    Check(tuple(f"DR003.00{number}" for number in range(1, 7)), safe_methods),
    Check(("DR004",), stateless),
)
