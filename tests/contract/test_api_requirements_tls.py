"""SC004 by real handshakes: what a server accepts, and the certificate that it shows."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from tests.api_peer import running_api
from tests.certificates import Authority, Files, new_key, server_context

from schakel.conformance.api_requirements import ApiOptions, Result, Verdict, check_api

_SMALL_GROUP = b"""-----BEGIN DH PARAMETERS-----
MIGHAoGBAIsbcCdkmbIxcbE6Feo4nEDfUfATEVuw12j+PsqgNGs2HqUYv+daQYFO
bYx/f/JEhbXFEMdtaMkgVJAToJ2lLq24dmnFfsC6eHoyoV22qT7hJUvVqiE+ra1j
M++CybTSY2H0sqlfu22xmxChO1ph1tC6/pILxL6TQLAk7N6z+POPAgEC
-----END DH PARAMETERS-----
"""

PASSED, FAILED, UNKNOWN = Verdict.PASSED, Verdict.FAILED, Verdict.UNKNOWN


async def judged(options: ApiOptions, key: str = "SC004") -> Result:
    return next(one for one in (await check_api(options)).results if one.key == key)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority.new("Authority of the test")
    (tmp_path / "ca.pem").write_text(made.pem)
    return made


async def at(
    context: ssl.SSLContext, folder: Path, *faults: str, key: str = "SC004", trust: bool = True
) -> Result:
    async with running_api(*faults, tls=context) as api:
        cacerts = (folder / "ca.pem",) if trust else ()
        return await judged(ApiOptions(f"{api.root}/api", cacerts=cacerts, seconds=5.0), key)


def shown(
    authority: Authority, folder: Path, days: tuple[float, float] = (-1, 300), host: str = "127.0.0.1"
) -> Files:
    return authority.issue("server", hosts=(host,), days=days, key=new_key(2048)).write(folder, "server")


def modern(context: ssl.SSLContext) -> None:
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")


def old(context: ssl.SSLContext) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1


def only_old(context: ssl.SSLContext) -> None:
    old(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.maximum_version = ssl.TLSVersion.TLSv1_1


def rsa_exchange(context: ssl.SSLContext) -> None:
    context.set_ciphers("ECDHE+AESGCM:kRSA+AESGCM")


def finite_field(context: ssl.SSLContext) -> None:
    context.set_ciphers("ECDHE+AESGCM:DHE+AESGCM:@SECLEVEL=0")
    with NamedTemporaryFile() as file:
        file.write(_SMALL_GROUP)
        file.flush()
        context.load_dh_params(file.name)


@pytest.mark.parametrize(
    ("setting", "verdict", "told"),
    [
        (modern, PASSED, "TLSv1.3"),
        (old, FAILED, "TLS 1.0 is accepted"),
        (only_old, FAILED, "nothing but TLS 1.0"),
        (rsa_exchange, FAILED, "AES"),
        (finite_field, UNKNOWN, "size of its group"),
    ],
)
async def test_what_a_server_accepts_decides(
    authority: Authority,
    tmp_path: Path,
    setting: Callable[[ssl.SSLContext], None],
    verdict: Verdict,
    told: str,
) -> None:
    context = server_context(shown(authority, tmp_path))
    setting(context)
    result = await at(context, tmp_path)
    assert result.verdict is verdict, result
    assert told in result.reason.en


@pytest.mark.parametrize(
    ("days", "host", "told"),
    [
        ((-30, -1), "127.0.0.1", "expired"),
        ((1, 30), "127.0.0.1", "not valid yet"),
        ((-1, 30), "127.0.0.2", "another"),
    ],
)
async def test_a_certificate_that_is_wrong_for_everybody_fails(
    authority: Authority, tmp_path: Path, days: tuple[float, float], host: str, told: str
) -> None:
    context = server_context(shown(authority, tmp_path, days, host))
    modern(context)
    result = await at(context, tmp_path)
    assert result.verdict is FAILED and told in result.reason.en, result


async def test_a_short_key_fails(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("server", hosts=("127.0.0.1",), key=new_key(1024)).write(tmp_path, "short")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ECDHE+AESGCM:@SECLEVEL=0")
    context.load_cert_chain(*files.pair)
    result = await at(context, tmp_path)
    assert result.verdict is FAILED and "too short" in result.reason.en, result


async def test_a_certificate_of_an_authority_that_is_not_known_here_says_nothing(
    authority: Authority, tmp_path: Path
) -> None:
    context = server_context(shown(authority, tmp_path))
    modern(context)
    result = await at(context, tmp_path, trust=False)
    assert result.verdict is UNKNOWN and "--cacert" in result.reason.en


async def test_plain_http_fails_elsewhere_and_says_nothing_on_this_machine() -> None:
    async with running_api() as api:
        here = await judged(ApiOptions(f"{api.root}/api", seconds=5.0))
    elsewhere = await judged(ApiOptions("http://api.invalid/fhir", seconds=1.0))
    assert here.verdict is UNKNOWN and "TLS" in here.reason.en
    assert elsewhere.verdict is FAILED and "https" in elsewhere.reason.en


async def test_a_server_that_never_finishes_a_handshake_says_nothing() -> None:
    quiet = asyncio.Event()

    async def wait(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await quiet.wait()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        result = await judged(ApiOptions(f"https://127.0.0.1:{port}/api", seconds=0.2))
    finally:
        quiet.set()
        server.close()
    assert result.verdict is UNKNOWN


async def test_https_without_hsts_is_seen(authority: Authority, tmp_path: Path) -> None:
    context = server_context(shown(authority, tmp_path))
    modern(context)
    good = await at(context, tmp_path, key="SC003")
    bad = await at(context, tmp_path, "no hsts", key="SC003")
    assert (good.verdict, bad.verdict) == (UNKNOWN, FAILED)
