"""Reading an authorisation request: the state comes back to the letter, and nothing else decides where it goes."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.generic.identity.authorisation_request import (
    DESCRIPTIONS,
    NUMBERS,
    AuthorisationRefused,
    AuthorisationRequest,
    ClientUnverified,
    read,
    with_code,
    with_error,
)
from schakel.generic.identity.patient import Holder


class _Lists:
    def client_name(self, host: str) -> str | None:
        return "Mijn Dossier" if host == "pgo.example" else None

    def is_node(self, host: str) -> bool:
        return False

    def offers(self, provider: str) -> bool:
        return provider == "provider"

    def service_name(self, service: str) -> str | None:
        return None


async def _nobody(patient: str, share: str) -> frozenset[str]:
    return frozenset()


HOLDER = Holder("provider", frozenset({"48"}), frozenset({"903"}), _nobody)
IDS = (
    "MedMij-Request-ID=8a426e27-4998-486b-80c1-2bd9f21754a9"
    "&X-Correlation-ID=37a69211-e8b7-4766-a3ba-085c6dc1e753"
)
CLIENT = "client_id=pgo.example&redirect_uri=https%3A%2F%2Fpgo.example%2Fcb"
GOOD = f"response_type=code&scope=provider&{CLIENT}&{IDS}"


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1))
def test_any_state_comes_back_with_the_code_and_with_an_error(state: str) -> None:
    asked = read(f"{GOOD}&state={quote(state, safe='')}", {}, _Lists(), HOLDER)
    back = parse_qs(urlsplit(with_code(asked.redirect_uri, "c", asked.state)).query, keep_blank_values=True)
    assert back == {"code": ["c"], "state": [state]}
    refusal = AuthorisationRefused("ended", asked.redirect_uri, asked.state)
    assert parse_qs(urlsplit(with_error(refusal)).query)["state"] == [state]


def tried(query: str) -> AuthorisationRequest | AuthorisationRefused | None:
    """What becomes of a query; None when nothing may go back to the client."""
    try:
        return read(query, {}, _Lists(), HOLDER)
    except AuthorisationRefused as refusal:
        return refusal
    except ClientUnverified:
        return None


@given(st.text(max_size=60))
def test_whatever_the_query_it_is_read_or_refused(query: str) -> None:
    for text in (query, f"{CLIENT}&{query}", f"{GOOD}&state=1&{query}"):
        found = tried(text)
        assert found is None or found.redirect_uri == "https://pgo.example/cb"
        if isinstance(found, AuthorisationRefused):
            assert with_error(found).startswith("https://pgo.example/cb?error=")
            assert with_error(found).isprintable()


@given(st.text(max_size=40))
def test_nobody_goes_to_an_address_of_another_host(address: str) -> None:
    for text in (address, f"https://{address}", f"https://pgo.example{address}", f"http://{address}"):
        found = tried(f"client_id=pgo.example&redirect_uri={quote(text, safe='')}&state=1")
        if found is not None:
            parts = urlsplit(found.redirect_uri)
            assert (parts.scheme, parts.hostname) == ("https", "pgo.example")


@pytest.mark.parametrize(
    ("scope", "share"),
    [("provider", ""), ("provider@medmij", ""), ("provider~903", "903"), ("provider@medmij~903", "903")],
)
def test_the_scope_names_the_provider_and_what_is_shared(scope: str, share: str) -> None:
    query = GOOD.replace("scope=provider", f"scope={quote(scope)}") + "&state=1"
    assert read(query, {}, _Lists(), HOLDER).share == share


def test_ids_that_differ_between_query_and_header_are_refused() -> None:
    other = {"X-Correlation-ID": "00000000-0000-4000-8000-000000000000"}
    with pytest.raises(AuthorisationRefused):
        read(f"{GOOD}&state=1", other, _Lists(), HOLDER)


def test_every_error_has_a_word_of_oauth_and_a_number() -> None:
    for error, description in DESCRIPTIONS.values():
        assert NUMBERS[error].isdigit() and description.isascii() and '"' not in description


def test_http_on_the_own_machine_is_for_a_setting_only() -> None:
    query = GOOD.replace("https%3A%2F%2Fpgo.example%2Fcb", "http%3A%2F%2F127.0.0.1%3A9000%2Fcb") + "&state=1"
    with pytest.raises(ClientUnverified):
        read(query, {}, _Lists(), HOLDER)
    asked = read(query, {}, _Lists(), HOLDER, http_on_loopback=True)
    assert unquote(asked.redirect_uri) == "http://127.0.0.1:9000/cb"
