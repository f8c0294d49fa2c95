"""Any header is a certificate, nothing, or refused by its name, and soon."""

from __future__ import annotations

import time
from base64 import b64encode
from ipaddress import ip_network
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.certificates import Authority

from schakel.http.peer import Proxies
from schakel.http.shown import from_headers
from schakel.kernel.outcomes import Invalid

ISSUED = Authority.new("Root").issue("b.example")
PEM = quote(ISSUED.pem, safe="").encode()
SFV = b":" + b64encode(ISSUED.der) + b":"


@given(st.binary(max_size=200) | st.text(":AQID=%+/,- \t\n", max_size=60).map(str.encode))
def test_what_is_no_certificate_is_nothing_or_refused(value: bytes) -> None:
    if not value.strip():
        assert from_headers("x-cert", [value]) == ()
        return
    with pytest.raises(Invalid, match="X-Cert") as refused:
        from_headers("x-cert", [value])
    assert (refused.value.kind, refused.value.expression) == ("certificate-header", "X-Cert")


def test_both_forms_say_the_same() -> None:
    assert from_headers("x-cert", [PEM]) == from_headers("x-cert", [SFV]) == (ISSUED.der,)
    assert from_headers("x-cert", [SFV], [SFV + b", " + SFV, SFV]) == (ISSUED.der,) * 4
    assert from_headers("x-cert", [PEM], [SFV]) == (ISSUED.der,)  # With PEM there is no chain.


@pytest.mark.parametrize(
    "value",
    [
        b"-----BEGIN%20CERTIFICATE-----" + b"%0A" * 20_000,
        b"-----BEGIN%20CERTIFICATE-----" * 2000,
        b":" + b"A" * 60_000,
        b":," * 30_000,
        b"%41" * 20_000,
    ],
)
def test_the_longest_header_is_read_at_once(value: bytes) -> None:
    started = time.process_time()
    with pytest.raises(Invalid):
        from_headers("x-cert", [value])
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("10.0.0.7", True),
        ("10.0.0.8", False),
        ("::ffff:10.0.0.7", True),
        ("fd00::1", True),
        ("fe00::1", False),
        ("", False),
        ("proxy.example", False),
    ],
)
def test_a_proxy_is_known_by_its_address(address: str, named: bool) -> None:
    proxies = Proxies((ip_network("10.0.0.7/32"), ip_network("fd00::/8")), "x-cert")
    assert proxies.named(address) is named
