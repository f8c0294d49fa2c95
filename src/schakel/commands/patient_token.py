"""`schakel token --patient`: a real grant of a patient, made by walking through the pages as a browser does.

The demo's client sends the person to the holder's authorisation endpoint; the person logs in at the broker's stand-in
with a BSN and agrees; the client exchanges the code that comes back. Nothing is called at the client's own address.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import aiohttp
from lxml import html

from schakel.commands.doors import Answer, Door, PatientClient, Places, refusal
from schakel.kernel.outcomes import Forbidden, Invalid, Upstream
from schakel.kernel.values import Bsn

_MOST_PAGES = 12


def patient_token(places: Places, holder: Door, patient: str, *, share: str = "") -> int:
    """Gets a token of the person with this BSN at `holder`, to collect or to share one service; prints it as the last
    line."""
    session = str(uuid.uuid4())
    granted = asyncio.run(granted_to(places, holder, patient, share, session))
    print(
        f"{places.clients[0].client_id} at {holder.slug}: services {granted['scope']}, valid for "
        f"{granted['expires_in']} seconds"
    )
    print(f"X-Correlation-ID: {session}")
    print(granted["access_token"])
    return 0


async def granted_to(
    places: Places, holder: Door, patient: str, share: str, correlation: str
) -> dict[str, Any]:
    """What the token endpoint answers when this person logs in and agrees."""
    if not places.clients or not holder.medmij_name:
        raise Invalid(f"{places.source} has no client of patients, or no MedMij name of {holder.slug}")
    bsn = holder.bsn(patient)
    timeout = aiohttp.ClientTimeout(total=60, connect=5)
    try:
        async with aiohttp.ClientSession(
            timeout=timeout, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Accept-Language": "en"}
        ) as session:
            walk = _Walk(session, holder, places.clients[0], bsn, correlation)
            return (await walk.granted(share)).table()
    except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
        raise Upstream(f"no node answers at {holder.front}: is the demo running?") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Upstream(f"the node at {holder.front} gave no answer ({type(error).__name__})") from error


class _Walk:
    """One person's way through the pages of one holder."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        holder: Door,
        client: PatientClient,
        bsn: Bsn,
        correlation: str,
    ) -> None:
        self._session = session
        self._holder = holder
        self._client = client
        self._bsn = bsn
        self._correlation = correlation

    async def granted(self, share: str) -> Answer:
        """The answer of the token endpoint that the holder's metadata name (RFC 8414)."""
        parts = urlsplit(self._holder.front)
        place = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
        server = _good(await self._asked("GET", place)).table()
        code = await self._code(server["authorization_endpoint"], share)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
        }
        ids = {"MedMij-Request-ID": str(uuid.uuid4()), "X-Correlation-ID": self._correlation}
        return _good(await self._asked("POST", server["token_endpoint"], form, ids))

    async def _code(self, endpoint: str, share: str) -> str:
        """The code with which the browser comes back to the client. Raises `Forbidden` when it has none."""
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
            "scope": self._holder.medmij_name + (f"~{share}" if share else ""),
            "state": uuid.uuid4().hex,
            "MedMij-Request-ID": str(uuid.uuid4()),
            "X-Correlation-ID": self._correlation,
        }
        method, address, form = "GET", f"{endpoint}?{urlencode(query)}", None
        for _ in range(_MOST_PAGES):
            answer = await self._asked(method, address, form)
            if answer.status in (302, 303, 307):
                method, address, form = "GET", urljoin(address, answer.headers["Location"]), None
                if address.startswith(self._client.redirect_uri):
                    came = dict(parse_qsl(urlsplit(address).query))
                    if "code" in came and came.get("state") == query["state"]:
                        return came["code"]
                    why = came.get("error_description", "no code came back")
                    raise Forbidden(f"the authorisation was refused: {why}")
                continue
            method, (address, form) = "POST", self._filled(address, answer)
        raise Upstream("the pages of the authorisation do not come to an end")

    def _filled(self, address: str, answer: Answer) -> tuple[str, dict[str, str]]:
        """Where the form on a page goes, and what the person puts in it. Raises `Forbidden` when there is none."""
        page: Any = html.fromstring(answer.body.decode("utf-8", "replace") or "<p></p>")
        fields = dict(page.forms[0].fields.items()) if page.forms and answer.status == 200 else {}
        yes = bool(page.xpath("//button[@name='answer'][@value='yes']"))
        if not fields or not (yes or "bsn" in fields):
            said = " ".join(" ".join(page.xpath("//main//p//text()")).split())
            raise Forbidden(f"the authorisation stops at a page that says: {said[:300]}")
        chosen = {"bsn": str(self._bsn), "action": "login"} if "bsn" in fields else {"answer": "yes"}
        return urljoin(address, page.forms[0].action), {**{k: v or "" for k, v in fields.items()}, **chosen}

    async def _asked(
        self,
        method: str,
        address: str,
        form: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        async with self._session.request(
            method, address, data=form, headers=headers, allow_redirects=False
        ) as response:
            return Answer(response.status, await response.read(), response.headers)


def _good(answer: Answer) -> Answer:
    if answer.status != 200:
        raise refusal(answer)
    return answer
