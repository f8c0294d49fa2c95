"""DR003.007-014: what POST, PUT, PATCH and DELETE do. Only with permission to write: two resources of type Basic are
made, changed and deleted again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from schakel.conformance.api_requirements.interface import interface
from schakel.conformance.api_requirements.model import Finding, Verdict
from schakel.conformance.api_requirements.probe import (
    JSON,
    Check,
    Probe,
    Unseen,
    found,
    outside,
    unknown,
    unpacked,
)
from schakel.conformance.client import Response
from schakel.fhir import json
from schakel.kernel.outcomes import Invalid

_KEYS = tuple(f"DR003.{number:03}" for number in range(7, 15))
_PATCH = b'[{"op": "add", "path": "/identifier/-", "value": {"value": "patched"}}]'
_GONE = (404, 410)


async def unsafe_methods(probe: Probe) -> Sequence[Finding]:
    """DR003.007-014, one after another on resources of its own."""
    if not probe.options.writes:
        raise Unseen(
            "alleen te zien door te schrijven; geef --allow-writes bij een testomgeving",
            "can only be seen by writing; give --allow-writes at a test environment",
            probe.base,
        )
    offered = await interface(probe)
    if not offered.supports("create", "Basic"):
        raise Unseen(
            "er is geen resource Basic om mee te schrijven",
            "there is no resource Basic to write with",
            probe.metadata,
        )
    trial = _Trial(probe)
    patch = offered.supports("patch", "Basic")
    try:
        made = await trial.posts()
        steps: tuple[Callable[[], Awaitable[list[Finding]]], ...] = (
            trial.puts,
            partial(trial.patches, patch),
            trial.deletes,
        )
        for place, step in enumerate(steps):
            try:
                made += await step()
            except Unseen as unseen:
                keys = _KEYS[2 * place + 2 : 2 * place + 4]
                made += [unknown(key, unseen.reason.nl, unseen.reason.en, unseen.evidence) for key in keys]
        return made
    finally:
        await trial.clean()


@dataclass
class _Trial:
    """The resources that were made, by address."""

    probe: Probe
    made: list[str] = field(default_factory=list)

    async def posts(self) -> list[Finding]:
        """The same POST twice makes two things."""
        addresses = [await self._post() for _ in range(2)]
        there = (await self._get(addresses[0])).status == 200
        return [
            _judged("DR003.007", there, "POST maakt iets", "POST makes something", addresses[0]),
            _judged(
                "DR003.008",
                addresses[0] != addresses[1],
                "tweemaal POST geeft twee dingen",
                "POST twice makes two things",
                addresses[1],
            ),
        ]

    async def puts(self) -> list[Finding]:
        """The same PUT twice leaves what one leaves."""
        url = self.made[0]
        keys = ("DR003.009", "DR003.010")
        before = await self._content(url)
        seen = []
        for _ in range(2):
            body = {**_basic("put"), "id": url.rsplit("/", 1)[1]}
            answer = await self._send("PUT", url, json.dump(body))
            if answer.status in (405, 501):
                return [outside(key, "PUT wordt niet aangeboden", "PUT is not offered", url) for key in keys]
            if answer.status not in (200, 201, 204):
                return [_refused(key, "PUT", answer, url) for key in keys]
            seen.append(await self._content(url))
        return [
            _judged(keys[0], seen[0] != before, "PUT verandert iets", "PUT changes something", url),
            _judged(keys[1], seen[0] == seen[1], "PUT is herhaalbaar", "PUT can be repeated", url),
        ]

    async def patches(self, offered: bool) -> list[Finding]:
        """A PATCH that adds does so each time."""
        url = self.made[0]
        keys = ("DR003.011", "DR003.012")
        if not offered:
            return [outside(key, "PATCH wordt niet aangeboden", "PATCH is not offered", url) for key in keys]
        seen = [await self._content(url)]
        for _ in range(2):
            answer = await self._send("PATCH", url, _PATCH, "application/json-patch+json")
            if answer.status not in (200, 204):
                return [_refused(key, "PATCH", answer, url) for key in keys]
            seen.append(await self._content(url))
        return [
            _judged(keys[0], seen[0] != seen[1], "PATCH verandert iets", "PATCH changes something", url),
            _judged(keys[1], seen[1] != seen[2], "PATCH doet het elke keer", "PATCH does it each time", url),
        ]

    async def deletes(self) -> list[Finding]:
        """After DELETE it is gone, and DELETE again leaves it so."""
        url = self.made[0]
        keys = ("DR003.013", "DR003.014")
        gone: list[bool] = []
        answers: list[Response] = []
        for _ in range(2):
            answer = await self._send("DELETE", url)
            if answer.status in (405, 501) and not answers:
                return [
                    outside(key, "DELETE wordt niet aangeboden", "DELETE is not offered", url) for key in keys
                ]
            answers.append(answer)
            gone.append((await self._get(url)).status in _GONE)
        if answers[0].status not in (200, 202, 204):
            return [_refused(key, "DELETE", answers[0], url) for key in keys]
        return [
            _judged(keys[0], gone[0], "DELETE verwijdert", "DELETE removes", url),
            _judged(
                keys[1],
                gone[1] and answers[1].status < 500,
                "DELETE is herhaalbaar",
                "DELETE can be repeated",
                url,
            ),
        ]

    async def clean(self) -> None:
        """Deletes what was made, as far as that can be."""
        for url in self.made:
            try:
                await self._send("DELETE", url)
            except Unseen:
                continue

    async def _post(self) -> str:
        url = f"{self.probe.base}/Basic"
        answer = await self._send("POST", url, json.dump(_basic("post")))
        self.probe.refuse_closed(answer, url)
        location = (answer.header("Location") or "").partition("/_history")[0]
        if answer.status != 201 or "/" not in location:
            raise Unseen(
                f"een Basic is niet te maken (antwoord {answer.status})",
                f"no Basic could be made (answer {answer.status})",
                url,
            )
        address = f"{url}/{location.rsplit('/', 1)[1]}"
        if address not in self.made:
            self.made.append(address)
        return address

    async def _send(self, method: str, url: str, body: bytes | None = None, media: str = JSON) -> Response:
        headers = (("Accept", JSON), *((("Content-Type", media),) if body else ()))
        return await self.probe.send(method, url, headers, body)

    async def _get(self, url: str) -> Response:
        return await self._send("GET", url)

    async def _content(self, url: str) -> dict[str, Any]:
        """The resource without what a server writes on it (meta, narrative)."""
        answer = await self._get(url)
        try:
            resource = json.parse(unpacked(answer))
        except Invalid as error:
            raise Unseen("het gemaakte is niet te lezen", "what was made cannot be read", url) from error
        return {name: value for name, value in resource.items() if name not in ("meta", "text")}


def _basic(word: str) -> dict[str, Any]:
    return {
        "resourceType": "Basic",
        "identifier": [{"value": word}],
        "code": {"text": f"Made by a check of this API ({word}); may be deleted"},
    }


def _judged(key: str, so: bool, nl: str, en: str, url: str) -> Finding:
    if so:
        return found(key, Verdict.PASSED, nl, en, url)
    return found(key, Verdict.FAILED, f"niet waar: {nl}", f"not so: {en}", url)


def _refused(key: str, method: str, answer: Response, url: str) -> Finding:
    return unknown(
        key, f"{method} werd geweigerd ({answer.status})", f"{method} was refused ({answer.status})", url
    )


CHECKS = (Check(_KEYS, unsafe_methods),)
