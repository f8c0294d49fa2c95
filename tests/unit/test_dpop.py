"""A proof of possession is taken only when every condition of RFC 9449, section 4.3, holds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey
from tests.proofs import KEY, digest, proof

from schakel.generic.identity import DpopKey
from schakel.generic.identity.dpop import ALGORITHMS, FRESH_SECONDS, LEEWAY_SECONDS, proved
from schakel.generic.identity.errors import InvalidDpopProofError
from schakel.kernel.clock import now

URL = "https://back.example/haven/fhir/stu3/Condition"
TOKEN = "t" * 43
OTHER = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)


def seconds(shift: float) -> int:
    return int(now().timestamp() + shift)


def check(*headers: str, method: str = "GET", url: str = URL, token: str | None = TOKEN) -> Any:
    return proved(headers, method, url, now().timestamp(), token)


def made(**changes: Any) -> str:
    return proof("GET", URL, TOKEN, **changes)


def spliced(**header: Any) -> str:
    """A good proof of which the header was changed after it was signed."""
    head, payload, signature = made().split(".")
    members = json.loads(base64.urlsafe_b64decode(head + "=="))
    changed = json.dumps({**members, **header}).encode()
    return f"{base64.urlsafe_b64encode(changed).rstrip(b'=').decode()}.{payload}.{signature}"


def test_a_good_proof_says_which_key_and_which_use() -> None:
    found = check(made(jti="one"))
    assert (found.jkt, found.jti) == (KEY.thumbprint(), "one")


def test_what_our_own_key_makes_is_taken() -> None:
    key = DpopKey.new()
    assert check(key.proof("GET", f"{URL}?a=b#c", TOKEN)).jkt == key.jkt
    at_endpoint = check(key.proof("POST", URL), method="POST", token=None)
    assert at_endpoint.jkt == key.jkt


WRONG: dict[str, tuple[Callable[[], str], str, str]] = {
    "another typ": (lambda: made(header={"typ": "JWT"}), "dpop-typ", "typ"),
    "no typ": (lambda: made(header={"typ": None}), "dpop-typ", "typ"),
    "alg none": (lambda: spliced(alg="none"), "dpop-alg", "alg"),
    "alg HS256": (lambda: spliced(alg="HS256"), "dpop-alg", "alg"),
    "alg that is no text": (lambda: spliced(alg=["ES256"]), "dpop-alg", "alg"),
    "alg RS256": (lambda: made(key=RSA, header={"alg": "RS256"}), "dpop-alg", "alg"),
    "a header that must be understood": (lambda: spliced(crit=["x"], x=1), "dpop-crit", "crit"),
    "no jwk": (lambda: made(header={"jwk": None}), "dpop-jwk", "jwk"),
    "a jwk that is text": (lambda: spliced(jwk="x"), "dpop-jwk", "jwk"),
    "a private key": (lambda: made(header={"jwk": KEY.as_dict(private=True)}), "dpop-private", "jwk"),
    "a secret key": (
        lambda: spliced(jwk=OctKey.generate_key(256).as_dict(private=True)),
        "dpop-private",
        "jwk",
    ),
    "a key for another alg": (lambda: spliced(jwk=RSA.as_dict(private=False)), "dpop-jwk", "jwk"),
    "a key on another curve": (
        lambda: spliced(jwk=ECKey.generate_key("P-384").as_dict(private=False)),
        "dpop-jwk",
        "jwk",
    ),
    "a point that is not on the curve": (
        lambda: spliced(jwk={**KEY.as_dict(private=False), "x": "AAAA"}),
        "dpop-jwk",
        "jwk",
    ),
    "a weak key": (
        lambda: spliced(alg="PS256", jwk={"kty": "RSA", "n": "w" * 171 + "A", "e": "AQAB"}),
        "dpop-jwk",
        "jwk",
    ),
    "a key beyond measure": (
        lambda: spliced(alg="PS256", jwk={"kty": "RSA", "n": "w" * 2000, "e": "AQAB"}),
        "dpop-jwk",
        "jwk",
    ),
    "the key of another": (
        lambda: made(header={"jwk": OTHER.as_dict(private=False)}),
        "dpop-signature",
        "",
    ),
    "no jti": (lambda: made(jti=None), "dpop-jti", "jti"),
    "an empty jti": (lambda: made(jti=""), "dpop-jti", "jti"),
    "a jti that is a number": (lambda: made(jti=1), "dpop-jti", "jti"),
    "a jti that is too long": (lambda: made(jti="x" * 257), "dpop-jti", "jti"),
    "no htm": (lambda: made(htm=None), "dpop-htm", "htm"),
    "another htm": (lambda: made(htm="POST"), "dpop-htm", "htm"),
    "an htm in small letters": (lambda: made(htm="get"), "dpop-htm", "htm"),
    "no htu": (lambda: made(htu=None), "dpop-htu", "htu"),
    "the htu of another host": (
        lambda: made(htu=URL.replace("back", "front")),
        "dpop-htu",
        "htu",
    ),
    "the htu of another path": (lambda: made(htu=URL + "/1"), "dpop-htu", "htu"),
    "an htu without TLS": (lambda: made(htu=URL.replace("https", "http")), "dpop-htu", "htu"),
    "an htu at another port": (
        lambda: made(htu=URL.replace(".example", ".example:8443")),
        "dpop-htu",
        "htu",
    ),
    "an htu that is no address": (lambda: made(htu="//["), "dpop-htu", "htu"),
    "no iat": (lambda: made(iat=None), "dpop-iat", "iat"),
    "an iat that is text": (lambda: made(iat=str(seconds(0))), "dpop-iat", "iat"),
    "an iat that is true": (lambda: made(iat=True), "dpop-iat", "iat"),
    "an iat in the future": (lambda: made(iat=seconds(LEEWAY_SECONDS + 2)), "dpop-iat", "iat"),
    "an iat beyond all times": (lambda: made(iat=10**40), "dpop-iat", "iat"),
    "an iat too long ago": (
        lambda: made(iat=seconds(-FRESH_SECONDS - LEEWAY_SECONDS - 1)),
        "dpop-iat",
        "iat",
    ),
    "no ath": (lambda: made(ath=None), "dpop-ath", "ath"),
    "the ath of another token": (lambda: made(ath=digest("other")), "dpop-ath", "ath"),
    "changed claims": (
        lambda: ".".join([made().split(".")[0], made().split(".")[1], made().split(".")[2]]),
        "dpop-signature",
        "",
    ),
    "no JWT": (lambda: "x", "dpop-malformed", ""),
    "five parts": (lambda: "a.b.c.d.e", "dpop-malformed", ""),
    "too long": (lambda: "x" * 9000, "dpop-malformed", ""),
    "a header as deep as it goes": (
        lambda: base64.urlsafe_b64encode(b"[" * 3000).decode() + ".e30.AA",
        "dpop-malformed",
        "",
    ),
    "a header that is text": (lambda: "ImFsZyI.e30.AA", "dpop-malformed", ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_proof_with_one_thing_wrong_is_refused_by_the_name_of_that_thing(case: str) -> None:
    make, code, expression = WRONG[case]
    with pytest.raises(InvalidDpopProofError) as caught:
        check(make())
    assert (caught.value.error, caught.value.kind, caught.value.expression) == (
        "invalid_dpop_proof",
        code,
        expression,
    )


def test_there_is_one_proof_not_none_and_not_two() -> None:
    for headers in ((), (made(), made())):
        with pytest.raises(InvalidDpopProofError) as caught:
            check(*headers)
        assert caught.value.kind == "dpop-header"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_of_the_metadata_is_taken(algorithm: str) -> None:
    curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
    key = ECKey.generate_key(curves[algorithm]) if algorithm in curves else RSA
    assert check(made(key=key, header={"alg": algorithm})).jkt == key.thumbprint()


@pytest.mark.parametrize("shift", [LEEWAY_SECONDS - 1, 0, -FRESH_SECONDS])
def test_clocks_may_differ_a_little(shift: int) -> None:
    assert check(made(iat=seconds(shift))).jkt


def test_a_time_may_have_a_fraction() -> None:
    assert check(made(iat=now().timestamp() - 0.25)).jkt


@pytest.mark.parametrize(
    ("htu", "url"),
    [
        ("HTTPS://Back.Example:443/haven/fhir/stu3/Condition", URL),
        (f"{URL}?patient=1", URL),
        (f"{URL}#x", URL),
        ("https://back.example/haven/./x/../fhir/stu3/Condition", URL),
        ("https://back.example/a%7eb/%c3%a9", "https://back.example/a~b/%C3%A9"),
        ("https://back.example", "https://back.example/"),
        ("http://back.example:80/", "http://back.example"),
    ],
)
def test_the_same_address_written_otherwise_is_the_same(htu: str, url: str) -> None:
    assert check(made(htu=htu), url=url).jkt


@pytest.mark.parametrize(
    ("htu", "url"),
    [
        ("https://back.example/a%2Fb", "https://back.example/a/b"),
        ("https://back.example/a/", "https://back.example/a"),
        ("https://back.example//a", "https://back.example/a"),
        ("https://me@back.example/a", "https://back.example/a"),
        ("https://back.example/A", "https://back.example/a"),
    ],
)
def test_another_address_is_another(htu: str, url: str) -> None:
    with pytest.raises(InvalidDpopProofError) as caught:
        check(made(htu=htu), url=url)
    assert caught.value.kind == "dpop-htu"


_PART = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).rstrip(b"=").decode()),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=10),
        lambda inner: st.dictionaries(
            st.sampled_from(["alg", "typ", "jwk", "kty", "crv", "x", "y", "n", "e", "jti", "iat", "b64"]),
            inner,
            max_size=6,
        ),
        max_leaves=8,
    ).map(lambda v: base64.urlsafe_b64encode(json.dumps(v).encode()).rstrip(b"=").decode()),
)


@given(st.lists(_PART, min_size=1, max_size=4).map(".".join))
def test_whatever_text_comes_as_a_proof_is_refused_and_nothing_breaks(text: str) -> None:
    with pytest.raises(InvalidDpopProofError):
        check(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(["jti", "htm", "htu", "iat", "ath"]), _JSON)
def test_whatever_a_claim_holds_the_proof_is_taken_or_refused(name: str, value: Any) -> None:
    with suppress(InvalidDpopProofError):
        assert check(made(**{name: value})).jkt == KEY.thumbprint()
