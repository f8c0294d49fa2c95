"""Lists of withdrawn certificates over HTTP: only a good list says that a certificate still counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
import pytest_asyncio
import time_machine
from cryptography import x509
from tests.certificates import Authority, Issued
from tests.withdrawals import Desk, Said, crl, desk, scope

from schakel.generic.identity.certificates import (
    CertificateRefused,
    Mode,
    Revocation,
    RevocationRules,
    RevocationUnknown,
    Trust,
    Verified,
)
from schakel.kernel.clock import now

ROOT = Authority.new("Root")


class Region:
    """A desk, an authority below the root, and a certificate that names the desk's lists."""

    def __init__(self, here: Desk) -> None:
        self.desk = here
        self.below = ROOT.authority("Below", crl=f"{here.address}/crl/root.crl")
        self.leaf = self.below.issue("node.example", crl=f"{here.address}/crl/below.crl")
        here.says = {"/crl/root.crl": crl(ROOT), "/crl/below.crl": crl(self.below)}

    def verified(self, one: Issued | None = None) -> Verified:
        one = one or self.leaf
        return Trust([ROOT.certificate]).verify([one.certificate, *one.above])

    async def check(self, one: Issued | None = None, **rules: object) -> None:
        given = {"sources": (f"{self.desk.address}/crl",), "timeout": 0.5, "pause": 0, **rules}
        async with Revocation.open(RevocationRules(**given)) as revocation:  # type: ignore[arg-type]
            await revocation.check(self.verified(one))


@pytest_asyncio.fixture(loop_scope="session")
async def region() -> AsyncIterator[Region]:
    async with desk() as here:
        yield Region(here)


async def test_a_certificate_on_no_list_counts_and_each_list_is_looked_in(region: Region) -> None:
    await region.check()
    assert sorted(region.desk.asked) == ["/crl/below.crl", "/crl/root.crl"]


async def test_a_withdrawn_certificate_is_refused(region: Region) -> None:
    region.desk.says["/crl/below.crl"] = crl(region.below, [region.leaf])
    with pytest.raises(CertificateRefused, match="has been revoked by its issuer") as refused:
        await region.check()
    assert (refused.value.kind, refused.value.expression) == ("certificate-revoked", "certificate")


async def test_a_withdrawn_authority_takes_its_certificates_with_it(region: Region) -> None:
    region.desk.says["/crl/root.crl"] = crl(ROOT, [region.below])
    with pytest.raises(CertificateRefused, match="CN=Below,C=NL has been revoked") as refused:
        await region.check()
    assert refused.value.expression == "certificate.chain"


UNUSABLE: dict[str, tuple[Callable[[Region], Said], str]] = {
    "expired": (lambda r: crl(r.below, hours=(-2, -1)), "the list has expired"),
    "of a later time": (lambda r: crl(r.below, hours=(1, 2)), "of a later time"),
    "signed by another": (
        lambda r: crl(r.below, signer=Authority.new("Below")),
        "not signed by the authority",
    ),
    "of another authority": (lambda r: crl(ROOT), "of another authority"),
    "indirect": (lambda r: crl(r.below, further=[scope(indirect_crl=True)]), "indirect or partial"),
    "for some reasons": (
        lambda r: crl(
            r.below, further=[scope(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))]
        ),
        "indirect or partial",
    ),
    "for authorities": (
        lambda r: crl(r.below, further=[scope(only_contains_ca_certs=True)]),
        "another kind of certificates",
    ),
    "for another place": (
        lambda r: crl(
            r.below, further=[scope(full_name=[x509.UniformResourceIdentifier("http://other.example/a.crl")])]
        ),
        "another distribution point",
    ),
    "with a rule that is not known": (
        lambda r: crl(
            r.below,
            further=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)],
        ),
        "not known: 1.2.3.4",
    ),
    "a difference only": (
        lambda r: crl(r.below, number=2, further=[(x509.DeltaCRLIndicator(1), True)]),
        "not known: 2.5.29.27",
    ),
    "no list": (lambda r: b"<html>", "cannot be read"),
    "broken off": (lambda r: crl(r.below)[:-1], "cannot be read"),
    "absent": (lambda r: 404, "status 404"),
    "moved": (lambda r: 302, "status 302"),
    "failing": (lambda r: 503, "status 503"),
    "too large": (lambda r: bytes(30_000), "too large"),
}


@pytest.mark.parametrize("what", UNUSABLE)
async def test_what_is_no_good_list_says_nothing(region: Region, what: str) -> None:
    make, why = UNUSABLE[what]
    region.desk.says["/crl/below.crl"] = make(region)
    with pytest.raises(RevocationUnknown, match="cannot be found out now") as unknown:
        await region.check(most=20_000)
    assert unknown.value.status == 503 and unknown.value.kind == "revocation-unknown"
    assert why in unknown.value.why and "/elsewhere" not in region.desk.asked


async def test_a_scope_that_fits_changes_nothing(region: Region) -> None:
    place = x509.UniformResourceIdentifier(f"{region.desk.address}/crl/below.crl")
    region.desk.says["/crl/below.crl"] = crl(
        region.below, further=[scope(only_contains_user_certs=True, full_name=[place])]
    )
    await region.check()


async def test_an_authority_that_may_not_sign_lists_signs_none(region: Region) -> None:
    authority = low(region)
    leaf = authority.issue("node.example", crl=f"{region.desk.address}/crl/below.crl")
    region.desk.says["/crl/below.crl"] = crl(authority)
    with pytest.raises(RevocationUnknown) as unknown:
        await region.check(leaf)
    assert "may not sign lists" in unknown.value.why


async def test_an_authority_that_is_slow_or_away_says_nothing(region: Region) -> None:
    region.desk.delay = 2
    with pytest.raises(RevocationUnknown) as unknown:
        await region.check()
    assert "too slow" in unknown.value.why


@pytest.mark.parametrize(
    "named",
    [
        "http://127.0.0.1:9/crl/below.crl",
        "{desk}/other/below.crl",
        "{desk}/crl/../other/below.crl",
        "{desk}/crl/%2e%2e/other/below.crl",
        "{desk}/crlother/below.crl",
        "http://127.0.0.1@{host}/crl/below.crl",
        "ldap://{host}/crl/below.crl",
        "file:///etc/hostname",
    ],
)
async def test_a_certificate_cannot_choose_where_we_fetch_from(region: Region, named: str) -> None:
    address = region.desk.address
    leaf = region.below.issue("node.example", crl=named.format(desk=address, host=address.partition("//")[2]))
    with pytest.raises(RevocationUnknown) as unknown:
        await region.check(leaf)
    assert "no list of its issuer may be fetched here" in unknown.value.why
    assert not region.desk.asked


async def test_lists_that_are_set_are_looked_in_whatever_a_certificate_names(region: Region) -> None:
    address = region.desk.address
    fixed = {"sources": (), "lists": (f"{address}/crl/root.crl", f"{address}/crl/below.crl")}
    leaf = region.below.issue("node.example")
    await region.check(leaf, **fixed)
    region.desk.says["/crl/below.crl"] = crl(region.below, [leaf])
    with pytest.raises(CertificateRefused):
        await region.check(leaf, **fixed)


@pytest.mark.parametrize("order", [("root", "below"), ("below", "root")])
async def test_each_list_that_is_set_is_fetched_once_whoever_is_looked_up_in_it(
    region: Region, order: tuple[str, str]
) -> None:
    fixed = {"sources": (), "lists": tuple(f"{region.desk.address}/crl/{one}.crl" for one in order)}
    async with Revocation.open(rules(region, pause=60, **fixed)) as revocation:
        for _ in range(3):
            await revocation.check(region.verified(region.below.issue("node.example")))
    assert sorted(region.desk.asked) == ["/crl/below.crl", "/crl/root.crl"]


@pytest.mark.parametrize("first", ["ours", "theirs"])
async def test_the_list_of_one_authority_keeps_nobody_of_another_out(region: Region, first: str) -> None:
    other = Authority.new("Other")
    region.desk.says |= {"/crl/other.crl": crl(other), "/crl/below.crl": crl(region.below)}
    lists = tuple(f"{region.desk.address}/crl/{one}.crl" for one in ("below", "other", "root"))
    trust = Trust([ROOT.certificate, other.certificate])
    ours, theirs = region.below.issue("a.example"), other.issue("b.example")
    chains = [trust.verify([one.certificate, *one.above]) for one in (ours, theirs)]
    async with Revocation.open(rules(region, sources=(), lists=lists, pause=60)) as revocation:
        for chain in chains if first == "ours" else reversed(chains):
            await revocation.check(chain)
    assert len(region.desk.asked) == 3


async def test_a_list_of_another_authority_where_a_certificate_names_its_own_proves_nothing(
    region: Region,
) -> None:
    region.desk.says["/crl/below.crl"] = crl(ROOT)
    async with Revocation.open(rules(region, pause=60)) as revocation:
        for _ in range(2):
            with pytest.raises(RevocationUnknown) as unknown:
                await revocation.check(region.verified())
            assert "of another authority" in unknown.value.why
    assert region.desk.asked.count("/crl/below.crl") == 1


async def test_an_older_list_that_came_for_another_authority_is_not_taken_either(region: Region) -> None:
    """Two authorities that are asked at one address: whoever comes first fetches it."""
    address = f"{region.desk.address}/crl/one.crl"
    fixed = {"sources": (), "lists": (address, f"{region.desk.address}/crl/root.crl")}
    withdrawn = region.below.issue("node.example")
    region.desk.says["/crl/one.crl"] = crl(region.below, [withdrawn], number=2)
    async with Revocation.open(rules(region, keep=0, pause=60, **fixed)) as revocation:
        for _ in range(2):
            with pytest.raises(CertificateRefused):
                await revocation.check(region.verified(withdrawn))
            region.desk.says["/crl/one.crl"] = crl(region.below, number=1)
            await revocation.check(Trust([ROOT.certificate]).verify([ROOT.issue("x").certificate]))


def low(region: Region) -> Authority:
    """An authority that certifies, and may not sign lists."""
    only = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    return ROOT.authority("Low", crl=f"{region.desk.address}/crl/root.crl", usage=only)


@pytest.mark.parametrize(
    "other", [lambda region: ROOT.authority("Below"), low], ids=["of that name", "no signer"]
)
async def test_an_authority_to_whom_a_good_list_is_a_bad_one_keeps_nobody_out(
    region: Region, other: Callable[[Region], Authority]
) -> None:
    """A list is not held against its address when somebody cannot use it: one with the same name and an older key."""
    lists = tuple(f"{region.desk.address}/crl/{one}.crl" for one in ("below", "root"))
    async with Revocation.open(rules(region, sources=(), lists=lists, pause=60)) as revocation:
        for _ in range(3):
            with pytest.raises(RevocationUnknown):
                await revocation.check(region.verified(other(region).issue("a.example")))
            await revocation.check(region.verified())
    assert sorted(region.desk.asked) == ["/crl/below.crl", "/crl/root.crl"]


async def test_a_bad_list_that_came_for_another_authority_is_fetched_again_after_the_pause(
    region: Region,
) -> None:
    lists = tuple(f"{region.desk.address}/crl/{one}.crl" for one in ("below", "root"))
    region.desk.says["/crl/below.crl"] = crl(region.below, signer=Authority.new("Below"))
    async with Revocation.open(rules(region, sources=(), lists=lists, pause=60)) as revocation:
        await revocation.check(region.verified(ROOT.issue("x")))
        region.desk.says["/crl/below.crl"] = crl(region.below)
        with pytest.raises(RevocationUnknown, match="cannot be found out now"):
            await revocation.check(region.verified())
        with time_machine.travel(now() + timedelta(seconds=61)):
            await revocation.check(region.verified())
    assert region.desk.asked.count("/crl/below.crl") == 2


@pytest.mark.parametrize("first", ["its own", "of another"])
async def test_a_kept_list_is_fetched_again_when_it_expires_whoever_it_came_for(
    region: Region, first: str
) -> None:
    lists = tuple(f"{region.desk.address}/crl/{one}.crl" for one in ("below", "root"))
    async with Revocation.open(rules(region, sources=(), lists=lists, pause=60, keep=86_400)) as revocation:
        await revocation.check(region.verified(None if first == "its own" else ROOT.issue("x")))
        with time_machine.travel(now() + timedelta(hours=2)):
            region.desk.says = {
                "/crl/root.crl": crl(ROOT),
                "/crl/below.crl": crl(region.below, [region.leaf]),
            }
            with pytest.raises(CertificateRefused):
                await revocation.check(region.verified())
    assert region.desk.asked.count("/crl/below.crl") == 2


async def test_lists_of_others_are_fetched_once_at_the_same_time(region: Region) -> None:
    region.desk.delay = 0.05
    lists = tuple(f"{region.desk.address}/crl/{one}.crl" for one in ("root", "below"))
    async with Revocation.open(rules(region, sources=(), lists=lists, pause=60)) as revocation:
        await asyncio.gather(
            *(revocation.check(region.verified(one)) for one in [None, ROOT.issue("x")] * 10)
        )
    assert sorted(region.desk.asked) == ["/crl/below.crl", "/crl/root.crl"]


async def test_off_asks_nobody(region: Region) -> None:
    region.desk.says.clear()
    await region.check(mode=Mode.OFF)
    assert not region.desk.asked


def rules(region: Region, **changes: object) -> RevocationRules:
    given = {"sources": (region.desk.address,), "timeout": 0.5, "pause": 0, **changes}
    return RevocationRules(**given)  # type: ignore[arg-type]


async def test_a_list_is_fetched_once_for_all_who_wait_and_kept(region: Region) -> None:
    region.desk.delay = 0.05
    async with Revocation.open(rules(region)) as revocation:
        await asyncio.gather(*(revocation.check(region.verified()) for _ in range(20)))
        region.desk.says.clear()
        await revocation.check(region.verified())
    assert sorted(region.desk.asked) == ["/crl/below.crl", "/crl/root.crl"]


async def test_a_list_is_fetched_again_after_a_while_and_the_new_one_counts(region: Region) -> None:
    async with Revocation.open(rules(region, keep=0)) as revocation:
        await revocation.check(region.verified())
        region.desk.says["/crl/below.crl"] = crl(region.below, [region.leaf], number=2)
        with pytest.raises(CertificateRefused):
            await revocation.check(region.verified())


async def test_an_older_list_does_not_take_the_place_of_a_newer(region: Region) -> None:
    async with Revocation.open(rules(region, keep=0)) as revocation:
        region.desk.says["/crl/below.crl"] = crl(region.below, [region.leaf], number=2)
        with pytest.raises(CertificateRefused):
            await revocation.check(region.verified())
        region.desk.says["/crl/below.crl"] = crl(region.below, number=1)
        with pytest.raises(CertificateRefused):
            await revocation.check(region.verified())
        region.desk.says["/crl/below.crl"] = crl(region.below, number=3)
        await revocation.check(region.verified())


async def test_a_list_of_an_earlier_date_does_not_take_the_place_of_a_later_with_its_number(
    region: Region,
) -> None:
    """Not every authority counts its lists: an older one, which does not know of a withdrawal, is still signed."""
    async with Revocation.open(rules(region, keep=0)) as revocation:
        region.desk.says["/crl/below.crl"] = crl(region.below, [region.leaf], number=0, hours=(-1, 1))
        for _ in range(2):
            with pytest.raises(CertificateRefused):
                await revocation.check(region.verified())
            region.desk.says["/crl/below.crl"] = crl(region.below, number=0, hours=(-2, 1))
        region.desk.says["/crl/below.crl"] = crl(region.below, number=0, hours=(-0.5, 1))
        await revocation.check(region.verified())


async def test_a_list_that_cannot_be_had_again_counts_until_its_issuer_says(region: Region) -> None:
    async with Revocation.open(rules(region, keep=0)) as revocation:
        await revocation.check(region.verified())
        region.desk.says = dict.fromkeys(region.desk.says, 503)
        await revocation.check(region.verified())
        with time_machine.travel(now() + timedelta(hours=2)), pytest.raises(RevocationUnknown):
            await revocation.check(region.verified())


async def test_after_a_failure_nobody_is_asked_for_a_while(region: Region) -> None:
    region.desk.says["/crl/below.crl"] = b"no list"
    async with Revocation.open(rules(region, pause=60)) as revocation:
        for _ in range(5):
            with pytest.raises(RevocationUnknown) as unknown:
                await revocation.check(region.verified())
            assert "cannot be read" in unknown.value.why
    assert region.desk.asked == ["/crl/below.crl"]
