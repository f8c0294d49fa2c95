"""The references that need a server: endpoints that do nothing but the one thing they are compared on.

`/static` answers with a ready text; `/read/{type}/{id}` does the one indexed read of `Store.read` with asyncpg
and answers with the row's bytes as they are stored. Same listener code, same Starlette, same pool as a node. It listens
twice: in plain HTTP, and with TLS for whoever shows a certificate.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.credentials import Credentials
from schakel.http.listeners import Address, Listener, listening
from schakel.store.database import connect, disconnect

_STATIC = b'{"resourceType":"Basic","id":"' + b"x" * 2960 + b'"}'
_READ = (
    "SELECT type, id, version, updated, body, deleted FROM resource "
    "WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id = $4"
)


def _routes(pool: asyncpg.Pool, slug: str) -> list[Route]:
    tenant = 0

    async def static(_request: Request) -> Response:
        return Response(_STATIC, media_type="application/fhir+json")

    async def read(request: Request) -> Response:
        nonlocal tenant
        asked = request.path_params
        async with pool.acquire() as connection:
            if not tenant:  # Which the node makes, after this server has started.
                tenant = await connection.fetchval("SELECT id FROM tenant WHERE slug = $1", slug)
            row = await connection.fetchrow(_READ, tenant, 3, asked["type"], asked["id"])
        assert row is not None
        return Response(row["body"], media_type="application/fhir+json")

    return [Route("/static", static), Route("/read/{type}/{id}", read)]


async def _serve(dsn: str, slug: str, port: int, tls_port: int, shown: Credentials) -> None:
    pool = await connect(dsn)
    app = Starlette(routes=_routes(pool, slug))
    plain = Listener("bare", app, Address("127.0.0.1", port, "port"))
    secured = Listener("bare-tls", app, Address("127.0.0.1", tls_port, "port"), tls=shown.server())
    async with listening([plain, secured]):
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await disconnect(pool)


if __name__ == "__main__":
    dsn, slug, port, tls_port, *files = sys.argv[1:]
    uvloop.run(_serve(dsn, slug, int(port), int(tls_port), Credentials(*(Path(one) for one in files))))
