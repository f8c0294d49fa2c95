"""The connection pool and the compression of bodies."""

from __future__ import annotations

import asyncio

import asyncpg
import zstandard

from schakel.kernel.outcomes import Busy, Fault, Invalid
from schakel.store.connection import AWAY, let_go
from schakel.store.migrations import migrate

_OLDEST = 15
"""The first PostgreSQL that has all we use."""
_SILENCE_SECONDS = 1.0
"""What we wait longer for a statement than the database itself should."""
_CLOSE_SECONDS = 0.5

_compress = zstandard.ZstdCompressor(level=1).compress
"""On documents of a few kilobytes the levels differ in time, not in size."""
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
    longer than `statement_seconds` is ended by the database, and by us when the database is silent.

    Raises `Invalid` when `dsn` is no address or a newer program changed the database, `Busy` when the server
    cannot be reached or refuses us, and `Fault` when it is too old or gives us too few rights.
    """
    await _prepare(dsn, timeout)
    try:
        return await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=connections,
            timeout=timeout,
            command_timeout=statement_seconds + _SILENCE_SECONDS,
            reset=_clean,
            server_settings={
                "application_name": "schakel",
                "jit": "off",
                "statement_timeout": str(int(statement_seconds * 1000)),
            },
        )
    except (*AWAY, asyncpg.PostgresError) as error:
        raise _unreachable(error) from error


async def disconnect(pool: asyncpg.Pool) -> None:
    """Closes the connections of `pool`; those that do not end at once are cut off."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await let_go(pool)
            await pool.close()
    except (*AWAY, asyncpg.PostgresError):
        pass
    finally:
        pool.terminate()  # Which does nothing to a pool that is closed.


async def _prepare(dsn: str, timeout: float) -> None:
    """Checks and migrates the database, over a connection of its own: a migration may take long."""
    try:
        connection = await asyncpg.connect(dsn, timeout=timeout)
    except ValueError as error:  # Of which the text may hold a part of the password.
        raise Invalid(
            "the setting `database` is not the address of a database; an example is "
            "postgresql://user:password@host:5432/name",
            code="database-address",
        ) from error
    except (*AWAY, asyncpg.PostgresError) as error:
        raise _unreachable(error) from error
    try:
        version = connection.get_server_version()
        if version.major < _OLDEST:
            raise Fault(
                f"the database is PostgreSQL {version.major}; {_OLDEST} or newer is needed (setting `database`)",
                code="database-too-old",
            )
        await migrate(connection)
    except (*AWAY, asyncpg.PostgresError) as error:
        if isinstance(error, asyncpg.InsufficientPrivilegeError | asyncpg.ReadOnlySQLTransactionError):
            raise Fault(
                f"the database lets us not do what is needed ({error.args[0]}): give the role in the setting "
                "`database` the right to create and change tables, best by making it the owner",
                code="database-rights",
            ) from error
        raise _unreachable(error) from error
    finally:
        connection.terminate()


def _unreachable(error: Exception) -> Busy:
    said = str(error.args[-1]) if error.args else "no answer in time"
    return Busy(
        f"the database cannot be reached or refuses us ({type(error).__name__}: {said}); "
        "check the setting `database` and that PostgreSQL runs",
        code="database-unreachable",
    )
