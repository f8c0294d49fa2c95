"""The checks of TLS and certificates, against servers with one fault each."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority, new_key
from tests.measuring import Peer, measured, saying, silent
from tests.nodes import MakeDatabase, running_node

from schakel.kernel.clock import now
from schakel.roadmap.evidence import Finding

AUTHORITY = Authority.new("Root of the tests")


def own(folder: Path, *, authority: Authority = AUTHORITY, bits: int = 0, **issued: Any) -> ssl.SSLContext:
    """What a server with a certificate for localhost speaks, as it should; `issued` is what its certificate differs
    in."""
    given: dict[str, Any] = {"hosts": ("localhost",), "key": new_key(bits), **issued}
    files = authority.issue("server", **given).write(folder, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*files.pair)
    return context


def old(context: ssl.SSLContext, lowest: ssl.TLSVersion, highest: ssl.TLSVersion) -> ssl.SSLContext:
    """The same with other versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = lowest, highest
    return context


@asynccontextmanager
async def served(context: ssl.SSLContext) -> AsyncIterator[Peer]:
    """A server at localhost."""
    async with saying(context, "localhost") as peer:
        yield peer


async def looked(folder: Path, check: str, context: ssl.SSLContext, **defaults: Any) -> Finding:
    """What a check finds at a server that speaks so, when the root of the tests is trusted."""
    (folder / "root.pem").write_text(AUTHORITY.pem)
    async with served(context) as peer:
        trusting = {"ca": [str(folder / "root.pem")], **defaults}
        return await measured(check, trusting, front=peer.url)


# -- tls -----------------------------------------------------------------------------------------------------


async def test_a_server_with_tls_1_2_and_1_3_alone_holds(tmp_path: Path) -> None:
    found = await looked(tmp_path, "tls", own(tmp_path))
    assert found.verdict == "holds", found
    assert "TLS 1.3, TLS 1.2" in found.detail


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_one_of_the_two_versions_is_enough(tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = own(tmp_path)
    context.minimum_version = context.maximum_version = version
    found = await looked(tmp_path, "tls", context)
    assert found.verdict == "holds", found


async def test_a_server_that_takes_an_old_version_fails_with_its_name(tmp_path: Path) -> None:
    context = old(own(tmp_path), ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_3)
    context.set_ciphers("ECDHE+AESGCM:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    found = await looked(tmp_path, "tls", context)
    assert found.verdict == "fails"
    assert found.reason.en.endswith("takes TLS 1.1.")
    assert found.reason.en.count(". ") == 0


async def test_a_server_with_old_versions_alone_fails_for_both(tmp_path: Path) -> None:
    context = old(own(tmp_path), ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    found = await looked(tmp_path, "tls", context)
    assert found.verdict == "fails"
    assert "neither TLS 1.2 nor 1.3" in found.reason.en
    assert "takes TLS 1.1" in found.reason.en


@pytest.mark.parametrize(
    ("suites", "bits", "named"),
    [
        ("ECDHE+AESGCM:AES128-GCM-SHA256", 2048, "AES128-GCM-SHA256"),
        ("ECDHE+AESGCM:AECDH-AES128-SHA:@SECLEVEL=0", 0, "AECDH-AES128-SHA"),
        ("ECDHE+AESGCM:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0", 0, "ECDHE-ECDSA-NULL-SHA"),
        ("ECDHE+AESGCM:ECDHE-ECDSA-CAMELLIA128-SHA256:@SECLEVEL=0", 0, "ECDHE-ECDSA-CAMELLIA128-SHA256"),
    ],
)
async def test_a_server_with_a_suite_that_is_not_sufficient_fails_with_its_name(
    tmp_path: Path, suites: str, bits: int, named: str
) -> None:
    context = own(tmp_path, bits=bits)
    context.set_ciphers(suites)
    found = await looked(tmp_path, "tls", context)
    assert found.verdict == "fails"
    assert f"takes {named}," in found.reason.en
    assert found.reason.en.count(". ") == 0


async def test_suites_that_are_sufficient_hold(tmp_path: Path) -> None:
    context = own(tmp_path, bits=2048)
    context.set_ciphers("ECDHE-RSA-AES128-SHA256:DHE-RSA-AES256-GCM-SHA384")
    found = await looked(tmp_path, "tls", context)
    assert found.verdict == "holds", found


async def test_a_certificate_of_an_authority_that_is_not_trusted_fails(tmp_path: Path) -> None:
    found = await looked(tmp_path, "tls", own(tmp_path, authority=Authority.new("Another root")))
    assert found.verdict == "fails"
    assert "is not trusted" in found.reason.en
    assert found.reason.en.count(". ") == 0


async def test_tls_that_does_not_answer_is_not_in_service_and_says_nothing_of_its_certificate() -> None:
    address = silent().replace("http:", "https:")
    found = await measured("tls", front=address)
    assert found.verdict == "fails"
    assert "gave no answer: nothing listens there" in found.reason.en
    assert (await measured("certificate", front=address)).verdict == "unknown"


async def test_what_answers_without_tls_speaks_none() -> None:
    async with saying() as peer:
        found = await measured("tls", front=peer.url.replace("http:", "https:"))
    assert found.verdict == "fails"
    assert found.reason.en.endswith("speaks neither TLS 1.2 nor 1.3.")


async def test_the_back_listener_of_a_node_holds_with_and_without_a_certificate_of_ours(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with running_node(make_database, ("a",), back=True) as node:
        a = node["a"]
        assert a.authority is not None
        assert a.certificate is not None
        (tmp_path / "ca.pem").write_text(a.authority.pem)
        trusting: dict[str, Any] = {"ca": [str(tmp_path / "ca.pem")]}
        shown = {"certificate": str(a.certificate.certificate), "key": str(a.certificate.key)}
        for defaults in (trusting, {**trusting, **shown}):
            for check in ("tls", "certificate"):
                found = await measured(check, defaults, back=a.back_root)
                assert found.verdict == "holds", (check, found)


# -- certificate ---------------------------------------------------------------------------------------------


async def test_a_certificate_holds_until_its_end(tmp_path: Path) -> None:
    found = await looked(tmp_path, "certificate", own(tmp_path, days=(-1, 300)))
    assert found.verdict == "holds", found
    assert found.until is not None
    assert abs(found.until - now() - timedelta(days=300)) < timedelta(hours=1)
    assert "renew" not in found.reason.en


@pytest.mark.parametrize(("days", "warned"), [(29.5, True), (31, False)])
async def test_a_certificate_that_ends_within_thirty_days_is_warned_of(
    tmp_path: Path, days: float, warned: bool
) -> None:
    found = await looked(tmp_path, "certificate", own(tmp_path, days=(-1, days)))
    assert found.verdict == "holds"
    assert ("renew them" in found.reason.en) is warned
    assert ("vernieuw ze" in found.reason.nl) is warned
    assert found.facts["days"] == int(days - 0.001)


@pytest.mark.parametrize(
    ("issued", "said"),
    [
        ({"days": (-10, -1)}, "expired on"),
        ({"days": (2, 10)}, "is not valid before"),
        ({"hosts": ("other.example",)}, "is for another name"),
    ],
)
async def test_a_certificate_with_one_fault_fails_with_exactly_that(
    tmp_path: Path, issued: dict[str, Any], said: str
) -> None:
    found = await looked(tmp_path, "certificate", own(tmp_path, **issued))
    assert found.verdict == "fails"
    assert said in found.reason.en
    assert found.reason.en.count(". ") == 0
    assert found.until is None


async def test_the_first_end_of_several_certificates_counts(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    async with (
        served(own(tmp_path / "first", days=(-1, 100))) as front,
        served(own(tmp_path / "second", days=(-1, 50))) as back,
    ):
        found = await measured("certificate", front=front.url, back=back.url)
    assert found.verdict == "holds"
    assert found.until is not None
    assert found.until - now() < timedelta(days=50)
