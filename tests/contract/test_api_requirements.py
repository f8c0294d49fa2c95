"""Every check of an API requirement: it holds at an API that does well, fails at one with that one fault, and says
that it could not check where no answer comes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from tests.api_peer import running_api
from tests.nodes import free_ports

from schakel.conformance.api_requirements import (
    ApiOptions,
    ApiResult,
    Standard,
    Verdict,
    check_api,
    exit_code,
)
from schakel.conformance.api_requirements.checks import CHECKS

PASSED, FAILED, UNKNOWN = Verdict.PASSED, Verdict.FAILED, Verdict.UNKNOWN

FAULTS = (
    ("SD001.013", "documentation asks for a login"),
    ("SD001.013", "documentation is away"),
    ("SD003.001", "no examples"),
    ("SD009.001", "documentation in Dutch"),
    ("SD011", "nothing is related"),
    ("SD012", "an operation without a definition"),
    ("LM008", "version is a date"),
    ("DR001", "a Dutch path"),
    ("DR002.001", "get with a body"),
    ("DR002.002", "post that makes nothing"),
    ("DR002.003", "put without a body"),
    ("DR002.004", "patch without a body"),
    ("DR002.005", "delete of a collection"),
    ("DR003.001", "get changes"),
    ("DR003.002", "get changes"),
    ("DR003.003", "head changes"),
    ("DR003.004", "head changes"),
    ("DR003.005", "options changes"),
    ("DR003.006", "options changes"),
    ("DR003.007", "post is lost"),
    ("DR003.008", "post once"),
    ("DR003.009", "put does nothing"),
    ("DR003.010", "put counts"),
    ("DR003.011", "patch does nothing"),
    ("DR003.012", "patch once"),
    ("DR003.013", "delete keeps"),
    ("DR003.014", "delete fails again"),
    ("DR004", "cookie"),
    ("DR005.001", "a relation in two ways"),
    ("DR005.001", "a relation below nothing"),
    ("DR006.001", "an operation without a dollar"),
    ("DR007", "no version"),
    ("DR008", "no deflate"),
    ("DR009", "packed unasked"),
    ("DR011", "a name twice"),
    ("DR-R001", "an operation without a dollar"),
    ("DR-R002", "singular and plural"),
    ("DR-R003", "banner"),
    ("DR-R003", "a stack trace"),
    ("DR-R004", "no xml"),
    ("DR-R004.001", "xml differs"),
    ("DR-R007.002", "no 406"),
    ("DR-R008.001", "wrong content type"),
    ("DR-R008.001", "no 415"),
    ("SC-R001", "no signed assertion"),
    ("SC-R001", "another issuer"),
    ("SC-R003", "an unknown algorithm"),
    ("SC-R003", "a secret key"),
    ("SC008", "a shared secret"),
    ("SC008", "a token for nobody"),
)
"""What a machine decides, and the faults by which it must fail."""

SEEN_IN_PART = (
    ("SC002", "no nosniff"),
    ("SC002", "framed"),
    ("SC002", "trace"),
    ("SC003", "banner"),
)
"""What a machine can see broken and never whole."""


def verdicts(result: ApiResult) -> Mapping[str, Verdict]:
    return {one.key: one.verdict for one in result.results}


@pytest.fixture(scope="module")
async def good() -> ApiResult:
    async with running_api() as api:
        return await check_api(api.options())


@pytest.mark.parametrize("key", sorted({key for key, _ in FAULTS}))
async def test_a_check_holds_at_an_api_that_does_well(good: ApiResult, key: str) -> None:
    assert verdicts(good)[key] is PASSED, next(one for one in good.results if one.key == key)


async def test_nothing_fails_at_an_api_that_does_well(good: ApiResult) -> None:
    assert good.with_verdict(FAILED) == ()
    assert exit_code(good) == 0


@pytest.mark.parametrize(("key", "fault"), [*FAULTS, *SEEN_IN_PART])
async def test_a_check_fails_at_an_api_with_that_one_fault(key: str, fault: str) -> None:
    async with running_api(fault) as api:
        result = await check_api(api.options())
    one = next(one for one in result.results if one.key == key)
    assert one.verdict is FAILED, one
    assert one.by == "machine" and one.evidence and one.reason.nl != one.reason.en
    whole = next(whole for whole in result.whole if whole.code == one.code)
    assert whole.verdict is FAILED
    assert exit_code(result) == (1 if whole.level == "must" else 0)


@pytest.mark.parametrize("key", sorted({key for key, _ in SEEN_IN_PART}))
async def test_what_is_seen_in_part_is_never_found_to_hold(good: ApiResult, key: str) -> None:
    assert verdicts(good)[key] is UNKNOWN


async def test_every_key_of_a_check_is_proved_to_fail_here() -> None:
    """A new check comes with its fault."""
    proved = {key for key, _ in [*FAULTS, *SEEN_IN_PART]}
    apart = {"SC004", "SC004.001"}  # test_api_requirements_tls
    apart |= {"LM005.002", "LM006.001", "SD008.001"}  # below
    apart |= {"SD004.001", "SD013", "SC-R002"}  # cannot be seen broken, see below
    assert {key for check in CHECKS for key in check.keys} <= proved | apart


async def test_a_machine_readable_specification_must_be_one() -> None:
    async with running_api("no resources") as api:
        bare = await check_api(api.options(openapi=""))
        with_openapi = await check_api(api.options())
    assert verdicts(bare)["SD008.001"] is FAILED
    assert verdicts(with_openapi)["SD008.001"] is PASSED


async def test_what_a_page_does_not_name_may_be_elsewhere(good: ApiResult) -> None:
    async with running_api("bare documentation") as api:
        result = await check_api(api.options(oauth=f"{api.root}/elsewhere"))
    for key in ("SD004.001", "SD013", "SC-R002"):
        assert (verdicts(good)[key], verdicts(result)[key]) == (PASSED, UNKNOWN)


@pytest.mark.parametrize(
    ("fault", "key", "verdict"),
    [
        ("ends properly", "LM005.002", PASSED),
        ("ends soon", "LM005.002", FAILED),
        ("has ended", "LM006.001", FAILED),
        ("", "LM005.002", UNKNOWN),
        ("", "LM006.001", UNKNOWN),
    ],
)
async def test_an_end_that_is_told_is_a_year_away_and_then_kept(
    fault: str, key: str, verdict: Verdict
) -> None:
    async with running_api(fault) as api:
        assert verdicts(await check_api(api.options()))[key] is verdict


@pytest.mark.parametrize("silence", ["no listener", "no answer", "not well", "closed"])
async def test_no_answer_is_never_a_failure(silence: str) -> None:
    if silence in ("not well", "closed"):
        async with running_api(silence) as api:
            result = await check_api(api.options())
    elif silence == "no listener":
        result = await check_api(everything(f"http://127.0.0.1:{free_ports(1)[0]}"))
    else:
        result = await silent()
    assert [one for one in result.results if one.verdict is FAILED] == []
    checked = {key for check in CHECKS for key in check.keys}
    if silence in ("no listener", "no answer"):
        assert {verdicts(result)[key] for key in checked} == {UNKNOWN}
        assert exit_code(result) == 2


async def silent() -> ApiResult:
    """A run at a server that takes connections and says nothing."""
    quiet = asyncio.Event()

    async def wait(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await quiet.wait()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    try:
        return await check_api(
            everything(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seconds=0.2)
        )
    finally:
        quiet.set()
        server.close()


def everything(root: str, seconds: float = 5.0) -> ApiOptions:
    return ApiOptions(
        f"{root}/api",
        Standard.FULL,
        f"{root}/docs",
        f"{root}/openapi.json",
        f"{root}/issuer",
        writes=True,
        seconds=seconds,
    )


async def test_nothing_is_written_without_permission() -> None:
    async with running_api() as api:
        result = await check_api(api.options(writes=False))
        asked = set(api.asked)
    assert verdicts(result)["DR003.007"] is UNKNOWN
    assert {method for method, path in asked if path.startswith("/api")} <= {
        "GET",
        "HEAD",
        "OPTIONS",
        "TRACE",
        "POST",
    }
    assert {path for method, path in asked if method == "POST"} == {"/api/Basic/_search", "/issuer/token"}


async def test_what_was_written_is_deleted_again() -> None:
    async with running_api() as api:
        await check_api(api.options())
        assert api.posted == 2 and api.stored == {}
