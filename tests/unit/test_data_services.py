"""The table of data services: what it names exists, and fits the lists of MedMij."""

from __future__ import annotations

import re

import pytest

from schakel.fhir import definitions
from schakel.patient_access import COLLECTS, SERVICES, SHARES, Service
from schakel.store.indexing import patient_codes


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda s: s.id)
def test_a_service_fits_the_lists_and_its_types_are_of_its_version(service: Service) -> None:
    assert re.fullmatch(r"[0-9]{1,30}", service.id)
    assert 3 <= len(service.name) <= 50
    assert service.gives | service.takes <= definitions(service.version).resource_types
    assert service.updates <= service.gives
    assert service.system_roles


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda s: s.id)
def test_a_service_gives_only_types_that_belong_to_a_patient(service: Service) -> None:
    for kind in service.gives - {"Patient"}:
        assert patient_codes(service.version, kind), kind


def test_names_are_unique_and_invented_numbers_are_marked() -> None:
    assert len({s.name for s in SERVICES.values()}) == len(SERVICES)
    assert all(s.invented == (int(s.id) >= 900) for s in SERVICES.values())


def test_collecting_and_sharing_are_told_apart() -> None:
    assert SERVICES.keys() == COLLECTS | SHARES
    assert not COLLECTS & SHARES
    assert {"48", "49", "50", "51", "61", "63"} <= COLLECTS
    assert {"902", "903", "904"} <= SHARES
