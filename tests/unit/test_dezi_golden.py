"""A statement of Dezi and the credential around it, written out by hand: what we make is that, what we read is that."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.presenting import HOLDER

from schakel.facilities import Answer, Facilities
from schakel.generic.identity.credentials import Refused, dezi_credential
from schakel.generic.identity.credentials.dezi_user import check
from schakel.generic.identity.credentials.reading import credential
from schakel.generic.identity.dezi import DeziRules, DeziTrust

GOLDEN: dict[str, Any] = orjson.loads(
    (Path(__file__).parent / "golden" / "dezi_user_credential.json").read_bytes()
)
MOMENT = datetime(2026, 1, 15, tzinfo=UTC)
JKU = "https://auth.dezi.nl/jwks.json"
HIGH = "http://eidas.europa.eu/LoA/high"


class Published(Facilities):
    """The keys of the golden statement, and nothing else."""

    def __init__(self) -> None:
        self.name = "Dezi"

    async def send(self, method: str, address: str, **_: Any) -> Answer:
        assert (method, address) == ("GET", JKU)
        return Answer(200, {}, orjson.dumps({"keys": GOLDEN["keys"]}))


@pytest.fixture
def trust() -> DeziTrust:
    return DeziTrust(Published(), DeziRules(frozenset({JKU}), frozenset({HIGH})))


async def test_the_statement_is_genuine_and_says_who(trust: DeziTrust) -> None:
    found = await trust.verify(GOLDEN["statement"], MOMENT)
    assert (found.number, found.name, found.role) == ("900000009", "A.B. Zuidermeer", "01.022")
    assert (found.ura, found.assurance, found.warnings) == ("22222222", HIGH, ())
    assert trust.said(GOLDEN["statement"], MOMENT) == found


def test_the_credential_that_we_make_has_the_form_in_use() -> None:
    assert dezi_credential(GOLDEN["statement"], HOLDER) == GOLDEN["version_1"]


@pytest.mark.parametrize("version", ["version_1", "version_2"])
async def test_both_forms_of_the_credential_prove_the_same(trust: DeziTrust, version: str) -> None:
    proof = await check(credential(GOLDEN[version]), trust, MOMENT)
    assert proof.user is not None
    assert (proof.user.id, proof.user.role, proof.ura) == ("900000009", "01.022", "22222222")
    assert (proof.assurance, proof.holder_bound) == (HIGH, False)


@pytest.mark.parametrize("version", ["version_1", "version_2"])
async def test_a_credential_that_says_otherwise_than_its_statement_is_refused(
    trust: DeziTrust, version: str
) -> None:
    changed = deepcopy(GOLDEN[version])
    changed["credentialSubject"][0]["employee"]["role"] = "01.015"
    with pytest.raises(Refused) as refusal:
        await check(credential(changed), trust, MOMENT)
    assert refusal.value.expression == "credentialSubject.employee.role"


async def test_a_statement_that_is_forged_is_refused_and_says_what_is_wrong(trust: DeziTrust) -> None:
    changed = deepcopy(GOLDEN["version_1"])
    head, body, signature = changed["proof"]["jwt"].split(".")
    changed["proof"]["jwt"] = f"{head}.{body}.{'A' * 8}{signature[8:]}"
    with pytest.raises(Refused) as refusal:
        await check(credential(changed), trust, MOMENT)
    assert (refusal.value.kind, refusal.value.expression) == ("statement-signature", "proof.jwt")


async def test_the_older_proof_is_refused_by_name(trust: DeziTrust) -> None:
    changed = deepcopy(GOLDEN["version_1"])
    changed["proof"]["type"] = "DeziIDJWT2024"
    with pytest.raises(Refused, match="DeziIDJWT2024 is not supported"):
        await check(credential(changed), trust, MOMENT)
