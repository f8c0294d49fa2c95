"""`schakel token`: a real grant at a demo organisation's authorisation server, signed with a test key."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp

from schakel.commands.doors import Answer, Door, Places, refusal
from schakel.generic.identity import AssertionSigner, User
from schakel.kernel.outcomes import Invalid, Upstream

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def token(
    places: Places,
    holder: Door,
    requester: Door,
    *,
    scope: str,
    user: User,
    purpose: str,
    treatment_relation: str,
) -> int:
    """Gets a token at `holder` for `requester`; prints it as the last line."""
    key = (places.keys or {}).get(requester.slug)
    if key is None:
        raise Invalid(f"{places.source} has no test key of {requester.slug}")
    signer = AssertionSigner(requester.ura, key)
    granted = asyncio.run(_granted(holder, signer, scope, user, purpose, treatment_relation)).table()
    print(
        f"{requester.slug} at {holder.slug}: scope {granted['scope']}, valid for {granted['expires_in']} seconds"
    )
    print(granted["access_token"])
    return 0


async def _granted(
    holder: Door, signer: AssertionSigner, scope: str, user: User, purpose: str, treatment_relation: str
) -> Answer:
    """The answer of the token endpoint that the holder's metadata name (RFC 8414)."""
    parts = urlsplit(holder.front)
    metadata = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
    timeout = aiohttp.ClientTimeout(total=30, connect=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            server = _good(await _answer(session, "GET", metadata)).table()
            form = {
                "grant_type": "client_credentials",
                "scope": scope,
                "client_assertion_type": _ASSERTION_TYPE,
                "client_assertion": signer.assertion(server["issuer"], user, purpose, treatment_relation),
            }
            return _good(await _answer(session, "POST", server["token_endpoint"], form))
    except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
        raise Upstream(f"no node answers at {holder.front}: is the demo running?") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Upstream(f"the node at {holder.front} gave no answer ({type(error).__name__})") from error


async def _answer(
    session: aiohttp.ClientSession, method: str, url: str, form: dict[str, str] | None = None
) -> Answer:
    async with session.request(method, url, data=form, allow_redirects=False) as response:
        return Answer(response.status, await response.read(), response.headers)


def _good(answer: Answer) -> Answer:
    if answer.status != 200:
        raise refusal(answer)
    return answer
