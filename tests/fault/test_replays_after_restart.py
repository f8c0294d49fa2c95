"""What was used up before a node was killed is used up when it is back: assertions, presentations and proofs."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import httpx
import pytest
from tests.fault.processes import KEY, Site, ehr, free_port, running_site
from tests.nation import HOLDER, Nation
from tests.proofs import proof

from schakel.generic.identity.tokens.grants import JWT_BEARER

pytestmark = pytest.mark.slow


async def by_assertion(site: Site, client: aiohttp.ClientSession, form: dict[str, str]) -> tuple[int, str]:
    async with client.post(f"{site.front}/noord/oauth2/token", data=form) as answer:
        return answer.status, await answer.text()


async def test_nothing_that_was_shown_once_is_taken_again_after_a_restart(
    country: Nation, tmp_path: Path
) -> None:
    port = free_port()
    organisation = {
        "slug": "noord",
        "ura": HOLDER,
        "name": "Ziekenhuis Noord",
        "internal_key": KEY,
        "signing_key": "noord.jwk",
    }
    back = {"port": port, "public_url": f"https://127.0.0.1:{port}"}
    settings = country.settings(back=back, organisations=[organisation])
    async with running_site(tmp_path, **settings) as (site, _), ehr() as client:
        issuer = f"{site.front}/noord"
        endpoint, data = f"{issuer}/oauth2/token", f"{site.guarded}/Condition/c1"
        assertion = site.token_form()
        assert (await by_assertion(site, client, assertion))[0] == 200

        async with httpx.AsyncClient(trust_env=False) as web:
            made = await country.requester.presentation(web, issuer, seconds=60)
            form = {"grant_type": JWT_BEARER, "scope": "bgz", "assertion": made.assertion}
            given = await web.post(endpoint, data=form)
            assert given.status_code == 200, given.text

            fresh = site.token_form()
            at_token = proof("POST", endpoint)
            bound = await web.post(endpoint, data=fresh, headers={"DPoP": at_token})
            assert bound.json()["token_type"] == "DPoP", bound.text
            token = bound.json()["access_token"]
            shown = {"Authorization": f"DPoP {token}", "DPoP": proof("GET", data, token)}
            first = await web.get(data, headers=shown)
            assert first.status_code == 403, "known, and without a ground"

            await site.kill()
            await site.start()

            status, said = await by_assertion(site, client, assertion)
            assert status == 401 and "the assertion was used before" in said
            again = await web.post(endpoint, data=form)
            assert again.status_code == 400 and "used before" in again.text, again.text
            again = await web.post(endpoint, data=site.token_form(), headers={"DPoP": at_token})
            assert again.status_code == 400 and again.json()["error"] == "invalid_dpop_proof", again.text
            again = await web.get(data, headers=shown)
            assert again.status_code == 401 and "dpop-replayed" in again.text, again.text
            renewed = {**shown, "DPoP": proof("GET", data, token)}
            assert (await web.get(data, headers=renewed)).status_code == 403, "the token itself still counts"
