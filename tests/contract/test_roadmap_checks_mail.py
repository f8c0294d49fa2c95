"""The check of the mail domain: its texts in the DNS, with one fault each."""

from __future__ import annotations

import base64
import ssl
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import dns.rcode
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.mail_world import (
    BETWEEN,
    DOMAIN,
    MX,
    ROOT,
    SERVER,
    SPF,
    YEAR,
    Change,
    World,
    added,
    dmarc,
    mail_world,
    nta,
    talks,
    texts,
    tlsa,
)

from schakel.kernel.clock import AMSTERDAM
from schakel.roadmap.evidence import Finding


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with mail_world(tmp_path) as made:
        yield made


async def test_a_domain_with_everything_holds_until_its_record_ends(world: World) -> None:
    found = await world.looked()
    assert found.verdict == "holds", found
    assert found.until == datetime(YEAR + 1, 7, 1, tzinfo=AMSTERDAM).astimezone(UTC)
    assert found.facts["tls"] == "TLSv1.3"
    assert f"serial {SERVER.certificate.serial_number:x}" in found.detail and "DANE 3 1 1" in found.detail
    assert [one for one in world.server.asked if one.startswith("MAIL")] == []


@pytest.mark.parametrize(
    ("end", "until"), [("9999-12", None), (f"{YEAR + 1}-12", YEAR + 2)], ids=["never", "year"]
)
async def test_a_record_of_nta_7516_may_end_with_a_year_or_never(
    world: World, end: str, until: int | None
) -> None:
    texts(SPF, nta(end=end))(world)
    found = await world.looked()
    wanted = None if until is None else datetime(until, 1, 1, tzinfo=AMSTERDAM).astimezone(UTC)
    assert (found.verdict, found.until) == ("holds", wanted), found


def with_spf(spf: str, *others: tuple[str, str]) -> Change:
    """The domain has this SPF, and other domains these texts."""

    def change(world: World) -> None:
        texts(f'"{spf}"', nta())(world)
        for name, text in others:
            world.names.add(name, "TXT", f'"{text}"')

    return change


def chain_of_includes(length: int) -> Change:
    onward = [(f"s{number}.test.", f"v=spf1 include:s{number + 1}.test -all") for number in range(1, length)]
    return with_spf("v=spf1 include:s1.test -all", *onward, (f"s{length}.test.", "v=spf1 -all"))


def takes_old_tls(world: World) -> None:
    assert world.server.context is not None
    world.server.context.set_ciphers("ECDHE+AES:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        world.server.context.minimum_version = ssl.TLSVersion.TLSv1


def takes_weak_suites(world: World) -> None:
    assert world.server.context is not None
    world.server.context.set_ciphers("ECDHE+AESGCM:AES256-SHA256")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(texts(nta()), "has 0 SPF records", id="no-spf"),
        pytest.param(texts(SPF, '"v=spf1 a -all"', nta()), "has 2 SPF records", id="two-spf"),
        pytest.param(with_spf("v=spf1 mx ?all"), "does not end with -all or ~all", id="spf-neutral"),
        pytest.param(with_spf("v=spf1 +all -all"), "does not end with -all or ~all", id="spf-all-first"),
        pytest.param(with_spf("v=spf1 mx"), "does not end with -all or ~all", id="spf-open"),
        pytest.param(
            with_spf("v=spf1 ipv4:192.0.2.1 -all"), "cannot be read at ipv4:192.0.2.1", id="spf-word"
        ),
        pytest.param(with_spf("v=spf1 include:gone.test -all"), "gone.test has 0 SPF", id="spf-include"),
        pytest.param(chain_of_includes(11), "more than 10 questions", id="spf-questions"),
        pytest.param(
            with_spf("v=spf1 redirect=s.test", ("s.test.", "v=spf1 ?all")), "does not end", id="spf-redirect"
        ),
        pytest.param(
            dmarc('"v=DMARC1; p=none; rua=mailto:d@zorg.test"'), "does not stop false mail", id="dmarc-none"
        ),
        pytest.param(dmarc('"v=DMARC1; p=reject"'), "no address for reports", id="dmarc-rua"),
        pytest.param(dmarc('"another text"'), "0 DMARC records", id="no-dmarc"),
        pytest.param(
            dmarc(*['"v=DMARC1; p=reject; rua=mailto:d@x.nl"', '"v=DMARC1"']), "2 DMARC", id="two-dmarc"
        ),
        pytest.param(lambda world: world.names.remove(f"{DOMAIN}.", "MX"), "no MX record", id="no-mx"),
        pytest.param(added(f"{DOMAIN}.", "MX", "0 ."), "no MX record", id="null-mx"),
        pytest.param(lambda world: world.names.remove(f"{MX}.", "A"), "has no address", id="no-address"),
        pytest.param(texts(SPF), "0 NTA 7516 records", id="no-nta"),
        pytest.param(texts(SPF, nta(), nta(end=f"{YEAR + 2}-01")), "2 NTA 7516 records", id="two-nta"),
        pytest.param(texts(SPF, nta(f"{YEAR - 2}-01", f"{YEAR - 1}-12")), "so not now", id="nta-over"),
        pytest.param(texts(SPF, nta(f"{YEAR + 1}-01", f"{YEAR + 2}-12")), "so not now", id="nta-to-come"),
        pytest.param(texts(SPF, nta(start="soon")), "lacks a right startdate", id="nta-date"),
        pytest.param(texts(SPF, nta(mx=f";ntamx={MX}")), "lacks a right startdate", id="nta-mx"),
        pytest.param(talks(context=None), "does not offer STARTTLS", id="no-starttls"),
        pytest.param(
            talks(refuses_tls=True),
            "No TLS 1.2 or 1.3 with sufficient encryption",
            id="weak-tls",
        ),
        pytest.param(takes_old_tls, f"{MX} takes TLS 1.1", id="old-tls"),
        pytest.param(takes_weak_suites, f"{MX} takes AES256-SHA256, which is not", id="weak-suite"),
        pytest.param(
            lambda world: world.dane(tlsa(3, 1, 1, BETWEEN)), "fits none of its TLSA", id="dane-other"
        ),
        pytest.param(
            lambda world: world.dane(tlsa(1, 1, 1, SERVER)), "no TLSA record that counts", id="dane-usage"
        ),
        pytest.param(
            lambda world: world.dane(tlsa(2, 1, 1, ROOT)), "fits none of its TLSA", id="dane-not-sent"
        ),
        pytest.param(
            lambda world: world.dane(tlsa(2, 1, 1, SERVER)), "fits none of its TLSA", id="dane-no-authority"
        ),
    ],
)
async def test_a_domain_with_one_fault_fails_with_exactly_that(
    world: World, change: Change, said: str
) -> None:
    change(world)
    found = await world.looked()
    assert found.verdict == "fails", found
    assert said in found.reason.en
    assert found.facts["faults"] == 1, found


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(with_spf("v=spf1 mx ~all"), id="softfail"),
        pytest.param(with_spf('v=spf1 " "mx -all'), id="in-parts"),
        pytest.param(with_spf("v=spf1 redirect=s.test", ("s.test.", "v=spf1 -all")), id="redirect"),
        pytest.param(with_spf("v=spf1 include:s.test -all", ("s.test.", "v=spf1 ?all")), id="include"),
        pytest.param(with_spf("v=spf1 exp=why.test exists:%{i}.s.test -all"), id="macro"),
        pytest.param(chain_of_includes(10), id="ten-questions"),
    ],
)
async def test_other_ways_to_write_spf_hold(world: World, change: Change) -> None:
    change(world)
    found = await world.looked()
    assert found.verdict == "holds", found


async def test_the_policy_of_a_domain_above_counts_where_there_is_none(world: World) -> None:
    above = "v=DMARC1; p=reject; rua=mailto:d@test"

    async def of_a_part(policy: str) -> Finding:
        world.names.add(f"_dmarc.{DOMAIN}.", "TXT", f'"{policy}"')
        world.names.add(f"part.{DOMAIN}.", "TXT", SPF, nta())
        world.names.add(f"part.{DOMAIN}.", "MX", f"10 {MX}.")
        return await world.looked(domain=f"part.{DOMAIN}")

    assert (await of_a_part(above)).verdict == "holds"
    found = await of_a_part(f"{above}; sp=none")
    assert (found.verdict, "sp is neither" in found.reason.en) == ("fails", True)


async def test_a_fault_counts_whatever_could_not_be_checked(world: World) -> None:
    world.names.strips = True
    dmarc('"v=DMARC1; p=none; rua=mailto:d@zorg.test"')(world)
    assert (await world.looked()).verdict == "fails"


@pytest.mark.parametrize("name", [f"{DOMAIN}.", f"_dmarc.{DOMAIN}.", f"{MX}."])
async def test_what_could_not_be_looked_up_is_no_fault(world: World, name: str) -> None:
    world.names.codes[name] = dns.rcode.SERVFAIL
    found = await world.looked()
    assert found.verdict == "unknown", found
    assert "gave no answer about" in found.reason.en


async def test_silence_of_the_dns_says_nothing(world: World) -> None:
    world.names.mute = True
    assert (await world.looked(seconds=0.3)).verdict == "unknown"


# -- DKIM ------------------------------------------------------------------------------------------------------


def public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    raw = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(raw).decode()


def in_parts(text: str) -> str:
    return " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))


_ED25519 = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
_LARGE = public(rsa.generate_private_key(65537, 2048))
_SMALL = public(rsa.generate_private_key(65537, 1024))
_CURVE = public(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        pytest.param(f"v=DKIM1; k=rsa; p={_LARGE}", "", id="rsa"),
        pytest.param(f"p={_LARGE}", "", id="short"),
        pytest.param(f"v=DKIM1; k=ed25519; p={base64.b64encode(_ED25519).decode()}", "", id="ed25519"),
        pytest.param(f"v=DKIM1; p={_SMALL}", "RSA of 1024 bits", id="small"),
        pytest.param("v=DKIM1; p=", "it was withdrawn", id="withdrawn"),
        pytest.param(f"v=DKIM1; t=s:y; p={_LARGE}", "still on trial", id="trial"),
        pytest.param(f"v=DKIM1; p={_CURVE}", "it cannot be read", id="other-key"),
        pytest.param("v=DKIM1; p=!!", "it cannot be read", id="no-key"),
        pytest.param(f"v=DKIM2; p={_LARGE}", "another kind", id="other-version"),
        pytest.param(None, "there are 0 records", id="none"),
    ],
)
async def test_the_keys_of_the_selectors_that_the_file_names_are_looked_at(
    world: World, record: str | None, said: str
) -> None:
    if record is not None:
        world.names.add(f"mail._domainkey.{DOMAIN}.", "TXT", in_parts(record))
    found = await world.looked("mail")
    assert (found.verdict, said in found.reason.en) == ("fails" if said else "holds", True), found
    assert (await world.looked()).verdict == "holds"
