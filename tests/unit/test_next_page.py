"""Where the next page of a directory is: at the directory itself, or the reading stops."""

from __future__ import annotations

import pytest

from schakel.generic.addressing.sync.pages import SourceTrouble, next_page

BASE = "https://directory.example/org1/fhir"


def after(link: str, base: str = BASE) -> str:
    bundle = {"link": [{"relation": "self", "url": "x"}, {"relation": "next", "url": link}]}
    return next_page(base, bundle, f"{base}/Organization/_history?_count=100")


@pytest.mark.parametrize(
    "link",
    [
        f"{BASE}?_getpages=5a51&_getpagesoffset=100&_count=100&_bundletype=history",
        "https://directory.example:443/org1/fhir?_getpages=5a51",
        f"{BASE}/Organization/_history?_count=100&page=2",
    ],
    ids=["at the base, as HAPI", "with its port", "at the type"],
)
def test_a_page_of_the_directory_is_asked_as_it_is_named(link: str) -> None:
    assert after(link) == link


def test_a_relative_link_is_one_of_the_page_before() -> None:
    assert after("?page=2") == f"{BASE}/Organization/_history?page=2"
    assert next_page(BASE, {"link": [{"relation": "self", "url": "?page=1"}]}, BASE) == ""


@pytest.mark.parametrize("port", ["", ":80", ":8080"])
def test_http_at_the_same_host_is_asked_over_tls(port: str) -> None:
    """A server behind a proxy that ends TLS does not know how it is reached."""
    link = f"http://directory.example{port}/org1/fhir?_getpages=5a51&x=%7C"
    assert after(link) == "https://directory.example/org1/fhir?_getpages=5a51&x=%7C"
    assert after(link, "https://directory.example:8443/org1/fhir") == (
        "https://directory.example:8443/org1/fhir?_getpages=5a51&x=%7C"
    )


@pytest.mark.parametrize(
    "link",
    [
        "https://other.example/org1/fhir?_getpages=5a51",
        "http://other.example/org1/fhir?_getpages=5a51",
        "https://directory.example:8443/org1/fhir?_getpages=5a51",
        "http://directory.example.evil.example/org1/fhir",
        "http://someone@other.example/fhir",
        "//other.example/fhir",
        "ftp://directory.example/org1/fhir",
        "http://directory.example:x/org1/fhir",
        f"{BASE}?a=\u2028b",
        "https://[directory.example/org1/fhir",
        "//[",
    ],
)
def test_a_page_anywhere_else_is_not_asked(link: str) -> None:
    with pytest.raises(SourceTrouble) as stopped:
        after(link)
    assert stopped.value.kind == "page-elsewhere"


def test_an_address_that_no_server_needs_is_not_kept() -> None:
    """Every page that was asked is remembered: tens of thousands of such would fill the memory."""
    longest = f"{BASE}?_getpages={'5' * 7000}"
    assert after(longest) == longest
    with pytest.raises(SourceTrouble) as stopped:
        after(f"{BASE}?_getpages={'5' * 8000}")
    assert stopped.value.kind == "page-address-long"


def test_a_directory_over_http_is_not_left_for_https() -> None:
    with pytest.raises(SourceTrouble):
        after("https://directory.example/org1/fhir?page=2", "http://directory.example/org1/fhir")
