"""How Patients of a suite get their BSN while they are loaded, and their tokens before the scripts run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests import testscript_builder as make

from schakel.conformance.patients import Granted, Patients, invented
from schakel.conformance.script import Script, read_script
from schakel.conformance.tokens import Owner, Tokens
from schakel.kernel.outcomes import Forbidden
from schakel.kernel.values import BSN_SYSTEM, Bsn

PUBLISHED, CHOSEN = "999200008", "999200021"
ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
MASKED = {"use": "official", "system": BSN_SYSTEM, "_value": {"extension": [ABSENT]}}
LOCAL = {"system": "urn:oid:2.999.1", "value": "7"}


def patient(*identifiers: dict[str, Any], id: str = "p1", family: str = "van Een") -> dict[str, Any]:
    found = {"identifier": list(identifiers)} if identifiers else {}
    return {"resourceType": "Patient", "id": id, "name": [{"family": family}], **found}


class Given:
    """Gives tokens and remembers for whom; refuses one BSN."""

    def __init__(self, seconds: float = 900, refuses: str = "") -> None:
        self.asked: list[str] = []
        self._seconds = seconds
        self._refuses = refuses

    async def __call__(self, bsn: str) -> Granted:
        if bsn == self._refuses:
            raise Forbidden("no data about you")
        self.asked.append(bsn)
        return Granted(f"t{len(self.asked)}-{bsn}", self._seconds)


def numbers(resource: dict[str, Any]) -> list[str | None]:
    return [i.get("value") for i in resource.get("identifier", []) if i["system"] == BSN_SYSTEM]


def script(tmp_path: Path, *variables: str, **defaults: str) -> Script:
    parts = [make.variable(name) for name in variables]
    parts += [make.variable(name.replace("_", "-"), defaultValue=value) for name, value in defaults.items()]
    make.suite(tmp_path, {"one.xml": make.script(*parts, make.case())})
    return read_script(tmp_path / "one.xml", "r4")


TOKENS = Tokens((Owner("p1", "van Een", PUBLISHED, "Bearer one", "Bearer one"),))


def test_a_masked_number_becomes_that_of_the_tokens_file_and_the_rest_stays() -> None:
    loaded = Patients(TOKENS, {}).loaded(patient(LOCAL, MASKED))
    assert loaded["identifier"] == [
        {"use": "official", "system": BSN_SYSTEM, "value": PUBLISHED},
        LOCAL,
    ]


def test_the_testers_own_number_wins() -> None:
    for identifiers in ((MASKED,), (), ({"system": BSN_SYSTEM, "value": PUBLISHED},)):
        assert numbers(Patients(TOKENS, {"p1": CHOSEN}).loaded(patient(*identifiers))) == [CHOSEN]


def test_a_patient_with_a_number_or_of_whom_nothing_is_known_is_loaded_as_published() -> None:
    for tokens, published in (
        (TOKENS, patient({"system": BSN_SYSTEM, "value": CHOSEN})),
        (TOKENS, patient(LOCAL)),
        (Tokens(), patient(MASKED)),
    ):
        assert Patients(tokens, {}).loaded(published) is published


def test_a_patient_without_a_number_gets_one_when_tokens_are_got() -> None:
    for identifiers in ((MASKED,), ()):
        loaded = Patients(Tokens(), {}, Given()).loaded(patient(*identifiers))
        assert numbers(loaded) == [invented("p1")]


@given(some.text())
def test_an_invented_number_is_a_bsn_of_nobody_and_always_the_same(id: str) -> None:
    number = invented(id)
    assert Bsn(number).startswith("999") and not number.startswith("9999") and invented(id) == number


@pytest.mark.parametrize("variable", ["patient-token-p1", "patient-token-Een", "patient-token-van Een"])
async def test_a_token_is_got_for_the_patient_that_a_variable_names(tmp_path: Path, variable: str) -> None:
    give = Given()
    patients = Patients(Tokens(), {"p1": CHOSEN}, give)
    patients.loaded(patient(MASKED))
    patients.loaded(patient(MASKED, id="p2", family="Twee"))
    assert await patients.opened([script(tmp_path, variable)]) == (1, [])
    assert patients.tokens.value(variable) == f"Bearer t1-{CHOSEN}" and give.asked == [CHOSEN]


async def test_a_published_token_as_default_stands_for_its_patient(tmp_path: Path) -> None:
    patients = Patients(TOKENS, {}, Given())
    one = script(tmp_path, their_token="Bearer one", other="Bearer elsewhere")
    assert await patients.opened([one]) == (1, [])
    assert patients.tokens.value("their-token", default="Bearer one") == f"Bearer t1-{PUBLISHED}"
    assert patients.tokens.value("other", default="Bearer elsewhere") is None


async def test_the_patient_of_choice_gets_a_token(tmp_path: Path) -> None:
    patients = Patients(Tokens(), {}, Given())
    assert await patients.opened([script(tmp_path, "auth-token")], CHOSEN) == (1, [])
    assert patients.tokens.value("auth-token", CHOSEN) == f"Bearer t1-{CHOSEN}"


async def test_a_token_that_lasts_is_got_once_and_one_that_does_not_again(tmp_path: Path) -> None:
    for seconds, times in ((900.0, 1), (60.0, 2)):
        give = Given(seconds)
        patients = Patients(TOKENS, {}, give)
        for _ in range(2):
            await patients.opened([script(tmp_path, "patient-token-p1")])
        assert len(give.asked) == times


async def test_a_patient_that_was_loaded_before_is_known_by_the_same_number(tmp_path: Path) -> None:
    give = Given()
    patients = Patients(Tokens(), {}, give)
    assert await patients.opened([script(tmp_path, "patient-token-p1")]) == (1, [])
    assert give.asked == numbers(Patients(Tokens(), {}, give).loaded(patient(MASKED)))


async def test_what_goes_wrong_is_said_by_the_name_of_the_variable(tmp_path: Path) -> None:
    patients = Patients(TOKENS, {}, Given(refuses=PUBLISHED))
    got, failures = await patients.opened([script(tmp_path, "patient-token-p1", "patient-token-p2")])
    assert got == 1
    [failure] = failures
    assert (failure.step, failure.reason) == ("a token for patient-token-p1", "no data about you")


async def test_without_a_giver_the_tokens_of_the_file_stay(tmp_path: Path) -> None:
    patients = Patients(TOKENS, {})
    assert await patients.opened([script(tmp_path, "patient-token-p1")]) == (0, [])
    assert patients.tokens.value("patient-token-p1") == "Bearer one"
