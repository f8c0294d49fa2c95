"""After kill -9 of the database, a proof whose answer may have left is used up still."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.fault.processes import Database
from tests.proofs import proof

from schakel.generic.identity import AuthorisationServer, Caller, new_key
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.generic.logging import AuditLog, AuditWriter, Event
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Busy, Unauthenticated
from schakel.store.database import connect, disconnect

ISSUER, URA = "https://node.example/a", "22222222"
KEY = new_key()
DATA = f"{ISSUER}/fhir/stu3/Condition"


class Directory:
    """Knows one organisation."""

    async def jwks(self, ura: str) -> Mapping[str, Any] | None:
        return {"keys": [{name: value for name, value in KEY.items() if name != "d"}]}

    async def name(self, ura: str) -> str:
        return ""

    async def facility_type(self, ura: str) -> str:
        return ""


def _form() -> dict[str, str]:
    moment = int(now().timestamp())
    claims = {
        "iss": URA,
        "sub": URA,
        "aud": ISSUER,
        "jti": new_id(),
        "iat": moment,
        "exp": moment + 60,
        "user": {"id": "1", "name": "A", "role": "01.015"},
        "purpose_of_use": "TREAT",
        "treatment_relation": "current",
    }
    return {
        "grant_type": "client_credentials",
        "scope": "bgz",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": jwt.encode({"alg": "ES256"}, claims, ECKey.import_key(KEY)),
    }


@pytest.mark.slow
async def test_no_proof_gets_a_second_answer_after_a_crash(open_folder: Path) -> None:
    database = Database(open_folder / "proofs")
    try:
        await database.start()
        pool = await connect(database.address)
        await pool.execute("INSERT INTO tenant (slug, ura, name) VALUES ('a', '90000001', 'a')")
        server = AuthorisationServer(pool, 1, ISSUER, Directory(), 300)
        log = AuditLog(AuditWriter(pool), 1)
        url = f"{ISSUER}/oauth2/token"
        answer = await server.token(_form(), Caller("POST", url, dpop=(proof("POST", url),)))
        left: list[Caller] = []

        async def ask() -> None:
            """Requests one after the other, answered as the gateway does: identified, logged, gone."""
            while True:
                shown = proof("GET", DATA, answer.token)
                caller = Caller("GET", DATA, (f"DPoP {answer.token}",), (shown,))
                try:
                    await server.identify(caller)
                    await log.write(
                        Event(subtype="read", action="R", outcome="0", requester=URA, holder="90000001")
                    )
                except Busy:
                    return
                left.append(caller)

        asking = [asyncio.create_task(ask()) for _ in range(8)]
        while len(left) < 300:
            assert not any(task.done() for task in asking)
            await asyncio.sleep(0.01)
        await database.kill()
        await asyncio.gather(*asking)
        await database.start()
        for caller in left:
            with pytest.raises(Unauthenticated) as caught:
                await server.identify(caller)
            assert caught.value.kind == "dpop-replayed"
        await disconnect(pool)
    finally:
        await database.stop()
