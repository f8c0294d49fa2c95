"""The arithmetic of pseudonyms against the vectors of the RFCs and of the ministry's flow, and as a law."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import get_args

import orjson
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from schakel.generic.pseudonyms import Person, PseudonymToken, Recipient, oprf
from schakel.kernel import ristretto
from schakel.kernel.outcomes import Invalid
from schakel_national.prs.secrets import Evaluator

SERVER_KEY = bytes.fromhex("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e")
BLIND = bytes.fromhex("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706")
ORDER = 2**252 + 27742317777372353535851937790883648493
PERSON = "999940003"
URA, OIN = "ura:90000901", "oin:00000099000000001000"

scalars = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "little"))


@pytest.mark.parametrize(
    ("data", "blinded", "evaluated", "output"),
    [
        (
            "00",
            "609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c",
            "7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e",
            "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3"
            "ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6",
        ),
        (
            "5a" * 17,
            "da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418",
            "b4cbf5a4f1eeda5a63ce7b77c7d23f461db3fcab0dd28e4e17cecb5c90d02c25",
            "f4a74c9c592497375e796aa837e907b1a045d34306a749db9f34221f7e750cb4"
            "f2a6413a6bf6fa5e19ba6348eb673934a722a7ede2e7621306d18951e7cf2c73",
        ),
    ],
    ids=["one byte", "seventeen bytes"],
)
def test_the_vectors_of_rfc_9497_come_out(data: str, blinded: str, evaluated: str, output: str) -> None:
    given_data = bytes.fromhex(data)
    assert oprf.blinded(given_data, BLIND).hex() == blinded
    assert Evaluator(SERVER_KEY).evaluated(bytes.fromhex(blinded)).hex() == evaluated
    point = oprf.unblinded(bytes.fromhex(evaluated), BLIND)
    framed = len(given_data).to_bytes(2, "big") + given_data + (32).to_bytes(2, "big") + point + b"Finalize"
    assert hashlib.sha512(framed).hexdigest() == output


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", "6b9a7312411d92f921c6f68ca0b6380730a1a4d982c507211a90964c394179ba"),
        (b"abc", "0da749f12fbe5483eb066a5f595055679b976e93abe9be6f0f6318bce7aca8dc"),
    ],
    ids=["empty", "abc"],
)
def test_the_expander_vectors_of_rfc_9380_come_out(message: bytes, expected: str) -> None:
    tag = b"QUUX-V01-CS02-with-expander-SHA512-256"
    assert oprf.expand_message_xmd(message, tag, 32).hex() == expected


def test_the_expander_makes_as_many_bytes_as_asked_and_no_more_than_it_can() -> None:
    assert [len(oprf.expand_message_xmd(b"x", b"tag", number)) for number in (1, 64, 65, 200)] == [
        1,
        64,
        65,
        200,
    ]
    for length, tag in ((255 * 64 + 1, b"tag"), (32, b"t" * 256)):
        with pytest.raises(ValueError, match="too long"):
            oprf.expand_message_xmd(b"x", tag, length)


@pytest.mark.parametrize(
    ("recipient", "x", "blinded", "evaluated", "pseudonym"),
    [
        (
            URA,
            "e96ce9a92e6b5fdf3ba6810b25c152c49c2969f6194e3e43fb050365a7104d9f",
            "yvhLF_vz8R5C6O6Y2uNrs0Qo49RPqWSZz6UaGVgHWk0=",
            "OONddNyI06dXIUsGZJLxvvX2SsNXAhm9SqjgPNztegM=",
            "jErbAyAWAfJn1y6qTuVZZehUeemRY60J-Q3_YuEUCTs=",
        ),
        (
            OIN,
            "bde50e7df60b66cc453a6680cef7cdb2e9bc8cf21f7a6fa5c263b8391c2c7d45",
            "sASnjn9HhR3wx0f9g6QhZW6-dtoL5WIqt53AYpV4bkM=",
            "kFazkWpPxWtNCka3Q4-hsIdkmsvtioAVSJmy-WG3lBA=",
            "JsxQgRVOm1VWYMj5kp17OgsPM0SUFBZrc74bAtKj3Ho=",
        ),
    ],
    ids=["ura", "oin"],
)
def test_the_vectors_of_the_flow_come_out(
    recipient: str, x: str, blinded: str, evaluated: str, pseudonym: str
) -> None:
    data = Recipient(recipient, "nationale-verwijsindex").input_of(PERSON)
    assert data.hex() == x
    point = oprf.blinded(data, BLIND)
    assert urlsafe_b64encode(point).decode() == blinded
    answer = Evaluator(SERVER_KEY).evaluated(point)
    assert urlsafe_b64encode(answer).decode() == evaluated
    assert urlsafe_b64encode(oprf.unblinded(answer, BLIND)).decode() == pseudonym


def test_a_person_that_is_written_otherwise_is_another_pseudonym_and_is_told_apart() -> None:
    """Clients that hash other bytes never meet, and the PRS cannot notice."""
    written = {
        "guide": b'{"landCode":"NL","type":"BSN","value":"999940003"}',
        "blanks": b'{"landCode": "NL", "type": "BSN", "value": "999940003"}',
        "snake": b'{"land_code":"NL","type":"BSN","value":"999940003"}',
    }
    made = {}
    for person in get_args(Person):
        recipient = Recipient(OIN, "nvi", person)
        made[recipient.key] = recipient.input_of(PERSON)
        derived = HKDF(hashes.SHA256(), 32, salt=None, info=f"{OIN}|nvi|v1".encode()).derive(written[person])
        assert made[recipient.key] == derived
    assert set(made) == {"nvi", "nvi (blanks)", "nvi (snake)"}
    assert len(set(made.values())) == 3


def test_another_scope_is_another_pseudonym_with_its_own_vector() -> None:
    data = Recipient(OIN, "nvi").input_of(PERSON)
    assert data.hex() == "b788d775430a7f7bc73f7003b73ce15233d30534d776c87a92819e570647930d"
    scalar, point = oprf.blind(data)
    found = oprf.unblinded(Evaluator(SERVER_KEY).evaluated(point), scalar)
    assert urlsafe_b64encode(found).decode() == "FK_iMS2_rIAX2133xC_0KgUHics6hdD8UKqrfxUStH8="


@given(data=st.binary(max_size=80), scalar=scalars, other=scalars, key=scalars)
def test_the_pseudonym_does_not_depend_on_the_blind_factor(
    data: bytes, scalar: bytes, other: bytes, key: bytes
) -> None:
    evaluator = Evaluator(key)
    found = {oprf.unblinded(evaluator.evaluated(oprf.blinded(data, one)), one) for one in (scalar, other)}
    assert found == {ristretto.multiplied(oprf.hash_to_group(data), key)}


def test_each_blinding_has_a_factor_of_its_own() -> None:
    made = [oprf.blind(b"somebody") for _ in range(20)]
    assert len({scalar for scalar, _ in made}) == len({point for _, point in made}) == 20


@pytest.mark.parametrize(
    "point",
    [bytes(32), b"\xff" * 32, b"\x01" * 31, ristretto.point_from(bytes(64)) + b"\x00"],
    ids=["neutral", "no encoding", "31 bytes", "33 bytes"],
)
def test_what_is_not_a_point_is_not_multiplied(point: bytes) -> None:
    with pytest.raises(ValueError, match="point"):
        ristretto.multiplied(point, BLIND)
    with pytest.raises(ValueError, match="point"):
        Evaluator(SERVER_KEY).evaluated(point)


@pytest.mark.parametrize("key", [bytes(32), ORDER.to_bytes(32, "little"), b"\x01" * 31])
def test_a_key_that_is_no_scalar_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="oprf_key"):
        Evaluator(key)


@pytest.mark.parametrize(
    ("name", "scope", "code"),
    [
        ("00000099000000001000", "nvi", "pseudonym-recipient"),
        ("oin:123", "nvi", "pseudonym-recipient"),
        ("ura:9000090", "nvi", "pseudonym-recipient"),
        ("urn:90000901", "nvi", "pseudonym-recipient"),
        (OIN + "\n", "nvi", "pseudonym-recipient"),
        (OIN, "", "pseudonym-scope"),
        (OIN, "NVI", "pseudonym-scope"),
        (OIN, "nvi|x", "pseudonym-scope"),
    ],
)
def test_a_recipient_that_nobody_could_find_is_refused(name: str, scope: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        Recipient(name, scope)
    assert caught.value.kind == code


def test_a_token_has_answer_and_blind_factor_in_one_and_shows_neither() -> None:
    token = PseudonymToken.of("a.b.c.d.e", BLIND)
    opened = orjson.loads(urlsafe_b64decode(token.value + "=" * (-len(token.value) % 4)))
    assert opened == {"evaluated_output": "a.b.c.d.e", "blind_factor": token.blind_factor}
    assert token.blind_factor == "ZNN67SKif1GR3hwdafrbiZ2IYrWOtCIAKeA27EwfZwY="
    assert "=" not in token.value
    assert repr(token) == "PseudonymToken()"
