"""The internal door over TLS: a client certificate of one organisation is as good as its key."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import time_machine
from tests.certificates import Authority, Files, client_context
from tests.nodes import RunningNode, databases, running_node

from schakel.config import InternalCertificate
from schakel.http.internal_certificates import InternalCertificates
from schakel.kernel.outcomes import Invalid
from schakel.store.embedded import EmbeddedServer


@dataclass(frozen=True)
class Inside:
    """A node whose internal listener speaks TLS, and certificates by what they are."""

    node: RunningNode
    authority: Authority
    files: dict[str, Files]

    async def get(self, shown: str | None, slug: str = "a", key: str = "") -> tuple[int, str]:
        """The status of an answer to who shows that certificate and key, and the code in it."""
        own = self.files[shown] if shown else None
        context = client_context(self.authority, own=own)
        headers = {"X-API-Key": self.node[key].key} if key else {}
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            url = self.node["a"].internal_root.replace("http:", "https:")
            answer = await client.get(f"{url}/{slug}/grounds", headers=headers)
        return answer.status_code, answer.json().get("code", "")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def inside(cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Inside]:
    folder = tmp_path_factory.mktemp("internal")
    authority, other = Authority.new("EHR Root"), Authority.new("Second Root")
    (folder / "root.pem").write_text(authority.pem)
    (folder / "other.pem").write_text(other.pem)
    made = {
        "a": authority.issue("ehr-a"),
        "b": authority.issue("ehr-b", organisation="Hospital B"),
        "b renewed": authority.issue("ehr-b", organisation="Hospital B"),
        "b of another authority": other.issue("ehr-b", organisation="Hospital B"),
        "nobody": authority.issue("ehr-c"),
        "node": authority.issue("node", hosts=("127.0.0.1",)),
    }
    files = {name: one.write(folder, name.replace(" ", "-")) for name, one in made.items()}
    bound = {
        "a": (InternalCertificate(sha256=hashlib.sha256(made["a"].der).hexdigest().upper()),),
        "b": (InternalCertificate(subject="CN=ehr-b,O=Hospital B,C=NL", ca=folder / "root.pem"),),
    }
    tls = {
        "certificate": files["node"].certificate,
        "key": files["node"].key,
        "client_ca": (folder / "root.pem", folder / "other.pem"),
    }
    async with (
        databases(cluster, "internal_certificates") as make,
        running_node(make, ("a", "b"), internal_tls=tls, by_slug=_bound(bound)) as node,
    ):
        yield Inside(node, authority, files)


def _bound(bound: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {slug: {"internal_certificates": given} for slug, given in bound.items()}


async def test_a_certificate_opens_the_door_of_its_organisation_and_no_other(inside: Inside) -> None:
    assert await inside.get("a", "a") == (200, "")
    assert await inside.get("a", "b") == (403, "certificate-other-organisation")
    assert await inside.get("b", "b") == (200, "")
    assert await inside.get("b", "a") == (403, "certificate-other-organisation")
    assert await inside.get("a", "nowhere") == (403, "certificate-other-organisation")


async def test_a_subject_is_of_one_authority(inside: Inside) -> None:
    assert await inside.get("b renewed", "b") == (200, "")
    assert await inside.get("b of another authority", "b") == (401, "certificate-unknown")


async def test_a_certificate_and_a_key_must_be_of_one_organisation(inside: Inside) -> None:
    assert await inside.get("a", "a", key="a") == (200, "")
    assert await inside.get("a", "a", key="b") == (403, "key-other-certificate")
    assert await inside.get("a", "b", key="b") == (403, "key-other-certificate")


async def test_a_certificate_of_nobody_proves_nothing_and_spoils_nothing(inside: Inside) -> None:
    assert await inside.get("nobody", "a") == (401, "certificate-unknown")
    assert await inside.get("nobody", "a", key="a") == (200, "")


async def test_a_key_alone_is_enough_and_nothing_is_not(inside: Inside) -> None:
    assert await inside.get(None, "a", key="a") == (200, "")
    assert await inside.get(None, "a", key="b") == (403, "key-other-organisation")
    assert await inside.get(None, "a") == (401, "key-missing")


async def test_a_certificate_of_an_authority_that_is_not_trusted_makes_no_connection(
    inside: Inside, tmp_path: Path
) -> None:
    inside.files["stranger"] = Authority.new("EHR Root").issue("ehr-a").write(tmp_path, "stranger")
    with pytest.raises(httpx.TransportError):
        await inside.get("stranger", "a")


async def test_a_certificate_that_expires_while_connected_opens_nothing(inside: Inside) -> None:
    context = client_context(inside.authority, own=inside.files["a"])
    url = inside.node["a"].internal_root.replace("http:", "https:")
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        assert (await client.get(f"{url}/a/grounds")).status_code == 200
        with time_machine.travel("2031-01-01T00:00:00Z", tick=True):
            answer = await client.get(f"{url}/a/grounds")
    assert (answer.status_code, answer.json()["code"]) == (401, "certificate-expired")


async def test_plain_http_is_not_answered(inside: Inside) -> None:
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        await inside.node["a"].internal.get("metadata")


def test_one_certificate_is_of_one_organisation(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(Authority.new("Root").pem)
    for rows in (
        [("a", "00" * 32, "", None), ("b", "00" * 32, "", None)],
        [("a", "", "CN=x", path), ("b", "", "CN=x", path)],
    ):
        with pytest.raises(Invalid, match="b and a have the same certificate"):
            InternalCertificates.of(rows)


@pytest.mark.parametrize(
    ("subject", "name"), [("no name", "ca.pem"), ("CN=x", "none.pem"), ("CN=x", "bad.pem")]
)
def test_what_cannot_be_read_is_named(tmp_path: Path, subject: str, name: str) -> None:
    (tmp_path / "ca.pem").write_text(Authority.new("Root").pem)
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(Invalid, match="of a "):
        InternalCertificates.of([("a", "", subject, tmp_path / name)])
