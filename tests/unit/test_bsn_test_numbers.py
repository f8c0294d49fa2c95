"""Test numbers: strict without them, named one by one in the settings, and only where every facility is of tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schakel.commands.doors import places
from schakel.config import Settings, load
from schakel.config.testing import of_tests
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn, taking_test_numbers
from schakel.patient_access.mask import mask
from schakel.roadmap.hybrid.pseudonyms import is_pseudonym

EXAMPLES = ("999940003", "900022868", "123456789")


@pytest.mark.parametrize("number", EXAMPLES)
def test_a_number_that_fails_the_test_of_eleven_is_taken_only_where_it_is_named(number: str) -> None:
    with pytest.raises(Invalid, match="11-proef"):
        Bsn(number)
    with taking_test_numbers([number]):
        assert Bsn(number) == number and not Bsn.passes(number)
        for other in {*EXAMPLES} - {number}:
            with pytest.raises(Invalid, match="11-proef"):
                Bsn(other)
        assert Bsn("999911120")
    with pytest.raises(Invalid, match="11-proef"):
        Bsn(number)


def test_blocks_in_one_process_each_add_their_numbers_and_end_with_them() -> None:
    with taking_test_numbers(EXAMPLES[:2]):
        with taking_test_numbers(EXAMPLES[1:]):
            assert all(map(Bsn.fits, EXAMPLES))
        assert [Bsn.fits(one) for one in EXAMPLES] == [True, True, False]
    assert not any(map(Bsn.fits, EXAMPLES))


@pytest.mark.parametrize("text", ["", "99994000", "9999400030", " 999940003", "९९९९४०००३", "99994000a"])
def test_nothing_but_nine_digits_is_a_number_under_any_setting(text: str) -> None:
    with taking_test_numbers([text]), pytest.raises(Invalid):
        Bsn(text)


def test_what_was_stored_as_a_number_stays_one() -> None:
    assert isinstance(Bsn.kept("999940003"), Bsn)


def test_a_test_number_is_hidden_wherever_a_bsn_is() -> None:
    resource = {
        "resourceType": "Observation",
        "identifier": [{"value": "999940003"}],
        "note": [{"text": "zie BSN 9999.40.003"}],
    }
    assert mask(resource, "999911120").resource == resource
    with taking_test_numbers(["999940003"]):
        masked = mask(resource, "999911120").resource
    assert "999940003" not in str(masked) and "9999.40.003" not in str(masked)


def test_a_test_number_is_no_part_of_a_pseudonym() -> None:
    assert is_pseudonym("region-a-999940003")
    with taking_test_numbers(["999940003"]):
        assert not is_pseudonym("region-a-999940003")


ORGANISATION = {
    "slug": "a",
    "ura": "90000001",
    "name": "A",
    "internal_key": "sixteen-characters",
    "signing_key": "a.jwk",
}
RECIPIENT = {"recipient": "oin:00000099000000001000", "scope": "nvi"}
SHOWN = {"certificate": "a.pem", "key": "a.key"}
PRODUCTION = "https://production.healthcare.nl"
FACILITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "prs.base": ("prs", {**RECIPIENT, **SHOWN, "base": PRODUCTION}),
    "mitz.base": ("mitz", {**SHOWN, "base": PRODUCTION}),
    "dezi.issuer": ("dezi", {"issuer": PRODUCTION}),
    "medmij.lists": ("medmij", {"lists": PRODUCTION}),
    "medmij.broker.issuer": (
        "medmij",
        {"broker": {"issuer": PRODUCTION, "client_id": "us", "key": "us.pem"}},
    ),
    "addressing.publication.base": ("addressing", {"publication": {"base": PRODUCTION}}),
}


def made(**members: Any) -> Settings:
    """A node with these members."""
    base: dict[str, Any] = {
        "database": "postgresql://nowhere",
        "public_url": "https://node.healthcare.nl",
        "internal_url": "http://127.0.0.1:2",
        "organisations": [ORGANISATION],
    }
    return Settings(**{**base, **members})


def test_without_the_setting_there_are_none() -> None:
    assert made().test_bsns == ()


@pytest.mark.parametrize("setting", FACILITIES)
def test_with_test_numbers_no_facility_may_be_one_of_production(setting: str) -> None:
    section, members = FACILITIES[setting]
    assert made(**{section: members})
    with pytest.raises(ValueError, match=r"production\.healthcare\.nl") as refused:
        made(test_bsns=EXAMPLES, **{section: members})
    assert f"the host of {setting} " in str(refused.value)
    tests = of_proeftuin(members)
    assert made(test_bsns=EXAMPLES, **{section: tests})


def of_proeftuin(members: dict[str, Any]) -> dict[str, Any]:
    """The same with the host of a test environment."""
    return {
        name: of_proeftuin(value) if isinstance(value, dict) else value.replace("production.", "proeftuin.")
        for name, value in members.items()
    }


def test_the_index_is_one_of_those_facilities() -> None:
    prs = {**RECIPIENT, "base": "http://127.0.0.1:8418"}
    nvi = {**SHOWN, "base": f"{PRODUCTION}/fhir", "source": "node"}
    assert made(prs=prs, nvi=nvi)
    with pytest.raises(ValueError, match=r"the host of nvi\.base \(production\.healthcare\.nl\)"):
        made(test_bsns=EXAMPLES, prs=prs, nvi=nvi)


@pytest.mark.parametrize(
    ("address", "tests"),
    [
        ("http://127.0.0.1:8418", True),
        ("http://[::1]:8418/prs", True),
        ("http://localhost:8418", True),
        ("https://pseudoniemendienst.proeftuin.gf.irealisatie.nl", True),
        ("https://tst-api.mijn-mitz.nl", True),
        ("https://acceptatie.auth.dezi.nl", True),
        ("https://prs.example:8418", True),
        ("https://auth.dezi.nl", False),
        ("https://10.0.0.7", False),
        ("https://prs", False),
        ("https://latest.healthcare.nl", False),
        ("https://prs.health.dev", False),
        ("https://prs.health.test", True),
        ("https://prs.healthcare.nl/test", False),
        ("https://test@prs.healthcare.nl", False),
    ],
)
def test_only_the_name_of_the_host_says_that_it_is_of_tests(address: str, tests: bool) -> None:
    assert of_tests(address) is tests


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("999911120", "may be that of a person"),
        ("99994000", "nine digits"),
        ("000000000", "not known"),
        ("99994000x", "nine digits"),
    ],
)
def test_a_number_that_may_be_of_a_person_is_refused_and_not_repeated(
    tmp_path: Path, number: str, said: str
) -> None:
    with pytest.raises(Invalid, match=said) as refused:
        load(written(tmp_path, number))
    assert number not in refused.value.message and "test_bsns.0" in refused.value.message


def test_the_commands_take_the_numbers_of_the_node_that_they_are_about(tmp_path: Path) -> None:
    door = places(None, written(tmp_path, "999940003")).find("a")
    assert door.bsn("999940003") == "999940003"
    with pytest.raises(Invalid, match="11-proef"):
        door.bsn("900022868")
    with pytest.raises(Invalid, match="11-proef"):
        Bsn("999940003")


def written(folder: Path, number: str) -> Path:
    """A configuration that names one test number."""
    file = folder / "node.toml"
    organisation = "".join(f'{name} = "{value}"\n' for name, value in ORGANISATION.items())
    file.write_text(
        'database = "postgresql://x"\npublic_url = "http://127.0.0.1:8400"\n'
        f'internal_url = "http://127.0.0.1:8401"\ntest_bsns = ["{number}"]\n[[organisations]]\n{organisation}'
    )
    return file
