"""The check of the mail domain, against a small DNS server with one fault each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import dns.rcode
import pytest
from tests.measuring import measured
from tests.name_server import Names, name_server

from schakel.kernel.clock import AMSTERDAM, now
from schakel.roadmap.evidence import Finding

DOMAIN = "zorg.test"
SPF = '"v=spf1 mx -all"'
YEAR = now().year


def nta(start: str = f"{YEAR - 1}-01", end: str = f"{YEAR + 1}-06") -> str:
    """The record of NTA 7516."""
    return f'"v=NTA7516-1;startdate={start};enddate={end};provider=Mailer;ntamx=10 mx.{DOMAIN}"'


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    """A DNS server in which the domain is as it should be."""
    async with name_server() as server:
        server.add(f"{DOMAIN}.", "SOA", "ns.zorg.test. admin.zorg.test. 1 2 3 4 5")
        server.add(f"{DOMAIN}.", "TXT", SPF, nta(), '"something else"')
        server.add(f"{DOMAIN}.", "MX", f"10 mx.{DOMAIN}.")
        server.add(f"mx.{DOMAIN}.", "A", "192.0.2.1")
        server.add(f"_dmarc.{DOMAIN}.", "TXT", '"v=DMARC1; p=reject; rua=mailto:d@zorg.test"')
        server.signed.add(f"{DOMAIN}.")
        yield server


async def looked(names: Names) -> Finding:
    """What the check finds."""
    return await measured("mail-domain", {"resolver": names.address, "seconds": 2}, mail_domain=DOMAIN)


async def test_a_domain_with_everything_holds_until_its_record_ends(names: Names) -> None:
    found = await looked(names)
    assert found.verdict == "holds", found
    assert found.until == datetime(YEAR + 1, 7, 1, tzinfo=AMSTERDAM).astimezone(UTC)


@pytest.mark.parametrize(("end", "until"), [("9999-12", None), (f"{YEAR + 1}-12", YEAR + 2)])
async def test_a_record_of_nta_7516_may_end_with_a_year_or_never(
    names: Names, end: str, until: int | None
) -> None:
    texts(SPF, nta(end=end))(names)
    found = await looked(names)
    wanted = None if until is None else datetime(until, 1, 1, tzinfo=AMSTERDAM).astimezone(UTC)
    assert (found.verdict, found.until) == ("holds", wanted), found


def texts(*values: str) -> Callable[[Names], None]:
    return lambda names: names.add(f"{DOMAIN}.", "TXT", *values)


def dmarc(*values: str) -> Callable[[Names], None]:
    return lambda names: names.add(f"_dmarc.{DOMAIN}.", "TXT", *values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (texts(nta()), "0 SPF records"),
        (texts(SPF, SPF.replace("mx", "a"), nta()), "2 SPF records"),
        (texts('"v=spf1 mx ?all"', nta()), "does not end with -all or ~all"),
        (dmarc('"v=DMARC1; p=none; rua=mailto:d@zorg.test"'), "does not stop false mail"),
        (dmarc('"v=DMARC1; p=reject"'), "no address for reports"),
        (dmarc('"another text"'), "0 DMARC records"),
        (lambda names: names.records.pop((f"{DOMAIN}.", "MX")), "no MX record"),
        (lambda names: names.add(f"{DOMAIN}.", "MX", "0 ."), "no MX record"),
        (lambda names: names.records.pop((f"mx.{DOMAIN}.", "A")), "has no address"),
        (lambda names: names.signed.discard(f"{DOMAIN}."), "not signed (DNSSEC)"),
        (texts(SPF), "0 NTA 7516 records"),
        (texts(SPF, nta(), nta(end=f"{YEAR + 2}-01")), "2 NTA 7516 records"),
        (texts(SPF, nta(start=f"{YEAR - 2}-01", end=f"{YEAR - 1}-12")), "so not now"),
        (texts(SPF, nta(start=f"{YEAR + 1}-01", end=f"{YEAR + 2}-12")), "so not now"),
        (texts(SPF, nta(start="soon")), "lacks a right startdate"),
    ],
)
async def test_a_domain_with_one_fault_fails_with_exactly_that(
    names: Names, change: Callable[[Names], object], said: str
) -> None:
    change(names)
    found = await looked(names)
    assert found.verdict == "fails", found
    assert said in found.reason.en
    assert found.facts["faults"] == 1


@pytest.mark.parametrize("spf", ['"v=spf1 mx ~all"', '"v=spf1 redirect=other.test"', '"v=spf1 " "mx -all"'])
async def test_other_ways_to_write_spf_hold(names: Names, spf: str) -> None:
    texts(spf, nta())(names)
    assert (await looked(names)).verdict == "holds"


async def test_a_server_that_proves_no_signatures_leaves_dnssec_unchecked(names: Names) -> None:
    names.proved = False
    found = await looked(names)
    assert found.verdict == "unknown"
    assert "proves no signatures" in found.reason.en


async def test_a_fault_counts_whatever_could_not_be_checked(names: Names) -> None:
    names.proved = False
    dmarc('"v=DMARC1; p=none; rua=mailto:d@zorg.test"')(names)
    assert (await looked(names)).verdict == "fails"


@pytest.mark.parametrize("name", [f"{DOMAIN}.", f"_dmarc.{DOMAIN}.", f"mx.{DOMAIN}."])
async def test_what_could_not_be_looked_up_is_no_fault(names: Names, name: str) -> None:
    names.codes[name] = dns.rcode.SERVFAIL
    found = await looked(names)
    assert found.verdict == "unknown"
    assert "gave no answer about" in found.reason.en


async def test_silence_of_the_dns_says_nothing(names: Names) -> None:
    names.mute = True
    assert (await looked(names)).verdict == "unknown"
