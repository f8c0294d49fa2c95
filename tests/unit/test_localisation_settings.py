"""The settings of the NVI and of registration: what is missing is said before anything is asked or told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schakel.config import load
from schakel.kernel.outcomes import Invalid

PRS = """
[prs]
base = "http://127.0.0.1:8418"
recipient = "oin:00000099000000001000"
scope = "nvi"
"""
NVI = """
[nvi]
base = "http://127.0.0.1:8419/fhir"
source = "urn:uuid:11111111-1111-4111-8111-111111111111"
"""
RULE = """
[[organisations.registrations]]
ground = "law"
categories = ["Condition"]
start = 2026-01-01
"""


def settings(folder: Path, *sections: str, rule: str = "") -> Any:
    """What is read from a file with these sections."""
    file = folder / "node.toml"
    head = (
        'database = "postgresql://x"\npublic_url = "http://127.0.0.1:8400"\n'
        'internal_url = "http://127.0.0.1:8401"\n'
    )
    organisation = (
        '[[organisations]]\nslug = "a"\nura = "90000001"\nname = "A"\ninternal_key = "sixteen-characters"\n'
        'signing_key = "a.jwk"\n'
    )
    file.write_text(head + organisation + rule + "".join(sections))
    return load(file)


def test_without_settings_nothing_is_asked_and_nothing_told(tmp_path: Path) -> None:
    read = settings(tmp_path)
    assert read.nvi.base is None and read.organisations[0].registrations == ()


def test_the_whole_is_taken(tmp_path: Path) -> None:
    read = settings(tmp_path, PRS, NVI, rule=RULE)
    assert read.nvi.source_system == "urn:ietf:rfc:3986"
    assert read.organisations[0].registrations[0].categories == ("Condition",)


@pytest.mark.parametrize(
    ("sections", "rule", "said"),
    [
        ((NVI,), "", "nvi.base needs prs.base, prs.recipient and prs.scope"),
        ((PRS.replace('recipient = "oin:00000099000000001000"\n', ""), NVI), "", "base needs recipient"),
        ((PRS.replace('scope = "nvi"\n', ""), NVI), "", "base needs scope"),
        ((PRS, NVI.replace("source = ", "# ")), "", "base needs source"),
        ((PRS, NVI.replace("11111111-1111", "a|b")), "", "nvi.source"),
        ((PRS, NVI.replace("http:", "https:")), "", "base needs certificate and key"),
        ((PRS, NVI + 'key = "x.key"\n'), "", "certificate and key are given together"),
        ((PRS,), RULE, "registrations of a needs nvi.base"),
        ((PRS, NVI), RULE.replace("Condition", "Practitioner"), "'Practitioner' is no category of data"),
        ((PRS, NVI), RULE.replace('"Condition"', ""), "categories"),
        ((PRS, NVI), RULE.replace('ground = "law"', 'ground = ""'), "ground"),
        ((PRS, NVI), RULE.replace("start = 2026-01-01", ""), "start"),
        ((PRS, NVI), RULE + "end = 2025-12-31\n", "end is before start"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, sections: tuple[str, ...], rule: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        settings(tmp_path, *sections, rule=rule)
    assert said in refused.value.message
