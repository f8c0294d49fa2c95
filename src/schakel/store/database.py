"""The connection pool and the compression of bodies."""

from __future__ import annotations

import asyncpg
import zstandard

from schakel.kernel.outcomes import Busy, Fault
from schakel.store.migrations import migrate

_compress = zstandard.ZstdCompressor(level=3).compress
_decompress = zstandard.ZstdDecompressor().decompress
_MAX_BODY = 256 * 1024 * 1024


def pack(body: bytes) -> bytes:
    """`body` as it is stored: zstd; an empty body stays empty."""
    return _compress(body) if body else b""


def unpack(body: bytes) -> bytes:
    """The inverse of `pack`."""
    return _decompress(body, max_output_size=_MAX_BODY) if body else b""


async def _clean(connection: asyncpg.Connection) -> None:
    """Readies a connection for its next user. Ours set nothing on a session, so that only an open transaction
    could be left; asking the database to reset what was never set would cost a round trip each time."""
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK")


async def connect(
    dsn: str, *, connections: int = 10, timeout: float = 10.0, statement_seconds: float = 20.0
) -> asyncpg.Pool:
    """A pool on the database at `dsn`, migrated. `timeout` (to connect) is in seconds; a statement that takes
    longer than `statement_seconds` is ended by the database.

    Raises `Busy` when the server cannot be reached and `Fault` when it is too old.
    """
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=connections,
            timeout=timeout,
            command_timeout=60,
            reset=_clean,
            server_settings={
                "application_name": "schakel",
                "jit": "off",
                "statement_timeout": str(int(statement_seconds * 1000)),
            },
        )
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise Busy(
            f"the database cannot be reached or refuses us: {type(error).__name__}: {error}; "
            "check the setting `database` and that PostgreSQL runs",
            code="database-unreachable",
        ) from error
    async with pool.acquire() as connection:
        if connection.get_server_version().major < 15:
            await pool.close()
            raise Fault("PostgreSQL 15 or newer is needed", code="database-too-old")
        await migrate(connection)
    return pool
