"""REGION.toml: what may stand in it, and what is said of a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.shared import ROOT

from schakel.kernel.outcomes import Invalid
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.region import Defaults, Organisation, Region, read

KEY = "the-secret-key-of-noord"
HEAD = """
name = "Regio Noord"
by = "Programmabureau"
"""
ORGANISATION = """
[[organisations]]
ura = 90000001
name = "Ziekenhuis Noord"
sector = "MSZ"
"""
DOOR = f"""
internal = "http://127.0.0.1:8401/noord/"
internal_key = "{KEY}"
"""
EXCHANGE = """
[organisations.exchange]
user = { id = "900000008", name = "Jan Jansen", role = "01.015" }
"""


def region(folder: Path, text: str, **environment: str) -> Region:
    """The region in a file with this text."""
    file = folder / "REGION.toml"
    file.write_text(text)
    return read(file, environment)


def refused(folder: Path, text: str, **environment: str) -> str:
    """What is said of a file that is not right; never a key."""
    with pytest.raises(Invalid) as error:
        region(folder, text, **environment)
    assert KEY not in error.value.message
    assert "REGION.toml" in error.value.message
    return error.value.message


def test_a_region_needs_no_more_than_who_is_in_it(tmp_path: Path) -> None:
    found = region(tmp_path, HEAD + ORGANISATION)
    [member] = found.members
    assert (member.ura, member.name, member.sector, member.kind) == (
        "90000001",
        "Ziekenhuis Noord",
        "MSZ",
        "",
    )
    assert found.roadmap is None
    assert found.defaults.resolver == ""


def test_paths_are_those_beside_the_file(tmp_path: Path) -> None:
    text = (
        'roadmap = "other.json"\n'
        + HEAD
        + '[defaults]\nca = ["certs/root.pem"]\ndns_anchors = "a.txt"\n'
        + ORGANISATION
    )
    found = region(tmp_path, text)
    assert found.roadmap == tmp_path / "other.json"
    assert found.defaults.ca == (tmp_path / "certs" / "root.pem",)
    assert found.defaults.dns_anchors == tmp_path / "a.txt"


@pytest.mark.parametrize("way", ["here", "file", "environment"])
def test_a_key_stands_in_the_file_in_another_or_in_the_environment(tmp_path: Path, way: str) -> None:
    (tmp_path / "noord.key").write_text(f"{KEY}\n")
    said = {
        "here": f'internal_key = "{KEY}"',
        "file": 'internal_key_file = "noord.key"',
        "environment": 'internal_key_env = "NOORD_KEY"',
    }[way]
    found = region(
        tmp_path,
        f'{HEAD}{ORGANISATION}internal = "http://127.0.0.1:8401/noord/"\n{said}\n',
        NOORD_KEY=KEY,
    )
    [one] = found.organisations
    assert one.internal == "http://127.0.0.1:8401/noord"
    assert one.internal_key.get_secret_value() == KEY
    assert KEY not in repr(found)
    assert KEY not in str(found.model_dump())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'x", "is no TOML"),
        ("name = " + "[" * 50_000, "nested far deeper"),
        (HEAD, "organisations: this member is needed"),
        (HEAD + ORGANISATION + "front = 'ftp://x'", "organisations[0].front (Ziekenhuis Noord): an address"),
        (HEAD + ORGANISATION + "front = 'https://me:pw@x'", "without a name or password"),
        (
            HEAD + ORGANISATION + "frunt = 'https://x'",
            "organisations[0].frunt (Ziekenhuis Noord): this member is",
        ),
        (HEAD + ORGANISATION + ORGANISATION, "organisation 90000001 stands in the file more than once"),
        (
            HEAD + ORGANISATION.replace("90000001", "'12x'"),
            "organisations[0].ura (Ziekenhuis Noord): not a URA",
        ),
        (HEAD + ORGANISATION + "internal = 'http://x/a'", "goes together with internal_key"),
        (HEAD + ORGANISATION + f"internal_key = '{KEY}'", "goes together with internal_key"),
        (HEAD + ORGANISATION + DOOR + "internal_key_env = 'X'", "give one of internal_key"),
        (HEAD + ORGANISATION + "mail_domain = 'not a domain'", "organisations[0].mail_domain"),
        (HEAD + ORGANISATION + "dkim_selectors = ['a b']", "organisations[0].dkim_selectors[0]"),
        (HEAD + "[defaults]\nsmtp_port = 0\n" + ORGANISATION, "defaults.smtp_port"),
        (HEAD + "real_patients = true\n" + ORGANISATION, "real_patients_reason"),
        (HEAD + "[defaults]\nkey = 'x.key'\n" + ORGANISATION, "defaults: certificate and key go together"),
        (HEAD + ORGANISATION + DOOR.replace(f'"{KEY}"', "12"), "organisations[0].internal_key"),
        (HEAD + ORGANISATION + EXCHANGE, "exchange is asked at the internal door"),
        (
            HEAD + ORGANISATION + "[[organisations.suites]]\ncheck = 'tls'\nfolder = 'x'\nurl = 'https://x'",
            "organisations[0].suites[0].check (Ziekenhuis Noord)",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_a_key_that_is_not_there_is_told_with_where_it_should_be(tmp_path: Path) -> None:
    text = HEAD + ORGANISATION + 'internal = "http://127.0.0.1:8401/noord"\n'
    assert "the variable NOORD_KEY is empty or not set" in refused(
        tmp_path, text + "internal_key_env = 'NOORD_KEY'"
    )
    assert "cannot be read" in refused(tmp_path, text + "internal_key_file = 'none.key'")
    (tmp_path / "empty.key").write_text("\n")
    assert "is empty or not set" in refused(tmp_path, text + "internal_key_file = 'empty.key'")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"nowhere\.toml cannot be read"):
        read(tmp_path / "nowhere.toml", {})


# -- the patient of an exchange ------------------------------------------------------------------------------


def exchanged(number: str) -> str:
    return HEAD + ORGANISATION + DOOR + EXCHANGE + f"patient = '{number}'\n"


def test_an_exchange_is_for_a_test_patient(tmp_path: Path) -> None:
    [one] = region(tmp_path, exchanged("999911120")).organisations
    assert one.exchange is not None
    assert one.exchange.patient == "999911120"
    (tmp_path / "bsn").write_text("999911120\n")
    text = HEAD + ORGANISATION + DOOR + EXCHANGE
    for said in ("patient_file = 'bsn'", "patient_env = 'BSN'"):
        [one] = region(tmp_path, text + said, BSN="999911120").organisations
        assert one.exchange is not None
        assert one.exchange.patient == "999911120"


def test_a_real_patient_needs_a_reason_in_the_file(tmp_path: Path) -> None:
    number = "100000009"
    said = refused(tmp_path, exchanged(number))
    assert "begins with 999" in said
    assert number not in said
    reason = "real_patients = true\nreal_patients_reason = 'agreed with the officer'\n"
    [one] = region(tmp_path, reason + exchanged(number)).organisations
    assert one.exchange is not None
    assert one.exchange.patient == number


@pytest.mark.parametrize("number", ["999911121", "99991112", "x"])
def test_a_number_that_is_no_bsn_is_refused_and_not_repeated(tmp_path: Path, number: str) -> None:
    assert "not a BSN" in refused(tmp_path, exchanged(number))


def test_an_exchange_names_one_patient(tmp_path: Path) -> None:
    assert "needs one of patient" in refused(tmp_path, HEAD + ORGANISATION + DOOR + EXCHANGE)
    assert "needs one of patient" in refused(tmp_path, exchanged("999911120") + "patient_env = 'BSN'")


# -- one organisation ----------------------------------------------------------------------------------------


def test_one_organisation_can_be_chosen(tmp_path: Path) -> None:
    second = ORGANISATION.replace("90000001", "90000002").replace("Noord", "Zuid")
    found = region(tmp_path, HEAD + ORGANISATION + second)
    assert [one.ura for one in found.only("90000002").members] == ["90000002"]
    with pytest.raises(Invalid, match="it has 90000001, 90000002"):
        found.only("90000003")


# -- the pages -----------------------------------------------------------------------------------------------


def test_the_file_on_the_page_is_one_that_is_read_and_shows_every_member(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/measure-a-region.md").read_text("utf-8")
    [example] = [
        one for one in re.findall(r"^```\n(.*?)^```$", page, re.S | re.M) if one.startswith("name =")
    ]
    found = region(tmp_path, example, NOORD_KEY=KEY, TEST_PATIENT="999911120")
    assert [one.ura for one in found.members] == ["90000001", "90000002"]
    said = set(re.findall(r"\b([a-z_0-9]+) = ", page)) | {"exchange", "suites"}
    beside = {"internal_key", "internal_key_file"}
    assert set(Organisation.model_fields) <= said | beside
    assert all(name in page for name in beside)
    assert set(Defaults.model_fields) - said == {"http_on_loopback", "core_data_most"}


def test_the_page_of_the_checks_has_each_with_what_it_does_and_how_long_it_counts() -> None:
    page = (ROOT / "docs/explanation/checks.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (\d+) \|$", page, re.M)
    assert rows == [(one.id, one.how.en, str(one.fresh.days)) for one in CHECKS.values()]
