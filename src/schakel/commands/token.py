"""`schakel token`: a real grant at a demo organisation's authorisation server, signed with a test key."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import orjson

from schakel.commands.doors import Answer, Door, Places, refusal
from schakel.generic.identity import AssertionSigner, DpopKey, User, new_key
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.kernel.outcomes import Invalid, Upstream


def token(
    places: Places,
    holder: Door,
    requester: Door,
    *,
    scope: str,
    user: User,
    purpose: str,
    treatment_relation: str,
    dpop: Path | None = None,
) -> int:
    """Gets a token at `holder` for `requester`; prints it as the last line. With `dpop` it is bound to the key in that
    file, which is made when it is not there."""
    key = (places.keys or {}).get(requester.slug)
    if key is None:
        raise Invalid(f"{places.source} has no test key of {requester.slug}")
    signer = AssertionSigner(requester.ura, key)
    bound_to = None if dpop is None else _dpop_key(dpop)
    asked = _granted(holder, signer, scope, user, purpose, treatment_relation, bound_to)
    granted = asyncio.run(asked).table()
    print(
        f"{requester.slug} at {holder.slug}: scope {granted['scope']}, valid for {granted['expires_in']} seconds"
    )
    if bound_to is not None:
        if str(granted.get("token_type", "")).lower() != "dpop":
            raise Upstream(f"{holder.slug} gave a token that is not bound to the key: it does not take DPoP")
        print(
            f"bound to the key in {dpop}, thumbprint {bound_to.jkt}: send Authorization: DPoP TOKEN with a header "
            "DPoP, a new proof for each request (RFC 9449)"
        )
    print(granted["access_token"])
    return 0


def _dpop_key(path: Path) -> DpopKey:
    """The key in the file `path`, for nobody else's eyes. Raises `Invalid`."""
    try:
        with open(path, "xb", opener=partial(os.open, mode=0o600)) as file:
            file.write(orjson.dumps(new_key()))
    except FileExistsError:
        pass
    except OSError as error:
        raise Invalid(f"the key file {path} cannot be made: {error.strerror}", code="dpop-key") from error
    return DpopKey.read(path)


async def _granted(
    holder: Door,
    signer: AssertionSigner,
    scope: str,
    user: User,
    purpose: str,
    treatment_relation: str,
    dpop: DpopKey | None,
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
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": signer.assertion(server["issuer"], user, purpose, treatment_relation),
            }
            address = server["token_endpoint"]
            headers = {} if dpop is None else {"DPoP": dpop.proof("POST", address)}
            return _good(await _answer(session, "POST", address, form, headers))
    except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
        raise Upstream(f"no node answers at {holder.front}: is the demo running?") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Upstream(f"the node at {holder.front} gave no answer ({type(error).__name__})") from error


async def _answer(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    form: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    async with session.request(method, url, data=form, headers=headers, allow_redirects=False) as response:
        return Answer(response.status, await response.read(), response.headers)


def _good(answer: Answer) -> Answer:
    if answer.status != 200:
        raise refusal(answer)
    return answer
