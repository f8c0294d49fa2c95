"""A client certificate is judged once at a time, its verdict kept for its seconds, and a doubt never."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import time_machine
from tests.certificates import Authority

from schakel.generic.identity import PeerCertificate
from schakel.generic.identity.certificates import Mode, Revocation, RevocationRules, Trust
from schakel.http.judging import ChainJudge, Verdicts
from schakel.http.shown import Chain
from schakel.kernel.outcomes import Busy, Forbidden, Outcome, Unauthenticated, Upstream

ONE, TWO = (b"one", b"root"), (b"two", b"root")


@dataclass
class Bench:
    """A judge who says what it is told to, after a moment."""

    says: Outcome | None = None
    asked: list[Chain] = field(default_factory=list)

    async def judge(self, chain: Chain) -> PeerCertificate:
        self.asked.append(chain)
        await asyncio.sleep(0.01)
        if self.says is not None:
            raise self.says
        return PeerCertificate(chain[0], chain[0].decode())


async def test_many_requests_with_one_certificate_wait_for_one_judgement() -> None:
    bench = Bench()
    verdicts = Verdicts(bench, 60)
    found = await asyncio.gather(*(verdicts.believed(chain) for chain in (ONE, TWO) * 20))
    assert sorted(bench.asked) == [ONE, TWO]
    assert {one.thumbprint for one in found} == {"one", "two"}


async def test_who_gives_up_waiting_takes_nobody_along() -> None:
    verdicts = Verdicts(Bench(), 60)
    first, second = (asyncio.create_task(verdicts.believed(ONE)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).thumbprint == "one"


async def test_a_verdict_is_of_the_whole_chain() -> None:
    bench = Bench()
    verdicts = Verdicts(bench, 60)
    for chain in (ONE, (b"one",), (b"one", b"another root"), ONE):
        await verdicts.believed(chain)
    assert len(bench.asked) == 3


@pytest.mark.parametrize("refusal", [None, Unauthenticated("no", code="certificate-expired", expression="x")])
async def test_a_verdict_ends_with_its_seconds(refusal: Outcome | None) -> None:
    bench = Bench(refusal)
    verdicts = Verdicts(bench, 60)

    async def asked() -> None:
        if refusal is None:
            await verdicts.believed(ONE)
            return
        with pytest.raises(Forbidden) as refused:
            await verdicts.believed(ONE)
        assert (refused.value.kind, refused.value.expression) == ("certificate-expired", "x")

    with time_machine.travel("2026-06-01T12:00:00Z", tick=False) as clock:
        for shift, judged in ((0, 1), (59, 1), (1, 2), (-3600, 3)):
            clock.shift(shift)
            await asked()
            await asked()
            assert len(bench.asked) == judged


@pytest.mark.parametrize(
    ("doubt", "code"),
    [(Upstream("away", code="facility-away"), "certificate-unchecked"), (Busy("away", code="x"), "x")],
)
async def test_what_could_not_be_found_out_is_503_and_not_kept(doubt: Outcome, code: str) -> None:
    bench = Bench(doubt)
    verdicts = Verdicts(bench, 60)
    for _ in range(2):
        with pytest.raises(Busy) as refused:
            await verdicts.believed(ONE)
        assert refused.value.kind == code
    bench.says = None
    assert (await verdicts.believed(ONE)).thumbprint == "one"
    assert len(bench.asked) == 3


async def test_a_yes_does_not_outlive_the_certificate() -> None:
    """However long verdicts are kept: who connected while it was valid keeps the connection, and not the door."""
    root = Authority.new("Root")
    issued = root.issue("node.example", days=(-1, 1))
    async with Revocation.open(RevocationRules(mode=Mode.OFF)) as revocation:
        verdicts = Verdicts(ChainJudge(Trust([root.certificate]), revocation), 3600)
        end = issued.certificate.not_valid_after_utc
        with time_machine.travel(end - timedelta(seconds=2), tick=False):
            assert (await verdicts.believed((issued.der,))).until == end
        with time_machine.travel(end + timedelta(seconds=2), tick=False), pytest.raises(Forbidden) as refused:
            await verdicts.believed((issued.der,))
    assert refused.value.kind == "certificate-expired"
